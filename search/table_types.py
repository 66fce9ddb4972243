"""The columns of the tables, in their order, with the type that each has in pandas."""

from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from ae_model.configuration import ACTIVATION_NAMES, INIT_NAMES, SCHEDULE_NAMES
from search.ledger import DIVERGED, FAILED, FINISHED, PENDING, RUNNING, STOPPED

TEXT, WHOLE, NUMBER = "string", "Int64", "float64"
"""A text or missing; a whole number or missing; a number, NaN where it is missing."""

_STATUS = (PENDING, RUNNING, FINISHED, DIVERGED, FAILED, STOPPED)

TRIAL_TYPES: dict[str, str | tuple[str, ...]] = {
    "trial_id": TEXT,
    "number": WHOLE,
    "status": _STATUS,
    "layer_sizes": TEXT,
    "code_size": WHOLE,
    "hidden_depth": WHOLE,
    "hidden_activation": ACTIVATION_NAMES,
    "code_activation": ACTIVATION_NAMES,
    "init": INIT_NAMES,
    "learning_rate": NUMBER,
    "batch_size": WHOLE,
    "weight_decay": NUMBER,
    "learning_rate_schedule": SCHEDULE_NAMES,
    "schedule_epochs": WHOLE,
    "dropout": NUMBER,
    "noise_std": NUMBER,
    "mask_fraction": NUMBER,
    "n_parameters": WHOLE,
    "compression_ratio": NUMBER,
    "epochs": WHOLE,
    "rung": WHOLE,
    "forecast": NUMBER,
    "n_repeats": WHOLE,
    "best_epoch": WHOLE,
    "val_mse_mean": NUMBER,
    "val_mse_std": NUMBER,
    "val_mse_se": NUMBER,
    "val_fve_mean": NUMBER,
    "train_mse_mean": NUMBER,
    "pca_val_mse_mean": NUMBER,
    "pca_p_value": NUMBER,
    "dead_code_units_mean": NUMBER,
    "probe_score": NUMBER,
    "probe_knn_score": NUMBER,
    "pca_probe_score": NUMBER,
    "rank": WHOLE,
    "fit_seconds": NUMBER,
    "host": TEXT,
    "error": TEXT,
}
"""Of the table of trials: a type, or the names that a category can have."""

FOLD_TYPES: dict[str, str | tuple[str, ...]] = {
    "trial_id": TEXT,
    "number": WHOLE,
    "fold": WHOLE,
    "repeat": WHOLE,
    "best_epoch": WHOLE,
    "train_mse": NUMBER,
    "val_mse": NUMBER,
    "val_fve": NUMBER,
    "dead_code_units": WHOLE,
    "pca_val_mse": NUMBER,
    "probe_score": NUMBER,
    "probe_knn_score": NUMBER,
    "pca_probe_score": NUMBER,
}
"""Of the table of folds."""

EPOCH_TYPES: dict[str, str | tuple[str, ...]] = {
    "trial_id": TEXT,
    "number": WHOLE,
    "epoch": WHOLE,
    "fold": WHOLE,
    "train_mse": NUMBER,
    "val_mse": NUMBER,
    "val_fve": NUMBER,
    "dead_code_units": WHOLE,
}
"""Of the table of epochs."""


def typed(table: pd.DataFrame, types: Mapping[str, str | tuple[str, ...]]) -> pd.DataFrame:
    """These columns of a table, each with its type, whatever the table holds: also where it is empty.

    A category has all the names that it can have, in alphabetical order, so that tables of several searches have the
    same types, and can be put one below the other.

    Args:
        table: A table with at least these columns.
        types: The type of each column, or the names that a category can have.

    Examples:
        >>> typed(pd.DataFrame({"init": ["pca"], "rung": [None]}), {"init": ("random", "pca"), "rung": "Int64"}).dtypes
        init    category
        rung       Int64
        dtype: object
    """
    dtypes: dict[Hashable, Any] = {
        name: kind if isinstance(kind, str) else _category(table[name], kind) for name, kind in types.items()
    }
    return table[list(types)].astype(dtypes)


def _category(values: "pd.Series[str]", names: tuple[str, ...]) -> pd.CategoricalDtype:
    # A name that only another version knows is kept, and not made a missing value.
    return pd.CategoricalDtype(sorted({*names, *values.dropna().unique()}))
