"""How trials learned, and where those that were given up were stopped."""

from typing import Any

import numpy as np
import pandas as pd

from search.ledger import FINISHED, STOPPED
from search.report.facts import Facts
from search.report.figures import BLUE, CYCLE, FOREGROUND, GREY, MSE_TITLE, Figure, axis, band, literal, log_axis, short
from search.tables import validation_curve

MAX_CURVES = 6
"""So many learning curves with their bands can be told apart."""
MAX_STOPPED = 200
"""So many curves of trials that were stopped are drawn: the best of each rung."""
MAX_POINTS = 80
"""A curve is drawn through so many epochs."""


def curve_figures(facts: Facts) -> list[Figure]:
    """Learning curves of the best, and who was stopped where, if anybody was."""
    figures = [figure for figure in (_learning_curves(facts),) if figure is not None]
    if (facts.trials["status"] == STOPPED).any():
        figures.append(_halving(facts))
    return figures


def _learning_curves(facts: Facts) -> Figure | None:
    trials, selection = facts.trials, facts.selection
    ended = trials[(trials["status"] == FINISHED) & (trials["epochs"] > 0)].sort_values(["rank", "number"])
    if selection is not None and selection.trial_id not in set(ended["trial_id"]):
        ended = pd.concat([trials[trials["trial_id"] == selection.trial_id], ended])
    shown = ended.head(MAX_CURVES)
    if shown.empty:
        return None
    traces: list[dict[str, Any]] = []
    seen: list[float] = []
    for number, (_, trial) in enumerate(shown.iterrows()):
        curve = _thinned(validation_curve(facts.epochs, str(trial["trial_id"]), facts.settings.search.n_splits))
        x, colour = curve["epoch"].tolist(), CYCLE[number % len(CYCLE)]
        group = {"legendgroup": trial["trial_id"]}
        low, high = curve["mean"] - curve["se"], curve["mean"] + curve["se"]
        is_winner = selection is not None and trial["trial_id"] == selection.trial_id
        name = literal(trial["label"], 40)
        seen += curve["mean"].tolist()
        traces += [
            band(x, short(low), short(high), colour, 0.16 if is_winner else 0.07, **group),
            {
                "type": "scatter",
                "mode": "lines" if len(x) > 1 else "markers",
                "name": f"<b>{name}</b>" if is_winner else name,
                "x": x,
                "y": short(curve["mean"]),
                "line": {"color": colour, "width": 3 if is_winner else 1.5},
                "hovertemplate": "epoch %{x}: %{y:.5g}<extra>%{fullData.name}</extra>",
                **group,
            },
        ]
    which = f"the best {len(shown)} of {len(ended)} finished trials" if len(ended) > len(shown) else "all that finished"
    return Figure(
        name="learning-curves",
        title="Learning curves",
        caption=f"Validation MSE by epoch of {which}, mean over the folds with its standard error; the winner is bold. "
        "A click in the legend hides a curve, a double click all others.",
        data=traces,
        layout={"xaxis": axis("epoch"), "yaxis": log_axis(MSE_TITLE, seen)},
        height=460,
    )


def _thinned(curve: pd.DataFrame) -> pd.DataFrame:
    """Every so many epochs, the last, and the lowest among them."""
    if len(curve) <= MAX_POINTS:
        return curve
    kept = set(np.linspace(0, len(curve) - 1, MAX_POINTS).round().astype(int)) | {int(curve["mean"].argmin())}
    return curve.iloc[sorted(kept)]


def _halving(facts: Facts) -> Figure:
    trials = facts.trials
    stopped = trials[trials["status"] == STOPPED].sort_values(["rung", "forecast"], ascending=[False, True])
    stopped = stopped.head(MAX_STOPPED)
    finished = trials[trials["status"] == FINISHED]
    n_splits = facts.settings.search.n_splits
    means = (
        facts.epochs[facts.epochs["fold"] < n_splits]
        .groupby(["trial_id", "epoch"], observed=True)["val_mse"]
        .mean()
        .rename("mean")
        .reset_index()
    )
    curves = {str(trial_id): _thinned(of) for trial_id, of in means.groupby("trial_id", observed=True)}
    rungs = sorted(int(rung) for rung in stopped["rung"].dropna().unique())
    traces: list[dict[str, Any]] = []
    for number, rung in enumerate(rungs):
        of_rung = stopped[stopped["rung"] == rung]
        epoch = int(of_rung["epochs"].max())
        name = f"stopped at rung {rung}, epoch {epoch} ({int((trials['rung'] == rung).sum())})"
        traces.append(_many(curves, of_rung, name, CYCLE[1 + number % (len(CYCLE) - 1)], 1.0))
    traces.append(_many(curves, finished, f"finished ({len(finished)})", BLUE, 1.8))
    last = int(finished["epochs"].max()) if len(finished) else int(stopped["epochs"].max())
    traces.append(
        {
            "type": "scatter",
            "mode": "markers",
            "name": "forecast of what was stopped",
            "x": [last] * len(stopped),
            "y": short(stopped["forecast"]),
            "text": [literal(label) for label in stopped["label"]],
            "marker": {"color": GREY, "symbol": "x-thin", "size": 7, "line": {"color": GREY, "width": 1.5}},
            "hovertemplate": "%{text}<br>expected: %{y:.5g}<extra></extra>",
        }
    )
    if facts.winner is not None and facts.winner["status"] == FINISHED:
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": "winner",
                "x": [int(facts.winner["best_epoch"])],
                "y": short([facts.winner["val_mse_mean"]]),
                "marker": {"color": FOREGROUND, "symbol": "diamond", "size": 11},
                "hovertemplate": "winner, epoch %{x}: %{y:.5g}<extra></extra>",
            }
        )
    trained = int((facts.epochs["epoch"] > 0).sum())
    whole = len(trials) * last * n_splits
    return Figure(
        name="halving",
        title="Who was stopped where",
        caption=f"Mean validation MSE of every trial up to where it was given up, and what was expected of it at its "
        f"last epoch. {trained:,} epochs of single folds were trained; all of {len(trials)} trials would have been up "
        f"to {whole:,}.",
        data=traces,
        layout={"xaxis": axis("epoch"), "yaxis": log_axis(MSE_TITLE, means["mean"])},
        height=460,
    )


def _many(
    curves: dict[str, pd.DataFrame], trials: pd.DataFrame, name: str, colour: str, width: float
) -> dict[str, Any]:
    """The curves of some trials as one trace, with gaps between them."""
    x: list[int | None] = []
    y: list[float | None] = []
    text: list[str] = []
    for trial_id, label in zip(trials["trial_id"], trials["label"], strict=True):
        curve = curves.get(str(trial_id))
        if curve is None:
            continue
        x += [*curve["epoch"].tolist(), None]
        y += [*short(curve["mean"]), None]
        text += [literal(label)] * (len(curve) + 1)
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": x,
        "y": y,
        "text": text,
        "line": {"color": colour, "width": width},
        "opacity": 0.7,
        "hovertemplate": "%{text}<br>epoch %{x}: %{y:.5g}<extra></extra>",
    }
