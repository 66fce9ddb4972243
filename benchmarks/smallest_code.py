"""Whether the smallest code that reaches a target has the size of the truth, where that is known.

`python benchmarks/smallest_code.py [--kinds linear curved "more curved"] [--dimensions 3 5 8] [--seeds 0 1 ...]
[--json FILE]` needs no Ray; `pip install scikit-dimension` adds its estimates. What the file holds already is not
measured again.

2,000 samples with 50 features: a linear image of d normal causes with noise that is a tenth of the variance, or smooth
random functions of them (random Fourier features) with 2 %. The signal's part of the variance, after scaling, can be
explained, and the noise cannot, but for the d/50 of it that lie along the manifold. The target is 99 % of the signal's
part for the linear image: with one unit less its weakest direction is lost, which has more than that. A curved manifold
has to be learnt from 1,280 samples: there it is 95 %, while the d best components have less than 80 %. Configurations
and settings are the default ones with starts at PCA, but for the number of steps. "More curved" is where so few steps
are not enough, and the code becomes larger than the truth.
"""

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from training import environment

from ae_model import Configuration
from ae_model.arithmetic import arithmetic
from ae_model.cross_validation import CrossValidation
from ae_model.pca import pca_fve
from ae_model.scaling import fit_scaling
from search import parse_settings
from search.execution.packs import make_packs
from search.intrinsic_dimension import intrinsic_dimensions
from search.lengths import training_length
from search.plan import Plan, make_plan
from search.smallest_code import answer, next_sizes, overall, pca_size, search_range
from search.space import make_configurations

N_SAMPLES, N_FEATURES, N_WAVES = 2000, 50, 200


def linear(chance: np.random.Generator, d: int) -> np.ndarray:
    """A linear image of d causes."""
    return chance.normal(size=(N_SAMPLES, d)) @ chance.normal(size=(d, N_FEATURES))


def curved(chance: np.random.Generator, d: int, curvature: float = 0.7) -> np.ndarray:
    """Sums of waves over d causes, equally curved whatever d is.

    The curvature is the standard deviation of a wave's phase in radians. Of a wave's variance 78 % are linear in the
    causes at 0.7, and 58 % at 1.
    """
    phases = curvature / d**0.5 * chance.normal(size=(N_SAMPLES, d)) @ chance.normal(size=(d, N_WAVES))
    return np.cos(phases + chance.uniform(0, 2 * np.pi, N_WAVES)) @ chance.normal(size=(N_WAVES, N_FEATURES))


KINDS: dict[str, tuple[Callable[[np.random.Generator, int], np.ndarray], float, float, int]] = {
    "linear": (linear, 0.10, 0.99, 1),
    "curved": (curved, 0.02, 0.95, 2),
    "more curved": (partial(curved, curvature=1.0), 0.02, 0.95, 2),
}
"""Signal, the noise's part of the variance, the part of the signal to be explained, and how far off is still right."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", nargs="*", default=["linear", "curved"], choices=KINDS)
    parser.add_argument("--dimensions", nargs="*", type=int, default=[3, 5, 8])
    parser.add_argument("--seeds", nargs="*", type=int, default=list(range(30)))
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found: list[dict[str, Any]] = []
    if arguments.json and arguments.json.exists():
        found = json.loads(arguments.json.read_text(encoding="utf-8"))["searches"]
    done = {(f["kind"], f["d"], f["seed"], f["steps"]) for f in found}
    for seed in arguments.seeds:
        for kind in arguments.kinds:
            for d in arguments.dimensions:
                if (kind, d, seed, arguments.steps) in done:
                    continue
                found.append(measure(kind, d, seed, arguments.steps))
                print({name: found[-1][name] for name in ("kind", "d", "seed", "answer", "pca")}, flush=True)
                if arguments.json:
                    write(found, arguments.json)
    print(table(found))


def write(found: list[dict[str, Any]], path: Path) -> None:
    """All raw values, a search in a line."""
    lines = ",\n".join(json.dumps(search) for search in found)
    text = f'{{"environment": {json.dumps(environment(1))},\n"searches": [\n{lines}\n]}}\n'
    path.write_text(text, encoding="utf-8")


def samples(kind: str, d: int, seed: int) -> tuple[np.ndarray, float]:
    """The signal with its noise, and the noise's variance in every feature."""
    signal, noise, _, _ = KINDS[kind]
    chance = np.random.default_rng([seed, d])
    values = signal(chance, d)
    variance = float(values.var(axis=0).mean()) * noise / (1 - noise)
    return values + variance**0.5 * chance.normal(size=values.shape), variance


def measure(kind: str, d: int, seed: int, steps: int) -> dict[str, Any]:
    """One search for the smallest code, choice by choice."""
    start = time.process_time()
    made, noise = samples(kind, d, seed)
    settings = {"seed": seed, "space": {"init": ["pca"]}, "search": {"max_steps": steps}}
    plan = make_plan(parse_settings(settings), made)
    design, values = plan.design, plan.dataset.development
    scaling = fit_scaling(values, design.value_range, design.scaling)
    # Scaling makes more of features with little signal, and of their noise.
    signal = 1 - noise * float(np.square(scaling.scale).sum() / scaling.transform(values).var(axis=0).sum())
    target = round(KINDS[kind][2] * signal, 4)
    pca = pca_fve(values, design.folds, design.value_range, scaling=design.scaling)
    high, guesses = search_range(pca, [target])
    measured: dict[int, dict[int, np.ndarray]] = defaultdict(dict)
    n_choices = len(configurations(plan, 1))
    while True:
        wanted = {
            f"{choice} {size}": configurations(plan, size)[choice]
            for choice in range(n_choices)
            for size in next_sizes(measured[choice], [target], low=1, high=high, guesses=guesses)
        }
        if not wanted:
            break
        for name, fve in train(plan, wanted).items():
            choice, size = map(int, name.split())
            measured[choice][size] = fve
    answers = [answer(measured[choice], target) for choice in range(n_choices)]
    together = overall(answers)
    return {
        "kind": kind,
        "d": d,
        "seed": seed,
        "steps": steps,
        "answer": asdict(together),
        "choices": [asdict(a) for a in answers],
        "signal": signal,
        "fve": [{size: fve.round(5).tolist() for size, fve in sorted(measured[c].items())} for c in range(n_choices)],
        "pca": pca_size(pca, target),
        "dimensions": intrinsic_dimensions(values, scaling),
        "trials": sum(map(len, measured.values())),
        "cpu_seconds": time.process_time() - start,
    }


def configurations(plan: Plan, code_size: int) -> list[Configuration]:
    """The configurations of a code size, one for each choice."""
    n_features = plan.dataset.development.shape[1]
    return make_configurations(plan.settings.space, input_size=n_features, code_sizes=[code_size])


def train(plan: Plan, wanted: Mapping[str, Configuration]) -> dict[str, np.ndarray]:
    """The FVE of each fold at the best epoch."""
    design, best = plan.design, dict.fromkeys(wanted, np.inf)
    fve: dict[str, np.ndarray] = {}
    with arithmetic(n_threads=1, fp32_precision="ieee"):
        for pack in make_packs(wanted, n_rows=plan.n_training_rows):
            names, members = list(pack), list(pack.values())
            length = training_length(plan.settings.search, design.folds, members[0].batch_size)
            for records in CrossValidation(
                plan.dataset.development,
                members,
                folds=design.folds,
                max_epochs=length.epochs,
                seed=design.seed,
                value_range=design.value_range,
                scaling=design.scaling,
                patience=length.patience,
            ):
                for number, record in records.items():
                    if record.val_mse.mean() < best[names[number]]:
                        best[names[number]], fve[names[number]] = record.val_mse.mean(), record.val_fve
    return fve


def table(found: list[dict[str, Any]]) -> str:
    """A row for each kind and dimension: how often the answer is right, and what the yardsticks say."""
    lines = [
        "| data | d | seeds | answer within | right | d in the interval | answers | its ends, medians | PCA "
        "| FisherS | MOM | trials | CPU s |",
        "| --- |" + " --- |" * 12,
    ]
    for kind, d in sorted({(f["kind"], f["d"]) for f in found}, reverse=True):
        of_both = [f for f in found if (f["kind"], f["d"]) == (kind, d)]
        within = KINDS[kind][3]
        sizes = [f["answer"]["size"] or np.inf for f in of_both]
        ends = [(f["answer"]["low"] or np.inf, f["answer"]["high"] or np.inf) for f in of_both]
        right = np.mean([abs(size - d) <= within for size in sizes])
        covered = np.mean([low <= d <= high for low, high in ends])
        counts = ", ".join(f"{size:g}: {sizes.count(size)}" for size in sorted(set(sizes)))
        low, high = np.median(ends, axis=0)
        columns = [f"{np.median([f['pca'] or np.inf for f in of_both]):g}"]
        for name in ("FisherS", "MOM"):
            known = [f["dimensions"][name] for f in of_both if name in f["dimensions"]]
            columns.append(f"{np.median(known):.1f}" if known else "")
        columns += [f"{np.median([f['trials'] for f in of_both]):g}"]
        columns += [f"{np.median([f['cpu_seconds'] for f in of_both]):.0f}"]
        columns = [f"{right:.0%}", f"{covered:.0%}", counts, f"{low:g} to {high:g}", *columns]
        lines.append(f"| {kind} | {d} | {len(of_both)} | {within} | {' | '.join(columns)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
