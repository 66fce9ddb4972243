"""All trials: the table that can be sorted, what their settings have to do with their error, and their differences."""

import math
from importlib.util import find_spec
from typing import Any

import numpy as np
import pandas as pd

from search.comparison import compare
from search.ledger import FINISHED, STOPPED
from search.paired_test import SIGNIFICANCE, verdict
from search.report.facts import Facts
from search.report.figures import BLUE, FOREGROUND, GREY, Figure, axis, literal, log_axis, pale, short
from search.tables import ROUNDING

MAX_DIFFERENCES = 40
"""So many differences from the winner are drawn."""
MAX_KINDS = 12
"""So many kinds of hidden layers have names of their own in a figure."""
MAX_TICKS = 8
"""Values are named one by one on an axis where there are no more than so many."""
MIN_FOR_IMPORTANCE = 8
"""From fewer trials nothing can be said of what matters."""
MAX_FOR_IMPORTANCE = 200
"""More trials than so many add to the time, and little to what is said."""
_CHOICES = {
    "code_size": "code size",
    "hidden_depth": "hidden layers",
    "hidden_widths": "hidden widths",
    "widest_hidden": "widest hidden layer",
    "hidden_activation": "hidden activation",
    "code_activation": "code activation",
    "init": "start",
    "learning_rate": "learning rate",
    "batch_size": "batch size",
    "weight_decay": "weight decay",
    "learning_rate_schedule": "schedule",
    "dropout": "dropout",
    "noise_std": "noise",
    "mask_fraction": "mask",
}
"""What a configuration can differ in."""
_LOGARITHMIC = ("code_size", "widest_hidden", "learning_rate", "batch_size")
_WHERE_KNOWN = ("rung", "error", "dead_code_units_mean", "probe_score", "probe_knn_score")
"""Columns that are left out where they say nothing."""
_OF_LAYERS = ("hidden_depth", "hidden_widths", "widest_hidden")
"""What the layer sizes say already."""


def trials_table(facts: Facts) -> dict[str, Any]:
    """The table as the page's script takes it: columns with their kind, and rows.

    A column whose values are all alike is left out, except for what every table has.
    """
    trials = facts.trials.sort_values(["rank", "val_mse_mean", "number"], na_position="last")
    judged = [
        "" if pd.isna(p) or status == STOPPED else "same" if p == 1 else verdict(mean - pca, p, "unsure")
        for mean, pca, p, status in zip(
            *(trials[name] for name in ("val_mse_mean", "pca_val_mse_mean", "pca_p_value", "status")), strict=True
        )
    ]
    with_choices = choices(trials)
    always: list[tuple[str, str, Any]] = [
        ("rank", "rank", trials["rank"]),
        ("trial_id", "trial", trials["trial_id"]),
        ("layer_sizes", "layer sizes", trials["layer_sizes"]),
    ]
    varied = [
        (name, title, with_choices[name])
        for name, title in _CHOICES.items()
        if name not in _OF_LAYERS and name in with_choices
    ]
    results: list[tuple[str, str, Any]] = [
        ("best_epoch", "best epoch", trials["best_epoch"]),
        ("val_mse_mean", "validation MSE", trials["val_mse_mean"]),
        ("val_mse_se", "± se", trials["val_mse_se"]),
        ("val_fve_mean", "FVE", trials["val_fve_mean"]),
        ("pca_val_mse_mean", "PCA MSE", trials["pca_val_mse_mean"]),
        ("vs_pca", "vs PCA", judged),
        ("probe_score", "probe", trials["probe_score"]),
        ("probe_knn_score", "k-NN", trials["probe_knn_score"]),
        ("dead_code_units_mean", "dead units", trials["dead_code_units_mean"]),
        ("n_parameters", "parameters", trials["n_parameters"]),
        ("epochs", "epochs", trials["epochs"]),
        ("fit_seconds", "seconds", trials["fit_seconds"]),
        ("status", "status", trials["status"]),
        ("rung", "rung", trials["rung"]),
        ("error", "error", trials["error"]),
    ]
    columns = []
    cells = []
    for name, title, values in [*always, *varied, *results]:
        of_column = [_cell(value) for value in values]
        if name in _WHERE_KNOWN and not any(of_column):
            continue
        is_number = all(value is None or isinstance(value, int | float) for value in of_column)
        columns.append({"name": name, "title": title, "number": is_number})
        cells.append(of_column)
    winner = None if facts.selection is None else facts.selection.trial_id
    return {"columns": columns, "rows": [list(row) for row in zip(*cells, strict=True)], "winner": winner}


def choices(trials: pd.DataFrame) -> pd.DataFrame:
    """What the trials' configurations differ in, a column for each choice that varies.

    Hidden widths are names where they are few, as in a grid, else the number of units of the widest layer, 1 if there
    is none.
    """
    hidden = [str(sizes).split("-")[1:-1] for sizes in trials["layer_sizes"]]
    names = ["-".join(sizes) or "none" for sizes in hidden]
    are_few = len(set(names)) <= MAX_KINDS
    widest = [max(map(int, sizes), default=1) for sizes in hidden]
    table = trials.assign(hidden_widths=names if are_few else "", widest_hidden=1 if are_few else widest)
    for name in ("hidden_activation", "dropout"):  # which mean nothing without hidden layers
        table[name] = table[name].where(table["hidden_depth"] > 0)
    return table[[name for name in _CHOICES if len(set(table[name].dropna())) > 1]]


def trial_figures(facts: Facts) -> list[Figure]:
    """Parallel coordinates, what matters, and the differences from the winner; each where it says something."""
    finished = facts.trials[(facts.trials["status"] == FINISHED) & facts.trials["val_mse_mean"].notna()]
    varied = choices(finished)
    figures = []
    if len(finished) > 2 and len(varied.columns) > 1:
        figures.append(_parallel_coordinates(finished, varied))
    differ = finished["val_mse_mean"].max() > finished["val_mse_mean"].min() * (1 + ROUNDING)  # or it explains noise
    able = differ and len(finished) >= MIN_FOR_IMPORTANCE and len(varied.columns) > 1
    if able and find_spec("optuna") is not None:
        figures.append(_importance(finished, varied))
    if facts.selection is not None and len(finished) > 1:
        figures.append(_differences(facts, finished))
    return figures


def _cell(value: Any) -> Any:
    """A value as JSON has it."""
    if pd.isna(value):
        return None
    if isinstance(value, float | np.floating):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return int(value) if isinstance(value, int | np.integer) else str(value)


def _place(name: str) -> tuple[int, list[int], str]:
    """Where a name stands on an axis: hidden widths by their number and size, none first."""
    widths = [int(width) for width in name.split("-") if width.isdigit()]
    return (len(widths), widths, "" if name == "none" else name)


def _parallel_coordinates(trials: pd.DataFrame, varied: pd.DataFrame) -> Figure:
    dimensions: list[dict[str, Any]] = []
    for name in varied:
        values = varied[name]
        if values.dtype.kind in "iuf" and name in _LOGARITHMIC:
            logs = np.log10(values.astype(float))
            ticks = sorted(values.unique())[:: max(1, values.nunique() // 6)]
            shown = {"tickvals": short(np.log10(ticks)), "ticktext": [f"{tick:g}" for tick in ticks]}
            dimensions.append({"label": _CHOICES[str(name)], "values": short(logs), **shown})
        elif values.dtype.kind in "iuf":
            few = sorted(values.dropna().unique()) if values.nunique() <= MAX_TICKS else None
            shown = {} if few is None else {"tickvals": short(few), "ticktext": [f"{value:g}" for value in few]}
            dimensions.append({"label": _CHOICES[str(name)], "values": short(values.fillna(0)), **shown})
        else:
            values = values.astype("string").fillna("none")
            names = sorted(map(str, values.unique()), key=_place)
            places = {text: number for number, text in enumerate(names)}
            ticks_ = {"tickvals": list(places.values()), "ticktext": [literal(text, 18) for text in names]}
            dimensions.append(
                {"label": _CHOICES[str(name)], "values": [places[str(value)] for value in values], **ticks_}
            )
    mse = trials["val_mse_mean"]
    if mse.max() > 4 * mse.min() > 0:
        scale = log_axis("", mse)
        ticks_ = {"tickvals": short(np.log10(scale["tickvals"])), "ticktext": scale["ticktext"]}
        dimensions.append({"label": "MSE", "values": short(np.log10(mse)), **ticks_})
    else:
        dimensions.append({"label": "MSE", "values": short(mse)})
    trace = {
        "type": "parcoords",
        "dimensions": dimensions,
        "line": {"color": short(mse.rank()), "colorscale": [[0, BLUE], [1, pale(GREY, 0.25)]], "showscale": False},
        "rangefont": {"color": "rgba(0,0,0,0)"},
    }
    return Figure(
        name="parallel-coordinates",
        title="All choices at once",
        caption="A line is a finished trial, the bluer the lower its error. Drag along an axis to keep the lines that "
        "pass there, drag an axis by its name to move it.",
        data=[trace],
        layout={"margin": {"l": 60, "r": 60, "t": 50, "b": 30}},
        height=400,
    )


def _importance(trials: pd.DataFrame, varied: pd.DataFrame) -> Figure:
    """By functional analysis of variance over a forest that predicts the logarithm of the error."""
    import optuna  # an extra, and slow to import

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    n_trials = len(trials)
    every = -(-n_trials // MAX_FOR_IMPORTANCE)
    trials, varied = trials.iloc[::every], varied.iloc[::every]
    space: dict[str, Any] = {}
    varied = varied.apply(
        lambda values: values.fillna(0) if values.dtype.kind in "iuf" else values.astype("string").fillna("none")
    )
    for name in varied:
        values = varied[name]
        if values.dtype.kind in "iuf" and name in _LOGARITHMIC:
            space[str(name)] = optuna.distributions.FloatDistribution(
                float(values.min()), float(values.max()), log=True
            )
        elif values.dtype.kind in "iuf":
            space[str(name)] = optuna.distributions.FloatDistribution(float(values.min()), float(values.max()))
        else:
            space[str(name)] = optuna.distributions.CategoricalDistribution(sorted(map(str, values.unique())))
    study = optuna.create_study()
    for (_, row), mse in zip(varied.iterrows(), trials["val_mse_mean"], strict=True):
        parameters = {
            name: str(row[name])
            if isinstance(space[name], optuna.distributions.CategoricalDistribution)
            else float(row[name])
            for name in space
        }
        study.add_trial(
            optuna.trial.create_trial(params=parameters, distributions=space, value=math.log(max(mse, 1e-30)))
        )
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    names = list(found)[::-1]
    which = f"{len(trials)} of the {n_trials} finished trials" if every > 1 else f"the {n_trials} finished trials"
    return Figure(
        name="importance",
        title="Which choice matters",
        caption=f"Part of the variance of log MSE over {which} that each choice explains (functional ANOVA over a "
        "random forest, by Optuna). It speaks of the configurations that were tried and finished: a choice whose good "
        "values alone were tried looks unimportant, and choices that go together share.",
        data=[
            {
                "type": "bar",
                "orientation": "h",
                "y": [_CHOICES[name] for name in names],
                "x": short(found[name] for name in names),
                "marker": {"color": BLUE},
                "hovertemplate": "%{y}: %{x:.2f}<extra></extra>",
            }
        ],
        layout={"xaxis": axis("part of the variance", range=[0, 1]), "yaxis": axis("")},
        height=130 + 30 * len(names),
    )


def _differences(facts: Facts, finished: pd.DataFrame) -> Figure:
    selection = facts.selection
    assert selection is not None
    shown = finished.sort_values(["rank", "number"]).head(MAX_DIFFERENCES)
    shown = shown[shown["trial_id"] != selection.trial_id]
    table = compare(facts.folds, selection.trial_id).loc[shown["trial_id"]]
    differs = (table["p_value"] <= SIGNIFICANCE).to_numpy()
    labels = np.array([literal(label) for label in shown["label"]], dtype=object)
    places = np.arange(len(labels))  # not the labels: cut short, some may be the same
    traces = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": name,
            "y": places[mask].tolist(),
            "text": labels[mask].tolist(),
            "x": short(table["difference"][mask]),
            "error_x": {"type": "data", "array": short(table["half_width"][mask]), "thickness": 1.5, "width": 3},
            "customdata": short(table["p_value"][mask]),
            "marker": {"color": colour, "symbol": symbol, "size": 9, "line": {"color": colour, "width": 2}},
            "hovertemplate": "%{text}<br>%{x:.3g}, p = %{customdata:.2g}<extra></extra>",
        }
        for name, mask, colour, symbol in (
            ("differs from the winner", differs, BLUE, "circle"),
            ("cannot be told apart", ~differs, GREY, "circle-open"),
        )
        if mask.any()
    ]
    line = {"type": "line", "yref": "paper", "y0": 0, "y1": 1, "x0": 0, "x1": 0, "line": {"color": FOREGROUND}}
    return Figure(
        name="differences",
        title="Differences from the winner",
        caption="What each trial has more of validation MSE, in the same folds, with its 95 % interval, corrected for "
        "the overlap of the folds' training rows. Whose interval holds 0 cannot be told apart from the winner.",
        data=traces,
        layout={
            "xaxis": axis("difference of MSE"),
            "yaxis": axis("", autorange="reversed", tickvals=places.tolist(), ticktext=labels.tolist(), zeroline=False),
            "shapes": [line],
        },
        height=150 + 22 * len(shown),
    )
