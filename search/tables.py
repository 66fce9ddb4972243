"""Ledger -> tidy DataFrames of scalar columns -> CSV and Parquet."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from ae_model.patience import START_GAIN
from search.files import replace_file
from search.ledger import FINISHED
from search.ledger_reader import (
    Rows,
    read_baselines,
    read_configurations,
    read_epochs,
    read_probes,
    read_trials,
    read_value,
)
from search.paired_test import corrected_p_values, differences_from_pca, standard_errors_of_means
from search.several_searches import Directories, of_searches
from search.table_types import EPOCH_TYPES, FOLD_TYPES, TRIAL_TYPES, typed

ROUNDING = 1e-5
"""By what part the results of equal trials may differ: a network computes in float32."""
_LABELS = {
    "hidden_activation": "{} hidden",
    "code_activation": "{} code",
    "init": "{} start",
    "learning_rate": "rate {:g}",
    "batch_size": "batch {}",
    "weight_decay": "decay {:g}",
    "learning_rate_schedule": "{}",
    "dropout": "dropout {:g}",
    "noise_std": "noise {:g}",
    "mask_fraction": "mask {:g}",
}
"""How a label says what tells a trial from others."""
_OF_HIDDEN = ("hidden_activation", "dropout")
"""What means nothing without a hidden layer."""
TRIAL_COLUMNS, FOLD_COLUMNS, EPOCH_COLUMNS = list(TRIAL_TYPES), list(FOLD_TYPES), list(EPOCH_TYPES)


def load_epochs(directory: Directories) -> pd.DataFrame:
    """All that was reported: one row per trial, epoch and fold.

    Its columns: the trial by `trial_id` (string) and `number` (Int64); the `epoch` (Int64), which is 0 at the start at
    PCA; the `fold` (Int64), from 0, those of repeats after the first ones; and of this fold alone `train_mse` and
    `val_mse` (floats, scaled units squared), the first over the epoch, each sample before its own batch's step;
    `val_fve` (float, a fraction of variance, at most 1); `dead_code_units` (Int64), units of the code that are zero for
    every validation sample. NaN is where there is none, as the training MSE of epoch 0, or where training diverged.

    Args:
        directory: The search's directory. Of several, the tables stand one below the other, with a first column
            `search` (category): the directory's name, after as many of its parents as tell it from the others.

    Raises:
        UserError: If a directory is not a search directory, is given twice, or none is given.
    """
    return of_searches(directory, lambda one: typed(_epochs(one), EPOCH_TYPES))


def load_folds(directory: Directories) -> pd.DataFrame:
    """One row per trial and fold, at the trial's best epoch so far.

    The folds of a repeat are there if all of them have come as far as the trial's first ones.

    Its columns: the trial by `trial_id` (string) and `number` (Int64); the `fold` (Int64), from 0, and the `repeat`
    that it belongs to (Int64), 0 for the first `n_splits` folds, 1 for as many that follow; the trial's `best_epoch`
    (Int64), the same for all its folds; and of this fold alone, at that epoch, `train_mse`, `val_mse`, `val_fve`,
    `dead_code_units` as in `load_epochs`, and `pca_val_mse` (float, scaled units squared), of PCA with as many
    components as the code has units, fitted on the fold's training rows. Where there are labels, and the trial has
    finished, of the first folds: `probe_score`, `probe_knn_score` and `pca_probe_score` (floats), as in `load_trials`.

    Args:
        directory: The search's directory, or several, as in `load_epochs`.

    Raises:
        UserError: As `load_epochs`.
    """
    return of_searches(directory, _load_folds)


def load_trials(directory: Directories) -> pd.DataFrame:
    """One row per trial; also while the search is running.

    Its columns, with what they are taken over:

    * What the trial is: `trial_id` (string), `number` (Int64, from 1), `layer_sizes` (string), `code_size`,
      `hidden_depth`, `batch_size`, `schedule_epochs`, `n_parameters` (Int64), `hidden_activation`, `code_activation`,
      `init`, `learning_rate_schedule` (categories), `learning_rate`, `weight_decay`, `dropout`, `noise_std` (scaled
      units), `mask_fraction`, `compression_ratio` (floats).
    * How far it is: `status` (category); `epochs` (Int64), as far as they are recorded; `fit_seconds` (float, seconds
      of all its folds together); `host`, `error` (string); of one that was stopped, its `rung` (Int64, from 1) and its
      `forecast` (float, scaled units squared).
    * Its result, at its `best_epoch` (Int64), the one with the lowest validation MSE in the mean over the folds; where
      there is none yet, all of this is missing. Over the folds of all its `n_repeats` (Int64) cross-validations:
      `val_mse_mean` and `val_mse_std` (ddof 1), `val_fve_mean`, `train_mse_mean`, `pca_val_mse_mean`,
      `dead_code_units_mean`, `pca_p_value` (floats; MSEs in scaled units squared, FVE a fraction of variance), and
      `val_mse_se` (float), the standard error of one cross-validation, in the root mean square over the repeats.
    * How useful its code is, where there are labels and it has finished, in the mean over the first folds:
      `probe_score` (float), the accuracy of a linear probe on the code, or R2 where labels are quantities, for rows
      that neither has seen; `probe_knn_score` (float), that of the five nearest neighbours; `pca_probe_score` (float),
      that of a linear probe on as many principal components.
    * Its place among the finished trials of its search: `rank` (Int64, from 1).

    A category has all the names that it can have, whichever of them the search holds; `results/README.md` explains each
    column.

    Args:
        directory: The search's directory, or several, as in `load_epochs`.

    Raises:
        UserError: As `load_epochs`.

    Examples:
        `load_trials(directory).groupby("init")["val_mse_mean"].min()`: which start does better?
    """
    return of_searches(directory, _load_trials)


def load_validation_curve(directory: str | Path, trial_id: str) -> pd.DataFrame:
    """A trial's validation MSE by epoch, over the folds that its numbers are taken from, as in `load_trials`.

    Args:
        directory: The search's directory.
        trial_id: The trial.

    Returns:
        The columns `epoch`, `mean` and `se`; no rows if the trial has no epoch.

    Raises:
        UserError: If the directory is not a search directory.
    """
    epochs = load_epochs(directory)
    return validation_curve(epochs, trial_id, _n_splits(directory) or epochs["fold"].nunique())


def validation_curve(epochs: pd.DataFrame, trial_id: str, n_splits: int) -> pd.DataFrame:
    """`load_validation_curve` of epochs that were loaded before.

    Args:
        epochs: What `load_epochs` returned.
        trial_id: The trial.
        n_splits: The number of folds of one cross-validation.
    """
    epochs = _counting(epochs[epochs["trial_id"] == trial_id], n_splits)
    return pd.DataFrame(
        {
            "epoch": epochs.loc[epochs["fold"] == 0, "epoch"].to_numpy(np.int64),
            "mean": _of_folds(epochs, _mean, "val_mse"),
            "se": _of_folds(epochs, standard_errors_of_means, "val_mse"),
        }
    )


def ranks(val_mse_mean: np.ndarray, repeated: np.ndarray | None = None) -> np.ndarray:
    """The rank of each trial, 1 for the lowest MSE; NaN where there is no MSE.

    Trials are equal, and share the lower rank, where the difference is rounding: such are all that do not leave PCA.
    Those that were repeated come first. They were the best before that, and their means are over other folds than those
    of the others: the best of many means is too low by chance, and that chance is gone from theirs.

    Args:
        val_mse_mean: Mean validation MSE of each trial.
        repeated: Whether each trial comes first because its mean is over repeats; none does if None.

    Examples:
        >>> ranks(np.array([0.3, np.nan, 0.1, 0.1 + 1e-9]))
        array([ 3., nan,  1.,  1.])
        >>> ranks(np.array([0.3, 0.2, 0.1]), np.array([True, True, False]))
        array([2., 1., 3.])
    """
    result = np.full(len(val_mse_mean), np.nan)
    last = np.zeros(len(val_mse_mean), bool) if repeated is None else ~repeated
    first, rank, of_last = -np.inf, 0, False
    order = np.lexsort((val_mse_mean, last & ~np.isnan(val_mse_mean), np.isnan(val_mse_mean)))
    for place, trial in enumerate(order[: np.count_nonzero(~np.isnan(val_mse_mean))], 1):
        if val_mse_mean[trial] > first * (1 + ROUNDING) or last[trial] != of_last:
            first, rank, of_last = val_mse_mean[trial], place, last[trial]
        result[trial] = rank
    return result


def configuration_labels(trials: pd.DataFrame) -> list[str]:
    """What to call each trial: its layer sizes, and what else varies among the trials."""
    deep = trials[trials["hidden_depth"] > 0]
    # A search that was run again with more epochs has schedules of several lengths.
    lengths = len(trials["schedule_epochs"].dropna().unique()) > 1
    varies = [
        name
        for name in _LABELS
        if len((deep if name in _OF_HIDDEN else trials)[name].unique()) > 1
        or (lengths and name == "learning_rate_schedule")
    ]
    labels = []
    for _, row in trials.iterrows():
        parts = [str(row["layer_sizes"])]
        for name in varies:
            if row["hidden_depth"] or name not in _OF_HIDDEN:
                parts.append(_LABELS[name].format(row[name]))
            if name == "learning_rate_schedule" and lengths and pd.notna(row["schedule_epochs"]):
                parts[-1] += f" of {row['schedule_epochs']} epochs"
        labels.append(", ".join(parts))
    return labels


def write_tables(directory: str | Path) -> None:
    """Write `trials.csv`, `folds.csv` and `epochs.parquet` beside the ledger; each appears whole or not at all."""
    directory = Path(directory)
    replace_file(directory / "trials.csv", lambda path: load_trials(directory).to_csv(path, index=False))
    replace_file(directory / "folds.csv", lambda path: load_folds(directory).to_csv(path, index=False))
    replace_file(directory / "epochs.parquet", lambda path: load_epochs(directory).to_parquet(path, index=False))


def _epochs(directory: str | Path) -> pd.DataFrame:
    return _frame(read_epochs(directory)).astype(dict.fromkeys(("train_mse", "val_mse", "val_fve"), np.float64))


def _load_folds(directory: str | Path) -> pd.DataFrame:
    epochs, n_splits = _epochs(directory), _n_splits(directory)
    folds = _folds(_counting(epochs, n_splits), _configurations(directory), _baselines(directory))
    return typed(_with_probes(folds, directory), FOLD_TYPES)


def _load_trials(directory: str | Path) -> pd.DataFrame:
    trials = _configurations(directory)
    epochs, n_splits = _epochs(directory), _n_splits(directory)
    folds = _folds(_counting(epochs, n_splits), trials, _baselines(directory))
    summary = pd.DataFrame(
        {
            "n_repeats": _of_folds(folds, lambda rows, repeats: np.full(len(rows), repeats), "val_mse"),
            "best_epoch": folds.loc[folds["fold"] == 0, "best_epoch"].to_numpy(),
            "val_mse_mean": _of_folds(folds, _mean, "val_mse"),
            "val_mse_std": _of_folds(folds, _std, "val_mse"),
            "val_mse_se": _of_folds(folds, standard_errors_of_means, "val_mse"),
            "val_fve_mean": _of_folds(folds, _mean, "val_fve"),
            "train_mse_mean": _of_folds(folds, _mean, "train_mse"),
            "pca_val_mse_mean": _of_folds(folds, _mean, "pca_val_mse"),
            "pca_p_value": _of_folds(folds, _pca_p_values, "val_mse", "pca_val_mse"),
            "dead_code_units_mean": _of_folds(folds, _mean, "dead_code_units"),
        },
        index=folds["trial_id"].unique(),
    )
    trials = trials.join(epochs.groupby("trial_id")["epoch"].max().rename("epochs"), on="trial_id")
    trials = trials.join(summary, on="trial_id").join(_probe_means(folds, directory), on="trial_id")
    mean = trials["val_mse_mean"].where(trials["status"] == FINISHED)
    trials["rank"] = ranks(mean.to_numpy(), _decided_by_repeats(trials, epochs, n_splits))
    return typed(trials, TRIAL_TYPES)


def _configurations(directory: str | Path) -> pd.DataFrame:
    """The columns of `trials.csv` that are known before a trial is trained."""
    trials = _frame(read_trials(directory)).astype({"fit_seconds": np.float64, "forecast": np.float64})
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
        init=[c.init for c in configurations],
        learning_rate=[c.learning_rate for c in configurations],
        batch_size=[c.batch_size for c in configurations],
        weight_decay=[c.weight_decay for c in configurations],
        learning_rate_schedule=[c.learning_rate_schedule for c in configurations],
        schedule_epochs=pd.array([c.schedule_epochs for c in configurations], dtype="Int64"),
        dropout=[c.dropout for c in configurations],
        noise_std=[c.noise_std for c in configurations],
        mask_fraction=[c.mask_fraction for c in configurations],
    )


def _baselines(directory: str | Path) -> pd.DataFrame:
    """PCA's validation MSE, with the types that a merge wants also where there is none."""
    return _frame(read_baselines(directory)).astype({"code_size": np.int64, "fold": np.int64, "pca_val_mse": float})


def _with_probes(folds: pd.DataFrame, directory: str | Path) -> pd.DataFrame:
    """With the columns of what was predicted from codes."""
    probes = _frame(read_probes(directory)).astype(
        {"code_size": np.int64, "fold": np.int64, "epoch": np.int64, "linear": float, "nearest": float}
    )
    is_pca = probes["trial_id"] == ""
    of_pca = probes.loc[is_pca, ["code_size", "fold", "linear"]].rename(columns={"linear": "pca_probe_score"})
    names = {"epoch": "best_epoch", "linear": "probe_score", "nearest": "probe_knn_score"}
    of_trials = probes[~is_pca].drop(columns="code_size").rename(columns=names)
    # Of a trial that was trained on since, they are at an epoch that is the best no more.
    folds = folds.merge(of_trials, on=["trial_id", "fold", "best_epoch"], how="left")
    return folds.merge(of_pca, on=["code_size", "fold"], how="left")


def _probe_means(folds: pd.DataFrame, directory: str | Path) -> pd.DataFrame:
    """The mean over the first folds of what was predicted from each trial's codes."""
    names = ["probe_score", "probe_knn_score", "pca_probe_score"]
    first = _with_probes(folds, directory)
    first = first[first["repeat"] == 0].assign(n_repeats=1)
    means = {name: _of_folds(first, lambda rows, _: rows.mean(axis=1), name) for name in names}
    return pd.DataFrame(means, index=first["trial_id"].unique())


def _n_splits(directory: str | Path) -> int | None:
    """The number of folds of one cross-validation; None if the ledger does not say."""
    definition = read_value(directory, "definition") or {}
    return definition.get("search.n_splits")


def _counting(epochs: pd.DataFrame, n_splits: int | None) -> pd.DataFrame:
    """The rows that a trial's numbers are taken from, with the columns `repeat` and `n_repeats`.

    They are those of its first `n_splits` folds, and of each repeat that has come as far as these, in all its folds.
    """
    n_splits = n_splits or epochs["fold"].nunique() or 1
    repeat = epochs["fold"].to_numpy(np.int64) // n_splits
    epochs = epochs.assign(repeat=repeat, n_repeats=1)
    if not repeat.any():
        return epochs
    by_trial = epochs[repeat == 0].groupby("number")["epoch"]
    epochs = epochs[epochs["epoch"] <= epochs["number"].map(by_trial.max())]
    n_rows = epochs.groupby(["number", "repeat"])["epoch"].transform("size")
    epochs = epochs[n_rows == epochs["number"].map(by_trial.size())]
    n_folds = epochs.groupby(["number", "epoch"])["fold"].transform("size")
    return epochs.assign(n_repeats=n_folds // n_splits)


def _folds(epochs: pd.DataFrame, trials: pd.DataFrame, baselines: pd.DataFrame) -> pd.DataFrame:
    means = _means(epochs)
    best = means.loc[means.dropna().groupby("trial_id")["mean"].idxmin()].set_index("trial_id")["epoch"]
    folds = epochs.join(best.rename("best_epoch"), on="trial_id")
    folds = folds[folds["epoch"] == folds["best_epoch"]].drop(columns="epoch")
    folds = folds.merge(trials[["trial_id", "code_size"]], on="trial_id").merge(
        baselines, on=["code_size", "fold"], how="left"
    )
    return folds.sort_values(["number", "fold"], ignore_index=True).astype({"best_epoch": np.int64})


def _means(epochs: pd.DataFrame) -> pd.DataFrame:
    """The mean validation MSE of each trial and epoch, by which its best epoch is chosen: a start counts as lower."""
    # An epoch in which a fold diverged has no mean; the best epoch is one in which no fold did.
    means = epochs.loc[epochs["fold"] == 0, ["trial_id", "epoch"]].assign(
        mean=_of_folds(epochs, lambda rows, _: rows.mean(axis=1), "val_mse")
    )
    means["mean"] *= np.where(means["epoch"] == 0, 1 - START_GAIN, 1.0)
    return means


def _decided_by_repeats(trials: pd.DataFrame, epochs: pd.DataFrame, n_splits: int | None) -> np.ndarray:
    """Which trials were repeated; none, if one that was not is better by the first folds than all that were.

    It is where a search was ended on its way through the repeats: the best trials are not all repeated then. One that
    diverged when it was repeated had its turn.
    """
    repeated: np.ndarray = trials["n_repeats"].to_numpy(np.float64) > 1
    if not repeated.any() or n_splits is None:
        return repeated
    lowest = _means(_counting(epochs[epochs["fold"] < n_splits], n_splits)).groupby("trial_id")["mean"].min()
    by_first_folds = lowest.reindex(trials["trial_id"]).to_numpy()
    diverged = epochs.loc[(epochs["fold"] >= n_splits) & epochs["val_mse"].isna(), "trial_id"]
    others = ~repeated & (trials["status"] == FINISHED).to_numpy() & ~trials["trial_id"].isin(diverged).to_numpy()
    best = by_first_folds[repeated].min() * (1 - ROUNDING)
    return repeated & ~bool((by_first_folds[others] < best).any())


def _of_folds(table: pd.DataFrame, function: Callable[..., np.ndarray], *columns: str) -> np.ndarray:
    """A function of folds side by side, for each trial, or each trial and epoch.

    Means are taken of such rows, because those of pandas' groups depend, in their last bits, on the other groups.

    Args:
        table: Rows of folds, those of a trial, or of a trial and epoch, together and sorted.
        function: Takes an array `(rows, folds)` for each column, and the number of repeats that the folds belong to;
            gives a value for each row.
        columns: The columns that it takes.
    """
    n_repeats = table["n_repeats"].to_numpy(np.int64)
    firsts = table["fold"].to_numpy() == 0
    result = np.full(firsts.sum(), np.nan)
    for repeats in np.unique(n_repeats):  # trials with equally many folds at once
        chosen = n_repeats == repeats
        n_rows = int((firsts & chosen).sum())
        rows = [table[name].to_numpy(np.float64)[chosen].reshape(n_rows, -1) for name in columns]
        result[n_repeats[firsts] == repeats] = function(*rows, int(repeats))
    return result


def _pca_p_values(val_mse: np.ndarray, pca_val_mse: np.ndarray, repeats: int) -> np.ndarray:
    return corrected_p_values(differences_from_pca(val_mse, pca_val_mse), repeats)


def _mean(rows: np.ndarray, _: int) -> np.ndarray:
    """The mean of each row's values that are known; NaN where none is."""
    known = ~np.isnan(rows)
    with np.errstate(over="ignore", invalid="ignore"):
        mean: np.ndarray = np.where(known, rows, 0.0).sum(axis=1) / known.sum(axis=1)
    return mean


def _std(rows: np.ndarray, _: int) -> np.ndarray:
    """The sample standard deviation of each row; NaN where there is one value only."""
    with np.errstate(over="ignore", invalid="ignore"):  # of a trial that goes astray
        std: np.ndarray = rows.std(axis=1, ddof=1) if rows.shape[1] > 1 else np.full(len(rows), np.nan)
    return std


def _frame(rows: Rows) -> pd.DataFrame:
    columns, values = rows
    return pd.DataFrame(values, columns=columns)
