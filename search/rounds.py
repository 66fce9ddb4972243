"""What a search trains next: rounds, which follow from the settings and from what earlier rounds gave.

A search is a generator of rounds. Each is trained whole, and what it gave is sent in; so the generator reads like the
search that it describes, and holds no state that would have to be saved: a search that goes on makes the generator anew
and sends it what the ledger has, round by round, until one comes up that is not trained yet.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from math import ceil, inf

import numpy as np

from ae_model.configuration import Configuration
from ae_model.patience import START_GAIN, epochs_without_gain
from search.forecast import HORIZON, forecast, lowest
from search.ledger import DIVERGED, FAILED, Outcome, Standing
from search.lengths import Length
from search.tables import ROUNDING

GRACE_PART, MIN_GRACE = 27, 3
"""The first rung is at one part in so many of the epochs, and where they allow it not before so many: a trend cannot be
seen in fewer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Why a trial is trained no further."""

    rung: int
    """The rung after which it was stopped, counted from 1."""
    forecast: float
    """The mean validation MSE that was expected of it at its last epoch, scaled units squared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What is trained next, before anything is decided again."""

    targets: Mapping[str, int]
    """The epoch that each trial is to reach."""
    configurations: Mapping[str, Configuration] = field(default_factory=dict)
    """The trials that come up for the first time."""
    stopped: Mapping[str, Stop] = field(default_factory=dict)
    """The trials that have been given up since the last round."""
    repeats: bool = False
    """Whether the folds of the repeats are trained, not the first ones."""


Outcomes = Mapping[str, Outcome]
Rounds = Generator[Round, Outcomes, Outcomes]
"""Ends with what each trial has given, as far as it was asked for."""
Lengths = Callable[[Configuration], Length]
"""How long a configuration is trained."""


def one_round(configurations: Mapping[str, Configuration], lengths: Lengths) -> Rounds:
    """Every trial to its last epoch: a grid, or a random sample."""
    return (
        yield Round(configurations=configurations, targets={t: lengths(c).epochs for t, c in configurations.items()})
    )


def halving(
    configurations: Mapping[str, Configuration],
    lengths: Lengths,
    *,
    factor: float = 2.0,
    grace_period: int | None = None,
) -> Rounds:
    """Synchronous successive halving: after each rung one trial in `factor` goes on, by the forecast of its curve.

    If somebody was stopped at a lower error than the one that the last rung ends with, the best of these is trained on
    to the end after all: so no trial has ever been better than the best that finished. The rungs are those of Jamieson
    and Talwalkar (Non-stochastic Best Arm Identification and Hyperparameter Optimization, 2016); `search.forecast` says
    who survives.

    Args:
        configurations: The trials.
        lengths: How long each is trained.
        factor: One trial in so many survives a rung, and the next rung is so many times as far; > 1.
        grace_period: The epoch of the first rung, for the longest trials; about a twenty-seventh of their epochs if
            None, but three at least, or a quarter where they are few.
    """
    length = {t: lengths(c) for t, c in configurations.items()}
    last = {t: length[t].epochs for t in configurations}
    outcomes: dict[str, Outcome] = {}
    given_up: dict[str, Stop] = {}
    stopped: Mapping[str, Stop] = {}
    new, going = configurations, list(configurations)
    rungs = rung_epochs(max(last.values(), default=1), factor=factor, grace_period=grace_period)
    for rung, epoch in enumerate(rungs, 1):
        is_last = epoch == rungs[-1] or len(going) == 1  # one alone has nobody to give way to
        targets = {t: last[t] if is_last else _in_proportion(epoch, of=rungs[-1], to=last[t]) for t in going}
        outcomes |= yield Round(configurations=new, targets=targets, stopped=stopped)
        if is_last:
            break
        forecasts = {t: _forecast(outcomes[t], length[t]) for t in going}
        going = lowest(forecasts, ceil(len(going) / factor))
        others = forecasts.keys() - set(going)
        stopped = {
            t: Stop(rung=rung, forecast=value)
            for t, value in forecasts.items()
            if t in others and not _has_ended(outcomes[t], length[t])
        }
        given_up |= stopped
        new = {}
    while revived := _better_than_all(going, given_up, outcomes):
        outcomes |= yield Round(targets={t: last[t] for t in revived})
        going = [*going, *revived]
    return outcomes


def rung_epochs(last: int, *, factor: float, grace_period: int | None) -> list[int]:
    """The epochs of the rungs of trials with `last` epochs, rising; the last rung is their end.

    Examples:
        >>> rung_epochs(81, factor=2, grace_period=None)
        [3, 7, 14, 27, 54, 81]
    """
    rungs, epoch = [], float(grace_period or last / HORIZON)
    if not grace_period:
        # Counted back from the last choice, which is made where a forecast reaches as far as the trials do.
        first = max(last // GRACE_PART, min(MIN_GRACE, ceil(last / 4)))
        while epoch / factor >= first:
            epoch /= factor
    while round(epoch) < last:
        rungs.append(round(epoch))
        epoch = max(epoch * factor, epoch + 1)
    # A rung shortly before the end would decide what is nearly known.
    if rungs and rungs[-1] * min(factor**0.5, HORIZON) > last and len(rungs) > 1:
        rungs.pop()
    return [*rungs, last]


def bounded(rounds: Rounds, *, max_fold_epochs: int, n_folds: int) -> Rounds:
    """The same rounds until they have taken so many epochs of single folds; the last one is cut to what is left of it.

    The cut round takes each trial the same part of its way; where that is not an epoch, the smallest trials take one.

    Args:
        rounds: What is bounded.
        max_fold_epochs: The most epochs, each trial's counted once for each fold.
        n_folds: The number of folds that a trial is trained on.
    """
    reached: dict[str, int] = {}
    sizes: dict[str, int] = {}
    outcomes: Outcomes = {}
    left = max_fold_epochs // n_folds
    try:
        asked = next(rounds)
        while True:
            sizes |= {t: c.n_parameters for t, c in asked.configurations.items()}
            way = {t: max(0, epoch - reached.get(t, 0)) for t, epoch in asked.targets.items()}
            is_last = sum(way.values()) > left
            if is_last:
                way = _shortened(way, left, sizes)
                if not any(way.values()):
                    return outcomes
                asked = replace(asked, targets={t: reached.get(t, 0) + n for t, n in way.items() if n})
            given = yield asked
            outcomes = {**outcomes, **given}
            if is_last:
                return outcomes
            # What has failed has taken what it was given.
            ends = {t: int(given[t].epochs[-1]) if len(given[t].epochs) else asked.targets[t] for t in given}
            left -= sum(max(0, ends[t] - reached.get(t, 0)) for t in ends)
            reached |= ends
            asked = rounds.send(given)
    except StopIteration as end:
        outcomes = end.value
        return outcomes


def repeated(rounds: Rounds, lengths: Lengths, top: int | None, max_epochs: int | None = None) -> Rounds:
    """The same rounds, and one more: the repeats of the best trials that have come to their end.

    Args:
        rounds: What comes first.
        lengths: How long each trial is trained.
        top: How many; all if None.
        max_epochs: How many epochs they may have together; the best come first.
    """
    trials: dict[str, Configuration] = {}
    outcomes = yield from _noting(rounds, trials)
    yield repeats_round({t: o for t, o in outcomes.items() if _has_ended(o, lengths(trials[t]))}, top, max_epochs)
    return outcomes


def repeats_round(finished: Outcomes, top: int | None, max_epochs: int | None = None) -> Round:
    """The repeats of the best of some trials, each for as many epochs as it was trained.

    Args:
        finished: What they gave.
        top: How many are repeated; all if None.
        max_epochs: How many epochs they may have together; any number if None.
    """
    best = lowest({t: _lowest_mse(outcome) for t, outcome in finished.items()}, top or len(finished))
    epochs = [int(finished[t].epochs[-1]) for t in best]
    n_affordable = sum(total <= (inf if max_epochs is None else max_epochs) for total in accumulate(epochs))
    return Round(targets=dict(zip(best[:n_affordable], epochs, strict=False)), repeats=True)


def _noting(rounds: Rounds, trials: dict[str, Configuration]) -> Rounds:
    """The same rounds; what comes up in them is added to the trials."""
    try:
        asked = next(rounds)
        while True:
            trials |= asked.configurations
            asked = rounds.send((yield asked))
    except StopIteration as end:
        outcomes: Outcomes = end.value
        return outcomes


def _shortened(way: Mapping[str, int], left: int, sizes: Mapping[str, int]) -> dict[str, int]:
    """Ways that add up to what is left at most, each the same part of what it was."""
    total = sum(way.values())
    shortened = {t: n * left // total for t, n in way.items()}
    if any(shortened.values()):
        return shortened
    return dict.fromkeys(sorted(way, key=lambda t: (sizes[t], t))[:left], 1)


def _in_proportion(epoch: int, *, of: int, to: int) -> int:
    """The epoch of a trial with `to` epochs that is as far as `epoch` is in one with `of`."""
    return ceil(epoch * to / of)


def expected_mse(outcome: Outcome, length: Length) -> float:
    """The error that a trial has ended with, or would soon come to if it went on; infinite where it has none."""
    return min(_lowest_mse(outcome), _forecast(outcome, length))


def _forecast(outcome: Outcome, length: Length) -> float:
    """What survivors are chosen by: the lowest error of a trial that has ended, of others what more epochs promise."""
    lowest_so_far = _lowest_mse(outcome)
    if lowest_so_far == inf or _has_ended(outcome, length):
        return lowest_so_far
    return forecast(outcome.curve(), int(outcome.epochs[0]), length.epochs)


def best_epoch(outcome: Outcome) -> int | None:
    """The place of a trial's best epoch among its epochs; None where it diverged or failed.

    The start counts as lower by `START_GAIN`, as in the tables.
    """
    if not len(outcome.epochs) or not np.isfinite(outcome.val_mse).all():
        return None
    return int((np.where(outcome.epochs == 0, 1 - START_GAIN, 1.0) * outcome.curve()).argmin())


def _lowest_mse(outcome: Outcome) -> float:
    """The error of a trial's best epoch so far; infinite where there is none."""
    best = best_epoch(outcome)
    return inf if best is None else float(outcome.curve()[best])


def _better_than_all(going: Sequence[str], given_up: Mapping[str, Stop], outcomes: Outcomes) -> list[str]:
    """The best of the trials that were given up at a lower error than that of the best of those that were not, if any.

    One will do: once it has come to its end its result is at most what it was, and so not above the others'.
    """
    best = min((_lowest_mse(outcomes[t]) for t in going), default=inf)
    others = {t: _lowest_mse(outcomes[t]) for t in given_up.keys() - set(going)}
    return lowest({t: value for t, value in others.items() if value < best * (1 - ROUNDING)}, 1)


def _has_ended(outcome: Outcome, length: Length) -> bool:
    """Whether a trial is finished: it has come to its last epoch, or its patience has ended."""
    if not len(outcome.epochs) or not np.isfinite(outcome.val_mse).all():
        return False
    patience = length.patience
    stalled = (
        patience is not None and epochs_without_gain(outcome.trained_curve(), patience.min_gain) >= patience.epochs
    )
    return stalled or int(outcome.epochs[-1]) >= length.epochs


def is_done(standing: Standing, target: int, length: Length) -> bool:
    """Whether a trial need not be trained to reach an epoch.

    It has reached it, has gone for too long without a gain, has diverged, or has failed in this run.
    """
    stalled = length.patience is not None and standing.without_gain >= length.patience.epochs
    return standing.status in (DIVERGED, FAILED) or standing.epochs >= target or stalled
