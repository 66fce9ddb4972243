"""Names of Ray's that it does not promise to keep, each used in one function here and nowhere else.

A release of Ray that drops one fails by its name, here and in `tests/search/execution/test_ray_internals.py`.
"""

import importlib
import os
import site
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ae_model
import search
from search.errors import SearchError
from search.execution.idle_workers import IdleWorkers

PRIVATE_NAMES = (
    "ray._private.utils.set_sigterm_handler",
    "ray._private.ray_constants.ENABLE_RAY_CLUSTER",
    "ray._private.node.wait_for_persisted_port",
    "ray._private.worker.print_to_stdstream",
    "ray._private.worker._global_node",
    "ray._private.node.Node.dead_processes",
    "ray.util.client.ray.is_connected",
    "ray.train._internal.storage._get_ray_train_session_dir",
    "ray.job_config.JobConfig._runtime_env_has_working_dir",
    "ray.job_config.JobConfig._py_driver_sys_path",
    "ray.tune.registry._Registry.contains",
    "ray.tune.registry._Registry.get",
    "ray.tune.execution.tune_controller._ObjectCache",
    "ray.tune.execution.tune_controller.TuneController._actor_failed",
    "ray.tune.execution.tune_controller.TuneController._schedule_trial_reset",
)
"""All that are used; `JobConfig`'s last one is an attribute of its objects."""


def find(name: str) -> tuple[Any, str, Any]:
    """A private name of Ray's: the module or class it belongs to, its last part, and its value.

    Raises:
        SearchError: If this Ray does not have it.
    """
    import ray

    assert name in PRIVATE_NAMES
    path, _, last = name.rpartition(".")
    try:
        try:
            owner = importlib.import_module(path)
        except ModuleNotFoundError:  # it is a class
            module, _, kind = path.rpartition(".")
            owner = getattr(importlib.import_module(module), kind)
            if last == "_py_driver_sys_path":
                owner = owner()
        return owner, last, getattr(owner, last)
    except (ImportError, AttributeError):
        raise SearchError(
            f"{name} is needed, but Ray {ray.__version__} does not have it. Install the version of Ray that "
            "ae-search asks for."
        ) from None


@contextmanager
def _replaced(name: str, value: Any) -> Iterator[None]:
    owner, last, before = find(name)
    setattr(owner, last, value)
    try:
        yield
    finally:
        setattr(owner, last, before)


@contextmanager
def no_sigterm_handlers() -> Iterator[None]:
    """Ray's start sets two, which end the process wherever it is."""
    with _replaced("ray._private.utils.set_sigterm_handler", lambda _handler: None):
        yield


@contextmanager
def short_waits() -> Iterator[None]:
    """Ray's start waits half a minute for its first process in C++, where no other thread of Python's can run."""
    name = "ray._private.node.wait_for_persisted_port"
    wait = find(name)[2]

    def wait_in_turns(*arguments: Any, timeout_ms: int) -> int:
        give_up = time.monotonic() + timeout_ms / 1000
        while True:
            try:
                return int(wait(*arguments, timeout_ms=min(timeout_ms, 50)))
            except Exception:
                if time.monotonic() >= give_up:
                    raise
            time.sleep(0.01)

    with _replaced(name, wait_in_turns):
        yield


@contextmanager
def messages_printed_by(write: Callable[[Mapping[str, Any]], None]) -> Iterator[None]:
    """What Ray says of lost nodes and processes is given to a function instead of printed with pages of its log."""
    with _replaced("ray._private.worker.print_to_stdstream", lambda message, **_: write(message)):
        yield


@contextmanager
def on_loopback() -> Iterator[None]:
    """A Ray that is started here can be reached from this machine alone, with its token.

    It takes the address of an outer interface, and listens on all, unless it is told as if it were on a laptop with
    another system: there is no public setting, and it resolves "127.0.0.1" away.
    """
    name = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
    before = os.environ.get(name)
    with _replaced("ray._private.ray_constants.ENABLE_RAY_CLUSTER", False):
        os.environ[name] = "0"
        try:
            yield
        finally:
            del os.environ[name]
            if before is not None:
                os.environ[name] = before


@contextmanager
def tune_in_this_process(scratch: str) -> Iterator[None]:
    """Tune runs where it is called, with a client's connection too, and not on the head, away from the ledger.

    Args:
        scratch: The folder for what Tune would write into Ray's, where this process has none.
    """
    if not find("ray.util.client.ray.is_connected")[2]():
        yield
        return
    with (
        _replaced("ray.util.client.ray.is_connected", lambda: False),
        _replaced("ray.train._internal.storage._get_ray_train_session_dir", lambda: scratch),
    ):
        yield


@contextmanager
def idle_workers_kept() -> Iterator[None]:
    """Workers without a trial stay, as `IdleWorkers` says, and one that dies meanwhile costs no trial.

    Tune notices only when the worker is to begin with its next trial, and takes that for the trial's own failure.
    """
    fail = find("ray.tune.execution.tune_controller.TuneController._actor_failed")[2]
    begin = find("ray.tune.execution.tune_controller.TuneController._schedule_trial_reset")[2]

    def actor_failed(controller: Any, worker: Any, exception: Exception) -> None:
        trial = controller._actor_to_trial[worker]
        if trial not in controller._resetting_trials:
            fail(controller, worker, exception)
            return
        controller._resetting_trials.remove(trial)
        controller._pending_trials.remove(trial)  # so that only the worker is seen to
        fail(controller, worker, exception)
        controller._pending_trials.add(trial)
        controller._schedule_trial_actor(trial)

    def schedule_trial_reset(controller: Any, trial: Any, *arguments: Any) -> None:
        fail_task = controller._trial_task_failure

        def fail_task_itself(trial: Any, exception: Exception) -> None:
            if not isinstance(exception, RayActorError):  # which `actor_failed` hears of, too
                fail_task(trial, exception)

        controller._trial_task_failure = fail_task_itself
        try:
            begin(controller, trial, *arguments)
        finally:
            del controller._trial_task_failure

    from ray.exceptions import RayActorError

    with (
        _replaced("ray.tune.execution.tune_controller._ObjectCache", IdleWorkers),
        _replaced("ray.tune.execution.tune_controller.TuneController._actor_failed", actor_failed),
        _replaced("ray.tune.execution.tune_controller.TuneController._schedule_trial_reset", schedule_trial_reset),
    ):
        yield


@contextmanager
def registry_read_once() -> Iterator[None]:
    """What Tune has registered is fetched and unpickled once, not five times for every trial: a third of its cost."""
    contains = find("ray.tune.registry._Registry.contains")[2]
    get = find("ray.tune.registry._Registry.get")[2]
    known: dict[tuple[str, str], Any] = {}

    def is_known(registry: Any, category: str, key: str) -> bool:
        return (category, key) in known or bool(contains(registry, category, key))

    def get_once(registry: Any, category: str, key: str) -> Any:
        if (category, key) not in known:
            known[category, key] = get(registry, category, key)
        return known[category, key]

    with (
        _replaced("ray.tune.registry._Registry.contains", is_known),
        _replaced("ray.tune.registry._Registry.get", get_once),
    ):
        yield


def forget(trial: Any) -> None:
    """Drop what Tune would keep of a trial that is over: its results, a table of metrics, its parameters.

    It keeps every trial until the experiment's end, with 30 KB and more of each.
    """
    metadata = type(trial.run_metadata)()
    metadata.checkpoint_manager = trial.run_metadata.checkpoint_manager
    trial.run_metadata = metadata
    trial.config = trial.evaluated_params = trial._Trial__unresolved_config = {}
    trial._default_result_or_future = None


def dead_processes() -> set[str]:
    """The kinds of those processes of a Ray that this process has started which have died, such as "raylet"."""
    node = find("ray._private.worker._global_node")[2]
    find("ray._private.node.Node.dead_processes")
    return {kind for kind, _process in node.dead_processes()} if node is not None else set()


def job_config(*, same_files: bool) -> Any:
    """A `JobConfig` by which workers find our packages where the driver does, and nothing that lies about.

    Args:
        same_files: Whether workers see this machine's files; if not, they get the packages themselves.

    Ray puts the driver's working directory and its script's in front of the workers' module path, where a folder
    `search` in them hides ours. There is no public way to be without, but for a job that has a `working_dir`, which
    takes an agent, an upload and seconds.
    """
    from ray.job_config import JobConfig

    class OwnPaths(JobConfig):  # type: ignore[misc]  # Ray's classes are untyped
        def _runtime_env_has_working_dir(self) -> bool:
            return True

    find("ray.job_config.JobConfig._runtime_env_has_working_dir")
    find("ray.job_config.JobConfig._py_driver_sys_path")
    return OwnPaths(_py_driver_sys_path=_own_folders() if same_files else [])


def _own_folders() -> list[str]:
    """Where our packages lie, unless every Python of this installation looks there anyway."""
    known = {Path(folder).resolve() for folder in (*site.getsitepackages(), site.getusersitepackages())}
    own = dict.fromkeys(Path(package.__path__[0]).resolve().parent for package in (search, ae_model))
    return [str(folder) for folder in own if folder not in known]
