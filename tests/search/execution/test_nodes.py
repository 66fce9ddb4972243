"""search.execution.nodes and gpu_share, as far as one machine can show them; the rest is in tests/test_cluster.py."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from search.execution.gpu_share import USABLE, gpu_share
from search.execution.nodes import can_hold, node_fault, node_name, own_versions, version_difference
from search.execution.records import WorkerOptions


def test_versions_that_differ_are_named() -> None:
    """With both; a build of torch's is not another version, nor a part of Python's that changes no bytecode."""
    own = own_versions()
    assert own["Python"] == ".".join(map(str, sys.version_info[:2]))
    assert not any("+" in version for version in own.values())
    assert version_difference(own) is None
    assert version_difference({}) is None
    assert version_difference(own | {"torch": "1.0"}) == f"has torch {own['torch']} instead of 1.0"
    both = version_difference({"torch": "1.0", "ray": "2.0"})
    assert both == f"has torch {own['torch']} instead of 1.0 and ray {own['ray']} instead of 2.0"


def test_what_a_node_that_joins_late_must_have(tmp_path: Path) -> None:
    """The driver's versions, a GPU that its torch can use, the folder where all share one; each with what to do."""

    def fault(**options: Any) -> str | None:
        place = {"checkpoint_folder": str(tmp_path), "device": "cpu"} | options
        return node_fault(WorkerOptions(n_threads=1, checkpoint_every_s=60, **place))

    own, missing = own_versions(), str(tmp_path / "missing")
    assert fault(versions=own) is fault(checkpoint_folder=missing) is fault(is_folder_shared=True) is None
    assert fault(versions=own | {"torch": "1.0"}) == (
        f"has torch {own['torch']} instead of 1.0, which the search runs with here. Install the same there"
    )
    no_folder = f"does not see resources.storage_path ({missing}). Mount it there"
    assert fault(checkpoint_folder=missing, is_folder_shared=True) == no_folder
    assert fault(checkpoint_folder="s3://", is_folder_shared=True) is None, "which a store may be for a moment"
    if not torch.cuda.is_available():
        words = "has no GPU that its torch can use. Mend its driver, set resources.gpus_per_trial = 0"
        assert fault(device="cuda") == words


def test_names_of_nodes() -> None:
    """The host's name is added where there is one."""
    assert node_name("10.0.0.2", "worker-2") == "node 10.0.0.2 (worker-2)"
    assert node_name("10.0.0.2", "") == node_name("10.0.0.2", "10.0.0.2") == "node 10.0.0.2"


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        ({"Alive": True, "Resources": {"CPU": 2.0, "GPU": 1.0}}, True),
        ({"Alive": True, "Resources": {"CPU": 2.0}}, False),
        ({"Alive": True, "Resources": {"CPU": 1.0, "GPU": 1.0}}, False),
        ({"Alive": False, "Resources": {"CPU": 2.0, "GPU": 1.0}}, False),
        ({"Alive": True, "Resources": {}}, False),
    ],
)
def test_which_nodes_can_hold_a_trial(node: dict[str, object], expected: bool) -> None:
    """Those that are alive and have all of it."""
    assert can_hold(node, {"CPU": 2, "GPU": 0.5}) is expected


@given(used=st.floats(1, 1e12), total=st.floats(1e9, 1e12))
def test_no_gpu_is_given_to_more_than_fit(used: float, total: float) -> None:
    """Ray starts as many as have room by their shares: these must have room in the memory too, but for one alone."""
    share = gpu_share(used, total)
    at_once = int((1 + 1e-9) / share)
    assert 0 < share <= 1
    assert at_once == 1 or at_once * used <= total * (USABLE + 0.1)
    if at_once < 5000:  # beyond, Ray does not tell shares apart
        assert (at_once + 1) * used > USABLE * total
