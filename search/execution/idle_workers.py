"""The workers that Tune has no trial for at the moment."""

import time
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator
from typing import Any

IDLE_S = 60.0
"""How many seconds a worker stays without a trial. To start another takes seconds; but a node with a worker counts as
busy, and an autoscaler keeps it."""


class IdleWorkers:
    """Stands in for Tune's own cache of workers, which ends all but one of them at the end of each round.

    All are kept for a while, and the one that was idle last gets the next trial, so that the others may leave.

    Args:
        may_keep_one: As Tune passes it; of no effect.
    """

    def __init__(self, may_keep_one: bool = True) -> None:  # noqa: ARG002
        self._idle: dict[Hashable, list[tuple[float, Any]]] = defaultdict(list)
        self._expected: Counter[Hashable] = Counter()

    @property
    def num_cached_objects(self) -> int:
        """How many are idle."""
        return sum(map(len, self._idle.values()))

    @property
    def total_max_objects(self) -> int:
        """How many trials Tune has asked for workers for."""
        return sum(self._expected.values())

    def increase_max(self, key: Hashable, by: int = 1) -> None:
        """Tune asks for workers with these resources."""
        self._expected[key] += by

    def decrease_max(self, key: Hashable, by: int = 1) -> None:
        """Tune has got them."""
        self._expected[key] -= by

    def has_cached_object(self, key: Hashable) -> bool:
        """Whether a worker with these resources is idle."""
        return bool(self._idle[key])

    def cache_object(self, key: Hashable, worker: Any) -> bool:
        """Keep a worker; always done."""
        self._idle[key].append((time.monotonic(), worker))
        return True

    def pop_cached_object(self, key: Hashable) -> Any:
        """The worker that was idle last; None if there is none."""
        return self._idle[key].pop()[1] if self._idle[key] else None

    def flush_cached_objects(self, force_all: bool = False) -> Iterator[Any]:
        """Those that have been idle for too long, or all; they are to be ended."""
        now = time.monotonic()
        for workers in self._idle.values():
            while workers and (force_all or now - workers[0][0] > IDLE_S):
                yield workers.pop(0)[1]
