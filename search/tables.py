"""Ledger -> tidy DataFrames of scalar columns -> CSV and Parquet."""

from pathlib import Path

import numpy as np
import pandas as pd

from search.files import replace_file
from search.ledger import FINISHED
from search.ledger_reader import Rows, read_baselines, read_configurations, read_epochs, read_trials

TRIAL_COLUMNS = [
    "trial_id", "number", "status", "layer_sizes", "code_size", "hidden_depth", "hidden_activation", "code_activation",
    "learning_rate", "batch_size", "n_parameters", "compression_ratio", "epochs", "best_epoch", "val_mse_mean",
    "val_mse_std", "val_mse_se", "val_fve_mean", "train_mse_mean", "pca_val_mse_mean", "dead_code_units_mean", "rank",
    "fit_seconds", "host", "error",
]  # fmt: skip
FOLD_COLUMNS = [
    "trial_id", "number", "fold", "best_epoch", "train_mse", "val_mse", "val_fve", "dead_code_units", "pca_val_mse",
]  # fmt: skip
EPOCH_COLUMNS = ["trial_id", "number", "epoch", "fold", "train_mse", "val_mse", "val_fve", "dead_code_units"]


def load_epochs(directory: str | Path) -> pd.DataFrame:
    """One row per trial, epoch and fold, with the columns `EPOCH_COLUMNS`.

    Raises:
        UserError: If the directory is not a search directory.
    """
    return _frame(read_epochs(directory)).astype(dict.fromkeys(("train_mse", "val_mse", "val_fve"), np.float64))


def load_folds(directory: str | Path) -> pd.DataFrame:
    """One row per trial and fold, at the trial's best epoch so far, with the columns `FOLD_COLUMNS`.

    Raises:
        UserError: If the directory is not a search directory.
    """
    return _folds(load_epochs(directory), _configurations(directory), _frame(read_baselines(directory)))


def load_trials(directory: str | Path) -> pd.DataFrame:
    """One row per trial, with the columns `TRIAL_COLUMNS`; also while the search is running.

    Raises:
        UserError: If the directory is not a search directory.
    """
    trials = _configurations(directory)
    epochs = load_epochs(directory)
    folds = _folds(epochs, trials, _frame(read_baselines(directory)))
    by_trial = folds.groupby("trial_id")
    summary = pd.DataFrame(
        {
            "epochs": epochs.groupby("trial_id")["epoch"].max(),
            "best_epoch": by_trial["best_epoch"].first(),
            "val_mse_mean": by_trial["val_mse"].mean(),
            "val_mse_std": by_trial["val_mse"].std(ddof=1),
            "val_mse_se": by_trial["val_mse"].std(ddof=1) / np.sqrt(by_trial["val_mse"].size()),
            "val_fve_mean": by_trial["val_fve"].mean(),
            "train_mse_mean": by_trial["train_mse"].mean(),
            "pca_val_mse_mean": by_trial["pca_val_mse"].mean(),
            "dead_code_units_mean": by_trial["dead_code_units"].mean(),
        }
    )
    trials = trials.join(summary, on="trial_id")
    ranked = trials["val_mse_mean"].where(trials["status"] == FINISHED)
    trials["rank"] = ranked.rank(method="min")
    integers = dict.fromkeys(("epochs", "best_epoch", "rank"), "Int64")
    return trials.astype(integers)[TRIAL_COLUMNS]


def configuration_labels(trials: pd.DataFrame) -> list[str]:
    """What to call each trial: its layer sizes, and what else varies among the trials."""
    varies = {name for name in ("code_activation", "learning_rate", "batch_size") if len(trials[name].unique()) > 1}
    if len(trials.loc[trials["hidden_depth"] > 0, "hidden_activation"].unique()) > 1:
        varies.add("hidden_activation")
    labels = []
    for _, row in trials.iterrows():
        parts = [str(row["layer_sizes"])]
        if "hidden_activation" in varies and row["hidden_depth"]:
            parts.append(f"{row['hidden_activation']} hidden")
        if "code_activation" in varies:
            parts.append(f"{row['code_activation']} code")
        if "learning_rate" in varies:
            parts.append(f"rate {row['learning_rate']:g}")
        if "batch_size" in varies:
            parts.append(f"batch {row['batch_size']}")
        labels.append(", ".join(parts))
    return labels


def write_tables(directory: str | Path) -> None:
    """Write `trials.csv`, `folds.csv` and `epochs.parquet` beside the ledger; each appears whole or not at all."""
    directory = Path(directory)
    replace_file(directory / "trials.csv", lambda path: load_trials(directory).to_csv(path, index=False))
    replace_file(directory / "folds.csv", lambda path: load_folds(directory).to_csv(path, index=False))
    replace_file(directory / "epochs.parquet", lambda path: load_epochs(directory).to_parquet(path, index=False))


def _configurations(directory: str | Path) -> pd.DataFrame:
    """The columns of `trials.csv` that are known before a trial is trained."""
    trials = _frame(read_trials(directory)).astype({"fit_seconds": np.float64})
    known = read_configurations(directory)
    configurations = [known[trial_id] for trial_id in trials["trial_id"]]
    return trials.assign(
        layer_sizes=[c.text for c in configurations],
        code_size=[c.code_size for c in configurations],
        hidden_depth=[c.hidden_depth for c in configurations],
        n_parameters=[c.n_parameters for c in configurations],
        compression_ratio=[c.compression_ratio for c in configurations],
        hidden_activation=[c.hidden_activation for c in configurations],
        code_activation=[c.code_activation for c in configurations],
        learning_rate=[c.learning_rate for c in configurations],
        batch_size=[c.batch_size for c in configurations],
    )


def _folds(epochs: pd.DataFrame, trials: pd.DataFrame, baselines: pd.DataFrame) -> pd.DataFrame:
    # An epoch in which a fold diverged has no mean; the best epoch is one in which no fold did.
    means = epochs.groupby(["trial_id", "epoch"])["val_mse"].agg(lambda values: values.mean(skipna=False))
    best = means.dropna().groupby("trial_id").idxmin().map(lambda key: key[1]).rename("best_epoch")
    folds = epochs.join(best, on="trial_id")
    folds = folds[folds["epoch"] == folds["best_epoch"]].drop(columns="epoch")
    folds = folds.merge(trials[["trial_id", "code_size"]], on="trial_id").merge(
        baselines, on=["code_size", "fold"], how="left"
    )
    return folds.sort_values(["number", "fold"], ignore_index=True).astype({"best_epoch": np.int64})[FOLD_COLUMNS]


def _frame(rows: Rows) -> pd.DataFrame:
    columns, values = rows
    return pd.DataFrame(values, columns=columns)
