"""What the driver hears of packs, written into the ledger trial by trial."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ae_model.configuration import Configuration, EpochRecord
from search.execution.packs import Pack
from search.execution.records import Report
from search.ledger import DIVERGED, FAILED, FINISHED, PENDING, RUNNING, Ledger

Heard = Callable[[str, str, Sequence[EpochRecord]], None]
"""Called after every report with trial id, status and the new epochs."""


class Recorder:
    """Writes the reports of packs into the ledger, and says so.

    Args:
        packs: The packs, in the order of their numbers; others may be added to the list later. What is heard of trials
            without a target is dropped.
        ledger: Where reports go.
        heard: Called after every report.
    """

    def __init__(self, packs: Sequence[Pack], ledger: Ledger, heard: Heard) -> None:
        self._packs = packs
        self._ledger = ledger
        self._heard = heard
        self._heard_of: set[tuple[int, str]] = set()

    def start(self, pack: int) -> None:
        """A worker begins with a pack, for the first time or anew."""
        for trial_id in self._wanted(pack):
            if not self._packs[pack].is_repeat:  # a trial that is repeated has its result
                self._ledger.start(trial_id)
            self._heard(trial_id, RUNNING, ())

    def record(self, pack: int, report: Report) -> None:
        """New epochs of a pack, or why it has failed."""
        if report.error is not None:
            self.fail(pack, report.error)
            return
        asked = self._packs[pack]
        pack_parameters = sum(c.n_parameters for c in asked.trials.values())
        for trial_id, configuration in self._wanted(pack).items():
            target = asked.targets[trial_id]
            records = [record for record in report.records.get(trial_id, ()) if record.epoch <= target]
            if not records:  # it has diverged before
                continue
            now = RUNNING
            if not all(np.isfinite(record.val_mse).all() for record in records):
                now = DIVERGED
            elif trial_id in report.ended or records[-1].epoch >= asked.lengths.get(trial_id, target):
                now = FINISHED
            elif records[-1].epoch == target:
                now = PENDING  # it waits for the next round
            share = configuration.n_parameters / pack_parameters
            self._ledger.record(
                trial_id,
                records,
                host=report.host,
                fit_seconds=share * report.fit_seconds,
                status=None if asked.is_repeat else now,
                first_fold=asked.first_fold,
                out_of_fold=report.out_of_fold.get(trial_id),
                probed=report.probes.get(trial_id),
            )
            self._heard(trial_id, now, records)
            if now != RUNNING:  # whatever becomes of its pack, this trial has its result
                self._heard_of.add((pack, trial_id))

    def fail(self, pack: int, error: str) -> None:
        """A pack was given up."""
        for trial_id in self._wanted(pack):
            if not self._packs[pack].is_repeat:
                self._ledger.fail(trial_id, error)
            self._heard(trial_id, FAILED, ())

    def _wanted(self, pack: int) -> Mapping[str, Configuration]:
        asked = self._packs[pack]
        return {id_: c for id_, c in asked.trials.items() if id_ in asked.targets and (pack, id_) not in self._heard_of}
