"""Arrays and tables -> pictures."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, PercentFormatter

from search.files import replace_file
from search.tables import configuration_labels

BLUE, ORANGE, GREY = "#2a6fbb", "#d9720f", "#7a7a7a"
MAX_BARS = 40
"""Rows of a bar picture that can still be read."""
_STYLE: dict[Any, Any] = {
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 13,
    "axes.titlelocation": "left",
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "savefig.dpi": 150,
}


def explained_variance(ratio: np.ndarray, marks: Sequence[tuple[int, float]], path: Path) -> None:
    """PCA's cumulative explained variance by number of components.

    Args:
        ratio: Explained variance ratio of each component.
        marks: Code sizes to mark, with the cumulative explained variance each reaches.
        path: Of the picture.
    """

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        components = np.arange(1, len(ratio) + 1)
        axes.plot(components, np.cumsum(ratio), color=BLUE, linewidth=2)
        for i, (code_size, reached) in enumerate(marks):
            axes.plot([code_size, code_size, 0], [0, reached, reached], color=ORANGE, linewidth=1.2, linestyle="--")
            axes.plot(code_size, reached, "o", color=ORANGE)
            axes.annotate(
                f"{code_size} components: {reached:.1%}",
                (code_size, reached),
                xytext=(12, -18 - 18 * i),
                textcoords="offset points",
                color=ORANGE,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},  # over the lines of other code sizes
            )
        axes.set(xlim=(0, len(ratio)), ylim=(0, 1.02), xlabel="principal components", ylabel="explained variance")
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.set_title("Cumulative explained variance of PCA")

    _save(draw, path)


def training_loss(losses: pd.DataFrame, validation: pd.DataFrame, path: Path) -> None:
    """Training loss per batch with its epoch mean, and the validation curve of the cross-validation.

    Args:
        losses: Columns step, epoch and mse of the retraining.
        validation: Columns epoch, mean and se of the cross-validated MSE; may be empty.
        path: Of the picture.
    """

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        steps_per_epoch = losses["epoch"].eq(1).sum()
        epochs = losses["step"] / steps_per_epoch
        means = losses.groupby("epoch")["mse"].mean()
        axes.plot(epochs, losses["mse"], color=BLUE, alpha=0.3, linewidth=0.7, label="training, each batch")
        axes.plot(means.index - 0.5, means, color=BLUE, linewidth=2, label="training, mean of the epoch")
        if len(validation):
            low, high = validation["mean"] - validation["se"], validation["mean"] + validation["se"]
            axes.plot(
                validation["epoch"],
                validation["mean"],
                color=ORANGE,
                linewidth=2,
                label="validation, mean of the folds",
            )
            axes.fill_between(
                validation["epoch"], low, high, color=ORANGE, alpha=0.25, linewidth=0, label="± standard error"
            )
            best = validation.iloc[int(validation["mean"].argmin())]
            axes.plot(best["epoch"], best["mean"], "o", color=ORANGE, label=f"best epoch: {best['epoch']:.0f}")
        axes.set_yscale("log")
        _plain_ticks(axes.yaxis)
        axes.set(xlabel="epoch", ylabel="MSE (scaled units squared)")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_title("Loss of the retraining on all development data, and of the cross-validation")
        axes.legend()

    _save(draw, path)


def validation_mse(trials: pd.DataFrame, path: Path) -> None:
    """Validation MSE of the best configurations with standard errors, and PCA's at equal code size.

    Args:
        trials: As `load_trials` returns them.
        path: Of the picture.
    """
    ranked = trials[trials["rank"].notna()].sort_values(["rank", "number"])
    shown = ranked.head(MAX_BARS)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        rows = np.arange(len(shown))
        axes.errorbar(
            shown["val_mse_mean"],
            rows,
            xerr=shown["val_mse_se"],
            fmt="o",
            markersize=4,
            color=BLUE,
            capsize=4,
            label="autoencoder, mean ± standard error of the folds",
        )
        axes.plot(
            shown["pca_val_mse_mean"],
            rows,
            "|",
            color=ORANGE,
            markersize=14,
            markeredgewidth=2.5,
            label="PCA with as many components",
        )
        axes.set_yticks(rows, labels=configuration_labels(shown))
        axes.set_ylim(len(shown) - 0.4, -0.6)
        if shown["val_mse_mean"].max() > 10 * shown[["val_mse_mean", "pca_val_mse_mean"]].min().min():
            axes.set_xscale("log")
            _plain_ticks(axes.xaxis)
        else:
            axes.set_xlim(left=0)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("validation MSE (scaled units squared)")
        count = f"best {len(shown)} of {len(ranked)}" if len(ranked) > len(shown) else f"all {len(shown)}"
        axes.set_title(f"Validation MSE, {count} configurations", loc="left", x=0)
        figure.legend(*(x[::-1] for x in axes.get_legend_handles_labels()), loc="outside lower center", ncols=2)

    _save(draw, path, size=(9, 1.8 + 0.3 * len(shown)))


def reconstructions(
    inputs: np.ndarray,
    outputs: np.ndarray,
    pca_outputs: np.ndarray | None,  # noqa: ARG001
    image_shape: tuple[int, ...],
    value_range: tuple[float, float] | None,
    path: Path,
    *,
    mse: np.ndarray,  # noqa: ARG001
    pca_mse: np.ndarray | None,  # noqa: ARG001
    titles: Sequence[str],  # noqa: ARG001
) -> None:
    """Images above, their reconstructions below.

    Args:
        inputs: `(n_images, n_features)` in their own units.
        outputs: Their reconstructions, of the same shape.
        pca_outputs: PCA's.
        image_shape: `(height, width)` or `(height, width, channels)`.
        value_range: Value of black and of white.
        path: Of the picture.
        mse: Of each of the outputs.
        pca_mse: Of each of PCA's.
        titles: Of the images.
    """
    low, high = value_range or (float(inputs.min()), float(inputs.max()))

    def draw(figure: Figure) -> None:
        grid = figure.subplots(2, len(inputs), squeeze=False)
        for row, (images, name) in enumerate(((inputs, "input"), (outputs, "output"))):
            for axes, image in zip(grid[row], images, strict=True):
                shown = np.clip((image.reshape(image_shape).squeeze() - low) / ((high - low) or 1), 0, 1)
                axes.imshow(shown, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
                axes.set(xticks=[], yticks=[])
                axes.spines[:].set_visible(False)
            grid[row, 0].set_ylabel(name)

    # Each picture an inch wide, and as high as its shape asks for.
    height = min(max(image_shape[0] / image_shape[1], 0.3), 3.0)
    _save(draw, path, size=(1.1 * len(inputs) + 0.4, 2.2 * height + 0.3))


def feature_errors(per_feature_mse: np.ndarray, names: Sequence[str], path: Path) -> None:
    """Root mean squared error of each feature, in percent of the feature's range in the development set.

    Args:
        per_feature_mse: `(n_features,)`, in scaled units squared.
        names: Of the features.
        path: Of the picture.
    """
    errors = np.sqrt(per_feature_mse) / 2  # the range is 2 in scaled units
    order = np.argsort(-errors, kind="stable")[:MAX_BARS]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        rows = np.arange(len(order))
        axes.barh(rows, errors[order], color=BLUE, height=0.7)
        axes.set_yticks(rows, labels=[_shortened(names[i]) for i in order])
        axes.set_ylim(len(order) - 0.4, -0.6)
        axes.grid(visible=False, axis="y")
        axes.xaxis.set_major_formatter(PercentFormatter(1))
        axes.set_xlabel("root mean squared error, in percent of the feature's range")
        count = f"largest {len(order)} of {len(errors)}" if len(errors) > len(order) else f"all {len(errors)}"
        axes.set_title(f"Test error by feature, {count}")

    _save(draw, path, size=(8, 1.5 + 0.27 * len(order)))


def _plain_ticks(axis: Axis) -> None:
    """Few ticks on a logarithmic axis, written as plain numbers."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=8))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _shortened(name: str) -> str:
    return (name if len(name) <= 30 else name[:29] + "…").replace("$", r"\$")  # else matplotlib reads a formula


def _save(draw: Callable[[Figure], None], path: Path, size: tuple[float, float] = (8, 5)) -> None:
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure)
        replace_file(path, lambda temporary: figure.savefig(temporary, format="png"))
