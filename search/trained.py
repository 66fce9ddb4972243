"""Model directory -> what its description says; without torch, which takes seconds to import."""

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


def sample_form(model_dir: str | Path) -> tuple[list[str] | None, tuple[int, ...] | None]:
    """The names of the columns that a model takes, and the shape of its images; None where it says neither."""
    try:
        description = json.loads((Path(model_dir) / "model.json").read_text(encoding="utf-8"))
        names, shape = description.get("feature_names"), description.get("image_shape")
        return (
            None if names is None else [str(name) for name in names],
            None if shape is None else tuple(int(size) for size in shape),
        )
    except (OSError, ValueError, AttributeError, TypeError, RecursionError):
        return None, None
