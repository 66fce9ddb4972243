"""The affine map to the units that models are trained in."""

import numpy as np
import pytest
from sklearn.preprocessing import RobustScaler, StandardScaler

import ae_model.scaling
from ae_model import Scaling, UserError, fit_scaling


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


def table(seed: int, n: int = 501) -> np.ndarray:
    """Columns of many sizes and shapes, the last two a sparse count and a constant."""
    rng = np.random.default_rng(seed)
    columns = [rng.normal(1e6, 3, n), rng.lognormal(0, 2, n), rng.uniform(-1e-6, 0, n), rng.standard_t(3, n)]
    return np.column_stack([*columns, rng.poisson(0.1, n), np.full(n, -7.3)]).astype(np.float32)


@pytest.mark.parametrize("block", [1, 300, 2**19], ids=["row by row", "several", "at once"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
@pytest.mark.parametrize(("kind", "scaler"), [("standard", StandardScaler()), ("robust", RobustScaler())])
def test_the_same_as_scikit_learn(
    kind: str, scaler: StandardScaler | RobustScaler, dtype: type, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On every column that its scaler knows a spread of, in however many blocks the values are read."""
    monkeypatch.setattr(ae_model.scaling, "_BLOCK", block)
    values = table(0) if dtype != np.uint8 else np.random.default_rng(0).integers(0, 256, (301, 7))
    values = values.astype(dtype)
    new = values[:40] * 2 if dtype != np.uint8 else values[:40]
    expected = scaler.fit(values.astype(np.float64)).transform(new.astype(np.float64))
    got = fit_scaling(values, scaling=kind).transform(new)
    same = slice(None) if kind == "standard" or dtype == np.uint8 else [0, 1, 2, 3, 5]
    np.testing.assert_allclose(got[:, same], expected[:, same], rtol=1e-9, atol=1e-9)


def test_sparse_counts_have_their_standard_deviation() -> None:
    """Where more than three quarters are one value, the quartiles say nothing of those that are not."""
    values = table(1)[:, [4]]
    scaling = fit_scaling(values, scaling="robust")
    assert np.percentile(values, 75) == 0
    np.testing.assert_allclose(scaling.scale, 1 / values.astype(np.float64).std(axis=0))
    np.testing.assert_allclose(scaling.shift, 0, err_msg="about the median")


def test_one_huge_value_leaves_the_quartiles_alone() -> None:
    """The spread of the others is no rounding error beside it."""
    values = np.random.default_rng(0).normal(size=(100, 1)).astype(np.float32)
    values[3] = 1e30
    scaling = fit_scaling(values, scaling="robust")
    np.testing.assert_allclose(scaling.scale, 1 / np.subtract(*np.percentile(values.astype(float), (75, 25))))


@pytest.mark.parametrize("kind", ["standard", "robust"])
@pytest.mark.parametrize("value", [0.0, 0.1, -7.3, 1e9, -3e38, 1e-30])
def test_rounding_is_no_variation(kind: str, value: float) -> None:
    """A column that moves by one float32 step is mapped to nearly 0 and back; one that never moves, to exactly 0."""
    constant = np.full((1000, 1), value, np.float32)
    noisy = constant.copy()
    noisy[::3] = np.nextafter(noisy[::3], np.float32(0))
    for column in (constant, noisy):
        scaling = fit_scaling(column, scaling=kind)
        assert np.abs(scaling.transform(noisy)).max() <= 0.02
        assert 0 < scaling.scale[0] <= 1
        np.testing.assert_allclose(scaling.inverse(scaling.transform(noisy)), noisy, rtol=1e-12, atol=1e-12)
    assert (fit_scaling(constant, scaling=kind).transform(constant) == 0).all()
    far = np.float32(value) + 10 * np.spacing(np.float32(value)) * np.random.default_rng(0).integers(-1, 2, (1000, 1))
    if value:
        scaled = fit_scaling(far.astype(np.float32), scaling="standard").transform(far.astype(np.float32))
        np.testing.assert_allclose(scaled.std(), 1, rtol=1e-6, err_msg="ten steps are variation")


def test_a_large_mean_does_not_swallow_a_small_spread() -> None:
    """The textbook's mean of squares minus squared mean would give 0, or less."""
    values = (1e9 + np.random.default_rng(0).normal(size=(10_000, 1))).astype(np.float64)
    np.testing.assert_allclose(fit_scaling(values, scaling="standard").scale, 1 / values.std(axis=0), rtol=1e-12)


@pytest.mark.parametrize("value_range", [None, (0.0, 255.0)])
def test_none_leaves_values_as_they_are(value_range: tuple[float, float] | None) -> None:
    """Constant features too, and whatever their range."""
    values = np.array([[3, 200], [3, 7]], np.uint8)
    assert fit_scaling(values, value_range, "none").transform(values).tolist() == values.tolist()


@pytest.mark.parametrize("kind", ["standard", "robust"])
def test_only_the_range_knows_of_limits(kind: str) -> None:
    """A spread is one that was observed."""
    values = np.random.default_rng(0).integers(0, 256, (50, 3)).astype(np.uint8)
    fixed, observed = fit_scaling(values, (0.0, 255.0), kind), fit_scaling(values, scaling=kind)
    assert (fixed.scale.tolist(), fixed.shift.tolist()) == (observed.scale.tolist(), observed.shift.tolist())


def test_a_kind_that_is_none() -> None:
    """The message names the argument, and all there are."""
    with pytest.raises(
        UserError, match="scaling must be one of range, standard, robust, none, but is 'minmax'"
    ) as caught:
        fit_scaling(np.ones((2, 2)), scaling="minmax")
    assert caught.value.argument == "scaling"


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.int64])
def test_many_rows_are_scaled_as_all_at_once(dtype: type) -> None:
    """A few rows at a time, into an array of another type: NumPy's numbers for the whole, to the bit."""
    values = np.random.default_rng(0).integers(0, 255, (1001, 300)).astype(dtype)
    scaling = Scaling(scale=np.linspace(0.01, 3, 300), shift=np.linspace(-1, 1, 300))
    out = np.empty(values.shape, np.float32)
    assert scaling.transform(values, out=out) is out
    np.testing.assert_array_equal(out, (values * scaling.scale + scaling.shift).astype(np.float32))
    np.testing.assert_array_equal(scaling.inverse(values.astype(np.float64)), (values - scaling.shift) / scaling.scale)
    scaling.inverse(out, out=out)
    np.testing.assert_allclose(out, values, rtol=1e-4, atol=1e-3)
