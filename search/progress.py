"""Ledger -> how far a search is, also while it runs."""

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from search.ledger import DIVERGED, ENDED, FAILED, RUNNING, STOPPED, Ledger
from search.ledger_file import is_running
from search.ledger_reader import read_value
from search.tables import load_epochs, load_trials

_KEY = "round"


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundProgress:
    """How far a round is."""

    number: int
    """Counted from 1 in the run that the round belongs to."""
    targets: Mapping[str, int]
    """The trials that are trained in it, each with the epoch that it is to reach."""
    is_repeat: bool
    """Whether its trials are repeated on other folds."""
    done: int
    """Epochs that are done or will not be needed, of all its trials together."""
    asked: int
    """Epochs that its trials are to have, all together."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Progress:
    """How far a search is."""

    trials: pd.DataFrame
    """The table of trials, as `load_trials` returns it, but for the status, which is a text; what was running when a
    driver died is "interrupted"."""
    round: RoundProgress | None
    """The last round that was begun; None if the ledger does not say."""
    at_work: bool
    """Whether a driver is at work."""
    silent_s: float | None
    """Seconds since the driver last wrote; None if that cannot be known."""

    @property
    def has_ended(self) -> bool:
        """Whether no trial is left to train."""
        return bool(self.trials["status"].isin(ENDED).all())

    def best(self, n: int) -> pd.DataFrame:
        """The `n` trials with the lowest validation MSE so far; what diverged, failed or was stopped is not among them.

        Where trials were ranked, these come first, in that order: the ranks know of repeats.
        """
        able = self.trials[
            ~self.trials["status"].isin([DIVERGED, FAILED, STOPPED]) & self.trials["val_mse_mean"].notna()
        ]
        by_repeats = (able["rank"].notna() & (able["n_repeats"] > 1)).astype(int)
        return (
            able.assign(first=-by_repeats)
            .sort_values(["first", "val_mse_mean", "number"])
            .drop(columns="first")
            .head(n)
        )


def note_round(ledger: Ledger, number: int, targets: Mapping[str, int], *, is_repeat: bool) -> None:
    """Let the ledger say which round is being trained, for those who watch."""
    ledger.put(_KEY, {"number": number, "targets": dict(targets), "is_repeat": is_repeat})


def read_progress(directory: str | Path) -> Progress:
    """How far a search is; nothing is written, and no lock is kept.

    Raises:
        UserError: If the directory is not a search directory.
    """
    at_work = is_running(directory)  # asked first: a search may end meanwhile
    silent_s = _silent_s(Path(directory))
    trials = load_trials(directory)
    noted = read_value(directory, _KEY)
    round_ = None if noted is None else _round(noted, trials, directory)
    trials["status"] = trials["status"].astype("string")
    if not at_work:
        trials["status"] = trials["status"].replace({RUNNING: "interrupted"})
    return Progress(trials=trials, round=round_, at_work=at_work, silent_s=silent_s)


def _silent_s(directory: Path) -> float | None:
    """Seconds since the ledger was written; what is new in it is first in the file beside it."""
    times = []
    for name in ("ledger.sqlite", "ledger.sqlite-wal"):
        with suppress(OSError):
            times.append((directory / name).stat().st_mtime)
    return max(time.time() - max(times), 0.0) if times else None


def _round(noted: Mapping[str, Any], trials: pd.DataFrame, directory: str | Path) -> RoundProgress:
    targets: dict[str, int] = noted["targets"]
    table = trials.set_index("trial_id")
    reached = table["epochs"].fillna(0).astype(int)
    has_ended = table["status"].isin(ENDED)
    if noted["is_repeat"]:
        epochs, n_splits = load_epochs(directory), (read_value(directory, "definition") or {}).get("search.n_splits")
        repeats = epochs[epochs["fold"] >= n_splits] if n_splits else epochs.head(0)
        reached = repeats.groupby("trial_id")["epoch"].max()
        has_ended = has_ended & False
    done = sum(
        target if has_ended.get(t, False) else min(int(reached.get(t, 0)), target) for t, target in targets.items()
    )
    return RoundProgress(
        number=noted["number"],
        targets=targets,
        is_repeat=noted["is_repeat"],
        done=done,
        asked=sum(targets.values()),
    )
