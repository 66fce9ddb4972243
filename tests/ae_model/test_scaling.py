"""The affine map to [-1, 1]."""

import numpy as np
import pytest

from ae_model import Scaling, fit_scaling


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.uint8])
def test_observed_range_becomes_minus_one_to_one(dtype: type) -> None:
    """Feature by feature, whatever the dtype."""
    values = np.array([[0, 10, 3], [5, 20, 4], [10, 15, 200]], dtype)
    scaled = fit_scaling(values).transform(values)
    np.testing.assert_allclose(scaled.min(axis=0), -1, rtol=1e-12)
    np.testing.assert_allclose(scaled.max(axis=0), 1, rtol=1e-12)
    np.testing.assert_allclose(scaled[1], [0, 1, 2 / 197 - 1], atol=1e-12)


def test_a_fixed_range_wins_over_what_was_observed() -> None:
    """Images take the range of their kind: 0 -> -1, 255 -> 1, also where neither occurs."""
    scaling = fit_scaling(np.full((3, 2), 100, np.uint8), (0.0, 255.0))
    np.testing.assert_allclose(scaling.transform(np.array([[0, 255]], np.uint8)), [[-1, 1]], rtol=1e-12)
    assert scaling.scale.tolist() == [2 / 255] * 2


def test_a_constant_feature_is_mapped_to_zero() -> None:
    """And back to its value; other rows keep their distance from it."""
    scaling = fit_scaling(np.array([[7.0, 1.0], [7.0, 2.0]]))
    assert scaling.transform(np.array([[7.0, 1.5]])).tolist() == [[0.0, 0.0]]
    assert scaling.inverse(np.array([[0.0, 0.0]])).tolist() == [[7.0, 1.5]]


def test_inverse_undoes_transform() -> None:
    """Also outside the fitted range, and for features of very different size."""
    rng = np.random.default_rng(0)
    magnitudes = np.array([1e-6, 1.0, 1e3, 1e6])
    scaling = fit_scaling(rng.normal(size=(20, 4)) * magnitudes + magnitudes)
    values = 10 * rng.normal(size=(50, 4)) * magnitudes
    np.testing.assert_allclose(scaling.inverse(scaling.transform(values)), values, rtol=1e-9, atol=1e-18)


def test_widest_float32_range_does_not_overflow() -> None:
    """The arithmetic is float64's."""
    values = np.array([[-3e38], [3e38]], np.float32)
    np.testing.assert_allclose(fit_scaling(values).transform(values), [[-1], [1]])


def test_result_is_float64() -> None:
    """As the record says, for every input dtype."""
    scaling = fit_scaling(np.array([[1, 2], [3, 4]], np.uint8))
    assert isinstance(scaling, Scaling)
    assert scaling.scale.dtype == scaling.shift.dtype == np.float64
    assert scaling.transform(np.array([[1.0, 2.0]], np.float32)).dtype == np.float64
