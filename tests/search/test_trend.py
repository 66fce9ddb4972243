"""search.trend: which curves would go on falling."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from search import SearchResult, load_epochs
from search.trend import falling_trials, still_falling

Curve = Callable[[np.ndarray], np.ndarray]


def _epochs(curve: Curve, n_epochs: int, *, noise: float = 0.0, n_folds: int = 5, seed: int = 0) -> pd.DataFrame:
    """Epochs of a trial "a": each fold has a level of its own and its own noise, relative to the curve."""
    generator = np.random.default_rng(seed)
    t = np.arange(1, n_epochs + 1)
    parts = []
    for fold in range(n_folds):
        values = curve(t) * (1 + 0.1 * fold) * (1 + noise * generator.normal(size=n_epochs))
        parts.append(pd.DataFrame({"trial_id": "a", "number": 1, "epoch": t, "fold": fold, "val_mse": values}))
    return pd.concat(parts, ignore_index=True)


def _plateau(t: np.ndarray) -> np.ndarray:
    return 0.02 + 0.1 * np.exp(-t / 4)


def _decay(t: np.ndarray) -> np.ndarray:
    return 0.02 + 0.1 * np.exp(-t / 40)


def _power_law(t: np.ndarray) -> np.ndarray:
    return 0.3 * t**-0.7


def _overfitting(t: np.ndarray) -> np.ndarray:
    return 0.02 + 0.1 * np.exp(-t / 4) + 1e-4 * t


@pytest.mark.parametrize(
    ("curve", "n_epochs", "noise", "falls"),
    [
        (_plateau, 100, 0.0, False),
        (_plateau, 100, 0.01, False),
        (_plateau, 50, 0.02, False),
        (_decay, 100, 0.0, True),
        (_decay, 100, 0.01, True),
        (_decay, 400, 0.0, False),
        (_power_law, 100, 0.01, True),
        (_power_law, 8, 0.0, True),
        (_overfitting, 100, 0.0, False),
        (_overfitting, 100, 0.01, False),
        (_decay, 2, 0.0, False),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_curves(curve: Curve, n_epochs: int, noise: float, falls: bool, seed: int) -> None:
    """A decay that was ended early falls; a plateau with or without noise, and a curve that rises again, do not."""
    assert still_falling(_epochs(curve, n_epochs, noise=noise, seed=seed), "a") is falls


def test_the_best_epoch_says_nothing() -> None:
    """On a plateau the best epoch may well be the last but one, or the last."""
    for best in (49, 50):
        epochs = _epochs(lambda t: np.full(len(t), 0.02), 50, noise=0.01)
        epochs.loc[epochs["epoch"] == best, "val_mse"] *= 0.97
        assert epochs.groupby("epoch")["val_mse"].mean().idxmin() == best
        assert not still_falling(epochs, "a")


def test_noise_about_a_plateau_is_seldom_a_fall() -> None:
    """Of 200 plateaus with 1 % noise, fewer fall than a test at 5 % would let fall; of 200 decays, nearly all do."""
    plateaus = [_epochs(_plateau, 100, noise=0.01, seed=seed).assign(trial_id=f"p{seed}") for seed in range(200)]
    decays = [_epochs(_decay, 100, noise=0.01, seed=seed).assign(trial_id=f"d{seed}") for seed in range(200)]
    falling = falling_trials(pd.concat(plateaus + decays))
    assert sum(name.startswith("p") for name in falling) <= 10
    assert sum(name.startswith("d") for name in falling) >= 195


@pytest.mark.parametrize(("factor", "falls"), [(0.8, False), (1.25, True)])
def test_what_is_expected_of_a_decay_is_what_comes(factor: float, falls: bool) -> None:
    """The bound is 1 % of the MSE in as many epochs again, which an exponential decay can be set to lose."""
    tau, n_epochs = 40.0, 100
    left = np.exp(-n_epochs / tau) - np.exp(-2 * n_epochs / tau)  # the coming drop of a decay of height 1
    drop = 0.01 * factor
    epochs = _epochs(lambda t: 1 + drop / left * np.exp(-t / tau), n_epochs)
    assert still_falling(epochs, "a") is falls


def test_a_trial_that_diverged_or_is_not_there() -> None:
    """Neither falls."""
    epochs = _epochs(_decay, 100)
    epochs.loc[epochs["epoch"] == 100, "val_mse"] = np.nan
    assert not still_falling(epochs, "a")
    assert not still_falling(epochs, "b")


def test_the_epochs_of_a_search(searched: SearchResult) -> None:
    """It takes what `load_epochs` returns; one trial alone gives the same as all together."""
    epochs = load_epochs(searched.directory)
    together = falling_trials(epochs)
    assert [name for name in epochs["trial_id"].unique() if still_falling(epochs, name)] == together


def test_folds_count_by_the_part_of_their_error_that_goes() -> None:
    """A trial that goes down by a sixth in each fold falls, however far apart the levels of the folds are."""
    steps = 1 - np.arange(20) / 120
    noise = np.random.default_rng(0).normal(scale=0.002, size=(3, 20))
    folds = [
        pd.DataFrame(
            {"trial_id": "a", "number": 1, "epoch": range(20), "fold": fold, "val_mse": level * (steps + noise[fold])}
        )
        for fold, level in enumerate((0.1, 1.0, 10.0))
    ]
    assert still_falling(pd.concat(folds), "a")
