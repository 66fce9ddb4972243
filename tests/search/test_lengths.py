"""search.lengths: steps and epochs of the settings, as epochs for a batch size."""

from typing import Any

import pytest

from ae_model import make_folds
from ae_model.patience import Patience
from search.lengths import DEFAULT_STEPS, Length, training_length
from search.settings import SearchSection

FOLDS = make_folds(101, 5, seed=0)
"""Training parts of 80 and 81 rows: 11 batches of 8 at most, 2 of 64."""


@pytest.mark.parametrize(
    ("given", "batch_size", "epochs", "patience"),
    [
        ({"max_steps": 110}, 8, 10, 3),
        ({"max_steps": 111}, 8, 11, 3),
        ({"max_steps": 110}, 64, 55, 14),
        ({"max_epochs": 7}, 8, 7, None),
        ({"max_epochs": 7, "max_steps": 110}, 8, 7, None),
        ({"max_epochs": 70, "max_steps": 110}, 8, 10, None),
        ({"max_epochs": 70, "patience": 5}, 8, 70, 5),
        ({"max_steps": 1}, 8, 1, 1),
        ({}, 81, DEFAULT_STEPS, DEFAULT_STEPS // 4),
    ],
)
def test_the_first_limit_that_is_reached(
    given: dict[str, Any], batch_size: int, epochs: int, patience: int | None
) -> None:
    """Epochs and patience, counted by hand."""
    expected = Length(epochs=epochs, patience=None if patience is None else Patience(epochs=patience, min_gain=0.001))
    assert training_length(SearchSection(**given), FOLDS, batch_size) == expected
