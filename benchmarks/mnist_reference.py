"""The reference experiment on MNIST, and what goes beyond it: its searches, and what is published of them.

`python benchmarks/mnist_reference.py run [NAME ...] [--data-dir data] [--searches results/mnist]` runs `ae-search run`
for each search; it takes a day on two cores, and goes on where it was left. `... publish` writes what has finished into
`results/mnist-reference`.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import time
from itertools import chain
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from PIL import Image
from training import environment

from search.paired_test import SIGNIFICANCE, corrected_p_value

mpl.use("Agg")
PUBLISHED = Path(__file__).parents[1] / "results" / "mnist-reference"
"""Where the published values lie; its README has the table that `table` makes of them."""
RUNS = "runs.jsonl"
"""One line for each run of a search: when, how long, by which commit, on which machine."""
GRID = ["", "500", "1000", "2500", "1000-500", "2500-500", "2500-1000"]
"""Hidden layers of the reference grid."""
REFERENCE: dict[str, Any] = {
    "data.source": "mnist",
    "data.scaling": "range",
    "bottleneck.code_sizes": [154],
    "space.hidden": GRID,
    "space.init": ["random"],
    "space.code_activation": ["relu"],
    "space.output_activation": "tanh",
    "space.learning_rate": [1e-3],
    "space.batch_size": [128],
    "search.n_splits": 5,
    "search.max_epochs": 20,
}
"""The reference grid: what the others change is laid over it."""
SEARCHES: dict[str, dict[str, Any]] = {
    "model": {"bottleneck.code_sizes": [150], "space.hidden": [""]},
    "grid": {},
    "linear-code": {"space.code_activation": ["linear"]},
    "pca-start": {"space.code_activation": ["linear"], "space.init": ["pca"]},
    "hinton": {
        "bottleneck.code_sizes": [30],
        "space.hidden": ["1000-500-250"],
        "space.code_activation": ["linear"],
        "space.init": ["random", "pca"],
        "space.learning_rate_schedule": ["cosine"],
        "search.max_epochs": 50,
    },
    "smallest-code": {
        "space.hidden": ["", "500"],
        "space.code_activation": ["linear"],
        "space.init": ["random", "pca"],
        "search.algorithm": "smallest-code",
        "search.target_fve": [0.95],
    },
    "halving": {
        "space.hidden": ["", "500", "1000", "2500", "1000-500"],
        "space.init": ["random", "pca"],
        "space.code_activation": ["relu", "linear"],
        "space.learning_rate": [1e-3, 3e-4],
        "search.pruning": "halving",
        "search.reduction_factor": 3,
    },
}
"""Each search by its name, cheap ones first."""
FILES = [
    "environment.json", "trials.csv", "folds.csv", "selection.json", "smallest_code.json",
    "validation_mse.png", "smallest_code.png", "best/evaluation.json", "best/training_loss.png",
    "best/reconstructions.png",
]  # fmt: skip
"""What is published of each search as it is, where it is there; epochs are made a CSV file, settings lose a path."""

AFTER = (1, 5, 10, 20)
"""After how many epochs a grid is looked at."""


def main() -> None:
    """Run or publish."""
    shown = f"of {', '.join(SEARCHES)}; all, if missing"
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["run", "publish"])
    parser.add_argument("names", nargs="*", metavar="NAME", help=shown)
    parser.add_argument("--data-dir", default="data", help="where MNIST lies")
    parser.add_argument("--searches", type=Path, default=Path("results/mnist"), help="where the searches lie")
    arguments = parser.parse_args()
    if arguments.what == "publish":
        publish(arguments.searches, PUBLISHED)
        print(table(PUBLISHED))
        for name in ("grid", "linear-code", "pca-start"):
            if (PUBLISHED / name).is_dir():
                print(f"\n{name}\n{by_epochs(PUBLISHED, name)}")
        return
    arguments.searches.mkdir(parents=True, exist_ok=True)
    for name in arguments.names or SEARCHES:
        run(name, arguments.data_dir, arguments.searches)


def run(name: str, data_dir: str, searches: Path) -> None:
    """Run a search, or go on with it, and note when that was, with which commit, and where."""
    note: dict[str, Any] = {"search": name, "began": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "commit": commit()}
    begun = time.monotonic()
    with subprocess.Popen(search_command(name, data_dir, searches)) as process:
        try:
            status = process.wait()
        except KeyboardInterrupt:  # the search has got it too, and ends by itself
            status = process.wait()
    note |= {"seconds": time.monotonic() - begun, "exit_status": status, "environment": environment(1)}
    with (searches / RUNS).open("a") as runs:
        runs.write(json.dumps(note) + "\n")
    if status:
        sys.exit(status)


def commit() -> str:
    """The checked-out commit, with a plus where files differ from it."""
    commands = (["git", "rev-parse", "--short=10", "HEAD"], ["git", "status", "--porcelain", "--untracked-files=no"])
    here = Path(__file__).parent
    head, changes = (subprocess.run(c, cwd=here, capture_output=True, text=True, check=True).stdout for c in commands)
    return head.strip() + "+" * bool(changes)


def search_command(name: str, data_dir: str, searches: Path) -> list[str]:
    """What runs a search of the given name."""
    changes = REFERENCE | SEARCHES[name]
    if changes.get("search.algorithm") == "smallest-code":
        del changes["bottleneck.code_sizes"]
    command = [str(Path(sys.executable).with_name("ae-search")), "run", "--data-dir", data_dir]
    command += ["--results-dir", str(searches), "--name", name]
    return command + [f"--set={key}={json.dumps(value)}" for key, value in changes.items()]


def publish(searches: Path, target: Path) -> None:
    """Copy what has finished, but for weights, into the published folder, and draw its picture."""
    target.mkdir(parents=True, exist_ok=True)
    for name in SEARCHES:
        source, to = searches / name, target / name
        if not (source / "best" / "evaluation.json").is_file():
            continue
        to.mkdir(exist_ok=True)
        for file in FILES:
            if (source / file).is_file():
                shutil.copy(source / file, to / Path(file).name)
        settings = (source / "settings.toml").read_text()
        (to / "settings.toml").write_text(re.sub(r"^data_dir = .*$", 'data_dir = "data"', settings, flags=re.MULTILINE))
        epochs = pd.read_parquet(source / "epochs.parquet")
        epochs.to_csv(to / "epochs.csv", index=False, float_format="%.7g")
    if (searches / "model").is_dir():
        for file in ("bottleneck.png", "bottleneck.csv"):
            shutil.copy(searches / "model" / file, target / file)
        loss = pd.read_csv(searches / "model" / "best" / "training_loss.csv")
        loss.to_csv(target / "model" / "training_loss.csv", index=False, float_format="%.6g")
    runs = [path.read_text().splitlines() for path in (target / RUNS, searches / RUNS) if path.is_file()]
    (target / RUNS).write_text("\n".join(dict.fromkeys(chain(*runs))) + "\n")
    draw(target)
    for path in target.rglob("*.png"):
        with Image.open(path) as picture:
            if picture.mode != "P":  # 256 colours are enough, and a third of the bytes
                picture.convert("RGB").quantize(256).save(path, optimize=True)


def winners(folder: Path) -> pd.DataFrame:
    """The winner of each published search, with what the table says of it, from the raw values alone.

    Args:
        folder: Where `publish` has written to.
    """
    rows = []
    for name in SEARCHES:
        if not (folder / name / "evaluation.json").is_file():
            continue
        trial = json.loads((folder / name / "selection.json").read_text())["trial_id"]
        test = json.loads((folder / name / "evaluation.json").read_text())
        trials = pd.read_csv(folder / name / "trials.csv").set_index("trial_id")
        epochs = pd.read_csv(folder / name / "epochs.csv")
        folds = pd.read_csv(folder / name / "folds.csv")
        best = int(trials.loc[trial, "best_epoch"])
        at_best = epochs[(epochs["trial_id"] == trial) & (epochs["epoch"] == best)]
        rows.append(
            {
                "search": name,
                "configuration": trials.loc[trial, "layer_sizes"],
                "init": trials.loc[trial, "init"],
                "code_activation": trials.loc[trial, "code_activation"],
                "code_size": int(trials.loc[trial, "code_size"]),
                "val_mse": at_best["val_mse"].mean(),
                "val_mse_se": at_best["val_mse"].sem(),
                "pca_val_mse": folds.loc[folds["trial_id"] == trial, "pca_val_mse"].mean(),
                "test_mse": test["mse"],
                "test_fve": test["fve"],
                "test_psnr": test["psnr_db"],
                "pca_test_mse": test["pca_mse"],
                "dead": test["dead_code_units"],
                "best_epoch": best,
                "trials": len(trials),
                "fold_epochs": int((epochs["epoch"] > 0).sum()),
                "fit_seconds": trials["fit_seconds"].sum(),
            }
        )
    return pd.DataFrame(rows)


def table(folder: Path) -> str:
    """The winners as a table in Markdown.

    Args:
        folder: Where `publish` has written to.
    """
    columns = ["search", "winner", "CV MSE ± se", "PCA", "test MSE", "PCA", "FVE", "PSNR", "dead", "epoch", "trials"]
    columns += ["fold-epochs", "training"]
    lines = [f"| {' | '.join(columns)} |", "| --- |" + " --- |" * (len(columns) - 1)]
    for row in winners(folder).itertuples():
        cells = [
            row.search,
            f"{row.configuration}, {row.code_activation} code, {row.init} start",
            f"{row.val_mse:.5f} ± {row.val_mse_se:.5f}",
            f"{row.pca_val_mse:.5f}",
            f"{row.test_mse:.5f}",
            f"{row.pca_test_mse:.5f}",
            f"{row.test_fve:.3f}",
            f"{row.test_psnr:.1f} dB",
            f"{row.dead} of {row.code_size}",
            str(row.best_epoch),
            str(row.trials),
            f"{row.fold_epochs:,}",
            f"{row.fit_seconds / 3600:.2f} h",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def by_epochs(folder: Path, name: str) -> str:
    """Each configuration's validation MSE after so many epochs, in Markdown: the best bold, with a star what ties.

    A tie is a difference whose p-value over the folds is above 0.05, by the corrected paired t-test.

    Args:
        folder: Where `publish` has written to.
        name: The search.
    """
    trials = pd.read_csv(folder / name / "trials.csv").set_index("trial_id")
    epochs = pd.read_csv(folder / name / "epochs.csv")
    cells = {}
    for n in AFTER:
        by_fold = epochs[epochs["epoch"] == n].pivot_table(index="number", columns="fold", values="val_mse")
        best = by_fold.loc[by_fold.mean(axis=1).idxmin()]
        tied = by_fold.apply(lambda row, best=best: corrected_p_value((row - best).to_numpy()) > SIGNIFICANCE, axis=1)
        cells[n] = [
            f"**{row.mean():.5f}**" if row.equals(best) else f"{row.mean():.5f}{'*' * bool(tied[number])}"
            for number, row in by_fold.iterrows()
        ]
    columns = ["layers", *("1 epoch" if n == 1 else f"{n} epochs" for n in AFTER)]
    lines = [f"| {' | '.join(columns)} |", "| --- |" + " --- |" * len(AFTER)]
    sizes = trials.sort_values("number")["layer_sizes"]
    lines += [
        f"| {size} | {' | '.join(row)} |" for size, row in zip(sizes, zip(*cells.values(), strict=True), strict=True)
    ]
    return "\n".join(lines)


def draw(folder: Path) -> None:
    """`code_size.png`: the winners' test MSE against their code size, beside PCA's curve on the development set.

    Args:
        folder: Where `publish` has written to.
    """
    from matplotlib import pyplot as plt

    found = winners(folder)
    spectrum = pd.read_csv(folder / "bottleneck.csv")
    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    left = 1 - spectrum["cumulative"]
    total = float(json.loads((folder / "model" / "evaluation.json").read_text())["mean_mse"])
    within = spectrum["n_components"].between(10, 200)
    axes.plot(spectrum["n_components"][within], total * left[within], color="tab:orange", label="PCA")
    for number, row in enumerate(found.itertuples()):
        axes.plot(row.code_size, row.test_mse, "o", color=f"C{number + 2}", label=f"{row.search}: {row.configuration}")
    axes.set(xlabel="code size", ylabel="test MSE (scaled units²)", yscale="log")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.savefig(folder / "code_size.png", dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main()
