"""Trials as a table for the terminal."""

from typing import Any

import pandas as pd
from rich.markup import escape
from rich.table import Table

from search.ledger import ENDED, FINISHED, STOPPED
from search.paired_test import verdict

_CHOICES = ("hidden", "code", "start", "rate", "batch", "decay", "schedule", "dropout", "noise", "mask", "repeats")
"""Columns of the table that are shown where they vary."""


def trials_table(trials: pd.DataFrame, top: int | None = None) -> Table:
    """Trials as a table for the terminal: what was tried, as far as it varies, and what it gave.

    Args:
        trials: What `load_trials` returned, in the order of the rows.
        top: The number of rows; all trials if None.
    """
    columns: dict[str, list[str]] = {
        **({"search": [escape(name) for name in trials["search"]]} if "search" in trials else {}),
        "rank": _numbers(trials["rank"], ".0f"),
        "trial": list(trials["trial_id"]),
        "layer sizes": list(trials["layer_sizes"]),
        "hidden": list(trials["hidden_activation"].astype("string").where(trials["hidden_depth"] > 0, "")),
        "code": list(trials["code_activation"]),
        "start": list(trials["init"]),
        "rate": _numbers(trials["learning_rate"], "g"),
        "batch": _numbers(trials["batch_size"], "d"),
        "decay": _numbers(trials["weight_decay"], "g"),
        "schedule": [
            name if pd.isna(epochs) else f"{name} {epochs}"
            for name, epochs in zip(trials["learning_rate_schedule"], trials["schedule_epochs"], strict=True)
        ],
        "dropout": _numbers(trials["dropout"].where(trials["hidden_depth"] > 0), "g"),
        "noise": _numbers(trials["noise_std"], "g"),
        "mask": _numbers(trials["mask_fraction"], "g"),
        "epoch": _numbers(trials["best_epoch"], ".0f"),
        "validation MSE": [
            f"{mse_text(mean)} ± {mse_text(se)}" if pd.notna(mean) else ""
            for mean, se in zip(trials["val_mse_mean"], trials["val_mse_se"], strict=True)
        ],
        "repeats": _numbers(trials["n_repeats"], "d"),
        "FVE": _numbers(trials["val_fve_mean"], ".3f"),
        "PCA": ["" if pd.isna(mse) else mse_text(mse) for mse in trials["pca_val_mse_mean"]],
        "vs PCA": [
            # What was stopped on its way is not judged.
            ""
            if pd.isna(p_value) or status == STOPPED
            else "same"
            if p_value == 1
            else verdict(mean - pca, p_value, "unsure")
            for mean, pca, p_value, status in zip(
                *(trials[name] for name in ("val_mse_mean", "pca_val_mse_mean", "pca_p_value", "status")), strict=True
            )
        ],
        "dead": _numbers(trials["dead_code_units_mean"], ".1f"),
        "status": [
            _how_far(status, epochs, rung)
            for status, epochs, rung in zip(trials["status"], trials["epochs"], trials["rung"], strict=True)
        ],
    }
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    usual = {"status": {FINISHED}, "dead": {"", "0.0"}}
    shown = {
        name: cells
        for name, cells in columns.items()
        if (not set(cells) <= usual[name] if name in usual else name not in _CHOICES or len(set(cells) - {""}) > 1)
    }
    for name in shown:
        is_text = name in ("search", "trial", "layer sizes", "hidden", "code", "start", "schedule", "vs PCA", "status")
        table.add_column(name, justify="left" if is_text else "right", no_wrap=True)
    for row in list(zip(*shown.values(), strict=True))[:top]:
        table.add_row(*row)
    return table


def plain_table(trials: pd.DataFrame, top: int | None = None) -> Table:
    """The columns of a table as they are, floats with six digits.

    Args:
        trials: Columns of what `load_trials` returned, in the order of the rows.
        top: The number of rows; all if None.
    """
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    cells = []
    for name in trials:
        is_number = pd.api.types.is_numeric_dtype(trials[name].dtype)
        table.add_column(escape(str(name)), justify="right" if is_number else "left", no_wrap=True)
        is_float = pd.api.types.is_float_dtype(trials[name].dtype)
        cells.append(
            [escape(text) for text in _numbers(trials[name].head(top or len(trials)), ".6g" if is_float else "")]
        )
    for row in zip(*cells, strict=True):
        table.add_row(*row)
    return table


def _how_far(status: str, epochs: Any, rung: Any) -> str:
    """A trial's status, and where it was left."""
    if pd.isna(epochs) or (status in ENDED and status != STOPPED):
        return status
    after = "" if pd.isna(rung) else f"rung {rung}, "
    return f"{status} ({after}epoch {epochs})"


def mse_text(value: float) -> str:
    """An MSE with five digits after the point, where it is not so large that they mean nothing."""
    return f"{value:.5f}" if abs(value) < 1000 else f"{value:.4g}"


def _numbers(column: "pd.Series[Any]", pattern: str) -> list[str]:
    return ["" if pd.isna(value) else format(value, pattern) for value in column]
