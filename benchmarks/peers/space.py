"""The search of work E, for all peers: 96 configurations x 5 folds x 30 epochs, batch 64, on the bundled digits."""

import sys
from functools import cache
from itertools import product

import numpy as np
import pandas as pd
import recipes

from ae_model import Fold, load_dataset, make_folds

CODE_SIZE = 28
EPOCHS = 30
BATCH_SIZE = 64
HIDDEN = [(width,) for width in range(16, 129, 16)] + list(product((32, 64, 96, 128), repeat=2))
CODE_ACTIVATIONS = ["relu", "linear"]
LEARNING_RATES = [1e-3, 3e-3]
VALUE_RANGE = (0.0, 16.0)

Point = tuple[tuple[int, ...], str, float]
"""Hidden widths, code activation, learning rate."""


def points() -> list[Point]:
    """All configurations, or every n-th if the command line says so after the table's name."""
    every = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    return list(product(HIDDEN, CODE_ACTIVATIONS, LEARNING_RATES))[::every]


def layer_sizes(hidden: tuple[int, ...]) -> tuple[int, ...]:
    """Encoder widths of a configuration."""
    return (64, *hidden, CODE_SIZE)


@cache
def samples() -> tuple[np.ndarray, list[Fold]]:
    """Development samples, uint8 from 0 to 16, and the folds."""
    values = load_dataset("digits").development
    return values, make_folds(len(values), 5, seed=0)


def by_dataloader(point: Point) -> list[float]:
    """A configuration's validation MSE in every fold, by recipe 1; batches as small as these need no workers."""
    hidden, activation, rate = point
    values, folds = samples()
    return [
        recipes.dataloader_fold(
            values,
            VALUE_RANGE,
            layer_sizes(hidden),
            fold,
            number,
            EPOCHS,
            BATCH_SIZE,
            workers=0,
            learning_rate=rate,
            code_activation=activation,
        )
        for number, fold in enumerate(folds)
    ]


def write_table(rows: list[tuple[Point, list[float]]]) -> None:
    """Write mean and standard error over the folds to the file that the command line names."""
    table = pd.DataFrame(
        {
            "hidden": ["-".join(map(str, hidden)) for (hidden, _, _), _ in rows],
            "code_activation": [activation for (_, activation, _), _ in rows],
            "learning_rate": [rate for (_, _, rate), _ in rows],
            "val_mse_mean": [np.mean(values) for _, values in rows],
            "val_mse_se": [np.std(values, ddof=1) / len(values) ** 0.5 for _, values in rows],
        }
    )
    table.to_csv(sys.argv[1], index=False)
