"""Model directory -> evaluation on the test split, beside PCA: the only code that reads that split."""

import math
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ae_model.arithmetic import arithmetic
from ae_model.arrays import DataFrame, samples_from_arrays, samples_from_data_frame
from ae_model.columns import column_positions
from ae_model.configuration import count_parameters, layer_sizes_text
from ae_model.data import Dataset, source_name
from ae_model.errors import UserError
from ae_model.linear_baseline import LinearBaseline
from ae_model.loading import load_model
from ae_model.metrics import dead_code_units, psnr
from ae_model.named_sources import NAMED_SOURCES, read_named
from ae_model.pca import fit_baseline
from ae_model.persistence import TrainedAutoencoder
from ae_model.readers import read_samples
from ae_model.samples import Samples
from search import plots
from search.evaluation_record import Evaluation
from search.examples import example_rows
from search.execution.machine import usable_cpus
from search.model_card import write_card
from search.plan import load_data
from search.settings import ARRAY_SOURCE, SearchSettings
from search.test_codes import some_test_codes

N_EXAMPLES = 10
"""How many reconstructions the picture shows."""


def evaluate_model(
    model_dir: str | Path,
    data: object = None,
    *,
    data_dir: str | Path | None = None,
) -> Evaluation:
    """Evaluate a model; writes `evaluation.json`, a picture and the model's card into its directory.

    The data that the model was made from, by whatever name or path, is known by its fingerprint, and evaluated on its
    test split alone. Other data is evaluated as a whole, and its files are named after it, as `evaluation-NAME.json`.

    Args:
        model_dir: A model directory.
        data: A source as in `load_dataset`, an array, a DataFrame, or an `ae_model.Dataset`. Of a table, the model's
            columns are taken, in whatever order they stand. The data the model was made from if None.
        data_dir: Where torchvision's data sets lie; where they lay then if None.

    Raises:
        UserError: If model or data cannot be read or do not fit together.
    """
    model_dir = Path(model_dir)
    trained = load_model(model_dir)
    made_from = _made_from(trained, model_dir, data_dir)
    own = _own_data(trained, model_dir, made_from, data)
    name, samples = _everything(trained, made_from, data) if own is None else (own.name, _test_split(own))
    if len(samples.values) == 0:
        raise UserError(
            f"{name} has no test set, since data.test_fraction is 0: all of it was searched. Evaluate the model on "
            "other data (--data SOURCE)."
        )
    n_features = trained.model.layer_sizes[0]
    if samples.values.shape[1] != n_features:
        raise UserError(
            f"{name} has {samples.values.shape[1]} features, but the model in {model_dir} takes {n_features}. "
            "Evaluate it on data like that it was trained on."
        )
    pca = trained.pca or _refitted_pca(trained, own, made_from)
    with arithmetic(n_threads=_n_threads(trained), fp32_precision=made_from.search.fp32_precision):
        outputs = _outputs(trained, samples, pca)
    evaluation = _measured(outputs, trained, name, other_data=own is None)
    _draw(outputs, evaluation, trained, samples, own, model_dir)
    if own is not None:
        is_table = (samples.image_shape or trained.image_shape) is None
        names = _names(trained, samples) if is_table else None
        mse = outputs.squared.mean(axis=1)
        some_test_codes(outputs.code, mse, samples.labels, samples.values, names).write(model_dir)
    evaluation.write(model_dir)  # last: where it is, all else is too
    if own is not None:
        write_card(model_dir)  # ... but for the card, which has its figures, and which retraining writes too
    return evaluation


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Outputs:
    """What a model and PCA make of samples `(n_samples, n_features)`."""

    code: np.ndarray
    reconstruction: np.ndarray
    """Reconstructions in the data's own units, like the next."""
    pca_reconstruction: np.ndarray | None
    squared: np.ndarray
    """Squared errors in the units that the model is trained in, like the next."""
    pca_squared: np.ndarray | None
    mean_squared: np.ndarray | None
    """The squared errors of predicting the mean."""


def _outputs(trained: TrainedAutoencoder, samples: Samples, pca: LinearBaseline | None) -> _Outputs:
    scaling = trained.scaling
    code = trained.encode(samples.values)
    reconstruction = trained.decode(code)
    x = scaling.transform(samples.values)
    by_pca = None if pca is None else pca.reconstruct(x)
    return _Outputs(
        code=code,
        reconstruction=reconstruction,
        pca_reconstruction=None if by_pca is None else scaling.inverse(by_pca),
        squared=np.square(x - scaling.transform(reconstruction)),
        pca_squared=None if by_pca is None else np.square(x - by_pca),
        mean_squared=None if pca is None else np.square(x - pca.mean),
    )


def _measured(outputs: _Outputs, trained: TrainedAutoencoder, name: str, *, other_data: bool) -> Evaluation:
    layer_sizes = trained.model.layer_sizes
    scaling = str(trained.metadata.get("scaling", "range"))  # older models do not say, and knew no other
    error, per_sample = float(outputs.squared.mean()), outputs.squared.mean(axis=1)
    pca_error, pca_difference_se, total = None, None, None
    if outputs.pca_squared is not None and outputs.mean_squared is not None:
        pca_error, total = float(outputs.pca_squared.mean()), float(outputs.mean_squared.mean())
        pca_difference_se = _standard_error(per_sample - outputs.pca_squared.mean(axis=1))
    return Evaluation(
        data=name,
        other_data=other_data,
        trial_id=trained.metadata.get("trial_id"),
        n_test=len(per_sample),
        layer_sizes=layer_sizes_text(layer_sizes),
        code_size=layer_sizes[-1],
        n_models=trained.n_models,
        n_parameters=trained.n_models * count_parameters(layer_sizes),
        compression_ratio=layer_sizes[0] / (trained.n_models * layer_sizes[-1]),
        mse=error,
        mse_se=_standard_error(per_sample),
        fve=_explained(error, total),
        scaling=scaling,
        psnr_db=psnr(error) if scaling == "range" else None,
        dead_code_units=dead_code_units(outputs.code),
        pca_mse=pca_error,
        pca_fve=None if pca_error is None else _explained(pca_error, total),
        pca_difference=None if pca_error is None else error - pca_error,
        pca_difference_se=pca_difference_se,
        mean_mse=total,
        per_feature_mse=outputs.squared.mean(axis=0).tolist(),
    )


def _explained(error: float, total: float | None) -> float | None:
    """The fraction of variance explained, as `ae_model.metrics.fve` defines it; None where it is not known."""
    if total is None:
        return None
    return 1 - error / total if total > 0 else math.nan


def _standard_error(values: np.ndarray) -> float:
    return float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else 0.0


def _draw(
    outputs: _Outputs,
    evaluation: Evaluation,
    trained: TrainedAutoencoder,
    samples: Samples,
    own: Dataset | None,
    model_dir: Path,
) -> None:
    """Draw a few reconstructions of images, or the features' errors of a table."""
    image_shape = samples.image_shape or trained.image_shape
    if image_shape is not None:
        per_sample = outputs.squared.mean(axis=1)
        examples = example_rows(per_sample, samples.labels, N_EXAMPLES)
        rows = [row for row, _ in examples]
        plots.reconstructions(
            samples.values[rows],
            outputs.reconstruction[rows],
            None if outputs.pca_reconstruction is None else outputs.pca_reconstruction[rows],
            image_shape,
            samples.value_range,
            model_dir / f"reconstructions{evaluation.suffix}.png",
            mse=per_sample[rows],
            pca_mse=None if outputs.pca_squared is None else outputs.pca_squared[rows].mean(axis=1),
            titles=[title for _, title in examples],
        )
        return
    names = _names(trained, samples)
    shown = np.arange(len(names))
    if own is not None:
        # A feature that is constant in the development set has no range that its error could be measured by.
        shown = np.flatnonzero(np.ptp(own.development, axis=0) > 0)
    plots.feature_errors(
        np.array(evaluation.per_feature_mse)[shown],
        [names[i] for i in shown],
        model_dir / f"feature_errors{evaluation.suffix}.png",
        scaling=evaluation.scaling,
    )


def _names(trained: TrainedAutoencoder, samples: Samples) -> tuple[str, ...]:
    """What the columns of a table are called, where they have names or not."""
    return trained.feature_names or samples.feature_names or tuple(f"f{n}" for n in range(samples.values.shape[1]))


def _n_threads(trained: TrainedAutoencoder) -> int:
    """As many threads as the model was trained with, so that its figures do not depend on who asks for them."""
    n_threads = trained.metadata.get("n_threads", 1)
    return n_threads if isinstance(n_threads, int) and 1 <= n_threads <= usable_cpus() else 1


def _made_from(trained: TrainedAutoencoder, model_dir: Path, data_dir: str | Path | None) -> SearchSettings:
    """Settings with what the model says of its data: the source, empty if it says nothing, and how it was split."""
    metadata = trained.metadata
    try:
        settings = SearchSettings.model_validate({"data": metadata.get("data", {}), "seed": metadata.get("seed", 0)})
    except ValueError as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"{model_dir / 'model.json'}: metadata.data is damaged ({reason}). Retrain the model."
        ) from error
    changes = {} if data_dir is None else {"data_dir": str(data_dir)}
    return _with_data(settings, **changes, **({} if metadata.get("data") else {"source": ""}))


def _own_data(trained: TrainedAutoencoder, model_dir: Path, made_from: SearchSettings, data: object) -> Dataset | None:
    """The data that the model was made from, split as it was then, if that is what is given; else None."""
    fingerprint = trained.metadata.get("data_fingerprint")
    if data is None:
        if not made_from.data.source:
            raise UserError(
                f"{model_dir}: the model does not say what data it was made from. Give data (--data SOURCE)."
            )
        own = load_data(made_from, features=trained.feature_names)
        if fingerprint not in (None, own.fingerprint()):
            raise UserError(
                f"{own.name} holds other development samples than the model in {model_dir} was trained on. Restore it; "
                f"or evaluate the model on all of it, as on other data, with --data {made_from.data.source}"
            )
        return own
    # Another file need not hold the labels, nor have a header where the first had one.
    settings = _with_data(made_from, label_column=None, ignore_columns=[], inlier_labels=None, header=None)
    # What cannot be split as the model's data was is not that data; what cannot be read will be found so again.
    with suppress(UserError):
        dataset = _by_name(trained, load_data(settings, _columns(trained, data), trained.feature_names))
        if dataset.fingerprint() == fingerprint:
            return dataset
    return None


def _everything(trained: TrainedAutoencoder, made_from: SearchSettings, data: object) -> tuple[str, Samples]:
    """The name and all samples of other data."""
    if isinstance(data, Dataset):
        name, dataset = data.name, _by_name(trained, data)
        samples = Samples(
            values=dataset.development,
            labels=dataset.development_labels,
            test_values=dataset.test,
            test_labels=dataset.test_labels,
            image_shape=dataset.image_shape,
            feature_names=dataset.feature_names,
            value_range=dataset.value_range,
        )
    elif not isinstance(data, str | Path):
        name, samples = ARRAY_SOURCE, samples_from_arrays(_columns(trained, data), ARRAY_SOURCE)
    elif str(data) in NAMED_SOURCES:
        name, samples = str(data), read_named(str(data), Path(made_from.data.data_dir), made_from.data.download)
    else:
        name, samples = source_name(data), read_samples(data, features=trained.feature_names)
    if samples.test_values is None:
        return name, samples
    labels = None
    if samples.labels is not None and samples.test_labels is not None:
        labels = np.concatenate([samples.labels, samples.test_labels])
    return name, replace(samples, values=np.concatenate([samples.values, samples.test_values]), labels=labels)


def _test_split(own: Dataset) -> Samples:
    return Samples(
        values=own.test,
        labels=own.test_labels,
        image_shape=own.image_shape,
        feature_names=own.feature_names,
        value_range=own.value_range,
    )


def _columns(trained: TrainedAutoencoder, data: object) -> object:
    """The model's columns, if a DataFrame is given; any other data as it is."""
    if trained.feature_names is None or not isinstance(data, DataFrame):
        return data
    return samples_from_data_frame(data, ARRAY_SOURCE, None, trained.feature_names).values


def _by_name(trained: TrainedAutoencoder, dataset: Dataset) -> Dataset:
    """The model's columns of a data set, if both have names for them."""
    names, wanted = dataset.feature_names, trained.feature_names
    if names is None or wanted is None or names == wanted:
        return dataset
    order = column_positions(dataset.name, names, len(dataset.development), wanted)
    return replace(
        dataset, development=dataset.development[:, order], test=dataset.test[:, order], feature_names=wanted
    )


def _refitted_pca(trained: TrainedAutoencoder, own: Dataset | None, made_from: SearchSettings) -> LinearBaseline | None:
    """PCA of the data that a model was made from, if its directory does not hold it; None if that cannot be read."""
    if own is None and made_from.data.source:
        with suppress(UserError):
            own = load_data(_with_data(made_from, download=False), features=trained.feature_names)
            if trained.metadata.get("data_fingerprint") not in (None, own.fingerprint()):
                own = None
    return None if own is None else fit_baseline(own.development, trained.scaling, trained.model.layer_sizes[-1])


def _with_data(settings: SearchSettings, **changes: object) -> SearchSettings:
    return settings.model_copy(update={"data": settings.data.model_copy(update=changes)})
