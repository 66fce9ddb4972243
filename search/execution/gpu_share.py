"""How small a part of a GPU a trial needs, by the memory that the first one takes."""

from collections.abc import Mapping

import numpy as np

from ae_model.errors import UserError, first_line
from search.execution.packs import Pack
from search.execution.records import ValidationDesign, WorkerOptions

USABLE = 0.9
"""The part of a GPU's memory that trials may fill: the first is not always the largest."""
_PARTS = 10_000
"""So many parts of a GPU Ray tells apart."""


def gpu_share(used_bytes: float, total_bytes: float) -> float:
    """The part of a GPU that a trial gets, in (0, 1]: so many fit on one that each has a whole number of neighbours.

    Args:
        used_bytes: What one takes, > 0.
        total_bytes: What the GPU has, > 0.

    Examples:
        >>> gpu_share(2e9, 80e9), gpu_share(60e9, 80e9)
        (0.0277, 1.0)
    """
    n_fit = max(1, int(USABLE * total_bytes // used_bytes))
    return max(1.0, _PARTS // n_fit) / _PARTS if n_fit > 1 else 1.0


def measured_share(
    pack: Pack, values: np.ndarray, design: ValidationDesign, options: WorkerOptions, given: Mapping[str, float]
) -> float:
    """The part of a GPU that each trial gets, after a pack was trained for an epoch on a whole one.

    Args:
        pack: The pack that is measured.
        values: Development samples `(n_samples, n_features)`.
        design: What defines the evaluation.
        options: What workers compute with.
        given: CPUs and GPUs of a trial that has a whole GPU.

    Raises:
        UserError: If it cannot be trained.
    """
    import ray

    from search.execution.trainable import gpu_memory

    measure = ray.remote(num_cpus=given["CPU"], num_gpus=given["GPU"], max_calls=1)(gpu_memory)
    try:
        used, total = ray.get(measure.remote(pack, ray.put(values), design, options))
    except ray.exceptions.RayError as error:
        reason = first_line(error.cause if isinstance(error, ray.exceptions.RayTaskError) else error)
        raise UserError(
            f'resources.gpus_per_trial = "auto": the first trial cannot be trained on a GPU ({reason}). Give a number.'
        ) from error
    return gpu_share(used, total)
