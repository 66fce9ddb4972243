"""Forecasts of curves, and the trials that survive by them."""

import math
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ae_model.patience import START_GAIN
from search.forecast import HORIZON, forecast, lowest
from search.tables import ROUNDING

LAST = 81
values = st.floats(1e-6, 1e3)
curves = st.lists(values, min_size=1, max_size=30).map(np.array)
some_curves = st.dictionaries(st.text("abcdef", min_size=1, max_size=3), curves, min_size=1, max_size=12)


def chosen(by_trial: Mapping[str, np.ndarray], n: int) -> list[str]:
    """The survivors of random starts that are to reach the same epoch."""
    return lowest({t: forecast(curve, 1, LAST) for t, curve in by_trial.items()}, n)


@pytest.mark.parametrize("exponent", [-0.1, -0.7, -2.0])
@pytest.mark.parametrize("reached", [3, 8, 27])
def test_a_power_law_is_drawn_on(exponent: float, reached: int) -> None:
    """To its own value at `HORIZON` times its epochs, whatever its first half was; not beyond its last epoch."""
    curve = np.arange(1.0, reached + 1) ** exponent
    curve[: reached // 2] = 1e3
    assert forecast(curve, 1, 1000) == pytest.approx((HORIZON * reached) ** exponent)
    assert forecast(curve, 1, reached + 1) == pytest.approx((reached + 1) ** exponent)


def test_the_slope_is_that_of_the_least_squares_line() -> None:
    """NumPy's, through the logarithms of the second half."""
    curve = 1 / np.sqrt(np.arange(1, 25)) + 0.02 * np.random.default_rng(0).normal(size=24)
    slope, _ = np.polyfit(np.log(np.arange(13, 25)), np.log(curve[12:]), 1)
    assert forecast(curve, 1, LAST) == pytest.approx(curve[-1] * HORIZON**slope)


@given(curves, st.integers(0, 1))
def test_a_forecast_is_not_above_the_present_value(curve: np.ndarray, first_epoch: int) -> None:
    """A curve that rises is taken to stay where it is; one that falls does not fall below 0."""
    assert 0 <= forecast(curve, first_epoch, LAST) <= curve[-1]


@given(curves, st.floats(0.1, 10))
def test_units_do_not_matter(curve: np.ndarray, factor: float) -> None:
    """A curve in other units has its forecast in these units."""
    assert forecast(factor * curve, 1, LAST) == pytest.approx(factor * forecast(curve, 1, LAST), rel=1e-6)


@given(curves)
def test_who_has_ended_is_as_good_as_the_best_epoch(curve: np.ndarray) -> None:
    """Training cannot lower its error any more; a start counts as lower than it is."""
    assert forecast(curve, 1, len(curve)) == curve.min()
    assert forecast(curve, 0, len(curve) - 1) == min([(1 - START_GAIN) * curve[0], *curve[1:]])


def test_a_start_has_no_slope() -> None:
    """Epoch 0, whose logarithm there is not, is no part of the line."""
    assert forecast(np.array([2.0]), 0, LAST) == 2.0
    assert forecast(np.array([2.0, 1.5]), 0, LAST) == 1.5
    assert forecast(np.array([9.0, 1.0, 0.5]), 0, LAST) == forecast(np.array([1.0, 0.5]), 1, LAST)


def test_an_mse_of_zero_is_its_own_forecast() -> None:
    """It has no logarithm, and nothing is lower."""
    assert forecast(np.zeros(6), 1, LAST) == 0.0


@given(some_curves, st.integers(1, 12), st.randoms(use_true_random=False))
def test_the_order_of_the_trials_does_not_matter(by_trial: dict[str, np.ndarray], n: int, chance: object) -> None:
    """The same trials survive in whatever order they are given."""
    shuffled = list(by_trial.items())
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert chosen(dict(shuffled), n) == chosen(by_trial, n)


@given(some_curves, st.integers(1, 11))
def test_more_places_only_add_survivors(by_trial: dict[str, np.ndarray], n: int) -> None:
    """Who is among the best n is among the best n + 1, and no stopped trial's forecast is lower than a survivor's."""
    few = chosen(by_trial, n)
    assert chosen(by_trial, n + 1)[: len(few)] == few
    assert len(few) == min(n, len(by_trial))
    forecasts = {t: forecast(curve, 1, LAST) for t, curve in by_trial.items()}
    worst = max(forecasts[t] for t in few)
    assert all(forecasts[t] * (1 + 2 * ROUNDING) >= worst for t in set(by_trial) - set(few))


@given(some_curves, st.integers(1, 12), st.sampled_from([math.nan, math.inf]))
def test_a_diverged_trial_never_survives(by_trial: dict[str, np.ndarray], n: int, value: float) -> None:
    """However low it was before, and even if its place stays empty."""
    by_trial = {f"{t}-": curve for t, curve in by_trial.items()} | {"a": np.array([1e-9, value])}
    assert "a" not in chosen(by_trial, n)
    assert chosen({"a": by_trial["a"]}, n) == []


@given(some_curves, st.data())
def test_a_lower_curve_does_not_lose_its_place(by_trial: dict[str, np.ndarray], data: st.DataObject) -> None:
    """A survivor that were better by a constant factor would survive as well."""
    n = data.draw(st.integers(1, len(by_trial)))
    trial = data.draw(st.sampled_from(chosen(by_trial, n)))
    assert trial in chosen({**by_trial, trial: by_trial[trial] * 0.5}, n)


def test_equals_are_chosen_by_their_ids() -> None:
    """Curves that differ by rounding, as those of all that do not leave PCA; a difference beyond it decides."""
    flat = np.ones(3)
    by_trial = {"c": flat * (1 - 0.9 * ROUNDING), "b": flat, "a": flat * (1 + 0.05 * ROUNDING), "d": flat * 0.9}
    assert chosen(by_trial, 3) == ["d", "a", "b"]


def test_trials_of_other_lengths_are_compared() -> None:
    """Rungs are proportional: each curve is drawn on by its own epochs."""
    by_trial = {"short": np.array([1.0, 0.5]), "long": np.arange(1.0, 11) ** -0.5}
    assert lowest({"short": forecast(by_trial["short"], 1, 20), "long": forecast(by_trial["long"], 1, 100)}, 1) == [
        "long"
    ]
    assert lowest({"short": forecast(by_trial["short"], 1, 20), "long": forecast(by_trial["long"], 1, 10)}, 1) == [
        "long"
    ]


def test_a_steep_start_beats_a_flat_one_that_is_lower() -> None:
    """What plain halving, by the present value, would lose."""
    by_trial = {"flat": np.full(12, 0.9), "steep": 10 * np.arange(1.0, 13) ** -0.95}
    assert by_trial["steep"][-1] > by_trial["flat"][-1]
    assert chosen(by_trial, 1) == ["steep"]


def test_a_curve_that_has_turned_up_makes_way() -> None:
    """Its lowest value is known; more epochs would not lower it."""
    turned = np.array([1.0, 0.5, 0.4, 0.6, 0.7, 0.8])
    assert chosen({"turned": turned, "falling": np.linspace(1.0, 0.6, 6)}, 1) == ["falling"]
