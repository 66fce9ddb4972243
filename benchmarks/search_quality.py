"""What a search that stops trials early loses and saves, by replaying it over the curves of full grids.

`python benchmarks/search_quality.py collect [--only NAME ...] [--seeds 0 1 ...]` trains the full grids: 64
configurations (eight shapes, both starts, four learning rates), 81 epochs, five folds; hours for all. `... pruning
[--json FILE]` replays searches over the grids that are there (those of `--seeds` are trained first, if they are
missing): successive halving as the search does it, plain halving by the present value, Optuna's pruners if it is
installed, and Tune's asynchronous halving. `... barrier` says what part of their time slots wait for the last pack of a
round.

A trial's result is the mean over the folds at its best epoch. A search's regret is the result of the trial that it
chooses minus that of the best, in standard errors (over the folds) of the best: by the curves that it saw, and by the
truth, the mean of all seeds. As made data is another for each seed, its truth is the mean of the ratios to PCA.
"""

import argparse
import json
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from default_quality import BUNDLED, MADE, READ, samples
from replays import (
    Curves,
    Found,
    asha,
    halving_rounds,
    idle_share,
    median_pruner,
    ours,
    plain_halving,
    wilcoxon_pruner,
)
from training import environment

from ae_model.arithmetic import arithmetic
from ae_model.cross_validation import CrossValidation
from ae_model.pca import pca_baseline
from search import parse_settings
from search.execution.packs import make_packs
from search.plan import Plan, make_plan

SETS = ["digits", *BUNDLED, "curved manifold", "counts", "house-like", "noise"]
EPOCHS = 81
SPACE = {
    "hidden": ["", "32", "64", "128", "256", "512", "128-64", "256-128"],
    "init": ["pca", "random"],
    "learning_rate": [3e-4, 1e-3, 3e-3, 1e-2],
}
SEARCHES = {
    "ours": ours,
    "plain halving": plain_halving,
    "Optuna's MedianPruner": median_pruner,
    "Optuna's WilcoxonPruner": wilcoxon_pruner,
    "Tune's ASHA, 2 slots": asha(2, 2, 3),
    "Tune's ASHA, 8 slots": asha(8, 2, 3),
    "Tune's ASHA, factor 4, 8 slots": asha(8, 4, 1),
}
SLOTS = (2, 16, 64, 256)


def main() -> None:
    """Collect, or replay and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["collect", "pruning", "barrier"])
    parser.add_argument("--only", nargs="*", default=SETS)
    parser.add_argument("--seeds", nargs="*", type=int, help="those that are there, if missing; at first, 0, 1 and 2")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--hidden", nargs="*", default=SPACE["hidden"], help="other shapes")
    parser.add_argument(
        "--starts", nargs="*", default=["all", "random", "pca"], help="also the trials of one start alone"
    )
    parser.add_argument("--pool", action="store_true", help="barrier: all seeds of a data set as one search")
    parser.add_argument("--curves", type=Path, default=Path("curves"), help="the folder of the curves")
    parser.add_argument("--data-dir", default="data", help="where MNIST lies")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    wanted = [0, 1, 2] if arguments.what == "collect" and arguments.seeds is None else arguments.seeds
    for seed in wanted or []:
        for name in arguments.only:
            plan = grid(name, seed, arguments.hidden, arguments.epochs, arguments.data_dir)
            collect(name, seed, plan, arguments.epochs, arguments.curves)
    found = [c for name in arguments.only for c in load(arguments.curves, name, wanted)]
    if arguments.what == "collect":
        values = [summary(c) for c in found]
        print(summary_table(values))
    elif arguments.what == "pruning":
        values = [row for start in arguments.starts for row in replay([c.part(start) for c in found], start)]
        print(table(values))
    else:
        searches_made = [[c for c in found if c.data == name] for name in dict.fromkeys(c.data for c in found)]
        if not arguments.pool:
            searches_made = [[curves] for seeds in searches_made for curves in seeds]
        values = [row for seeds in searches_made for row in waiting(seeds, arguments.hidden, arguments.data_dir)]
        print(idle_table(values))
    if arguments.json:
        content = {"environment": environment(1), arguments.what: values}
        arguments.json.write_text(json.dumps(content, indent=1) + "\n")


def grid(name: str, seed: int, hidden: list[str], epochs: int, data_dir: str) -> Plan:
    """The full grid of a data set; made data and folds are others for each seed."""
    content = {
        "seed": seed,
        "data": {**READ.get(name, {}), "data_dir": data_dir},
        "space": {**SPACE, "hidden": hidden, "batch_size": 16 if name in BUNDLED else 64},
        "search": {"max_epochs": epochs},
    }
    return make_plan(parse_settings(content), samples(name, seed))


def collect(name: str, seed: int, plan: Plan, epochs: int, folder: Path) -> None:
    """Train a grid on one core, if its curves are not there yet."""
    path = folder / f"{name.replace(' ', '_')}-{seed}.npz"
    if path.exists():
        return
    ids, design, development = list(plan.trials), plan.design, plan.dataset.development
    curves = np.full((len(ids), epochs + 1, len(design.folds)), np.nan, np.float32)
    seconds = np.zeros(len(ids))
    with arithmetic(n_threads=1, fp32_precision="ieee"):
        for pack in make_packs(plan.trials, n_rows=plan.n_training_rows):
            start, rows = time.perf_counter(), [ids.index(t) for t in pack]
            training = CrossValidation(
                development,
                list(pack.values()),
                folds=design.folds,
                max_epochs=epochs,
                seed=design.seed,
                value_range=design.value_range,
                scaling=design.scaling,
            )
            for records in training:
                for member, record in records.items():
                    curves[rows[member], record.epoch] = record.val_mse
            sizes = np.array([c.n_parameters for c in pack.values()])
            seconds[rows] = (time.perf_counter() - start) * sizes / sizes.sum()
    code_sizes = plan.code_sizes.code_sizes
    pca = pca_baseline(development, design.folds, code_sizes, design.value_range, scaling=design.scaling)
    labels = [f"{c.text} {c.init} {c.learning_rate:g}" for c in plan.trials.values()]
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, curves=curves, pca=pca, labels=labels, ids=ids, seconds=seconds)
    print(name, seed, f"{seconds.sum():.0f} s", flush=True)


def load(folder: Path, name: str, seeds: list[int] | None) -> list[Curves]:
    """The collected curves of a data set."""
    found = []
    for path in folder.glob(f"{name.replace(' ', '_')}-*.npz"):
        seed = int(path.stem.rpartition("-")[2])
        if seeds is None or seed in seeds:
            content = np.load(path)
            found.append(
                Curves(
                    data=name,
                    seed=seed,
                    val_mse=content["curves"].astype(np.float64),
                    pca=float(content["pca"].mean()),
                    ids=content["ids"].tolist(),
                    labels=content["labels"].tolist(),
                    seconds=content["seconds"],
                )
            )
    return sorted(found, key=lambda curves: curves.seed)


def summary(curves: Curves) -> dict[str, Any]:
    """What a full grid has found."""
    best = int(curves.results().argmin())
    return {
        "data": curves.data,
        "seed": curves.seed,
        "best": curves.labels[best],
        "best_epoch": int(curves.best_epochs(curves.last)[best]),
        "ratio": float(curves.results()[best] / curves.pca),
        "seconds": float(curves.seconds.sum()),
    }


def summary_table(values: list[dict[str, Any]]) -> str:
    """A row for each grid."""
    lines = ["| data | seed | best | epoch | ratio to PCA | s |", "| --- |" + " --- |" * 5]
    row = "| {data} | {seed} | {best} | {best_epoch} | {ratio:.2f} | {seconds:.0f} |"
    lines += [row.format(**v) for v in values]
    return "\n".join(lines)


def searches() -> dict[str, Callable[[Curves], Found]]:
    """Those whose packages are there."""
    has_optuna = find_spec("optuna") is not None
    return {name: search for name, search in SEARCHES.items() if has_optuna or not name.startswith("Optuna")}


def replay(found: list[Curves], start: str) -> list[dict[str, Any]]:
    """Every search over every grid."""
    values = []
    for name in dict.fromkeys(c.data for c in found):
        seeds = [c for c in found if c.data == name]
        scales = [1 / c.pca if name in MADE else 1.0 for c in seeds]
        truth = np.mean([c.results() * scale for c, scale in zip(seeds, scales, strict=True)], axis=0)
        best = int(truth.argmin())
        error = np.mean([c.standard_error(best) * scale for c, scale in zip(seeds, scales, strict=True)])
        for curves in seeds:
            full = Found(trial=int(curves.results().argmin()), fold_epochs=curves.val_mse[:, 1:].size)
            chosen = {"full grid": full} | {key: search(curves) for key, search in searches().items()}
            for key, search in chosen.items():
                lost = curves.results()[search.trial] - curves.results()[full.trial]
                values.append(
                    {
                        "data": name,
                        "seed": curves.seed,
                        "start": start,
                        "search": key,
                        "chosen": curves.labels[search.trial],
                        "best": curves.labels[full.trial],
                        "regret": float(lost / curves.standard_error(full.trial)),
                        "regret_by_truth": float((truth[search.trial] - truth[best]) / error),
                        "fold_epochs": search.fold_epochs,
                        "saves": full.fold_epochs / search.fold_epochs,
                    }
                )
    return values


def table(values: list[dict[str, Any]]) -> str:
    """A table for each start: a row for each search, a column for each data set."""
    names = list(dict.fromkeys(v["data"] for v in values))
    lines = []
    for start in dict.fromkeys(v["start"] for v in values):
        lines += ["", f"starts: {start}; regret, by truth | saves", ""]
        lines += [
            f"| search | {' | '.join(names)} | mean regret | largest | saves |",
            "| --- |" + " --- |" * (len(names) + 3),
        ]
        for search in dict.fromkeys(v["search"] for v in values):
            cells, means = [], []
            for name in names:
                rows = [v for v in values if (v["start"], v["search"], v["data"]) == (start, search, name)]
                regret, truth = (float(np.mean([v[key] for v in rows])) for key in ("regret", "regret_by_truth"))
                saves = 1 / float(np.mean([1 / v["saves"] for v in rows]))
                means.append((regret, saves))
                cells.append(f"{regret:.2f}, {truth:.2f}, {saves:.1f}")
            regrets, saved = zip(*means, strict=True)
            ends = f"{np.mean(regrets):.2f} | {max(regrets):.2f} | {1 / np.mean(1 / np.array(saved)):.1f}"
            lines.append(f"| {search} | {' | '.join(cells)} | {ends} |")
    return "\n".join(lines[1:])


def waiting(seeds: list[Curves], hidden: list[str], data_dir: str) -> list[dict[str, Any]]:
    """What part of the slots' time is idle, with rungs and without, where the grids of some seeds are one search."""
    packs, seconds, full = [], {}, {}
    rounds: list[dict[tuple[int, str], int]] = []
    for curves in seeds:
        plan = grid(curves.data, curves.seed, hidden, curves.last, data_dir)
        packs += [[(curves.seed, t) for t in pack] for pack in make_packs(plan.trials, n_rows=plan.n_training_rows)]
        seconds |= {(curves.seed, t): s / curves.last for t, s in zip(curves.ids, curves.seconds, strict=True)}
        full |= {(curves.seed, t): curves.last for t in curves.ids}
        for number, asked in enumerate(halving_rounds(curves)):
            rounds += [{}] * (number == len(rounds))
            rounds[number] = rounds[number] | {(curves.seed, t): epoch for t, epoch in asked.targets.items()}
    packs.sort(key=lambda pack: -sum(seconds[t] for t in pack))
    return [
        {
            "data": seeds[0].data,
            "seeds": [curves.seed for curves in seeds],
            "packs": len(packs),
            "slots": slots,
            "idle": idle_share(rounds, packs, seconds, slots),
            "idle_of_full_grid": idle_share([full], packs, seconds, slots),
        }
        for slots in SLOTS
    ]


def idle_table(values: list[dict[str, Any]]) -> str:
    """A row for each data set: the mean over the seeds, halving and full grid."""
    lines = ["| data | packs | " + " | ".join(f"{slots} slots" for slots in SLOTS) + " |"]
    lines.append("| --- |" + " --- |" * (1 + len(SLOTS)))
    for name in dict.fromkeys(v["data"] for v in values):
        cells = []
        for slots in SLOTS:
            rows = [v for v in values if (v["data"], v["slots"]) == (name, slots)]
            idle, full = (np.mean([v[key] for v in rows]) for key in ("idle", "idle_of_full_grid"))
            cells.append(f"{idle:.0%} ({full:.0%})")
        lines.append(f"| {name} | {rows[0]['packs']} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
