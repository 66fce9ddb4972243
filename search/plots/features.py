"""Errors of the features -> bars of a few, a curve of many."""

import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from search.plots.figures import BLUE, MAX_BARS, SMALL, literal, save

N_NAMED = 3
"""Features whose names stand above a curve."""


def feature_errors(per_feature_mse: np.ndarray, names: Sequence[str], path: Path) -> Figure:
    """Root mean squared error of each feature, in percent of the feature's range in the development set.

    A few features are bars in the order of their errors. More than `MAX_BARS` are a curve, along the numbers in their
    names where these are wavelengths and the like.

    Args:
        per_feature_mse: The MSE of each feature, `(n_features,)`, in scaled units squared.
        names: The features' names.
        path: Where the picture is written.
    """
    errors = np.sqrt(per_feature_mse) / 2  # the range is 2 in scaled units
    return (_curve if len(errors) > MAX_BARS else _bars)(errors, names, path)


def _bars(errors: np.ndarray, names: Sequence[str], path: Path) -> Figure:
    order = np.argsort(-errors, kind="stable")

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        rows = np.arange(len(order))
        axes.barh(rows, errors[order], color=BLUE, height=0.7)
        axes.set_yticks(rows, labels=[literal(names[i]) for i in order])
        axes.set_ylim(len(order) - 0.4, -0.6)
        axes.set_xlim(left=0)
        axes.grid(visible=False, axis="y")
        axes.xaxis.set_major_formatter(PercentFormatter(1))
        axes.set_xlabel("root mean squared error, in percent of the feature's range")
        figure.suptitle("Test error by feature", x=0.01, ha="left")

    return save(draw, path, size=(8, 1.6 + 0.27 * len(order)))


def _curve(errors: np.ndarray, names: Sequence[str], path: Path) -> Figure:
    positions, label = feature_positions(names)
    order = np.argsort(positions, kind="stable")
    largest = np.argsort(-errors, kind="stable")[:N_NAMED]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.plot(positions[order], errors[order], color=BLUE, linewidth=1.2)
        axes.set_xlim(positions.min(), positions.max())
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        axes.set(xlabel=label, ylabel="RMSE, in percent of the feature's range")
        named = ", ".join(f"{literal(names[i], 26)} ({100 * errors[i]:.3g}%)" for i in largest)
        figure.suptitle(f"Test error by feature, all {len(errors):,}", x=0.01, ha="left")
        axes.set_title(f"largest: {named}", fontsize=SMALL)

    return save(draw, path)


def feature_positions(names: Sequence[str]) -> tuple[np.ndarray, str]:
    """Where features lie along an axis, and what the axis is called.

    Args:
        names: The features' names, such as wavelengths, or "f0", "f1" and so on.

    Returns:
        The numbers in the names where these differ in nothing else, and the features' own numbers, from 1, otherwise.
    """
    try:
        numbers = np.array([float(name) for name in names])
    except ValueError:
        pass
    else:
        if np.isfinite(numbers).all():
            return numbers, "feature, by its name"
    parts = [re.fullmatch(r"(\D*)(\d+(?:\.\d+)?)(\D*)", name) for name in names]
    around = {part and (part[1], part[3]) for part in parts}
    if len(around) == 1 and None not in around:
        numbers = np.array([float(part[2]) for part in parts if part])
        if math.isfinite(numbers.max()):
            return numbers, f"feature, by the number in its name ({literal(names[0])} to {literal(names[-1])})"
    return np.arange(1.0, len(names) + 1), "feature number"
