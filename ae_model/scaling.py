"""The affine map between the data's own units and those that models are trained in."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Num

from ae_model.errors import UserError

SCALING_NAMES = ("range", "standard", "robust", "none")
"""Each feature's range to [-1, 1]; to mean 0 and standard deviation 1; to median 0 and interquartile range 1; as is."""
_BLOCK = 2**19
"""Values that are taken to float64 at a time: 4 MiB, however large the array is."""
_IN_CACHE = 2**14
"""Values that are scaled at a time: 128 KiB in float64."""
_MAX_ROUNDING = 0.01
"""What the rounding of a constant feature may be at most, in scaled units, in which others have a spread of 1."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scaling:
    """`scaled = values * scale + shift`, feature by feature."""

    scale: Float[np.ndarray, " features"]
    """Scaled units per unit of the feature, > 0, float64."""
    shift: Float[np.ndarray, " features"]
    """What is added, in scaled units, float64."""

    def transform(
        self, values: Num[np.ndarray, "samples features"], out: Float[np.ndarray, "samples features"] | None = None
    ) -> Float[np.ndarray, "samples features"]:
        """`values` in scaled units, computed in float64.

        Args:
            values: Samples in the data's own units.
            out: Where the result goes, rounded to its type; a new array of float64 if None.
        """
        out = np.empty(values.shape) if out is None else out
        for rows in _few_rows(values):
            scaled = values[rows] * self.scale
            scaled += self.shift
            out[rows] = scaled
        return out

    def inverse(
        self, scaled: Float[np.ndarray, "samples features"], out: Float[np.ndarray, "samples features"] | None = None
    ) -> Float[np.ndarray, "samples features"]:
        """`scaled` in the data's own units, computed in float64; `out` as in `transform`."""
        out = np.empty(scaled.shape) if out is None else out
        for rows in _few_rows(scaled):
            values = scaled[rows] - self.shift
            values /= self.scale
            out[rows] = values
        return out


def _few_rows(values: np.ndarray) -> Iterator[slice]:
    """All rows, a few at a time: what is computed from these stays in a core's cache."""
    step = max(_IN_CACHE // values.shape[1], 1)
    return (slice(start, start + step) for start in range(0, len(values), step))


def fit_scaling(
    values: Num[np.ndarray, "samples features"], value_range: Sequence[float] | None = None, scaling: str = "range"
) -> Scaling:
    """The scaling of a kind that suits the values.

    Args:
        values: Training rows, at least one: no validation or test row may be among them.
        value_range: The lowest and highest possible value, for data that has such limits by its nature (images); the
            features' observed ranges if None. Only "range" uses it.
        scaling: "range" takes each feature's range to [-1, 1]. "standard" subtracts its mean and divides by its
            standard deviation, as scikit-learn's `StandardScaler` does. "robust" subtracts its median and divides by
            its interquartile range, as scikit-learn's `RobustScaler` does; where that is 0 but the feature varies, as
            sparse counts do, by its standard deviation. "none" leaves the data in its own units.

    Returns:
        The scaling; rows that were not in `values` may leave [-1, 1]. A feature that is constant is mapped to 0, but by
        "none". For "standard" and "robust", one that varies by no more than its type's rounding is constant too.

    Raises:
        UserError: If there is no such kind.

    Examples:
        >>> scaling = fit_scaling(np.array([[0.0, 10.0], [4.0, 30.0]]))
        >>> scaling.scale.tolist(), scaling.shift.tolist()
        ([0.5, 0.1], [-1.0, -2.0])
        >>> scaling = fit_scaling(np.array([[0.0, 10.0], [4.0, 30.0]]), scaling="standard")
        >>> scaling.scale.tolist(), scaling.shift.tolist()
        ([0.5, 0.1], [-1.0, -2.0])
    """
    if scaling not in SCALING_NAMES:
        raise UserError(
            f"scaling must be one of {', '.join(SCALING_NAMES)}, but is {scaling!r}. Change it.", argument="scaling"
        )
    if scaling == "none":
        return Scaling(scale=np.ones(values.shape[1]), shift=np.zeros(values.shape[1]))
    if scaling == "range":
        return _by_range(values, value_range)
    mean, std = _mean_and_std(values)
    eps = float(np.finfo(values.dtype if values.dtype.kind == "f" else np.float64).eps)
    rounding = eps * np.abs(mean)
    centre, spread = mean, std
    if scaling == "robust":
        centre, spread = _median_and_iqr(values)
        spread = np.where(spread > eps * np.abs(centre), spread, std)
    # Not 1 for every constant: of 1e9 in float32 the nearest neighbour, in rows yet to come, would be 64 away.
    of_constant = np.divide(_MAX_ROUNDING, rounding, out=np.ones_like(rounding), where=rounding > _MAX_ROUNDING)
    scale = np.divide(1.0, spread, out=of_constant, where=std > rounding)
    return Scaling(scale=scale, shift=-centre * scale)


def _by_range(values: np.ndarray, value_range: Sequence[float] | None) -> Scaling:
    if value_range is not None:
        low, high = (np.full(values.shape[1], limit, np.float64) for limit in value_range)
    else:
        low, high = values.min(axis=0).astype(np.float64), values.max(axis=0).astype(np.float64)
    width = high - low
    scale = np.divide(2.0, width, out=np.ones_like(width), where=width > 0)
    return Scaling(scale=scale, shift=-(low + high) / 2 * scale)


def _mean_and_std(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and population standard deviation of each feature, float64; of a constant one exactly its value and 0."""
    first = values[0].astype(np.float64)
    n_rows = max(_BLOCK // values.shape[1], 1)
    blocks = [slice(start, start + n_rows) for start in range(0, len(values), n_rows)]
    # Deviations from a value that occurs, and then from the mean: a square of the mean never cancels.
    offset = sum((values[block] - first).sum(axis=0) for block in blocks) / len(values)
    variance = sum(np.square((values[block] - first) - offset).sum(axis=0) for block in blocks) / len(values)
    return first + offset, np.sqrt(variance)


def _median_and_iqr(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Median and interquartile range of each feature, float64."""
    n_columns = max(_BLOCK // len(values), 1)
    quartiles = np.concatenate(
        [
            np.percentile(values[:, start : start + n_columns].astype(np.float64), (25, 50, 75), axis=0)
            for start in range(0, values.shape[1], n_columns)
        ],
        axis=1,
    )
    return quartiles[1], quartiles[2] - quartiles[0]
