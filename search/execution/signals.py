"""What Ctrl-C and SIGTERM do while a search runs."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, current_thread, main_thread


@contextmanager
def interrupts() -> Iterator[Event]:
    """Ctrl-C and SIGTERM as KeyboardInterrupt, and noted, because one that arrives in a destructor of Ray's is lost."""
    interrupted = Event()

    def interrupt(_signal: int, _frame: object) -> None:
        interrupted.set()
        raise KeyboardInterrupt

    with _handled_by(interrupt):
        yield interrupted


@contextmanager
def late_interrupts() -> Iterator[None]:
    """Ctrl-C and SIGTERM are a KeyboardInterrupt at the block's end; a second one does not wait."""
    interrupted = Event()

    def interrupt(_signal: int, _frame: object) -> None:
        if interrupted.is_set():
            raise KeyboardInterrupt
        interrupted.set()

    try:
        with _handled_by(interrupt):
            yield
    finally:
        if interrupted.is_set():
            raise KeyboardInterrupt


@contextmanager
def own_sigterm() -> Iterator[None]:
    """What SIGTERM does stays as it is, whatever a library makes of it in the block."""
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if current_thread() is main_thread():  # elsewhere nobody can set handlers, libraries neither
            signal.signal(signal.SIGTERM, handler)


@contextmanager
def _handled_by(interrupt: Callable[[int, object], None]) -> Iterator[None]:
    if current_thread() is not main_thread():  # only the main thread may set handlers, and only it gets signals
        yield
        return
    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
