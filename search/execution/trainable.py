"""The Ray worker's side: one pack of trials in, reports out."""

import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from ray import tune
from ray.util import get_node_ip_address

from ae_model.configuration import EpochRecord, OutOfFold
from ae_model.probe import Probed, ProbeScores, probe_scores
from search.execution.checkpoints import CheckpointFile, checkpoint_file
from search.execution.nodes import node_fault, node_name
from search.execution.packs import Pack
from search.execution.records import Report, ValidationDesign, WorkerOptions

if TYPE_CHECKING:
    from torch import Tensor

    from ae_model.cross_validation import CrossValidation

REPORT_EVERY_S = (1.0, 5.0)
"""The least and the most seconds between two reports of a pack: no more, because a checkpoint is saved after one, and
what is not reported is lost with its worker."""
REPORTING_PART = 0.05
"""The part of a worker's time that should go by in waiting for the driver, which handles some hundreds of reports a
second in all: where it is slow to take one, the next comes later."""


def report_interval(took_s: float) -> float:
    """Seconds until a pack's next report.

    Args:
        took_s: How many seconds the driver took for the last one.

    Examples:
        >>> report_interval(0.004), report_interval(0.1), report_interval(60)
        (1.0, 2.0, 5.0)
    """
    least, most = REPORT_EVERY_S
    return min(max(took_s / REPORTING_PART, least), most)


def train_pack(
    config: Mapping[str, Any], *, values: np.ndarray, design: ValidationDesign, options: WorkerOptions
) -> None:
    """Cross-validate the configurations of a pack, and report every epoch of each.

    Args:
        config: `{"pack": number of the pack, "job": Job}`.
        values: Development samples `(n_samples, n_features)`, read-only, shared by all workers of a node.
        design: What defines the evaluation.
        options: What to compute with, and where checkpoints go.
    """
    if (fault := node_fault(options)) is not None:  # of a node that joined late
        name = node_name(get_node_ip_address(), socket.gethostname())
        tune.report({"report": Report(unfit=f"{name} {fault}")})
        return
    pack: Pack = config["job"].pack
    if _is_over(pack):
        tune.report({"report": Report()})  # Tune prints a line of its own for a trial without any
        return
    from ae_model.arithmetic import arithmetic  # torch takes seconds, which the driver need not wait for

    file = checkpoint_file(pack, options)
    try:
        with arithmetic(n_threads=options.n_threads, fp32_precision=design.fp32_precision):
            _train(pack, values, design, options, file)
    except Exception as error:  # the trial's own failure is a result: it must not be tried again, nor end the search
        tune.report({"report": Report(error=f"{type(error).__name__}: {error}")})


def gpu_memory(pack: Pack, values: np.ndarray, design: ValidationDesign, options: WorkerOptions) -> tuple[int, int]:
    """How many bytes of a GPU a pack takes, with all that its process needs there, and how many the GPU has.

    Args:
        pack: The pack; it is trained for an epoch.
        values: Development samples `(n_samples, n_features)`.
        design: What defines the evaluation.
        options: What to compute with.
    """
    import torch

    from ae_model.arithmetic import arithmetic

    with arithmetic(n_threads=options.n_threads, fp32_precision=design.fp32_precision):
        validation, _ = _start(pack, values, design, options, None)
        for _ in zip(range(2), validation, strict=False):  # its start is its epoch 0
            pass
    free, total = torch.cuda.mem_get_info()
    return total - free, total


def _train(
    pack: Pack, values: np.ndarray, design: ValidationDesign, options: WorkerOptions, file: CheckpointFile
) -> None:
    import torch

    validation, seconds_before = _start(pack, values, design, options, file.load())
    started = last_report = last_checkpoint = time.perf_counter()
    report_every_s = REPORT_EVERY_S[0]
    trial_ids = list(pack.trials)
    unsent: list[dict[int, EpochRecord]] = []
    ended: list[str] = []
    out_of_fold: dict[str, OutOfFold] = {}
    probes: dict[str, Probed] = {}

    def seconds() -> float:
        return seconds_before + time.perf_counter() - started

    def save() -> None:
        # Only after a report: the driver has the records, so what a checkpoint leaves out is never missing.
        file.save(validation.state() | {"seconds": torch.tensor(seconds(), dtype=torch.float64)})

    def keep_errors(number: int) -> None:
        errors = None if pack.is_repeat else validation.out_of_fold(number)
        if errors is not None:
            out_of_fold[trial_ids[number]] = errors

    def probe(number: int) -> None:
        errors = None if pack.is_repeat or design.probe is None else validation.out_of_fold(number)
        scores = None if errors is None else _probed(validation, number, values, design)
        if errors is not None and scores is not None:
            probes[trial_ids[number]] = Probed(epoch=errors.epoch, scores=scores)

    for records in validation:
        unsent.append(records)
        left = validation.configurations_left()
        ended += [trial_ids[number] for number in records if number not in left]
        for number, record in records.items():
            if number not in left or record.epoch == pack.targets.get(trial_ids[number]):
                keep_errors(number)
            if _is_finished(pack, trial_ids[number], record, is_left=number in left):
                probe(number)
        now = time.perf_counter()
        if now - last_report >= report_every_s:
            _report(trial_ids, unsent, ended, out_of_fold, probes, seconds())
            unsent, ended, out_of_fold, probes, last_report = [], [], {}, {}, now
            report_every_s = report_interval(time.perf_counter() - now)
            epoch = max(record.epoch for record in records.values())
            if now - last_checkpoint >= options.checkpoint_every_s and 0 < epoch < pack.max_epochs:
                save()
                last_checkpoint = time.perf_counter()
        if _is_over(pack):
            for number, record in records.items():
                if record.epoch < pack.targets.get(trial_ids[number], 0):
                    keep_errors(number)
            break
    _report(trial_ids, unsent, ended, out_of_fold, probes, seconds())
    save()  # from here it goes on where more epochs are asked for


def _is_finished(pack: Pack, trial_id: str, record: EpochRecord, *, is_left: bool) -> bool:
    """Whether a trial has its result with this epoch, and not only comes to a rung."""
    if trial_id not in pack.targets or not np.isfinite(record.val_mse).all():
        return False
    return not is_left or record.epoch >= pack.lengths.get(trial_id, pack.targets[trial_id])


def _probed(
    validation: "CrossValidation", number: int, values: np.ndarray, design: ValidationDesign
) -> ProbeScores | None:
    """How useful a configuration's codes are at its best epoch."""
    import torch

    models = validation.kept_models(number)
    if models is None or design.probe is None:
        return None

    @torch.no_grad()
    def codes(fold: int, rows: np.ndarray) -> np.ndarray:
        scaled = torch.from_numpy(validation.scalings[fold].transform(values[rows])).float()
        result: np.ndarray = models[fold].encode(scaled).numpy()
        return result

    return probe_scores(design.probe, codes)


def _is_over(pack: Pack) -> bool:
    """Whether no further epoch is to begin."""
    return pack.deadline is not None and time.time() >= pack.deadline


def _start(
    pack: Pack,
    values: np.ndarray,
    design: ValidationDesign,
    options: WorkerOptions,
    state: "dict[str, Tensor] | None",
) -> "tuple[CrossValidation, float]":
    """The pack's cross-validation, continued where there is a checkpoint, and the seconds it has taken before."""
    from ae_model.cross_validation import CrossValidation

    def start(state: "dict[str, Tensor] | None" = None) -> CrossValidation:
        return CrossValidation(
            values,
            list(pack.trials.values()),
            folds=design.repeated if pack.is_repeat else design.folds,
            max_epochs=pack.last_epochs,
            seed=design.seed,
            value_range=design.value_range,
            scaling=design.scaling,
            device=options.device,
            patience=pack.patience,
            first_fold=pack.first_fold,
            keep_models="best" if design.probe is not None and not pack.is_repeat else None,
            state=state,
        )

    if state is not None and "seconds" in state:
        with suppress(ValueError):  # a checkpoint of another version is worth nothing
            return start(state), float(state["seconds"])
    return start(), 0.0


def _report(
    trial_ids: Sequence[str],
    unsent: Sequence[Mapping[int, EpochRecord]],
    ended: Sequence[str],
    out_of_fold: Mapping[str, OutOfFold],
    probes: Mapping[str, Probed],
    seconds: float,
) -> None:
    by_trial = {
        trial_id: [records[number] for records in unsent if number in records]
        for number, trial_id in enumerate(trial_ids)
    }
    reported = {trial_id: records for trial_id, records in by_trial.items() if records}
    report = Report(records=reported, fit_seconds=seconds, ended=ended, out_of_fold=out_of_fold, probes=probes)
    tune.report({"report": report})
