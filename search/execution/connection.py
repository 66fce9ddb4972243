"""Ray started or joined, and left."""

import logging
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from search.execution.signals import late_interrupts, own_sigterm
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
