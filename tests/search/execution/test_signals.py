"""search.execution.signals: what Ctrl-C and SIGTERM do inside a block, and that it is over with the block."""

import os
import signal
import threading
from contextlib import suppress

import pytest

from search.execution.signals import interrupts, late_interrupts, own_sigterm


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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("failure", [None, OSError], ids=["as it should", "in an error"])
def test_an_interrupt_waits_for_the_end(number: int, failure: type[Exception] | None) -> None:
    """The block comes to its end, whichever, and then it is a KeyboardInterrupt; without a signal it is nothing."""
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    reached = []

    @late_interrupts()
    def block(number: int | None = None) -> None:
        if number is not None:
            os.kill(os.getpid(), number)
        reached.append(number)
        if number is not None and failure:
            raise failure

    block()
    with pytest.raises(KeyboardInterrupt):
        block(number)
    assert reached == [None, number]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_second_interrupt_does_not_wait() -> None:
    """Whatever the block waits for."""

    @late_interrupts()
    def block() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        pytest.fail("it went on")

    with pytest.raises(KeyboardInterrupt):
        block()


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
    """Handlers are the main thread's: another may use all, and changes nothing."""
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    seen = []

    def use() -> None:
        with interrupts() as interrupted, late_interrupts(), own_sigterm():
            seen.append((signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)))
            seen.append(interrupted.is_set())

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert seen == [before, False]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
