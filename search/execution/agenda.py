"""Which pack is trained next: round after round, each when the one before has ended."""

import time
from collections import deque
from collections.abc import Callable, Sequence

from search.execution.packs import Pack


class Agenda:
    """The packs of a search, in the order in which they are to be trained.

    Args:
        next_round: Gives the packs of the next round, in order, or none at the end; called when all packs before are
            trained or given up. One whose deadline passes before its turn does not come up.
    """

    def __init__(self, next_round: Callable[[], Sequence[Pack]]) -> None:
        self.packs: list[Pack] = []
        """All of the rounds so far, by number."""
        self.ended = False
        """Whether no other will come up."""
        self._next_round = next_round
        self._waiting: deque[int] = deque()
        self._running: set[int] = set()

    @property
    def n_running(self) -> int:
        """How many packs have come up and not ended."""
        return len(self._running)

    def next_pack(self) -> int | None:
        """The number of the pack to train next; None if none can be trained now."""
        while not self.ended:
            while self._waiting:
                number = self._waiting.popleft()
                deadline = self.packs[number].deadline
                if deadline is None or time.time() < deadline:
                    self._running.add(number)
                    return number
            if self._running:
                return None
            packs = self._next_round()
            self._waiting.extend(range(len(self.packs), len(self.packs) + len(packs)))
            self.packs += packs
            self.ended = not packs
        return None

    def has_ended(self, number: int) -> None:
        """A pack is trained, or was given up."""
        self._running.discard(number)
