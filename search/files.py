"""Files that appear whole or not at all, and keep their time where they do not change."""

import filecmp
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file beside `path`, then put it in its place; a file that would not change is left alone.

    Args:
        path: The file to replace or to make.
        write: Called with the temporary path that it is to write.

    Raises:
        OSError: If the file cannot be written; what was there before is then still whole.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        write(temporary)
        if not (path.is_file() and filecmp.cmp(temporary, path, shallow=False)):
            os.replace(temporary, path)
    finally:
        with suppress(OSError):
            temporary.unlink()


def is_current(path: Path, *sources: Path) -> bool:
    """Whether a file is there, and was written after all of those that it was made from."""
    try:
        written = path.stat().st_mtime_ns
        return all(source.stat().st_mtime_ns <= written for source in sources)
    except OSError:
        return False
