"""The nodes of a cluster, and what each must have: the driver's versions, and a view of the folder of checkpoints."""

import importlib
import sys
import uuid
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from pyarrow import fs

from ae_model.errors import UserError, first_line, last_line
from search.execution.records import WorkerOptions

ANSWER_S = 120.0
"""How many seconds a node may take to answer: it may have to start a Python and import torch from a cold disk."""
_PACKAGES = ("ray", "torch")
_MODULES = ("search.execution.trainable", "ae_model.cross_validation")
"""With these, a worker has imported all that it needs."""
_INSTALL = "which the search runs with here. Install the same there"


def own_versions() -> dict[str, str]:
    """The versions of this process that must be the same on every node, or numbers may not be, by name.

    Of torch's, the part that names its build, such as "+cu130", does not count.
    """
    found = {"Python": f"{sys.version_info.major}.{sys.version_info.minor}"}
    for name in _PACKAGES:
        try:
            found[name] = version(name).partition("+")[0]
        except PackageNotFoundError:
            found[name] = "missing"
    return found


def version_difference(wanted: Mapping[str, str]) -> str | None:
    """How the versions of this process differ from those of another, in words; None if they do not."""
    own = own_versions()
    different = [f"{name} {own[name]} instead of {wanted[name]}" for name in wanted if own[name] != wanted[name]]
    return f"has {' and '.join(different)}" if different else None


def node_fault(options: WorkerOptions) -> str | None:
    """Why this process's node must train nothing, in words, and what to do; None where it may."""
    if (difference := version_difference(options.versions)) is not None:
        return f"{difference}, {_INSTALL}"
    if options.device == "cuda":
        import torch

        if not torch.cuda.is_available():
            return "has no GPU that its torch can use. Mend its driver, set resources.gpus_per_trial = 0"
    if options.is_folder_shared and _lacks(options.checkpoint_folder):
        return f"does not see resources.storage_path ({options.checkpoint_folder}). Mount it there"
    return None


def _lacks(folder: str) -> bool:
    """Whether it is certain that there is no such folder, or none here: a store may be out of reach for a moment."""
    try:
        filesystem, path = fs.FileSystem.from_uri(folder)
        return bool(filesystem.get_file_info(path).type != fs.FileType.Directory)
    except ImportError:
        return True
    except (OSError, ValueError):
        return False


def node_name(address: str, hostname: str) -> str:
    """What a node is called in messages."""
    return f"node {address}" if hostname in ("", address) else f"node {address} ({hostname})"


def alive_nodes() -> list[Mapping[str, Any]]:
    """The nodes of the cluster that is connected, as `ray.nodes` lists them."""
    import ray

    return [node for node in ray.nodes() if node["Alive"]]


def can_hold(node: Mapping[str, Any], given: Mapping[str, float]) -> bool:
    """Whether a node, as `ray.nodes` lists it, is alive and has what one trial gets."""
    return bool(node["Alive"]) and all(node["Resources"].get(name, 0) >= amount for name, amount in given.items())


def check_nodes(given: Mapping[str, float], folder: str | None) -> None:
    """Check that all nodes that can hold a trial have what a worker needs; one that is lost meanwhile need not.

    Args:
        given: CPUs and GPUs of a trial.
        folder: The folder of checkpoints that all of them must see; none if None.

    Raises:
        UserError: If one has other versions, cannot import what is needed, or does not see the folder; it names all.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    nodes = [node for node in ray.nodes() if can_hold(node, given)]
    text = uuid.uuid4().hex
    names = {node["NodeID"]: node_name(node["NodeManagerAddress"], node["NodeManagerHostname"]) for node in nodes}
    if folder is not None:
        try:
            _write(folder, "driver", text)
        except OSError as error:
            raise UserError(
                f"resources.storage_path: {folder} cannot be written to ({first_line(error)}). Give another."
            ) from error
    look = ray.remote(num_cpus=0, max_retries=0)(_look)
    asked = {
        look.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node_id, soft=False)).remote(
            own_versions(), folder, node_id, text
        ): node_id
        for node_id in names
    }
    answered, silent = ray.wait(list(asked), num_returns=len(asked), timeout=ANSWER_S)
    late = f"has not answered for {ANSWER_S:.0f} s. Look for the reason there, or take it away"
    faults = {asked[answer]: late for answer in silent}
    for answer in answered:
        fault = _fault(answer)
        if fault is None and folder is not None and not _is_seen(folder, asked[answer], text):
            fault = f"does not write into the same {folder} as this process. Mount it there, or give another"
        if fault:
            faults[asked[answer]] = fault
    if folder is not None:
        for name in ("driver", *names):
            _delete(folder, name)
    if faults:
        raise UserError("; ".join(sorted(f"{names[node_id]} {fault}" for node_id, fault in faults.items())) + ".")


def _fault(answer: Any) -> str | None:
    """What is wrong with a node that has answered, in words; None if nothing is, empty if it is gone."""
    import ray

    try:
        found: str | None = ray.get(answer)
        return found
    except ray.exceptions.RayTaskError as error:
        reason = last_line(error.cause)
        kind, _, missing = reason.partition(": ")
        if kind == "ModuleNotFoundError":  # of this package itself, where the caller has joined the cluster
            return f"lacks a package that workers need ({missing}). Install it there, or give the cluster's address"
        return f"cannot run what it is given: {reason}"
    except ray.exceptions.RuntimeEnvSetupError as error:
        return f"cannot take over this package: {last_line(error)}"
    except ray.exceptions.OutOfMemoryError:
        return "has too little free memory to start a worker. End what else runs there, or take it away"
    except ray.exceptions.RayError:
        return ""


def _look(wanted: Mapping[str, str], folder: str | None, node_id: str, text: str) -> str | None:
    """What a node lacks, in words; None if it lacks nothing. This is what runs there."""
    if (difference := version_difference(wanted)) is not None:
        return f"{difference}, {_INSTALL}"
    for module in _MODULES:
        try:
            importlib.import_module(module)
        except ImportError as error:
            return f"lacks a package that workers need ({error}). Install there what ae-search needs"
    if folder is not None:
        try:
            if not _is_written(folder, "driver", text):
                return f"does not see resources.storage_path ({folder}). Mount it there, or give another"
            _write(folder, node_id, text)
        except (OSError, ValueError) as error:
            reason = first_line(error)
            return f"cannot use resources.storage_path ({reason}). Give a path or URI that all nodes can write to"
    return None


def _marker(folder: str, name: str) -> tuple[fs.FileSystem, str]:
    filesystem, path = fs.FileSystem.from_uri(folder)
    return filesystem, f"{path}/seen-by-{name}.tmp"


def _write(folder: str, name: str, text: str) -> None:
    filesystem, path = _marker(folder, name)
    with filesystem.open_output_stream(path) as file:
        file.write(text.encode())


def _is_written(folder: str, name: str, text: str) -> bool:
    try:
        filesystem, path = _marker(folder, name)
        with filesystem.open_input_file(path) as file:
            return bool(file.read() == text.encode())
    except FileNotFoundError:
        return False


def _is_seen(folder: str, name: str, text: str) -> bool:
    try:
        return _is_written(folder, name, text)
    except OSError:
        return False


def _delete(folder: str, name: str) -> None:
    with suppress(OSError):
        filesystem, path = _marker(folder, name)
        filesystem.delete_file(path)
