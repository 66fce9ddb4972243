"""Which trials are worth more epochs: a forecast of each curve, and the trials whose forecasts are the lowest."""

import math
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from search.tables import ROUNDING, START_GAIN

HORIZON = 2
"""To how many times the epochs of a curve it is forecast: farther, steep curves are taken for better than they are."""


def forecast(curve: Float[np.ndarray, " epochs"], first_epoch: int, last: int) -> float:
    """The lowest validation MSE that is expected of a trial that goes on; infinite if it diverged.

    With y the curve, r its last epoch and b the slope of log(y) over log(epoch) through the epochs after r / 2,

        min(lowest y so far, y(r) * (min(HORIZON * r, last) / r) ** min(b, 0)).

    Learning curves of neural networks follow power laws, which are straight lines in these coordinates (Hestness et
    al., 2017), but for a while only: a start at random weights falls steeply, then bends. So a curve is not drawn
    farther than it has been seen. The start counts as lower by `START_GAIN`, as it does where the best epoch is chosen.

    Args:
        curve: The validation MSE, mean over the folds, of each epoch.
        first_epoch: The epoch of its first value: 0 for a start at PCA, else 1.
        last: The epoch that the trial is to reach in the end; its present one if it has ended.

    Example:
        >>> print(f"{forecast(1 / np.arange(1.0, 9.0), first_epoch=1, last=100):.4f}")
        0.0625
    """
    if not np.isfinite(curve).all():
        return math.inf
    epochs = first_epoch + np.arange(len(curve))
    reached = int(epochs[-1])
    lowest = float(np.where(epochs == 0, (1 - START_GAIN) * curve, curve).min())
    in_window = (epochs > reached / 2) & (epochs > 0)
    if in_window.sum() < 2 or last <= reached or curve[in_window].min() <= 0:
        return lowest
    x, y = np.log(epochs[in_window]), np.log(curve[in_window])
    slope = float((x - x.mean()) @ y / np.square(x - x.mean()).sum())
    growth = math.pow(min(HORIZON * reached, last) / reached, min(slope, 0.0))
    return min(lowest, float(curve[-1]) * growth)


def survivors(
    curves: Mapping[str, Float[np.ndarray, " epochs"]], n: int, first_epochs: Mapping[str, int], last: Mapping[str, int]
) -> list[str]:
    """The ids of the n trials with the lowest forecasts, the lowest first; fewer where fewer have not diverged.

    Where forecasts differ by rounding, as those of trials that do not leave PCA, the ids decide: the order in which
    trials are given never does.

    Args:
        curves: Of each trial the validation MSE of its epochs, as `forecast` takes it.
        n: How many go on.
        first_epochs: The epoch of each curve's first value.
        last: The epoch that each trial is to reach in the end.

    Example:
        >>> survivors({"b": np.ones(3), "a": np.ones(3)}, 1, dict.fromkeys("ab", 1), dict.fromkeys("ab", 81))
        ['a']
    """
    return lowest({t: forecast(curve, first_epochs[t], last[t]) for t, curve in curves.items()}, n)


def lowest(values: Mapping[str, float], n: int) -> list[str]:
    """The ids of the n lowest values, the lowest first, without those that are not finite; ids decide between equals.

    Example:
        >>> lowest({"c": 1.0, "b": 1.0 + 1e-9, "a": 2.0, "d": math.inf}, 3)
        ['b', 'c', 'a']
    """
    groups: list[tuple[float, list[str]]] = []
    for value, trial in sorted((value, trial) for trial, value in values.items() if math.isfinite(value)):
        if not groups or value > groups[-1][0] * (1 + ROUNDING):
            groups.append((value, []))
        groups[-1][1].append(trial)
    return [trial for _, group in groups for trial in sorted(group)][:n]
