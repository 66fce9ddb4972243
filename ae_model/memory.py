"""What a file claims to hold, against the memory there is: checked before anything is allocated."""

import psutil

from ae_model.errors import UserError


def require_memory(n_bytes: int, place: str, claim: str, remedy: str) -> None:
    """Refuse what cannot be read into memory.

    Args:
        n_bytes: What reading it takes, at least.
        place: The file or folder.
        claim: What it says it holds, such as "an array (1000, 784) of float64".
        remedy: What to do instead; `max_samples` is not it, because all samples are read before some are drawn.

    Raises:
        UserError: If it takes more than is available now.
    """
    available = psutil.virtual_memory().available
    if n_bytes > available:
        raise UserError(
            f"{place}: claims to hold {claim}, which takes {size_text(n_bytes)} of memory, but {size_text(available)} "
            f"are available. {remedy}"
        )


def size_text(n_bytes: int) -> str:
    """A size for people, such as "7.5 GiB"."""
    size, units = float(n_bytes), ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
    while size >= 1024 and len(units) > 1:
        size /= 1024
        del units[0]
    return f"{size:.0f} {units[0]}" if units[0] == "bytes" else f"{size:.1f} {units[0]}"
