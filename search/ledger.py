"""The ledger: every report of every trial, in one SQLite file that the driver alone writes."""

import json
import sqlite3
import time
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from ae_model.configuration import Configuration, EpochRecord
from ae_model.patience import epochs_without_gain
from search.errors import SearchError
from search.identity import to_json
from search.ledger_file import lock, open_for_writing, unreadable

FINISHED = "finished"
DIVERGED = "diverged"
FAILED = "failed"
RUNNING = "running"
PENDING = "pending"
ENDED = (FINISHED, DIVERGED, FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How far a trial is."""

    status: str
    epochs: int
    """The last epoch that is recorded of it, 0 if there is none."""
    without_gain: int = 0
    """How many epochs have gone by since the last gain, if that was asked for."""


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

    def standing(self, min_gain: float | None = None) -> dict[str, Standing]:
        """How far each trial is, in the order of their numbers.

        Args:
            min_gain: What a gain is, as in `Patience`; if None, epochs without one are not counted.
        """
        with self._transaction() as connection:
            rows = connection.execute(
                "SELECT trial_id, status, coalesce(max(epoch), 0) FROM trials LEFT JOIN epochs USING (trial_id) "
                "GROUP BY trial_id ORDER BY number"
            ).fetchall()
            curves: Mapping[str, np.ndarray] = {} if min_gain is None else _mean_curves(connection)
        return {
            trial_id: Standing(
                status=status,
                epochs=epochs,
                without_gain=epochs_without_gain(curves.get(trial_id, ()), min_gain or 0.0),
            )
            for trial_id, status, epochs in rows
        }

    def set_status(self, trial_ids: Iterable[str], status: str) -> None:
        """Note what has become of trials, or is to become of them, without a report."""
        with self._transaction() as connection:
            connection.executemany(
                "UPDATE trials SET status = ? WHERE trial_id = ?", [(status, trial_id) for trial_id in trial_ids]
            )

    def baseline_sizes(self) -> set[int]:
        """The code sizes whose baseline is stored."""
        with self._transaction() as connection:
            return {size for (size,) in connection.execute("SELECT DISTINCT code_size FROM baselines")}

    def put_baseline(self, code_sizes: Sequence[int], pca_val_mse: np.ndarray) -> None:
        """Store PCA's validation MSE `(code_sizes, n_splits)`."""
        rows = [
            (code_size, fold, float(value))
            for code_size, values in zip(code_sizes, pca_val_mse, strict=True)
            for fold, value in enumerate(values)
        ]
        with self._transaction() as connection:
            connection.executemany("INSERT OR REPLACE INTO baselines VALUES (?, ?, ?)", rows)

    def start(self, trial_id: str) -> None:
        """Note that a trial is being trained; what it has recorded stays, and is replaced if it is trained anew."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE trials SET status = ?, started_at = ?, ended_at = NULL, error = NULL WHERE trial_id = ?",
                (RUNNING, time.time(), trial_id),
            )

    def record(
        self, trial_id: str, records: Iterable[EpochRecord], *, host: str, fit_seconds: float, status: str = RUNNING
    ) -> None:
        """Store a report: epochs, and the trial's status; epochs that arrive twice are stored once."""
        rows = [
            (trial_id, record.epoch, fold, *(_finite(v) for v in values))
            for record in records
            for fold, values in enumerate(
                zip(record.train_mse, record.val_mse, record.val_fve, record.dead_code_units, strict=True)
            )
        ]
        ended_at = None if status == RUNNING else time.time()
        with self._transaction() as connection:
            connection.executemany("INSERT OR REPLACE INTO epochs VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
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

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """All of the block is written or nothing."""
        with _told(self._path), self._connection as connection:
            yield connection


def _mean_curves(connection: sqlite3.Connection) -> dict[str, np.ndarray]:
    """The mean validation MSE of each trial after each of its epochs, NaN where a fold diverged; without its start."""
    errors: dict[str, list[float | None]] = defaultdict(list)
    for trial_id, val_mse in connection.execute(
        "SELECT trial_id, val_mse FROM epochs WHERE epoch > 0 ORDER BY trial_id, epoch, fold"
    ):
        errors[trial_id].append(val_mse)
    n_splits = connection.execute("SELECT coalesce(max(fold), 0) + 1 FROM epochs").fetchone()[0]
    # By NumPy, as in the workers: SQLite adds up in another way.
    return {t: np.array(values, np.float64).reshape(-1, n_splits).mean(axis=1) for t, values in errors.items()}


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
