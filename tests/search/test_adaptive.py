"""search.adaptive: what is searched next follows from what was found; played here without training."""

from collections.abc import Mapping

import numpy as np
import pytest

from ae_model import Configuration
from ae_model.patience import Patience
from search.adaptive import History, Trials, best_fve, smallest_code_rounds, suggested
from search.ledger import Outcome
from search.lengths import Length
from search.rounds import Outcomes, Round, Rounds, expected_mse, one_round

LENGTH = Length(epochs=2, patience=None)


def _outcome(mse: float, first: int = 1, n: int = 2) -> Outcome:
    values = np.add.outer(np.full(n, mse), [-1e-4, 0.0, 1e-4])
    return Outcome(epochs=np.arange(first, first + n), val_mse=values, val_fve=1 - values)


def _play(rounds: Rounds, mse_of: Mapping[str, float]) -> list[Round]:
    seen: list[Round] = []
    outcomes: Outcomes | None = None
    while True:
        try:
            asked = next(rounds) if outcomes is None else rounds.send(outcomes)
        except StopIteration:
            return seen
        seen.append(asked)
        outcomes = {t: _outcome(mse_of[t]) for t in asked.targets}


def _configuration(width: int) -> Configuration:
    return Configuration(layer_sizes=(64, width, 4))


@pytest.mark.parametrize(("num_samples", "batches"), [(10, [4, 4, 2]), (4, [4]), (None, [4, 4, 4, 4, 4])])
def test_batches_know_what_came_before(num_samples: int | None, batches: list[int]) -> None:
    """Each suggestion is made from all results so far; a diverged trial has none; it ends where nothing is left."""
    histories: list[History] = []

    def suggest(history: History, n: int) -> Trials:
        histories.append(list(history))
        first = len(history)
        return {f"w{w}": _configuration(w + 1) for w in range(first, min(first + n, 20))}

    mse = {f"w{w}": 0.1 * w if w != 3 else float("nan") for w in range(20)}
    rounds = _play(
        suggested(
            suggest, lambda trials: one_round(trials, lambda _: LENGTH), lambda _: LENGTH,
            num_samples=num_samples, batch_trials=4,
        ),
        mse,
    )  # fmt: skip
    assert [len(asked.targets) for asked in rounds] == batches
    assert [len(history) for history in histories[: len(batches)]] == list(np.cumsum([0, *batches[:-1]]))
    if len(batches) > 1:
        assert [value is None for _, value in histories[1]] == [False, False, False, True]
        assert [value for _, value in histories[1][:3]] == pytest.approx([0.0 - 0.0, 0.1, 0.2])


@pytest.mark.parametrize("truth", [1, 5, 23, 40])
def test_every_choice_is_measured_until_the_answer_is_known(truth: int) -> None:
    """The smallest size that reaches the target, and its neighbours; no trial comes up twice."""

    def choices(size: int) -> Trials:
        return {f"{name}{size}": Configuration(layer_sizes=(64, *hidden, size)) for name, hidden in
                (("flat", ()), ("deep", (128,)))}  # fmt: skip

    # The deep ones reach 0.9 at the true size, the flat ones at twice of it.
    mse = {f"deep{size}": 0.1 * truth / size for size in range(1, 64)}
    mse |= {f"flat{size}": 0.1 * 2 * truth / size for size in range(1, 64)}
    rounds = _play(
        smallest_code_rounds(
            choices, lambda trials: one_round(trials, lambda _: LENGTH), targets=[0.9], high=63, guesses=[30]
        ),
        mse,
    )
    asked = [trial for one in rounds for trial in one.targets]
    assert len(asked) == len(set(asked))
    assert {f"deep{truth}", f"deep{truth + 1}"} <= set(asked)
    assert f"deep{truth - 1}" in asked or truth == 1
    assert len(asked) < 2 * 26


def test_the_fve_is_that_of_the_best_epoch() -> None:
    """The start counts as the best unless another epoch is lower by 1 %; what diverged has none."""
    values = np.array([[0.5, 0.5], [0.4, 0.4], [0.45, 0.45]])
    outcome = Outcome(epochs=np.array([1, 2, 3]), val_mse=values, val_fve=1 - values)
    assert best_fve(outcome).tolist() == [0.6, 0.6]
    close = np.array([[0.5, 0.5], [0.499, 0.499]])
    assert best_fve(Outcome(epochs=np.array([0, 1]), val_mse=close, val_fve=1 - close)).tolist() == [0.5, 0.5]
    diverged = np.array([[0.5, np.nan]])
    assert np.isnan(best_fve(Outcome(epochs=np.array([1]), val_mse=diverged, val_fve=1 - diverged))).all()
    nothing = np.empty((0, 2))
    assert np.isnan(best_fve(Outcome(epochs=np.array([], int), val_mse=nothing, val_fve=nothing))).all()


def test_what_lost_its_patience_counts_with_its_lowest_error() -> None:
    """And not with what it would come to if it went on."""
    curve = np.array([1.0, 0.5, 0.25, 0.3, 0.31])[:, np.newaxis]
    outcome = Outcome(epochs=np.arange(1, 6), val_mse=curve, val_fve=1 - curve)
    assert expected_mse(outcome, Length(epochs=50, patience=Patience(epochs=2))) == 0.25
    falling = Outcome(epochs=outcome.epochs[:3], val_mse=curve[:3], val_fve=1 - curve[:3])
    assert expected_mse(falling, Length(epochs=50, patience=None)) < 0.25
    assert expected_mse(falling, Length(epochs=3, patience=None)) == 0.25
