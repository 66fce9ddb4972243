"""A search as an experiment of MLflow: a run for each trial."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlflow.entities import Metric, Param, RunTag
from mlflow.tracking import MlflowClient

from search.ledger import DIVERGED, FAILED, STOPPED
from search.tracking.records import EpochMeans, TrackedTrial

_SEARCH, _TRIAL = "ae_search.search", "ae_search.trial"
"""Tags by which a search finds its runs again, whatever else is in the experiment."""
_STATUS, _WINNER = "ae_search.status", "ae_search.winner"
_EPOCHS = "mse_validation"
_RESULT, _TEST = "result_", "test_"
_BATCH = 1000
"""How many metrics MLflow takes at once."""
_PAGE = 1000
_ENDS = {DIVERGED: "FAILED", FAILED: "FAILED", STOPPED: "KILLED"}


class MlflowTracker:
    """Writes to a tracking server or a store.

    Args:
        uri: Its address, such as http://localhost:5000 or sqlite:///mlflow.db.
        experiment: The experiment's name; it is made where it is missing.
        search_id: An id that no other search has.
        artifacts: The folder for pictures where no server keeps them.
    """

    name = "MLflow"

    def __init__(self, uri: str, *, experiment: str, search_id: str, artifacts: Path) -> None:
        self._client = MlflowClient(tracking_uri=uri)
        self._search_id = search_id
        found = self._client.get_experiment_by_name(experiment)
        if found is None:
            # A server has a place of its own; without one, MLflow would make a folder in the working directory.
            place = None if uri.startswith(("http://", "https://")) else artifacts.resolve().as_uri()
            self._experiment = self._client.create_experiment(experiment, artifact_location=place)
        elif found.lifecycle_stage != "active":
            raise ValueError(f"the experiment {experiment!r} was deleted; restore it")
        else:
            self._experiment = found.experiment_id
        self._runs: dict[str, str] = {}
        self._winners: set[str] = set()
        self._latest: dict[str, dict[str, float]] = {}
        """The last value of each metric, by trial id."""
        self._last_epochs: dict[str, int] = {}
        self._find_runs()

    def last_epochs(self) -> Mapping[str, int]:
        """See `Tracker`."""
        return self._last_epochs

    def write_epochs(self, trial: TrackedTrial, epochs: Sequence[EpochMeans]) -> None:
        """See `Tracker`."""
        run, now, rows = self._run(trial), int(time.time() * 1000), []
        for e in epochs:
            figures = {"fve_validation": e.val_fve, "mse_training": e.train_mse, _EPOCHS: e.val_mse}
            if trial.pca_val_mse is not None:
                figures["mse_validation_of_pca"] = trial.pca_val_mse
            rows.append([Metric(name, value, now, e.epoch) for name, value in figures.items()])
        # An epoch is in one batch, and a batch is written as a whole.
        n = _BATCH // 4
        for first in range(0, len(rows), n):
            self._client.log_batch(run, metrics=[metric for row in rows[first : first + n] for metric in row])
        self._last_epochs[trial.trial_id] = epochs[-1].epoch

    def write_result(self, trial: TrackedTrial, status: str, epochs: int, figures: Mapping[str, float]) -> None:
        """See `Tracker`."""
        run, figures = self._run(trial), {**figures, "epochs": float(epochs)}
        if self._changed(trial, _RESULT, figures):
            self._client.log_batch(run, params=_params(trial), tags=[RunTag(_STATUS, status)])
            self._client.set_terminated(run, _ENDS.get(status, "FINISHED"))
            self._write(trial, run, _RESULT, epochs, figures)  # last: where they are, all is

    def write_winner(self, trial: TrackedTrial, figures: Mapping[str, float], pictures: Sequence[Path]) -> None:
        """See `Tracker`."""
        run = self._run(trial)
        if not self._changed(trial, _TEST, figures):
            return
        for other in self._winners - {run}:
            self._client.delete_tag(other, _WINNER)
        self._client.set_tag(run, _WINNER, "true")
        self._winners = {run}
        for picture in pictures:
            self._client.log_artifact(run, str(picture))
        self._write(trial, run, _TEST, self._last_epochs.get(trial.trial_id, 0), figures)

    def close(self) -> None:
        """See `Tracker`."""

    def _changed(self, trial: TrackedTrial, group: str, figures: Mapping[str, float]) -> dict[str, float]:
        """The metrics that are new or other than before."""
        latest = self._latest.get(trial.trial_id, {})
        return {f"{group}{name}": v for name, v in figures.items() if latest.get(f"{group}{name}") != v}

    def _write(self, trial: TrackedTrial, run: str, group: str, step: int, figures: Mapping[str, float]) -> None:
        now, changed = int(time.time() * 1000), self._changed(trial, group, figures)
        self._client.log_batch(run, metrics=[Metric(name, value, now, step) for name, value in changed.items()])
        self._latest.setdefault(trial.trial_id, {}).update(changed)

    def _run(self, trial: TrackedTrial) -> str:
        if trial.trial_id not in self._runs:
            run = self._client.create_run(
                self._experiment,
                run_name=trial.name,
                tags={_SEARCH: self._search_id, _TRIAL: trial.trial_id, _STATUS: "running"},
            )
            self._runs[trial.trial_id] = run.info.run_id
            self._client.log_batch(run.info.run_id, params=_params(trial))
        return self._runs[trial.trial_id]

    def _find_runs(self) -> None:
        """Take note of the runs of this search that are there."""
        token: str | None = None
        while True:
            page: Any = self._client.search_runs(
                [self._experiment], f"tags.`{_SEARCH}` = '{self._search_id}'", max_results=_PAGE, page_token=token
            )
            for run in page:
                trial_id = run.data.tags[_TRIAL]
                self._runs[trial_id] = run.info.run_id
                self._latest[trial_id] = dict(run.data.metrics)
                self._winners |= {run.info.run_id} if _WINNER in run.data.tags else set()
                if _EPOCHS in run.data.metrics:
                    history = self._client.get_metric_history(run.info.run_id, _EPOCHS)
                    self._last_epochs[trial_id] = max(metric.step for metric in history)
            token = page.token
            if not token:
                return


def _params(trial: TrackedTrial) -> list[Param]:
    return [Param(name, str(value)) for name, value in trial.parameters.items()]
