"""search.remaining: the estimate of the time that is left, against simulated searches whose end is known."""

import heapq

import numpy as np
import pytest

from search.remaining import Remaining


def _simulate(durations: list[float], n_slots: int, n_reports: int = 10) -> tuple[list[tuple[float, int, int]], float]:
    """Reports (time, pack, epoch) of packs of 100 epochs that are started in order, and the time of the last."""
    slots = [0.0] * n_slots
    heapq.heapify(slots)
    reports = []
    for pack, duration in enumerate(durations):
        begun = heapq.heappop(slots)
        heapq.heappush(slots, begun + duration)
        reports += [(begun + duration * n / n_reports, pack, 100 * n // n_reports) for n in range(n_reports + 1)]
    return sorted(reports), max(slots)


@pytest.mark.parametrize("n_slots", [1, 2, 4])
@pytest.mark.parametrize("kind", ["equal", "one large, many small", "falling"])
def test_the_estimate_is_near_the_truth_and_does_not_jump(n_slots: int, kind: str) -> None:
    """With sizes that are right but for a factor, from the first report on it is the truth within a few percent."""
    durations = {
        "equal": [10.0] * 12,
        "one large, many small": [60.0] + [2.0] * 60,
        "falling": [40.0 * 0.8**n for n in range(20)],
    }[kind]
    reports, end = _simulate(durations, n_slots)
    remaining = Remaining(epochs=[100] * len(durations), seconds=[0.003 * d for d in durations])
    for now, pack, epoch in reports:
        if epoch == 0:
            remaining.begin(pack, now=now)
            continue
        remaining.reach(pack, epoch, now=now)
        left = remaining.seconds(now)
        if left is not None:
            assert abs(left - (end - now)) <= 0.05 * end + 1e-9, (now, left, end - now)
    assert remaining.seconds(end) is None


def test_wrong_sizes_are_corrected_by_what_runs() -> None:
    """A pack that is ten times slower than its size says is known as such from its own reports."""
    remaining = Remaining(epochs=[100, 100], seconds=[1.0, 1.0])
    remaining.begin(0, now=0.0)
    remaining.begin(1, now=0.0)
    for epoch in range(10, 60, 10):
        remaining.reach(0, epoch, now=10.0 * epoch)
        remaining.reach(1, epoch, now=1.0 * epoch)
    assert remaining.seconds(now=500.0) == pytest.approx(500.0)


def test_nothing_is_known_before_the_first_report() -> None:
    """Then there is no estimate; a worker that begins anew does not make it worse than nothing."""
    remaining = Remaining(epochs=[10, 10], seconds=[1.0, 1.0])
    assert remaining.seconds(0.0) is None
    remaining.begin(0, now=0.0)
    assert remaining.seconds(5.0) is None
    remaining.begin(0, now=6.0)
    remaining.reach(0, 5, now=11.0)
    assert remaining.seconds(11.0) == pytest.approx(5.0 + 10.0)
    assert np.isfinite(remaining.seconds(100.0) or 0.0)


def test_a_pack_whose_slowest_trial_has_no_epoch_yet() -> None:
    """Trials of a pack report one after the other: before the last has, nothing is known of the pack."""
    remaining = Remaining(epochs=[10], seconds=[1.0])
    remaining.begin(0, now=0.0)
    remaining.reach(0, 0, now=4.0)
    assert remaining.seconds(4.0) is None
    remaining.reach(0, 5, now=5.0)
    assert remaining.seconds(5.0) == pytest.approx(5.0)


def test_a_pack_that_is_given_up_before_a_worker_began_with_it() -> None:
    """It counts as ended; the estimate is that of the others."""
    remaining = Remaining(epochs=[10, 10], seconds=[1.0, 1.0])
    remaining.reach(0, 10, now=3.0)
    remaining.begin(1, now=3.0)
    remaining.reach(1, 5, now=8.0)
    assert remaining.seconds(8.0) == pytest.approx(5.0)
    remaining.reach(1, 10, now=13.0)
    assert remaining.seconds(13.0) is None
