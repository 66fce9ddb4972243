"""The bottleneck: how much of the variance principal components explain, and which code sizes were searched."""

from typing import Any

import pandas as pd

from search.report.facts import Facts
from search.report.figures import BLUE, FOREGROUND, GREY, Figure, axis, log_axis, short

MAX_POINTS = 1500
"""A curve is drawn through so many components."""


def bottleneck_figure(facts: Facts) -> Figure | None:
    """PCA's cumulative explained variance with the code sizes; None where the spectrum is not on disk."""
    table = facts.bottleneck
    if table is None:
        return None
    chosen = table[table["chosen"].astype(bool)]
    if facts.smallest is not None:
        sizes = facts.trials["code_size"].unique()
        chosen = table[table["n_components"].isin(sizes)]
    some = table.iloc[:: max(1, len(table) // MAX_POINTS)]
    some = pd.concat([some, chosen]).drop_duplicates("n_components").sort_values("n_components")
    traces: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "principal components",
            "x": some["n_components"].tolist(),
            "y": short(some["cumulative"]),
            "line": {"color": BLUE, "width": 2},
            "hovertemplate": "%{x} components: %{y:.2%}<extra></extra>",
        },
        {
            "type": "scatter",
            "mode": "markers",
            "name": "code sizes searched",
            "x": chosen["n_components"].tolist(),
            "y": short(chosen["cumulative"]),
            "marker": {"color": FOREGROUND, "symbol": "diamond", "size": 10},
            "hovertemplate": "code size %{x}: %{y:.2%}<extra></extra>",
        },
    ]
    fractions = [] if facts.settings.bottleneck.code_sizes else facts.settings.bottleneck.explained_variance
    lines = [
        {
            "type": "line",
            "xref": "paper",
            "x0": 0,
            "x1": 1,
            "y0": fraction,
            "y1": fraction,
            "line": {"color": GREY, "width": 1, "dash": "dash"},
        }
        for fraction in fractions
    ]
    return Figure(
        name="bottleneck",
        title="Explained variance",
        caption="Part of the variance of all development rows that so many principal components explain, and the code "
        "sizes that were searched.",
        data=traces,
        layout={
            "xaxis": log_axis("principal components", table["n_components"])
            if len(table) > 100
            else axis("principal components"),
            "yaxis": axis("cumulative explained variance", tickformat=".0%"),
            "shapes": lines,
        },
    )
