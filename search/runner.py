"""The Ray driver's side: trials in, every report into the ledger."""

import logging
import os
import re
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import asdict
from threading import Event, current_thread, main_thread
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from ae_model.autoencoder import count_parameters
from ae_model.cross_validation import EpochRecord
from ae_model.training import Configuration
from search.checkpoints import clear_folder
from search.ledger import DIVERGED, FAILED, FINISHED, RUNNING, Ledger
from search.settings import ResourceSettings

# Read by Ray when it is imported: no chatter, no files of its own, no usage reports.
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")
os.environ.setdefault("TUNE_PRINT_ALL_TRIAL_ERRORS", "0")
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", "86400")
os.environ.setdefault("TUNE_FUNCTION_THREAD_TIMEOUT_S", "30")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import ray
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
    address: str | None = None,
) -> None:
    """Train and evaluate trials on Ray; every report is in the ledger when this returns.

    Args:
        packs: Configurations by trial id; the packs are started in this order.
        unfinished: Ids of the trials that are wanted; others in the packs only keep them company.
        values: Development samples.
        evaluation: `folds`, `max_epochs`, `seed` and `value_range` as in `cross_validate`, and `fp32_precision`.
        checkpoints: As `train_pack` takes them; what no coming trial can use is deleted from the folder.
        resources: What each trial gets.
        ledger: Where reports go.
        progress: Called after every report.
        address: Of a running Ray cluster; a local Ray is started, and stopped at the end, if None.

    Raises:
        ValueError: If no node has the resources of one trial.
    """
    with (
        _ray(address, resources) as own,
        _interrupts() as interrupted,
        tempfile.TemporaryDirectory(prefix="ae-search-") as scratch,
    ):
        n_gpus = ray.cluster_resources().get("GPU", 0)
        gpus = resources.gpus_per_trial if resources.gpus_per_trial is not None else float(n_gpus > 0)
        _check_fit(resources.cpus_per_trial, gpus)
        worker = {**evaluation, "device": "cuda" if gpus else "cpu", "n_threads": resources.cpus_per_trial}
        plain = [[(trial_id, asdict(configuration)) for trial_id, configuration in pack.items()] for pack in packs]
        _clear_checkpoints(checkpoints["folder"], plain, worker, unfinished, ledger.epochs_recorded())
        trainable = tune.with_resources(
            tune.with_parameters(train_pack, values=values, packs=plain, evaluation=worker, checkpoints=checkpoints),
            {"CPU": resources.cpus_per_trial, "GPU": gpus},
        )
        recorder = _Recorder(plain, ledger, progress, evaluation["max_epochs"], set(unfinished), interrupted)
        tuner = tune.Tuner(
            trainable,
            # Numbers, because Tune copies the whole grid for every trial.
            param_space={"pack": tune.grid_search(list(range(len(plain))))},
            tune_config=tune.TuneConfig(
                reuse_actors=True, max_concurrent_trials=None if own else resources.max_concurrent_trials
            ),
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
        if dead := _dead_processes():
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


def _dead_processes() -> str:
    """Those processes of the local Ray without which it cannot go on, and which have died; empty for a cluster."""
    node = ray._private.worker._global_node  # there is no public way to ask
    died = {kind for kind, _process in node.dead_processes()} if node is not None else set()
    return " and ".join(sorted(died & {"raylet", "gcs_server"}))


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


@contextmanager
def _ray(address: str | None, resources: ResourceSettings) -> Iterator[bool]:
    """A connection to Ray: one that exists, a cluster's, or a local one (then true) that ends with the block."""
    if ray.is_initialized():
        yield False
        return
    if address:
        _join(address)
    else:
        n_cpus = len(os.sched_getaffinity(0))
        if resources.max_concurrent_trials:
            # Fewer CPUs rather than Tune's own cap, which can hang when an actor is slow to leave.
            n_cpus = min(n_cpus, resources.max_concurrent_trials * resources.cpus_per_trial)
        with _on_loopback():
            ray.init(
                address="local",
                num_cpus=n_cpus,
                include_dashboard=False,
                logging_level=logging.ERROR,
                log_to_driver=False,
            )
    worker = ray._private.worker
    before, worker.print_to_stdstream = worker.print_to_stdstream, _print_shortly
    try:
        yield address is None
    finally:
        worker.print_to_stdstream = before
        ray.shutdown()


def _print_shortly(message: Mapping[str, Any], **_: Any) -> None:
    """What Ray says of lost nodes and processes, without the page of its log that it adds."""
    for text in message["lines"]:
        sys.stderr.write(f"Ray: {text.strip().splitlines()[0].split('. ')[0].rstrip('.')}\n")


@contextmanager
def _on_loopback() -> Iterator[None]:
    """A Ray that is started here can be reached from this machine alone, with its token.

    It takes the address of an outer interface, and listens on all, unless it is told as if it were on a laptop with
    another system: there is no public setting, and it resolves "127.0.0.1" away.
    """
    constants, name = ray._private.ray_constants, "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
    before = constants.ENABLE_RAY_CLUSTER, os.environ.get(name)
    constants.ENABLE_RAY_CLUSTER, os.environ[name] = False, "0"
    try:
        yield
    finally:
        constants.ENABLE_RAY_CLUSTER = before[0]
        del os.environ[name]
        if before[1] is not None:
            os.environ[name] = before[1]


def _join(address: str) -> None:
    """Connect to a running cluster; ValueError says why not, at once where nothing listens (Ray tries for minutes)."""
    try:
        if address != "auto" and (host := urlsplit(address if "//" in address else f"//{address}")).port:
            socket.create_connection((host.hostname, host.port), timeout=10).close()
        ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False)
    except (OSError, RuntimeError, ValueError) as error:
        reason = str(error).strip().split("\n")[0].rstrip(".")
        raise ValueError(
            f"--address {address}: no Ray cluster could be joined ({reason}). Check the address; a cluster with token "
            "authentication wants RAY_AUTH_MODE=token and its token here too."
        ) from error


def _check_fit(cpus: float, gpus: float) -> None:
    """Raise ValueError unless one node can hold a trial: Ray would wait for such a node for ever."""
    nodes: Sequence[Mapping[str, float]] = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(node.get("CPU", 0) >= cpus and node.get("GPU", 0) >= gpus for node in nodes):
        largest = max((node.get("CPU", 0), node.get("GPU", 0)) for node in nodes)
        raise ValueError(
            f"a trial needs {cpus:g} CPUs and {gpus:g} GPUs, but no node has them (the largest has {largest[0]:g} and "
            f"{largest[1]:g}). Lower resources.cpus_per_trial or resources.gpus_per_trial."
        )
