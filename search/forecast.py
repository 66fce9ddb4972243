"""Provisional."""

from collections.abc import Mapping
from math import exp, inf, log

import numpy as np

from search.tables import START_GAIN


def best_mse(curve: np.ndarray, first_epoch: int) -> float:
    if not len(curve) or not np.isfinite(curve[-1]):
        return inf
    values = np.array(curve, dtype=np.float64)
    judged = values.copy()
    if first_epoch == 0:
        judged[0] *= 1 - START_GAIN
    return float(values[np.nanargmin(judged)])


def forecast(curve: np.ndarray, first_epoch: int, last: int) -> float:
    best = best_mse(curve, first_epoch)
    if best == inf or len(curve) < 3:
        return best
    r = first_epoch + len(curve) - 1
    epochs = np.arange(first_epoch, r + 1)
    window = epochs >= max(1, r // 2)
    slope = (
        np.polyfit(np.log(epochs[window]), np.log(np.maximum(curve[window], 1e-300)), 1)[0] if window.sum() > 1 else 0.0
    )
    return best * exp(min(float(slope), 0.0) * 0.75 * log(max(last / r, 1.0)))


def survivors(forecasts: Mapping[str, float], n: int) -> list[str]:
    kept = sorted((f, t) for t, f in forecasts.items() if f < inf)
    return [t for _, t in kept[:n]]
