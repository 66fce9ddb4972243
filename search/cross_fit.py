"""The error of what a search chooses, without the luck that it is chosen by.

The lowest of many means is too low: it is lowest partly by chance, and so is the epoch. Therefore each fold's error is
taken of the trial and epoch that the other folds choose, by the same rule. It costs no training, because the folds are
there; Tibshirani and Tibshirani (A bias correction for the minimum error rate in cross-validation, Annals of Applied
Statistics 3, 2009) and Tsamardinos, Greasidou and Borboudakis (Bootstrapping the out-of-sample predictions for
efficient and accurate cross-validation, Machine Learning 107, 2018) estimate the same from the same values.

Where trials were given up on the way, a part of the luck is left: all folds decided who went on. In simulations of 64
equal trials that one rung cuts to 8, the mean is 0.3 to 0.5 standard errors too low, the winner's own 2.1 to 2.4.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ae_model.patience import START_GAIN
from search.paired_test import standard_errors_of_means
from search.tables import ranks

MIN_FOLDS = 3
"""Fewer leave less than two folds to choose by, which have no standard error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossFit:
    """Mean over the folds of what the other folds chose."""

    val_mse_mean: float
    val_mse_se: float
    val_fve_mean: float


def cross_fit(
    epochs: pd.DataFrame, candidates: pd.DataFrame, choose: Callable[[pd.DataFrame], "pd.Series[Any]"], n_splits: int
) -> CrossFit | None:
    """Choose once for each fold by the others, and take the mean of what was chosen in the fold left out.

    Repeats are left out: their folds hold the rows of the fold that is measured.

    Args:
        epochs: What `load_epochs` returned, at least of the candidates.
        candidates: The rows of `load_trials` that may be chosen.
        choose: Takes the candidates in the order of `place`, with `val_mse_mean`, `val_mse_se`, `val_fve_mean` and
            `place` of the folds to choose by; gives one of these rows.
        n_splits: The number of folds of one cross-validation.

    Returns:
        None if there are fewer than `MIN_FOLDS` folds, or no candidate has an epoch without a diverged fold.
    """
    if n_splits < MIN_FOLDS:
        return None
    wanted = epochs["trial_id"].isin(candidates["trial_id"]) & (epochs["fold"] < n_splits)
    rows = epochs[wanted].sort_values(["number", "epoch", "fold"])
    first = rows[rows["fold"] == 0]
    trial_ids, is_start = first["trial_id"].to_numpy(), (first["epoch"] == 0).to_numpy()
    val_mse = rows["val_mse"].to_numpy(np.float64).reshape(-1, n_splits)
    val_fve = rows["val_fve"].to_numpy(np.float64).reshape(-1, n_splits)
    complete = np.isfinite(val_mse).all(axis=1)
    if not complete.any():
        return None
    trial_ids, is_start, val_mse, val_fve = (x[complete] for x in (trial_ids, is_start, val_mse, val_fve))
    chosen_mse, chosen_fve = np.empty(n_splits), np.empty(n_splits)
    for fold in range(n_splits):
        others = np.delete(val_mse, fold, axis=1)
        means = others.mean(axis=1)
        # As in the tables: a start stays the best epoch unless another is lower by 1 %.
        counted = pd.Series(means * np.where(is_start, 1 - START_GAIN, 1.0))
        best = counted.groupby(trial_ids).idxmin()
        at = best.to_numpy()
        known = pd.DataFrame(
            {
                "val_mse_mean": means[at],
                "val_mse_se": standard_errors_of_means(others[at]),
                "val_fve_mean": np.delete(val_fve, fold, axis=1)[at].mean(axis=1),
                "row": at,
            },
            index=best.index,
        )
        ranked = candidates.drop(columns=known.columns, errors="ignore").join(known, on="trial_id", how="inner")
        ranked = ranked.assign(place=ranks(ranked["val_mse_mean"].to_numpy(np.float64)))
        row = int(choose(ranked.sort_values(["place", "number"]))["row"])
        chosen_mse[fold], chosen_fve[fold] = val_mse[row, fold], val_fve[row, fold]
    return CrossFit(
        val_mse_mean=float(chosen_mse.mean()),
        val_mse_se=float(standard_errors_of_means(chosen_mse[np.newaxis])[0]),
        val_fve_mean=float(chosen_fve.mean()),
    )
