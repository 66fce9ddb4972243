"""The process that follows a search: what is new in the ledger goes to the trackers, until the search has ended."""

import json
import logging
import math
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import Any

from ae_model.configuration import Configuration
from ae_model.errors import UserError
from search.ledger import ENDED
from search.ledger_reader import read_baselines, read_configurations, read_epochs_after, read_trials, read_value
from search.tracking.records import EpochMeans, TrackedTrial, Tracker
from search.trained import trained_trial

POLL_S = 2.0
"""Seconds between two looks at the ledger."""
ENDED_WELL = b"finished"
"""What a driver says at its end, when there is a winner."""
_RESULTS = ("val_mse_mean", "val_mse_se", "val_fve_mean", "train_mse_mean", "pca_val_mse_mean", "best_epoch", "rank")
_TESTS = ("mse", "mse_se", "fve", "psnr_db", "pca_mse", "pca_fve", "dead_code_units", "n_test")
_PICTURES = ("reconstructions.png", "feature_errors.png")
_LATER = "the same command run again completes it"


class Follower:
    """Hands what is new in a search's directory to one tracker after the other.

    Args:
        directory: The search's directory.
        trackers: Functions that make a tracker, by its name. One that fails is named, and left out from then on.
        complain: Called with a line about a tracker that failed.
    """

    def __init__(
        self, directory: Path, trackers: Mapping[str, Callable[[], Tracker]], complain: Callable[[str], None]
    ) -> None:
        self._directory, self._complain = directory, complain
        self._trackers: list[Tracker] = []
        self._results: dict[str, Mapping[str, Any]] = {}
        self._signature: object = None
        for name, make in trackers.items():
            self._attempt(name, lambda make=make: self._trackers.append(make()))  # type: ignore[misc]

    def is_needed(self) -> bool:
        """Whether any tracker is left."""
        return bool(self._trackers)

    def look(self) -> None:
        """Hand over what is new."""
        try:
            trials = self._trials()
            news = [(tracker, list(self._new_epochs(tracker, trials))) for tracker in self._trackers]
            results = self._new_results()
        except UserError:  # the ledger is made or moved at this moment
            return
        for tracker, epochs in news:
            self._attempt(tracker.name, lambda t=tracker, e=epochs: self._hand_over(t, trials, e, results))  # type: ignore[misc]

    def finish(self) -> None:
        """Hand over the winner."""
        model_dir = self._directory / "best"
        trained = trained_trial(model_dir)
        trial = None if trained is None else self._trials().get(trained[0])
        with suppress(OSError, ValueError):
            evaluation = json.loads((model_dir / "evaluation.json").read_text(encoding="utf-8"))
            if trial is None or evaluation.get("trial_id") != trial.trial_id:
                return
            figures = _numbers({name: evaluation.get(name) for name in _TESTS})
            pictures = [model_dir / name for name in _PICTURES if (model_dir / name).is_file()]
            for tracker in list(self._trackers):
                self._attempt(tracker.name, lambda t=tracker: t.write_winner(trial, figures, pictures))  # type: ignore[misc]

    def close(self) -> None:
        """Let the trackers write what they hold back."""
        for tracker in list(self._trackers):
            self._attempt(tracker.name, tracker.close)

    def _attempt(self, name: str, action: Callable[[], object]) -> None:
        """Do something with a tracker; whatever goes wrong is its own, and only its end."""
        try:
            action()
        except Exception as error:
            logging.getLogger(__name__).exception("%s", name)
            self._trackers = [tracker for tracker in self._trackers if tracker.name != name]
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            self._complain(f"{name}: not written any more, the search goes on ({reason}); {_LATER}")

    def _trials(self) -> dict[str, TrackedTrial]:
        n_splits = self._n_splits()
        baselines: dict[int, list[float]] = {}
        for code_size, fold, value in read_baselines(self._directory)[1]:
            if fold < n_splits:
                baselines.setdefault(code_size, []).append(value)
        return {
            trial_id: TrackedTrial(
                trial_id=trial_id,
                name=f"{c.text}_{trial_id}",
                parameters=_parameters(c),
                pca_val_mse=sum(pca) / len(pca) if (pca := baselines.get(c.code_size)) else None,
            )
            for trial_id, c in read_configurations(self._directory).items()
        }

    def _n_splits(self) -> int:
        return int((read_value(self._directory, "definition") or {}).get("search.n_splits", 10**9))

    def _new_epochs(
        self, tracker: Tracker, trials: Mapping[str, TrackedTrial]
    ) -> Iterator[tuple[TrackedTrial, list[EpochMeans]]]:
        last = {**dict.fromkeys(trials, -1), **tracker.last_epochs()}
        _, rows = read_epochs_after(self._directory, {t: last[t] for t in trials}, self._n_splits())
        for trial_id, of_trial in groupby(rows, key=lambda row: row[0]):
            yield trials[trial_id], [_means(*row[1:]) for row in of_trial]

    def _new_results(self) -> dict[str, Mapping[str, Any]]:
        """The rows of the table of trials that have ended, if it may be another than at the last look."""
        columns, rows = read_trials(self._directory)
        at = columns.index("status")
        if not any(row[at] in ENDED for row in rows):
            return {}
        # Repeats change a trial's result without changing its row in the ledger: they come in packs of all epochs.
        signature = [row[at] for row in rows], read_value(self._directory, "round")
        if signature == self._signature:
            return {}
        from search.tables import load_trials  # pandas takes a second to import

        table = load_trials(self._directory)
        self._signature = signature
        ended = table[table["status"].isin(ENDED)]
        return {
            str(row["trial_id"]): {str(name): value for name, value in row.items()}
            for _, row in ended.astype(object).iterrows()
        }

    def look_at_all_results(self) -> None:
        """Hand over what is new, and the result of every trial: repeats may have changed it."""
        self._signature = None
        self.look()

    def _hand_over(
        self,
        tracker: Tracker,
        trials: Mapping[str, TrackedTrial],
        epochs: Sequence[tuple[TrackedTrial, list[EpochMeans]]],
        results: Mapping[str, Mapping[str, Any]],
    ) -> None:
        for trial, of_trial in epochs:
            tracker.write_epochs(trial, of_trial)
        for trial_id, row in results.items():
            if trial_id in trials:
                figures = _numbers({name: row[name] for name in _RESULTS})
                last = _numbers({"epochs": row["epochs"]}).get("epochs", 0)
                tracker.write_result(trials[trial_id], str(row["status"]), int(last), figures)


def _means(epoch: int, val_mse: float | None, val_fve: float | None, train_mse: float | None) -> EpochMeans:
    val_mse, val_fve, train_mse = (math.nan if value is None else value for value in (val_mse, val_fve, train_mse))
    return EpochMeans(epoch=epoch, val_mse=val_mse, val_fve=val_fve, train_mse=train_mse)


def _parameters(configuration: Configuration) -> dict[str, str | int | float]:
    names = (
        "hidden_activation", "code_activation", "init", "learning_rate", "batch_size", "weight_decay",
        "learning_rate_schedule", "dropout", "noise_std", "mask_fraction",
    )  # fmt: skip
    chosen = {name: getattr(configuration, name) for name in names}
    return {"layer_sizes": configuration.text, "code_size": configuration.code_size, **chosen}


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """Those that are numbers."""
    numbers = {}
    for name, value in values.items():
        with suppress(TypeError, ValueError):  # None, and pandas' NA
            if math.isfinite(float(value)):
                numbers[name] = float(value)
    return numbers


def main(directory: Path, settings: Mapping[str, Any], search_id: str, patience_s: float) -> None:
    """Follow a search until standard input ends, then catch up, for so many seconds at most.

    Lines for the user go to standard output; what libraries say, and tracebacks, to standard error.
    """
    lines = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever a library prints is not for the user
    logging.basicConfig()

    def complain(line: str) -> None:
        with suppress(OSError):  # whoever would read it is gone
            print(line, file=lines, flush=True)  # the pipe to the driver

    said = threading.Event()
    outcome = bytearray()

    def listen() -> None:
        while chunk := os.read(0, 64):
            outcome.extend(chunk)
        said.set()
        # A server that does not answer cannot be interrupted from within.
        threading.Event().wait(patience_s)
        os._exit(1)

    threading.Thread(target=listen, daemon=True).start()
    follow = Follower(directory, _makers(directory, settings, search_id), complain)
    while not said.wait(POLL_S) and follow.is_needed():
        follow.look()
    if follow.is_needed():
        follow.look_at_all_results()
        if bytes(outcome) == ENDED_WELL:
            follow.finish()
        follow.close()


def _makers(directory: Path, settings: Mapping[str, Any], search_id: str) -> dict[str, Callable[[], Tracker]]:
    makers: dict[str, Callable[[], Tracker]] = {}

    def tensorboard() -> Tracker:
        from search.tracking.for_tensorboard import TensorBoardTracker

        return TensorBoardTracker(directory / "tensorboard")

    def mlflow() -> Tracker:
        from search.tracking.for_mlflow import MlflowTracker

        return MlflowTracker(
            settings["mlflow"],
            experiment=directory.name,
            search_id=search_id,
            artifacts=directory / "mlflow",
        )

    if settings["tensorboard"]:
        makers["TensorBoard"] = tensorboard
    if settings["mlflow"] is not None:
        makers["MLflow"] = mlflow
    return makers


def script() -> None:
    """What the driver starts, with the arguments of `main` as JSON."""
    directory, *others = json.loads(sys.argv[1])
    main(Path(directory), *others)
