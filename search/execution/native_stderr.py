"""What libraries in C++ write past Python, kept in a file instead of on the user's terminal."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

STDERR = 2
"""The file descriptor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeStderr:
    """Where standard error goes while a block of `native_stderr_in` lasts."""

    log: Path | None
    """What goes past Python; None where it goes to no file."""
    stream: TextIO | None
    """What Python's `sys.stderr` writes to, past whatever a progress display has put before it; None if closed."""
    is_native: bool
    """Whether that is a file of the operating system's, with a file descriptor."""

    def write_to_log(self, text: str) -> None:
        """Add to what went past Python."""
        if self.log is not None:  # else the descriptor is somebody else's
            with suppress(OSError):  # the disk may be full
                os.write(STDERR, text.encode())

    def print(self, line: str) -> None:
        """Write a line to where standard error was, without waiting for what other threads do there."""
        if self.stream is None:
            return
        with suppress(OSError, ValueError):
            if self.is_native:
                os.write(self.stream.fileno(), f"{line}\n".encode())
            else:
                self.stream.write(f"{line}\n")
                self.stream.flush()

    def text(self) -> str:
        """What went past Python so far."""
        return "" if self.log is None else self.log.read_text(encoding="utf-8", errors="replace")

    def log_note(self) -> str:
        """The log in brackets, if there is anything in it."""
        if self.log is not None:
            with suppress(FileNotFoundError):
                if self.log.stat().st_size:
                    return f" (its words are in {self.log})"
        return ""


@contextmanager
def native_stderr_in(log: Path | None) -> Iterator[NativeStderr]:
    """File descriptor 2 is a file as long as the block lasts; what Python writes still goes where it went.

    Args:
        log: The file; one in the temporary directory if None. It is deleted if nothing was written.
    """
    if sys.__stderr__ is None:  # closed from the start: the descriptor's number may by now be another file's
        yield NativeStderr(log=None, stream=sys.stderr, is_native=False)
        return
    if log is None:
        handle, name = tempfile.mkstemp(prefix="ae-search-ray-", suffix=".log")
        log = Path(name)
    else:
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o666)
    before = sys.stderr
    real = os.dup(STDERR)
    own: TextIO | None = None
    if _is_ours():
        own = os.fdopen(real, "w", buffering=1, encoding=before.encoding, errors="backslashreplace")
    os.dup2(handle, STDERR)
    os.close(handle)
    try:
        if own is not None:
            before.flush()
            sys.stderr = own
        yield NativeStderr(log=log, stream=own or before, is_native=own is not None)
    finally:
        if sys.stderr is own:
            sys.stderr = before
        os.dup2(real, STDERR)
        if own is not None:
            own.close()
        else:
            os.close(real)
        with suppress(FileNotFoundError):  # somebody has tidied up
            if log.stat().st_size == 0:
                log.unlink()


def _is_ours() -> bool:
    """Whether `sys.stderr` writes to the file descriptor: a notebook's and a test runner's do not."""
    try:
        return sys.stderr.fileno() == STDERR
    except (AttributeError, OSError, ValueError):  # a stream without one
        return False
