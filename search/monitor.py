"""Live progress while a search runs."""

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

from ae_model.configuration import EpochRecord
from search.ledger import ENDED, RUNNING

LINE_INTERVAL_S = 10.0
"""Between two plain lines where there is no terminal."""


class Monitor:
    """Shows how far a search is, on standard error: one live line on a terminal, plain lines elsewhere.

    Args:
        labels: What to call each trial, by its id.
        n_trials: Trials of the search.
        n_done: Trials that were done before.
        best: Validation MSE and id of the best trial that was done before.
        max_epochs: Of each trial.
        enabled: Whether to show anything.
    """

    def __init__(
        self,
        *,
        labels: Mapping[str, str],
        n_trials: int,
        n_done: int,
        best: tuple[float, str] | None,
        max_epochs: int,
        enabled: bool,
    ) -> None:
        self._labels = labels
        self._n_trials, self._n_done, self._max_epochs = n_trials, n_done, max_epochs
        self._console = Console(stderr=True, quiet=not enabled, highlight=False, soft_wrap=True)
        self._status: dict[str, str] = {}
        self._epochs: dict[str, int] = {}
        self._best = best
        self._started: float | None = None
        self._next_line = 0.0
        self._live = Progress(
            SpinnerColumn(),
            BarColumn(bar_width=20),
            TextColumn("{task.description}"),
            console=self._console,
            transient=True,
        )
        self._task = self._live.add_task("starting Ray", total=n_trials * max_epochs)

    def __enter__(self) -> Self:
        before = f", {self._n_done} of them done before" if self._n_done else ""
        more = len(self._labels) - self._n_trials
        kept = f"; {more} of earlier settings stay in the table" if more else ""
        self._console.print(f"Searching {self._n_trials} configuration{'s' * (self._n_trials != 1)}{before}{kept}")
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._live.stop()
        self._console.print(self._text())

    def __call__(self, trial_id: str, status: str, records: Sequence[EpochRecord]) -> None:
        """Take note of a report.

        Args:
            trial_id: Of the trial that reports.
            status: Its status now.
            records: The epochs that are new.
        """
        now = time.monotonic()
        self._started = self._started or now
        self._status[trial_id] = status
        for record in records:
            self._epochs[trial_id] = record.epoch
            mean = float(record.val_mse.mean())
            if math.isfinite(mean) and (self._best is None or mean < self._best[0]):
                self._best = mean, trial_id
        if self._console.is_terminal:
            self._live.update(self._task, description=self._text(), completed=self._epochs_done())
        elif now >= self._next_line:
            self._next_line = now + LINE_INTERVAL_S
            self._console.print(self._text())

    def _epochs_done(self) -> int:
        return self._n_done * self._max_epochs + sum(
            self._max_epochs if self._status[trial_id] in ENDED else epochs for trial_id, epochs in self._epochs.items()
        )

    def _text(self) -> str:
        counts = Counter(self._status.values())
        done = self._n_done + sum(counts[status] for status in ENDED)
        parts = [f"{done}/{self._n_trials} trials done"]
        if counts[RUNNING]:
            parts.append(f"{counts[RUNNING]} running")
        if self._best is not None:
            parts.append(f"best so far {self._best[0]:.5f} ({self._labels[self._best[1]]})")
        # Epochs, not trials, tell how far a search is: a trial may take minutes.
        total = (self._n_trials - self._n_done) * self._max_epochs
        new = self._epochs_done() - self._n_done * self._max_epochs
        if self._started is not None and 0 < new < total:
            parts.append(f"about {_duration((time.monotonic() - self._started) * (total - new) / new)} left")
        return ", ".join(parts)


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
