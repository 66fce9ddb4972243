"""What Ctrl-C and SIGTERM do while a search runs."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, current_thread, main_thread


@contextmanager
def interrupts() -> Iterator[Event]:
    """Ctrl-C and SIGTERM as KeyboardInterrupt, and noted, because one that arrives in a destructor of Ray's is lost."""
    interrupted = Event()

    def interrupt(_signal: int, _frame: object) -> None:
        interrupted.set()
        raise KeyboardInterrupt

    if current_thread() is not main_thread():  # only the main thread may set handlers, and only it gets signals
        yield interrupted
        return
    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interrupted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def own_sigterm() -> Iterator[None]:
    """What SIGTERM does stays as it is: Ray's start sets a handler of its own, and Ray's end takes away any."""
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if current_thread() is main_thread():  # elsewhere nobody can set handlers, Ray neither
            signal.signal(signal.SIGTERM, handler)
