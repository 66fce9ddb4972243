"""PCA's spectrum and reconstruction error against scikit-learn."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.decomposition import PCA

from ae_model import (
    code_size_for,
    explained_variance_ratio,
    fit_scaling,
    load_dataset,
    make_folds,
    pca_baseline,
)
from ae_model.pca import fit_pca, pca_mse


def correlated(n_samples: int, n_features: int) -> np.ndarray:
    """Gaussian samples with a spectrum that falls."""
    rng = np.random.default_rng(1)
    return rng.normal(size=(n_samples, n_features)) @ rng.normal(size=(n_features, n_features))


@pytest.mark.parametrize(("n_samples", "n_features"), [(60, 9), (6, 9)], ids=["tall", "wide"])
def test_ratio_equals_scikit_learns_on_scaled_samples(n_samples: int, n_features: int) -> None:
    """Whichever solver is chosen for the shape."""
    values = correlated(n_samples, n_features)
    scaling = fit_scaling(values)
    expected = PCA(svd_solver="full").fit(scaling.transform(values)).explained_variance_ratio_
    np.testing.assert_allclose(explained_variance_ratio(values, scaling), expected, rtol=1e-9, atol=1e-12)


def test_ratio_of_samples_that_do_not_vary_is_refused() -> None:
    """There is no spectrum of equal samples."""
    values = np.ones((5, 3))
    with pytest.raises(ValueError, match="samples must vary, but all of them are equal"):
        explained_variance_ratio(values, fit_scaling(values))


@pytest.mark.parametrize(
    ("explained_variance", "expected"),
    [(0.01, 1), (0.5, 1), (0.51, 2), (0.8, 2), (0.9, 3), (0.95, 4), (1.0, 4)],
)
def test_code_size_is_the_smallest_that_explains_enough(explained_variance: float, expected: int) -> None:
    """Cumulative 0.5, 0.8, 0.9, 1.0: reaching a bound exactly is enough."""
    assert code_size_for(explained_variance, np.array([0.5, 0.3, 0.1, 0.1])) == expected


def test_code_size_is_at_most_the_number_of_components() -> None:
    """Even where rounding leaves the full sum under 1."""
    assert code_size_for(1.0, np.array([0.6, 0.3, 0.1 - 1e-9])) == 3


def test_code_size_never_grows_when_less_is_asked() -> None:
    """It rises with the fraction, and one component less explains too little."""
    ratio = np.sort(np.random.default_rng(2).dirichlet(np.ones(12)))[::-1]
    fractions = np.linspace(0.01, 0.99, 50)
    sizes = [code_size_for(fraction, ratio) for fraction in fractions.tolist()]
    assert sizes == sorted(sizes)
    assert all(ratio[:size].sum() >= f > ratio[: size - 1].sum() for size, f in zip(sizes, fractions, strict=True))


@pytest.mark.parametrize(("n_samples", "n_features"), [(60, 9), (6, 9)], ids=["tall", "wide"])
def test_pca_mse_equals_the_error_of_scikit_learns_reconstruction(n_samples: int, n_features: int) -> None:
    """At every code size, on rows that PCA was not fitted on."""
    values = correlated(n_samples + 30, n_features)
    train, rest = values[:n_samples], values[n_samples:]
    scaling = fit_scaling(train)
    sizes = list(range(1, min(n_samples, n_features)))
    scaled_train, scaled_rest = scaling.transform(train), scaling.transform(rest)
    expected = []
    for size in sizes:
        pca = PCA(size, svd_solver="full").fit(scaled_train)
        expected.append(np.square(scaled_rest - pca.inverse_transform(pca.transform(scaled_rest))).mean())
    pca = fit_pca(train, scaling, max(sizes))
    np.testing.assert_allclose(pca_mse(pca, scaled_rest, sizes), expected, rtol=1e-9)
    np.testing.assert_allclose(pca_mse(pca, scaled_rest, sizes[::-1]), expected[::-1], rtol=1e-9)


def test_pca_mse_with_all_components_is_zero() -> None:
    """And a code size above their number has all of them; rounding never makes it negative."""
    values = correlated(40, 5)
    scaling = fit_scaling(values)
    errors = pca_mse(fit_pca(values, scaling, 50), scaling.transform(values), [5, 6, 50])
    assert (errors >= 0).all()
    np.testing.assert_allclose(errors, 0, atol=1e-15)


def images(n_samples: int, n_features: int) -> np.ndarray:
    """Random uint8 pixels."""
    return np.random.default_rng(2).integers(0, 256, (n_samples, n_features), np.uint8)


@pytest.mark.parametrize(
    ("values", "value_range", "kind"),
    [
        pytest.param(correlated(50, 6), None, "range", id="table"),
        pytest.param(images(50, 6), (0.0, 255.0), "range", id="images"),
        pytest.param(images(50, 6), (0.0, 255.0), "standard", id="standard images"),
        pytest.param(correlated(50, 6), None, "none", id="own units"),
    ],
)
def test_pca_baseline_equals_scikit_learn_fold_by_fold(
    values: np.ndarray, value_range: tuple[float, float] | None, kind: str
) -> None:
    """Scaled and fitted on training rows, (code sizes, folds); a size above the number of features has all."""
    folds = make_folds(50, 4, seed=2)
    got = pca_baseline(values, folds, [4, 1, 9], value_range, scaling=kind)
    assert got.shape == (3, 4)
    for k, fold in enumerate(folds):
        scaling = fit_scaling(values[fold.train], value_range, kind)
        validation = scaling.transform(values[fold.validation])
        for row, size in enumerate([4, 1]):
            pca = PCA(size, svd_solver="full").fit(scaling.transform(values[fold.train]))
            expected = np.square(validation - pca.inverse_transform(pca.transform(validation))).mean()
            assert got[row, k] == pytest.approx(expected, rel=1e-9)
    np.testing.assert_allclose(got[2], 0, atol=1e-14)


@pytest.mark.parametrize("wild", [1e3, 1e30, -3.4e38])
def test_pca_of_a_fold_sees_none_of_its_validation_rows(wild: float) -> None:
    """Wild values there leave its components as they were, and its error is that of those components."""
    values = correlated(50, 6)
    folds = make_folds(50, 4, seed=2)
    for k, fold in enumerate(folds):
        changed = values.copy()
        changed[fold.validation] = wild
        scaling = fit_scaling(values[fold.train])
        pca, other = (fit_pca(v[fold.train], scaling, 2) for v in (values, changed))
        np.testing.assert_array_equal(pca.components_, other.components_)
        scaled = scaling.transform(changed[fold.validation])
        expected = np.square(scaled - pca.inverse_transform(pca.transform(scaled))).mean()
        assert pca_baseline(changed, folds, [2])[0, k] == pytest.approx(expected, rel=1e-9)


def test_data_is_never_written() -> None:
    """A read-only array works, and its bytes stay what they were when it could be written."""
    values = correlated(50, 6)
    before, folds = values.tobytes(), make_folds(50, 4, seed=2)
    for writeable in (False, True):
        values.flags.writeable = writeable
        pca_baseline(values, folds, [1, 2])
        explained_variance_ratio(values, fit_scaling(values))
    assert values.tobytes() == before


def test_pca_baseline_of_the_smallest_folds_does_not_warn() -> None:
    """Two samples in two folds are the least that `make_folds` permits: PCA of a single training row."""
    got = pca_baseline(np.array([[0.0, 1.0], [2.0, 4.0]]), make_folds(2, 2, seed=0), [1])
    assert got.shape == (1, 2)
    assert np.isfinite(got).all()


def test_mnist_needs_154_components_for_95_percent(mnist_dir: Path) -> None:
    """The figure that every text about the reference design quotes: all 60,000 training images."""
    mnist = load_dataset("mnist", data_dir=mnist_dir, download=False)
    scaling = fit_scaling(mnist.development, mnist.value_range)
    assert code_size_for(0.95, explained_variance_ratio(mnist.development, scaling)) == 154
