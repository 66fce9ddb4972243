"""Samples -> estimates of their intrinsic dimension, by scikit-dimension, if it is installed.

Two that see the data at different scales. `FisherS` goes by how many samples a hyperplane separates from all others
(Albergante, Bac, Zinovyev, Estimating the effective dimension of large biological datasets using Fisher separability
analysis, IJCNN 2019); it is hardly moved by noise in all features. `MOM` goes by the distances to neighbours (Amsaleg
and others, Extreme-value-theoretic estimation of local intrinsic dimensionality, Data Mining and Knowledge Discovery
32, 2018); it is nearer the truth on curved manifolds, and counts noise that is as large as those distances.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Num

from ae_model.scaling import Scaling

MAX_ROWS = 4000
"""More rows are drawn from: every row is compared with every other."""
_NEIGHBOURS = 200
"""The neighbours of `MOM` at most, a tenth of the rows in small data: near ones tell of noise and not of the manifold.
"""


def intrinsic_dimensions(
    values: Num[np.ndarray, "samples features"], scaling: Scaling, *, seed: int = 0
) -> dict[str, float]:
    """Estimates by name, of samples as they are scaled for training; none where scikit-dimension is missing.

    Args:
        values: Development samples in their own units.
        scaling: How they are scaled.
        seed: The seed of the rows that are drawn from more than `MAX_ROWS`.
    """
    try:
        from skdim.id import MOM, FisherS  # slow to import, and an extra
    except ImportError:
        return {}
    if len(values) > MAX_ROWS:
        values = values[np.sort(np.random.default_rng(seed).choice(len(values), MAX_ROWS, replace=False))]
    scaled = np.unique(scaling.transform(values), axis=0)  # a sample that is there twice has a neighbour at distance 0
    n_neighbours = min(_NEIGHBOURS, max(len(scaled) // 10, 5))
    estimates: dict[str, Callable[[], float]] = {
        "FisherS": lambda: FisherS().fit_transform(scaled),
        "MOM": lambda: MOM().fit_transform(scaled, n_neighbors=n_neighbours),
    }
    with np.errstate(all="ignore"):
        found = {name: float(estimate()) for name, estimate in estimates.items()}
    return {name: dimension for name, dimension in found.items() if np.isfinite(dimension)}
