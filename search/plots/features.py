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


_UNITS = {
    "range": (2.0, "in percent of the feature's range"),
    "standard": (1.0, "in percent of the feature's standard deviation"),
    "robust": (1.0, "in percent of the feature's spread"),
    "none": (1.0, "in the feature's own units"),
}
"""What an error is measured by under each scaling: its size in scaled units, and its name. Under "robust" it is the
interquartile range of most features, and the standard deviation of some."""


def feature_errors(
    per_feature_mse: np.ndarray, names: Sequence[str], path: Path | None = None, *, scaling: str = "range"
) -> Figure:
    """Root mean squared error of each feature, in percent of the feature's range or spread in the development set.

    A few features are bars in the order of their errors. More than `MAX_BARS` are a curve, along the numbers in their
    names where these are wavelengths and the like.

    Args:
        per_feature_mse: The MSE of each feature, `(n_features,)`, in scaled units squared.
        names: The features' names.
        path: Where the picture is written; nowhere if None.
        scaling: How the data is scaled, as in `fit_scaling`: that says by what the errors can be measured.
    """
    size, units = _UNITS.get(scaling, (1.0, "in scaled units"))
    errors = np.sqrt(per_feature_mse) / size
    return (_curve if len(errors) > MAX_BARS else _bars)(errors, names, path, units)


def _bars(errors: np.ndarray, names: Sequence[str], path: Path | None, units: str) -> Figure:
    order = np.argsort(-errors, kind="stable")

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        rows = np.arange(len(order))
        axes.barh(rows, errors[order], color=BLUE, height=0.7)
        axes.set_yticks(rows, labels=[literal(names[i]) for i in order])
        axes.set_ylim(len(order) - 0.4, -0.6)
        axes.set_xlim(left=0)
        axes.grid(visible=False, axis="y")
        if "percent" in units:
            axes.xaxis.set_major_formatter(PercentFormatter(1))
        axes.set_xlabel(f"root mean squared error, {units}")
        figure.suptitle("Test error by feature", x=0.01, ha="left")

    return save(draw, path, size=(8, 1.6 + 0.27 * len(order)))


def _curve(errors: np.ndarray, names: Sequence[str], path: Path | None, units: str) -> Figure:
    positions, label = feature_positions(names)
    order = np.argsort(positions, kind="stable")
    largest = np.argsort(-errors, kind="stable")[:N_NAMED]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.plot(positions[order], errors[order], color=BLUE, linewidth=1.2)
        axes.set_xlim(positions.min(), positions.max())
        axes.set_ylim(bottom=0)
        if "percent" in units:
            axes.yaxis.set_major_formatter(PercentFormatter(1))
        axes.set(xlabel=label, ylabel=f"RMSE, {units}")
        sizes = [f"{100 * errors[i]:.3g}%" if "percent" in units else f"{errors[i]:.3g}" for i in largest]
        named = ", ".join(f"{literal(names[i], 26)} ({size})" for i, size in zip(largest, sizes, strict=True))
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
