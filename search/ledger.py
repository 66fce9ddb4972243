"""The ledger: every report of every trial, in one SQLite file that the driver alone writes."""

import fcntl
import hashlib
import json
import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import numpy as np

from ae_model.cross_validation import EpochRecord
from ae_model.training import Configuration

SCHEMA_VERSION = 1
FINISHED = "finished"
DIVERGED = "diverged"
FAILED = "failed"
RUNNING = "running"
PENDING = "pending"
ENDED = (FINISHED, DIVERGED, FAILED)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS search (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS trials (
    trial_id TEXT PRIMARY KEY, number INTEGER NOT NULL, configuration TEXT NOT NULL, status TEXT NOT NULL,
    error TEXT, host TEXT, fit_seconds REAL, started_at REAL, ended_at REAL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS epochs (
    trial_id TEXT NOT NULL REFERENCES trials, epoch INTEGER NOT NULL, fold INTEGER NOT NULL,
    train_mse REAL, val_mse REAL, val_fve REAL, dead_code_units INTEGER,
    PRIMARY KEY (trial_id, epoch, fold)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS baselines (
    code_size INTEGER NOT NULL, fold INTEGER NOT NULL, pca_val_mse REAL NOT NULL, PRIMARY KEY (code_size, fold)
) WITHOUT ROWID;
"""


class Ledger:
    """The open ledger of a search; use it as a context manager.

    Args:
        directory: The search's directory, which must exist.

    Raises:
        ValueError: If another process has the ledger open for writing, or the file is no ledger of this version.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / "ledger.sqlite"
        self._lock = (directory / "ledger.lock").open("a")
        try:
            # The kernel drops the lock with the process, so a driver that died never locks out the next one.
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise ValueError(
                f"{directory}: another ae-search is running in this directory. Wait for it, or give another --name."
            ) from None
        try:
            self._connection = _connect(self._path)
            self._connection.executescript(_SCHEMA)
            self._connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        except BaseException:
            self._lock.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        self._lock.close()

    def get(self, key: str) -> Any:
        """What `put` stored under a key; None if nothing."""
        row = self._connection.execute("SELECT value FROM search WHERE key = ?", (key,)).fetchone()
        return None if row is None else json.loads(row[0])

    def put(self, key: str, value: Any) -> None:
        """Store a JSON value under a key, in place of what was there."""
        with self._connection:
            self._connection.execute("INSERT OR REPLACE INTO search VALUES (?, ?)", (key, json.dumps(value)))

    def enter_trials(self, configurations: Mapping[str, Configuration]) -> None:
        """Make these the search's first trials, in this order; trials that are not among them follow."""
        with self._connection as connection:
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
                    (trial_id, number, json.dumps(asdict(configuration)), PENDING)
                    for number, (trial_id, configuration) in enumerate(configurations.items(), 1)
                ],
            )

    def unfinished(self) -> list[str]:
        """Ids of the trials that have no final result, in the order of their numbers."""
        rows = self._connection.execute(
            "SELECT trial_id FROM trials WHERE status NOT IN (?, ?) ORDER BY number", (FINISHED, DIVERGED)
        )
        return [row[0] for row in rows]

    def put_baseline(self, code_sizes: Sequence[int], pca_val_mse: np.ndarray) -> None:
        """Store PCA's validation MSE `(code_sizes, n_splits)`."""
        rows = [
            (code_size, fold, float(value))
            for code_size, values in zip(code_sizes, pca_val_mse, strict=True)
            for fold, value in enumerate(values)
        ]
        with self._connection as connection:
            connection.executemany("INSERT OR REPLACE INTO baselines VALUES (?, ?, ?)", rows)

    def start(self, trial_id: str) -> None:
        """Note that a trial is being trained from its first epoch."""
        with self._connection as connection:
            connection.execute("DELETE FROM epochs WHERE trial_id = ?", (trial_id,))
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
        with self._connection as connection:
            connection.executemany("INSERT OR REPLACE INTO epochs VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
            connection.execute(
                "UPDATE trials SET host = ?, fit_seconds = ?, status = ?, ended_at = ? WHERE trial_id = ?",
                (host, fit_seconds, status, ended_at, trial_id),
            )

    def fail(self, trial_id: str, error: str) -> None:
        """Note that a trial failed, and why."""
        with self._connection as connection:
            connection.execute(
                "UPDATE trials SET status = ?, error = ?, ended_at = ? WHERE trial_id = ?",
                (FAILED, error, time.time(), trial_id),
            )


def trial_id(configuration: Configuration, definition: Mapping[str, Any]) -> str:
    """A trial's id: a hash of its configuration and of what defines its evaluation."""
    content = json.dumps([asdict(configuration), dict(definition)], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:10]


def read_ledger(directory: str | Path, query: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Column names and rows of a query; works while a search is writing.

    Raises:
        ValueError: If the directory holds no ledger, or it cannot be read.
    """
    path = Path(directory) / "ledger.sqlite"
    if not path.is_file():
        raise ValueError(f"{directory}: is no search's directory, ledger.sqlite is missing. Check the path.")
    with closing(_connect(path)) as connection:
        try:
            cursor = connection.execute(query)
            return [column[0] for column in cursor.description], cursor.fetchall()
        except sqlite3.DatabaseError as error:
            raise _unreadable(path, error) from error


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=30)
    try:
        # WAL: readers see a whole state while the driver writes, and a killed driver leaves a whole file.
        connection.execute("PRAGMA journal_mode = WAL")
        # A killed process loses nothing by this; a power cut can lose the last seconds, and leaves a whole file.
        connection.execute("PRAGMA synchronous = NORMAL")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0 and connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            raise sqlite3.DatabaseError("it is another program's database")
    except sqlite3.DatabaseError as error:
        connection.close()
        raise _unreadable(path, error) from error
    if version > SCHEMA_VERSION:
        connection.close()
        raise ValueError(f"{path}: is of version {version}, but this ae-search reads up to {SCHEMA_VERSION}. Upgrade.")
    return connection


def _unreadable(path: Path, error: sqlite3.DatabaseError) -> ValueError:
    return ValueError(f"{path}: is no readable ledger ({error}). Move it away, or give another --name.")


def _finite(value: float) -> float | None:
    number = float(value)
    return number if np.isfinite(number) else None
