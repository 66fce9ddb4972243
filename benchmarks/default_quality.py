"""Whether a search with default settings ends with a good autoencoder: its winner beside PCA, on many kinds of data.

`python benchmarks/default_quality.py [--only NAME ...] [--seeds 1] [--epochs N] [--json FILE]`. Every data set is
bundled with scikit-learn or made here. "reference" is the search of the reference design: random weights, ReLU and
linear code, tanh output. A ratio is the winner's cross-validated MSE over PCA's at equal code size; p is two-sided, of
the paired differences over the folds, corrected for overlapping training sets.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from sklearn import datasets
from training import environment

from search import load_folds, parse_settings, run_search
from search.paired_test import corrected_p_value

SETTINGS: dict[str, dict[str, object]] = {
    "default": {},
    "reference": {"init": "random", "code_activation": ["relu", "linear"], "output_activation": "tanh"},
}


def house_like(chance: np.random.Generator) -> np.ndarray:
    """Skewed columns of different units, two that depend on one another, and five cells fifty times too large."""
    columns = [chance.lognormal(mean, sigma, 3000) for mean, sigma in ((1, 0.5), (1.6, 0.4), (0.05, 0.2), (7, 0.8))]
    east = chance.normal(-119.6, 2, 3000)
    north = chance.normal(35.6, 2.1, 3000) - 0.9 * (east + 119.6)
    values = np.column_stack([*columns, chance.integers(1, 52, 3000), chance.lognormal(1, 0.3, 3000), north, east])
    values[chance.integers(3000, size=5), 3] *= 50
    return values


def counts(chance: np.random.Generator) -> np.ndarray:
    """Sparse counts that follow from four causes."""
    return chance.poisson(np.exp(0.5 * chance.normal(size=(1500, 4)) @ chance.normal(size=(4, 60)) - 0.5))


def spectra(chance: np.random.Generator) -> np.ndarray:
    """Three hundred sums of eight bands, with noise."""
    at, centres = np.linspace(0, 1, 400), np.linspace(0.1, 0.9, 8)
    bands = np.exp(-0.5 * ((at - centres[:, None]) / 0.08) ** 2)
    return chance.normal(size=(300, 8)) @ bands + 0.02 * chance.normal(size=(300, 400))


def linear_gaussian(chance: np.random.Generator) -> np.ndarray:
    """A subspace of five dimensions with noise, where nothing beats PCA."""
    return chance.normal(size=(2000, 5)) @ chance.normal(size=(5, 50)) + 0.3 * chance.normal(size=(2000, 50))


def curved_manifold(chance: np.random.Generator) -> np.ndarray:
    """Smooth functions of five causes."""
    waves = np.cos(0.5 * chance.normal(size=(2000, 5)) @ chance.normal(size=(5, 200)) + chance.uniform(0, 6.3, 200))
    return waves @ chance.normal(size=(200, 50)) / 14 + 0.02 * chance.normal(size=(2000, 50))


MADE: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "house-like": house_like,
    "counts": counts,
    "spectra": spectra,
    "linear Gaussian": linear_gaussian,
    "curved manifold": curved_manifold,
    "noise": lambda chance: chance.normal(size=(800, 20)),
}
BUNDLED = ("wine", "breast_cancer", "diabetes", "iris")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=["digits", *BUNDLED, *MADE])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found = []
    for name in arguments.only:
        for seed in range(arguments.seeds):
            for kind in SETTINGS:
                found.append(measure(name, kind, seed, arguments.epochs))
                print(found[-1], flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps({"environment": environment(1), "searches": found}, indent=1) + "\n")
    print(table(found))


def samples(name: str) -> np.ndarray | None:
    """The samples of a data set; None for digits, which a search reads itself."""
    if name == "digits":
        return None
    return MADE[name](np.random.default_rng(0)) if name in MADE else getattr(datasets, f"load_{name}")().data


def measure(name: str, kind: str, seed: int, epochs: int | None) -> dict[str, object]:
    """One search: its winner, PCA, and seconds from call to result."""
    search = {} if epochs is None else {"max_epochs": epochs}
    settings = parse_settings({"seed": seed, "space": SETTINGS[kind], "search": search})
    with tempfile.TemporaryDirectory() as scratch:
        start = time.perf_counter()
        result = run_search(settings, data=samples(name), name="quality", results_dir=scratch)
        seconds = time.perf_counter() - start
        folds = load_folds(result.directory)
    winner = folds[folds["trial_id"] == result.selection.trial_id]
    return {
        "data": name,
        "settings": kind,
        "seed": seed,
        "winner": result.selection.label,
        "best_epoch": result.selection.best_epoch,
        "val_mse": winner["val_mse"].tolist(),
        "pca_val_mse": winner["pca_val_mse"].tolist(),
        "ratio": float(winner["val_mse"].mean() / winner["pca_val_mse"].mean()),
        "p": corrected_p_value((winner["val_mse"] - winner["pca_val_mse"]).to_numpy()),
        "test_mse": result.evaluation.mse,
        "pca_test_mse": result.evaluation.pca_mse,
        "seconds": seconds,
    }


def table(found: list[dict[str, object]]) -> str:
    """A row for each data set: medians over the seeds."""
    lines = ["| data | " + " | ".join(f"{kind}: ratio | p | s" for kind in SETTINGS) + " |"]
    lines.append("| --- |" + " --- | --- | --- |" * len(SETTINGS))
    for name in dict.fromkeys(search["data"] for search in found):
        cells = []
        for kind in SETTINGS:
            of_both = [s for s in found if (s["data"], s["settings"]) == (name, kind)]
            ratio, p, seconds = (np.median([s[key] for s in of_both]) for key in ("ratio", "p", "seconds"))
            cells.append(f"{ratio:.2f} | {p:.3f} | {seconds:.0f}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
