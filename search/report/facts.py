"""What a report is made from: everything that a search has on disk, read without disturbing it."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ae_model.errors import UserError
from search.evaluation_record import Evaluation
from search.ledger import ENDED, RUNNING
from search.ledger_file import is_running
from search.ledger_reader import read_value
from search.selection import Selection, present_selection
from search.settings import SearchSettings
from search.settings_files import search_settings
from search.smallest_code_record import SmallestCode
from search.tables import configuration_labels, load_epochs, load_folds, load_trials
from search.trained import trained_trial
from search.usefulness import Usefulness, usefulness


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Facts:
    """A search as it is now."""

    directory: Path
    settings: SearchSettings
    environment: dict[str, Any]
    trials: pd.DataFrame
    """As `load_trials` returns them, with a `label`; what is running where no search is at work is "interrupted"."""
    folds: pd.DataFrame
    epochs: pd.DataFrame
    selection: Selection | None
    """The winner, or the best so far of a search that has not ended; None before any epoch is complete."""
    has_ended: bool
    """Whether nothing is left to train, and the winner is trained and evaluated."""
    at_work: bool
    """Whether a search is running in the directory."""
    model_dir: Path
    evaluation: Evaluation | None
    """The winner's figures on the test set; None until it has them."""
    usefulness: Usefulness | None
    """How well labels are predicted from the winner's code."""
    smallest: SmallestCode | None
    """The answers of a search for the smallest code."""
    bottleneck: pd.DataFrame | None
    """PCA's spectrum: the content of `bottleneck.csv`."""
    training_seconds: float | None
    """How long all runs have trained, by the clock."""

    @property
    def winner(self) -> "pd.Series[Any] | None":
        """The row of the winner in the table of trials."""
        if self.selection is None:
            return None
        row: pd.Series[Any] = self.trials[self.trials["trial_id"] == self.selection.trial_id].iloc[0]
        return row

    @property
    def name(self) -> str:
        """What the search is called."""
        return self.directory.resolve().name


def read_facts(directory: str | Path, *, at_work: bool | None = None) -> Facts:
    """Everything that a report shows.

    Args:
        directory: The search's directory.
        at_work: Whether a search is running there; looked up if None.

    Raises:
        UserError: If the directory is not a search directory.
    """
    directory = Path(directory)
    at_work = is_running(directory) if at_work is None else at_work
    trials, folds = load_trials(directory), load_folds(directory)
    trials = trials.assign(label=configuration_labels(trials))
    is_left = ~trials["status"].isin(ENDED)
    trials["status"] = trials["status"].astype("string")
    if not at_work:
        trials["status"] = trials["status"].replace({RUNNING: "interrupted"})
    model_dir = directory / "best"
    epochs = load_epochs(directory)
    selection = present_selection(directory, trials, folds, epochs)
    evaluation = smallest = None
    is_trained = selection is not None and trained_trial(model_dir) == (selection.trial_id, selection.best_epoch)
    if is_trained:
        with suppress(UserError):
            evaluation = Evaluation.read(model_dir)
    with suppress(UserError):
        smallest = SmallestCode.read(directory)
    settings = search_settings(directory)
    has_result = evaluation is not None or (is_trained and settings.data.test_fraction == 0)
    is_bounded = settings.search.time_budget_s is not None or settings.search.max_fold_epochs is not None
    bottleneck = directory / "bottleneck.csv"
    return Facts(
        directory=directory,
        settings=settings,
        environment=read_value(directory, "environment") or {},
        trials=trials,
        folds=folds,
        epochs=epochs,
        selection=selection,
        has_ended=has_result and not at_work and (is_bounded or not is_left.any()),
        at_work=at_work,
        model_dir=model_dir,
        evaluation=evaluation,
        usefulness=None if selection is None else usefulness(directory, trials, folds, selection.trial_id),
        smallest=smallest if settings.search.algorithm == "smallest-code" else None,
        bottleneck=pd.read_csv(bottleneck) if bottleneck.is_file() else None,
        training_seconds=read_value(directory, "training_seconds"),
    )
