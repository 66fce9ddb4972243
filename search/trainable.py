"""The Ray worker's side: one pack of trials in, reports out."""

import socket
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from ray import tune

from ae_model.cross_validation import EpochRecord, cross_validate_pack
from ae_model.training import Configuration

REPORT_INTERVAL_S = 1.0
"""The driver handles some 200 reports a second in all, so each worker sends about one a second."""


def train_pack(
    config: Mapping[str, int],
    *,
    values: np.ndarray,
    packs: Sequence[Sequence[tuple[str, Mapping[str, Any]]]],
    evaluation: Mapping[str, Any],
) -> None:
    """Cross-validate the configurations of a pack and report every epoch of each.

    Args:
        config: `{"pack": number of the pack}`.
        values: Development samples, read-only, shared by all workers of a node.
        packs: Of each pack the trial ids, with the fields of their configurations.
        evaluation: `folds`, `max_epochs`, `seed`, `value_range`, `device`, `n_threads`
            and `fp32_precision`.
    """
    torch.set_num_threads(evaluation["n_threads"])
    torch.backends.cuda.matmul.fp32_precision = evaluation["fp32_precision"]
    trial_ids, fields = zip(*packs[config["pack"]], strict=True)
    configurations = [Configuration(**given) for given in fields]
    started = last_report = time.perf_counter()
    unsent: list[dict[int, EpochRecord]] = []
    try:
        for records in cross_validate_pack(
            values,
            configurations,
            folds=evaluation["folds"],
            max_epochs=evaluation["max_epochs"],
            seed=evaluation["seed"],
            value_range=evaluation["value_range"],
            device=evaluation["device"],
        ):
            unsent.append(records)
            now = time.perf_counter()
            if now - last_report >= REPORT_INTERVAL_S:
                _report(trial_ids, unsent, seconds=now - started)
                unsent, last_report = [], now
        if unsent:
            _report(trial_ids, unsent, seconds=time.perf_counter() - started)
    except Exception as error:  # the trial's own failure is a result: it must not be tried again, nor end the search
        tune.report({"error": f"{type(error).__name__}: {error}", "host": socket.gethostname()})


def _report(trial_ids: Sequence[str], unsent: list[dict[int, EpochRecord]], *, seconds: float) -> None:
    by_trial = {
        trial_id: [records[number] for records in unsent if number in records]
        for number, trial_id in enumerate(trial_ids)
    }
    tune.report(
        {
            "records": {trial_id: records for trial_id, records in by_trial.items() if records},
            "host": socket.gethostname(),
            "fit_seconds": seconds,
        }
    )
