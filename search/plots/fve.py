"""Trials of a search for the smallest code -> a picture of the variance that they explain, by code size."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator
from matplotlib.transforms import blended_transform_factory

from search.plots.code_sizes import spread
from search.plots.figures import BLUE, DARK, GREY, ORANGE, SMALL, literal, log_ticks, save
from search.smallest_code_record import ChoiceAnswers, SmallestCode, interval_text, percent

MAX_CHOICES = 6
"""More curves than that hide one another: those that come to an answer last are left out."""
_SHADES = (BLUE, "#12365c", "#5fb0e5", "#2f8f6b", "#7a4fa3", "#9bb53c")
_MARKERS = "osD^v*"
_LINE_INCHES = 0.2
"""The height of a label's line."""


def variance_explained(found: SmallestCode, path: Path | None = None) -> Figure:
    """Cross-validated FVE by code size, a curve for each choice and one for PCA, with targets and answers.

    The axis is logarithmic in what is left unexplained, because that is what differs where much is explained. Labels of
    the targets stand to the right of the axes, in their order, and cover no curve.

    Args:
        found: What the search has found.
        path: Where the picture is written; nowhere if None.
    """
    able = [choice for choice in found.choices if any(np.isfinite(fve).all() for fve in choice.fve.values())]
    choices = sorted(able, key=_place)[:MAX_CHOICES]
    curves = [_curve(choice) for choice in choices]
    pca = np.array(found.pca_fve).mean(axis=1)
    targets = [a.target for a in found.answers]
    first = min((sizes[0] for sizes, _, _ in curves), default=1)
    last = max((sizes[-1] for sizes, _, _ in curves), default=len(pca))

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        sizes = np.arange(1, len(pca) + 1)
        shown = (sizes >= first) & (pca < 1)
        axes.plot(sizes[shown], 1 - pca[shown], color=ORANGE, linewidth=2, label="PCA")
        for (at, mean, error), choice, colour, marker in zip(curves, choices, _SHADES, _MARKERS, strict=False):
            axes.errorbar(
                at,
                1 - mean,
                yerr=error,
                color=colour,
                marker=marker,
                markersize=4.5,
                linewidth=1,
                capsize=3,
                label=literal(choice.label, 60),
            )
        if last > 25 * first:
            axes.set_xscale("log")
            log_ticks(axes.xaxis)
        else:
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        margin = 0.03 * (last - first) + 0.3
        axes.set_xlim(first if last > 25 * first else first - margin, last + margin)
        _set_heights(axes, [1 - mean for _, mean, _ in curves], targets)
        _mark(axes, found, line=_LINE_INCHES / (height * 0.72))
        axes.set(xlabel="code size", ylabel="variance explained (validation)")
        which = (
            "" if len(choices) == len(found.choices) else f": the best {len(choices)} of {len(found.choices)} choices"
        )
        axes.set_title(f"Variance explained, by code size{which}")
        longest = max((len(choice.label) for choice in choices), default=0)
        figure.legend(loc="outside lower left", ncols=3 if longest < 32 else 2, fontsize=SMALL + 1)

    height = max(5.4, (2 * _LINE_INCHES * (len(targets) + 1)) / 0.72)
    return save(draw, path, size=(10, height))


def _place(choice: ChoiceAnswers) -> tuple[float, ...]:
    """Choices that do with smaller codes come first, for one target after the other, then those that explain more."""
    sizes = [np.inf if a.size is None else a.size for a in choice.answers]
    return (*sizes, -choice.answers[0].fve)


def _curve(choice: ChoiceAnswers) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Code sizes, mean FVE and standard error over the folds; without trials that diverged."""
    rows = {size: np.array(fve) for size, fve in choice.fve.items() if np.isfinite(fve).all()}
    values = np.array(list(rows.values())).reshape(len(rows), -1)
    n_folds = max(values.shape[1], 1)
    spread_ = values.std(axis=1, ddof=1) if n_folds > 1 else np.zeros(len(rows))
    return np.array(list(rows)), values.mean(axis=1), spread_ / np.sqrt(n_folds)


def _set_heights(axes: Axes, unexplained: list[np.ndarray], targets: list[float]) -> None:
    """Much explained is above; ticks say what is explained, where the axis has what is not."""
    values = np.concatenate([*unexplained, 1 - np.array(targets)])
    values = values[values > 0]
    low, high = 0.8 * values.min(), min(1.1 * values.max(), 1.5)
    axes.set_yscale("log")
    axes.set_ylim(high, low)
    steps = [step * 10.0**power for power in range(-8, 1) for step in (1, 2, 5) if low <= step * 10.0**power <= high]
    axes.yaxis.set_major_locator(FixedLocator(steps))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: percent(1 - value)))
    axes.yaxis.set_minor_locator(NullLocator())


def _mark(axes: Axes, found: SmallestCode, line: float) -> None:
    """Draw the targets with their answers, and a label of two lines for each in the right margin."""
    margin = axes.transAxes
    level = blended_transform_factory(axes.transAxes, axes.transData)
    order = np.argsort([a.target for a in found.answers])
    to_axes = (axes.transData + axes.transAxes.inverted()).transform
    at = [float(to_axes((axes.get_xlim()[1], 1 - found.answers[number].target))[1]) for number in order]
    heights = spread(at, 2.4 * line, highest=1.0)
    for number, reached, height in zip(order, at, heights, strict=True):
        a, pca_size = found.answers[number], found.pca_sizes[number]
        axes.plot([0, 1], [1 - a.target] * 2, color=GREY, linewidth=0.9, linestyle="--", transform=level, zorder=1)
        if a.low is not None:
            ends = [a.low, axes.get_xlim()[1] if a.high is None else a.high]
            axes.plot(ends, [1 - a.target] * 2, color=DARK, linewidth=5, alpha=0.4, solid_capstyle="round", zorder=3)
        for at_size, colour, name in (pca_size, ORANGE, None), (a.size, DARK, "smallest code and its interval"):
            if at_size is not None:
                label = name if number == order[0] else None
                axes.plot(at_size, 1 - a.target, "D", color=colour, markersize=7, zorder=4, label=label)
        axes.plot([1, 1.04], [reached, height], color=GREY, linewidth=0.6, alpha=0.6, transform=margin, clip_on=False)
        size = "not reached" if a.size is None else f"code size {a.size:,}"
        pca = "PCA: not reached" if pca_size is None else f"PCA: {pca_size:,}"
        doubt = interval_text(a)
        axes.text(
            1.05,
            height,
            f"{percent(a.target)}: {size}, {pca}" + (f"\n{doubt}" if doubt else ""),
            transform=margin,
            va="center",
            fontsize=SMALL + 1,
            color=DARK,
        )
