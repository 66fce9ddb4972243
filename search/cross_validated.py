"""`CrossValidated`: what a model's configuration gave in cross-validation, kept beside the model."""

import json
import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

import pandas as pd

from search.files import replace_file


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossValidated:
    """The content of `cross_validation.json`, so that a model directory says how good it is wherever it is taken.

    MSEs are in scaled units squared; what is not known is None.
    """

    trial_id: str
    """The trial whose configuration the model has."""
    n_splits: int
    """The number of folds."""
    n_repeats: int
    """How many cross-validations the figures are over."""
    val_mse_mean: float
    val_mse_se: float | None
    """Standard error over the folds."""
    val_fve_mean: float | None
    """Fraction of variance explained."""
    pca_val_mse_mean: float | None
    """Of PCA with as many components as the code has units, in the same folds."""

    @classmethod
    def of(cls, trial: "pd.Series[Any]", n_splits: int) -> Self:
        """What a row of `load_trials` says."""
        names = ("val_mse_mean", "val_mse_se", "val_fve_mean", "pca_val_mse_mean")
        values: dict[str, Any] = {name: float(trial[name]) if math.isfinite(trial[name]) else None for name in names}
        return cls(trial_id=str(trial["trial_id"]), n_splits=n_splits, n_repeats=int(trial["n_repeats"]), **values)

    def write(self, model_dir: Path) -> None:
        """Write `cross_validation.json` into a model's directory."""
        text = json.dumps(asdict(self), indent=2, allow_nan=False) + "\n"
        replace_file(model_dir / "cross_validation.json", lambda path: path.write_text(text, encoding="utf-8"))

    @classmethod
    def read(cls, model_dir: str | Path) -> Self | None:
        """What lies in a model's directory; None if there is none, as beside older models, or it is damaged."""
        try:
            content: Any = json.loads((Path(model_dir) / "cross_validation.json").read_text(encoding="utf-8"))
            record = cls(**content)
        except (OSError, ValueError, TypeError, RecursionError):
            return None
        is_sound = all(isinstance(getattr(record, field.name), field.type) for field in fields(cls))  # type: ignore[arg-type]  # none is a text
        return record if is_sound else None
