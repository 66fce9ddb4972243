"""Which pack is trained next: round after round, each when the one before has ended."""

from collections import deque
from collections.abc import Callable, Sequence

from search.execution.packs import Pack


class Agenda:
    """The packs of a search, in the order in which they are to be trained.

    Args:
        next_round: Gives the packs of the next round, in order, or none at the end; called when all packs before are
            trained or given up.
        may_go_on: Whether another pack may begin; asked before each.
    """

    def __init__(
        self, next_round: Callable[[], Sequence[Pack]], *, may_go_on: Callable[[], bool] = lambda: True
    ) -> None:
        self.packs: list[Pack] = []
        """All that have come up, by number."""
        self.ended = False
        """Whether no other will come up."""
        self._next_round, self._may_go_on = next_round, may_go_on
        self._waiting: deque[int] = deque()
        self._running: set[int] = set()

    def next_pack(self) -> int | None:
        """The number of the pack to train next; None if none can be trained now."""
        if not self.ended and not self._may_go_on():
            self._waiting.clear()
            self.ended = True
        if not self._waiting and not self._running and not self.ended:
            packs = self._next_round()
            self._waiting.extend(range(len(self.packs), len(self.packs) + len(packs)))
            self.packs += packs
            self.ended = not packs
        if not self._waiting:
            return None
        number = self._waiting.popleft()
        self._running.add(number)
        return number

    def has_ended(self, number: int) -> None:
        """A pack is trained, or was given up."""
        self._running.discard(number)
