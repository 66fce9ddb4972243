"""A line of progress in a notebook, which is written anew where it stands."""

import time
from typing import Any

_INTERVAL_S = 0.25
"""Each change is a message to the browser: not more often than that."""
_BAR_WIDTH = 20


class NotebookLine:
    """A bar and a text under the cell that is running; only for use where IPython is."""

    def __init__(self) -> None:
        from IPython.display import display

        # An output of its own with an id, which needs no widgets.
        self._handle: Any = display(_bundle("starting Ray"), raw=True, display_id=True)
        self._next = 0.0

    def show(self, text: str, done: int, total: int) -> None:
        """Show how far it is, unless that was done a moment ago.

        Args:
            text: What stands beside the bar.
            done: How much is done.
            total: How much is to be done.
        """
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _INTERVAL_S
            full = _BAR_WIDTH * done // max(total, 1)
            self._handle.update(_bundle(f"{'█' * full}{'░' * (_BAR_WIDTH - full)} {text}"), raw=True)

    def clear(self) -> None:
        """Leave nothing of it."""
        self._handle.update(_bundle(""), raw=True)


def _bundle(text: str) -> dict[str, str]:
    return {"text/plain": text}
