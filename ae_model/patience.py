"""When a training has stopped getting better: epochs without a gain."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf

START_GAIN = 0.01
"""By what part of PCA's error an epoch must be below it, or training has gained nothing: then the start is the best."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """When a configuration is given up: after so many epochs without a gain."""

    epochs: int
    """How many, >= 1."""
    min_gain: float = 0.0
    """By what part of the lowest error so far another must be lower to be a gain, in [0, 1)."""


def after_epoch(best: float, without_gain: int, error: float, min_gain: float) -> tuple[float, int]:
    """The error of the last gain and the number of epochs since, after one more epoch.

    Args:
        best: The error of the last gain; infinity before the first epoch, which always is one.
        without_gain: The number of epochs since.
        error: The error after the epoch.
        min_gain: As in `Patience`.
    """
    return (error, 0) if error < best * (1 - min_gain) else (best, without_gain + 1)


def epochs_without_gain(errors: Iterable[float], min_gain: float) -> int:
    """The number of epochs since the last gain.

    Args:
        errors: The error after each epoch.
        min_gain: As in `Patience`.

    Examples:
        >>> epochs_without_gain([1.0, 0.5, 0.4999, 0.6], min_gain=0.01)
        2
    """
    best, without_gain = inf, 0
    for error in errors:
        best, without_gain = after_epoch(best, without_gain, error, min_gain)
    return without_gain
