"""Whether a search claims to have found something where there is nothing: pure noise.

`python benchmarks/no_structure.py [--seeds 0 1 ...] [--json FILE]` needs no Ray. 800 samples of 20 independent normal
features, and code sizes 1, 5 and 10. Any k coordinates keep k of 20 equal variances; a curved map keeps a little more.
The default configurations of each code size are cross-validated as a search does it, and rules choose. What the winner
truly explains, trained on all rows as `retrain` does it, is measured on 20,000 new samples; a cross-validated MSE that
is lower by more than twice its standard error claims too much: the winner's own, and that without the luck of being
chosen.
"""

import argparse
import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from smallest_code import configurations
from training import environment

from ae_model.arithmetic import arithmetic
from ae_model.configuration import Configuration
from ae_model.cross_validation import CrossValidation
from ae_model.patience import START_GAIN
from ae_model.scaling import fit_scaling
from ae_model.training import fit_autoencoder
from search import parse_settings
from search.cross_fit import cross_fit
from search.execution.packs import make_packs
from search.lengths import training_length
from search.plan import Plan, make_plan

N_SAMPLES, N_FEATURES, CODE_SIZES = 800, 20, (1, 5, 10)
RULES = ("best", "one-se")
N_NEW = 20_000


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
        print(*found[-len(CODE_SIZES) * len(RULES) :], sep="\n", flush=True)
        if arguments.json:
            content = {"environment": environment(1), "winners": found}
            arguments.json.write_text(json.dumps(content, indent=1) + "\n")
    print(table(found))


def measure(seed: int, steps: int) -> list[dict[str, Any]]:
    """The winner of each code size and rule: what the folds say of it, and what it explains of new samples."""
    values = np.random.default_rng(seed).normal(size=(N_SAMPLES, N_FEATURES))
    new = np.random.default_rng([seed, 1]).normal(size=(N_NEW, N_FEATURES))
    plan = make_plan(parse_settings({"seed": seed, "search": {"max_steps": steps}}), values)
    found = []
    for size in CODE_SIZES:
        members = configurations(plan, size)
        epochs = cross_validated(plan, members)
        trials = pd.DataFrame(
            {
                "trial_id": [str(n) for n in range(len(members))],
                "number": range(len(members)),
                "code_size": size,
                "n_parameters": [c.n_parameters for c in members],
            }
        )
        n_splits = len(plan.design.folds)
        for rule in RULES:
            winner = choose(best_epochs(epochs, trials), rule)
            fitted = cross_fit(epochs, trials, partial(choose, rule=rule), n_splits)
            assert fitted is not None
            configuration = members[int(winner["number"])]
            new_mse, new_fve = on_new_samples(plan, configuration, int(winner["epoch"]), new)
            found.append(
                {
                    "seed": seed,
                    "code_size": size,
                    "rule": rule,
                    "configuration": f"{configuration.text} {configuration.init}",
                    "epoch": int(winner["epoch"]),
                    "val_mse_mean": float(winner["val_mse_mean"]),
                    "val_mse_se": float(winner["val_mse_se"]),
                    "val_fve_mean": float(winner["val_fve_mean"]),
                    "cross_fit_mse_mean": fitted.val_mse_mean,
                    "cross_fit_mse_se": fitted.val_mse_se,
                    "cross_fit_fve_mean": fitted.val_fve_mean,
                    "new_mse": new_mse,
                    "new_fve": new_fve,
                }
            )
    return found


def on_new_samples(plan: Plan, configuration: Configuration, epoch: int, new: np.ndarray) -> tuple[float, float]:
    """MSE and FVE on new samples, of a configuration trained on all development rows."""
    design, values = plan.design, plan.dataset.development
    scaling = fit_scaling(values, design.value_range, design.scaling)
    with arithmetic(n_threads=1, fp32_precision="ieee"):
        model, _ = fit_autoencoder(values, scaling, configuration, epochs=epoch, seed=design.seed)
        x = torch.from_numpy(scaling.transform(new).astype(np.float32))
        with torch.no_grad():
            squared = float(torch.square(model(x)[0] - x).sum())
    total = float(np.square(x.numpy() - scaling.transform(values).mean(axis=0)).sum())
    return squared / x.numel(), 1 - squared / total


def cross_validated(plan: Plan, members: list[Configuration]) -> pd.DataFrame:
    """A row per configuration, epoch and fold, as `load_epochs` gives them."""
    design = plan.design
    rows = []
    with arithmetic(n_threads=1, fp32_precision="ieee"):
        for pack in make_packs({str(n): member for n, member in enumerate(members)}, n_rows=plan.n_training_rows):
            names = list(pack)
            length = training_length(plan.settings.search, design.folds, next(iter(pack.values())).batch_size)
            for records in CrossValidation(
                plan.dataset.development,
                list(pack.values()),
                folds=design.folds,
                max_epochs=length.epochs,
                seed=design.seed,
                value_range=design.value_range,
                scaling=design.scaling,
                patience=length.patience,
            ):
                for member, record in records.items():
                    name, folds = names[member], zip(record.val_mse, record.val_fve, strict=True)
                    rows += [(name, int(name), record.epoch, fold, *values) for fold, values in enumerate(folds)]
    return pd.DataFrame(rows, columns=["trial_id", "number", "epoch", "fold", "val_mse", "val_fve"])


def best_epochs(epochs: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    """The trials with what the folds say of their best epochs."""
    means = epochs.groupby(["trial_id", "epoch"], as_index=False).agg(
        val_mse_mean=("val_mse", "mean"), val_mse_se=("val_mse", "sem"), val_fve_mean=("val_fve", "mean")
    )
    counted = means["val_mse_mean"] * np.where(means["epoch"] == 0, 1 - START_GAIN, 1.0)
    return trials.merge(means.loc[counted.groupby(means["trial_id"]).idxmin()], on="trial_id")


def choose(trials: pd.DataFrame, rule: str) -> "pd.Series[Any]":
    """By a rule of `search.selection`; with one code size, that of the smallest code chooses as "best" does."""
    best = trials.loc[trials["val_mse_mean"].idxmin()]
    near = trials[trials["val_mse_mean"] <= best["val_mse_mean"] + best["val_mse_se"]]
    by = {"best": ["val_mse_mean"], "one-se": ["n_parameters", "val_mse_mean"]}[rule]
    winner: pd.Series[Any] = near.sort_values(by).iloc[0]
    return winner


def table(found: list[dict[str, Any]]) -> str:
    """For each code size and rule: FVE by the winner, without its luck, and in truth; how often it is too high."""
    columns = ["code size", "rule", "FVE of the winner", "without luck", "on new samples", "too high", "without luck"]
    lines = [f"| {' | '.join(columns)} |", "| --- |" + " --- |" * 6]
    for (size, rule), winners in pd.DataFrame(found).groupby(["code_size", "rule"]):
        means = winners[["val_fve_mean", "cross_fit_fve_mean", "new_fve"]].mean()
        too_low = [
            (winners["new_mse"] - winners[f"{kind}_mse_mean"] > 2 * winners[f"{kind}_mse_se"]).sum()
            for kind in ("val", "cross_fit")
        ]
        cells = [f"{mean:.4f}" for mean in means] + [f"{n} of {len(winners)}" for n in too_low]
        lines.append(f"| {size} | {rule} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
