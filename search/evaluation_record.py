"""`Evaluation`: how a model does, and the JSON file that keeps it."""

import json
import math
import re
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

from ae_model.errors import UserError
from search.files import replace_file


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """How a model does on samples it has never seen; the content of `evaluation.json`, in scaled units.

    What is measured against the training data's mean or PCA is None for a model that was trained by an earlier version,
    which kept neither, where that data can no longer be read.
    """

    data: str
    """The name of the data."""
    other_data: bool = False
    """Whether these are all samples of other data than the model was made from, rather than its own test split."""
    trial_id: str | None
    """The trial whose configuration the model has."""
    n_test: int
    """The number of samples."""
    layer_sizes: str
    code_size: int
    """Of each model, like `layer_sizes`."""
    n_models: int = 1
    """How many models it is: more than one for an ensemble."""
    n_parameters: int
    """Of all models, and so is the ratio of input values to code units."""
    compression_ratio: float
    mse: float
    mse_se: float
    """Standard error of `mse` over the samples."""
    fve: float | None
    """Fraction of variance explained; NaN where the samples do not vary."""
    scaling: str = "range"
    """How the model's data is scaled, as in `fit_scaling`."""
    psnr_db: float | None
    """Peak signal-to-noise ratio; infinite where `mse` is 0, None where `scaling` is not "range" and knows no peak."""
    dead_code_units: int
    pca_mse: float | None
    """MSE of PCA with as many components as the code has units, fitted on the data the model was trained on."""
    pca_fve: float | None
    pca_difference: float | None
    """`mse - pca_mse`: negative where the autoencoder is better."""
    pca_difference_se: float | None
    """Standard error of `pca_difference`, from the differences of the single samples."""
    mean_mse: float | None
    """MSE of predicting the mean of the data the model was trained on for every sample."""
    per_feature_mse: list[float]

    @property
    def suffix(self) -> str:
        """What follows "evaluation" in the file's name: nothing for the model's own data, else the data's name."""
        return "-" + re.sub(r"[^\w.+-]+", "-", self.data) if self.other_data else ""

    def write(self, model_dir: Path) -> None:
        """Write `evaluation.json`, or for other data `evaluation-NAME.json`, into the model's directory."""
        # JSON has no infinity and no NaN.
        content = {name: None if _not_finite(value) else value for name, value in asdict(self).items()}
        text = json.dumps(content, indent=2, allow_nan=False) + "\n"
        replace_file(model_dir / f"evaluation{self.suffix}.json", lambda path: path.write_text(text, encoding="utf-8"))

    @classmethod
    def read(cls, model_dir: str | Path) -> Self:
        """The evaluation of a model on its own test split, as it was written into its directory.

        Raises:
            UserError: If the model has not been evaluated, or the file is damaged.
        """
        path = Path(model_dir) / "evaluation.json"
        try:
            content: Any = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UserError(f"{path}: no such file. Evaluate the model: ae-search evaluate {model_dir}") from None
        except (OSError, ValueError, RecursionError) as error:
            raise _damaged(path, model_dir, error) from error
        try:
            if content["psnr_db"] is None and content.get("scaling", "range") == "range":
                content["psnr_db"] = math.inf
            if content["mean_mse"] is not None:
                content |= {name: math.nan for name in ("fve", "pca_fve") if content[name] is None}
            evaluation = cls(**content)
            for field in fields(cls):
                value, expected = getattr(evaluation, field.name), field.type
                if not isinstance(value, list if field.name == "per_feature_mse" else expected):  # type: ignore[arg-type]  # none is a text
                    raise TypeError(f"{field.name} is {value!r}")
        except (TypeError, LookupError) as error:
            raise _damaged(path, model_dir, error) from error
        return evaluation


def _not_finite(value: object) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _damaged(path: Path, model_dir: str | Path, error: Exception) -> UserError:
    reason = " ".join(str(error).split())[:200]
    return UserError(f"{path}: cannot be read ({reason}). Evaluate the model again: ae-search evaluate {model_dir}")
