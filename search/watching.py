"""A search as it goes on, seen from another terminal: a view that is drawn anew, or plain lines."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ae_model.errors import UserError
from search.ledger import ENDED, STOPPED
from search.monitor import LINE_INTERVAL_S, duration_text
from search.progress import Progress, RoundProgress, read_progress
from search.tables import configuration_labels
from search.trials_table import mse_text

REFRESH_S = 2.0
"""Seconds between two looks at a search."""
_READING_PART = 0.1
"""At most this part of the time is spent reading, however large the ledger is: the cores are the search's."""
PATIENCE_S = 60.0
"""Seconds that a search may take to appear."""
N_BEST = 5
"""How many of the best trials are shown."""


def watch(directory: str | Path) -> None:
    """Show how far a search is until it ends; if none is running, once. Writes to standard output.

    Args:
        directory: The search's directory. If there is none yet, it is waited for, for a minute.

    Raises:
        UserError: If the directory is not a search directory.
    """
    console = Console(highlight=False)
    is_new = _wait_for(directory, console)
    if console.is_terminal:
        with Live(console=console, auto_refresh=False, vertical_overflow="visible") as live:
            last, was_at_work = _follow(
                directory, lambda progress: live.update(_view(directory, progress), refresh=True), is_new
            )
    else:
        lines = _PlainLines(console)
        last, was_at_work = _follow(directory, lines.show, is_new)
    console.print(_end_text(directory, last, was_at_work), markup=False, soft_wrap=True)


def _wait_for(directory: str | Path, console: Console) -> bool:
    """Wait until a folder that is missing or empty has become a search's, for a while; whether it had to be."""
    give_up, told = time.monotonic() + PATIENCE_S, False
    while not _has_files(directory) and time.monotonic() < give_up:
        if not told:
            console.print(f"{directory}: there is no search yet; waiting for one", markup=False, soft_wrap=True)
            told = True
        time.sleep(0.2)
    return told


def _has_files(directory: str | Path) -> bool:
    try:
        return len(os.listdir(directory)) > 0
    except FileNotFoundError:
        return False
    except OSError:  # it is no folder, or none that can be
        return True


def _follow(directory: str | Path, show: Callable[[Progress], None], is_new: bool) -> tuple[Progress, bool]:
    """Show a search again and again until no driver is at work; the last that was shown, and whether one ever was."""
    was_at_work = False
    while True:
        started = time.monotonic()
        progress = _read_again(directory) if was_at_work or is_new else read_progress(directory)
        show(progress)
        if not progress.at_work:
            return progress, was_at_work
        was_at_work = True
        took = time.monotonic() - started
        time.sleep(max(REFRESH_S - took, took * (1 / _READING_PART - 1)))


def _read_again(directory: str | Path) -> Progress:
    """A search that was there a moment ago, or is just being made; `--fresh` may be putting another in its place."""
    try:
        return read_progress(directory)
    except UserError:
        time.sleep(REFRESH_S)
        return read_progress(directory)


class _PlainLines:
    """A line when something has changed; where only epochs were added, not more often than every ten seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last, self._last_but_epochs, self._next = "", "", 0.0

    def show(self, progress: Progress) -> None:
        now = time.monotonic()
        but_epochs, epochs = _counts_text(progress), _round_text(progress.round)
        line = "; ".join(filter(None, [but_epochs, epochs, _best_text(progress)]))
        if but_epochs != self._last_but_epochs or (line != self._last and now >= self._next):
            self._console.print(f"{time.strftime('%H:%M:%S')} {line}", markup=False, soft_wrap=True)
            self._last, self._last_but_epochs, self._next = line, but_epochs, now + LINE_INTERVAL_S


def _view(directory: str | Path, progress: Progress) -> RenderableType:
    """All that is known, as it is drawn on a terminal."""
    trials, round_ = progress.trials, progress.round
    bars = Table.grid(padding=(0, 1))
    bars.add_row("trials", _bar(int(trials["status"].isin(ENDED).sum()), len(trials)), Text(_counts_text(progress)))
    if round_ is not None:
        bars.add_row("epochs", _bar(round_.done, round_.asked), Text(_round_text(round_)))
    return Group(Text(str(directory), style="bold"), bars, *_best_table(progress), Text(_driver_text(progress)))


def _bar(done: int, total: int) -> ProgressBar:
    return ProgressBar(total=max(total, 1), completed=done if total else 1, width=20)


def _best_table(progress: Progress) -> list[RenderableType]:
    best = progress.best(N_BEST)
    if not len(best):
        return []
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    for name in ("best so far", "trial", "epoch", "validation MSE", "PCA", "status"):
        table.add_column(name, justify="right" if name in ("epoch", "validation MSE", "PCA") else "left")
    labels = _labels(progress)
    for _, row in best.iterrows():
        pca = row["pca_val_mse_mean"]
        table.add_row(
            Text(labels[row["trial_id"]]),
            str(row["trial_id"]),
            f"{row['best_epoch']} of {row['epochs']}",
            f"{mse_text(row['val_mse_mean'])} ± {mse_text(row['val_mse_se'])}",
            mse_text(pca) if pd.notna(pca) else "",
            str(row["status"]),
        )
    return [Text(), table, Text()]


def _labels(progress: Progress) -> dict[str, str]:
    return dict(zip(progress.trials["trial_id"], configuration_labels(progress.trials), strict=True))


def _counts_text(progress: Progress) -> str:
    counts = progress.trials["status"].value_counts()
    parts = [f"{n} {status}" for status, n in counts.items()]
    rung = progress.trials.loc[progress.trials["status"] == STOPPED, "rung"].max()
    after = f" (the last after rung {rung})" if pd.notna(rung) else ""
    n = len(progress.trials)
    return f"{n} trial{'s' * (n != 1)}: {', '.join(parts)}{after}"


def _round_text(round_: RoundProgress | None) -> str:
    if round_ is None:
        return ""
    n = len(round_.targets)
    trials = f"{n} trial{'s' * (n != 1)}"
    what = (
        f"{trials} repeated on other folds" if round_.is_repeat else f"{trials} to epoch {max(round_.targets.values())}"
    )
    return f"round {round_.number}, {what}: {round_.done:,} of {round_.asked:,} epochs"


def _best_text(progress: Progress) -> str:
    best = progress.best(1)
    if not len(best):
        return ""
    row = best.iloc[0]
    mse = f"{mse_text(row['val_mse_mean'])} ± {mse_text(row['val_mse_se'])}"
    return f"best so far {mse} ({_labels(progress)[row['trial_id']]}), PCA {mse_text(row['pca_val_mse_mean'])}"


def _driver_text(progress: Progress) -> str:
    """Whether a driver is alive, and when it was last heard of."""
    if not progress.at_work:
        return "no search is running here"
    last = "" if progress.silent_s is None else f", last report {duration_text(progress.silent_s)} ago"
    return f"a search is running here{last}" + ("; no trial is left, the winner is next" if progress.has_ended else "")


def _end_text(directory: str | Path, progress: Progress, was_at_work: bool) -> str:
    """The line that a watch ends with."""
    if progress.has_ended:
        found = _best_text(progress)
        how = "finished" if was_at_work else "no search is running here; all trials are done"
        return f"{directory}: {how}{f', {found}' if found else ''}"
    how = "the search has ended before all trials were done" if was_at_work else "no search is running here"
    return f"{directory}: {how}; run its command again to continue"
