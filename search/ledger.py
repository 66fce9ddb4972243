"""The ledger: every report of every trial, in one SQLite file that the driver alone writes."""

import json
import sqlite3
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from jaxtyping import Float, Int

from ae_model.configuration import Configuration, EpochRecord, OutOfFold
from ae_model.patience import epochs_without_gain
from ae_model.probe import Probed, ProbeScores
from search.errors import SearchError
from search.identity import to_json
from search.ledger_file import lock, open_for_writing, unreadable

FINISHED = "finished"
DIVERGED = "diverged"
FAILED = "failed"
RUNNING = "running"
PENDING = "pending"
STOPPED = "stopped"
ENDED = (FINISHED, DIVERGED, FAILED, STOPPED)
NEVER = 10**9
"""More than any number of epochs, or of folds."""
_ALL_STANDING = """
SELECT trial_id, status, coalesce(max(epoch), 0) FROM trials
LEFT JOIN (SELECT trial_id, epoch FROM epochs WHERE fold < :n_splits) USING (trial_id)
GROUP BY trial_id ORDER BY number
"""
_STANDING = """
SELECT trial_id, status, coalesce(max(epoch), 0) FROM trials
LEFT JOIN (
    SELECT trial_id, epoch FROM epochs
    WHERE fold < :n_splits AND trial_id IN (SELECT value FROM json_each(:trials))
) USING (trial_id)
WHERE trial_id IN (SELECT value FROM json_each(:trials)) GROUP BY trial_id ORDER BY number
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How far a trial is."""

    status: str
    epochs: int
    """The last epoch that is recorded of it, 0 if there is none."""
    without_gain: int = 0
    """How many epochs have gone by since the last gain, if that was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcome:
    """What a trial has given up to an epoch; fewer epochs where it ended before, none where it failed."""

    epochs: Int[np.ndarray, " n"]
    """The numbers of the epochs, rising; from 0 where the start was looked at, else from 1."""
    val_mse: Float[np.ndarray, "n n_splits"]
    """Scaled units squared; NaN where a fold diverged."""
    val_fve: Float[np.ndarray, "n n_splits"]

    def curve(self) -> Float[np.ndarray, " n"]:
        """The mean validation MSE after each of the epochs."""
        mean: np.ndarray = self.val_mse.mean(axis=1)  # by NumPy, as in the workers: SQLite adds up in another way
        return mean

    def trained_curve(self) -> Float[np.ndarray, " m"]:
        """The same without the start."""
        return self.curve()[self.epochs > 0]


class Ledger:
    """The open ledger of a search; use it as a context manager.

    Args:
        directory: The search's directory, which must exist.

    Raises:
        UserError: If another process has the ledger open for writing, or the file is not a ledger.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / "ledger.sqlite"
        with ExitStack() as stack:
            stack.enter_context(lock(directory))
            with _told(self._path):
                self._connection = stack.enter_context(closing(open_for_writing(self._path)))
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def get(self, key: str) -> Any:
        """What `put` stored under a key; None if nothing."""
        with self._transaction() as connection:
            row = connection.execute("SELECT value FROM search WHERE key = ?", (key,)).fetchone()
            return None if row is None else json.loads(row[0])

    def put(self, key: str, value: Any) -> None:
        """Store a JSON value under a key, in place of what was there."""
        with self._transaction():
            self._connection.execute("INSERT OR REPLACE INTO search VALUES (?, ?)", (key, json.dumps(value)))

    def search_id(self) -> str:
        """An id that no other ledger has."""
        with self._transaction() as connection:
            connection.execute("INSERT OR IGNORE INTO search VALUES ('id', ?)", (json.dumps(uuid.uuid4().hex),))
        return str(self.get("id"))

    def enter_trials(self, configurations: Mapping[str, Configuration]) -> None:
        """Make these the search's first trials, in this order; trials that are not among them follow."""
        with self._transaction() as connection:
            rows = connection.execute("SELECT trial_id FROM trials ORDER BY number").fetchall()
            others = [trial_id for (trial_id,) in rows if trial_id not in configurations]
            connection.executemany(
                "UPDATE trials SET number = ? WHERE trial_id = ?",
                [(number, trial_id) for number, trial_id in enumerate(others, len(configurations) + 1)],
            )
            connection.executemany(
                "INSERT INTO trials (trial_id, number, configuration, status) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (trial_id) DO UPDATE SET number = excluded.number",
                [
                    (trial_id, number, to_json(configuration), PENDING)
                    for number, (trial_id, configuration) in enumerate(configurations.items(), 1)
                ],
            )

    def standing(self, min_gain: float | None = None, trials: Iterable[str] | None = None) -> dict[str, Standing]:
        """How far trials are with their first folds, in the order of their numbers.

        Args:
            min_gain: What a gain is, as in `Patience`; if None, epochs without one are not counted.
            trials: The ids of the trials; all if None.
        """
        statement = _ALL_STANDING if trials is None else _STANDING
        values = {"n_splits": self._n_splits(), "trials": json.dumps(list(trials or ()))}
        with self._transaction() as connection:
            rows = connection.execute(statement, values).fetchall()
        outcomes = {} if min_gain is None else self.outcomes({trial_id: 10**9 for trial_id, _, _ in rows})
        return {
            trial_id: Standing(
                status=status,
                epochs=epochs,
                without_gain=epochs_without_gain(outcomes[trial_id].trained_curve(), min_gain or 0.0)
                if outcomes
                else 0,
            )
            for trial_id, status, epochs in rows
        }

    def repeated_epochs(self, trials: Iterable[str]) -> dict[str, int]:
        """How far the repeats of trials are: the last epoch that is recorded, 0 if there is none.

        Where one diverged there is nothing to go on with: then it is `NEVER`.
        """
        n_splits = self._n_splits()
        with self._transaction() as connection:
            rows = connection.execute(
                "SELECT value, CASE WHEN count(epoch) > count(val_mse) THEN ? ELSE coalesce(max(epoch), 0) END "
                "FROM json_each(?) LEFT JOIN "
                "(SELECT trial_id, epoch, val_mse FROM epochs WHERE fold >= ?) ON trial_id = value GROUP BY value",
                (NEVER, json.dumps(list(trials)), n_splits),
            )
            return dict(rows.fetchall())

    def outcomes(self, targets: Mapping[str, int]) -> dict[str, Outcome]:
        """What trials have given with their first folds, each up to an epoch."""
        n_splits = self._n_splits()
        with self._transaction() as connection:
            rows = connection.execute(
                "SELECT trial_id, epoch, val_mse, val_fve FROM json_each(?) JOIN epochs ON trial_id = key "
                "WHERE epoch <= json_each.value AND fold < ? ORDER BY trial_id, epoch, fold",
                (json.dumps(dict(targets)), n_splits),
            ).fetchall()
        by_trial: dict[str, list[tuple[int, float | None, float | None]]] = {trial_id: [] for trial_id in targets}
        for trial_id, *values in rows:
            by_trial[trial_id].append(tuple(values))
        return {trial_id: _outcome(values) for trial_id, values in by_trial.items()}

    def set_status(self, trial_ids: Iterable[str], status: str) -> None:
        """Note what has become of trials, or is to become of them, without a report."""
        with self._transaction() as connection:
            connection.executemany(
                "UPDATE trials SET status = ? WHERE trial_id = ?", [(status, trial_id) for trial_id in trial_ids]
            )

    def note_stopped(self, stopped: Mapping[str, tuple[int, float]]) -> None:
        """Note which trials have been given up, and no others: the rung after which each was, and its forecast."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE trials SET status = ?, rung = NULL, forecast = NULL WHERE status = ?", (PENDING, STOPPED)
            )
            connection.executemany(
                "UPDATE trials SET status = ?, rung = ?, forecast = ? WHERE trial_id = ? AND status NOT IN (?, ?)",
                [(STOPPED, rung, _finite(value), t, DIVERGED, FAILED) for t, (rung, value) in stopped.items()],
            )

    def baseline_sizes(self, fold: int = 0) -> set[int]:
        """The code sizes whose baseline in a fold is stored."""
        with self._transaction() as connection:
            rows = connection.execute("SELECT DISTINCT code_size FROM baselines WHERE fold = ?", (fold,))
            return {size for (size,) in rows}

    def put_baseline(self, code_sizes: Sequence[int], pca_val_mse: np.ndarray, first_fold: int = 0) -> None:
        """Store PCA's validation MSE `(code_sizes, folds)`."""
        rows = [
            (code_size, fold, float(value))
            for code_size, values in zip(code_sizes, pca_val_mse, strict=True)
            for fold, value in enumerate(values, first_fold)
        ]
        with self._transaction() as connection:
            connection.executemany("INSERT OR REPLACE INTO baselines VALUES (?, ?, ?)", rows)

    def probed_sizes(self) -> set[int]:
        """The code sizes at which labels were predicted from PCA's codes; 0 for the features themselves."""
        with self._transaction() as connection:
            rows = connection.execute("SELECT DISTINCT code_size FROM probes WHERE trial_id = ''")
            return {size for (size,) in rows}

    def put_probe(self, code_size: int, scores: ProbeScores) -> None:
        """Store what was predicted from PCA's codes of a size, or from the features themselves with size 0."""
        with self._transaction() as connection:
            _put_probe(connection, "", code_size, 0, scores)

    def drop_probes(self) -> None:
        """Forget all that was predicted, as where the labels have changed."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM probes")

    def start(self, trial_id: str) -> None:
        """Note that a trial is being trained; what it has recorded stays, and is replaced if it is trained anew."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE trials SET status = ?, started_at = ?, ended_at = NULL, error = NULL WHERE trial_id = ?",
                (RUNNING, time.time(), trial_id),
            )

    def record(
        self,
        trial_id: str,
        records: Iterable[EpochRecord],
        *,
        host: str = "",
        fit_seconds: float = 0.0,
        status: str | None = RUNNING,
        first_fold: int = 0,
        out_of_fold: OutOfFold | None = None,
        probed: Probed | None = None,
    ) -> None:
        """Store a report: epochs, and the trial's status; epochs that arrive twice are stored once.

        Args:
            trial_id: The trial.
            records: Its epochs.
            host: Where it was trained.
            fit_seconds: What it has taken so far.
            status: What has become of it; None for a repeat, of which the epochs alone are stored.
            first_fold: The number of the records' first fold.
            out_of_fold: Its errors at its best epoch so far; those before stay if None.
            probed: How useful its codes are, likewise.
        """
        rows = [
            (trial_id, record.epoch, fold, *(_finite(v) for v in values))
            for record in records
            for fold, values in enumerate(
                zip(record.train_mse, record.val_mse, record.val_fve, record.dead_code_units, strict=True), first_fold
            )
        ]
        ended_at = None if status == RUNNING else time.time()
        with self._transaction() as connection:
            connection.executemany("INSERT OR REPLACE INTO epochs VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
            if out_of_fold is not None:
                content = out_of_fold.mse.astype("<f4").tobytes()
                values = trial_id, out_of_fold.epoch, content
                connection.execute("INSERT OR REPLACE INTO out_of_fold VALUES (?, ?, ?)", values)
            if probed is not None:
                _put_probe(connection, trial_id, 0, probed.epoch, probed.scores)
            if status is None:
                return
            connection.execute(
                "UPDATE trials SET host = ?, fit_seconds = ?, status = ?, ended_at = ? WHERE trial_id = ?",
                (host, fit_seconds, status, ended_at, trial_id),
            )

    def fail(self, trial_id: str, error: str) -> None:
        """Note that a trial failed, and why."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE trials SET status = ?, error = ?, ended_at = ? WHERE trial_id = ?",
                (FAILED, error, time.time(), trial_id),
            )

    def _n_splits(self) -> int:
        """How many folds are a trial's own: those of its repeats have the numbers that follow."""
        definition: Mapping[str, int] = self.get("definition") or {}
        return definition.get("search.n_splits", NEVER)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """All of the block is written or nothing."""
        with _told(self._path), self._connection as connection:
            yield connection


def _put_probe(connection: sqlite3.Connection, trial_id: str, code_size: int, epoch: int, scores: ProbeScores) -> None:
    rows = [
        (trial_id, code_size, fold, epoch, _finite(linear), _finite(nearest))
        for fold, (linear, nearest) in enumerate(zip(scores.linear, scores.nearest, strict=True))
    ]
    connection.executemany("INSERT OR REPLACE INTO probes VALUES (?, ?, ?, ?, ?, ?)", rows)


def _outcome(rows: Sequence[tuple[int, float | None, float | None]]) -> Outcome:
    """What a trial has given, of rows that are sorted by epoch and fold; a fold that diverged is NaN."""
    epochs = np.array(sorted({epoch for epoch, _, _ in rows}), np.int64)
    n_folds = len(rows) // max(len(epochs), 1)
    val_mse, val_fve = (np.array([row[n] for row in rows], np.float64).reshape(-1, max(n_folds, 1)) for n in (1, 2))
    return Outcome(epochs=epochs, val_mse=val_mse, val_fve=val_fve)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """SearchError says that nothing can be written now, UserError that the file is damaged."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise SearchError(
            f"{path}: cannot be written ({error}). What was finished before is kept; fix that, then run the "
            "same command again."
        ) from error
    except (sqlite3.DatabaseError, json.JSONDecodeError) as error:
        raise unreadable(path, error) from error


def _finite(value: float) -> float | None:
    number = float(value)
    return number if np.isfinite(number) else None
