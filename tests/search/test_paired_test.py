"""search.paired_test: the corrected test against its formula, for one row and for many."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from search.paired_test import (
    SIGNIFICANCE,
    corrected_half_widths,
    corrected_p_value,
    corrected_p_values,
    differences_from_pca,
    p_value_of_repeats,
    standard_errors_of_means,
)


@given(d=hnp.arrays(np.float64, st.integers(2, 12), elements=st.integers(-1000, 1000).map(float)))
def test_the_corrected_p_value_is_that_of_the_formula(p_by_hand: Callable[[np.ndarray], float], d: np.ndarray) -> None:
    """For any differences it is the formula's; it has no sign and no unit, and is above the plain paired t-test's."""
    p_value = corrected_p_value(d)
    np.testing.assert_allclose(p_value, p_by_hand(d), atol=1e-12)
    assert 0 <= p_value <= 1
    np.testing.assert_allclose(corrected_p_value(-d), p_value)
    np.testing.assert_allclose(corrected_p_value(d * 1024), p_value)
    if d.std() > 0:
        assert p_value >= stats.ttest_1samp(d, 0).pvalue - 1e-12


def test_a_p_value_from_the_table() -> None:
    """Five differences with t = 2.776 after the correction have p = 0.05 (Student's table, 4 degrees of freedom)."""
    d = np.array([-1.0, 0.0, 0.0, 0.0, 1.0])
    scale = np.sqrt((1 / 5 + 1 / 4) * d.var(ddof=1))
    np.testing.assert_allclose(corrected_p_value(d + 2.776445 * scale), 0.05, atol=1e-6)


@pytest.mark.parametrize(("difference", "p_value"), [(0.0, 1.0), (0.5, 0.0), (-0.5, 0.0)])
def test_differences_that_do_not_vary(difference: float, p_value: float) -> None:
    """Equal trials are tied for sure; a constant difference is certain."""
    assert corrected_p_value(np.full(5, difference)) == p_value


@given(
    d=hnp.arrays(np.float64, st.tuples(st.integers(0, 9), st.integers(2, 6)), elements=st.integers(-9, 9).map(float))
)
def test_many_rows_are_one_after_the_other(d: np.ndarray) -> None:
    """All rows at once give, to the bit, what each gives alone, in whatever order they lie in memory."""
    alone = [corrected_p_value(row) for row in d]
    np.testing.assert_array_equal(corrected_p_values(d), alone)
    np.testing.assert_array_equal(corrected_p_values(np.asfortranarray(d)), alone)


def test_what_cannot_be_tested() -> None:
    """A missing difference, or a single fold, has no p-value; differences near the largest float warn of nothing."""
    assert np.isnan(corrected_p_values(np.array([[1.0, np.nan, 2.0]]))).all()
    assert np.isnan(corrected_p_values(np.ones((2, 1)))).all()
    assert corrected_p_values(np.zeros((0, 1))).shape == (0,)
    assert corrected_p_value(np.array([1e300, -1e300, 1e300])) > SIGNIFICANCE


@pytest.mark.parametrize("k", [2, 3, 5, 10])
def test_the_interval_ends_at_zero_where_the_p_value_is_at_the_level(k: int) -> None:
    """Differences whose mean is just beyond the half width are significant, and those just within are not."""
    d = np.random.default_rng(k).normal(size=k)
    d -= d.mean()
    half = corrected_half_widths(d[np.newaxis])[0]
    assert corrected_p_value(d + 1.001 * half) < SIGNIFICANCE < corrected_p_value(d + 0.999 * half)


def test_rounding_is_no_difference_from_pca() -> None:
    """What differs by the rounding of float32 is equal; what differs by more keeps its difference, to the bit."""
    pca = np.array([[0.25, 0.5, 0.75], [0.25, 0.5, 0.75], [0.0, 1e-15, 1e-14]])
    val = np.array([[0.25, 0.5, 0.75], [0.25, 0.5, 0.75], [1e-14, 1e-14, 1e-13]]) * [
        [1 + 1e-7], [1.01], [1.0]
    ]  # fmt: skip
    differences = differences_from_pca(val, pca)
    np.testing.assert_array_equal(differences[[0, 2]], 0)
    np.testing.assert_array_equal(differences[1], val[1] - pca[1])
    assert corrected_p_values(differences)[0] == 1
    assert np.isnan(differences_from_pca(np.full((1, 2), 0.5), np.full((1, 2), np.nan))).all()


@given(data=st.data(), k=st.integers(2, 6), r=st.integers(1, 4))
def test_the_test_of_repeats_is_that_of_the_formula(data: st.DataObject, k: int, r: int) -> None:
    """Over r times k folds: t = m / sqrt((1/(rk) + n2/n1) s^2) with rk - 1 degrees of freedom (Bouckaert and Frank)."""
    d = data.draw(hnp.arrays(np.float64, r * k, elements=st.integers(-1000, 1000).map(float)))
    n1, n2 = 100 * (k - 1), 100
    variance = sum((x - sum(d) / (r * k)) ** 2 for x in d) / (r * k - 1)
    error = ((1 / (r * k) + n2 / n1) * variance) ** 0.5
    constant = np.all(d == d[0])
    expected = float(d[0] == 0) if constant else 2 * stats.t.sf(abs(sum(d) / (r * k) / error), r * k - 1)
    np.testing.assert_allclose(corrected_p_value(d, r), expected, atol=1e-12)
    width = corrected_half_widths(d[np.newaxis], r)[0]
    np.testing.assert_allclose(width, stats.t.ppf(0.975, r * k - 1) * error, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("p_value", [0.01, 0.05, 0.2, 0.9])
def test_what_repeats_would_make_of_a_p_value(p_value: float) -> None:
    """It is the p-value of three times as many folds that have the same mean and variance of the differences."""
    d = np.random.default_rng(0).normal(size=5)
    d = (d - d.mean()) / d.std(ddof=1)
    once = d - stats.t.ppf(p_value / 2, 4) * np.sqrt(1 / 5 + 1 / 4)
    np.testing.assert_allclose(corrected_p_value(once), p_value)
    more = np.tile(d, 3)
    more = more / more.std(ddof=1) + once.mean()
    np.testing.assert_allclose(p_value_of_repeats(p_value, 5, 3), corrected_p_value(more, 3))
    np.testing.assert_allclose(p_value_of_repeats(p_value, 5, 1), p_value)


def test_the_error_of_a_mean_over_repeats() -> None:
    """It is the root mean square of the repeats' own; of one cross-validation std / sqrt(k), to the bit."""
    values = np.random.default_rng(1).random((4, 15))
    np.testing.assert_array_equal(standard_errors_of_means(values), values.std(axis=1, ddof=1) / np.sqrt(15))
    for row, error in zip(values, standard_errors_of_means(values, 3), strict=True):
        single = [stats.sem(row[5 * repeat : 5 * repeat + 5]) for repeat in range(3)]
        np.testing.assert_allclose(error, np.sqrt(np.mean(np.square(single))))
    assert np.isnan(standard_errors_of_means(np.ones((2, 1)))).all()


@pytest.mark.parametrize("repeats", [1, 2, 5])
def test_the_error_of_a_mean_is_its_spread_between_data_sets(repeats: int) -> None:
    """Cross-validated on 400 data sets, estimates spread as their errors say; std / sqrt(rk) would say far less.

    What is cross-validated is the mean of 40 skewed samples, whose squared errors vary as those of a model do.
    """
    k, n = 5, 40
    generator = np.random.default_rng(repeats)
    means, errors, shrinking = [], [], []
    for _ in range(400):
        x = generator.exponential(size=n)
        folds = []
        for _ in range(repeats):
            for fold in np.split(generator.permutation(n), k):
                train = np.delete(x, fold)
                folds.append(np.mean((x[fold] - train.mean()) ** 2))
        values = np.array([folds])
        means.append(values.mean())
        errors.append(standard_errors_of_means(values, repeats)[0])
        shrinking.append(stats.sem(folds))
    spread = np.std(means, ddof=1)
    assert 0.85 < spread / np.sqrt(np.mean(np.square(errors))) < 1.2
    if repeats == 5:
        assert spread / np.sqrt(np.mean(np.square(shrinking))) > 1.8


def test_equal_models_are_seldom_told_apart() -> None:
    """Of two regressions on equally good features the repeated test finds one better as seldom as it says, or rarer.

    A plain t-test over the same fifteen differences finds it in over a quarter of the data sets: their training sets
    overlap.
    """
    n, k, repeats, n_sets = 60, 5, 3, 200
    generator = np.random.default_rng(0)
    differences = np.zeros((n_sets, repeats * k))
    for of_set in differences:
        x = generator.normal(size=(n, 8))
        y = x @ np.full(8, 0.5) + generator.normal(size=n)
        folds = [fold for _ in range(repeats) for fold in np.split(generator.permutation(n), k)]
        for number, fold in enumerate(folds):
            train = np.setdiff1d(np.arange(n), fold)
            errors = [
                np.mean((x[fold, half] @ np.linalg.lstsq(x[train, half], y[train])[0] - y[fold]) ** 2)
                for half in (slice(4), slice(4, 8))
            ]
            of_set[number] = errors[0] - errors[1]
    assert np.mean(corrected_p_values(differences, repeats) <= SIGNIFICANCE) < 0.08
    assert np.mean(stats.ttest_1samp(differences, 0, axis=1).pvalue <= SIGNIFICANCE) > 0.2
