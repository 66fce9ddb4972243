"""What each trial gets of the cluster, once a node has it."""

from collections.abc import Callable, Mapping

from ae_model.errors import UserError
from search.execution.nodes import alive_nodes, can_hold
from search.settings import ResourceSettings


def trial_resources(
    resources: ResourceSettings, *, wait_s: float = 0.0, say: Callable[[str], None] = lambda _: None
) -> dict[str, float]:
    """CPUs and GPUs of each trial, on the cluster that is connected.

    Args:
        resources: What is asked for. Whole GPUs, where it asks to measure how much of one is needed.
        wait_s: How many seconds to wait for a node that has them, where none does. Meanwhile Ray is told of the need,
            so that an autoscaler can start one.
        say: Is told that there is one to wait for.

    Raises:
        UserError: If no node has them: Tune would wait for such a node for ever.
    """
    given = _given(resources)
    if any(can_hold(node, given) for node in alive_nodes()):
        return given
    if wait_s:
        say(f"No node has {_text(given)} ({_largest(given)}); waiting {wait_s:g} s for one to join")
        if _joins(given, wait_s):
            return _given(resources)  # the first node may have brought GPUs
    waited = f"{wait_s:g} s after the start no node has them" if wait_s else "no node has them"
    remedy = ", or raise resources.startup_timeout_s; `ray status` says what an autoscaler could not start."
    raise UserError(
        f"a trial needs {_text(given)}, but {waited} ({_largest(given)}). Lower resources.cpus_per_trial or "
        f"resources.gpus_per_trial{remedy if wait_s else '.'}"
    )


def _given(resources: ResourceSettings) -> dict[str, float]:
    import ray

    gpus = resources.gpus_per_trial
    if gpus is None or gpus == "auto":
        gpus = float(ray.cluster_resources().get("GPU", 0) > 0)
    return {"CPU": resources.cpus_per_trial, "GPU": gpus}


def _joins(given: Mapping[str, float], wait_s: float) -> bool:
    """Whether a node that has what a trial gets joins in time."""
    from ray.util.placement_group import placement_group, remove_placement_group

    # Unlike a request to the autoscaler, it ends with this process, so that no node is kept for nothing.
    room = placement_group([{name: amount for name, amount in given.items() if amount}])
    try:
        return bool(room.wait(wait_s))
    finally:
        remove_placement_group(room)


def _largest(given: Mapping[str, float]) -> str:
    """The node that has most: of GPUs, where a trial gets some, and then of CPUs."""
    found = [{name: node["Resources"].get(name, 0) for name in ("CPU", "GPU")} for node in alive_nodes()]
    most = max(found, key=lambda has: (has["GPU"] * bool(given["GPU"]), has["CPU"]), default={"CPU": 0})
    return f"the largest has {_text(most)}"


def _text(given: Mapping[str, float]) -> str:
    parts = [f"{n:g} {name}{'s' * (n != 1)}" for name, n in given.items() if n or name == "CPU"]
    return " and ".join(parts)
