"""Anomalies in labelled tables: areas under the curve, and false-alarm rates that were promised and kept.

`python benchmarks/anomalies.py [--only NAME ...] [--splits 50] [--json FILE]` needs `pip install pyod tqdm` for PyOD.
Each split draws six tenths of the inliers for training; the others, and all outliers, are scored. Ours: two
configurations by five-fold cross-validation, the better one trained on all, alarms by its out-of-fold errors. Beside it
PCA with as many components, and PyOD's `AutoEncoder` with its defaults, on the same scaled rows: alarms by the quantile
of the errors of their own training rows, as PyOD's `contamination` does it.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from default_quality import curved_manifold
from sklearn import datasets
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score
from training import environment

from ae_model import Configuration, code_size_for, explained_variance_ratio, fit_autoencoder, fit_scaling, make_folds
from ae_model.anomalies import expected_alarms, threshold
from ae_model.cross_validation import CrossValidation

RATES = (0.01, 0.05, 0.1)
"""False-alarm rates that are asked for; what is possible with so many rows is promised."""
WIDTHS: tuple[tuple[int, ...], ...] = ((), (64,))
"""Hidden layers of ours."""
STEPS = 1000
BATCH = 64

Table = tuple[np.ndarray, np.ndarray]
"""Inliers and outliers, `(rows, features)` each."""


def breast_cancer() -> Table:
    """Benign tumours, and malignant ones."""
    x, y = datasets.load_breast_cancer(return_X_y=True)
    return x[y == 1], x[y == 0]


def wine() -> Table:
    """Two cultivars, and the third."""
    x, y = datasets.load_wine(return_X_y=True)
    return x[y != 2], x[y == 2]


def digits() -> Table:
    """All digits but nines, and nines."""
    x, y = datasets.load_digits(return_X_y=True)
    return x[y != 9], x[y == 9]


def off_the_manifold() -> Table:
    """Rows on a curved manifold, and rows of which every tenth value or so is another row's."""
    chance = np.random.default_rng(0)
    x = np.asarray(curved_manifold(chance))
    outliers = np.stack([chance.permutation(column) for column in x.T], axis=1)[: len(x) // 5]
    mixed = np.where(chance.random((len(outliers), x.shape[1])) < 0.9, x[: len(outliers)], outliers)
    return x[len(outliers) :], mixed


TABLES: dict[str, Callable[[], Table]] = {
    "breast cancer": breast_cancer,
    "wine": wine,
    "digits": digits,
    "off the manifold": off_the_manifold,
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=list(TABLES), choices=TABLES)
    parser.add_argument("--splits", type=int, default=50)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found: list[dict[str, Any]] = []
    torch.set_num_threads(1)
    print("| table | detector | AUC | " + " | ".join(f"alarms at {rate:g}" for rate in RATES) + " |")
    print("| --- | --- | --- |" + " --- |" * len(RATES))
    for name in arguments.only:
        for split in range(arguments.splits):
            found += [one | {"table": name, "split": split} for one in measure(TABLES[name](), split)]
        print("\n".join(rows(name, [one for one in found if one["table"] == name])), flush=True)
        if arguments.json:
            arguments.json.write_text(json.dumps({"environment": environment(1), "results": found}) + "\n")


def measure(table: Table, seed: int) -> Iterator[dict[str, Any]]:
    """Each detector on one split: its area under the curve, and alarms among inliers it has not seen."""
    inliers, outliers = (part.astype(np.float32) for part in table)
    order = np.random.default_rng(seed).permutation(len(inliers))
    n = round(0.6 * len(inliers))
    training, new = inliers[np.sort(order[:n])], inliers[np.sort(order[n:])]
    scaling = fit_scaling(training, None, "standard")
    code_size = code_size_for(0.95, explained_variance_ratio(training, scaling))
    configuration, epochs, usual = searched(training, code_size, seed)
    model, _ = fit_autoencoder(training, scaling, configuration, epochs=epochs, seed=seed)
    model.eval()

    def by_model(x: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            scaled = torch.from_numpy(scaling.transform(x)).float()
            return (model(scaled)[0] - scaled).square().mean(1).double().numpy()

    yield scored("ours", by_model(new), by_model(outliers), usual)
    scaled = [scaling.transform(x) for x in (training, new, outliers)]
    pca = PCA(code_size).fit(scaled[0])
    errors = [np.square(x - pca.inverse_transform(pca.transform(x))).mean(axis=1) for x in scaled]
    yield scored("PCA", errors[1], errors[2], errors[0], in_sample=True)
    try:
        from pyod.models.auto_encoder import AutoEncoder
    except ImportError:
        return
    detector = AutoEncoder(preprocessing=False, random_state=seed, verbose=0, device="cpu")
    detector.fit(scaled[0])
    yield scored(
        "PyOD", *(detector.decision_function(x) for x in scaled[1:]), detector.decision_scores_, in_sample=True
    )


def searched(training: np.ndarray, code_size: int, seed: int) -> tuple[Configuration, int, np.ndarray]:
    """The better configuration, its best epoch, and its out-of-fold errors there."""
    folds = make_folds(len(training), 5, seed)
    epochs = -(-STEPS // -(-len(folds[0].train) // BATCH))
    found = []
    for hidden in WIDTHS:
        configuration = Configuration(
            layer_sizes=(training.shape[1], *hidden, code_size),
            code_activation="linear",
            output_activation="linear",
            learning_rate=1e-3,
            batch_size=BATCH,
            init="pca",
        )
        validation = CrossValidation(
            training, [configuration], folds=folds, max_epochs=epochs, seed=seed, scaling="standard"
        )
        for _ in validation:
            pass
        kept = validation.out_of_fold(0)
        if kept is not None:
            found.append((configuration, kept.epoch, kept.mse.astype(np.float64)))
    return min(found, key=lambda one: float(one[2].mean()))


def scored(
    detector: str, inliers: np.ndarray, outliers: np.ndarray, usual: np.ndarray, *, in_sample: bool = False
) -> dict[str, Any]:
    """How well errors tell inliers from outliers, and how often new inliers give alarms."""
    labels = np.repeat([0, 1], [len(inliers), len(outliers)])
    one: dict[str, Any] = {
        "detector": detector,
        "auc": round(float(roc_auc_score(labels, np.concatenate([inliers, outliers]))), 5),
        "n_new": len(inliers),
        "promised": [],
        "kept": [],
        "found": [],
        "within": [],
    }
    for rate in RATES:
        if in_sample:
            limit, promised, within = float(np.quantile(usual, 1 - rate)), rate, None
        else:
            at = threshold(usual, max(rate, 1 / (len(usual) + 1)))
            limit, promised = at.mse, at.false_alarm_rate
            _, low, high = expected_alarms(len(inliers), at)
            within = bool(low <= (inliers > limit).sum() <= high)
        one["promised"].append(round(promised, 5))
        one["kept"].append(round(float((inliers > limit).mean()), 5))
        one["found"].append(round(float((outliers > limit).mean()), 5))
        one["within"].append(within)
    return one


def rows(name: str, found: list[dict[str, Any]]) -> Iterator[str]:
    """A line for each detector: means over splits, kept beside promised."""
    for detector in dict.fromkeys(one["detector"] for one in found):
        of_it = [one for one in found if one["detector"] == detector]
        kept, promised, caught = (np.array([one[key] for one in of_it]) for key in ("kept", "promised", "found"))
        se = kept.std(axis=0, ddof=1) / len(kept) ** 0.5 if len(kept) > 1 else np.zeros(len(RATES))
        cells = [
            f"{kept[:, i].mean():.3f} ± {se[i]:.3f} (promised {promised[:, i].mean():.3f}; outliers "
            f"{caught[:, i].mean():.2f})"
            for i in range(len(RATES))
        ]
        auc = np.array([one["auc"] for one in of_it])
        yield f"| {name} | {detector} | {auc.mean():.3f} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
