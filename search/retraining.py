"""Winner -> model directory: trained on the whole development set for its best number of epochs."""

from pathlib import Path

import pandas as pd

from ae_model.arrays import DataFrame
from ae_model.data import Dataset
from ae_model.errors import UserError
from ae_model.named_sources import NAMED_SOURCES
from search.cross_validated import CrossValidated
from search.fold_ensemble import train_ensemble
from search.identity import VERSION_1
from search.ledger_file import lock
from search.ledger_reader import read_configurations, read_value
from search.model_card import write_card
from search.model_training import Wanted, WarmStart, train_model
from search.plan import load_data
from search.selection import Rule, Selection, select, select_again
from search.settings import SearchSettings
from search.settings_files import search_settings
from search.tables import load_trials
from search.usual_errors import write_usual_errors


def retrain(
    directory: str | Path,
    *,
    data: object = None,
    rule: Rule | None = None,
    target_fve: float | None = None,
    trial: str | None = None,
    selection: Selection | None = None,
    epochs: int | None = None,
    warm_start: str | Path | None = None,
    ensemble: str | None = None,
    device: str | None = None,
    verbose: bool = False,
) -> Path:
    """Train a trial's configuration on all development data, for as many epochs as were best in cross-validation.

    A model that is already there, of the same trial, epochs and start, is left as it is, with all that lies beside it.
    A training that was killed goes on where it was, to the same model, to the bit. A card of the model, `README.md`, is
    written beside it, and what it gave in cross-validation, unless the model is trained otherwise than there.

    Args:
        directory: The search's directory.
        data: The samples that were searched, as `run_search` takes them, or the source they are in now; read from where
            they were then if None.
        rule: Train the winner by this rule; by the rule of the last `select` if None.
        target_fve: Train the winner by the rule "target-fve" with this target.
        trial: Train the trial with this id, or an unambiguous beginning of it, instead.
        selection: Train this winner, and choose no other.
        epochs: Train for so many epochs, at least 1, instead.
        warm_start: A model directory: start with its weights, and keep its scaling. Its layer sizes, activations and
            features must be those of the trial. The epochs are counted from there.
        ensemble: "folds": train the models of all folds, each on its own training rows, to be used as one: its
            reconstruction is the mean of theirs, its code is theirs, side by side. It has no out-of-fold errors: all
            its models but one have seen each row.
        device: Where to train, "cpu", "cuda" or "cuda:N"; on a GPU if there is one and the search's settings allow it,
            if None.
        verbose: Whether to show a bar where standard error is a terminal.

    Returns:
        The model directory: `best` for a winner, `trial-ID` for a trial that was named; other epochs, a warm start and
        an ensemble are named too, as in `best-warm-50-epochs` or `best-folds`.

    Raises:
        UserError: If there is no such trial, it has no finished epoch, the data is not what was searched, or epochs,
            warm start or device are impossible.
    """
    directory = Path(directory)
    if epochs is not None and epochs < 1:
        raise UserError(f"epochs must be at least 1, but is {epochs}. Give another number.", argument="epochs")
    if ensemble not in (None, "folds"):
        raise UserError(
            f"ensemble must be folds, but is {ensemble!r}. Give that, or leave it out.", argument="ensemble"
        )
    if ensemble is not None and warm_start is not None:
        raise UserError(
            "ensemble and warm_start exclude each other: a model has seen what folds hold out. Give one of them.",
            argument="ensemble",
        )
    if trial is None:
        selection = selection or (
            select_again(directory) if rule is None and target_fve is None else select(directory, rule, target_fve)
        )
        trial, best_epoch, name = selection.trial_id, selection.best_epoch, "best"
    else:
        trial, best_epoch = _named_trial(load_trials(directory), trial)
        name = f"trial-{trial}"
    is_usual = warm_start is None and ensemble is None and epochs in (None, best_epoch)
    if warm_start is not None:
        name += "-warm"
    if ensemble is not None:
        name += "-folds"
    if epochs not in (None, best_epoch):
        name += f"-{epochs}-epochs"
    target = directory / name
    settings = search_settings(directory)
    if isinstance(data, str | Path):  # the model says where the samples are now
        source = str(data) if str(data) in NAMED_SOURCES else str(Path(data).expanduser().resolve())
        settings = _with_data(settings, source=source)
    dataset = load_data(_without_missing(settings, data), data)
    _check_same_data(directory, dataset)
    trials = load_trials(directory)
    with lock(directory, "retraining.lock"):  # two at once would write into one another's files
        wanted = Wanted(
            trial_id=trial,
            configuration=read_configurations(directory)[trial],
            epochs=best_epoch if epochs is None else epochs,
            # As the ledger says, not the settings: where they leave it to the data, versions have decided otherwise.
            scaling={**VERSION_1, **read_value(directory, "definition")}["data.scaling"],
            warm_start=None if warm_start is None else WarmStart.read(warm_start, target, dataset),
            device=device,
        )
        (train_model if ensemble is None else train_ensemble)(wanted, dataset, settings, target, verbose=verbose)
        if is_usual:
            row = trials[trials["trial_id"] == trial].iloc[0]
            CrossValidated.of(row, settings.search.n_splits).write(target)  # also where it was repeated meanwhile
            write_usual_errors(directory, trial, settings.search.n_splits, settings.seed, target)
        write_card(target)
    return target


def _without_missing(settings: SearchSettings, data: object) -> SearchSettings:
    """The settings for samples in memory that may lack the labels, or ignored columns, of those that were searched."""
    if data is None or isinstance(data, str | Path | Dataset):
        return settings
    there = {str(name) for name in data.columns} if isinstance(data, DataFrame) else set()
    ignored = [name for name in settings.data.ignore_columns if name in there]
    labelled = {} if settings.data.label_column in there else {"label_column": None, "inlier_labels": None}
    return _with_data(settings, ignore_columns=ignored, **labelled)


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
