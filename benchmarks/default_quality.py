"""Whether a search with default settings ends with a good autoencoder: its winner beside PCA, on many kinds of data.

`python benchmarks/default_quality.py [--only NAME ...] [--kinds KIND ...] [--seeds 0 1 2] [--json FILE]`. Every data
set but MNIST is bundled with scikit-learn or made here. "reference" is the search of the reference design: random
weights, ReLU and linear code, tanh output; "long random" has random starts alone and ten times the steps. A ratio is
the winner's cross-validated MSE over PCA's at equal code size; p is two-sided, of the paired differences over the
folds, corrected for overlapping training sets.
"""

import argparse
import copy
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sklearn import datasets
from training import environment

from ae_model import Dataset, dataset_from_arrays
from search import load_folds, load_trials, parse_settings, run_search

SETTINGS: dict[str, dict[str, Any]] = {
    "default": {},
    "reference": {
        "space": {
            "hidden": ["", "64", "128", "256", "128-64"],
            "code_activation": ["relu", "linear"],
            "init": "random",
            "output_activation": "tanh",
            "learning_rate": 1e-3,
        },
        "data": {"scaling": "range"},
        "search": {"max_epochs": 100},
    },
    "long random": {"space": {"init": "random"}, "search": {"max_steps": 20_000}},
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
    """Three hundred sums of eight bands, which lie a little to the left or right, with noise."""
    at, centres = np.linspace(0, 1, 1500), np.linspace(0.1, 0.9, 8)
    heights, shifts = np.exp(0.4 * chance.normal(size=(300, 8))), 0.01 * chance.normal(size=(300, 1, 1))
    bands = np.exp(-0.5 * ((at - centres[:, None] - shifts) / 0.05) ** 2)
    return np.einsum("nb,nbf->nf", heights, bands) + 0.01 * chance.normal(size=(300, 1500))


def embeddings(chance: np.random.Generator) -> np.ndarray:
    """Vectors of length 1 in half precision, about thirty centres."""
    centres = chance.normal(size=(30, 384))[chance.integers(30, size=5000)]
    about = 0.5 * chance.normal(size=(5000, 24)) @ chance.normal(size=(24, 384))
    values = np.tanh(centres + about) + 0.1 * chance.normal(size=(5000, 384))
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float16)


def expression(chance: np.random.Generator) -> np.ndarray:
    """Many columns and few rows: six causes of 1,200 log-normal values, with noise as large as they are."""
    causes = chance.normal(size=(90, 6)) @ chance.normal(size=(6, 1200))
    return np.exp(0.3 * causes + chance.normal(3, 1, 1200) + 0.4 * chance.normal(size=(90, 1200)))


def faces(chance: np.random.Generator) -> Dataset:
    """Ten images each of forty drawn faces, 64 x 64, which move a little and are lit from the left or right."""
    row, column = np.mgrid[-0.5:0.5:64j, -0.5:0.5:64j]
    images = []
    for _ in range(40):
        person = chance.normal(size=10)
        for _ in range(10):
            x, y = column - chance.normal(scale=0.02), row - chance.normal(scale=0.02)
            inside = (x / (0.34 + 0.02 * person[0])) ** 2 + (y / (0.44 + 0.02 * person[1])) ** 2
            head = 1 / (1 + np.exp(8 * (inside - 1)))
            image = head * (0.65 + 0.08 * person[2] + 0.15 * chance.normal() * x)
            for side in (-1, 1):
                at = side * (0.13 + 0.012 * person[3])
                image -= (0.35 + 0.05 * person[4]) * _spot(x - at, y + 0.1 + 0.01 * person[5], 0.05, 0.03)
            width, height = 0.11 + 0.015 * person[6] + 0.02 * chance.normal(), 0.03 + 0.01 * abs(chance.normal())
            image -= 0.3 * _spot(x, y - 0.22 - 0.01 * person[7], width, height)
            image += 0.15 * _spot(x, y - 0.05, 0.03, 0.1 + 0.01 * person[8])
            image -= (0.4 + 0.1 * person[9]) * head * (y < -0.28)
            images.append(image + 0.1 + 0.02 * chance.normal(size=image.shape))
    pixels = np.clip(255 * np.array(images), 0, 255).astype(np.uint8)
    return dataset_from_arrays(pixels.reshape(len(pixels), -1), image_shape=(64, 64))


def _spot(x: np.ndarray, y: np.ndarray, width: float, height: float) -> np.ndarray:
    return np.exp(-((x / width) ** 2) - (y / height) ** 2)


def linear_gaussian(chance: np.random.Generator) -> np.ndarray:
    """A subspace of five dimensions with noise, where nothing beats PCA."""
    return chance.normal(size=(2000, 5)) @ chance.normal(size=(5, 50)) + 0.3 * chance.normal(size=(2000, 50))


def curved_manifold(chance: np.random.Generator) -> np.ndarray:
    """Smooth functions of five causes."""
    waves = np.cos(0.5 * chance.normal(size=(2000, 5)) @ chance.normal(size=(5, 200)) + chance.uniform(0, 6.3, 200))
    return waves @ chance.normal(size=(200, 50)) / 14 + 0.02 * chance.normal(size=(2000, 50))


MADE: dict[str, Callable[[np.random.Generator], Any]] = {
    "house-like": house_like,
    "counts": counts,
    "spectra": spectra,
    "embeddings": embeddings,
    "expression": expression,
    "faces": faces,
    "linear Gaussian": linear_gaussian,
    "curved manifold": curved_manifold,
    "noise": lambda chance: chance.normal(size=(800, 20)),
}
BUNDLED = ("wine", "breast_cancer", "diabetes", "iris")
READ: dict[str, dict[str, Any]] = {
    "digits": {"source": "digits"},
    "mnist": {"source": "mnist", "max_samples": 4000, "download": False},
}
"""What a search reads itself; MNIST only if it is asked for."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=["digits", *BUNDLED, *MADE], help='also "mnist"')
    parser.add_argument("--kinds", nargs="*", default=["default", "reference"], choices=SETTINGS)
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    parser.add_argument("--epochs", type=int, help="train for so many instead")
    parser.add_argument("--data-dir", default="data", help="where MNIST lies")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found = []
    for name in arguments.only:
        for seed in arguments.seeds:
            for kind in arguments.kinds:
                found.append(measure(name, kind, seed, arguments.epochs, arguments.data_dir))
                print(found[-1], flush=True)
                if arguments.json:
                    content = {"environment": environment(1), "searches": found}
                    arguments.json.write_text(json.dumps(content, indent=1) + "\n")
    print(table(found))


def samples(name: str, seed: int) -> Any:
    """The samples of a data set; None for those that a search reads itself."""
    if name in READ:
        return None
    return MADE[name](np.random.default_rng(seed)) if name in MADE else getattr(datasets, f"load_{name}")().data


def measure(name: str, kind: str, seed: int, epochs: int | None, data_dir: str) -> dict[str, object]:
    """One search: its winner, PCA, and seconds from call to result; made data is another for each seed."""
    content = copy.deepcopy(SETTINGS[kind]) | {"seed": seed}
    content["data"] = {**content.get("data", {}), **READ.get(name, {}), "data_dir": data_dir}
    if epochs is not None:
        content["search"] = {"max_epochs": epochs}
    with tempfile.TemporaryDirectory() as scratch:
        start = time.perf_counter()
        result = run_search(parse_settings(content), data=samples(name, seed), name="quality", results_dir=scratch)
        seconds = time.perf_counter() - start
        folds = load_folds(result.directory)
        best = load_trials(result.directory).groupby("init")["val_mse_mean"].min()
    winner, selection = folds[folds["trial_id"] == result.selection.trial_id], result.selection
    return {
        "data": name,
        "settings": kind,
        "seed": seed,
        "winner": selection.label,
        "best_epoch": selection.best_epoch,
        "val_mse": winner["val_mse"].tolist(),
        "pca_val_mse": winner["pca_val_mse"].tolist(),
        "ratio": selection.val_mse_mean / selection.pca_val_mse_mean,
        "p": selection.pca_p_value,
        "best_by_init": (best / selection.pca_val_mse_mean).to_dict(),
        "test_mse": result.evaluation.mse,
        "pca_test_mse": result.evaluation.pca_mse,
        "test_difference": result.evaluation.pca_difference,
        "test_difference_se": result.evaluation.pca_difference_se,
        "seconds": seconds,
    }


def table(found: list[dict[str, Any]]) -> str:
    """A row for each data set: medians over the seeds."""
    kinds = list(dict.fromkeys(search["settings"] for search in found))
    lines = ["| data | " + " | ".join(f"{kind}: ratio | p | on the test set | s" for kind in kinds) + " |"]
    lines.append("| --- |" + " --- |" * 4 * len(kinds))
    for name in dict.fromkeys(search["data"] for search in found):
        cells = []
        for kind in kinds:
            of_both = [s for s in found if (s["data"], s["settings"]) == (name, kind)]
            if not of_both:
                cells.append(" | | | ")
                continue
            ratio, p, seconds = (np.median([s[key] for s in of_both]) for key in ("ratio", "p", "seconds"))
            test = np.median([s["test_mse"] / s["pca_test_mse"] for s in of_both])
            cells.append(f"{ratio:.2f} | {p:.3f} | {test:.2f} | {seconds:.0f}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
