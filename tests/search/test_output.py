"""search.output: which output activation suits the data, where the settings leave it open."""

from dataclasses import replace

import numpy as np
import pytest

from ae_model import Configuration, Dataset, dataset_from_arrays, load_dataset
from ae_model.cross_validation import CrossValidation
from ae_model.folds import make_folds
from search import parse_settings
from search.output import tanh_gain, with_output
from search.plan import make_plan


def strokes(n: int = 400) -> Dataset:
    """Images of 12 x 12 pixels, black but for a white bar of any place and angle."""
    chance = np.random.default_rng(0)
    y, x = np.mgrid[:12, :12] - 5.5
    angle, place = chance.uniform(0, np.pi, (n, 1, 1)), chance.uniform(-3, 3, (n, 1, 1))
    distance = np.abs(np.cos(angle) * x + np.sin(angle) * y - place)
    images = (255 * np.clip(2 - distance, 0, 1)).astype(np.uint8).reshape(n, -1)
    return dataset_from_arrays(images, image_shape=(12, 12))


def test_black_and_white_images_have_a_tanh() -> None:
    """It is in the plan and its trials, with a note; what the settings say goes before."""
    plan = make_plan(parse_settings({"bottleneck": {"code_sizes": [4]}}), strokes())
    assert plan.settings.space.output_activation == "tanh"
    assert {c.output_activation for c in plan.trials.values()} == {"tanh"}
    assert any("most pixels are black or white" in note for note in plan.dataset.notes)
    given = make_plan(parse_settings({"space": {"output_activation": "linear"}}), strokes())
    assert {c.output_activation for c in given.trials.values()} == {"linear"}
    assert not any("black or white" in note for note in given.dataset.notes)


@pytest.mark.parametrize("kind", ["digits", "table", "grey", "standard", "constant"])
def test_others_are_linear(kind: str) -> None:
    """Images that tanh does little for, tables, other scalings, and images without anything on them."""
    chance = np.random.default_rng(0)
    if kind == "digits":
        dataset = load_dataset("digits")
    elif kind == "grey":
        values = np.clip(chance.normal(127, 30, (200, 3)) @ chance.dirichlet(np.ones(3), 64).T, 0, 255)
        dataset = dataset_from_arrays(values.astype(np.uint8), image_shape=(8, 8))
    elif kind == "constant":
        dataset = dataset_from_arrays(np.zeros((50, 64), np.uint8), image_shape=(8, 8))
    else:
        dataset = strokes()
        if kind == "table":
            dataset = replace(dataset, image_shape=None, value_range=None)
    settings = parse_settings({"data": {"scaling": "standard"} if kind == "standard" else {}})
    decided, same = with_output(settings, dataset)
    assert decided.space.output_activation == "linear"
    assert same.notes == dataset.notes


def test_the_gain_is_that_of_the_first_validation() -> None:
    """What is measured on a few rows is what a cross-validation finds at its start, about."""
    dataset = strokes(1500)
    values, gain = dataset.development, tanh_gain(dataset)
    folds = make_folds(len(values), 5, seed=0)
    mse = {}
    for output in ("linear", "tanh"):
        configuration = Configuration(
            layer_sizes=(144, 40), code_activation="linear", output_activation=output, init="pca", batch_size=64
        )
        start = next(
            CrossValidation(values, [configuration], folds=folds, max_epochs=1, seed=0, value_range=dataset.value_range)
        )
        mse[output] = start[0].val_mse.mean()
    assert 0.1 < gain < 1
    assert mse["tanh"] < mse["linear"]
