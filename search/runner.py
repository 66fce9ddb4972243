"""The Ray driver's side: trials in, every report into the ledger."""

import re
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import asdict
from threading import Event, current_thread, main_thread
from typing import Any

import numpy as np

from ae_model.configuration import Configuration, EpochRecord, count_parameters
from search.checkpoints import clear_folder
from search.cluster import dead_processes, trial_resources
from search.ledger import DIVERGED, FAILED, FINISHED, RUNNING, Ledger
from search.settings import ResourceSettings

# After search.cluster, which prepares what Ray reads when it is imported.
# isort: split
from ray import tune

from search.trainable import Report, checkpoint_file, train_pack

Pack = list[tuple[str, dict[str, Any]]]
"""Trial ids with the fields of their configurations, as Ray carries them."""
Progress = Callable[[str, str, Sequence[EpochRecord]], None]
"""Called after every report with trial id, status and the new epochs."""


def run_trials(
    packs: Sequence[Mapping[str, Configuration]],
    *,
    unfinished: Set[str],
    values: np.ndarray,
    evaluation: Mapping[str, Any],
    checkpoints: Mapping[str, Any],
    resources: ResourceSettings,
    ledger: Ledger,
    progress: Progress,
    max_concurrent_trials: int | None = None,
) -> None:
    """Train and evaluate trials on the connected Ray; every report is in the ledger when this returns.

    Args:
        packs: Configurations by trial id; the packs are started in this order.
        unfinished: Ids of the trials that are wanted; others in the packs only keep them company.
        values: Development samples.
        evaluation: `folds`, `max_epochs`, `seed` and `value_range` as in `cross_validate`, and `fp32_precision`.
        checkpoints: As `train_pack` takes them; what no coming trial can use is deleted from the folder.
        resources: What each trial gets.
        ledger: Where reports go.
        progress: Called after every report.
        max_concurrent_trials: As many as Ray has room for, if None.

    Raises:
        ValueError: If no node has the resources of one trial.
        Exception: Ray's, if there is no connection (`connected_ray` makes one).
    """
    with _interrupts() as interrupted, tempfile.TemporaryDirectory(prefix="ae-search-") as scratch:
        given = trial_resources(resources)
        device = "cuda" if given["GPU"] else "cpu"
        worker = {**evaluation, "device": device, "n_threads": resources.cpus_per_trial}
        plain = [[(trial_id, asdict(configuration)) for trial_id, configuration in pack.items()] for pack in packs]
        _clear_checkpoints(checkpoints["folder"], plain, worker, unfinished, ledger.epochs_recorded())
        trainable = tune.with_resources(
            tune.with_parameters(train_pack, values=values, packs=plain, evaluation=worker, checkpoints=checkpoints),
            given,
        )
        recorder = _Recorder(plain, ledger, progress, evaluation["max_epochs"], set(unfinished), interrupted)
        tuner = tune.Tuner(
            trainable,
            # Numbers, because Tune copies the whole grid for every trial.
            param_space={"pack": tune.grid_search(list(range(len(plain))))},
            tune_config=tune.TuneConfig(reuse_actors=True, max_concurrent_trials=max_concurrent_trials),
            run_config=tune.RunConfig(
                name="search",
                storage_path=scratch,  # of the driver alone: nothing of a trial goes there
                failure_config=tune.FailureConfig(max_failures=resources.max_failures),
                callbacks=[recorder],
                verbose=0,
            ),
        )
        try:
            tuner.fit()
        except tune.TuneError as error:
            # Tune makes a traceback's text of whatever a callback raises.
            reason = str(error).strip().split("\n")[-1]
            raise recorder.error or RuntimeError(f"Ray Tune stopped: {reason}. Run the same command again.") from None
        if interrupted.is_set():
            raise KeyboardInterrupt


class _Recorder(tune.Callback):  # type: ignore[misc]  # Ray's classes are untyped
    """Writes what Tune hears from its workers into the ledger."""

    def __init__(
        self,
        packs: list[Pack],
        ledger: Ledger,
        progress: Progress,
        max_epochs: int,
        unfinished: set[str],
        interrupted: Event,
    ) -> None:
        self.error: RuntimeError | None = None
        self._interrupted = interrupted
        self._packs = packs
        self._ledger = ledger
        self._progress = progress
        self._max_epochs = max_epochs
        self._unfinished = unfinished

    def __getstate__(self) -> dict[str, object]:
        return {}  # Tune pickles its callbacks into its own state, which is never read

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:  # noqa: ARG002
        with self._noted():
            for trial_id, _fields in self._wanted(trial):
                self._ledger.start(trial_id)
                self._progress(trial_id, RUNNING, ())

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: Any, **_: Any) -> None:  # noqa: ARG002
        with self._noted():
            report: Report = result["report"]
            if report.error is not None:
                self._fail(trial, report.error)
            else:
                self._record(trial, report)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:  # noqa: ARG002
        if self.error is None:
            with self._noted():
                self._fail(trial, _failure(trial))

    def on_step_end(self, iteration: int, trials: list[Any], **_: Any) -> None:  # noqa: ARG002
        if self._interrupted.is_set():
            raise KeyboardInterrupt
        if dead := dead_processes():
            # Ray itself would end this process seconds later, with pages of its own log.
            raise RuntimeError(f"Ray's own {dead} was killed. What was finished is kept; run the same command again.")

    def _record(self, trial: Any, report: Report) -> None:
        pack_parameters = sum(count_parameters(fields["layer_sizes"]) for _, fields in self._pack(trial))
        for trial_id, fields in self._wanted(trial):
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

    @contextmanager
    def _noted(self) -> Iterator[None]:
        """What goes wrong ends the search, and is kept as it was raised."""
        try:
            yield
        except RuntimeError as error:
            self.error = error
            raise

    def _fail(self, trial: Any, error: str) -> None:
        for trial_id, _fields in self._wanted(trial):
            self._ledger.fail(trial_id, error)
            self._progress(trial_id, FAILED, ())

    def _wanted(self, trial: Any) -> Pack:
        return [(trial_id, fields) for trial_id, fields in self._pack(trial) if trial_id in self._unfinished]

    def _pack(self, trial: Any) -> Pack:
        return self._packs[trial.config["pack"]]


def _clear_checkpoints(
    folder: str, packs: list[Pack], evaluation: Mapping[str, Any], unfinished: Set[str], recorded: Mapping[str, int]
) -> None:
    """Keep only the checkpoints that the ledger's records lead up to: a copied or restored ledger may be older."""
    keep = set()
    for pack in packs:
        file = checkpoint_file(folder, [trial_id for trial_id, _ in pack], evaluation)
        state = file.load()
        if state is not None and {"epoch", "configurations"} <= state.keys():
            wanted = [(number, trial_id) for number, (trial_id, _) in enumerate(pack) if trial_id in unfinished]
            going, epoch = state["configurations"].tolist(), int(state["epoch"])
            if all(number in going and recorded.get(trial_id, 0) >= epoch for number, trial_id in wanted):
                keep.add(file.name)
    clear_folder(folder, keep=keep)


def _failure(trial: Any) -> str:
    """Why Tune gave a trial up, from the text that it keeps of the last failure."""
    last = str(trial.get_error() or "").rpartition("Failure #")[2].strip()
    if not last or re.search("actor (died|is dead)|unavailable|out of memory", last):
        return "its worker was lost too often"
    return last.splitlines()[-1]


@contextmanager
def _interrupts() -> Iterator[Event]:
    """Ctrl-C and SIGTERM as KeyboardInterrupt, and noted, because one that arrives in a destructor of Ray's is lost."""
    interrupted = Event()

    def interrupt(_signal: int, _frame: object) -> None:
        interrupted.set()
        raise KeyboardInterrupt

    if current_thread() is not main_thread():  # only the main thread may set handlers, and only it gets signals
        yield interrupted
        return
    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interrupted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
