"""The error that ends a search and is nobody's input."""


class SearchError(RuntimeError):
    """What stopped a search and is nobody's input: a full disk, a process of Ray's that was killed, trials that failed.

    The command line prints it as one line, with exit status 1.

    Args:
        message: One line: what happened, what is kept, and what to do.
    """
