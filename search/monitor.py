"""What a person is told while a search runs: messages, and live progress."""

import math
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

from ae_model.configuration import EpochRecord
from search.execution.packs import Pack, epoch_seconds
from search.execution.recorder import Heard
from search.ledger import DIVERGED, ENDED, RUNNING, STOPPED, Standing
from search.notebook_line import NotebookLine
from search.remaining import Remaining
from search.tables import configuration_labels, load_trials

LINE_INTERVAL_S = 10.0
"""Seconds between two plain lines where there is no terminal."""


class Monitor:
    """Says how far a search is, on standard error: one live line on a terminal, plain lines elsewhere.

    In a notebook it is the output of the cell, with a live line too.

    Args:
        enabled: Whether to show anything.
    """

    def __init__(self, *, enabled: bool) -> None:
        self._console = Console(stderr=True, quiet=not enabled, highlight=False, soft_wrap=True)
        self._labels: Mapping[str, str] = {}
        self._status: dict[str, str] = {}
        self._best: tuple[float, str] | None = None
        self._next_line = 0.0
        self._directory = Path()
        self._round = 0
        self._live: Progress | None = None
        self._line: NotebookLine | None = None
        self._packs: Sequence[Pack] = ()
        self._asked: Mapping[str, int] = {}
        self._pack_of: Mapping[str, int] = {}
        self._epochs: dict[str, int] = {}
        self._remaining = Remaining(epochs=[], seconds=[])
        self._budget_end: float | None = None

    @property
    def is_shown(self) -> bool:
        """Whether anything is shown."""
        return not self._console.quiet

    @property
    def n_rounds(self) -> int:
        """How many rounds have been begun."""
        return self._round

    def say(self, text: str) -> None:
        """Print a message of one line or more."""
        self._console.print(text, markup=False)

    def warn(self, text: str) -> None:
        """Print a message also where nothing else is shown."""
        console = Console(stderr=True, highlight=False, soft_wrap=True) if self._console.quiet else self._console
        console.print(text, markup=False)

    def searching(
        self, directory: Path, trials: Sequence[str], standing: Mapping[str, Standing], asked: Mapping[str, int]
    ) -> None:
        """Take note of what is going to be trained, and say how much of it is done.

        Args:
            directory: The search's directory.
            trials: Ids of all trials of the plan.
            standing: How far each trial of the ledger is.
            asked: The trials that are not done, with the epoch that each is to reach.
        """
        table = load_trials(directory)
        self._directory, self._labels = directory, _labels(directory)
        self._status = {t: standing[t].status for t in trials if t not in asked}
        # Those that are not finished will come to the same again.
        best = table[table["val_mse_mean"].notna() & (table["status"] != DIVERGED)].nsmallest(1, "val_mse_mean")
        if len(best):
            self._best = float(best["val_mse_mean"].iloc[0]), str(best["trial_id"].iloc[0])
        n, n_done, n_further = len(trials), len(self._status), sum(standing[t].epochs > 0 for t in asked)
        more = len(standing) - n
        self.say(
            f"Searching {n} configuration{'s' * (n != 1)}"
            + (f", {n_done} of them done before" if n_done else "")
            + (f", {n_further} begun before" if n_further else "")
            + (f"; {more} of earlier settings stay{'s' * (more == 1)} in the table" if more else "")
        )

    def begin_round(
        self,
        packs: Sequence[Pack],
        trials: Sequence[str],
        standing: Mapping[str, Standing],
        n_rows: int,
        budget_left_s: float | None = None,
    ) -> None:
        """Take note of a round of packs, and say what it is, unless it is the first.

        Args:
            packs: The packs, in the order in which they are started.
            trials: Ids of all trials that have come up so far.
            standing: How far each trial of the ledger is.
            n_rows: The number of training rows of all folds together.
            budget_left_s: Seconds after which the search ends in any case; None if it is not bounded by time.
        """
        self._round += 1
        self._budget_end = None if budget_left_s is None else time.monotonic() + budget_left_s
        asked = {trial_id: target for pack in packs for trial_id, target in pack.targets.items()}
        if self._round > 1:
            if not set(asked) <= set(self._labels):
                self._labels = _labels(self._directory)
            self._status |= {t: standing[t].status for t in trials if t not in asked}
            self.say(self._round_text(packs, asked, trials, standing))
        self._asked, self._packs = asked, packs
        self._pack_of = {trial_id: number for number, pack in enumerate(packs) for trial_id in pack.targets}
        self._remaining = Remaining(
            epochs=[pack.max_epochs for pack in packs],
            seconds=[epoch_seconds(pack, n_rows) for pack in packs],
        )
        self._status |= dict.fromkeys(asked, "")
        self._epochs = {trial_id: 0 if packs[0].is_repeat else standing[trial_id].epochs for trial_id in asked}
        if self._live is not None:
            self._live.update(self._live.task_ids[0], total=sum(asked.values()), completed=sum(self._epochs.values()))

    @contextmanager
    def training(self) -> Iterator[Heard]:
        """Live progress while rounds of packs are trained.

        Yields:
            What is to be called after every report, of a pack of the last round that was begun.
        """
        live = Progress(
            SpinnerColumn(),
            BarColumn(bar_width=20),
            TextColumn("{task.description}"),
            console=self._console,
            transient=True,
        )
        live.add_task("starting Ray", total=None)
        if self._console.is_terminal:
            self._live = live
            live.start()
        elif self._console.is_jupyter and not self._console.quiet:  # where rich itself would want widgets
            self._line = NotebookLine()
        try:
            yield self._heard
        finally:
            if self._live is not None:
                live.stop()
                self._live = None
            if self._line is not None:
                self._line.clear()
                self._line = None
            self.say(self._text(None))

    def _heard(self, trial_id: str, status: str, records: Sequence[EpochRecord]) -> None:
        now = time.monotonic()
        pack = self._pack_of[trial_id]
        if not self._packs[pack].is_repeat:
            self._note_best(trial_id, records)
        self._status[trial_id] = status
        if status not in (RUNNING, ""):
            self._epochs[trial_id] = self._asked[trial_id]
        elif records:
            self._epochs[trial_id] = records[-1].epoch
        if status == RUNNING and not records:
            self._remaining.begin(pack, now=now)
        else:  # of a pack whose trials all diverge or fail nothing more is heard
            self._remaining.reach(pack, min(self._epochs[t] for t in self._packs[pack].targets), now=now)
        if self._live is not None:
            description = self._text(now)
            self._live.update(self._live.task_ids[0], description=description, completed=sum(self._epochs.values()))
        elif self._line is not None:
            self._line.show(self._text(now), sum(self._epochs.values()), sum(self._asked.values()))
        elif now >= self._next_line:
            self._next_line = now + LINE_INTERVAL_S
            self.say(self._text(now))

    def _round_text(
        self, packs: Sequence[Pack], asked: Mapping[str, int], trials: Sequence[str], standing: Mapping[str, Standing]
    ) -> str:
        n = f"{len(asked)} trial{'s' * (len(asked) != 1)}"
        if packs[0].is_repeat:
            return f"Round {self._round}: {n} repeated on other folds"
        n_stopped = sum(standing[t].status == STOPPED for t in trials)
        stopped = f"; {n_stopped} stopped so far" if n_stopped else ""
        new = sum(not standing[t].epochs for t in asked)
        return (
            f"Round {self._round}: {n} to epoch {max(asked.values())}{f', {new} of them new' if new else ''}{stopped}"
        )

    def _note_best(self, trial_id: str, records: Sequence[EpochRecord]) -> None:
        for record in records:
            mean = float(record.val_mse.mean())
            if math.isfinite(mean) and (self._best is None or mean < self._best[0]):
                self._best = mean, trial_id

    def _text(self, now: float | None) -> str:
        """Progress in a line; with the time that is left, if the moment is given."""
        counts = Counter(self._status.values())
        parts = [f"{sum(counts[status] for status in ENDED)}/{len(self._status)} trials done"]
        if counts[RUNNING]:
            parts.append(f"{counts[RUNNING]} running")
        if self._best is not None:
            parts.append(f"best so far {self._best[0]:.5f} ({self._labels[self._best[1]]})")
        if now is not None and self._budget_end is not None:  # other rounds may follow, until then
            parts.append(f"at most {duration_text(max(self._budget_end - now, 0))} left")
        elif now is not None and (seconds_left := self._remaining.seconds(now)):
            parts.append(f"about {duration_text(seconds_left)} left")
        return ", ".join(parts)


def _labels(directory: Path) -> dict[str, str]:
    """What to call each trial, by its id."""
    table = load_trials(directory)
    return dict(zip(table["trial_id"], configuration_labels(table), strict=True))


def duration_text(seconds: float) -> str:
    """A duration with the unit that fits it."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
