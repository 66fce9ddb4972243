"""The affine map between the data's own units and the [-1, 1] that models are trained in."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Num


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scaling:
    """`scaled = values * scale + shift`, feature by feature."""

    scale: Float[np.ndarray, " features"]
    """Scaled units per unit of the feature, > 0, float64."""
    shift: Float[np.ndarray, " features"]
    """What is added, in scaled units, float64."""

    def transform(self, values: Num[np.ndarray, "samples features"]) -> Float[np.ndarray, "samples features"]:
        """`values` in scaled units, float64."""
        scaled: np.ndarray = values * self.scale
        scaled += self.shift  # in place: the arrays can be large
        return scaled

    def inverse(self, scaled: Float[np.ndarray, "samples features"]) -> Float[np.ndarray, "samples features"]:
        """`scaled` in the data's own units."""
        values: np.ndarray = (scaled - self.shift) / self.scale
        return values


def fit_scaling(values: Num[np.ndarray, "samples features"], value_range: Sequence[float] | None = None) -> Scaling:
    """The scaling that takes each feature's range to [-1, 1].

    Args:
        values: Training rows, at least one: no validation or test row may be among them.
        value_range: The lowest and highest possible value, for data that has such limits by its nature (images); the
            features' observed ranges if None. A feature that is constant is mapped to 0.

    Returns:
        The scaling; rows that were not in `values` may leave [-1, 1].

    Example:
        >>> scaling = fit_scaling(np.array([[0.0, 10.0], [4.0, 30.0]]))
        >>> scaling.scale.tolist(), scaling.shift.tolist()
        ([0.5, 0.1], [-1.0, -2.0])
    """
    if value_range is not None:
        low, high = (np.full(values.shape[1], limit, np.float64) for limit in value_range)
    else:
        low, high = values.min(axis=0).astype(np.float64), values.max(axis=0).astype(np.float64)
    width = high - low
    scale = np.divide(2.0, width, out=np.ones_like(width), where=width > 0)
    return Scaling(scale=scale, shift=-(low + high) / 2 * scale)
