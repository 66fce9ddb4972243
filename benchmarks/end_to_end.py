"""A whole search on digits, from command to table, by us and by what people use instead, interleaved in one run.

`pip install skorch optuna`, then `python benchmarks/end_to_end.py [--repeats 5] [--only NAME ...] [--json FILE]`. With
recipe 1 a search takes half an hour: `--every 5` gives Optuna and Ray Tune only every fifth configuration. `--hidden`
and `--epochs` make the search smaller for all.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from space import EPOCHS, HIDDEN
from training import environment

HERE = Path(__file__).parent
PEERS = {"skorch": "skorch_grid.py", "Optuna": "optuna_study.py", "Ray Tune": "ray_recipe.py", "pool": "pool.py"}
SLOW = ("Optuna", "Ray Tune")
OURS = {"ours": "", "halving": 'pruning = "halving"'}
"""Our own searches, with what is added to their settings."""
SETTINGS = """
[bottleneck]
code_sizes = [28]
[space]
hidden = [{hidden}]
code_activation = ["relu", "linear"]
init = "random"
output_activation = "tanh"
learning_rate = [1e-3, 3e-3]
batch_size = 64
[search]
n_splits = 5
max_epochs = {epochs}
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", nargs="*", choices=[*OURS, *PEERS], default=[*OURS, *PEERS])
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--hidden", type=int, default=len(HIDDEN), help="only the first so many shapes")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found: dict[str, list[dict[str, float]]] = {name: [] for name in arguments.only}
    for _ in range(arguments.repeats):
        for name in arguments.only:
            found[name].append(
                measure(name, arguments.hidden, arguments.every if name in SLOW else 1, arguments.epochs)
            )
            print(name, found[name][-1], flush=True)
    if arguments.json:
        parts = {"every": arguments.every, "hidden": arguments.hidden, "epochs": arguments.epochs}
        arguments.json.write_text(json.dumps({"environment": environment(1), "E": found, **parts}, indent=1) + "\n")
    print(table(found))


def measure(name: str, n_hidden: int, every: int, epochs: int) -> dict[str, float]:
    """Seconds from command to table and to the command's end, and the best configuration's MSE."""
    with tempfile.TemporaryDirectory() as scratch:
        if name in OURS:
            settings = Path(scratch) / "settings.toml"
            hidden = ", ".join(f'"{text}"' for text in hidden_texts()[:n_hidden])
            settings.write_text(SETTINGS.format(hidden=hidden, epochs=epochs) + OURS[name])
            command = [
                str(Path(sys.executable).with_name("ae-search")),
                "run",
                str(settings),
                "--results-dir",
                scratch,
                "--name",
                "e",
            ]
            output = Path(scratch) / "e" / "trials.csv"
        else:
            output = Path(scratch) / "table.csv"
            parts = ["--hidden", str(n_hidden), "--every", str(every), "--epochs", str(epochs)]
            command = [sys.executable, str(HERE / PEERS[name]), str(output), *parts]
        environment_ = os.environ | {"RAY_USAGE_STATS_ENABLED": "0"}
        start = time.time()  # the clock of files
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment_)
        if done.returncode:
            sys.exit(f"{name} ended with exit status {done.returncode}:\n{done.stderr}")
        to_end, to_table = time.time() - start, output.stat().st_mtime - start
        n_trials = len(pd.read_csv(output))
        trials = last_epochs(output.with_name("epochs.parquet")) if name in OURS else pd.read_csv(output)
    best = trials.loc[trials["val_mse_mean"].idxmin()]
    result = {"seconds": to_table, "to_end": to_end, "trials": n_trials}
    return result | {"best_mse": float(best["val_mse_mean"]), "best_se": float(best["val_mse_se"])}


def last_epochs(path: Path) -> pd.DataFrame:
    """Mean and standard error after the last epoch, as the others have them; our own table has the best epoch's."""
    epochs = pd.read_parquet(path)
    last = epochs[epochs["epoch"] == epochs["epoch"].max()].groupby("trial_id")["val_mse"]
    return pd.DataFrame({"val_mse_mean": last.mean(), "val_mse_se": last.std(ddof=1) / last.size() ** 0.5})


def hidden_texts() -> list[str]:
    """Hidden layers of the space, as settings write them."""
    return ["-".join(map(str, hidden)) for hidden in HIDDEN]


def table(found: dict[str, list[dict[str, float]]]) -> str:
    """Medians, spread, ratios to ours in the same repeat, and the best MSE."""
    lines = [
        "| search | configurations | s to the table, median (min to max) | this / ours | s to the end | best MSE |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, runs in found.items():
        seconds = [run["seconds"] for run in runs]
        ratio = ""
        if "ours" in found and runs[0]["trials"] == found["ours"][0]["trials"]:  # else it is a part of the search
            ratio = f"{np.median([s / ours['seconds'] for s, ours in zip(seconds, found['ours'], strict=True)]):.2f}"
        best = runs[int(np.argsort([run["best_mse"] for run in runs])[len(runs) // 2])]
        spread = f"{np.median(seconds):.1f} ({min(seconds):.1f} to {max(seconds):.1f})"
        to_end = np.median([run["to_end"] for run in runs])
        mse = f"{best['best_mse']:.5f} ± {best['best_se']:.5f}"
        lines.append(f"| {name} | {best['trials']} | {spread} | {ratio} | {to_end:.1f} | {mse} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
