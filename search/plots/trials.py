"""Tables of trials and folds -> a picture of the configurations, and of how sure their order is."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from search.comparison import compare
from search.paired_test import SIGNIFICANCE
from search.plots.figures import (
    BLUE,
    DARK,
    FAR_BELOW,
    MAX_BARS,
    MSE_LABEL,
    ORANGE,
    SMALL,
    literal,
    log_ticks,
    save,
    three_digits,
)
from search.tables import configuration_labels

_SQUEEZE = 10
"""Differences that reach so many times farther than the nearest quarter of them are not drawn to scale."""
_OUTSIDE = "far outside the axis: its mean"


def validation_mse(trials: pd.DataFrame, folds: pd.DataFrame, winner: str, path: Path | None = None) -> Figure:
    """Validation MSE of the best configurations beside PCA's, and how they differ from the winner fold by fold.

    The folds are the same for all configurations, and what is hard to reconstruct is hard for all of them. So the
    error bars of two configurations may overlap although one is better in each fold: the second panel shows this.

    Args:
        trials: What `load_trials` returned.
        folds: What `load_folds` returned.
        winner: The `trial_id` that the others are compared to.
        path: Where the picture is written; nowhere if None.
    """
    # Of a search that a budget ended, the winner may not have come to its end.
    ranked = trials[trials["rank"].notna() | (trials["trial_id"] == winner)]
    ranked = ranked.sort_values(["rank", "number"], na_position="first")
    shown = ranked.head(MAX_BARS)
    if winner not in set(shown["trial_id"]):
        shown = pd.concat([shown.head(MAX_BARS - 1), ranked[ranked["trial_id"] == winner]])
    labels = [literal(label, 80) for label in configuration_labels(shown)]
    names = shown["trial_id"].tolist()

    def draw(figure: Figure) -> None:
        n_panels = 2 if len(shown) > 1 else 1
        panels = figure.subplots(1, n_panels, sharey=True, squeeze=False)[0]
        rows = np.arange(len(shown))
        _means(panels[0], shown, rows, names.index(winner))
        panels[0].set_yticks(rows, labels=labels, fontsize=SMALL + 1)
        panels[0].get_yticklabels()[names.index(winner)].set_fontweight("bold")
        panels[0].set_ylim(len(shown) - 0.4, -0.6)
        if n_panels > 1:
            differences = compare(folds, winner).loc[names]
            least = 3 * float(shown["val_mse_se"].iloc[names.index(winner)])
            _differences(panels[1], differences, names.index(winner), least)
        for panel in panels:
            panel.grid(visible=False, axis="y")
            panel.tick_params(axis="x", labelsize=SMALL + 1)
        n_others = len(trials) - len(ranked)
        others = f"; {n_others:,} did not come to their end" if n_others else ""
        figure.suptitle(f"Cross-validated MSE of {_which(shown, ranked)}{others}", x=0.01, ha="left")
        # What is in both panels, or in many rows, stands there once.
        handles = {
            label: handle for panel in panels for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)
        }
        figure.legend(list(handles.values()), list(handles), loc="outside lower left", ncols=3, fontsize=SMALL + 1)

    width = (9.0 if len(shown) > 1 else 6.0) + 0.075 * max(len(label) for label in labels)
    return save(draw, path, size=(width, 2.2 + 0.28 * len(shown)))


def _which(shown: pd.DataFrame, ranked: pd.DataFrame) -> str:
    if len(ranked) == 1:
        return "the only configuration"
    if len(shown) == len(ranked):
        return f"all {len(ranked)} configurations"
    if shown["rank"].iloc[-1] > ranked["rank"].iloc[len(shown) - 1]:
        return f"the best {len(shown) - 1} of {len(ranked):,} configurations, and of the winner"
    return f"the best {len(shown)} of {len(ranked):,} configurations"


def _means(axes: Axes, shown: pd.DataFrame, rows: np.ndarray, winner: int) -> None:
    means = shown["val_mse_mean"].to_numpy()
    axes.errorbar(
        means,
        rows,
        xerr=shown["val_mse_se"],
        fmt="o",
        markersize=5,
        color=BLUE,
        capsize=3,
    )
    pca = shown["pca_val_mse_mean"].to_numpy()
    lowest = means.min() / FAR_BELOW
    below = pca < lowest
    name = "PCA with as many components"
    axes.plot(pca[~below], rows[~below], "|", color=ORANGE, markersize=12, markeredgewidth=2.5, label=name)
    if below.any():
        axes.plot(np.full(below.sum(), lowest), rows[below], "<", color=ORANGE, label=f"{name}, below the axis")
    axes.plot(means[winner], winner, "D", color=DARK, markersize=7, zorder=4, label="winner")
    both = np.concatenate([means, pca.clip(lowest)])
    if np.nanmax(both) > 10 * np.nanmin(both) > 0:
        axes.set_xscale("log")
        log_ticks(axes.xaxis)
    else:
        axes.set_xlim(left=0)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=5))
    axes.set_xlabel(f"validation {MSE_LABEL}")
    axes.set_title("mean of the folds ± standard error", fontsize=SMALL + 1)


def _differences(axes: Axes, differences: pd.DataFrame, winner: int, least: float) -> None:
    """Mean differences with their intervals; those far outside the others become arrows with a number.

    Args:
        axes: Where they are drawn.
        differences: The differences, as `compare` returns them, a row for each row of the picture.
        winner: The winner's row.
        least: Differences of this size are always drawn to scale.
    """
    means, halves = differences["difference"].to_numpy(), differences["half_width"].to_numpy()
    tied = differences["p_value"].to_numpy() > SIGNIFICANCE
    others = np.arange(len(means)) != winner
    limit = _limit((np.abs(means) + halves)[others], least)
    outside = np.abs(means) > limit
    ends = np.concatenate([means - halves, means + halves])[np.tile(~outside, 2)].clip(-limit, limit)
    edge = 1.25 * np.abs(ends).max() if outside.any() else 0.0
    axes.axvline(0, color=DARK, linewidth=1)
    axes.plot(0, winner, "D", color=DARK, markersize=7, zorder=4)
    for of_kind, face, name in (~tied, BLUE, "differs from the winner"), (tied, "white", "tied with the winner"):
        (rows,) = np.nonzero(others & ~outside & of_kind)
        if len(rows):
            axes.errorbar(
                means[rows],
                rows,
                xerr=halves[rows],
                fmt="o",
                markersize=5,
                markerfacecolor=face,
                color=BLUE,
                capsize=3,
                label=name,
            )
        (rows,) = np.nonzero(others & outside & of_kind)
        for row in rows:
            side = np.sign(means[row])
            axes.plot(side * edge, row, ">" if side > 0 else "<", markerfacecolor=face, color=BLUE, label=_OUTSIDE)
            axes.annotate(
                three_digits(means[row], sign="+"),
                (side * edge, row),
                xytext=(-8 * side, 0),
                textcoords="offset points",
                ha="right" if side > 0 else "left",
                va="center",
                fontsize=SMALL,
            )
    drawn = np.concatenate([ends, edge * np.sign(means[outside])])
    room = 0.05 * (np.ptp(drawn) or 1.0)
    axes.set_xlim(drawn.min() - room, drawn.max() + room)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5))
    axes.set_xlabel(f"difference of {MSE_LABEL}")
    axes.set_title(f"difference from the winner, {100 * (1 - SIGNIFICANCE):g} % interval", fontsize=SMALL + 1)


def _limit(reaches: np.ndarray, least: float) -> float:
    """How far from zero the axis goes: as far as needed, but not so far that the nearest quarter cannot be read.

    Args:
        reaches: How far from zero each difference's interval reaches.
        least: Differences of this size are always shown.
    """
    positive = reaches[reaches > 0]
    near = float(np.quantile(positive, 0.25, method="lower")) if len(positive) else 0.0
    limit = max(_SQUEEZE * near, least)
    return limit if reaches.max() > limit else float(reaches.max())
