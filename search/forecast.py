"""Which trials are worth more epochs: a forecast of each curve, and the trials with the lowest."""

import math
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from ae_model.patience import START_GAIN
from search.tables import ROUNDING

HORIZON = 1.5
"""To how many times its epochs a curve is drawn on: farther, what falls steeply now is taken for better than it is."""


def forecast(curve: Float[np.ndarray, " epochs"], first_epoch: int, last: int) -> float:
    """The validation MSE that a trial is expected to come to soon; infinite if it diverged.

    With y the curve, r its last epoch and b the slope of log(y) over log(epoch) through the epochs after r / 2,

        y(r) * (min(HORIZON * r, last) / r) ** min(b, 0).

    Learning curves of neural networks follow power laws, which are straight lines in these coordinates (Hestness et
    al., Deep Learning Scaling is Predictable, Empirically, 2017), but for a while only: a start at random weights falls
    steeply and then bends. The lowest value of a curve that has turned up does not count: it is known already, and more
    epochs would not lower it. Whoever chooses among trials must take those into account that were stopped.

    Args:
        curve: The validation MSE, mean over the folds, of each epoch.
        first_epoch: The epoch of its first value: 0 for a start at PCA, else 1.
        last: The epoch that the trial is to reach in the end. For one that has come to its end the forecast is the
            lowest value, where that of epoch 0 counts as lower by `START_GAIN`.

    Examples:
        >>> print(f"{forecast(1 / np.arange(1.0, 9.0), first_epoch=1, last=100):.4f}")
        0.0833
    """
    if not np.isfinite(curve).all():
        return math.inf
    epochs = first_epoch + np.arange(len(curve))
    reached = int(epochs[-1])
    if last <= reached:
        return float(np.where(epochs == 0, (1 - START_GAIN) * curve, curve).min())
    window = (epochs > reached / 2) & (epochs > 0)
    if window.sum() < 2 or curve[window].min() <= 0:
        return float(curve[-1])
    x, y = np.log(epochs[window]), np.log(curve[window])
    slope = float((x - x.mean()) @ y / np.square(x - x.mean()).sum())
    return float(curve[-1]) * math.pow(min(HORIZON, last / reached), min(slope, 0.0))


def lowest(values: Mapping[str, float], n: int) -> list[str]:
    """The ids of the n lowest values, the lowest first, without those that are not finite.

    Where values differ by rounding, as those of trials that do not leave PCA, the ids decide: the order in which trials
    are given never does.

    Examples:
        >>> lowest({"c": 1.0, "b": 1.0 + 1e-9, "a": 2.0, "d": math.inf}, 3)
        ['b', 'c', 'a']
    """
    groups: list[tuple[float, list[str]]] = []
    for value, trial in sorted((value, trial) for trial, value in values.items() if math.isfinite(value)):
        if not groups or value > groups[-1][0] * (1 + ROUNDING):
            groups.append((value, []))
        groups[-1][1].append(trial)
    return [trial for _, group in groups for trial in sorted(group)][:n]
