"""ae_model.schedules against torch's own schedulers."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR

from ae_model.configuration import SCHEDULE_NAMES
from ae_model.schedules import scheduled_rate

RATE = 3e-3
TORCH: dict[str, Callable[[torch.optim.Optimizer, int], LRScheduler]] = {
    "cosine": CosineAnnealingLR,
    "one-cycle": lambda optimizer, n: OneCycleLR(optimizer, RATE, n, cycle_momentum=False),
}


@pytest.mark.parametrize("n_steps", [1, 2, 3, 4, 7, 10, 333])
@pytest.mark.parametrize("name", TORCH)
def test_rates_are_those_of_torch(name: str, n_steps: int) -> None:
    """Of every step, to rounding; torch is stepped from one to the next, ours is asked for each alone."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=RATE)
    scheduler = TORCH[name](optimizer, n_steps)
    expected = []
    for step in range(n_steps):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if step < n_steps - 1:
            scheduler.step()
    got = [scheduled_rate(name, RATE, step, n_steps) for step in range(n_steps)]
    np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-15 * RATE)


@pytest.mark.parametrize(("name", "last"), [("constant", RATE), ("cosine", 0.0), ("one-cycle", RATE / 25 / 1e4)])
def test_after_its_end_a_schedule_stays_there(name: str, last: float) -> None:
    """The rate does not rise again."""
    assert name in SCHEDULE_NAMES
    for step in (10, 11, 1000):
        assert scheduled_rate(name, RATE, step, 10) == pytest.approx(last, rel=1e-12)
