"""search.execution.placement: what is said where no node has what a trial gets; waiting is tried in test_cluster.py."""

import pytest

from ae_model import UserError
from search.execution import placement
from search.execution.placement import trial_resources
from search.settings import ResourceSettings


@pytest.mark.parametrize(
    ("asked", "largest"),
    [
        ({"cpus_per_trial": 32, "gpus_per_trial": 0}, "16 CPUs"),
        ({"cpus_per_trial": 8, "gpus_per_trial": 1}, "4 CPUs and 2 GPUs"),
        ({"cpus_per_trial": 8}, "4 CPUs and 2 GPUs"),
    ],
)
def test_the_largest_node_is_the_one_that_comes_nearest(
    local_ray: None, monkeypatch: pytest.MonkeyPatch, asked: dict[str, float], largest: str
) -> None:
    """By GPUs where a trial gets some, else by CPUs."""
    sizes = [{"CPU": 16.0}, {"CPU": 2.0, "GPU": 2.0}, {"CPU": 4.0, "GPU": 2.0}]
    monkeypatch.setattr(placement, "alive_nodes", lambda: [{"Alive": True, "Resources": size} for size in sizes])
    monkeypatch.setattr("ray.cluster_resources", lambda: {"CPU": 22.0, "GPU": 4.0})
    with pytest.raises(UserError, match=rf"no node has them \(the largest has {largest}\)\. Lower resources"):
        trial_resources(ResourceSettings.model_validate(asked))
