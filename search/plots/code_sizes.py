"""PCA's spectrum -> a picture of the code sizes that it proposes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter
from matplotlib.transforms import blended_transform_factory

from search.plots.figures import BLUE, DARK, GREY, ORANGE, SMALL, log_ticks, save

SHOWN_VARIANCE = 0.999
"""Components beyond this much of the variance are not shown: the curve is flat there."""
_LINE_INCHES = 0.2
"""The height of a label's line."""


def explained_variance(ratio: np.ndarray, marks: Sequence[tuple[int, float]], path: Path | None = None) -> Figure:
    """PCA's cumulative explained variance by number of components.

    Labels stand to the right of the axes, in the order of the code sizes, so that they cover neither the curve nor one
    another however close together the code sizes are.

    Args:
        ratio: The explained variance ratio of each component.
        marks: Code sizes to mark, with the cumulative explained variance each reaches.
        path: Where the picture is written; nowhere if None.
    """
    marks = sorted(marks)
    cumulative = np.concatenate([[0.0], np.cumsum(ratio)])
    needed = int(np.searchsorted(cumulative, min(SHOWN_VARIANCE, cumulative[-1])))
    shown = max(needed, *(size for size, _ in marks)) if marks else needed
    # A code of a few units beside one of hundreds would lie on the y axis.
    logarithmic = bool(marks) and shown > 25 * marks[0][0]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        components = np.arange(len(cumulative))
        first = 1 if logarithmic else 0
        axes.plot(components[first:], cumulative[first:], color=ORANGE, linewidth=2)
        if logarithmic:
            axes.set_xscale("log")
            axes.set_xlim(0.9, shown * 1.1)
            log_ticks(axes.xaxis)
        else:
            axes.set_xlim(0, shown * 1.03)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.set_ylim(0, 1.02)
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        cut = f" (the first {shown:,} of {len(ratio):,})" if shown < len(ratio) else ""
        axes.set(xlabel=f"principal components{cut}", ylabel="explained variance")
        axes.set_title("Variance that PCA explains, by number of components")
        _label(axes, marks, line=_LINE_INCHES / (height * 0.8))

    height = max(5.0, (_LINE_INCHES * (len(marks) + 1)) / 0.8)
    return save(draw, path, size=(9, height))


def _label(axes: Axes, marks: Sequence[tuple[int, float]], line: float) -> None:
    """Draw the marks, and a label for each in the right margin, `line` of the axes' height apart."""
    # Along y in data, along x in fractions of the axes: 1 is their right edge.
    margin = blended_transform_factory(axes.transAxes, axes.transAxes)
    low, high = axes.get_ylim()
    heights = spread([(reached - low) / (high - low) for _, reached in marks], line, highest=1.0)
    for (size, reached), height in zip(marks, heights, strict=True):
        axes.plot([size, size], [low, reached], color=BLUE, linewidth=1, linestyle=":")
        axes.plot(size, reached, "o", color=BLUE, zorder=3)
        at = (reached - low) / (high - low)
        # Right of its mark the curve is higher, so that a level line to the margin does not meet it.
        axes.plot([size, axes.get_xlim()[1]], [reached, reached], color=GREY, linewidth=0.6, alpha=0.6)
        axes.plot([1, 1.04], [at, height], color=GREY, linewidth=0.6, alpha=0.6, transform=margin, clip_on=False)
        unit = "component" if size == 1 else "components"
        axes.text(
            1.05,
            height,
            f"{size:,} {unit}: {_percent(reached)}",
            transform=margin,
            va="center",
            fontsize=SMALL + 1,
            color=DARK,
        )


def spread(wanted: Sequence[float], distance: float, highest: float) -> list[float]:
    """The positions nearest to those wanted, at least `distance` apart and none above `highest`.

    Neighbours that come too close form a group around the mean of what they want, as in isotonic regression by
    pooling adjacent violators.

    Args:
        wanted: The positions that are wanted, in rising order.
        distance: The least distance between two positions.
        highest: The highest position that is allowed.
    """
    # Less the room that the positions before it take, each position must only be no lower than the one before.
    groups: list[tuple[float, int]] = []
    top = highest - distance * (len(wanted) - 1)
    for index, position in enumerate(wanted):
        mean, count = position - index * distance, 1
        while groups and groups[-1][0] > mean:
            before, members = groups.pop()
            mean, count = (before * members + mean * count) / (members + count), members + count
        groups.append((mean, count))
    free = [min(mean, top) for mean, count in groups for _ in range(count)]
    return [position + index * distance for index, position in enumerate(free)]


def _percent(fraction: float) -> str:
    """So many digits that nearly all is not all: 99.98%, not 100.0%."""
    for digits in (1, 2, 3):
        text = f"{100 * fraction:.{digits}f}"
        if float(text) < 100:
            break
    return f"{text}%" if float(text) < 100 else "100%"
