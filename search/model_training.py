"""Configuration -> model directory: trained on the whole development set, with what it was made from."""

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import pandas as pd
import torch

from ae_model.arithmetic import arithmetic
from ae_model.configuration import Configuration
from ae_model.data import Dataset
from ae_model.ensemble import check_is_one
from ae_model.errors import UserError
from ae_model.loading import load_model
from ae_model.pca import fit_baseline
from ae_model.persistence import TrainedAutoencoder, save_model
from ae_model.scaling import fit_scaling
from ae_model.training import Training
from search.checkpointed_training import forget, train_to
from search.files import replace_file
from search.row_progress import row_progress
from search.settings import SearchSettings

_OF_THE_MODEL = ("layer_sizes", "hidden_activation", "code_activation", "output_activation")
"""What a model directory says of a configuration by itself."""
_OF_ANOTHER = (
    "cross_validation.json",
    "out_of_fold.csv",
    "training_loss.*",
    "evaluation*.json",
    "reconstructions*.png",
    "feature_errors*.png",
    "test_codes.*",
    "*coder.onnx",
    "*coder.pt2",
)
"""What lies beside a model that is replaced, and is not about the new one."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WarmStart:
    """The model whose weights a training starts with."""

    model: TrainedAutoencoder
    identity: dict[str, Any]
    """What tells it from another, JSON values."""

    @classmethod
    def read(cls, model_dir: str | Path, target: Path, dataset: Dataset) -> Self:
        """The model in a directory.

        Args:
            model_dir: Where it lies.
            target: Where the new model will lie.
            dataset: What that will be trained on.

        Raises:
            UserError: If there is no model, it is the one to be replaced, or it takes other features.
        """
        if Path(model_dir).resolve() == target.resolve():
            raise UserError(
                f"warm_start must be another directory than the model's own, but both are {target}. "
                "Copy it to another name, and start from there.",
                argument="warm_start",
            )
        model = load_model(model_dir)
        check_is_one(model, model_dir, "warm_start")
        if None not in (model.feature_names, dataset.feature_names) and model.feature_names != dataset.feature_names:
            raise UserError(
                f"warm_start: the model in {model_dir} takes other features than those of {dataset.name}, or in "
                "another order. Give a model of the same features.",
                argument="warm_start",
            )
        content = (Path(model_dir) / "model.safetensors").read_bytes()
        identity = {
            "sha256": hashlib.sha256(content).hexdigest(),
            "trial_id": model.metadata.get("trial_id"),
            "epochs": model.metadata.get("epochs"),
        }
        return cls(model=model, identity=identity)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Wanted:
    """A model that is to be there."""

    trial_id: str
    """The trial that has the configuration."""
    configuration: Configuration
    epochs: int
    scaling: str
    """The kind of scaling; a warm start brings its own."""
    warm_start: WarmStart | None
    device: str | None
    """Where it must be trained; anywhere if None."""


def train_model(
    wanted: Wanted, dataset: Dataset, settings: SearchSettings, target: Path, *, verbose: bool = False
) -> None:
    """Train a model and write it into a directory, unless it is there already.

    Args:
        wanted: The model.
        dataset: What it is trained on.
        settings: Those of the search.
        target: The model's directory.
        verbose: Whether to show a bar where standard error is a terminal.

    Raises:
        UserError: If the epochs are more than the learning rate's schedule has, the warm start is of another
            architecture, or there is no such device.
    """
    check_epochs(wanted)
    configuration, warm = wanted.configuration, wanted.warm_start
    device = chosen_device(wanted.device, settings)
    identity = made_from(wanted, dataset, settings, device)
    if _is_there(target, {"epochs": wanted.epochs, "warm_start": None, **identity}, dataset):
        return
    kind = wanted.scaling if warm is None else str(warm.model.metadata.get("scaling", "range"))
    scaling = fit_scaling(dataset.development, dataset.value_range, kind) if warm is None else warm.model.scaling
    n_threads, fp32_precision = settings.resources.cpus_per_trial, settings.search.fp32_precision
    # As in the search: small models lose by more threads, and other arithmetic gives other numbers.
    with (
        arithmetic(n_threads=n_threads, fp32_precision=fp32_precision),
        row_progress(wanted.epochs, "epochs", enabled=verbose) as advance,
    ):
        training = train_to(
            wanted.epochs,
            lambda state: Training(
                dataset.development,
                scaling,
                configuration,
                seed=settings.seed,
                initial=None if warm is None else warm.model.model,
                device=device,
                state=state,
            ),
            target=target,
            identity={
                **identity,
                "scaling": kind,
                "device": device,
                "n_threads": n_threads,
                "fp32_precision": fp32_precision,
            },
            advance=advance,
        )
    trained = TrainedAutoencoder(
        model=training.model().eval(),
        scaling=scaling,
        image_shape=dataset.image_shape,
        feature_names=dataset.feature_names,
        pca=fit_baseline(dataset.development, scaling, configuration.code_size),
        metadata={**model_metadata(wanted, dataset, settings, device), "scaling": kind, **identity},
    )
    remove_what_is_old(target)
    save_model(target, trained)
    _write_losses(training, target)
    forget(target)


def check_epochs(wanted: Wanted) -> None:
    """Raise UserError if the epochs are more than the learning rate's schedule has."""
    last = wanted.configuration.schedule_epochs
    if last is not None and wanted.epochs > last:
        raise UserError(
            f"epochs must be at most {last}, where the learning rate of trial {wanted.trial_id} has come to its end, "
            f"but is {wanted.epochs}. Give another number.",
            argument="epochs",
        )


def made_from(wanted: Wanted, dataset: Dataset, settings: SearchSettings, device: str) -> dict[str, Any]:
    """What tells a model from others of the same number of epochs; JSON values."""
    return {
        "trial_id": wanted.trial_id,
        "seed": settings.seed,
        "data_fingerprint": dataset.fingerprint(),
        **({} if wanted.warm_start is None else {"warm_start": wanted.warm_start.identity}),
        **({} if wanted.device is None else {"device": device}),
    }


def model_metadata(wanted: Wanted, dataset: Dataset, settings: SearchSettings, device: str) -> dict[str, Any]:
    """What a model says of where it comes from; JSON values."""
    configuration = asdict(wanted.configuration)
    return {
        "trial_id": wanted.trial_id,
        "epochs": wanted.epochs,
        **{name: value for name, value in configuration.items() if name not in _OF_THE_MODEL},
        "seed": settings.seed,
        "data": settings.data.model_dump(),
        "scaling": wanted.scaling,
        "n_development": len(dataset.development),
        "data_fingerprint": dataset.fingerprint(),
        "n_threads": settings.resources.cpus_per_trial,
        "device": device,
    }


def remove_what_is_old(target: Path) -> None:
    """Delete what lies beside a model that is about to be replaced, and is not about the new one."""
    for pattern in _OF_ANOTHER:
        for path in target.glob(pattern):
            path.unlink()


def _write_losses(training: Training, target: Path) -> None:
    losses = training.losses()
    steps = pd.DataFrame(
        {
            "step": range(1, losses.size + 1),
            "epoch": [epoch for epoch in range(1, len(losses) + 1) for _ in range(losses.shape[1])],
            "mse": losses.ravel(),
        }
    )
    replace_file(target / "training_loss.csv", lambda path: steps.to_csv(path, index=False))


def _is_there(target: Path, metadata: dict[str, Any], dataset: Dataset) -> bool:
    """Whether a directory, which may be missing or damaged, holds a whole model with these metadata."""
    try:
        trained = load_model(target)
    except UserError:
        return False
    return (
        all(trained.metadata.get(name) == value for name, value in metadata.items())
        and (trained.feature_names, trained.image_shape) == (dataset.feature_names, dataset.image_shape)
        and (target / "training_loss.csv").is_file()  # it is written last
    )


def chosen_device(name: str | None, settings: SearchSettings) -> str:
    """The device that was named, or the one that the settings allow.

    Raises:
        UserError: If there is no such device.
    """
    n_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name is None:
        return "cuda" if n_gpus and settings.resources.gpus_per_trial != 0 else "cpu"
    known = ["cpu", *(["cuda"] if n_gpus else []), *(f"cuda:{number}" for number in range(n_gpus))]
    if name not in known:
        raise UserError(
            f"device must be {' or '.join(known)} on this machine, but is {name!r}. Give another.", argument="device"
        )
    return name
