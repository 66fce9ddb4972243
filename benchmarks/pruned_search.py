"""Searches with halving beside the full grid, both for real, from the command to its end.

`python benchmarks/pruned_search.py [--only NAME ...] [--seeds 0 1 2] [--epochs 81] [--json FILE]` runs `ae-search run`
on the 64 configurations of `search_quality.py`, once in full and once with `search.pruning = "halving"`. The regret is
what the full grid found for the winner of the other, minus its best, in standard errors of the best. What both have
finished has the same result but for rounding, as other trials share its stack: the largest relative difference is kept.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from default_quality import BUNDLED, samples
from search_quality import EPOCHS, SPACE
from training import environment

from search import load_epochs, load_trials

DATA = ["digits", "curved manifold", "counts", "house-like"]


def main() -> None:
    """Search, print, and keep the raw values."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=DATA)
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    values = []
    for seed in arguments.seeds:
        for name in arguments.only:
            values.append(compare(name, seed, arguments.epochs))
            print(values[-1], flush=True)
            if arguments.json:
                content = {"environment": environment(1), "searches": values}
                arguments.json.write_text(json.dumps(content, indent=1) + "\n")
    print(table(values))


def compare(name: str, seed: int, epochs: int) -> dict[str, Any]:
    """Both searches on the same data, and what the pruned one lost."""
    with tempfile.TemporaryDirectory() as scratch:
        values, found = samples(name, seed), {}
        data = name if values is None else str(Path(scratch) / "data.npy")
        if values is not None:
            np.save(data, values)
        space = {**SPACE, "batch_size": 16 if name in BUNDLED else 64}
        for pruning in ("none", "halving"):
            command = [str(Path(sys.executable).with_name("ae-search")), "run", "--data", data]
            command += ["--results-dir", scratch, "--name", pruning]
            changes = {"seed": seed, "search.pruning": pruning, "search.max_epochs": epochs}
            changes |= {f"space.{key}": value for key, value in space.items()}
            command += [f"--set={key}={json.dumps(value)}" for key, value in changes.items()]
            start = time.time()  # the clock of files
            done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
            if done.returncode:
                sys.exit(f"{name}, {pruning}: exit status {done.returncode}:\n{done.stderr}")
            end, folder = time.time(), Path(scratch) / pruning
            trials = load_trials(folder).set_index("trial_id")
            found[pruning] = {
                "to_table": (folder / "trials.csv").stat().st_mtime - start,
                "to_end": end - start,
                "fold_epochs": len(load_epochs(folder).query("epoch > 0")),
                "finished": trials.query("status == 'finished'")["val_mse_mean"],
                "se": trials["val_mse_se"],
            }
    full, pruned = found["none"], found["halving"]
    best, chosen = full["finished"].idxmin(), pruned["finished"].idxmin()
    ratios = full["finished"][pruned["finished"].index] / pruned["finished"]
    return {
        "data": name,
        "seed": seed,
        "largest_difference": float((ratios - 1).abs().max()),
        "same_winner": bool(best == chosen),
        "regret": float((full["finished"][chosen] - full["finished"][best]) / full["se"][best]),
        **{
            f"{key}_{which}": found[pruning][key]
            for key in ("to_table", "to_end", "fold_epochs")
            for which, pruning in (("full", "none"), ("pruned", "halving"))
        },
    }


def table(values: list[dict[str, Any]]) -> str:
    """A row for each data set: medians over the seeds."""
    lines = ["| data | s to the table, full | pruned | full / pruned | fewer fold-epochs | regret |"]
    lines.append("| --- |" + " --- |" * 5)
    for name in dict.fromkeys(v["data"] for v in values):
        rows = [v for v in values if v["data"] == name]
        seconds = [float(np.median([v[f"to_table_{which}"] for v in rows])) for which in ("full", "pruned")]
        ratio = np.median([v["to_table_full"] / v["to_table_pruned"] for v in rows])
        saved = np.median([v["fold_epochs_full"] / v["fold_epochs_pruned"] for v in rows])
        regrets = ", ".join(f"{v['regret']:.2f}" for v in rows)
        lines.append(f"| {name} | {seconds[0]:.1f} | {seconds[1]:.1f} | {ratio:.1f} | {saved:.1f} | {regrets} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
