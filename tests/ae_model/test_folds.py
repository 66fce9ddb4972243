"""Folds, and the scaling that each fits on its training rows."""

import numpy as np
import pytest

from ae_model import fit_scaling, make_folds
from ae_model.folds import fold_scalings


@pytest.mark.parametrize(("n_samples", "n_splits"), [(10, 2), (10, 10), (161, 5), (10_007, 7)])
def test_folds_partition_the_samples(n_samples: int, n_splits: int) -> None:
    """Validation parts are disjoint and complete, sizes differ by one at most, training is the rest."""
    folds = make_folds(n_samples, n_splits, seed=0)
    assert len(folds) == n_splits
    np.testing.assert_array_equal(np.sort(np.concatenate([fold.validation for fold in folds])), np.arange(n_samples))
    sizes = [len(fold.validation) for fold in folds]
    assert max(sizes) - min(sizes) <= 1
    for fold in folds:
        np.testing.assert_array_equal(np.sort(np.append(fold.train, fold.validation)), np.arange(n_samples))


def test_folds_are_shuffled_by_their_seed() -> None:
    """Equal seeds give equal folds, other seeds others."""
    first, again, other = (make_folds(50, 5, seed)[0].validation for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert set(first) != set(other)
    assert set(first) != set(range(10))


@pytest.mark.parametrize(("n_samples", "n_splits"), [(5, 1), (5, 0), (5, 6), (1, 2), (0, 2)])
def test_impossible_folds_are_refused(n_samples: int, n_splits: int) -> None:
    """The message holds rule, values and remedy."""
    message = rf'"2 <= n_splits <= n_samples" must hold, but got n_splits={n_splits}, n_samples={n_samples}\. Change'
    with pytest.raises(ValueError, match=message):
        make_folds(n_samples, n_splits, seed=0)


@pytest.mark.parametrize("wild", [1e30, -3.4e38])
def test_scaling_of_a_fold_sees_none_of_its_validation_rows(wild: float) -> None:
    """Wild values there leave it as it was, to the bit; without them it is that of the training rows."""
    values = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    folds = make_folds(50, 4, seed=0)
    for k, fold in enumerate(folds):
        changed = values.copy()
        changed[fold.validation] = wild
        for scaling in (fold_scalings(values, folds, None)[k], fold_scalings(changed, folds, None)[k]):
            expected = fit_scaling(values[fold.train])
            np.testing.assert_array_equal(scaling.scale, expected.scale)
            np.testing.assert_array_equal(scaling.shift, expected.shift)


@pytest.mark.parametrize("kind", ["standard", "robust"])
def test_other_kinds_are_of_the_training_rows_too(kind: str) -> None:
    """Whether there are fixed limits or not: only the range uses them."""
    values = np.random.default_rng(0).integers(0, 256, (50, 3)).astype(np.uint8)
    folds = make_folds(50, 4, seed=0)
    for limits in (None, (0.0, 255.0)):
        for fold, scaling in zip(folds, fold_scalings(values, folds, limits, kind), strict=True):
            expected = fit_scaling(values[fold.train], scaling=kind)
            np.testing.assert_array_equal(scaling.scale, expected.scale)
            np.testing.assert_array_equal(scaling.shift, expected.shift)


def test_own_units_are_one_scaling_for_all_folds() -> None:
    """One and the same object, that changes nothing."""
    first, *others = fold_scalings(np.ones((10, 3), np.float32), make_folds(10, 3, seed=0), None, "none")
    assert all(other is first for other in others)
    assert first.transform(np.array([[5.0, 0.1, -1]])).tolist() == [[5.0, 0.1, -1]]


def test_a_fixed_range_is_one_scaling_for_all_folds() -> None:
    """One and the same object, so that it is stored once."""
    first, *others = fold_scalings(np.zeros((10, 3), np.uint8), make_folds(10, 3, seed=0), (0.0, 255.0))
    assert all(other is first for other in others)
    np.testing.assert_allclose(first.transform(np.array([[0, 51, 255]], np.uint8)), [[-1, -0.6, 1]], rtol=1e-12)
