"""Losses of the retraining and of the cross-validation -> a picture of both."""

import math
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from search.plots.figures import BLUE, FAR_BELOW, GREY, MSE_LABEL, ORANGE, log_ticks, save


def training_loss(
    losses: pd.DataFrame,
    validation: pd.DataFrame,
    path: Path | None = None,
    pca_mse: float | None = None,
    best_epoch: int | None = None,
) -> Figure:
    """Training loss per batch with its epoch mean, and the validation curve of the cross-validation.

    Args:
        losses: The losses of the retraining, with the columns step, epoch and mse; empty if it had no epoch.
        validation: The cross-validated MSE, with the columns epoch, mean and se; may be empty.
        path: Where the picture is written; nowhere if None.
        pca_mse: PCA's cross-validated validation MSE with as many components as the code has units, drawn as a level
            line unless it is None or NaN.
        best_epoch: The epoch that is marked as the best; the lowest if None.
    """

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        if len(losses):
            epochs = losses["step"] / losses["epoch"].eq(1).sum()
            means = losses.groupby("epoch")["mse"].mean()
            few = "o" if len(means) == 1 else None  # a line through one point cannot be seen
            axes.plot(epochs, losses["mse"], color=GREY, alpha=0.4, linewidth=0.7, label="training, each batch")
            axes.plot(
                means.index - 0.5, means, color=GREY, linewidth=2, marker=few, label="training, mean of the epoch"
            )
        if len(validation):
            low, high = validation["mean"] - validation["se"], validation["mean"] + validation["se"]
            axes.plot(
                validation["epoch"], validation["mean"], color=BLUE, linewidth=2, label="validation, mean of the folds"
            )
            axes.fill_between(
                validation["epoch"], low, high, color=BLUE, alpha=0.25, linewidth=0, label="± standard error"
            )
            lowest_epoch = validation["epoch"].iloc[int(validation["mean"].argmin())]
            best = validation[validation["epoch"] == (lowest_epoch if best_epoch is None else best_epoch)].iloc[0]
            axes.plot(
                best["epoch"], best["mean"], "o", color=BLUE, clip_on=False, label=f"best epoch: {best['epoch']:.0f}"
            )
        axes.set_yscale("log")
        if pca_mse is not None and math.isfinite(pca_mse):
            lowest = axes.dataLim.minposy / FAR_BELOW
            below = " (below the axis)" if pca_mse < lowest else ""
            axes.axhline(
                pca_mse,
                color=ORANGE,
                linewidth=2,
                linestyle="--",
                label=f"validation of PCA at equal code size: {pca_mse:.4g}{below}",
            )
            if below:
                axes.set_ylim(bottom=lowest)
        log_ticks(axes.yaxis)
        axes.set(xlabel="epoch", ylabel=MSE_LABEL)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
        axes.set_xlim(left=0)
        axes.set_title(
            "Retraining on all development data, and cross-validation"
            if len(losses)
            else "Cross-validation: the start at PCA is best"
        )
        figure.legend(loc="outside lower center", ncols=2)

    return save(draw, path, size=(8, 5.8))
