"""Winner -> model directory: trained on the whole development set for its best number of epochs."""

from pathlib import Path

import pandas as pd
import torch

from ae_model.data import Dataset
from ae_model.errors import UserError
from ae_model.persistence import TrainedAutoencoder, save_model
from ae_model.scaling import fit_scaling
from ae_model.training import fit_autoencoder
from search.files import replace_file
from search.ledger_reader import read_configurations, read_value
from search.plan import load_data
from search.selection import Rule, last_rule, select
from search.settings_files import search_settings
from search.tables import load_trials


def retrain(directory: str | Path, *, rule: Rule | None = None, trial: str | None = None) -> Path:
    """Train a trial's configuration on all development data, for as many epochs as were best in cross-validation.

    Args:
        directory: The search's directory.
        rule: Train the winner by this rule; by the rule of the last `select` if None.
        trial: Train the trial with this id, or an unambiguous beginning of it, instead.

    Returns:
        The model directory: `best` for a winner, `trial-ID` for a trial that was named.

    Raises:
        ValueError: If there is no such trial, it has no finished epoch, or the data is not what was searched.
    """
    directory = Path(directory)
    if trial is None:
        selection = select(directory, rule or last_rule(directory))
        trial, epochs, target = selection.trial_id, selection.best_epoch, directory / "best"
    else:
        trial, epochs = _named_trial(load_trials(directory), trial)
        target = directory / f"trial-{trial}"
    settings = search_settings(directory)
    dataset = load_data(settings)
    _check_same_data(directory, dataset)
    configuration = read_configurations(directory)[trial]
    scaling = fit_scaling(dataset.development, dataset.value_range)
    device = "cuda" if torch.cuda.is_available() and settings.resources.gpus_per_trial != 0 else "cpu"
    n_threads = torch.get_num_threads()
    torch.set_num_threads(settings.resources.cpus_per_trial)  # as in the search: small models lose by more
    try:
        model, losses = fit_autoencoder(
            dataset.development, scaling, configuration, epochs=epochs, seed=settings.seed, device=device
        )
    finally:
        torch.set_num_threads(n_threads)
    trained = TrainedAutoencoder(
        model=model.eval(),
        scaling=scaling,
        image_shape=dataset.image_shape,
        feature_names=dataset.feature_names,
        metadata={
            "trial_id": trial,
            "epochs": epochs,
            "learning_rate": configuration.learning_rate,
            "batch_size": configuration.batch_size,
            "seed": settings.seed,
            "data": settings.data.model_dump(),
            "data_fingerprint": dataset.fingerprint(),
        },
    )
    for pattern in ("evaluation*.json", "reconstructions*.png", "feature_errors*.png"):
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
    return target


def _named_trial(trials: pd.DataFrame, beginning: str) -> tuple[str, int]:
    matches = trials[trials["trial_id"].str.startswith(beginning)]
    if not beginning or len(matches) != 1:
        raise UserError(
            f"trial must begin exactly one trial_id of the search, but {beginning!r} begins {len(matches)}. "
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
            f"data.source {dataset.name!r} holds other development samples than when {directory} was searched. "
            "Restore the data, or search it under another --name."
        )
