"""Ray itself: started on this machine or joined, asked what it has, and left. To be imported before Ray is."""

import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import current_thread, main_thread
from typing import Any
from urllib.parse import urlsplit

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
        with _own_sigterm():
            if address:
                _join(address)
            else:
                _start(resources)
        worker.print_to_stdstream = _print_shortly
        yield resources.max_concurrent_trials if address else None
    finally:
        worker.print_to_stdstream = before
        with _own_sigterm():
            ray.shutdown()


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


def dead_processes() -> str:
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


@contextmanager
def _own_sigterm() -> Iterator[None]:
    """What SIGTERM does stays as it is: Ray's start sets a handler of its own, and Ray's end takes away any."""
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if current_thread() is main_thread():  # elsewhere nobody can set handlers, Ray neither
            signal.signal(signal.SIGTERM, handler)


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
