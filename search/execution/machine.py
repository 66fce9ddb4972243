"""What this machine has for a search."""

import os

from ae_model.errors import UserError
from search.settings import ResourceSettings


def usable_cpus() -> int:
    """How many CPUs this process may use; all of the machine's where the system does not say (macOS)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def check_local_resources(resources: ResourceSettings) -> None:
    """Check that this machine can hold one trial.

    Raises:
        UserError: If it cannot.
    """
    n_gpus = 0
    wanted_gpus = 0.0 if resources.gpus_per_trial in (None, "auto") else float(resources.gpus_per_trial)
    if wanted_gpus:
        import torch

        n_gpus = torch.cuda.device_count()
    for name, wanted, present in (
        ("cpus_per_trial", resources.cpus_per_trial, usable_cpus()),
        ("gpus_per_trial", wanted_gpus, n_gpus),
    ):
        if wanted > present:
            raise UserError(f"resources.{name} must be at most {present} on this machine, but is {wanted:g}. Lower it.")
