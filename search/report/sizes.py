"""What size buys: error against code size, parameters and training time, and the answers on the smallest code."""

from typing import Any

import numpy as np
import pandas as pd

from search.ledger import FINISHED
from search.report.facts import Facts
from search.report.figures import (
    BLUE,
    CYCLE,
    FOREGROUND,
    GREY,
    MSE_TITLE,
    ORANGE,
    Figure,
    axis,
    literal,
    log_axis,
    short,
)
from search.smallest_code import Answer
from search.smallest_code_record import percent

_AGAINST = {
    "code_size": "code size",
    "n_parameters": "parameters",
    "fit_seconds": "training time of a trial, all folds (s)",
}


def size_figures(facts: Facts) -> list[Figure]:
    """Error against what it costs, as far as that varies; FVE against code size where the smallest was asked for."""
    finished = facts.trials[(facts.trials["status"] == FINISHED) & facts.trials["val_mse_mean"].notna()]
    figures = [] if facts.smallest is None else [_smallest_code(facts)]
    for column, title in _AGAINST.items():
        known = finished[finished[column].notna()]
        if len(known) and known[column].min() < known[column].max():
            figures.append(_against(known, column, title, facts))
    return figures


def _against(trials: pd.DataFrame, column: str, title: str, facts: Facts) -> Figure:
    is_winner = trials["trial_id"] == (facts.selection.trial_id if facts.selection is not None else None)
    traces: list[dict[str, Any]] = []
    if column == "code_size":
        pca = trials.groupby("code_size", observed=True)["pca_val_mse_mean"].first().dropna()
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": "PCA",
                "x": pca.index.tolist(),
                "y": short(pca),
                "line": {"color": ORANGE, "width": 2},
                "marker": {"size": 5},
                "hovertemplate": "PCA with %{x} components: %{y:.5g}<extra></extra>",
            }
        )
    front = _pareto_front(trials[column].to_numpy(np.float64), trials["val_mse_mean"].to_numpy(np.float64))
    best = trials.iloc[front]
    traces.append(
        {
            "type": "scatter",
            "mode": "lines",
            "name": "Pareto front",
            "x": short(best[column]),
            "y": short(best["val_mse_mean"]),
            "line": {"color": GREY, "width": 1.5, "shape": "hv", "dash": "dot"},
            "hoverinfo": "skip",
        }
    )
    for mask, name, colour, symbol in (
        (~is_winner, "trials", BLUE, "circle"),
        (is_winner, "winner", FOREGROUND, "diamond"),
    ):
        of = trials[mask]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": name,
                "x": short(of[column]),
                "y": short(of["val_mse_mean"]),
                "error_y": {"type": "data", "array": short(of["val_mse_se"]), "thickness": 1, "width": 2},
                "text": [literal(label) for label in of["label"]],
                "marker": {"color": colour, "size": 8 if symbol == "circle" else 11, "symbol": symbol, "opacity": 0.85},
                "hovertemplate": f"%{{text}}<br>{title}: %{{x}}<br>MSE %{{y:.5g}}<extra></extra>",
            }
        )
    least, most = float(trials[column].min()), float(trials[column].max())
    # Sizes are as far apart as their ratio says.
    is_log = least > 0 and most / least > 4
    pareto = "The dotted line is the Pareto front: no trial has both less error and less of what the axis says."
    return Figure(
        name=f"against-{column.replace('_', '-')}",
        title=f"Error against {title.partition(' (')[0]}",
        caption=f"Each point is a finished trial, mean and standard error over the folds. {pareto}",
        data=traces,
        layout={
            "xaxis": log_axis(title, trials[column]) if is_log else axis(title),
            "yaxis": log_axis(MSE_TITLE, trials["val_mse_mean"]) if _spans(trials["val_mse_mean"]) else axis(MSE_TITLE),
        },
    )


def _pareto_front(costs: np.ndarray, errors: np.ndarray) -> list[int]:
    """The places of those that nothing beats in both, by rising cost."""
    front: list[int] = []
    for place in np.lexsort((errors, costs)):
        if not front or errors[place] < errors[front[-1]]:
            front.append(int(place))
    return front


def _spans(values: "pd.Series[Any]") -> bool:
    """Whether values are better seen on a logarithmic axis."""
    return bool(values.min() > 0 and values.max() / values.min() > 5)


def _smallest_code(facts: Facts) -> Figure:
    found = facts.smallest
    assert found is not None
    pca_sizes = list(range(1, len(found.pca_fve) + 1))
    traces: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "PCA",
            "x": pca_sizes,
            "y": short(np.mean(fve) for fve in found.pca_fve),
            "line": {"color": ORANGE, "width": 2},
            "hovertemplate": "PCA with %{x} components: FVE %{y:.4f}<extra></extra>",
        }
    ]
    for number, choice in enumerate(found.choices):
        sizes = list(choice.fve)
        means = [float(np.mean(choice.fve[size])) for size in sizes]
        errors = [float(np.std(choice.fve[size], ddof=1) / np.sqrt(len(choice.fve[size]))) for size in sizes]
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": literal(choice.label),
                "x": sizes,
                "y": short(means),
                "error_y": {"type": "data", "array": short(errors), "thickness": 1, "width": 2},
                "line": {"color": CYCLE[number % len(CYCLE)], "width": 1.5},
                "hovertemplate": "code size %{x}: FVE %{y:.4f}<extra>%{fullData.name}</extra>",
            }
        )
    reached = [a for a in found.answers if a.size is not None]
    traces.append(
        {
            "type": "scatter",
            "mode": "markers",
            "name": "answer",
            "x": [a.size for a in reached],
            "y": short(a.target for a in reached),
            "error_x": _interval(reached),
            "marker": {"color": FOREGROUND, "size": 11, "symbol": "diamond"},
            "hovertemplate": "smallest code %{x}<extra></extra>",
        }
    )
    lines = [
        {
            "type": "line",
            "xref": "paper",
            "x0": 0,
            "x1": 1,
            "y0": a.target,
            "y1": a.target,
            "line": {"color": GREY, "width": 1, "dash": "dash"},
        }
        for a in found.answers
    ]
    targets = ", ".join(percent(a.target) for a in found.answers)
    return Figure(
        name="smallest-code",
        title="How small the code may be",
        caption=f"Fraction of the validation variance explained, mean and standard error over the folds; targets "
        f"{targets}. The bar through a diamond spans the sizes that the folds cannot tell from the answer.",
        data=traces,
        layout={
            "xaxis": log_axis("code size", [size for choice in found.choices for size in choice.fve]),
            "yaxis": axis("FVE"),
            "shapes": lines,
        },
        height=440,
    )


def _interval(answers: list[Answer]) -> dict[str, Any]:
    highest = [a.largest if a.high is None else a.high for a in answers]
    sizes = [a.size or 0 for a in answers]
    lowest = [size if a.low is None else a.low for a, size in zip(answers, sizes, strict=True)]
    return {
        "type": "data",
        "symmetric": False,
        "array": [max(high - size, 0) for high, size in zip(highest, sizes, strict=True)],
        "arrayminus": [max(size - low, 0) for low, size in zip(lowest, sizes, strict=True)],
        "color": FOREGROUND,
    }
