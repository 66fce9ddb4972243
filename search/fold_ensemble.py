"""Configuration -> ensemble of the models of all folds, each trained on its fold's training rows as in the search."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ae_model.arithmetic import arithmetic
from ae_model.configuration import Configuration
from ae_model.cross_validation import CrossValidation
from ae_model.data import Dataset
from ae_model.ensemble import FILE, save_ensemble
from ae_model.errors import UserError
from ae_model.folds import make_folds
from ae_model.loading import load_model
from ae_model.pca import fit_baseline
from ae_model.persistence import TrainedAutoencoder
from ae_model.scaling import fit_scaling
from search.checkpointed_training import forget, train_to
from search.model_training import Wanted, check_epochs, chosen_device, made_from, model_metadata, remove_what_is_old
from search.row_progress import row_progress
from search.settings import SearchSettings


def train_ensemble(
    wanted: Wanted, dataset: Dataset, settings: SearchSettings, target: Path, *, verbose: bool = False
) -> None:
    """Train the models of all folds and write them into a directory as one, unless they are there already.

    Args:
        wanted: Which model; it has no warm start.
        dataset: The data set.
        settings: Those of the search.
        target: The ensemble's directory.
        verbose: Whether to show a bar where standard error is a terminal.

    Raises:
        UserError: As `train_model`; or if a fold diverges.
    """
    assert wanted.warm_start is None, "it would have seen the rows that a fold holds out"
    check_epochs(wanted)
    configuration, n_splits = wanted.configuration, settings.search.n_splits
    device = chosen_device(wanted.device, settings)
    identity = {**made_from(wanted, dataset, settings, device), "n_splits": n_splits}
    if _is_there(target, {"epochs": wanted.epochs, **identity}):
        return
    n_threads, fp32_precision = settings.resources.cpus_per_trial, settings.search.fp32_precision
    folds = make_folds(len(dataset.development), n_splits, settings.seed)

    def begin(state: Mapping[str, Tensor] | None) -> "_Training":
        validation = CrossValidation(
            dataset.development,
            [configuration],
            folds=folds,
            max_epochs=wanted.epochs,
            seed=settings.seed,
            value_range=dataset.value_range,
            scaling=wanted.scaling,
            device=device,
            keep_models="last",
            state=state,
        )
        return _Training(validation, starts_new=state is None, configuration=configuration)

    arguments = {"device": device, "n_threads": n_threads, "fp32_precision": fp32_precision, "scaling": wanted.scaling}
    with (
        arithmetic(n_threads=n_threads, fp32_precision=fp32_precision),
        row_progress(wanted.epochs, "epochs", enabled=verbose) as advance,
    ):
        training = train_to(
            wanted.epochs, begin, target=target, identity={"ensemble": True, **identity, **arguments}, advance=advance
        )
        models = training.validation.kept_models(0)
    if models is None or training.epoch < wanted.epochs:
        raise UserError(
            f"a fold of trial {wanted.trial_id} diverged at epoch {training.epoch}. Train it for fewer epochs."
        )
    metadata = {**model_metadata(wanted, dataset, settings, device), **identity}
    members = [
        TrainedAutoencoder(
            model=model,
            scaling=scaling,
            image_shape=dataset.image_shape,
            feature_names=dataset.feature_names,
            metadata={**metadata, "fold": k, "n_development": len(fold.train)},
        )
        for k, (model, scaling, fold) in enumerate(zip(models, training.validation.scalings, folds, strict=True))
    ]
    scaling = fit_scaling(dataset.development, dataset.value_range, wanted.scaling)
    remove_what_is_old(target)
    save_ensemble(
        target,
        members,
        scaling=scaling,
        pca=fit_baseline(dataset.development, scaling, configuration.code_size),
        metadata=metadata,
    )
    forget(target)


class _Training:
    """A cross-validation as `train_to` trains it."""

    def __init__(self, validation: CrossValidation, *, starts_new: bool, configuration: Configuration) -> None:
        self.validation = validation
        if starts_new and configuration.init == "pca":
            next(validation)  # the start

    @property
    def epoch(self) -> int:
        return self.validation.epoch

    def train_epoch(self) -> None:
        before = self.epoch
        next(self.validation, None)
        if self.epoch == before:
            raise UserError(f"a fold diverged at epoch {before}. Train it for fewer epochs.")

    def state(self) -> dict[str, Tensor]:
        return self.validation.state()


def _is_there(target: Path, metadata: dict[str, Any]) -> bool:
    """Whether a directory, which may be missing or damaged, holds a whole ensemble with these metadata."""
    if not (target / FILE).is_file():
        return False
    try:
        trained = load_model(target)
    except UserError:
        return False
    return all(trained.metadata.get(name) == value for name, value in metadata.items())
