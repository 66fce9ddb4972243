"""What is read from a ledger, also while a search writes it: the queries behind the tables."""

import json
import os
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from ae_model.configuration import Configuration, OutOfFold
from ae_model.errors import UserError
from search.identity import from_json
from search.ledger_file import connect, unreadable

Rows = tuple[list[str], list[tuple[Any, ...]]]
"""Column names and rows."""

_TRIALS = "SELECT trial_id, number, status, rung, forecast, fit_seconds, host, error FROM trials ORDER BY number"
_TRIALS_BEFORE_3 = (
    "SELECT trial_id, number, status, NULL AS rung, NULL AS forecast, fit_seconds, host, error FROM trials "
    "ORDER BY number"
)


def read_trials(directory: str | Path) -> Rows:
    """One row per trial, in the order of their numbers: what is known of it besides its configuration and epochs."""
    _, rows = read_ledger(directory, "SELECT name FROM pragma_table_info('trials')")
    # A ledger of an earlier version gets its new columns from the next driver; readers change nothing.
    query = _TRIALS if ("rung",) in rows else _TRIALS_BEFORE_3
    return read_ledger(directory, query)


def read_epochs(directory: str | Path) -> Rows:
    """One row per trial, epoch and fold, in this order."""
    return read_ledger(
        directory,
        "SELECT trials.trial_id, trials.number, epoch, fold, train_mse, val_mse, val_fve, dead_code_units "
        "FROM epochs JOIN trials USING (trial_id) ORDER BY number, epoch, fold",
    )


def read_epochs_after(directory: str | Path, last: Mapping[str, int], n_splits: int) -> Rows:
    """The epochs of each trial that follow on one, -1 for all: one row per trial and epoch, in this order.

    Means are over its first folds, and none where a fold diverged. This takes time for what is new alone.

    Args:
        directory: The search's directory.
        last: The epoch by trial id.
        n_splits: The number of a trial's first folds.
    """
    return read_ledger(
        directory,
        "SELECT trial_id, epoch, CASE WHEN count(val_mse) = count(*) THEN avg(val_mse) END AS val_mse, "
        "CASE WHEN count(val_fve) = count(*) THEN avg(val_fve) END AS val_fve, "
        "CASE WHEN count(train_mse) = count(*) THEN avg(train_mse) END AS train_mse "
        "FROM json_each(?) JOIN epochs ON trial_id = key WHERE epoch > json_each.value AND fold < ? "
        "GROUP BY trial_id, epoch ORDER BY trial_id, epoch",
        (json.dumps(dict(last)), n_splits),
    )


def read_baselines(directory: str | Path) -> Rows:
    """PCA's validation MSE, one row per code size and fold."""
    return read_ledger(directory, "SELECT code_size, fold, pca_val_mse FROM baselines")


def read_probes(directory: str | Path) -> Rows:
    """What was predicted from codes, as `ledger_file.SCHEMA_VERSION` says; nothing of an earlier version's ledger."""
    _, tables = read_ledger(directory, "SELECT name FROM sqlite_master WHERE name = 'probes'")
    if not tables:
        return ["trial_id", "code_size", "fold", "epoch", "linear", "nearest"], []
    return read_ledger(directory, "SELECT trial_id, code_size, fold, epoch, linear, nearest FROM probes")


def read_out_of_fold(directory: str | Path, trial_id: str) -> OutOfFold | None:
    """The out-of-fold errors of a trial at its best epoch; None if it has none, or an earlier version trained it."""
    _, tables = read_ledger(directory, "SELECT name FROM sqlite_master WHERE name = 'out_of_fold'")
    if not tables:
        return None
    _, rows = read_ledger(directory, "SELECT epoch, mse FROM out_of_fold WHERE trial_id = ?", (trial_id,))
    return OutOfFold(epoch=rows[0][0], mse=np.frombuffer(rows[0][1], "<f4")) if rows else None


def read_configurations(directory: str | Path) -> dict[str, Configuration]:
    """The configuration of each trial id, in the order of the trials' numbers.

    Raises:
        UserError: If the directory is not a search directory, or its ledger is damaged.
    """
    _, rows = read_ledger(directory, "SELECT trial_id, configuration FROM trials ORDER BY number")
    try:
        return {trial_id: from_json(text) for trial_id, text in rows}
    except (ValueError, TypeError, LookupError) as error:
        raise UserError(
            f"{directory}/ledger.sqlite: holds a configuration that cannot be read ({error}). Start over with --fresh."
        ) from error


def read_value(directory: str | Path, key: str) -> Any:
    """What the driver stored under a key, such as "definition"; None if nothing."""
    _, rows = read_ledger(directory, "SELECT key, value FROM search")
    values: dict[str, str] = dict(rows)
    return json.loads(values[key]) if key in values else None


def read_ledger(directory: str | Path, query: str, values: tuple[str | int, ...] = ()) -> Rows:
    """Column names and rows of a query; works while a search is writing.

    Raises:
        UserError: If the directory holds no ledger, or it cannot be read.
    """
    path = Path(directory) / "ledger.sqlite"
    if not os.path.isfile(path):  # not Path's, which raises where a name is too long
        raise UserError(f"{directory}: is not a search directory, {_what_is_there(Path(directory))}")
    # Readers use the WAL, and need an index beside it, which they make: unless there is no WAL, and nobody writes.
    waiting = path.with_name("ledger.sqlite-wal")
    mode = "mode=rw"
    if not os.access(path.parent, os.W_OK):
        mode = "mode=ro" if waiting.exists() and waiting.stat().st_size else "mode=ro&immutable=1"
    with closing(connect(path, mode)) as connection:
        try:
            cursor = connection.execute(query, values)
            return [column[0] for column in cursor.description], cursor.fetchall()
        except sqlite3.DatabaseError as error:
            raise unreadable(path, error) from error


def _what_is_there(directory: Path) -> str:
    """Why a directory is not a search's, and which may have been meant."""
    if not os.path.isdir(directory):
        return "there is no such directory. Check the path."
    if (directory.parent / "ledger.sqlite").is_file() or (directory.parent.parent / "ledger.sqlite").is_file():
        above = next(path for path in (directory.parent, directory.parent.parent) if (path / "ledger.sqlite").is_file())
        return f"but the search that it belongs to is {above}. Give that."
    below = sorted(str(path.parent) for path in directory.glob("*/ledger.sqlite"))
    if below:
        more = f" and {len(below) - 3} more" if len(below) > 3 else ""
        return f"but holds {len(below)} of them: {', '.join(below[:3])}{more}. Give one of them."
    return "ledger.sqlite is missing. Check the path."
