"""Model directory -> evaluation on the test split, beside PCA: the only code that reads that split."""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ae_model.configuration import count_parameters, layer_sizes_text
from ae_model.data import Dataset, load_dataset
from ae_model.metrics import dead_code_units, fve, mse, psnr
from ae_model.pca import fit_pca
from ae_model.persistence import TrainedAutoencoder, load_model
from search import plots
from search.files import replace_file

N_EXAMPLES = 10
"""Reconstructions in the picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """How a model does on samples it has never seen; the content of `evaluation.json`, in scaled units."""

    data: str
    trial_id: str | None
    """Of the trial whose configuration the model has."""
    n_test: int
    layer_sizes: str
    code_size: int
    n_parameters: int
    compression_ratio: float
    mse: float
    mse_se: float
    """Standard error of `mse` over the test samples."""
    fve: float
    psnr_db: float
    dead_code_units: int
    pca_mse: float
    """Of PCA with as many components as the code has units, fitted on the development set."""
    pca_fve: float
    pca_difference: float
    """`mse - pca_mse`: negative where the autoencoder is better."""
    pca_difference_se: float
    """Its standard error, from the differences of the single samples."""
    mean_mse: float
    """Of predicting the development set's mean for every sample."""
    per_feature_mse: list[float]


def evaluate_model(
    model_dir: str | Path,
    source: str | None = None,
    *,
    data_dir: str | Path | None = None,
) -> Evaluation:
    """Evaluate a model on the test split of a data source; writes `evaluation.json` and a picture into its directory.

    A source is split as the model's own data was: that data under another name or path has the same test split. The
    files of other data are named after it, as `evaluation-NAME.json`.

    Args:
        model_dir: A model directory.
        source: As in `load_dataset`, of a table the model's columns; the data the model was made from if None.
        data_dir: Where torchvision's data sets lie; where they lay then if None.

    Raises:
        ValueError: If model or data cannot be read or do not fit together.
    """
    model_dir = Path(model_dir)
    trained = load_model(model_dir)
    dataset = _load(trained, model_dir, source, data_dir)
    n_features = trained.model.layer_sizes[0]
    if dataset.test.shape[1] != n_features:
        raise ValueError(
            f"{dataset.name} has {dataset.test.shape[1]} features, but the model in {model_dir} takes {n_features}. "
            "Evaluate it on data like that it was trained on."
        )
    evaluation, reconstruction = _evaluate(trained, dataset)
    fields = {name: _jsonable(value) for name, value in asdict(evaluation).items()}
    text = json.dumps(fields, indent=2, allow_nan=False) + "\n"
    own = trained.metadata.get("data_fingerprint") in (None, dataset.fingerprint())
    of_what = "" if own else f"-{dataset.name}"
    replace_file(model_dir / f"evaluation{of_what}.json", lambda path: path.write_text(text, encoding="utf-8"))
    if dataset.image_shape is not None:
        plots.reconstructions(
            dataset.test[:N_EXAMPLES],
            reconstruction[:N_EXAMPLES],
            dataset.image_shape,
            dataset.value_range,
            model_dir / f"reconstructions{of_what}.png",
        )
    else:
        # A feature that is constant in the development set has no range that its error could be measured by.
        varying = np.flatnonzero(np.ptp(dataset.development, axis=0) > 0)
        names = dataset.feature_names or tuple(f"f{i}" for i in range(n_features))
        errors = np.array(evaluation.per_feature_mse)[varying]
        plots.feature_errors(errors, [names[i] for i in varying], model_dir / f"feature_errors{of_what}.png")
    return evaluation


def _evaluate(trained: TrainedAutoencoder, dataset: Dataset) -> tuple[Evaluation, np.ndarray]:
    scaling, model = trained.scaling, trained.model
    code = trained.encode(dataset.test)
    reconstruction = trained.decode(code)
    x = scaling.transform(dataset.test)
    scaled_reconstruction = scaling.transform(reconstruction)
    squared = np.square(x - scaled_reconstruction)
    per_sample = squared.mean(axis=1)
    code_size = model.layer_sizes[-1]
    pca = fit_pca(dataset.development, scaling, code_size)
    pca_per_sample = np.square(x - pca.inverse_transform(pca.transform(x))).mean(axis=1)
    total = float(np.square(x - pca.mean_).mean())
    pca_error = float(pca_per_sample.mean())
    error = mse(x, scaled_reconstruction)
    explained = fve(x, scaled_reconstruction, pca.mean_)
    return Evaluation(
        data=dataset.name,
        trial_id=trained.metadata.get("trial_id"),
        n_test=len(x),
        layer_sizes=layer_sizes_text(model.layer_sizes),
        code_size=code_size,
        n_parameters=count_parameters(model.layer_sizes),
        compression_ratio=model.layer_sizes[0] / code_size,
        mse=error,
        mse_se=_standard_error(per_sample),
        fve=explained,
        psnr_db=psnr(error),
        dead_code_units=dead_code_units(code),
        pca_mse=pca_error,
        pca_fve=1 - pca_error / total if total > 0 else float("nan"),
        pca_difference=error - pca_error,
        pca_difference_se=_standard_error(per_sample - pca_per_sample),
        mean_mse=total,
        per_feature_mse=squared.mean(axis=0).tolist(),
    ), reconstruction


def _standard_error(values: np.ndarray) -> float:
    return float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else 0.0


def _jsonable(value: object) -> object:
    """JSON has no infinity (the PSNR of a perfect model) and no NaN (the FVE of samples that do not vary)."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _load(trained: TrainedAutoencoder, model_dir: Path, source: str | None, data_dir: str | Path | None) -> Dataset:
    made_from: Any = trained.metadata.get("data", {})
    if source is None and not made_from:
        raise ValueError(f"{model_dir}: the model does not say what data it was made from. Give --data SOURCE.")
    try:
        options = {name: made_from[name] for name in ("download", "test_fraction", "max_samples") if made_from}
        return load_dataset(
            source or made_from["source"],
            data_dir=data_dir or made_from.get("data_dir", "data"),
            features=trained.feature_names,
            seed=trained.metadata.get("seed", 0),
            **options,
        )
    except (AttributeError, LookupError, TypeError) as error:
        raise ValueError(
            f"{model_dir / 'model.json'}: metadata.data is damaged ({error}). Retrain the model."
        ) from error
