"""The winner: how it learned, where its errors lie, and what its code is used for."""

import base64
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from search.report import planes
from search.report.facts import Facts
from search.report.figures import (
    BLUE,
    FOREGROUND,
    GREY,
    ORANGE,
    Figure,
    axis,
    band,
    literal,
    log_axis,
    pale,
    short,
)
from search.tables import validation_curve
from search.test_codes import TestCodes

MAX_BATCHES = 600
"""So many losses of single batches are drawn."""
MAX_BARS = 40
"""The errors of more features than so many are a curve."""
MAX_UNITS = 64
"""The correlations of so many code units are drawn: of those that vary most."""


def loss_figure(facts: Facts) -> Figure | None:
    """Training loss of the winner beside its cross-validated error and PCA's; None if it was not trained here."""
    path = facts.model_dir / "training_loss.csv"
    if facts.selection is None or facts.evaluation is None or not path.is_file():
        return None
    losses = pd.read_csv(path)
    curve = validation_curve(facts.epochs, facts.selection.trial_id, facts.settings.search.n_splits)
    x = curve["epoch"].tolist()
    traces: list[dict[str, Any]] = []
    if len(losses):
        some = losses.iloc[:: max(1, len(losses) // MAX_BATCHES)]
        steps = int(losses["epoch"].eq(1).sum())
        means = losses.groupby("epoch")["mse"].mean()
        traces += [
            _line(short(some["step"] / steps), short(some["mse"]), "training, single batches", pale(GREY, 0.5), 1),
            _line(short(means.index - 0.5), short(means), "training, mean of the epoch", GREY, 2),
        ]
    traces += [
        band(x, short(curve["mean"] - curve["se"]), short(curve["mean"] + curve["se"]), BLUE),
        _line(x, short(curve["mean"]), "validation, mean of the folds ± se", BLUE, 2),
        {
            "type": "scatter",
            "mode": "markers",
            "name": "best epoch",
            "x": [facts.selection.best_epoch],
            "y": short([facts.selection.val_mse_mean]),
            "marker": {"color": FOREGROUND, "symbol": "diamond", "size": 10},
            "hovertemplate": "epoch %{x}: %{y:.5g}<extra>best epoch</extra>",
        },
    ]
    seen = [*curve["mean"], *losses["mse"], facts.selection.pca_val_mse_mean]
    last = max([*x, facts.selection.best_epoch, 1])
    pca = short([facts.selection.pca_val_mse_mean] * 2)
    traces.append(
        _line([0, last], pca, "PCA at equal code size", ORANGE, 2) | {"line": {"color": ORANGE, "dash": "dash"}}
    )
    return Figure(
        name="loss",
        title="How it learned",
        caption="The model was trained on all development rows for as many epochs as were best in cross-validation.",
        data=traces,
        layout={"xaxis": axis("epoch"), "yaxis": log_axis("MSE (scaled units²)", seen)},
    )


def _line(x: list[Any], y: list[float | None], name: str, colour: str, width: float) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines" if len(x) > 1 else "lines+markers",
        "name": name,
        "x": x,
        "y": y,
        "line": {"color": colour, "width": width},
    }


def reconstructions(model_dir: Path) -> str | None:
    """The picture of reconstructions as a data URL; None where there is none."""
    path = model_dir / "reconstructions.png"
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode() if path.is_file() else None


def error_figure(facts: Facts, feature_names: list[str] | None, image_shape: tuple[int, ...] | None) -> Figure | None:
    """The test error of each pixel or feature; None without an evaluation."""
    if facts.evaluation is None:
        return None
    errors = np.array(facts.evaluation.per_feature_mse, np.float64)
    if image_shape is not None and prod(image_shape) == len(errors):
        image = errors.reshape(image_shape)
        image = image.mean(axis=2) if image.ndim == 3 else image
        heatmap = {
            "type": "heatmap",
            "z": [short(row) for row in image],
            "colorscale": "Viridis",
            "colorbar": {"title": {"text": "MSE"}, "thickness": 12},
            "hovertemplate": "row %{y}, column %{x}: %{z:.3g}<extra></extra>",
        }
        layout = {
            "xaxis": axis("", constrain="domain", showticklabels=False, ticks="", showgrid=False),
            "yaxis": axis("", autorange="reversed", scaleanchor="x", showticklabels=False, ticks="", showgrid=False),
        }
        caption = "Test MSE of each pixel, in scaled units²."
        return Figure(name="errors", title="Where the errors lie", caption=caption, data=[heatmap], layout=layout)
    names = feature_names or [f"feature {n}" for n in range(len(errors))]
    caption = "Test MSE of each feature, in scaled units²"
    if facts.evaluation.scaling == "standard":
        caption += ": about the part of its variance that the code does not keep"
    if len(errors) <= MAX_BARS:
        order = np.argsort(-errors, kind="stable")
        trace: dict[str, Any] = {
            "type": "bar",
            "orientation": "h",
            "y": list(range(len(order))),  # not the names: cut short, some may be the same
            "x": short(errors[order]),
            "text": (labels := [literal(names[n], 30) for n in order]),
            "textposition": "none",
            "marker": {"color": BLUE},
            "hovertemplate": "%{text}: %{x:.3g}<extra></extra>",
        }
        ticks = {"tickvals": list(range(len(order))), "ticktext": labels}
        layout = {"xaxis": axis("test MSE"), "yaxis": axis("", autorange="reversed", **ticks)}
        height = 120 + 18 * len(errors)
    else:
        trace = {
            "type": "scatter",
            "mode": "lines",
            "x": list(range(len(errors))),
            "y": short(errors),
            "text": [literal(name, 30) for name in names],
            "line": {"color": BLUE, "width": 1.2},
            "hovertemplate": "%{text}: %{y:.3g}<extra></extra>",
        }
        layout = {"xaxis": axis("feature"), "yaxis": axis("test MSE", rangemode="tozero")}
        height = 340
    return Figure(
        name="errors", title="Where the errors lie", caption=f"{caption}.", data=[trace], layout=layout, height=height
    )


def code_figures(codes: TestCodes, *, umap: bool) -> list[Figure]:
    """What the code is used for: the spread of its units, their correlations, and the samples in two dimensions.

    Args:
        codes: Codes of test samples.
        umap: Whether to draw UMAP's plane too, which takes seconds, and needs umap-learn.
    """
    values = codes.code
    spread = values.std(axis=0)
    order = np.argsort(-spread, kind="stable")
    alive = spread[order] > 0
    figures = [
        Figure(
            name="units",
            title="Use of the code",
            caption=f"Standard deviation of each code unit over {len(values):,} test samples, widest first. "
            f"{_dead_text(int((~alive).sum()), len(spread))} The effective rank is {effective_rank(values):.1f}: "
            "so many equally strong, uncorrelated units would have the same entropy (Roy and Vetterli, 2007).",
            data=[
                {
                    "type": "bar",
                    "x": list(range(1, len(order) + 1)),
                    "y": short(spread[order]),
                    "customdata": order.tolist(),
                    "marker": {"color": BLUE},
                    "hovertemplate": "unit %{customdata}: %{y:.3g}<extra></extra>",
                }
            ],
            layout={"xaxis": axis("code unit, by spread"), "yaxis": axis("standard deviation")},
            height=300,
        )
    ]
    shown = np.sort(order[alive][:MAX_UNITS])
    if len(shown) > 1:
        some = f" of the {len(shown)} units that vary most" if len(shown) < int(alive.sum()) else ""
        figures.append(
            Figure(
                name="correlations",
                title="Correlations of the code units",
                caption=f"Over the test samples{some}. Units that go together say the same: a smaller code may do.",
                data=[
                    {
                        "type": "heatmap",
                        "z": [short(row) for row in np.corrcoef(values[:, shown].T).round(3)],
                        "x": [f"{n}" for n in shown],
                        "y": [f"{n}" for n in shown],
                        "colorscale": "RdBu",
                        "zmin": -1,
                        "zmax": 1,
                        "colorbar": {"thickness": 12},
                        "hovertemplate": "units %{x} and %{y}: %{z:.2f}<extra></extra>",
                    }
                ],
                layout={
                    "xaxis": axis("code unit", constrain="domain", type="category", showgrid=False),
                    "yaxis": axis("", autorange="reversed", scaleanchor="x", type="category", showgrid=False),
                },
                height=460,
            )
        )
    if len(values) > 2 and alive.any():
        figures.append(planes.pca_plane(codes))
    if umap and len(values) > planes.NEIGHBOURS and alive.any():
        figures.append(planes.umap_plane(codes))
    return figures


def effective_rank(values: np.ndarray) -> float:
    """The exponential of the entropy of the codes' variances along their principal axes (Roy and Vetterli, 2007)."""
    variances = np.square(np.linalg.svd(values - values.mean(axis=0), compute_uv=False))
    if not variances.sum() > 0:
        return 0.0
    parts = variances[variances > 0] / variances.sum()
    return float(np.exp(-(parts * np.log(parts)).sum()))


def _dead_text(n_dead: int, n_units: int) -> str:
    if not n_dead:
        return "All of them vary." if n_units > 1 else "It varies."
    return f"{n_dead} of {n_units} never var{'ies' if n_dead == 1 else 'y'}."
