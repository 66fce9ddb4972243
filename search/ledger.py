"""The ledger: every report of every trial, in one SQLite file that the driver alone writes."""

import fcntl
import hashlib
import json
import os
import sqlite3
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, Self

import numpy as np

from ae_model.configuration import Configuration, EpochRecord
from ae_model.errors import UserError
from search.errors import SearchError

APPLICATION_ID = 0x61655365
"""Tells a ledger from other programs' SQLite files."""
SCHEMA_VERSION = 1
FINISHED = "finished"
DIVERGED = "diverged"
FAILED = "failed"
RUNNING = "running"
PENDING = "pending"
ENDED = (FINISHED, DIVERGED, FAILED)

_SCHEMA = f"""
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
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION}
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
        with ExitStack() as stack:
            stack.enter_context(lock(directory))
            self._connection = stack.enter_context(closing(_connect(self._path, "mode=rwc")))
            with self._transaction() as connection:
                # WAL: readers see a whole state while the driver writes, and a killed driver leaves a whole file.
                connection.execute("PRAGMA journal_mode = WAL")
                # A killed process loses nothing by this; a power cut can lose the last seconds, the file stays whole.
                connection.execute("PRAGMA synchronous = NORMAL")
                if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
                    connection.execute("BEGIN IMMEDIATE")
                    for statement in _SCHEMA.split(";"):
                        connection.execute(statement)
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
                    (trial_id, number, json.dumps(asdict(configuration)), PENDING)
                    for number, (trial_id, configuration) in enumerate(configurations.items(), 1)
                ],
            )

    def unfinished(self) -> list[str]:
        """Ids of the trials that have no final result, in the order of their numbers."""
        with self._transaction() as connection:
            rows = connection.execute(
                "SELECT trial_id FROM trials WHERE status NOT IN (?, ?) ORDER BY number", (FINISHED, DIVERGED)
            )
            return [row[0] for row in rows]

    def epochs_recorded(self) -> dict[str, int]:
        """The last epoch that is recorded of each trial that has any."""
        with self._transaction() as connection:
            return dict(connection.execute("SELECT trial_id, max(epoch) FROM epochs GROUP BY trial_id").fetchall())

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
        """All of the block is written or nothing: RuntimeError if nothing can be, ValueError if the file is damaged."""
        try:
            with self._connection as connection:
                yield connection
        except sqlite3.OperationalError as error:
            raise SearchError(
                f"{self._path}: cannot be written ({error}). What was finished before is kept; mend that, then run the "
                "same command again."
            ) from error
        except (sqlite3.DatabaseError, json.JSONDecodeError) as error:
            raise _unreadable(self._path, error) from error


@contextmanager
def lock(directory: Path) -> Iterator[None]:
    """Keep all other drivers out of a search's directory.

    Raises:
        ValueError: If one is in it.
    """
    path = directory / "ledger.lock"
    try:
        file = path.open("a")
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}). Give another --results-dir.") from error
    with file:
        # The kernel drops the lock with the process, so a driver that died never locks out the next one.
        if not any(_try_lock(file, wait_s) for wait_s in (0, 0.1, 0.4)):  # `is_running` may hold it for an instant
            raise UserError(
                f"{directory}: another ae-search is running in this directory. Wait for it, or give another --name."
            )
        yield


def _try_lock(file: IO[str], wait_s: float) -> bool:
    time.sleep(wait_s)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_running(directory: str | Path) -> bool:
    """Whether a driver is at work in a search's directory; on a file system shared by hosts, perhaps another host's."""
    try:
        with (Path(directory) / "ledger.lock").open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # there is none
        return False
    return False


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
    if not os.path.isfile(path):  # not Path's, which raises where a name is too long
        raise UserError(f"{directory}: is no search's directory, ledger.sqlite is missing. Check the path.")
    # Readers use the WAL, and need an index beside it, which they make: unless there is no WAL, and nobody writes.
    waiting = path.with_name("ledger.sqlite-wal")
    mode = "mode=rw"
    if not os.access(path.parent, os.W_OK):
        mode = "mode=ro" if waiting.exists() and waiting.stat().st_size else "mode=ro&immutable=1"
    with closing(_connect(path, mode)) as connection:
        try:
            cursor = connection.execute(query)
            return [column[0] for column in cursor.description], cursor.fetchall()
        except sqlite3.DatabaseError as error:
            raise _unreadable(path, error) from error


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    """Open the file, and change nothing in it; ValueError if it is no ledger of a version that is known here."""
    try:
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?{mode}", timeout=30, uri=True)
    except sqlite3.DatabaseError as error:
        raise _unreadable(path, error) from error
    try:
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if application != APPLICATION_ID and connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            raise sqlite3.DatabaseError("it is another program's database")
        if version > SCHEMA_VERSION:
            raise UserError(
                f"{path}: is of version {version}, but this ae-search reads up to {SCHEMA_VERSION}. Upgrade ae-search."
            )
    except sqlite3.DatabaseError as error:
        connection.close()
        raise _unreadable(path, error) from error
    except BaseException:
        connection.close()
        raise
    return connection


def _unreadable(path: Path, error: Exception) -> UserError:
    # "no such table" is an OperationalError too, but not one of the disk.
    if isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode != sqlite3.SQLITE_ERROR:
        return UserError(f"{path}: cannot be opened now ({error}). Check disk space and permissions, and try again.")
    return UserError(f"{path}: is no readable ledger ({error}). Move it away, or give another --name.")


def _finite(value: float) -> float | None:
    number = float(value)
    return number if np.isfinite(number) else None
