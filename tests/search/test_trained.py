"""search.trained: which trial a model directory holds."""

from pathlib import Path

import pytest

from ae_model import load_model
from search import SearchResult
from search.trained import trained_trial


def test_the_trial_of_the_winner(searched: SearchResult) -> None:
    """It is the one that was selected, trained for its best number of epochs."""
    assert trained_trial(searched.model_dir) == (searched.selection.trial_id, searched.selection.best_epoch)
    assert load_model(searched.model_dir).metadata["trial_id"] == searched.selection.trial_id


@pytest.mark.parametrize(
    "text", [None, "", "[]", "{}", '{"metadata": 5}', '{"metadata": {"trial_id": "a"}}', "[" * 100_000]
)
def test_a_model_that_does_not_say(tmp_path: Path, text: str | None) -> None:
    """Where there is no model, or a damaged or foreign one, the trial is not known."""
    if text is not None:
        (tmp_path / "model.json").write_text(text)
    assert trained_trial(tmp_path) is None
