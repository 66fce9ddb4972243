"""The search of work E, for all peers: 96 configurations x 5 folds x 30 epochs, batch 64, on the bundled digits."""

import argparse
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a peer is to do."""

    points: list[Point]
    """The configurations to train."""
    epochs: int
    """Passes over each fold's training rows."""
    table: Path
    """Where the table is written."""


def task() -> Task:
    """The whole search, or the part of it that the command line asks for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("table", type=Path)
    parser.add_argument("--hidden", type=int, default=len(HIDDEN), help="only the first so many shapes")
    parser.add_argument("--every", type=int, default=1, help="of the configurations, only every n-th")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    given = parser.parse_args()
    points = list(product(HIDDEN[: given.hidden], CODE_ACTIVATIONS, LEARNING_RATES))[:: given.every]
    return Task(points=points, epochs=given.epochs, table=given.table)


def layer_sizes(hidden: tuple[int, ...]) -> tuple[int, ...]:
    """Encoder widths of a configuration."""
    return (64, *hidden, CODE_SIZE)


@cache
def samples() -> tuple[np.ndarray, list[Fold]]:
    """Development samples, uint8 from 0 to 16, and the folds."""
    values = load_dataset("digits").development
    return values, make_folds(len(values), 5, seed=0)


def by_dataloader(point: Point, epochs: int) -> list[float]:
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
            epochs,
            BATCH_SIZE,
            workers=0,
            learning_rate=rate,
            code_activation=activation,
        )
        for number, fold in enumerate(folds)
    ]


def write_table(path: Path, rows: list[tuple[Point, list[float]]]) -> None:
    """Write each configuration's mean and standard error over the folds."""
    table = pd.DataFrame(
        {
            "hidden": ["-".join(map(str, hidden)) for (hidden, _, _), _ in rows],
            "code_activation": [activation for (_, activation, _), _ in rows],
            "learning_rate": [rate for (_, _, rate), _ in rows],
            "val_mse_mean": [np.mean(values) for _, values in rows],
            "val_mse_se": [np.std(values, ddof=1) / len(values) ** 0.5 for _, values in rows],
        }
    )
    table.to_csv(path, index=False)
