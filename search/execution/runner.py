"""The Ray driver's side: Ray started or joined, and left; trials in, every report to the recorder."""

import logging
import os
import re
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import asdict
from threading import Event
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from ae_model.configuration import Configuration
from search.execution.checkpoints import clear_checkpoints
from search.execution.recorder import Progress, Recorder
from search.execution.signals import interrupts, late_interrupts, own_sigterm
from search.ledger import Ledger
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


@contextmanager
def connected_ray(address: str | None, resources: ResourceSettings) -> Iterator[int | None]:
    """A connection to Ray that ends with the block: to the cluster at an address, or to a local one of its own.

    If there is a connection already, it is used, and stays.

    Yields:
        How many trials Tune may run at once, where Ray's CPUs are not the limit.
    """
    if ray.is_initialized():
        yield resources.max_concurrent_trials
        return
    worker = ray._private.worker
    before = worker.print_to_stdstream
    try:
        with _no_sigterm_handler_of_rays():
            if address:
                with own_sigterm():
                    _join(address)
            else:
                with late_interrupts():  # processes of a Ray that is half started would stay
                    _start(resources)
        worker.print_to_stdstream = _print_shortly
        yield resources.max_concurrent_trials if address else None
    finally:
        worker.print_to_stdstream = before
        with late_interrupts():
            ray.shutdown()


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
    from ray import tune  # takes seconds, in which the processes of a Ray just started do the same

    from search.execution.trainable import train_pack

    class Listener(_Listener, tune.Callback):  # type: ignore[misc]  # Ray's classes are untyped
        """What Tune takes as a callback."""

    with interrupts() as interrupted, tempfile.TemporaryDirectory(prefix="ae-search-") as scratch:
        given = trial_resources(resources)
        device = "cuda" if given["GPU"] else "cpu"
        worker = {**evaluation, "device": device, "n_threads": resources.cpus_per_trial}
        plain = [[(trial_id, asdict(configuration)) for trial_id, configuration in pack.items()] for pack in packs]
        recorded = ledger.epochs_recorded()
        clear_checkpoints(checkpoints["folder"], packs, worker, unfinished=unfinished, recorded=recorded)
        trainable = tune.with_resources(
            tune.with_parameters(train_pack, values=values, packs=plain, evaluation=worker, checkpoints=checkpoints),
            given,
        )
        recorder = Recorder(plain, ledger, progress, max_epochs=evaluation["max_epochs"], unfinished=unfinished)
        listener = Listener(recorder, interrupted)
        tuner = tune.Tuner(
            trainable,
            # Numbers, because Tune copies the whole grid for every trial.
            param_space={"pack": tune.grid_search(list(range(len(plain))))},
            tune_config=tune.TuneConfig(reuse_actors=True, max_concurrent_trials=max_concurrent_trials),
            run_config=tune.RunConfig(
                name="search",
                storage_path=scratch,  # of the driver alone: nothing of a trial goes there
                failure_config=tune.FailureConfig(max_failures=resources.max_failures),
                callbacks=[listener],
                verbose=0,
            ),
        )
        try:
            tuner.fit()
        except tune.TuneError as error:
            reason = str(error).strip().split("\n")[-1]
            raise listener.error or RuntimeError(f"Ray Tune stopped: {reason}. Run the same command again.") from None
        if interrupted.is_set():
            raise KeyboardInterrupt


class _Listener:
    """What Tune calls; `run_trials` adds Tune's own base class, which is imported late."""

    def __init__(self, recorder: Recorder, interrupted: Event) -> None:
        self.error: Exception | None = None
        """What ended the search, as it was raised: Tune makes a traceback's text of it."""
        self._recorder = recorder
        self._interrupted = interrupted

    def __getstate__(self) -> dict[str, object]:
        return {}  # Tune pickles its callbacks into its own state, which is never read

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:  # noqa: ARG002
        with self._noted():
            self._recorder.start(trial.config["pack"])

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: Any, **_: Any) -> None:  # noqa: ARG002
        with self._noted():
            self._recorder.record(trial.config["pack"], result["report"])

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:  # noqa: ARG002
        if self.error is None:
            with self._noted():
                self._recorder.fail(trial.config["pack"], _failure(trial))

    def on_step_end(self, iteration: int, trials: list[Any], **_: Any) -> None:  # noqa: ARG002
        if self._interrupted.is_set():
            raise KeyboardInterrupt
        if dead := _dead_processes():
            # Ray itself would end this process seconds later, with pages of its own log.
            raise RuntimeError(f"Ray's own {dead} was killed. What was finished is kept; run the same command again.")

    @contextmanager
    def _noted(self) -> Iterator[None]:
        try:
            yield
        except (RuntimeError, ValueError) as error:
            self.error = error
            raise


def _failure(trial: Any) -> str:
    """Why Tune gave a trial up, from the text that it keeps of the last failure."""
    last = str(trial.get_error() or "").rpartition("Failure #")[2].strip()
    if not last or re.search("actor (died|is dead)|unavailable|out of memory", last):
        return "its worker was lost too often"
    return last.splitlines()[-1]


def trial_resources(resources: ResourceSettings) -> dict[str, float]:
    """CPUs and GPUs of each trial, on the cluster that is connected.

    Raises:
        ValueError: If no node has them: Ray would wait for such a node for ever.
    """
    has_gpus = ray.cluster_resources().get("GPU", 0) > 0
    gpus = float(has_gpus) if resources.gpus_per_trial is None else resources.gpus_per_trial
    cpus = resources.cpus_per_trial
    nodes: Sequence[Mapping[str, float]] = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(node.get("CPU", 0) >= cpus and node.get("GPU", 0) >= gpus for node in nodes):
        largest = max((node.get("CPU", 0), node.get("GPU", 0)) for node in nodes)
        raise ValueError(
            f"a trial needs {cpus:g} CPUs and {gpus:g} GPUs, but no node has them (the largest has {largest[0]:g} and "
            f"{largest[1]:g}). Lower resources.cpus_per_trial or resources.gpus_per_trial."
        )
    return {"CPU": cpus, "GPU": gpus}


def _dead_processes() -> str:
    """Those processes of the local Ray without which it cannot go on, and which have died; empty for a cluster."""
    node = ray._private.worker._global_node  # there is no public way to ask
    died = {kind for kind, _process in node.dead_processes()} if node is not None else set()
    return " and ".join(sorted(died & {"raylet", "gcs_server"}))


def _start(resources: ResourceSettings) -> None:
    """Start a Ray that ends with this process."""
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


def _print_shortly(message: Mapping[str, Any], **_: Any) -> None:
    """What Ray says of lost nodes and processes, without the page of its log that it adds."""
    for text in message["lines"]:
        sys.stderr.write(f"Ray: {text.strip().splitlines()[0].split('. ')[0].rstrip('.')}\n")


@contextmanager
def _no_sigterm_handler_of_rays() -> Iterator[None]:
    """Ray's start sets two, which end the process wherever it is."""
    utils = ray._private.utils
    before = utils.set_sigterm_handler
    utils.set_sigterm_handler = lambda _handler: None
    try:
        yield
    finally:
        utils.set_sigterm_handler = before


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
