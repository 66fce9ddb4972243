"""ae_model.anomalies: what is promised of false alarms holds, by simulation and by SciPy's distributions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ae_model import UserError
from ae_model.anomalies import drift, expected_alarms, p_values, threshold


def test_the_false_alarm_rate_is_the_promised_one() -> None:
    """Over 20,000 draws of usual and new errors, whatever their distribution, as often as `false_alarm_rate` says."""
    generator = np.random.default_rng(0)
    alarms, numbers = [], []
    for _ in range(20_000):
        usual, new = generator.lognormal(sigma=2, size=59), generator.lognormal(sigma=2, size=40)
        at = threshold(usual, 0.05)
        assert at.false_alarm_rate == 3 / 60
        alarms.append((new > at.mse).mean())
        numbers.append((new > at.mse).sum())
    assert abs(np.mean(alarms) - 0.05) < 4 * np.std(alarms) / 20_000**0.5
    mean, low, high = expected_alarms(40, at)
    assert mean == pytest.approx(2)
    assert np.mean(np.array(numbers) < low) <= 0.03
    assert np.mean(np.array(numbers) > high) <= 0.03
    assert np.mean((np.array(numbers) >= low) & (np.array(numbers) <= high)) >= 0.94


@pytest.mark.parametrize(
    ("n_rows", "n_usual", "rate"), [(1, 30, 0.1), (400, 99, 0.01), (5000, 1437, 0.2), (17, 1, 0.5)]
)
def test_expected_alarms_are_beta_binomial(n_rows: int, n_usual: int, rate: float) -> None:
    """Mean and limits are those of SciPy's distribution."""
    at = threshold(np.arange(n_usual, dtype=float), rate)
    by_scipy = stats.betabinom(n_rows, at.n_above, n_usual + 1 - at.n_above)
    mean, low, high = expected_alarms(n_rows, at)
    assert mean == pytest.approx(by_scipy.mean())
    assert (low, high) == (by_scipy.ppf(0.025), by_scipy.ppf(0.975))


def test_expected_alarms_of_a_hundred_million_rows() -> None:
    """Without a distribution over all of them: a tenth, within what a thousand usual errors leave open."""
    at = threshold(np.arange(999, dtype=float), 0.1)
    mean, low, high = expected_alarms(10**8, at)
    assert mean == pytest.approx(1e7)
    by_beta = stats.beta(at.n_above, 1000 - at.n_above).ppf([0.025, 0.975]) * 1e8
    assert (low, high) == pytest.approx(tuple(by_beta), rel=1e-3)


@given(
    usual=st.lists(st.integers(0, 5), min_size=1, max_size=30),
    new=st.lists(st.integers(-1, 6), min_size=1, max_size=10),
    rate=st.floats(0.01, 0.99),
)
def test_alarms_are_small_p_values(usual: list[int], new: list[int], rate: float) -> None:
    """An error is above the threshold exactly where its p-value is at most the rate; ties count as no less usual."""
    errors, mse = np.sort(np.array(usual, float)), np.array(new, float)
    found = p_values(errors, mse)
    np.testing.assert_allclose(found, [(1 + sum(u >= e for u in usual)) / (len(usual) + 1) for e in new])
    if rate * (len(usual) + 1) < 1:
        with pytest.raises(UserError, match="false_alarm_rate must be at least"):
            threshold(errors, rate)
        return
    at = threshold(errors, rate)
    assert at.false_alarm_rate <= rate + 1e-9
    np.testing.assert_array_equal(mse > at.mse, found <= at.false_alarm_rate + 1e-9)


def test_rates_that_are_refused() -> None:
    """Outside (0, 1), or of nothing; without one a few rows give the lowest that they can."""
    usual = np.arange(49, dtype=float)
    for rate in (0.0, 1.0, -0.1, float("nan")):
        with pytest.raises(UserError, match="must lie between 0 and 1"):
            threshold(usual, rate)
    with pytest.raises(UserError, match=r"at least 0\.02 with the errors of 49 rows, but is 0\.01"):
        threshold(usual, 0.01)
    with pytest.raises(UserError, match="must not be empty"):
        threshold(np.empty(0))
    assert threshold(usual).false_alarm_rate == 0.02
    assert threshold(usual, 0.02).mse == 48
    assert threshold(np.arange(99, dtype=float), 0.29).n_above == 29  # 0.29 * 100 is less in floating point


def test_drift_is_mann_whitneys() -> None:
    """The probability of a greater error, counted over all pairs, and no drift where there is none."""
    generator = np.random.default_rng(1)
    usual, new = generator.exponential(size=80), generator.exponential(1.5, size=50)
    found = drift(usual, new)
    pairs = np.sign(new[:, None] - usual[None])
    assert found.superiority == pytest.approx((pairs.mean() + 1) / 2)
    p = [drift(generator.random(60), generator.random(40)).p_value for _ in range(400)]
    assert stats.kstest(p, "uniform").pvalue > 1e-3
