"""What the driver hears of packs, written into the ledger trial by trial."""

from collections.abc import Callable, Sequence, Set
from typing import TYPE_CHECKING, Any

import numpy as np

from ae_model.configuration import EpochRecord, count_parameters
from search.ledger import DIVERGED, FAILED, FINISHED, RUNNING, Ledger

if TYPE_CHECKING:
    from search.execution.trainable import Report

Pack = list[tuple[str, dict[str, Any]]]
"""Trial ids with the fields of their configurations, as Ray carries them."""
Progress = Callable[[str, str, Sequence[EpochRecord]], None]
"""Called after every report with trial id, status and the new epochs."""


class Recorder:
    """Writes the reports of packs into the ledger, and says so.

    Args:
        packs: All packs, in the order of their numbers.
        ledger: Where reports go.
        progress: Called after every report.
        max_epochs: Of each trial.
        unfinished: Ids of the trials that are wanted; what is heard of others is dropped.
    """

    def __init__(
        self, packs: Sequence[Pack], ledger: Ledger, progress: Progress, *, max_epochs: int, unfinished: Set[str]
    ) -> None:
        self._packs = packs
        self._ledger = ledger
        self._progress = progress
        self._max_epochs = max_epochs
        self._unfinished = set(unfinished)

    def start(self, pack: int) -> None:
        """A worker begins with a pack, for the first time or anew."""
        for trial_id, _fields in self._wanted(pack):
            self._ledger.start(trial_id)
            self._progress(trial_id, RUNNING, ())

    def record(self, pack: int, report: "Report") -> None:
        """New epochs of a pack, or why it has failed."""
        if report.error is not None:
            self.fail(pack, report.error)
            return
        pack_parameters = sum(count_parameters(fields["layer_sizes"]) for _, fields in self._packs[pack])
        for trial_id, fields in self._wanted(pack):
            records = report.records.get(trial_id)
            if not records:  # it has diverged before
                continue
            finite = all(np.isfinite(record.val_mse).all() for record in records)
            done = records[-1].epoch == self._max_epochs
            share = count_parameters(fields["layer_sizes"]) / pack_parameters
            now = DIVERGED if not finite else FINISHED if done else RUNNING
            self._ledger.record(trial_id, records, host=report.host, fit_seconds=share * report.fit_seconds, status=now)
            self._progress(trial_id, now, records)
            if now != RUNNING:  # whatever becomes of its pack, this trial has its result
                self._unfinished.discard(trial_id)

    def fail(self, pack: int, error: str) -> None:
        """A pack was given up."""
        for trial_id, _fields in self._wanted(pack):
            self._ledger.fail(trial_id, error)
            self._progress(trial_id, FAILED, ())

    def _wanted(self, pack: int) -> Pack:
        return [(trial_id, fields) for trial_id, fields in self._packs[pack] if trial_id in self._unfinished]
