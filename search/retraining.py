"""Winner -> model directory: trained on the whole development set for its best number of epochs."""

from dataclasses import asdict
from pathlib import Path

import pandas as pd
import torch

from ae_model.arithmetic import arithmetic
from ae_model.arrays import DataFrame
from ae_model.data import Dataset
from ae_model.errors import UserError
from ae_model.named_sources import NAMED_SOURCES
from ae_model.pca import fit_baseline
from ae_model.persistence import TrainedAutoencoder, load_model, save_model
from ae_model.scaling import fit_scaling
from ae_model.training import fit_autoencoder
from search.cross_validated import CrossValidated
from search.files import replace_file
from search.identity import VERSION_1
from search.ledger_file import lock
from search.ledger_reader import read_configurations, read_value
from search.model_card import write_card
from search.plan import load_data
from search.selection import Rule, Selection, select, select_again
from search.settings import SearchSettings
from search.settings_files import search_settings
from search.tables import load_trials
from search.usual_errors import write_usual_errors

_OF_THE_MODEL = ("layer_sizes", "hidden_activation", "code_activation", "output_activation")
"""What a model directory says of a configuration by itself."""


def retrain(
    directory: str | Path,
    *,
    data: object = None,
    rule: Rule | None = None,
    target_fve: float | None = None,
    trial: str | None = None,
    selection: Selection | None = None,
) -> Path:
    """Train a trial's configuration on all development data, for as many epochs as were best in cross-validation.

    A model that is already there, of the same trial and epochs, is left as it is, with all that lies beside it. What it
    gave in cross-validation is written beside it, and a card of the model, `README.md`.

    Args:
        directory: The search's directory.
        data: The samples that were searched, as `run_search` takes them, or the source they are in now; read from where
            they were then if None.
        rule: Train the winner by this rule; by the rule of the last `select` if None.
        target_fve: Train the winner by the rule "target-fve" with this target.
        trial: Train the trial with this id, or an unambiguous beginning of it, instead.
        selection: Train this winner, and choose no other.

    Returns:
        The model directory: `best` for a winner, `trial-ID` for a trial that was named.

    Raises:
        UserError: If there is no such trial, it has no finished epoch, or the data is not what was searched.
    """
    directory = Path(directory)
    if trial is None:
        selection = selection or (
            select_again(directory) if rule is None and target_fve is None else select(directory, rule, target_fve)
        )
        trial, epochs, target = selection.trial_id, selection.best_epoch, directory / "best"
    else:
        trial, epochs = _named_trial(load_trials(directory), trial)
        target = directory / f"trial-{trial}"
    settings = search_settings(directory)
    if isinstance(data, str | Path):  # the model says where the samples are now
        source = str(data) if str(data) in NAMED_SOURCES else str(Path(data).expanduser().resolve())
        settings = _with_data(settings, source=source)
    if _lacks_labels(settings, data):
        settings = _with_data(settings, label_column=None, inlier_labels=None)
    dataset = load_data(settings, data)
    _check_same_data(directory, dataset)
    trials = load_trials(directory)
    with lock(directory, "retraining.lock"):  # two at once would write into one another's files
        _train(directory, dataset, settings, trial, epochs, target)
        row = trials[trials["trial_id"] == trial].iloc[0]
        CrossValidated.of(row, settings.search.n_splits).write(target)  # also where it was repeated meanwhile
        write_usual_errors(directory, trial, settings.search.n_splits, settings.seed, target)
        write_card(target)
    return target


def _train(directory: Path, dataset: Dataset, settings: SearchSettings, trial: str, epochs: int, target: Path) -> None:
    if is_trained(target, trial_id=trial, epochs=epochs, seed=settings.seed, dataset=dataset):
        return
    configuration = read_configurations(directory)[trial]
    # As the ledger says, not the settings: where they leave it to the data, versions have decided otherwise.
    kind = {**VERSION_1, **read_value(directory, "definition")}["data.scaling"]
    scaling = fit_scaling(dataset.development, dataset.value_range, kind)
    device = "cuda" if torch.cuda.is_available() and settings.resources.gpus_per_trial != 0 else "cpu"
    # As in the search: small models lose by more threads, and other arithmetic gives other numbers.
    with arithmetic(n_threads=settings.resources.cpus_per_trial, fp32_precision=settings.search.fp32_precision):
        model, losses = fit_autoencoder(
            dataset.development, scaling, configuration, epochs=epochs, seed=settings.seed, device=device
        )
    trained = TrainedAutoencoder(
        model=model.eval(),
        scaling=scaling,
        image_shape=dataset.image_shape,
        feature_names=dataset.feature_names,
        pca=fit_baseline(dataset.development, scaling, configuration.code_size),
        metadata={
            "trial_id": trial,
            "epochs": epochs,
            **{name: value for name, value in asdict(configuration).items() if name not in _OF_THE_MODEL},
            "seed": settings.seed,
            "data": settings.data.model_dump(),
            "scaling": kind,
            "n_development": len(dataset.development),
            "data_fingerprint": dataset.fingerprint(),
            "n_threads": settings.resources.cpus_per_trial,
        },
    )
    stale = (
        "out_of_fold.csv",
        "training_loss.*",
        "evaluation*.json",
        "reconstructions*.png",
        "feature_errors*.png",
        "test_codes.*",
    )
    for pattern in (*stale, "*coder.onnx", "*coder.pt2"):
        for path in target.glob(pattern):
            path.unlink()  # it is of the model that was here before
    save_model(target, trained)
    steps = pd.DataFrame(
        {
            "step": range(1, losses.size + 1),
            "epoch": [epoch for epoch in range(1, epochs + 1) for _ in range(losses.shape[1])],
            "mse": losses.ravel(),
        }
    )
    replace_file(target / "training_loss.csv", lambda path: steps.to_csv(path, index=False))


def is_trained(target: Path, *, trial_id: str, epochs: int, seed: int, dataset: Dataset) -> bool:
    """Whether `retrain` has nothing left to do: a directory holds the model that it would train, whole.

    Args:
        target: The model directory, which may be missing or damaged.
        trial_id: The trial whose configuration is wanted.
        epochs: How many epochs it is to be trained for.
        seed: The seed of initial weights and batch order.
        dataset: What it is to be trained on.
    """
    try:
        trained = load_model(target)
    except UserError:
        return False
    wanted = {"trial_id": trial_id, "epochs": epochs, "seed": seed, "data_fingerprint": dataset.fingerprint()}
    return (
        all(trained.metadata.get(name) == value for name, value in wanted.items())
        and (trained.feature_names, trained.image_shape) == (dataset.feature_names, dataset.image_shape)
        and (target / "training_loss.csv").is_file()  # it is written last
    )


def _lacks_labels(settings: SearchSettings, data: object) -> bool:
    """Whether samples are given without the labels that the search's own had."""
    if data is None or isinstance(data, str | Path | Dataset):
        return False
    return not (isinstance(data, DataFrame) and settings.data.label_column in data.columns)


def _with_data(settings: SearchSettings, **changes: object) -> SearchSettings:
    return settings.model_copy(update={"data": settings.data.model_copy(update=changes)})


def _named_trial(trials: pd.DataFrame, beginning: str) -> tuple[str, int]:
    matches = trials[trials["trial_id"].str.startswith(beginning)]
    if not beginning or len(matches) != 1:
        raise UserError(
            f"trial must be the beginning of one trial's id, but {beginning!r} is that of {len(matches) or 'none'}. "
            "The command `ae-search trials` lists them.",
            argument="trial",
        )
    trial = matches.iloc[0]
    if pd.isna(trial["best_epoch"]):
        raise UserError(
            f"trial {trial['trial_id']} has no complete epoch (status {trial['status']}). Name another.",
            argument="trial",
        )
    return str(trial["trial_id"]), int(trial["best_epoch"])


def _check_same_data(directory: Path, dataset: Dataset) -> None:
    if dataset.fingerprint() != read_value(directory, "definition")["data"]:
        raise UserError(
            f"data.source {dataset.name!r} holds other development samples, or their columns in another "
            f"order, than when {directory} was searched. Restore the data, or search it under another name."
        )
