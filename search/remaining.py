"""How long a round of packs still takes, from what those that run have taken."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(slots=True)
class _Run:
    """What is known of a pack that was begun; moments are seconds of a clock, with the epoch reached by then."""

    begun: float
    first: tuple[float, int] | None = None
    latest: tuple[float, int] | None = None

    def epoch_seconds(self) -> float | None:
        """What an epoch takes; None before the first report."""
        if self.first is None or self.latest is None:
            return None
        # Better between two reports: before the first, a worker imports torch, or reads a checkpoint.
        since, epoch = self.first if self.latest[1] > self.first[1] else (self.begun, 0)
        return (self.latest[0] - since) / (self.latest[1] - epoch)


class Remaining:
    """Estimates the time that is left until the last pack has ended.

    A pack that runs goes on as fast as it was; one that waits takes what its size says, times what those that have run
    took over what their sizes said. Packs that wait are given, in order, to the slot that is free first.

    Args:
        epochs: The last epoch of each pack, in the order in which packs are started.
        seconds: What an epoch of each pack takes by its size, > 0; only ratios matter.

    Examples:
        >>> remaining = Remaining(epochs=[10, 10], seconds=[2.0, 1.0])
        >>> remaining.begin(0, now=0.0)
        >>> remaining.reach(0, 5, now=20.0)  # 4 s an epoch: 20 s are left of this one, and 20 s of the other
        >>> remaining.seconds(now=20.0)
        40.0
    """

    def __init__(self, *, epochs: Sequence[int], seconds: Sequence[float]) -> None:
        self._last, self._size = list(epochs), list(seconds)
        self._runs: dict[int, _Run] = {}
        self._n_slots = 1

    def begin(self, pack: int, *, now: float) -> None:
        """A worker begins with a pack, for the first time or anew."""
        self._runs[pack] = _Run(begun=now)
        self._n_slots = max(self._n_slots, len(self._running()))

    def reach(self, pack: int, epoch: int, *, now: float) -> None:
        """A pack that was begun has reached an epoch; its last, too, where it ends before."""
        if epoch < 1:  # of a pack some trials have reported before others
            return
        run = self._runs.setdefault(pack, _Run(begun=now))  # it may be given up before any worker began with it
        run.first = run.first or (now, epoch)
        run.latest = now, max(epoch, run.latest[1] if run.latest else 0)

    def seconds(self, now: float) -> float | None:
        """Seconds that are left; None before the first report, or where all have ended."""
        speeds = {pack: speed for pack, run in self._runs.items() if (speed := run.epoch_seconds()) is not None}
        running = self._running()
        if not speeds or (not running and len(self._runs) == len(self._last)):
            return None
        factor = sum(speeds.values()) / sum(self._size[pack] for pack in speeds)
        slots = [0.0] * max(self._n_slots - len(running), 0)
        for pack in running:
            run = self._runs.setdefault(pack, _Run(begun=now))  # it may be given up before any worker began with it
            at, epoch = run.latest or (run.begun, 0)
            left = (self._last[pack] - epoch) * speeds.get(pack, factor * self._size[pack])
            slots.append(max(left - (now - at), 0.0))
        heapq.heapify(slots)
        for pack in range(len(self._last)):
            if pack not in self._runs:
                heapq.heapreplace(slots, slots[0] + self._last[pack] * factor * self._size[pack])
        return max(slots)

    def _running(self) -> list[int]:
        return [p for p, run in self._runs.items() if run.latest is None or run.latest[1] < self._last[p]]
