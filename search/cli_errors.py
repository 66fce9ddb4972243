"""What the command line says of an error: one line and an exit status."""

import errno
import tempfile
import traceback

from ae_model.errors import UserError
from search.errors import SearchError

_OF_THE_DISK = {
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG, errno.EIO, errno.ESTALE,
    errno.EISDIR, errno.ENOTDIR,
}  # fmt: skip
"""A full, read-only or lost disk, or one on which something else stands in a file's place."""

_OPTIONS = {
    "name": "--name",
    "preset": "--preset",
    "rule": "--rule",
    "trial": "--trial",
    "epochs": "--epochs",
    "warm_start": "--warm-start",
    "ensemble": "--ensemble",
    "device": "--device",
    "false_alarm_rate": "--false-alarm-rate",
    "target_fve": "--target-fve",
    "sort": "--sort",
    "where": "--where",
    "columns": "--columns",
    "format_": "--format",
    "format": "--format",
    "data_dir": "--data-dir",
}
"""What arguments of Python functions are called on the command line, where they are not a setting's key."""


def told(error: Exception, *, debug: bool) -> tuple[str, int]:
    """What a person is told of an error.

    Args:
        error: What ended a command.
        debug: Whether the traceback has been shown. If not, that of a fault of the program is written into a log in the
            folder for temporary files.

    Returns:
        The message, and the exit status: 2 for what the user can fix, 1 for anything else.
    """
    if isinstance(error, UserError):
        return str(error.renamed(lambda argument: _OPTIONS.get(argument, argument))), 2
    if isinstance(error, SearchError):
        return str(error), 1
    if isinstance(error, OSError) and error.errno in _OF_THE_DISK:
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror}. What was finished is kept; fix that, then run the same command.", 1
    details = "" if debug else f" ({_written_down(error)}--debug shows them)"
    reason = next((line for line in str(error).splitlines() if line.strip()), "")  # some libraries' are pages long
    return (
        f"unexpected error: {type(error).__name__}{': ' * bool(reason)}{reason}{details}. "
        "This is a fault of ae-search or of a library, not of your input.",
        1,
    )


def _written_down(error: Exception) -> str:
    """Where the traceback of an error lies now."""
    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", prefix="ae-search-", suffix=".log", delete=False
        ) as log:
            log.writelines(traceback.format_exception(error))
    except OSError:  # no room for it: then there is --debug
        return "details: "
    return f"details in {log.name}; "
