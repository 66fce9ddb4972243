"""What a model is measured against: PCA with as many components as its code has units, as plain arrays."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LinearBaseline:
    """PCA fitted on the samples that a model was trained on, in scaled units."""

    mean: Float[np.ndarray, " features"]
    """The mean of those samples."""
    components: Float[np.ndarray, "components features"]
    """Orthonormal rows; fewer than the code has units where there were not enough samples."""

    def reconstruct(self, scaled: Float[np.ndarray, "samples features"]) -> Float[np.ndarray, "samples features"]:
        """Scaled samples, projected onto the components."""
        reconstruction: np.ndarray = (scaled - self.mean) @ self.components.T @ self.components
        reconstruction += self.mean  # in place: the arrays can be large
        return reconstruction
