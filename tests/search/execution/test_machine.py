"""search.execution.machine: what this machine has."""

import os

import pytest

from ae_model import UserError
from search.execution.machine import check_local_resources, usable_cpus
from search.settings import ResourceSettings


def test_cpus_are_those_that_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system says which; else, as on macOS, all there are."""
    assert usable_cpus() == len(os.sched_getaffinity(0))
    monkeypatch.delattr(os, "sched_getaffinity")
    assert usable_cpus() == os.cpu_count()


def test_a_trial_that_no_room_is_for() -> None:
    """The setting, what there is and what was asked for are named."""
    check_local_resources(ResourceSettings(cpus_per_trial=usable_cpus()))
    with pytest.raises(UserError, match=rf"resources\.cpus_per_trial must be at most {usable_cpus()} .* is 9999"):
        check_local_resources(ResourceSettings(cpus_per_trial=9999))
