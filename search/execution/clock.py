"""The time that a search has for its training, all runs of it together."""

import time
from collections.abc import Sequence

from ae_model.configuration import EpochRecord
from search.algorithm import REPEATS_PART
from search.execution.recorder import Heard
from search.ledger import Ledger

BEAT_S = 1.0
"""Seconds between two notes in the ledger: what a killed search forgets of its time."""


class Clock:
    """Counts seconds of training, from when it is made, on top of those of earlier runs.

    Args:
        ledger: Where they are kept.
        budget_s: How many there are; without end if None.
        repeats: Whether the search ends with repeats.
    """

    def __init__(self, ledger: Ledger, budget_s: float | None, *, repeats: bool = False) -> None:
        self._ledger, self._budget_s = ledger, budget_s
        self._search_s = None if budget_s is None else budget_s * (1 - REPEATS_PART * repeats)
        self._before = float(ledger.get("training_seconds") or 0.0)
        self._started = self._noted = time.monotonic()

    def seconds(self) -> float:
        """Seconds so far, in all runs."""
        return self._before + time.monotonic() - self._started

    @property
    def is_bounded(self) -> bool:
        """Whether there is an end."""
        return self._budget_s is not None

    def seconds_left(self) -> float | None:
        """Seconds until the end, at least 0; None if there is none."""
        return None if self._budget_s is None else max(self._budget_s - self.seconds(), 0.0)

    def has_ended(self) -> bool:
        """Whether there is no time left."""
        return self.seconds_left() == 0

    def search_has_ended(self) -> bool:
        """Whether what time there is left, if any, is for the repeats."""
        return self._search_s is not None and self.seconds() >= self._search_s

    def deadline(self, *, repeats: bool) -> float | None:
        """When the repeats end, or what comes before them, in seconds since the epoch, as workers read their clocks."""
        limit = self._budget_s if repeats else self._search_s
        return None if limit is None else time.time() + limit - self.seconds()

    def beating(self, heard: Heard) -> Heard:
        """What passes on what is heard, and notes the time."""

        def beat(trial_id: str, status: str, records: Sequence[EpochRecord]) -> None:
            if time.monotonic() - self._noted >= BEAT_S:
                self.note()
            heard(trial_id, status, records)

        return beat

    def note(self) -> None:
        """Keep the seconds in the ledger."""
        self._ledger.put("training_seconds", self.seconds())
        self._noted = time.monotonic()

    def text(self) -> str:
        """That the time has ended, and how the search can go on."""
        return (
            f"The time budget of {self._budget_s:g} s for training is spent: the same command with a larger one goes on"
        )
