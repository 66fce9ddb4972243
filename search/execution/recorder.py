"""What the driver hears of packs, written into the ledger trial by trial."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ae_model.configuration import Configuration, EpochRecord
from search.execution.packs import Pack
from search.execution.records import Report
from search.ledger import DIVERGED, FAILED, FINISHED, RUNNING, Ledger

Heard = Callable[[str, str, Sequence[EpochRecord]], None]
"""Called after every report with trial id, status and the new epochs."""


class Recorder:
    """Writes the reports of packs into the ledger, and says so.

    Args:
        packs: All packs of a round, in the order of their numbers. What is heard of trials without a target is dropped.
        ledger: Where reports go.
        heard: Called after every report.
    """

    def __init__(self, packs: Sequence[Pack], ledger: Ledger, heard: Heard) -> None:
        self._packs = packs
        self._ledger = ledger
        self._heard = heard
        self._wanted_ids = {trial_id for pack in packs for trial_id in pack.targets}

    def start(self, pack: int) -> None:
        """A worker begins with a pack, for the first time or anew."""
        for trial_id in self._wanted(pack):
            self._ledger.start(trial_id)
            self._heard(trial_id, RUNNING, ())

    def record(self, pack: int, report: Report) -> None:
        """New epochs of a pack, or why it has failed."""
        if report.error is not None:
            self.fail(pack, report.error)
            return
        pack_parameters = sum(c.n_parameters for c in self._packs[pack].trials.values())
        for trial_id, configuration in self._wanted(pack).items():
            target = self._packs[pack].targets[trial_id]
            records = [record for record in report.records.get(trial_id, ()) if record.epoch <= target]
            if not records:  # it has diverged before
                continue
            finite = all(np.isfinite(record.val_mse).all() for record in records)
            share = configuration.n_parameters / pack_parameters
            ended = records[-1].epoch == target or trial_id in report.ended
            now = DIVERGED if not finite else FINISHED if ended else RUNNING
            self._ledger.record(trial_id, records, host=report.host, fit_seconds=share * report.fit_seconds, status=now)
            self._heard(trial_id, now, records)
            if now != RUNNING:  # whatever becomes of its pack, this trial has its result
                self._wanted_ids.discard(trial_id)

    def fail(self, pack: int, error: str) -> None:
        """A pack was given up."""
        for trial_id in self._wanted(pack):
            self._ledger.fail(trial_id, error)
            self._heard(trial_id, FAILED, ())

    def _wanted(self, pack: int) -> Mapping[str, Configuration]:
        return {id_: c for id_, c in self._packs[pack].trials.items() if id_ in self._wanted_ids}
