"""Whether more epochs would help: the trend at the end of a curve."""

import numpy as np
import pandas as pd
from scipy import special

from search.paired_test import SIGNIFICANCE

MIN_WINDOW = 3
"""How many epochs a trend needs at least."""
WORTHWHILE = 0.01
"""The part of the validation MSE that must be expected to go in as many epochs again: less is not worth the time."""


def still_falling(epochs: pd.DataFrame, trial_id: str) -> bool:
    """Whether a trial's validation MSE would go on falling if it were trained for longer.

    It would if both of these hold for its last quarter of epochs (three at least), to which a straight line is fitted
    in each fold, after division by the fold's mean there:

    * The lines fall: their mean slope is below 0 by a one-sided t-test over the folds. At what levels the folds' curves
      lie does not matter, as each counts by the part of its MSE that goes, and noise about a plateau gives slopes of
      both signs.
    * It matters: in as many epochs again, over 1 % of the MSE is expected to go. The drop in a quarter is taken to
      shrink from each quarter to the next by the factor by which it has shrunk from the third to the fourth, as it does
      in an exponential decay, and never to grow.

    Args:
        epochs: What `load_epochs` returned.
        trial_id: The trial's id.

    Returns:
        False too where there are fewer than three epochs or one diverged.

    Examples:
        >>> curve = pd.DataFrame({"trial_id": "a", "number": 1, "epoch": range(40), "val_mse": 0.9 ** np.arange(40)})
        >>> still_falling(pd.concat([curve.assign(fold=0), curve.assign(fold=1)]), "a")
        True
    """
    return trial_id in falling_trials(epochs[epochs["trial_id"] == trial_id])


def falling_trials(epochs: pd.DataFrame) -> list[str]:
    """The ids of all trials that are `still_falling`."""
    n_folds = epochs["fold"].nunique()
    in_order = epochs.sort_values(["number", "epoch", "fold"])
    return [
        str(trial_id)
        for trial_id, values in in_order.groupby("trial_id", sort=False)["val_mse"]
        if _falls(values.to_numpy().reshape(-1, n_folds))
    ]


def _falls(curves: np.ndarray) -> bool:
    """`still_falling`, for the curves of a trial's validation MSE, `(epochs, folds)`."""
    n_epochs, n_folds = curves.shape
    window = max(n_epochs // 4, MIN_WINDOW)
    if n_epochs < window or n_folds < 2 or not np.isfinite(curves[-2 * window :]).all():
        return False
    levels = curves[-window:].mean(axis=0)
    if not (levels > 0).all():
        return False
    curves = curves / levels
    slopes = _slopes(curves[-window:])
    mean, error = slopes.mean(), slopes.std(ddof=1) / np.sqrt(n_folds)
    if mean - special.stdtrit(n_folds - 1, SIGNIFICANCE) * error >= 0:
        return False
    shrinks = 1.0
    if n_epochs >= 2 * window:
        before = _slopes(curves[-2 * window : -window]).mean()
        shrinks = min(mean / before, 1.0) if before < 0 else 1.0
    gain = -mean * window * sum(shrinks**quarter for quarter in range(1, 5))
    return bool(gain > WORTHWHILE)


def _slopes(curves: np.ndarray) -> np.ndarray:
    """The slope of the least-squares line through each fold's curve, per epoch."""
    steps = np.arange(len(curves)) - (len(curves) - 1) / 2
    slopes: np.ndarray = steps @ curves / np.square(steps).sum()
    return slopes
