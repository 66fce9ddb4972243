"""The Ray worker's side: one pack of trials in, reports out."""

import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from ray import tune

from ae_model.configuration import Configuration, EpochRecord
from search.execution.checkpoints import checkpoint_file

if TYPE_CHECKING:
    from torch import Tensor

    from ae_model.cross_validation import CrossValidation

REPORT_INTERVAL_S = 1.0
"""The driver handles some 200 reports a second in all, so each worker sends about one a second."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Report:
    """What a worker tells the driver; without a repr, because Tune writes that of every result into its own state."""

    records: Mapping[str, Sequence[EpochRecord]] = field(default_factory=dict)
    """The new epochs of each trial that has any."""
    fit_seconds: float = 0.0
    """That the whole pack has taken so far."""
    error: str | None = None
    """Why the pack has failed."""
    host: str = field(default_factory=socket.gethostname)


def train_pack(
    config: Mapping[str, int],
    *,
    values: np.ndarray,
    packs: Sequence[Sequence[tuple[str, Mapping[str, Any]]]],
    evaluation: Mapping[str, Any],
    checkpoints: Mapping[str, Any],
) -> None:
    """Cross-validate the configurations of a pack and report every epoch of each.

    Args:
        config: `{"pack": number of the pack}`.
        values: Development samples, read-only, shared by all workers of a node.
        packs: Of each pack the trial ids, with the fields of their configurations.
        evaluation: `folds`, `max_epochs`, `seed`, `value_range`, `device`, `n_threads`
            and `fp32_precision`.
        checkpoints: `folder` of the search's checkpoints, and `every_s`, the least seconds between two.
    """
    import torch  # takes seconds, which the driver need not wait for

    torch.set_num_threads(evaluation["n_threads"])
    torch.backends.cuda.matmul.fp32_precision = evaluation["fp32_precision"]
    trial_ids, fields = zip(*packs[config["pack"]], strict=True)
    file = checkpoint_file(checkpoints["folder"], trial_ids, evaluation)
    try:
        validation, seconds_before = _start(values, fields, evaluation, file.load())
        started = last_report = last_checkpoint = time.perf_counter()
        unsent: list[dict[int, EpochRecord]] = []
        for records in validation:
            unsent.append(records)
            epoch = max(record.epoch for record in records.values())
            now = time.perf_counter()
            if now - last_report >= REPORT_INTERVAL_S:
                seconds = seconds_before + now - started
                _report(trial_ids, unsent, seconds)
                unsent, last_report = [], now
                # Only now: the driver has the records, so what a checkpoint leaves out is never missing.
                if now - last_checkpoint >= checkpoints["every_s"] and epoch < evaluation["max_epochs"]:
                    file.save(validation.state() | {"seconds": torch.tensor(seconds, dtype=torch.float64)})
                    last_checkpoint = time.perf_counter()
        if unsent:
            _report(trial_ids, unsent, seconds_before + time.perf_counter() - started)
        file.remove()
    except Exception as error:  # the trial's own failure is a result: it must not be tried again, nor end the search
        tune.report({"report": Report(error=f"{type(error).__name__}: {error}")})


def _start(
    values: np.ndarray,
    fields: Sequence[Mapping[str, Any]],
    evaluation: Mapping[str, Any],
    state: "dict[str, Tensor] | None",
) -> "tuple[CrossValidation, float]":
    """The pack's cross-validation, continued where there is a checkpoint, and the seconds it has taken before."""
    from ae_model.cross_validation import CrossValidation

    start = partial(
        CrossValidation,
        values,
        [Configuration(**given) for given in fields],
        folds=evaluation["folds"],
        max_epochs=evaluation["max_epochs"],
        seed=evaluation["seed"],
        value_range=evaluation["value_range"],
        device=evaluation["device"],
    )
    if state is not None and "seconds" in state:
        with suppress(ValueError):  # a checkpoint of another version is worth nothing
            return start(state=state), float(state["seconds"])
    return start(), 0.0


def _report(trial_ids: Sequence[str], unsent: list[dict[int, EpochRecord]], seconds: float) -> None:
    by_trial = {
        trial_id: [records[number] for records in unsent if number in records]
        for number, trial_id in enumerate(trial_ids)
    }
    reported = {trial_id: records for trial_id, records in by_trial.items() if records}
    tune.report({"report": Report(records=reported, fit_seconds=seconds)})
