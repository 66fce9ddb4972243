"""search.code_sizes: what PCA proposes, from Python."""

import numpy as np
import pytest

from ae_model import UserError, load_dataset
from search import parse_settings, propose_code_sizes


def test_the_settings_of_a_search_are_taken_too() -> None:
    """Of all settings, those of the bottleneck decide; a code size that serves two fractions is proposed once."""
    dataset = load_dataset("digits")
    settings = parse_settings({"bottleneck": {"explained_variance": [0.95, 0.5, 0.9501]}})
    proposal = propose_code_sizes(dataset, settings)
    assert proposal.code_sizes == propose_code_sizes(dataset, settings.bottleneck).code_sizes == [28, 5]
    assert [proposal.code_size_for(fraction) for fraction in (0.95, 0.5, 0.9501)] == [28, 5, 28]
    assert propose_code_sizes(dataset).code_sizes == propose_code_sizes(dataset, parse_settings({})).code_sizes == [28]


def test_a_range_is_proposed_by_its_ends() -> None:
    """Baselines and marks are those of its ends; a search takes what lies between."""
    dataset = load_dataset("digits")
    content = {"bottleneck": {"code_sizes": {"low": 5, "high": 28}}, "search": {"algorithm": "tpe", "num_samples": 3}}
    settings = parse_settings(content)
    for given in (settings, settings.bottleneck):
        proposal = propose_code_sizes(dataset, given)
        assert proposal.code_sizes == [5, 28]
        assert proposal.searched == settings.bottleneck.code_sizes
    parts = [f"{size}, with which PCA explains {proposal.reached(size):.2%} of the variance" for size in (5, 28)]
    assert proposal.text() == f"code sizes from {parts[0]}, to {parts[1]}"
    assert propose_code_sizes(dataset).searched == [28]


def test_an_array_is_not_a_data_set() -> None:
    """It is refused with what to do, before anything is computed."""
    values = np.random.default_rng(0).normal(size=(20, 4))
    with pytest.raises(UserError, match=r"dataset must be a Dataset, but is of type ndarray\. .*load_dataset"):
        propose_code_sizes(values)  # type: ignore[arg-type]  # the point of the test
