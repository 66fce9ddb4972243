"""The cluster file is one that Ray accepts, and one that does not cost or expose more than it must."""

from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]


@pytest.fixture
def cluster() -> dict[str, Any]:
    """The content of cluster.yaml."""
    content: dict[str, Any] = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    return content


def test_ray_accepts_it(cluster: dict[str, Any]) -> None:
    """Ray's own validation of cluster files passes."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    prepared = prepare_config(cluster)
    prepared.setdefault("cluster_synced_files", [])
    validate_config(prepared)


def test_idle_workers_are_given_back(cluster: dict[str, Any]) -> None:
    """No node type keeps machines running that nobody uses."""
    assert all(node["min_workers"] == 0 for node in cluster["available_node_types"].values())
    assert cluster["idle_timeout_minutes"] <= 10


def test_nothing_listens_to_the_world(cluster: dict[str, Any]) -> None:
    """SSH is open to single addresses alone, and the dashboard to the head node."""
    rules = cluster["provider"]["security_group"]["IpPermissions"]
    assert [ip["CidrIp"].endswith("/32") for rule in rules for ip in rule["IpRanges"]] == [True]
    assert any("--dashboard-host=127.0.0.1" in command for command in cluster["head_start_ray_commands"])
