"""How the learning rate changes from step to step: it follows from the number of the step alone."""

import math

WARM_UP_PART, WARM_UP_DIVISOR, FINAL_DIVISOR = 0.3, 25.0, 1e4
"""The defaults of `torch.optim.lr_scheduler.OneCycleLR`: pct_start, div_factor and final_div_factor."""


def scheduled_rate(name: str, rate: float, step: int, n_steps: int) -> float:
    """The learning rate of one step.

    "constant" is `rate` throughout. "cosine" falls from `rate` towards 0 as half a cosine (Loshchilov, Hutter, SGDR,
    2017; torch's CosineAnnealingLR). "one-cycle" rises from `rate` / 25 to `rate` in the first 0.3 of the steps and
    falls to `rate` / 250,000 in the others, both as half a cosine (Smith, Topin, Super-Convergence, 2018; torch's
    OneCycleLR). After the last step the rate stays where the schedule ends.

    Args:
        name: One of `configuration.SCHEDULE_NAMES`.
        rate: The schedule's highest learning rate.
        step: The number of the step, counted from 0.
        n_steps: The length of the schedule, >= 1.

    Examples:
        >>> [scheduled_rate("cosine", 0.1, step, 2) for step in range(3)]
        [0.1, 0.05, 0.0]
    """
    if name == "constant":
        return rate
    if name == "cosine":
        return _half_cosine(rate, 0.0, min(step / n_steps, 1.0))
    assert name == "one-cycle", name
    step = min(step, n_steps - 1)
    low = rate / WARM_UP_DIVISOR
    top = WARM_UP_PART * n_steps - 1  # the step with the highest rate, which may lie between two steps
    if step <= top:
        return _half_cosine(low, rate, step / top)
    return _half_cosine(rate, low / FINAL_DIVISOR, (step - top) / (n_steps - 1 - top))


def _half_cosine(start: float, end: float, part: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * part)) / 2
