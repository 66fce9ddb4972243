"""The error that ends a search although the input is sound."""


class SearchError(RuntimeError):
    """What stopped a search although its input is sound: a full disk, a killed process of Ray's, trials that failed.

    The command line prints it as one line, with exit status 1.

    Args:
        message: One line: what happened, what is kept, and what to do.
    """
