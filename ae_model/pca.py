"""PCA: its spectrum proposes code sizes, its reconstruction error is the baseline at any code size."""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float, Num
from sklearn.decomposition import PCA

from ae_model.errors import UserError
from ae_model.folds import Fold, fold_scalings
from ae_model.linear_baseline import LinearBaseline
from ae_model.scaling import Scaling


def explained_variance_ratio(
    values: Num[np.ndarray, "samples features"], scaling: Scaling
) -> Float[np.ndarray, " components"]:
    """Fraction of the variance of the scaled samples that each principal component explains, in falling order.

    Raises:
        UserError: If the samples do not vary.
    """
    ratio: np.ndarray = fit_pca(values, scaling, min(values.shape)).explained_variance_ratio_
    if not np.isfinite(ratio).all():
        raise UserError("the samples must vary, but all of them are equal. Check the data.")
    return ratio


def code_size_for(explained_variance: float, ratio: Float[np.ndarray, " components"]) -> int:
    """The smallest number of components that together explain at least this fraction of the variance.

    Args:
        explained_variance: The fraction of the variance, in (0, 1].
        ratio: What `explained_variance_ratio` returned.

    Returns:
        A number from 1 to `len(ratio)`.

    Examples:
        >>> code_size_for(0.95, np.array([0.7, 0.2, 0.08, 0.02]))
        3
    """
    cumulative = np.cumsum(ratio)
    # Rounding can leave the full sum a little under 1.
    return min(int(np.searchsorted(cumulative, explained_variance - 1e-12)) + 1, len(ratio))


def fit_pca(values: Num[np.ndarray, "samples features"], scaling: Scaling, n_components: int) -> PCA:
    """PCA of the scaled samples in float64, with as many components as there can be, at most `n_components`."""
    # The covariance's eigenvectors are exact enough in float64 and much faster where samples outnumber features.
    solver = "covariance_eigh" if len(values) >= values.shape[1] else "full"
    with np.errstate(invalid="ignore", divide="ignore"):  # the ratio's, where the samples do not vary
        return PCA(min(n_components, *values.shape), svd_solver=solver).fit(scaling.transform(values))


def fit_baseline(values: Num[np.ndarray, "samples features"], scaling: Scaling, n_components: int) -> LinearBaseline:
    """What `fit_pca` finds, in float32, to be kept beside a model."""
    pca = fit_pca(values, scaling, n_components)
    return LinearBaseline(mean=pca.mean_.astype(np.float32), components=pca.components_.astype(np.float32))


def pca_mse(
    pca: PCA, scaled: Float[np.ndarray, "samples features"], code_sizes: Sequence[int]
) -> Float[np.ndarray, " code_sizes"]:
    """Mean squared error of PCA's reconstruction of scaled samples at each code size, in scaled units squared.

    The components are orthonormal, so each one that is kept takes its own squared projection off the error. A code size
    above the number of components has all of them.
    """
    centred = scaled - pca.mean_
    explained = np.cumsum(np.sum(np.square(centred @ pca.components_.T), axis=0))
    errors = np.sum(np.square(centred)) - explained
    kept = np.minimum(code_sizes, len(explained)) - 1
    mse: np.ndarray = np.maximum(errors[kept], 0) / centred.size
    return mse


def pca_baseline(
    values: Num[np.ndarray, "samples features"],
    folds: Sequence[Fold],
    code_sizes: Sequence[int],
    value_range: tuple[float, float] | None = None,
    *,
    scaling: str = "range",
) -> Float[np.ndarray, "code_sizes n_splits"]:
    """Validation MSE of PCA at each code size in each fold, scaled and fitted on the fold's training rows alone."""
    columns = [
        pca_mse(pca, fitted.transform(values[fold.validation]), code_sizes)
        for fold, (pca, fitted) in zip(
            folds, fold_pcas(values, folds, max(code_sizes), value_range, scaling), strict=True
        )
    ]
    return np.stack(columns, axis=1)


def fold_pcas(
    values: Num[np.ndarray, "samples features"],
    folds: Sequence[Fold],
    n_components: int,
    value_range: tuple[float, float] | None = None,
    scaling: str = "range",
) -> Iterator[tuple[PCA, Scaling]]:
    """PCA of each fold's training rows, with at most so many components, and the scaling that it was fitted in."""
    for fold, fitted in zip(folds, fold_scalings(values, folds, value_range, scaling), strict=True):
        yield fit_pca(values[fold.train], fitted, n_components), fitted


def pca_fve(
    values: Num[np.ndarray, "samples features"],
    folds: Sequence[Fold],
    value_range: tuple[float, float] | None = None,
    *,
    scaling: str = "range",
) -> Float[np.ndarray, "sizes n_splits"]:
    """The fraction of the validation rows' variance that PCA explains, at every code size and in each fold.

    As in `EpochRecord.val_fve`, the variance is about the training rows' mean, which predicts with FVE 0. Scaling and
    PCA are fitted on the fold's training rows alone.

    Returns:
        A row for each number of components, from 1 to the number of features; what exceeds the number that there are
        has all of them. It rises down every column. NaN where a fold's validation rows do not vary.
    """
    code_sizes = range(1, values.shape[1] + 1)
    columns = []
    for fold, fitted in zip(folds, fold_scalings(values, folds, value_range, scaling), strict=True):
        pca = fit_pca(values[fold.train], fitted, len(code_sizes))
        scaled = fitted.transform(values[fold.validation])
        total = float(np.mean(np.square(scaled - pca.mean_)))
        columns.append(1 - pca_mse(pca, scaled, code_sizes) / (total if total > 0 else np.nan))
    return np.stack(columns, axis=1)
