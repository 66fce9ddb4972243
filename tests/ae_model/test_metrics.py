"""Metrics against numbers worked out by hand."""

import math

import numpy as np
import pytest

from ae_model.metrics import dead_code_units, fve, mse, psnr

X = np.array([[1.0, 2.0], [3.0, 6.0]])
MEAN = np.array([2.0, 4.0])


def test_mse_is_the_mean_over_samples_and_features() -> None:
    """(0 + 1 + 4 + 9) / 4 = 3.5."""
    assert mse(X, X + np.array([[0.0, 1.0], [2.0, -3.0]])) == 3.5


def test_mse_of_float32_is_summed_in_float64() -> None:
    """Errors of 1e-4 among values of 1e3 keep their digits when a million of them are averaged."""
    x = np.zeros((1000, 1000), np.float32)
    assert mse(x, x + np.float32(1e-4)) == pytest.approx(float(np.float32(1e-4)) ** 2, rel=1e-12)


@pytest.mark.parametrize(
    ("reconstruction", "expected"),
    [
        pytest.param(X, 1.0, id="perfect"),
        pytest.param(np.broadcast_to(MEAN, (2, 2)), 0.0, id="training mean"),
        pytest.param(X + 1, 0.6, id="1 - 4 / 10"),
        pytest.param(X + 5, -9.0, id="worse than the mean"),
    ],
)
def test_fve_is_one_minus_sse_over_sst(reconstruction: np.ndarray, expected: float) -> None:
    """SST about the training mean is 1 + 4 + 1 + 4 = 10."""
    assert fve(X, reconstruction, MEAN) == pytest.approx(expected, rel=1e-12)


def test_fve_takes_the_training_mean_not_the_samples_own() -> None:
    """About the mean (0, 0), SST is 1 + 4 + 9 + 36 = 50."""
    assert fve(X, X + 1, np.zeros(2)) == pytest.approx(1 - 4 / 50, rel=1e-12)


def test_fve_of_samples_that_equal_the_training_mean_is_nan() -> None:
    """There is no variance to explain, whatever the reconstruction."""
    x = np.broadcast_to(MEAN, (3, 2))
    assert math.isnan(fve(x, x, MEAN))
    assert math.isnan(fve(x, x + 1, MEAN))


@pytest.mark.parametrize(("error", "expected"), [(4.0, 0.0), (0.04, 20.0), (0.0, math.inf), (math.inf, -math.inf)])
def test_psnr_is_in_db_about_a_peak_of_two(error: float, expected: float) -> None:
    """10 log10(4 / mse); infinite at mse 0, and minus infinity, without a warning, where a model overflowed."""
    assert psnr(error) == pytest.approx(expected)


def test_psnr_of_a_diverged_model_is_nan() -> None:
    """An error that is not a number is no perfect reconstruction."""
    assert math.isnan(psnr(math.nan))


def test_dead_code_units_are_zero_for_every_sample() -> None:
    """Units 0 and 3 are dead (minus zero is zero); one sample suffices to be alive."""
    code = np.array([[0.0, 0.0, 1.0, -0.0], [0.0, 1e-30, 1.0, 0.0]])
    assert dead_code_units(code) == 2
