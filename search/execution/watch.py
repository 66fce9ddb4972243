"""What becomes of a search whose local Ray dies under it."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Lock, Thread

import psutil

from search.execution.native_stderr import NativeStderr

NEEDED = ("gcs_server", "raylet")
"""Those of Ray's processes without which it cannot go on, by name."""
INTERVAL_S = 0.25
STARTING_INTERVAL_S = 0.01
"""Between two looks while Ray starts: what dies then makes its C++ end this process within a second, or hang."""
SCAN_INTERVALS_S = (0.05, 2.0)
"""Between two looks at all processes of the machine, which take milliseconds each: while Ray starts, and later."""
GRACE_S = 3.0
"""How long this process may take to notice by itself, and leave."""
LEAVE_S = 30.0
"""How long Ray may take to end when it is asked to; it takes one second or two."""
REMEDY = "What was finished is kept; run the same command again."


class Watch:
    """Looks after the processes of the Ray that this process starts.

    Ray notices late that one of them is gone, or never, or ends this process itself, and its C++ cannot be
    interrupted. So after a while this ends the process: with a line, and nothing left.

    Args:
        stderr: Where the line goes.
        tell: As `last_words` yields it.
    """

    def __init__(self, stderr: NativeStderr, tell: Callable[[str], None]) -> None:
        self._stderr = stderr
        self._tell = tell
        self._own = psutil.Process()
        self._before = set(self._own.children(recursive=True))
        self._scanned = 0.0
        self._needed: dict[str, psutil.Process] = {}
        self._family: set[psutil.Process] = set()
        self._starting = True
        self._leaving: float | None = None
        self._dead: tuple[str, float] | None = None
        self._looking = Lock()
        self._ended = Event()

    def reason(self) -> str | None:
        """The line that says what has died; None as long as nothing has."""
        self._look()
        if self._dead is None:
            return None
        return f"Ray's own {self._dead[0]} was killed{self._stderr.log_note()}. {REMEDY}"

    def started(self) -> None:
        """Ray has started: from now on Python gets to know of a death before Ray ends this process."""
        with self._looking:
            self._starting = False
            self._tell("started")

    def leave(self) -> None:
        """From now on its processes end because they shall."""
        self._look()
        self._leaving = time.monotonic()

    def run(self) -> None:
        """Look again and again, until the end."""
        while not self._ended.wait(STARTING_INTERVAL_S if self._starting else INTERVAL_S):
            self._look()
            now = time.monotonic()
            grace_s = 0 if self._starting else GRACE_S
            if self._dead is not None and now >= max(self._dead[1], self._leaving or 0) + grace_s:
                self._exit(self.reason() or "")
            if self._leaving is not None and now > self._leaving + LEAVE_S:
                self._exit(f"Ray did not end within {LEAVE_S:.0f} s{self._stderr.log_note()}. {REMEDY}")

    def end(self) -> None:
        """Look no more."""
        self._ended.set()

    def _look(self) -> None:
        with self._looking:
            if self._leaving is None and self._dead is None:
                self._look_once()

    def _look_once(self) -> None:
        if time.monotonic() > self._scanned + SCAN_INTERVALS_S[not self._starting]:
            self._scan()
        died = [name for name, process in self._needed.items() if not _is_alive(process)]
        if died:
            self._dead = " and ".join(sorted(died)), time.monotonic()
            # Also there, among Ray's words, so that there is a log to be named.
            self._stderr.write_to_log(f"{time.strftime('%Y-%m-%d %H:%M:%S')} ae-search: {self._dead[0]} was killed\n")

    def _scan(self) -> None:
        """Remember all that there are, because those whose parent dies are nobody's children."""
        self._scanned = time.monotonic()
        new = set(self._own.children(recursive=True)) - self._before - self._family
        self._family = self._family | new
        if self._starting:
            for process in new:
                self._tell(str(process.pid))
        needed = {}
        for process in self._family:
            with suppress(psutil.Error):
                if process.name() in NEEDED and process.ppid() == self._own.pid:
                    needed[process.name()] = process
        self._needed = needed | self._needed

    def _exit(self, line: str) -> None:
        self._tell("end")
        for process in self._family | set(self._own.children(recursive=True)) - self._before:
            with suppress(psutil.Error):
                process.kill()
        terminal = self._stderr.stream is not None and self._stderr.stream.isatty()
        cleared = "\r\x1b[2K\x1b[?25h" if terminal else ""  # the progress line, and the cursor that it hides
        self._stderr.print(f"{cleared}ae-search: {line}")
        os._exit(1)


def _is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


_LAST_WORDS = """
while read word
do
    case $word in
        end) exit ;;
        started) family= ;;
        *) family="$family $word" ;;
    esac
done
test -s "$1" || exit
echo "$2" >&2
test -z "$family" || kill -9 $family 2> /dev/null
"""
"""What a shell does: hears of a process while Ray starts, and has something to say if it ends without a word."""


@contextmanager
def last_words(stderr: NativeStderr) -> Iterator[Callable[[str], None]]:
    """A line for when Ray's C++ ends this process by itself, which it does without asking Python.

    Yields:
        To be told the ids of processes that must not be left then, until it is told "started".
    """
    if stderr.log is None or stderr.stream is None or not stderr.is_native:
        yield lambda _word: None
        return
    line = (
        f"ae-search: Ray's own processes failed or were killed, and it ended this one (its words are in {stderr.log}). "
        f"{REMEDY}"
    )
    command = ["/bin/sh", "-c", _LAST_WORDS, "sh", str(stderr.log), line]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=stderr.stream) as shell:
        pipe = shell.stdin
        assert pipe is not None

        def tell(word: str) -> None:
            with suppress(OSError):  # it was killed
                pipe.write(f"{word}\n".encode())
                pipe.flush()

        try:
            yield tell
        finally:
            tell("end")


@contextmanager
def watched(stderr: NativeStderr) -> Iterator[Watch]:
    """A watch that lasts as long as the block."""
    with last_words(stderr) as tell:
        watch = Watch(stderr, tell)
        thread = Thread(target=watch.run, name="ae-search-watch", daemon=True)
        thread.start()
        try:
            yield watch
        finally:
            watch.end()
            thread.join()
