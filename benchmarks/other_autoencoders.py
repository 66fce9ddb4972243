"""Autoencoders of other libraries with their defaults, on the data sets and folds of `default_quality.py`.

`python benchmarks/other_autoencoders.py [--only NAME ...] [--seeds 0 1 2] [--json FILE]` needs `pip install pyod tqdm`.
Each takes the samples as a default search scales them and has the code size that the search has: PyOD's `AutoEncoder`
with its 64 units before the code, scikit-learn's `MLPRegressor` with the code as its one hidden layer. A ratio is the
cross-validated MSE over PCA's; seconds are those of all folds, one after the other.
"""

import argparse
import json
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from default_quality import BUNDLED, MADE, READ, samples
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor
from training import environment

from ae_model import Dataset, dataset_from_arrays, load_dataset, make_folds, pca_baseline
from ae_model.folds import fold_scalings
from search import SearchSettings, propose_code_sizes
from search.scaling import resolved_scaling

Fit = Callable[[np.ndarray, int, int], Callable[[np.ndarray], float]]
"""Trains on scaled samples, given code size and seed; returns what gives the sum of squared errors of others."""


def pyod(training: np.ndarray, code_size: int, seed: int) -> Callable[[np.ndarray], float]:
    """PyOD's, whose score is the length of a sample's error."""
    from pyod.models.auto_encoder import AutoEncoder

    detector = AutoEncoder(
        hidden_neuron_list=[64, code_size], preprocessing=False, random_state=seed, verbose=0, device="cpu"
    )
    detector.fit(training)
    return lambda values: float(np.square(detector.decision_function(values)).sum())


def mlp(training: np.ndarray, code_size: int, seed: int) -> Callable[[np.ndarray], float]:
    """scikit-learn's regressor from the samples to themselves."""
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        regressor = MLPRegressor(hidden_layer_sizes=(code_size,), random_state=seed).fit(training, training)
    return lambda values: float(np.square(regressor.predict(values) - values).sum())


LIBRARIES: dict[str, Fit] = {"PyOD": pyod, "MLPRegressor": mlp}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=["digits", *BUNDLED, *MADE], help='also "mnist"')
    parser.add_argument("--libraries", nargs="*", default=list(LIBRARIES), choices=LIBRARIES)
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    parser.add_argument("--data-dir", default="data", help="where MNIST lies")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found: list[dict[str, Any]] = []
    print("| data | library | code size | ratio | s |\n| --- | --- | --- | --- | --- |")
    for name in arguments.only:
        for seed in arguments.seeds:
            for library in arguments.libraries:
                found.append(measure(_dataset(name, seed, arguments.data_dir), LIBRARIES[library], seed))
                found[-1] |= {"data": name, "library": library, "seed": seed}
                one = found[-1]
                print(
                    f"| {name} | {library} | {one['code_size']} | {one['ratio']:.2f} | {one['seconds']:.1f} |",
                    flush=True,
                )
    if arguments.json:
        arguments.json.write_text(json.dumps({"environment": environment(1), "results": found}, indent=1) + "\n")


def measure(dataset: Dataset, fit: Fit, seed: int) -> dict[str, Any]:
    """Cross-validate one library on one data set."""
    settings, values = SearchSettings(seed=seed), dataset.development
    (code_size,) = propose_code_sizes(dataset, settings).code_sizes
    folds, scaling = make_folds(len(values), settings.search.n_splits, seed), resolved_scaling(settings, dataset)
    scalings = fold_scalings(values, folds, dataset.value_range, scaling)
    start = time.perf_counter()
    mse = []
    for fold, fitted in zip(folds, scalings, strict=True):
        validation = fitted.transform(values[fold.validation]).astype(np.float32)
        error_of = fit(fitted.transform(values[fold.train]).astype(np.float32), code_size, seed)
        mse.append(error_of(validation) / validation.size)
    seconds = time.perf_counter() - start
    pca = pca_baseline(values, folds, [code_size], dataset.value_range, scaling=scaling)[0]
    ratio = float(np.mean(mse) / pca.mean())
    return {"code_size": code_size, "val_mse": mse, "pca_val_mse": pca.tolist(), "ratio": ratio, "seconds": seconds}


def _dataset(name: str, seed: int, data_dir: str) -> Dataset:
    """The data set as a search would have it."""
    if name in READ:
        return load_dataset(**READ[name], data_dir=data_dir, seed=seed)
    values = samples(name, seed)
    return values if isinstance(values, Dataset) else dataset_from_arrays(values, seed=seed)


if __name__ == "__main__":
    main()
