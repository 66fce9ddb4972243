"""Whether suggestions find better configurations than chance, for as many epochs: `search.tpe` beside random draws.

`python benchmarks/tpe_against_random.py --curves FOLDER [--json FILE]`. No training: the folder holds curves that were
measured before, one file `NAME-SEED.npz` for each data set, with the arrays `labels`, a text like "64-512-28 pca 0.001"
for each configuration, and `curves`, its validation MSE `(configurations, epochs + 1, n_splits)`. The space is all of
64 configurations: eight choices of hidden layers, two starts, four learning rates. Every configuration takes the same
number of epochs in every fold, so that equally many configurations are equally many fold-epochs. Regret is by how much
the lowest mean validation MSE that a search has found is above the lowest of the space.
"""

import argparse
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from training import environment

from ae_model import Configuration
from search import parse_settings
from search.settings import SpaceSettings
from search.space import make_configurations
from search.tpe import suggest

HIDDEN = ["", "32", "64", "128", "256", "512", "128-64", "256-128"]
SPACE: dict[str, Any] = {"hidden": HIDDEN, "init": ["pca", "random"], "learning_rate": [3e-4, 1e-3, 3e-3, 1e-2]}
AT = (8, 16, 24, 32)
"""The numbers of configurations after which searches are compared."""
BATCH = 8
"""The settings' default for `search.batch_trials`."""
Table = dict[str, float | None]
"""The loss of each configuration, None where it diverged."""


def losses(path: Path) -> tuple[Table, int]:
    """The lowest mean validation MSE of each configuration, None where all are NaN; and epochs of a fold."""
    with np.load(path) as content:
        curves = content["curves"].mean(axis=2)
        lowest = np.where(np.isnan(curves), np.inf, curves).min(axis=1).tolist()
        table = zip(content["labels"].tolist(), lowest, strict=True)
    return {label: loss if np.isfinite(loss) else None for label, loss in table}, curves.shape[1] - 1


def label(configuration: Configuration) -> str:
    """What a configuration is called in the curves."""
    return f"{configuration.text} {configuration.init} {configuration.learning_rate:g}"


def by_chance(space: SpaceSettings, sizes: list[int], table: Table, seed: int) -> list[float | None]:
    """What a random search comes upon, one configuration after the other."""
    drawn = make_configurations(space, input_size=sizes[0], code_sizes=[sizes[-1]], num_samples=max(AT), seed=seed)
    return [table[label(configuration)] for configuration in drawn]


def by_chance_after_the_first(space: SpaceSettings, sizes: list[int], table: Table, seed: int) -> list[float | None]:
    """The same after the configuration that suggestions begin with: what more they gain is not due to that one."""
    (first,) = suggest(space, [], 1, seed=seed, input_size=sizes[0], code_sizes=[sizes[-1]])
    return [table[label(first)], *by_chance(space, sizes, table, seed)]


def by_tpe(space: SpaceSettings, sizes: list[int], table: Table, seed: int) -> list[float | None]:
    """What suggestions come upon."""
    history: list[tuple[Configuration, float | None]] = []
    while len(history) < max(AT):
        new = suggest(space, history, BATCH, seed=seed, input_size=sizes[0], code_sizes=[sizes[-1]])
        history += [(configuration, table[label(configuration)]) for configuration in new]
    return [loss for _, loss in history]


METHODS = {"random": by_chance, "first, then random": by_chance_after_the_first, "tpe": by_tpe}


def regrets(found: list[float | None], table: Table) -> list[float]:
    """By what part of the space's lowest loss the lowest found so far is above it, at each of `AT`."""
    so_far = np.minimum.accumulate([np.inf if loss is None else loss for loss in found])
    lowest = min(loss for loss in table.values() if loss is not None)
    return [round(float(so_far[n - 1] / lowest - 1), 6) for n in AT]


def line(name: str, method: str, values: np.ndarray) -> str:
    """A row of the table, from regrets `(searches, len(AT))`."""
    cells = [f"{100 * values[:, i].mean():.2f} / {100 * (values[:, i] == 0).mean():.0f}" for i in range(len(AT))]
    return f"| {' | '.join([name, method, *cells])} |"


def main() -> None:
    """Compare on every file and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--curves", type=Path, required=True, help="the folder of curves")
    parser.add_argument("--seeds", type=int, default=20, help="searches of each kind on each file")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    space = parse_settings({"space": SPACE}).space
    rows: list[dict[str, Any]] = []
    for number, path in enumerate(sorted(given.curves.glob("*.npz"))):
        table, epochs = losses(path)
        sizes = [int(size) for size in next(iter(table)).split()[0].split("-")]
        name, _, data_seed = path.stem.rpartition("-")
        seeds = range(given.seeds * number, given.seeds * (number + 1))  # other draws for each file
        for method, search in METHODS.items():
            regret = [regrets(search(space, sizes, table, seed), table) for seed in seeds]
            row = {"data": name, "data_seed": int(data_seed), "epochs": epochs, "first_seed": seeds[0]}
            rows.append({**row, "method": method, "regret": regret})
    print("Regret in percent of the space's lowest MSE, mean / searches in a hundred that found the lowest itself.\n")
    print(f"| data | search | {' | '.join(f'{n} configurations' for n in AT)} |")
    print(f"| --- | --- |{' --- |' * len(AT)}")
    for name in [*dict.fromkeys(row["data"] for row in rows), "all"]:
        for method in METHODS:
            chosen = [row for row in rows if row["method"] == method and name in (row["data"], "all")]
            print(line(name, method, np.concatenate([row["regret"] for row in chosen])))
    if given.json:
        content = {"environment": {**environment(1), "optuna": version("optuna")}, "configurations": AT}
        listed = ",\n  ".join(json.dumps(row) for row in rows)  # a line for each file and method
        given.json.write_text(json.dumps(content, indent=1)[:-2] + f',\n "searches": [\n  {listed}\n ]\n}}\n')


if __name__ == "__main__":
    main()
