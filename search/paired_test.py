"""The paired t-test between two results over the same folds, corrected for the overlap of their training sets.

The folds' training sets overlap, so a plain paired t-test finds differences that are not there. The variance is
corrected by the ratio of validation to training rows, 1/(k-1) (Nadeau and Bengio, Inference for the Generalization
Error, Machine Learning 52, 2003). Where the cross-validation is repeated, all r * k differences enter the same formula,
with r * k - 1 degrees of freedom: the corrected repeated k-fold cross-validation test (Bouckaert and Frank, Evaluating
the Replicability of Significance Tests for Comparing Learning Algorithms, PAKDD 2004). The correction does not shrink
with r, so that no number of repeats makes everything significant.
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


def p_value_text(p_value: float) -> str:
    """A p-value as sentences show it."""
    return "p < 0.0001" if p_value < 0.0001 else f"p = {p_value:.2g}"


def corrected_p_value(differences: Float[np.ndarray, " n"], repeats: int = 1) -> float:
    """Two-sided p-value of the mean of paired differences between two configurations over the same folds.

    Args:
        differences: The difference in each fold, of all repeats: n = repeats * k, k >= 2.
        repeats: How many cross-validations of k folds they come from.
    """
    return float(corrected_p_values(differences[np.newaxis], repeats)[0])


def corrected_p_values(differences: Float[np.ndarray, "rows n"], repeats: int = 1) -> Float[np.ndarray, " rows"]:
    """`corrected_p_value` of each row.

    Args:
        differences: The differences, a column per fold.
        repeats: As there.

    Returns:
        NaN where a difference is, or where there are fewer than two folds.
    """
    n_rows, n = differences.shape
    if n < 2 * repeats:
        return np.full(n_rows, np.nan)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # of trials that went astray
        means, errors = differences.mean(axis=1), _standard_errors(differences, repeats)
        p_values: np.ndarray = 2 * special.stdtr(n - 1, -np.abs(means / errors))
    certain = errors == 0  # differences that do not vary
    p_values[certain] = means[certain] == 0
    return p_values


def p_value_of_repeats(p_value: float, k: int, repeats: int) -> float:
    """What a p-value over k folds becomes with more repeats, if the mean difference and the variance stay as they are.

    Args:
        p_value: The p-value of one cross-validation.
        k: The number of its folds, k >= 2.
        repeats: How many cross-validations there would be.
    """
    t = special.stdtrit(k - 1, p_value / 2)
    shrinks = np.sqrt((1 / k + 1 / (k - 1)) / (1 / (repeats * k) + 1 / (k - 1)))
    return float(2 * special.stdtr(repeats * k - 1, t * shrinks))


def corrected_half_widths(differences: Float[np.ndarray, "rows n"], repeats: int = 1) -> Float[np.ndarray, " rows"]:
    """Half the width of the confidence interval around the mean of each row's paired differences.

    The interval holds zero where `corrected_p_value` is above `SIGNIFICANCE`.

    Args:
        differences: The differences, a column per fold.
        repeats: How many cross-validations they come from.
    """
    quantile = special.stdtrit(differences.shape[1] - 1, 1 - SIGNIFICANCE / 2)
    with np.errstate(over="ignore", invalid="ignore"):
        half_widths: np.ndarray = quantile * _standard_errors(differences, repeats)
    return half_widths


def standard_errors_of_means(values: Float[np.ndarray, "rows n"], repeats: int = 1) -> Float[np.ndarray, " rows"]:
    """The standard error of each row's mean over folds: that of one cross-validation, however many there are.

    Each repeat gives std / sqrt(k) over its own k folds; this is their root mean square. More repeats average out the
    luck of splits and initial weights, and make this error itself steadier. They do not average out the luck of the
    data, which is the same in all of them: std / sqrt(repeats * k) would promise that (Vanwinckelen and Blockeel, On
    Estimating Model Accuracy with Repeated Cross-Validation, BeneLearn 2012), and tend to zero.

    Args:
        values: A column per fold, those of a repeat side by side.
        repeats: How many cross-validations of k = n / repeats folds they come from.

    Returns:
        NaN where a value is, or where there are fewer than two folds.
    """
    n_rows, n = values.shape
    k = n // repeats
    if k < 2:
        return np.full(n_rows, np.nan)
    with np.errstate(over="ignore", invalid="ignore"):  # of trials that go astray
        errors: np.ndarray = values.reshape(n_rows * repeats, k).std(axis=1, ddof=1) / np.sqrt(k)
        if repeats > 1:
            errors = np.sqrt(np.square(errors).reshape(n_rows, repeats).mean(axis=1))
    return errors


def verdict(difference: float, p_value: float, tied: str) -> str:
    """What the one with the smaller MSE is, if the difference is significant."""
    if p_value > SIGNIFICANCE:
        return tied
    return "better" if difference < 0 else "worse"


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


def _standard_errors(differences: Float[np.ndarray, "rows n"], repeats: int) -> Float[np.ndarray, " rows"]:
    """Corrected standard error of each row's mean."""
    n = differences.shape[1]
    # The rows that validate, over those that train, are as 1 to k - 1 in each fold of each repeat.
    factor = 1 / n + 1 / (n // repeats - 1)
    errors: np.ndarray = np.sqrt(factor * differences.var(axis=1, ddof=1))
    return errors
