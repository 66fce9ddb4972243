"""The ledger's file: its layout, opening it, and the lock that keeps a second driver out."""

import fcntl
import json
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ae_model.errors import UserError
from search.identity import from_json, trial_id

APPLICATION_ID = 0x61655365
"""Tells a ledger from other programs' SQLite files."""
SCHEMA_VERSION = 4
"""Since 2 a trial's id does not depend on the number of epochs that were asked for; since 3 trials can be stopped;
since 4 there are out-of-fold errors, as float32, lowest byte first, and what is predicted from codes: of a trial at its
best epoch, without a trial from PCA's codes of a size, and from the features themselves with size 0."""
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS search (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS trials (
    trial_id TEXT PRIMARY KEY, number INTEGER NOT NULL, configuration TEXT NOT NULL, status TEXT NOT NULL,
    error TEXT, host TEXT, fit_seconds REAL, started_at REAL, ended_at REAL, rung INTEGER, forecast REAL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS epochs (
    trial_id TEXT NOT NULL REFERENCES trials, epoch INTEGER NOT NULL, fold INTEGER NOT NULL,
    train_mse REAL, val_mse REAL, val_fve REAL, dead_code_units INTEGER,
    PRIMARY KEY (trial_id, epoch, fold)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS baselines (
    code_size INTEGER NOT NULL, fold INTEGER NOT NULL, pca_val_mse REAL NOT NULL, PRIMARY KEY (code_size, fold)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS out_of_fold (
    trial_id TEXT PRIMARY KEY REFERENCES trials, epoch INTEGER NOT NULL, mse BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS probes (
    trial_id TEXT NOT NULL, code_size INTEGER NOT NULL, fold INTEGER NOT NULL, epoch INTEGER NOT NULL,
    linear REAL, nearest REAL, PRIMARY KEY (trial_id, code_size, fold)
) WITHOUT ROWID;
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION}
"""


def open_for_writing(path: Path) -> sqlite3.Connection:
    """Open a ledger, made or brought to this version's layout where that is needed.

    Raises:
        UserError: If the file is not a ledger of a version that is known here.
        sqlite3.Error: If it cannot be written.
    """
    connection = connect(path, "mode=rwc")
    try:
        with connection:
            # WAL: readers see a whole state while the driver writes, and a killed driver leaves a whole file.
            connection.execute("PRAGMA journal_mode = WAL")
            # A killed process loses nothing by this; a power cut can lose the last seconds, the file stays whole.
            connection.execute("PRAGMA synchronous = NORMAL")
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version < SCHEMA_VERSION:
                connection.execute("BEGIN IMMEDIATE")
                if version == 1:
                    try:
                        _renew_ids(connection)
                    except (ValueError, TypeError, LookupError, AttributeError) as error:
                        raise unreadable(path, error) from error
                if version in (1, 2):
                    connection.execute("ALTER TABLE trials ADD COLUMN rung INTEGER")
                    connection.execute("ALTER TABLE trials ADD COLUMN forecast REAL")
                for statement in _SCHEMA.split(";"):
                    connection.execute(statement)
    except BaseException:
        connection.close()
        raise
    return connection


def connect(path: Path, mode: str) -> sqlite3.Connection:
    """Open the file, and change nothing in it; UserError if it is not a ledger of a known version."""
    try:
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?{mode}", timeout=30, uri=True)
    except sqlite3.DatabaseError as error:
        raise unreadable(path, error) from error
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
        raise unreadable(path, error) from error
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def lock(directory: Path, name: str = "ledger.lock") -> Iterator[None]:
    """Keep all others who take the same lock out of a search's directory.

    Args:
        directory: The search's directory.
        name: The file that is locked: all drivers take the ledger's.

    Raises:
        UserError: If another holds it.
    """
    path = directory / name
    try:
        file = path.open("a")
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}). Give another --results-dir.") from error
    with file:
        # The kernel drops the lock with the process, so a driver that died never locks out the next one; `is_running`
        # may hold it for an instant.
        if not any(_try_lock(file, path, wait_s) for wait_s in (0, 0.1, 0.4)):
            raise UserError(
                f"{directory}: another ae-search is running in this directory. Wait for it, or give another --name."
            )
        yield


def _try_lock(file: IO[str], path: Path, wait_s: float) -> bool:
    time.sleep(wait_s)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(file.fileno()), path.stat())  # else the directory was moved aside meanwhile
    except (BlockingIOError, FileNotFoundError):
        return False


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


def unreadable(path: Path, error: Exception) -> UserError:
    """What to tell of a ledger that cannot be read now, or not at all."""
    # "no such table" is an OperationalError too, but not one of the disk.
    if isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode != sqlite3.SQLITE_ERROR:
        return UserError(f"{path}: cannot be opened now ({error}). Check disk space and permissions, and try again.")
    return UserError(f"{path}: is not a readable ledger ({error}). Move it away, or give another --name.")


def _renew_ids(connection: sqlite3.Connection) -> None:
    """Give the trials of a ledger of version 1 the ids that they have since."""
    row = connection.execute("SELECT value FROM search WHERE key = 'definition'").fetchone()
    definition = {} if row is None else json.loads(row[0])
    definition.pop("search.max_epochs", None)
    old = connection.execute("SELECT trial_id, configuration FROM trials").fetchall()
    new = [(trial_id(from_json(text), definition), old_id) for old_id, text in old]
    connection.executemany("UPDATE trials SET trial_id = ? WHERE trial_id = ?", new)
    connection.executemany("UPDATE epochs SET trial_id = ? WHERE trial_id = ?", new)
    if row is not None:
        connection.execute("UPDATE search SET value = ? WHERE key = 'definition'", (json.dumps(definition),))
