"""search.rounds: what is trained next follows from settings and results alone."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest

from ae_model import Configuration
from ae_model.patience import Patience
from search.ledger import DIVERGED, FAILED, FINISHED, PENDING, RUNNING, Outcome, Standing
from search.lengths import Length
from search.rounds import Outcomes, Round, Rounds, bounded, halving, is_done, one_round, repeated, rung_epochs


def _length(epochs: int, patience: int | None = None) -> Length:
    return Length(epochs=epochs, patience=None if patience is None else Patience(epochs=patience))


@pytest.mark.parametrize("status", [PENDING, RUNNING, FINISHED])
def test_a_trial_is_done_when_it_has_reached_the_epoch(status: str) -> None:
    """Whatever the ledger calls it: what was asked for decides, so that more epochs can be asked for later."""
    standing = Standing(status=status, epochs=5)
    assert [is_done(standing, target, _length(9)) for target in (4, 5, 6)] == [True, True, False]


@pytest.mark.parametrize("status", [DIVERGED, FAILED])
def test_what_has_no_result_is_not_asked_again(status: str) -> None:
    """A trial that diverged would diverge again; one that failed is tried again by the next run, which says so."""
    assert is_done(Standing(status=status, epochs=2), 6, _length(6))


def test_a_trial_without_a_gain_for_too_long_is_done() -> None:
    """It is asked again only by settings that are more patient, or have none."""
    standing = Standing(status=FINISHED, epochs=7, without_gain=3)
    assert is_done(standing, 9, _length(9, patience=3))
    assert not is_done(standing, 9, _length(9, patience=4))
    assert not is_done(standing, 9, _length(9))
    assert is_done(standing, 7, _length(9))


TRIALS = {f"t{n:02}": Configuration(layer_sizes=(64, n + 2), code_activation="linear") for n in range(16)}
Curves = Mapping[str, Callable[[int], float]]


def _play(rounds: Rounds, curves: Curves, first: int = 1) -> list[Round]:
    """All rounds, when each trial gives what its curve says."""
    seen = []
    outcomes: Outcomes | None = None
    while True:
        try:
            asked = next(rounds) if outcomes is None else rounds.send(outcomes)
        except StopIteration:
            return seen
        seen.append(asked)
        outcomes = {t: _outcome(curves[t], first, epoch) for t, epoch in asked.targets.items()}


def _outcome(curve: Callable[[int], float], first: int, last: int) -> Outcome:
    epochs = np.arange(first, last + 1)
    mse = np.add.outer([curve(epoch) for epoch in epochs.tolist()], [-1e-3, 0.0, 1e-3])
    return Outcome(epochs=epochs, val_mse=mse, val_fve=1 - mse)


def _levels(order: Sequence[str]) -> dict[str, Callable[[int], float]]:
    """Curves that fall alike, each above the one before."""
    return {t: (lambda epoch, level=level: (1 + level) * (1 + 1 / epoch)) for level, t in enumerate(order)}  # type: ignore[misc]


@pytest.mark.parametrize(("last", "factor", "grace_period", "rungs"), [
    (81, 2, None, [3, 7, 14, 27, 54, 81]), (81, 3, 3, [3, 9, 27, 81]), (81, 3, None, [6, 18, 54, 81]),
    (1, 2, None, [1]), (2, 2, None, [1, 2]),
    (10, 1.1, 5, [5, 6, 7, 8, 9, 10]), (5, 2, 9, [5]), (100, 2, 90, [90, 100]),
])  # fmt: skip
def test_rungs_rise_to_the_last_epoch(last: int, factor: float, grace_period: int | None, rungs: list[int]) -> None:
    """The first is the grace period; each is so many times as far as the one before; the last one is the end."""
    assert rung_epochs(last, factor=factor, grace_period=grace_period) == rungs


def test_halving_keeps_the_best_and_says_where_the_others_were_stopped() -> None:
    """Curves that do not cross: the order of their levels is that in which they are stopped, from the highest on."""
    rounds = _play(halving(TRIALS, lambda _: _length(27), factor=2, grace_period=3), _levels(list(TRIALS)))
    assert [len(asked.targets) for asked in rounds] == [16, 8, 4, 2]
    assert [max(asked.targets.values()) for asked in rounds] == [3, 6, 12, 27]
    assert [len(asked.stopped) for asked in rounds] == [0, 8, 4, 2]
    assert set(rounds[-1].targets) == {"t00", "t01"}
    assert {stop.rung for stop in rounds[2].stopped.values()} == {2}
    assert rounds[0].configurations == TRIALS
    assert not any(asked.configurations for asked in rounds[1:])


def test_survivors_do_not_depend_on_the_order_of_the_space() -> None:
    """Where all curves are equal, too: then ids decide."""
    shuffled = dict(sorted(TRIALS.items(), key=lambda item: hash(item[0])))
    for curves in (_levels(list(TRIALS)[::-1]), dict.fromkeys(TRIALS, lambda epoch: 1 / epoch)):
        first, second = (
            _play(halving(trials, lambda _: _length(27), factor=3, grace_period=2), curves)
            for trials in (TRIALS, shuffled)
        )
        assert [dict(a.targets) == dict(b.targets) for a, b in zip(first, second, strict=True)] == [True] * len(first)


def test_who_was_better_on_the_way_than_the_end_is_trained_on() -> None:
    """One that falls to 0.5 and is then expected to stay is stopped behind steeper ones, which never get there."""

    def flat(epoch: int) -> float:
        return 0.5

    def promising(epoch: int) -> float:
        return max(0.55, 2.0 / epoch)

    curves = dict.fromkeys(TRIALS, promising) | {"t15": flat}
    rounds = _play(halving(TRIALS, lambda _: _length(27), factor=8, grace_period=3), curves)
    assert "t15" in rounds[1].stopped
    assert rounds[-1].targets == {"t15": 27}, "it is better than the best at the end"


def test_a_trial_that_diverges_or_fails_is_not_promoted() -> None:
    """However low its first epochs were."""
    curves = _levels(list(TRIALS))
    curves["t00"] = lambda epoch: 0.001 if epoch < 3 else float("nan")
    rounds = _play(halving(TRIALS, lambda _: _length(12), factor=2, grace_period=3), curves)
    assert all("t00" not in asked.targets for asked in rounds[1:])


def test_trials_of_other_lengths_have_rungs_in_proportion() -> None:
    """A batch size twice as large has epochs half as long, and as many steps."""
    lengths = {c: _length(40 if n % 2 else 80) for n, c in enumerate(TRIALS.values())}
    rounds = _play(halving(TRIALS, lambda c: lengths[c], factor=2, grace_period=10), _levels(list(TRIALS)))
    assert set(rounds[0].targets.values()) == {10, 5}
    assert set(rounds[-1].targets.values()) <= {80, 40}


@pytest.mark.parametrize("budget", [3, 7, 48, 100, 150, 10**6])
def test_a_bounded_search_keeps_to_its_fold_epochs(budget: int) -> None:
    """It trains no more epochs than there are, and with more of them it goes on from where it was."""
    bound = bounded(
        halving(TRIALS, lambda _: _length(27), factor=2, grace_period=3),
        max_fold_epochs=budget, n_folds=3,
    )  # fmt: skip
    rounds = _play(bound, _levels(list(TRIALS)))
    reached: dict[str, int] = {}
    for asked in rounds:
        assert all(epoch > reached.get(t, 0) for t, epoch in asked.targets.items())
        reached |= asked.targets
    assert 3 * sum(reached.values()) <= budget
    assert reached or budget < 3
    free = _play(halving(TRIALS, lambda _: _length(27), factor=2, grace_period=3), _levels(list(TRIALS)))
    assert [asked.targets for asked in rounds[:-1]] == [asked.targets for asked in free[: len(rounds) - 1]]


def test_a_budget_for_less_than_an_epoch_of_all_goes_to_the_smallest() -> None:
    """So there is always something to choose from."""
    bound = bounded(one_round(TRIALS, lambda _: _length(9)), max_fold_epochs=9, n_folds=3)
    (asked,) = _play(bound, _levels(list(TRIALS)))
    assert asked.targets == {"t00": 1, "t01": 1, "t02": 1}


def test_the_best_that_finished_are_repeated() -> None:
    """And not who was stopped at a lower error of an earlier epoch, nor who diverged."""
    trained = halving(TRIALS, lambda _: _length(12), factor=2, grace_period=3)
    rounds = _play(repeated(trained, lambda _: _length(12), 1), _levels(list(TRIALS)))
    assert rounds[-1].repeats
    assert rounds[-1].targets == {"t00": 12}
    everyone = _play(
        repeated(one_round(TRIALS, lambda _: _length(2)), lambda _: _length(2), None), _levels(list(TRIALS))
    )
    assert everyone[-1].targets == dict.fromkeys(TRIALS, 2)
