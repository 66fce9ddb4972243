"""The default search on small made data: better than PCA where that can be, and never worse.

`benchmarks/default_quality.py` is the long form, with more data and three seeds.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_wine

from search import parse_settings, run_search

SEARCH = {"search": {"max_steps": 400}}
"""Shorter than the default, for data that is smaller than people's."""


def curved(chance: np.random.Generator) -> np.ndarray:
    """Smooth functions of three causes, in different units."""
    waves = np.cos(0.7 * chance.normal(size=(300, 3)) @ chance.normal(size=(3, 60)) + chance.uniform(0, 6.3, 60))
    return waves @ chance.normal(size=(60, 20)) * 10.0 ** np.arange(-10, 10)


def linear(chance: np.random.Generator) -> np.ndarray:
    """A subspace of four dimensions with noise, where nothing beats PCA."""
    return chance.normal(size=(300, 4)) @ chance.normal(size=(4, 20)) + 0.3 * chance.normal(size=(300, 20))


def noise(chance: np.random.Generator) -> np.ndarray:
    """No structure at all."""
    return chance.normal(size=(200, 20))


def wine(_: np.random.Generator) -> np.ndarray:
    """The smallest table that scikit-learn brings, but for iris: 178 rows, 13 columns."""
    values: np.ndarray = load_wine().data
    return values


@pytest.mark.parametrize(
    ("make", "low", "high"),
    [
        pytest.param(curved, 0.0, 0.75, id="curved"),
        pytest.param(wine, 0.7, 0.95, marks=pytest.mark.slow, id="wine"),
        pytest.param(linear, 0.97, 1.0001, marks=pytest.mark.slow, id="linear"),
        pytest.param(noise, 0.9, 1.0001, marks=pytest.mark.slow, id="noise"),
    ],
)
def test_the_winner_beside_pca(
    make: Callable[[np.random.Generator], np.ndarray], low: float, high: float, local_ray: None, tmp_path: Path
) -> None:
    """Its cross-validated MSE over PCA's is where an autoencoder can be, and the test set does not object."""
    data = make(np.random.default_rng(0))
    result = run_search(parse_settings(SEARCH), data=data, name="data", results_dir=tmp_path)
    selection, evaluation = result.selection, result.evaluation
    assert low < selection.val_mse_mean / selection.pca_val_mse_mean < high
    if high > 1:
        assert selection.pca_p_value > 0.05, "what is not there is not found"
    assert evaluation.pca_difference < 2.6 * evaluation.pca_difference_se, "not significantly worse"
