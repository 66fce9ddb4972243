"""Whether a search claims to have found something where there is nothing: pure noise.

`python benchmarks/no_structure.py [--seeds 0 1 ...] [--json FILE]` needs no Ray. 800 samples of 20 independent normal
features, and code sizes 1, 5 and 10. Any k coordinates keep k of 20 equal variances, so k/20 is what there is to
explain, and nothing explains more of new samples. The default configurations of each code size are cross-validated as
a search does it, and every rule chooses. Above k/20 by more than twice its standard error is a claim that is wrong.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from smallest_code import configurations
from training import environment

from ae_model.arithmetic import arithmetic
from ae_model.cross_validation import CrossValidation
from search import parse_settings
from search.execution.packs import make_packs
from search.lengths import training_length
from search.plan import Plan, make_plan

N_SAMPLES, N_FEATURES, CODE_SIZES = 800, 20, (1, 5, 10)
RULES = ("best", "one-se")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", nargs="*", type=int, default=list(range(30)))
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found: list[dict[str, Any]] = []
    for seed in arguments.seeds:
        found += measure(seed, arguments.steps)
        print(*found[-len(CODE_SIZES) :], sep="\n", flush=True)
        if arguments.json:
            content = {"environment": environment(1), "trials": found}
            arguments.json.write_text(json.dumps(content, indent=1) + "\n")
    print(table(found))


def measure(seed: int, steps: int) -> list[dict[str, Any]]:
    """The trials of each code size: FVE of each fold at the best epoch, and the MSE that it was chosen by."""
    values = np.random.default_rng(seed).normal(size=(N_SAMPLES, N_FEATURES))
    plan = make_plan(parse_settings({"seed": seed, "search": {"max_steps": steps}}), values)
    return [row for size in CODE_SIZES for row in trained(plan, size, seed)]


def trained(plan: Plan, size: int, seed: int) -> list[dict[str, Any]]:
    """The default configurations with a code of the given size, cross-validated."""
    design = plan.design
    wanted = {str(n): configuration for n, configuration in enumerate(configurations(plan, size))}
    best: dict[str, tuple[float, np.ndarray, np.ndarray]] = {}
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
                    # As in the tables: a start at PCA stays unless another epoch is lower by 1 %.
                    mse = float(record.val_mse.mean()) * (0.99 if record.epoch == 0 else 1.0)
                    if mse < best.get(names[number], (np.inf,))[0]:
                        best[names[number]] = mse, record.val_mse, record.val_fve
    return [
        {
            "seed": seed,
            "code_size": size,
            "label": f"{wanted[name].text} {wanted[name].init}",
            "n_parameters": wanted[name].n_parameters,
            "val_mse": val_mse.round(6).tolist(),
            "val_fve": fve.round(6).tolist(),
        }
        for name, (_, val_mse, fve) in best.items()
    ]


def table(found: list[dict[str, Any]]) -> str:
    """For each code size and rule: the winners' FVE, what there is to explain, and how often they claim more."""
    lines = ["| code size | rule | FVE, mean of the winners | k/20 | above it by 2 se | largest excess, se |"]
    lines.append("| --- |" + " --- |" * 5)
    trials = pd.DataFrame(found)
    trials["mse"] = [float(np.mean(mse)) for mse in trials["val_mse"]]
    trials["mse_se"] = [float(np.std(mse, ddof=1) / len(mse) ** 0.5) for mse in trials["val_mse"]]
    for size, of_size in trials.groupby("code_size"):
        for rule in RULES:
            winners = [_winner(of_seed, rule) for _, of_seed in of_size.groupby("seed")]
            fve = np.array([w["val_fve"] for w in winners])
            truth = int(size) / N_FEATURES
            excess = (fve.mean(axis=1) - truth) / (fve.std(axis=1, ddof=1) / fve.shape[1] ** 0.5)
            n = f"{int((excess > 2).sum())} of {len(winners)}"
            lines.append(f"| {size} | {rule} | {fve.mean():.4f} | {truth:g} | {n} | {excess.max():.1f} |")
    return "\n".join(lines)


def _winner(trials: pd.DataFrame, rule: str) -> "pd.Series[Any]":
    """By a rule of `search.selection`; with one code size, that of the smallest code chooses as "best" does."""
    best = trials.loc[trials["mse"].idxmin()]
    near = trials[trials["mse"] <= best["mse"] + best["mse_se"]]
    by = {"best": ["mse"], "one-se": ["n_parameters", "mse"]}[rule]
    winner: pd.Series[Any] = near.sort_values(by).iloc[0]
    return winner


if __name__ == "__main__":
    main()
