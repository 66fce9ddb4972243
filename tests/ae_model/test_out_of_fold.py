"""Out-of-fold errors: of every sample, by the model that has not seen it, at the best epoch."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ae_model import Configuration, make_folds
from ae_model.cross_validation import CrossValidation
from ae_model.folds import fold_scalings
from ae_model.patience import START_GAIN

SMALL = Configuration(layer_sizes=(6, 5, 2), learning_rate=0.01, batch_size=8, code_activation="linear")


def samples(n: int) -> np.ndarray:
    """Rows on a curved surface, with noise."""
    chance = np.random.default_rng(0)
    return np.tanh(chance.normal(size=(n, 2)) @ chance.normal(size=(2, 6))) + chance.normal(scale=0.1, size=(n, 6))


def start(
    values: np.ndarray, configurations: list[Configuration], epochs: int = 4, **options: object
) -> CrossValidation:
    """Three folds, in float64."""
    folds = make_folds(len(values), 3, seed=0)
    return CrossValidation(
        values,
        configurations,
        folds=folds,
        max_epochs=epochs,
        seed=0,
        dtype=torch.float64,
        **options,  # type: ignore[arg-type]
    )


def test_each_sample_has_the_error_of_its_folds_model() -> None:
    """As the modules compute it, of several configurations at once; while errors fall, the best epoch is the last."""
    values = samples(100)
    validation = start(values, [SMALL, replace(SMALL, layer_sizes=(6, 3, 2))])
    *_, records = validation
    folds = make_folds(100, 3, seed=0)
    scalings = fold_scalings(values, folds, None, "range")
    (group,) = validation._groups
    for c, record in records.items():
        found = validation.out_of_fold(c)
        assert found is not None
        assert found.epoch == 4
        expected = np.empty(100)
        for k, (fold, scaling) in enumerate(zip(folds, scalings, strict=True)):
            x = torch.from_numpy(scaling.transform(values[fold.validation]))
            with torch.no_grad():
                reconstruction = group.stack.to_model(group.members.index((c, k)))(x)[0]
            expected[fold.validation] = (reconstruction - x).square().mean(1)
        np.testing.assert_allclose(found.mse, expected, rtol=1e-6)
        np.testing.assert_allclose([found.mse[fold.validation].mean() for fold in folds], record.val_mse, rtol=1e-6)


def test_they_are_those_of_the_best_epoch() -> None:
    """Which is not the last one where errors rise, and the start where nothing is lower by 1 %."""
    values = samples(60)
    configurations = [replace(SMALL, learning_rate=0.5), replace(SMALL, init="pca", learning_rate=1e-6)]
    validation = start(values, configurations, epochs=12)
    curves: dict[int, dict[int, float]] = {0: {}, 1: {}}
    errors: dict[int, dict[int, np.ndarray]] = {0: {}, 1: {}}
    for records in validation:
        for c, record in records.items():
            curves[c][record.epoch] = record.val_mse.mean() * (1 - START_GAIN if record.epoch == 0 else 1)
            kept = validation.out_of_fold(c)
            assert kept is not None
            errors[c].setdefault(kept.epoch, kept.mse)
    for c, curve in curves.items():
        best = min(curve, key=lambda epoch, curve=curve: curve[epoch])  # type: ignore[misc]
        found = validation.out_of_fold(c)
        assert found is not None
        assert found.epoch == best
        np.testing.assert_array_equal(found.mse, errors[c][best])
    assert min(curves[0], key=lambda epoch: curves[0][epoch]) < 12
    assert min(curves[1], key=lambda epoch: curves[1][epoch]) == 0


@pytest.mark.parametrize("epoch", [1, 3, 7])
def test_they_survive_an_interruption(epoch: int) -> None:
    """A cross-validation that goes on from a state ends with the same errors, to the bit."""
    values = samples(60)
    configurations = [replace(SMALL, learning_rate=0.5)]
    whole, begun = start(values, configurations, epochs=8), start(values, configurations, epochs=8)
    list(whole)
    for _ in range(epoch):
        next(begun)
    again = start(values, configurations, epochs=8, state=begun.state())
    list(again)
    expected, found = whole.out_of_fold(0), again.out_of_fold(0)
    assert expected is not None
    assert found is not None
    assert found.epoch == expected.epoch
    np.testing.assert_array_equal(found.mse, expected.mse)


def test_there_are_none_where_a_fold_has_diverged() -> None:
    """From the first epoch on."""
    validation = start(samples(60), [replace(SMALL, learning_rate=1e200, output_activation="linear")])
    list(validation)
    assert validation.out_of_fold(0) is None
