"""How many rows have been converted, or epochs trained, on a terminal."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_PATIENCE_S = 1.0
"""What is done sooner needs no bar."""


def say(notes: Iterable[str]) -> None:
    """Print each on a line of standard error."""
    for note in notes:
        Console(stderr=True, highlight=False).print(note, markup=False, soft_wrap=True)


def rows_done(n_rows: int | None, output: str, verbose: bool) -> AbstractContextManager[Callable[[int], None]]:
    """`row_progress`, or nothing where none is wanted, or a bar would stand among the rows.

    Args:
        n_rows: How many there are; None if nobody knows.
        output: Where the rows go; "-" is standard output.
        verbose: Whether it is wanted.
    """
    is_among_rows = output == "-" and sys.stdout is not None and sys.stdout.isatty()
    return row_progress(n_rows) if verbose and not is_among_rows else nullcontext(lambda _: None)


@contextmanager
def row_progress(n_rows: int | None, what: str = "rows", *, enabled: bool = True) -> Iterator[Callable[[int], None]]:
    """A bar on standard error that is told how many more rows are done; it appears after a second, on a terminal.

    Args:
        n_rows: How many there are; None if nobody knows.
        what: What they are, if not rows.
        enabled: False for no bar.
    """
    console = Console(stderr=True)
    progress = Progress(
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        redirect_stdout=False,  # which may be the output
        redirect_stderr=False,
    )
    task = progress.add_task("", total=n_rows)
    begun = time.monotonic()
    is_shown = False

    def advance(n: int) -> None:
        nonlocal is_shown
        progress.advance(task, n)
        if enabled and console.is_terminal and not is_shown and time.monotonic() - begun > _PATIENCE_S:
            progress.start()
            is_shown = True

    try:
        yield advance
    finally:
        if is_shown:
            progress.stop()
