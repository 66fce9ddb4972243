"""From a trained search to its result, from disk and without Ray: select, retrain, evaluate, draw."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ae_model.data import Dataset
from ae_model.errors import UserError
from search.errors import SearchError
from search.files import is_current
from search.ledger import DIVERGED, FAILED, FINISHED, STOPPED
from search.monitor import Monitor
from search.selection import Rule, Selection, select
from search.settings_files import search_settings
from search.tables import load_folds, load_trials, load_validation_curve
from search.trained import trained_trial

if TYPE_CHECKING:
    from search.evaluation_record import Evaluation


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SearchResult:
    """What a search ends with; everything in it is also on disk."""

    directory: Path
    """The search's directory."""
    trials: pd.DataFrame
    """The table of trials, as `load_trials` returns it."""
    selection: Selection
    model_dir: Path
    """The directory of the retrained winner."""
    evaluation: "Evaluation | None"
    """None where nothing was held out: `data.test_fraction` is 0."""

    def _repr_html_(self) -> str:
        from search.result_html import result_html

        return result_html(self)


def finish(directory: Path, dataset: Dataset, progress: Monitor) -> SearchResult:
    """Select the winner, and train, evaluate and draw what is not there yet.

    Args:
        directory: The search's directory.
        dataset: The data set that was searched.
        progress: The monitor that is told what is being done.

    Raises:
        SearchError: If no trial has finished.
    """
    trials = load_trials(directory)
    search = search_settings(directory).search
    # What a budget has cut off counts by what it has reached.
    is_bounded = search.time_budget_s is not None or search.max_fold_epochs is not None
    counted = trials["status"] == FINISHED
    if is_bounded:
        counted |= ~trials["status"].isin([DIVERGED, FAILED, STOPPED]) & trials["val_mse_mean"].notna()
    if not counted.any():
        reasons = "; ".join(sorted({str(error) for error in trials["error"].dropna()}))
        reasons = reasons or (
            "the budget ended before one had an epoch; give a larger one" if is_bounded else "every trial diverged"
        )
        raise SearchError(f"{directory}: no trial could be finished ({reasons}).")
    # Of a halving, those between two rungs are at another epoch than those that came to the end.
    is_pruned = search.pruning != "none" and bool((trials["status"] == FINISHED).any())
    selection = select(directory, finished_only=is_pruned or not is_bounded)
    picture = directory / "validation_mse.png"
    if not is_current(picture, directory / "trials.csv", directory / "selection.json"):
        from search import plots  # matplotlib takes a second to import, and torch two, which tables need not wait for

        plots.validation_mse(trials, load_folds(directory), selection.trial_id, picture)
    if trained_trial(directory / "best") != (selection.trial_id, selection.best_epoch):
        n = selection.best_epoch
        progress.say(
            f"Retraining {selection.label} for {n} epoch{'s' * (n != 1)}"
            if n
            else f"Keeping {selection.label} as it starts: no epoch is better by 1 %"
        )
    model_dir = retrain_and_draw(directory, data=dataset, selection=selection, verbose=progress.is_shown)
    evaluation = _evaluation(model_dir, dataset) if dataset.n_test else None
    page = directory / "report.html"
    last = model_dir / ("model.json" if evaluation is None else "evaluation.json")
    if not is_current(page, directory / "trials.csv", directory / "selection.json", last):
        from search.report import write_report

        try:
            write_report(directory, at_work=False)
        except Exception:  # a fault of ours; but all that it would show is there
            again = f"ae-search report {shlex.quote(str(directory))} --debug"
            progress.warn(f"The report could not be made, all else is there; what is wrong says: {again}")
    return SearchResult(
        directory=directory, trials=trials, selection=selection, model_dir=model_dir, evaluation=evaluation
    )


def retrain_and_draw(
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
    """`retrain`, whose arguments these are, and the picture of its loss beside the cross-validated one."""
    from search.retraining import retrain

    directory = Path(directory)
    model_dir = retrain(
        directory,
        data=data,
        rule=rule,
        target_fve=target_fve,
        trial=trial,
        selection=selection,
        epochs=epochs,
        warm_start=warm_start,
        ensemble=ensemble,
        device=device,
        verbose=verbose,
    )
    if ensemble is not None:  # it has as many losses as models
        return model_dir
    losses, picture = model_dir / "training_loss.csv", model_dir / "training_loss.png"
    trained = trained_trial(model_dir)
    assert trained is not None, "the model was written by this version"
    if not is_current(picture, losses, directory / "epochs.parquet"):
        from search import plots

        trials = load_trials(directory)
        pca_mse = float(trials.loc[trials["trial_id"] == trained[0], "pca_val_mse_mean"].iloc[0])
        validation = load_validation_curve(directory, trained[0])
        if warm_start is not None:  # its epochs are others than those of the cross-validation
            validation = validation.iloc[:0]
        best_epoch = trained[1] if epochs is None else None
        plots.training_loss(pd.read_csv(losses), validation, picture, pca_mse, best_epoch=best_epoch)
    return model_dir


def _evaluation(model_dir: Path, dataset: Dataset) -> "Evaluation":
    """The evaluation that lies beside a model; retraining takes away that of another."""
    from search.evaluation_record import Evaluation

    try:
        return Evaluation.read(model_dir)
    except UserError:
        from search.evaluation import evaluate_model

        return evaluate_model(model_dir, dataset)
