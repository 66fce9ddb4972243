"""Ray started or joined, and left."""

import logging
import os
import re
import socket
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import ae_model
import search
from ae_model.errors import UserError
from search.errors import SearchError
from search.execution import ray_internals
from search.execution.machine import usable_cpus
from search.execution.native_stderr import native_stderr_in
from search.execution.signals import late_interrupts, own_sigterm
from search.execution.watch import watched
from search.settings import ResourceSettings

_ENVIRONMENT = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "86400",
    "TUNE_MAX_PENDING_TRIALS_PG": "200",
    "TUNE_FUNCTION_THREAD_TIMEOUT_S": "30",
}
"""No chatter of Ray's, no files of its own, no usage reports, no waiting for one trial before the next is asked for;
what is set already stays."""


@contextmanager
def connected_ray(address: str | None, resources: ResourceSettings, *, log: Path | None = None) -> Iterator[int | None]:
    """A connection to Ray that ends with the block: to the cluster at an address, or to a local one of its own.

    If there is a connection already, it is used, and stays.

    Args:
        address: Of a cluster; None for a local Ray.
        resources: How much of this machine a local Ray may use.
        log: Where a local Ray's own messages go, if there are any; a temporary file if None.

    Yields:
        How many trials may run at once, where Ray's CPUs are not the limit.

    Raises:
        UserError: If there is no cluster at the address.
        SearchError: If one of the local Ray's own processes has died.
    """
    with _environment():
        import ray  # not before the environment: some of it is read only now

        if ray.is_initialized():
            yield resources.max_concurrent_trials
        elif address:
            with ray_internals.messages_printed_by(_print_shortly):
                try:
                    with own_sigterm(), ray_internals.no_sigterm_handlers():
                        _join(address)
                    yield resources.max_concurrent_trials
                finally:
                    with late_interrupts():
                        ray.shutdown()
        else:
            with _local_ray(resources, log):
                yield None


@contextmanager
def _local_ray(resources: ResourceSettings, log: Path | None) -> Iterator[None]:
    """A Ray that ends with the block, or this process with it."""
    import ray

    with (
        native_stderr_in(log) as stderr,
        watched(stderr) as watch,
        ray_internals.messages_printed_by(lambda message: stderr.write_to_log("".join(message["lines"]))),
    ):
        try:
            with late_interrupts(), ray_internals.no_sigterm_handlers(), ray_internals.short_waits():
                _start(resources)  # interrupted, it would leave processes
            watch.started()
            yield
        except (Exception, SystemExit) as error:
            if reason := watch.reason():  # whatever Ray makes of it
                raise SearchError(reason) from error
            raise
        finally:
            watch.leave()
            with late_interrupts():
                ray.shutdown()


@contextmanager
def _environment() -> Iterator[None]:
    """The variables that Ray reads, for as long as the block; then all that it has set itself are gone too."""
    before = dict(os.environ)
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        yield
    finally:
        for name in set(os.environ) | set(before):
            if name.startswith(("RAY_", "TUNE_")) or name == "PYTHONBREAKPOINT":
                os.environ.pop(name, None)
                if name in before:
                    os.environ[name] = before[name]


def _start(resources: ResourceSettings) -> None:
    """Start a Ray that ends with this process."""
    n_cpus = usable_cpus()
    if resources.max_concurrent_trials:
        # Fewer CPUs rather than Tune's own cap, which can hang when an actor is slow to leave.
        n_cpus = min(n_cpus, resources.max_concurrent_trials * resources.cpus_per_trial)
    import ray

    with ray_internals.on_loopback():
        ray.init(
            address="local",
            num_cpus=n_cpus,
            include_dashboard=False,
            logging_level=logging.ERROR,
            log_to_driver=False,
            job_config=ray_internals.job_config(same_files=True),
        )


def _print_shortly(message: Mapping[str, Any]) -> None:
    """What Ray says of lost nodes and processes, without the page of its log that it adds."""
    for text in message["lines"]:
        sys.stderr.write(f"Ray: {text.strip().splitlines()[0].split('. ')[0].rstrip('.')}\n")


def _own_packages() -> list[str]:
    """The folders of our packages, which workers get: they may have none, or others. Torch and all else they have."""
    return [search.__path__[0], ae_model.__path__[0]]


def _join(address: str) -> None:
    """Connect to a running cluster; UserError says why not, at once where nothing listens (Ray tries for minutes)."""
    import ray

    with (
        tempfile.TemporaryDirectory(prefix="ae-search-") as folder,
        native_stderr_in(Path(folder) / "log") as stderr,  # a line a second, for as long as it tries
        warnings.catch_warnings(action="ignore"),
    ):
        try:
            if address != "auto" and (host := urlsplit(address if "//" in address else f"//{address}")).port:
                socket.create_connection((host.hostname, host.port), timeout=10).close()
            ray.init(
                address=address,
                logging_level=logging.ERROR,
                log_to_driver=False,
                runtime_env={"py_modules": _own_packages(), "excludes": ["__pycache__"]},
                # A client's job is that of a server elsewhere, which makes its own.
                job_config=None if address.startswith("ray://") else ray_internals.job_config(same_files=False),
            )
        except (OSError, RuntimeError, ValueError, ray.exceptions.AuthenticationError) as error:
            raise UserError(f"--address {address}: {_refusal(str(error), stderr.text())}") from error


def _refusal(text: str, log: str) -> str:
    """Why a cluster could not be joined, from what Ray raises and what it prints, and what to do."""
    if versions := re.findall(r"Ray: (\S+)\s+Python: (\S+)", text):
        (ray_there, python_there), (ray_here, python_here) = versions[0], versions[-1]
        return (
            f"the cluster runs Ray {ray_there} with Python {python_there}, but here is Ray {ray_here} with Python "
            f"{python_here}. Install the same here."
        )
    lines = text.strip().splitlines() or [""]
    told_at_the_end = lines[0].endswith(":")  # after a traceback from the other side
    reason = lines[-1 if told_at_the_end else 0].split(". ")[0].rstrip(".")
    if "InvalidAuthToken" in log:
        reason = "it asks for another token"
    words = f" ({reason})" if reason else ""
    return (
        f"no Ray cluster could be joined{words}. Check the address; a cluster with token authentication wants "
        "RAY_AUTH_MODE=token and its token here too, in RAY_AUTH_TOKEN or ~/.ray/auth_token."
    )
