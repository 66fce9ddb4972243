"""How each trial compares with the winner, fold by fold."""

import numpy as np
import pandas as pd

from search.paired_test import corrected_half_widths, corrected_p_values
from search.tables import ROUNDING


def compare(folds: pd.DataFrame, winner: str) -> pd.DataFrame:
    """What each trial has more of validation MSE than the winner, over the folds that both were trained on.

    A trial that was not repeated is compared by its first folds, however often the winner was repeated: the difference
    is between results on the same rows, or it would be one between splits too.

    Args:
        folds: What `load_folds` returned.
        winner: The winner's `trial_id`.

    Returns:
        A row per `trial_id`: the mean `difference`, the `half_width` of its 95 % interval, its `p_value`, and
        `n_repeats`, how many cross-validations these come from.
    """
    differences = paired_differences(folds, winner)
    n_splits = folds.loc[folds["repeat"] == 0, "fold"].nunique()
    values = differences.to_numpy(np.float64)
    known = ~np.isnan(values)
    n_known = known.sum(axis=1)
    table = pd.DataFrame({"n_repeats": n_known // n_splits}, index=differences.index)
    for n in np.unique(n_known):  # trials that share equally many folds at once
        chosen = n_known == n
        rows = values[chosen][known[chosen]].reshape(-1, n)
        repeats = int(n) // n_splits
        table.loc[chosen, "difference"] = rows.mean(axis=1)
        table.loc[chosen, "half_width"] = corrected_half_widths(rows, repeats)
        table.loc[chosen, "p_value"] = corrected_p_values(rows, repeats)
    return table


def paired_differences(folds: pd.DataFrame, winner: str) -> pd.DataFrame:
    """Validation MSE of each trial less the winner's, 0 where it is rounding: a row per `trial_id`, a column per fold.

    Args:
        folds: What `load_folds` returned.
        winner: The winner's `trial_id`.

    Returns:
        NaN in folds that one of the two was not trained on.
    """
    by_fold = folds.pivot_table(index="trial_id", columns="fold", values="val_mse")
    differences = by_fold - by_fold.loc[winner]
    return differences.mask(differences.abs() <= ROUNDING * by_fold.loc[winner], 0.0)
