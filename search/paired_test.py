"""The paired t-test between two results over the same folds, corrected for the overlap of their training sets.

The folds' training sets overlap, so a plain paired t-test finds differences that are not there. The variance is
corrected by the ratio of validation to training rows, 1/(k-1) (Nadeau and Bengio, Inference for the Generalization
Error, Machine Learning 52, 2003).
"""

import numpy as np
from jaxtyping import Float
from scipy import special  # not stats, which takes half a second more to import

SIGNIFICANCE = 0.05
"""Results whose difference has a p-value above this cannot be told apart."""
_ROUNDING = 1e-4
"""The part of PCA's MSE by which the float32 arithmetic of a network that computes PCA may miss it: 3e-5
over 800 x 784 values."""
_ZERO = 1e-12
"""An MSE of data in [-1, 1] that is rounding alone."""


def corrected_p_value(differences: Float[np.ndarray, " k"]) -> float:
    """Two-sided p-value of the mean of paired differences between two configurations over k folds.

    Args:
        differences: The difference in each fold, k >= 2.
    """
    return float(corrected_p_values(differences[np.newaxis])[0])


def corrected_p_values(differences: Float[np.ndarray, "n k"]) -> Float[np.ndarray, " n"]:
    """`corrected_p_value` of each row.

    Args:
        differences: The differences, a column per fold.

    Returns:
        NaN where a difference is, or where there are fewer than two folds.
    """
    n_rows, k = differences.shape
    if k < 2:
        return np.full(n_rows, np.nan)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # of trials that went astray
        means, errors = differences.mean(axis=1), _standard_errors(differences)
        p_values: np.ndarray = 2 * special.stdtr(k - 1, -np.abs(means / errors))
    certain = errors == 0  # differences that do not vary
    p_values[certain] = means[certain] == 0
    return p_values


def corrected_half_width(differences: Float[np.ndarray, " k"]) -> float:
    """Half the width of the confidence interval around the mean of paired differences over k folds.

    The interval holds zero where `corrected_p_value` is above `SIGNIFICANCE`.

    Args:
        differences: The difference in each fold, k >= 2.
    """
    quantile = special.stdtrit(len(differences) - 1, 1 - SIGNIFICANCE / 2)
    return float(quantile * _standard_errors(differences[np.newaxis])[0])


def differences_from_pca(
    val_mse: Float[np.ndarray, "n k"], pca_val_mse: Float[np.ndarray, "n k"]
) -> Float[np.ndarray, "n k"]:
    """Validation MSE less PCA's in the same fold; 0 where that is but rounding.

    A network that starts at PCA and does not leave it differs from PCA by rounding, in the same direction in each fold:
    a test would call that significant.

    Args:
        val_mse: Of each trial and fold, scaled units squared.
        pca_val_mse: Of PCA with as many components as the trial's code has units.
    """
    differences: np.ndarray = val_mse - pca_val_mse
    differences[np.abs(differences) <= _ROUNDING * pca_val_mse + _ZERO] = 0
    return differences


def _standard_errors(differences: Float[np.ndarray, "n k"]) -> Float[np.ndarray, " n"]:
    """Corrected standard error of each row's mean."""
    k = differences.shape[1]
    errors: np.ndarray = np.sqrt((1 / k + 1 / (k - 1)) * differences.var(axis=1, ddof=1))
    return errors
