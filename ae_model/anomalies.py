"""How unusual reconstruction errors are, beside those of rows that a model has not seen: conformal p-values.

Errors of a new row like the others take every rank among them with equal probability (Vovk, Gammerman and Shafer 2005),
so a threshold at one of those errors has a false-alarm rate that is known beforehand, whatever the errors are like.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import special

from ae_model.errors import UserError

DEFAULT_RATE = 0.01
"""The false-alarm rate where none is asked for."""
_CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """Where alarms begin."""

    mse: float
    """A row gives an alarm if its error is greater, in scaled units squared."""
    false_alarm_rate: float
    """The probability, in (0, 1), that a row like the usual ones does: `n_above / (n_usual + 1)`."""
    n_above: int
    """As many p-values are possible that give an alarm."""
    n_usual: int
    """The number of usual errors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """Errors of many rows beside the usual ones, by the Mann-Whitney test."""

    superiority: float
    """The probability, in [0, 1], that a new row's error is greater than a usual one's, ties counted half: 0.5 if
    they are alike (Vargha and Delaney 2000)."""
    p_value: float
    """Two-sided: how probable a superiority so far from 0.5 is among rows like the usual ones."""


def threshold(usual: Float[np.ndarray, " rows"], false_alarm_rate: float | None = None) -> Threshold:
    """The threshold with the largest false-alarm rate that is at most the one asked for.

    Args:
        usual: Errors of rows that the model has not seen, in any order.
        false_alarm_rate: In (0, 1); 0.01 if None, or the lowest that there are rows enough for.

    Raises:
        UserError: If it is outside (0, 1), or there are too few usual errors: at least `1 / false_alarm_rate - 1`.
    """
    n = len(usual)
    if n == 0:
        raise UserError("usual must not be empty. Give the out-of-fold errors of a search.", argument="usual")
    if false_alarm_rate is None:
        false_alarm_rate = max(DEFAULT_RATE, 1 / (n + 1))
    if not 0 < false_alarm_rate < 1:
        raise UserError(
            f"false_alarm_rate must lie between 0 and 1, but is {false_alarm_rate}. Change it.",
            argument="false_alarm_rate",
        )
    n_above = math.floor(false_alarm_rate * (n + 1) + 1e-9)  # 0.29 * 100 is 28.999999999999996
    if n_above < 1:
        raise UserError(
            f"false_alarm_rate must be at least {1 / (n + 1):.2g} with the errors of {n} rows, but is "
            f"{false_alarm_rate:g}. Raise it, or search with more rows.",
            argument="false_alarm_rate",
        )
    return Threshold(
        mse=float(np.sort(usual)[n - n_above]), false_alarm_rate=n_above / (n + 1), n_above=n_above, n_usual=n
    )


def p_values(usual: Float[np.ndarray, " rows"], mse: Float[np.ndarray, " new"]) -> Float[np.ndarray, " new"]:
    """How probable an error as great as each is among rows like the usual ones, in (0, 1].

    Args:
        usual: Errors of rows that the model has not seen, sorted.
        mse: Errors of new rows, in the same units.
    """
    n_as_great = len(usual) - np.searchsorted(usual, mse, side="left")
    return (1.0 + n_as_great) / (len(usual) + 1)


def expected_alarms(n_rows: int, at: Threshold) -> tuple[float, int, int]:
    """How many alarms so many rows give if all of them are like the usual ones: mean, and limits of 95 % of cases.

    Their number has a beta-binomial distribution: the threshold itself is drawn, too.
    """
    a, b = at.n_above, at.n_usual + 1 - at.n_above
    rate = at.false_alarm_rate
    mean = n_rows * rate
    spread = math.sqrt(mean * (1 - rate) * (1 + (n_rows - 1) / (at.n_usual + 2)))
    low, high = max(0, math.floor(mean - 12 * spread)), min(n_rows, math.ceil(mean + 12 * spread))
    k = np.arange(low, high + 1)
    log_ways = special.gammaln(n_rows + 1) - special.gammaln(k + 1) - special.gammaln(n_rows - k + 1)
    log_probability = log_ways + special.betaln(k + a, n_rows - k + b) - special.betaln(a, b)
    cumulative = np.cumsum(np.exp(log_probability))
    cumulative /= cumulative[-1]  # what is rounded, and what lies beyond twelve deviations
    tail = (1 - _CONFIDENCE) / 2
    return mean, int(k[np.searchsorted(cumulative, tail)]), int(k[np.searchsorted(cumulative, 1 - tail)])


def drift(usual: Float[np.ndarray, " rows"], mse: Float[np.ndarray, " new"]) -> Drift:
    """Whether the errors of new rows, all together, are greater or less than the usual ones.

    Args:
        usual: Errors of rows that the model has not seen.
        mse: Errors of new rows.
    """
    from scipy import stats  # half a second to import, and only needed here

    test = stats.mannwhitneyu(mse, usual)
    return Drift(superiority=float(test.statistic) / (len(usual) * len(mse)), p_value=float(test.pvalue))
