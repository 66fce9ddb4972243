"""The one error that tells users what they can fix; and what others say, in short."""

import re
from collections.abc import Callable


class UserError(ValueError):
    """What came in breaks a rule, and whoever gave it can fix that: the message says rule, what came, and remedy.

    Only this error becomes one line and exit status 2 on the command line; any other is a fault of the program or the
    machine, and keeps its traceback.

    Args:
        message: One line. It calls arguments by their names in Python.
        argument: The name of the argument that it is about, if it is about one, as it stands in the message.

    Examples:
        >>> error = UserError("test_fraction must be less than 1, but is 2. Lower it.", argument="test_fraction")
        >>> str(error.renamed(lambda name: f"data.{name}"))
        'data.test_fraction must be less than 1, but is 2. Lower it.'
    """

    def __init__(self, message: str, *, argument: str | None = None) -> None:
        super().__init__(message)
        self.argument = argument

    def renamed(self, name_for: Callable[[str], str]) -> "UserError":
        """The same error where the argument is called something else, such as a setting's key or a flag.

        Args:
            name_for: Maps the argument's name to what it is called there.
        """
        if self.argument is None:
            return self
        name = name_for(self.argument)
        # Not within longer names, nor where the message is already in the other words.
        message = re.sub(rf"(?<![\w.-]){re.escape(self.argument)}(?!\w)", lambda _: name, str(self))
        return UserError(message, argument=name)


def first_line(error: BaseException) -> str:
    r"""The first line of what an error says, without its full stop; its kind where it says nothing.

    Args:
        error: The error.

    Examples:
        >>> first_line(ValueError("no such key.\n  at line 3")), first_line(KeyboardInterrupt())
        ('no such key', 'KeyboardInterrupt')
    """
    return _lines(error)[0].rstrip(".")


def last_line(error: BaseException) -> str:
    """The last one: where an error of another process is told with its traceback, that is the error."""
    return _lines(error)[-1].rstrip(".")


def _lines(error: BaseException) -> list[str]:
    return str(error).strip().splitlines() or [type(error).__name__]
