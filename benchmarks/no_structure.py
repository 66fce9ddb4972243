"""Whether a search claims to have found something where there is nothing: pure noise.

`python benchmarks/no_structure.py [--seeds 0 1 ...] [--json FILE]` needs no Ray. 800 samples of 20 independent normal
features, and code sizes 1, 5 and 10. Any k coordinates keep k of 20 equal variances; a curved map keeps a little more.
The default configurations of each code size are cross-validated as a search does it, and rules choose. What the winner
truly explains, trained on all rows as `retrain` does it, is measured on 20,000 new samples; a cross-validated FVE that
is higher by more than twice its standard error claims too much.
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
from ae_model.scaling import fit_scaling
from ae_model.training import fit_autoencoder
from search import parse_settings
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
        print(*found[-len(CODE_SIZES) :], sep="\n", flush=True)
        if arguments.json:
            content = {"environment": environment(1), "trials": found}
            arguments.json.write_text(json.dumps(content, indent=1) + "\n")
    print(table(found))


def measure(seed: int, steps: int) -> list[dict[str, Any]]:
    """The trials of each code size: FVE of each fold at the best epoch, and the MSE that it was chosen by."""
    values = np.random.default_rng(seed).normal(size=(N_SAMPLES, N_FEATURES))
    plan = make_plan(parse_settings({"seed": seed, "search": {"max_steps": steps}}), values)
    new = np.random.default_rng([seed, 1]).normal(size=(N_NEW, N_FEATURES))
    found = []
    for size in CODE_SIZES:
        trials = trained(plan, size, seed)
        winners = {_winner(_with_means(pd.DataFrame(trials)), rule)["label"] for rule in RULES}
        found += [{**t, "new_fve": new_fve(plan, t, new) if t["label"] in winners else None} for t in trials]
    return found


def new_fve(plan: Plan, trial: dict[str, Any], new: np.ndarray) -> float:
    """What part of the variance of new samples a trial's configuration explains, trained on all development rows."""
    design, values = plan.design, plan.dataset.development
    scaling = fit_scaling(values, design.value_range, design.scaling)
    members = configurations(plan, trial["code_size"])
    configuration = next(c for c in members if f"{c.text} {c.init}" == trial["label"])
    with arithmetic(n_threads=1, fp32_precision="ieee"):
        model, _ = fit_autoencoder(values, scaling, configuration, epochs=trial["best_epoch"], seed=design.seed)
        x = torch.from_numpy(scaling.transform(new).astype(np.float32))
        with torch.no_grad():
            squared = float(torch.square(model(x) - x).sum())
    return 1 - squared / float(np.square(x.numpy() - scaling.transform(values).mean(axis=0)).sum())


def trained(plan: Plan, size: int, seed: int) -> list[dict[str, Any]]:
    """The default configurations with a code of the given size, cross-validated."""
    design = plan.design
    wanted = {str(n): configuration for n, configuration in enumerate(configurations(plan, size))}
    best: dict[str, tuple[float, int, np.ndarray, np.ndarray]] = {}
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
                        best[names[number]] = mse, record.epoch, record.val_mse, record.val_fve
    return [
        {
            "seed": seed,
            "code_size": size,
            "label": f"{wanted[name].text} {wanted[name].init}",
            "n_parameters": wanted[name].n_parameters,
            "best_epoch": epoch,
            "val_mse": val_mse.round(6).tolist(),
            "val_fve": fve.round(6).tolist(),
        }
        for name, (_, epoch, val_mse, fve) in best.items()
    ]


def table(found: list[dict[str, Any]]) -> str:
    """For each code size and rule: the winners' FVE, what they truly explain, and how often they claim more."""
    columns = ["code size", "rule", "FVE, mean of winners", "of new samples", "k/20", "too high by 2 se", "largest, se"]
    lines = [f"| {' | '.join(columns)} |", "| --- |" + " --- |" * 6]
    trials = _with_means(pd.DataFrame(found))
    for size, of_size in trials.groupby("code_size"):
        for rule in RULES:
            winners = [_winner(of_seed, rule) for _, of_seed in of_size.groupby("seed")]
            fve = np.array([w["val_fve"] for w in winners])
            truth = np.array([w["new_fve"] for w in winners])
            excess = (fve.mean(axis=1) - truth) / (fve.std(axis=1, ddof=1) / fve.shape[1] ** 0.5)
            n = f"{int((excess > 2).sum())} of {len(winners)}"
            means = f"{fve.mean():.4f} | {truth.mean():.4f} | {int(size) / N_FEATURES:g}"
            lines.append(f"| {size} | {rule} | {means} | {n} | {excess.max():.1f} |")
    return "\n".join(lines)


def _with_means(trials: pd.DataFrame) -> pd.DataFrame:
    return trials.assign(
        mse=[float(np.mean(mse)) for mse in trials["val_mse"]],
        mse_se=[float(np.std(mse, ddof=1) / len(mse) ** 0.5) for mse in trials["val_mse"]],
    )


def _winner(trials: pd.DataFrame, rule: str) -> "pd.Series[Any]":
    """By a rule of `search.selection`; with one code size, that of the smallest code chooses as "best" does."""
    best = trials.loc[trials["mse"].idxmin()]
    near = trials[trials["mse"] <= best["mse"] + best["mse_se"]]
    by = {"best": ["mse"], "one-se": ["n_parameters", "mse"]}[rule]
    winner: pd.Series[Any] = near.sort_values(by).iloc[0]
    return winner


if __name__ == "__main__":
    main()
