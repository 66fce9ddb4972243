"""Model directory -> the trial it was made from; without torch, which takes seconds to import."""

import json
from pathlib import Path


def trained_trial(model_dir: str | Path) -> tuple[str, int] | None:
    """The id of the trial that a model was made from, and the number of epochs that it was trained for.

    Returns:
        None if there is no model, or its description does not say.
    """
    try:
        metadata = json.loads((Path(model_dir) / "model.json").read_text(encoding="utf-8"))["metadata"]
        return str(metadata["trial_id"]), int(metadata["epochs"])
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
