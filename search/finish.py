"""From a trained search to its result, from disk and without Ray: select, retrain, evaluate, draw."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ae_model.data import Dataset
from search.errors import SearchError
from search.ledger import FINISHED
from search.monitor import Monitor
from search.selection import Rule, Selection, select
from search.tables import load_epochs, load_folds, load_trials

if TYPE_CHECKING:
    from search.evaluation_record import Evaluation


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SearchResult:
    """What a search ends with; everything in it is also on disk."""

    directory: Path
    """The search's directory."""
    trials: pd.DataFrame
    """As `load_trials` returns it."""
    selection: Selection
    model_dir: Path
    """The directory of the retrained winner."""
    evaluation: "Evaluation"


def finish(directory: Path, dataset: Dataset, progress: Monitor) -> SearchResult:  # noqa: ARG001
    """Select the winner, and train, evaluate and draw what is not there yet.

    Args:
        directory: The search's directory.
        dataset: What was searched.
        progress: What is told what is being done.

    Raises:
        SearchError: If no trial has finished.
    """
    trials = load_trials(directory)
    if not (trials["status"] == FINISHED).any():
        reasons = "; ".join(sorted({str(error) for error in trials["error"].dropna()})) or "every trial diverged"
        raise SearchError(f"{directory}: no trial could be finished ({reasons}).")
    selection = select(directory)
    from search import plots  # matplotlib and torch take seconds, which the tables need not wait for
    from search.evaluation import evaluate_model

    plots.validation_mse(trials, load_folds(directory), selection.trial_id, directory / "validation_mse.png")
    progress.say(f"Retraining {selection.label} for {selection.best_epoch} epochs")
    model_dir = retrain_and_draw(directory)
    return SearchResult(
        directory=directory,
        trials=trials,
        selection=selection,
        model_dir=model_dir,
        evaluation=evaluate_model(model_dir),
    )


def retrain_and_draw(directory: str | Path, *, rule: Rule | None = None, trial: str | None = None) -> Path:
    """`retrain`, and the picture of its loss beside the cross-validated one."""
    from ae_model.persistence import load_model
    from search import plots
    from search.retraining import retrain

    model_dir = retrain(directory, rule=rule, trial=trial)
    trained = load_model(model_dir).metadata["trial_id"]
    epochs = load_epochs(directory)
    by_epoch = epochs[epochs["trial_id"] == trained].groupby("epoch")["val_mse"]
    validation = pd.DataFrame({"mean": by_epoch.mean(), "se": by_epoch.std(ddof=1) / by_epoch.size() ** 0.5})
    losses = pd.read_csv(model_dir / "training_loss.csv")
    trials = load_trials(directory)
    pca_mse = float(trials.loc[trials["trial_id"] == trained, "pca_val_mse_mean"].iloc[0])
    plots.training_loss(losses, validation.reset_index(), model_dir / "training_loss.png", pca_mse)
    return model_dir
