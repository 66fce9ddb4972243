"""What the models of all folds, used as one, gain beside the single model that is trained on all rows.

`python benchmarks/fold_ensemble.py [--only NAME ...] [--seeds 0 1 2] [--epochs N] [--json FILE]`. Both are trained for
as many epochs as are best in cross-validation, by the engine alone, with one hidden layer of 512 units and a code as
large as PCA needs for 95 % of the variance; the MSE is that of a test set which none has seen. "models" is the mean of
the members' own errors.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from default_quality import BUNDLED, MADE, samples
from training import environment

from ae_model import (
    Configuration,
    Scaling,
    code_size_for,
    dataset_from_arrays,
    explained_variance_ratio,
    fit_autoencoder,
    fit_scaling,
    load_dataset,
    make_folds,
    pca_baseline,
)
from ae_model.cross_validation import CrossValidation
from ae_model.folds import Fold

WIDTH, N_SPLITS = 512, 5
DATA = ["digits", "wine", "breast_cancer", "curved manifold", "counts"]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=DATA, choices=["digits", *BUNDLED, *MADE])
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found: list[dict[str, Any]] = []
    print("| data | start | single | models | ensemble | ratio | PCA |\n| --- | --- | --- | --- | --- | --- | --- |")
    for name in arguments.only:
        for init in ("pca", "random"):
            of_seeds = [measure(name, init, seed, arguments.epochs) for seed in arguments.seeds]
            found += of_seeds
            single, models, ensemble, pca = (
                float(np.median([one[key] for one in of_seeds])) for key in ("single", "models", "ensemble", "pca")
            )
            ratio = float(np.median([one["ensemble"] / one["single"] for one in of_seeds]))
            print(f"| {name} | {init} | {single:.5f} | {models:.5f} | {ensemble:.5f} | {ratio:.2f} | {pca:.5f} |")
    if arguments.json:
        content = {"environment": environment(1), "epochs": arguments.epochs, "results": found}
        arguments.json.write_text(json.dumps(content, indent=1) + "\n")


def measure(name: str, init: str, seed: int, epochs: int) -> dict[str, Any]:
    """Train both, and look at the test rows once."""
    made = samples(name, seed)
    dataset = load_dataset(name, seed=seed) if made is None else dataset_from_arrays(made, seed=seed)
    x, test = dataset.development, dataset.test
    kind = "range" if dataset.value_range is not None else "standard"
    scaling = fit_scaling(x, dataset.value_range, kind)
    size = code_size_for(0.95, explained_variance_ratio(x, scaling))
    configuration = Configuration(
        layer_sizes=(x.shape[1], WIDTH, size), code_activation="linear", output_activation="linear", init=init
    )
    folds = make_folds(len(x), N_SPLITS, seed)
    how: dict[str, Any] = {"seed": seed, "value_range": dataset.value_range, "scaling": kind}
    validation = CrossValidation(x, [configuration], folds=folds, max_epochs=epochs, keep_models="best", **how)
    for _ in validation:
        pass
    out_of_fold, models = validation.out_of_fold(0), validation.kept_models(0)
    assert out_of_fold is not None
    assert models is not None
    single, _ = fit_autoencoder(x, scaling, configuration, epochs=out_of_fold.epoch, seed=seed)
    by_models = [reconstructed(model, own, test) for model, own in zip(models, validation.scalings, strict=True)]
    everything = Fold(train=np.arange(len(x)), validation=np.arange(len(x), len(x) + len(test)))
    pca = pca_baseline(np.concatenate([x, test]), [everything], [size], dataset.value_range, scaling=kind)

    def mse(reconstruction: np.ndarray) -> float:
        return float(np.square(scaling.transform(test) - scaling.transform(reconstruction)).mean())

    return {
        "data": name,
        "init": init,
        "seed": seed,
        "epoch": out_of_fold.epoch,
        "code_size": size,
        "single": mse(reconstructed(single, scaling, test)),
        "models": float(np.mean([mse(one) for one in by_models])),
        "ensemble": mse(np.mean(by_models, axis=0)),
        "pca": float(pca[0, 0]),
    }


@torch.no_grad()
def reconstructed(model: torch.nn.Module, scaling: Scaling, x: np.ndarray) -> np.ndarray:
    """What a model makes of samples, in their own units."""
    scaled = torch.from_numpy(scaling.transform(x)).float()
    return scaling.inverse(model.eval()(scaled)[0].double().numpy())


if __name__ == "__main__":
    main()
