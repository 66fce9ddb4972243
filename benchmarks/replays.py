"""Searches replayed over recorded curves: what each would have chosen, and how many epochs it would have trained."""

import heapq
import warnings
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from types import SimpleNamespace

import numpy as np

from ae_model.patience import START_GAIN
from search.forecast import lowest
from search.ledger import Outcome
from search.lengths import Length
from search.rounds import Round, halving, rung_epochs

FACTOR = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves:
    """What the full grid of a data set has given."""

    data: str
    seed: int
    val_mse: np.ndarray
    """Trials, epochs from 0 on, folds; NaN at epoch 0 of a random start."""
    pca: float
    """Validation MSE of PCA, mean over the folds."""
    ids: list[str]
    labels: list[str]
    seconds: np.ndarray
    """What each trial took of one core, to its last epoch."""

    @property
    def last(self) -> int:
        """The last epoch."""
        return self.val_mse.shape[1] - 1

    def best_epochs(self, reached: int) -> np.ndarray:
        """The best epoch of each trial up to an epoch, by the rule of the tables."""
        means = self.val_mse[:, : reached + 1].mean(axis=2)
        means[:, 0] *= 1 - START_GAIN
        epochs: np.ndarray = np.nanargmin(means, axis=1)
        return epochs

    def results(self, reached: int | None = None) -> np.ndarray:
        """The MSE of each trial at its best epoch up to an epoch, mean over the folds."""
        epochs = self.best_epochs(self.last if reached is None else reached)
        means: np.ndarray = self.val_mse.mean(axis=2)[np.arange(len(epochs)), epochs]
        return means

    def standard_error(self, trial: int) -> float:
        """Of a trial's result, over the folds."""
        values = self.val_mse[trial, self.best_epochs(self.last)[trial]]
        return float(values.std(ddof=1) / np.sqrt(len(values)))

    def part(self, start: str) -> "Curves":
        """The trials of one start alone, "pca" or "random"; all if it is "all"."""
        kept = [i for i, label in enumerate(self.labels) if start == "all" or label.split()[1] == start]
        return replace(
            self,
            val_mse=self.val_mse[kept],
            ids=[self.ids[i] for i in kept],
            labels=[self.labels[i] for i in kept],
            seconds=self.seconds[kept],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a search ends with."""

    trial: int
    fold_epochs: int


def ours(curves: Curves) -> Found:
    """`search.rounds.halving` with its defaults."""
    reached = dict.fromkeys(curves.ids, 0)
    for asked in halving_rounds(curves):
        reached |= asked.targets
    going = {t for t, epoch in reached.items() if epoch == curves.last}
    return _found(curves, reached, going)


def halving_rounds(curves: Curves) -> list[Round]:
    """The rounds of `search.rounds.halving`, each answered by the recorded curves."""
    rounds = halving(
        dict(zip(curves.ids, curves.labels, strict=True)), lambda _: Length(epochs=curves.last, patience=None)
    )
    made, asked = [], next(rounds)
    try:
        while True:
            made.append(asked)
            asked = rounds.send({t: _outcome(curves, t, epoch) for t, epoch in asked.targets.items()})
    except StopIteration:
        return made


def plain_halving(curves: Curves) -> Found:
    """Successive halving by the present value, at the same rungs; nothing that was stopped comes back."""
    means = curves.val_mse.mean(axis=2)
    going, reached = list(curves.ids), dict.fromkeys(curves.ids, 0)
    rungs = rung_epochs(curves.last, factor=FACTOR, grace_period=None)
    for epoch in rungs:
        reached |= dict.fromkeys(going, epoch)
        if epoch < curves.last:
            values = {t: means[curves.ids.index(t), epoch] for t in going}
            going = lowest(values, ceil(len(going) / FACTOR))
    return _found(curves, reached, set(going))


def asha(slots: int, factor: int, grace: int) -> Callable[[Curves], Found]:
    """Tune's asynchronous halving, the scheduler itself, on so many slots that take the recorded seconds."""

    def search(curves: Curves) -> Found:
        from ray.tune.schedulers import ASHAScheduler

        scheduler = ASHAScheduler(
            "epoch", "val_mse", "min", max_t=curves.last, grace_period=grace, reduction_factor=factor
        )
        means = curves.val_mse.mean(axis=2)
        waiting = [int(i) for i in np.random.default_rng(curves.seed).permutation(len(curves.ids))]
        reached = dict.fromkeys(curves.ids, 0)
        busy: list[tuple[float, int]] = []
        now = 0.0
        while waiting or busy:
            while waiting and len(busy) < slots:
                trial = waiting.pop(0)
                scheduler.on_trial_add(None, SimpleNamespace(trial_id=curves.ids[trial]))
                heapq.heappush(busy, (now + curves.seconds[trial] / curves.last, trial))
            now, trial = heapq.heappop(busy)
            name = curves.ids[trial]
            reached[name] += 1
            result = {"epoch": reached[name], "val_mse": means[trial, reached[name]]}
            if scheduler.on_trial_result(None, SimpleNamespace(trial_id=name), result) == "CONTINUE":
                heapq.heappush(busy, (now + curves.seconds[trial] / curves.last, trial))
        return _found(curves, reached, set(curves.ids))

    return search


def median_pruner(curves: Curves) -> Found:
    """Optuna's `MedianPruner` on the mean of the folds, which train in lock-step; the first rung is its warm-up."""
    warm_up = rung_epochs(curves.last, factor=FACTOR, grace_period=None)[0]
    means = curves.val_mse.mean(axis=2)

    def objective(trial: "optuna.Trial", number: int) -> tuple[int, bool]:
        for epoch in range(1, curves.last + 1):
            trial.report(float(means[number, epoch]), epoch)
            if epoch < curves.last and trial.should_prune():
                return epoch * curves.val_mse.shape[2], True
        return curves.last * curves.val_mse.shape[2], False

    import optuna

    return _study(curves, optuna.pruners.MedianPruner(n_warmup_steps=warm_up), objective, curves.results())


def wilcoxon_pruner(curves: Curves) -> Found:
    """Optuna's `WilcoxonPruner`: the folds one after the other, each to its last epoch.

    The value of a fold is that at the epoch which is the best for all folds together, as if this were known already.
    """
    values = np.take_along_axis(curves.val_mse, curves.best_epochs(curves.last)[:, None, None], axis=1)[:, 0]

    def objective(trial: "optuna.Trial", number: int) -> tuple[int, bool]:
        for fold, value in enumerate(values[number]):
            trial.report(float(value), fold)
            if fold < values.shape[1] - 1 and trial.should_prune():
                return (fold + 1) * curves.last, True
        return values.shape[1] * curves.last, False

    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        pruner = optuna.pruners.WilcoxonPruner()
    return _study(curves, pruner, objective, values.mean(axis=1))


def _study(curves: Curves, pruner: object, objective: Callable[..., tuple[int, bool]], results: np.ndarray) -> Found:
    """A study over all trials in a random order, one after the other."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(pruner=pruner)
    spent, finished = 0, {}
    for number in np.random.default_rng(curves.seed).permutation(len(curves.ids)):
        trial = study.ask()
        cost, is_pruned = objective(trial, number)
        spent += cost
        if is_pruned:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            study.tell(trial, float(results[number]))
            finished[curves.ids[number]] = float(results[number])
    return Found(trial=curves.ids.index(lowest(finished, 1)[0]), fold_epochs=spent)


def _outcome(curves: Curves, trial: str, reached: int) -> Outcome:
    values = curves.val_mse[curves.ids.index(trial), : reached + 1]
    first = int(np.isnan(values[0]).any())
    return Outcome(epochs=np.arange(first, reached + 1), val_mse=values[first:], val_fve=1 - values[first:])


def _found(curves: Curves, reached: Mapping[str, int], among: set[str]) -> Found:
    """The best of some trials, each at the epoch that it has reached."""
    results = {t: curves.results(reached[t])[curves.ids.index(t)] for t in among}
    folds = curves.val_mse.shape[2]
    return Found(trial=curves.ids.index(lowest(results, 1)[0]), fold_epochs=folds * sum(reached.values()))


def idle_share(
    rounds: Sequence[Mapping[Hashable, int]],
    packs: Sequence[Sequence[Hashable]],
    seconds: Mapping[Hashable, float],
    slots: int,
) -> float:
    """The part of all slots' time in which they wait for the last pack of a round.

    Packs begin in their order, as slots come free; members that are not asked for are dropped from theirs.

    Args:
        rounds: The epoch that each trial is to reach, round by round.
        packs: The trials of each pack.
        seconds: What an epoch of each trial takes.
        slots: How many packs run at a time.
    """
    reached: dict[Hashable, int] = {}
    busy, wall = 0.0, 0.0
    for targets in rounds:
        free = [0.0] * slots
        for pack in packs:
            work = sum((targets[t] - reached.get(t, 0)) * seconds[t] for t in pack if t in targets)
            if work:
                busy += work
                heapq.heapreplace(free, free[0] + work)
        wall += max(free)
        reached |= targets
    return max(0.0, 1 - busy / (wall * slots))
