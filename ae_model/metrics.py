"""How far reconstructions are from their samples; everything in the units that models are trained in."""

import numpy as np
from jaxtyping import Float

SCALED_RANGE = 2.0
"""Width of the interval [-1, 1] that the scaling "range" takes data to: the peak in `psnr`."""


def mse(x: Float[np.ndarray, "samples features"], reconstruction: Float[np.ndarray, "samples features"]) -> float:
    """Mean squared error over samples and features, in scaled units squared."""
    return float(np.mean(np.square(x - reconstruction, dtype=np.float64)))


def fve(
    x: Float[np.ndarray, "samples features"],
    reconstruction: Float[np.ndarray, "samples features"],
    training_mean: Float[np.ndarray, " features"],
) -> float:
    """Fraction of variance explained, `1 - SSE / SST`, at most 1; negative if worse than predicting the mean.

    SST is taken about the *training* rows' mean, so that predicting that mean scores 0 and the value compares with
    PCA's explained variance ratio. NaN where all samples equal the training mean.
    """
    total = np.sum(np.square(x - training_mean, dtype=np.float64))
    error = np.sum(np.square(x - reconstruction, dtype=np.float64))
    return float(1 - error / total) if total > 0 else float("nan")


def psnr(mean_squared_error: float) -> float:
    """Peak signal-to-noise ratio in dB, `10 log10(peak^2 / mse)`, the peak being the width of [-1, 1]; inf at mse 0.

    It is for data of the scaling "range" alone: other scalings know no peak.
    """
    with np.errstate(divide="ignore"):
        return float(10 * (np.log10(SCALED_RANGE**2) - np.log10(mean_squared_error)))


def dead_code_units(code: Float[np.ndarray, "samples code"]) -> int:
    """Number of code units that are zero for every sample."""
    return int(np.sum(~np.any(code, axis=0)))
