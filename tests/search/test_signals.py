"""search.signals: what Ctrl-C and SIGTERM do inside a block, and that it is over with the block."""

import os
import signal
import threading
from contextlib import suppress

import pytest

from search.signals import interrupts, own_sigterm


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_a_keyboard_interrupt_and_noted(number: int) -> None:
    """Whoever swallows the exception, as a destructor does, can still be asked; afterwards all is as before."""
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with interrupts() as interrupted:
        assert not interrupted.is_set()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
        assert interrupted.is_set()
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


@pytest.mark.parametrize("replacement", [signal.SIG_DFL, signal.SIG_IGN])
def test_sigterm_is_given_back(replacement: signal.Handlers) -> None:
    """Whatever a library makes of it, also where it raises."""
    with interrupts():
        mine = signal.getsignal(signal.SIGTERM)
        with suppress(OSError), own_sigterm():
            signal.signal(signal.SIGTERM, replacement)
            raise OSError
        assert signal.getsignal(signal.SIGTERM) is mine


def test_in_another_thread() -> None:
    """Handlers are the main thread's: another may use both, and changes nothing."""
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    seen = []

    def use() -> None:
        with interrupts() as interrupted, own_sigterm():
            seen.append((signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)))
            seen.append(interrupted.is_set())

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert seen == [before, False]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
