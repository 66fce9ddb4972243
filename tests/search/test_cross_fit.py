"""The error without the luck of being chosen: against a slow version, on noise, and where it is not known."""

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from search.cross_fit import cross_fit
from search.selection import _chosen

N_TRIALS, N_EPOCHS, N_FOLDS = 7, 5, 4


def _tables(mse: np.ndarray, fve: np.ndarray | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Epochs as `load_epochs` gives them, of an array (trials, epochs, folds), and the trials."""
    index = pd.MultiIndex.from_product([range(n) for n in mse.shape], names=["number", "epoch", "fold"])
    epochs = pd.DataFrame({"val_mse": mse.ravel(), "val_fve": (1 - mse if fve is None else fve).ravel()}, index=index)
    epochs = epochs.reset_index()
    numbers = np.arange(len(mse))
    trials = pd.DataFrame(
        {
            "trial_id": [f"t{n}" for n in numbers],
            "number": numbers,
            "code_size": 8 - numbers,
            "n_parameters": 100 * (1 + numbers),
            "repeated": False,
        }
    )
    return epochs.assign(trial_id=[f"t{n}" for n in epochs["number"]]), trials


def _slowly(mse: np.ndarray, trials: pd.DataFrame, rule: str, target: float) -> np.ndarray:
    """Each fold's MSE of what the others choose, by loops."""
    found = []
    for fold in range(mse.shape[2]):
        others = [k for k in range(mse.shape[2]) if k != fold]
        best = []
        for trial in range(len(mse)):
            counted = [mse[trial, e, others].mean() * (0.99 if e == 0 else 1) for e in range(mse.shape[1])]
            epoch = int(np.nanargmin(counted))
            best.append((trial, epoch, mse[trial, epoch, others].mean(), stats.sem(mse[trial, epoch, others])))
        lowest = min(best, key=lambda b: b[2])
        near = [b for b in best if b[2] <= lowest[2] + lowest[3]]
        if rule == "target-fve":
            near = [b for b in best if 1 - b[2] >= target] or [lowest]
        key = {"best": 2, "one-se": "n_parameters", "smallest-code": "code_size", "target-fve": "code_size"}[rule]
        trial, epoch, *_ = min(near, key=lambda b: b[2] if key == 2 else (trials[key][b[0]], b[2]))
        found.append(mse[trial, epoch, fold])
    return np.array(found)


@pytest.mark.parametrize("rule", ["best", "one-se", "smallest-code", "target-fve"])
def test_each_fold_is_measured_on_what_the_others_choose(rule: Any) -> None:
    """By every rule, as loops over folds, trials and epochs find it; a diverged epoch is never chosen."""
    for seed in range(20):
        mse = np.random.default_rng(seed).uniform(0.2, 0.3, (N_TRIALS, N_EPOCHS, N_FOLDS))
        epochs, trials = _tables(mse)
        epochs.loc[(epochs["number"] == 3) & (epochs["epoch"] == 1) & (epochs["fold"] == 2), "val_mse"] = np.nan
        mse[3, 1] = np.nan
        fitted = cross_fit(
            epochs.sample(frac=1, random_state=seed), trials, partial(_chosen, rule=rule, target_fve=0.75), N_FOLDS
        )
        expected = _slowly(mse, trials, rule, 0.75)
        assert fitted is not None
        np.testing.assert_allclose(fitted.val_mse_mean, expected.mean(), rtol=1e-12)
        np.testing.assert_allclose(fitted.val_mse_se, stats.sem(expected), rtol=1e-12)
        np.testing.assert_allclose(fitted.val_fve_mean, 1 - expected.mean(), rtol=1e-12)


def test_luck_has_no_part_in_it() -> None:
    """Of a hundred trials that are all alike, the winner's mean is too low, and this is not."""
    winners, fitted = [], []
    for seed in range(60):
        epochs, trials = _tables(np.random.default_rng(seed).normal(1.0, 0.1, (100, 3, 5)))
        winners.append(epochs.groupby(["number", "epoch"])["val_mse"].mean().min())
        found = cross_fit(epochs, trials, partial(_chosen, rule="best", target_fve=None), 5)
        assert found is not None
        fitted.append(found.val_mse_mean)
    assert np.mean(winners) < 0.9
    assert abs(np.mean(fitted) - 1) < 3 * stats.sem(fitted)


def test_repeats_have_no_part_in_it() -> None:
    """The folds of a repeat, which hold the rows of the fold that is measured, change nothing."""
    mse = np.random.default_rng(0).uniform(0.2, 0.3, (N_TRIALS, N_EPOCHS, 2 * N_FOLDS))
    choose = partial(_chosen, rule="best", target_fve=None)
    assert cross_fit(*_tables(mse), choose, N_FOLDS) == cross_fit(*_tables(mse[..., :N_FOLDS]), choose, N_FOLDS)


def test_where_it_is_not_known() -> None:
    """One fold cannot be left out of two, and where every epoch diverged there is nothing to choose."""
    choose = partial(_chosen, rule="best", target_fve=None)
    assert cross_fit(*_tables(np.ones((2, 2, 2))), choose, 2) is None
    assert cross_fit(*_tables(np.full((2, 2, 3), np.nan)), choose, 3) is None
