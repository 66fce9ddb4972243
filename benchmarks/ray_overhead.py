"""What a trial costs the driver: searches of 10, 100 and 1,000 trials that have almost nothing to train.

`python benchmarks/ray_overhead.py [--repeats 3] [--counts 10 100 1000] [--json FILE]`. The driver's CPU time includes
Tune, our callback, the ledger and the progress display. First every trial is a Tune trial of its own; then they are put
in packs as a search does it, and trials as small as these all go into one. Start-up is what the search with the first
number of trials takes.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
from training import environment

from ae_model import Configuration, make_folds
from search.execution.agenda import Agenda
from search.execution.connection import connected_ray
from search.execution.packs import Pack, make_packs
from search.execution.records import ValidationDesign, WorkerOptions
from search.execution.runner import run_packs
from search.ledger import FINISHED, Ledger
from search.monitor import Monitor
from search.settings import ResourceSettings


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--counts", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    least = arguments.counts[0]
    with connected_ray(None, ResourceSettings()):
        for packed in (False, True):  # warm-up
            search(least, packed=packed)
        raw = {
            name: {n: [search(n, packed=packed) for _ in range(arguments.repeats)] for n in arguments.counts}
            for name, packed in (("a Tune trial each", False), ("in one pack", True))
        }
    if arguments.json:
        arguments.json.write_text(json.dumps({"environment": environment(1), "cpu_and_wall": raw}, indent=1) + "\n")
    print(f"| trials | driver's CPU, s | wall, s | CPU per trial beyond {least} trials, ms | wall per trial, ms |")
    print("| --- | --- | --- | --- | --- |")
    for name, by_count in raw.items():
        start_cpu, start_wall = np.median(by_count[least], axis=0)
        for n, runs in by_count.items():
            cpu, wall = np.median(runs, axis=0)
            beyond = [1e3 * (cpu - start_cpu), 1e3 * (wall - start_wall)]
            per_trial = [f"{ms / (n - least):.1f}" if n > least else "" for ms in beyond]
            print(f"| {n}, {name} | {cpu:.2f} | {wall:.2f} | {' | '.join(per_trial)} |")


def search(n_trials: int, *, packed: bool) -> tuple[float, float]:
    """Seconds of the driver's CPU, and of the clock."""
    values = np.random.default_rng(0).normal(size=(16, 4)).astype(np.float32)
    trials = {f"{i:010d}": Configuration(layer_sizes=(4, 2), learning_rate=1e-4 + 1e-7 * i) for i in range(n_trials)}
    folds = make_folds(len(values), 2, seed=0)
    together = make_packs(trials, n_rows=len(values)) if packed else [{id_: c} for id_, c in trials.items()]
    packs = [Pack(trials=pack, targets=dict.fromkeys(pack, 1)) for pack in together]
    monitor = Monitor(enabled=False)
    with tempfile.TemporaryDirectory() as directory, Ledger(Path(directory)) as ledger:
        ledger.enter_trials(trials)
        cpu, wall = time.process_time(), time.perf_counter()
        monitor.searching(Path(directory), list(trials), ledger.standing(), dict.fromkeys(trials, 1))
        monitor.begin_round(packs, list(trials), ledger.standing(), len(values))
        rounds = iter([packs])
        with monitor.training() as heard:
            run_packs(
                Agenda(lambda: next(rounds, [])),
                values=values,
                design=ValidationDesign(folds=folds, seed=0, value_range=None, fp32_precision="tf32"),
                options=WorkerOptions(
                    device="cpu", n_threads=1, checkpoint_folder=f"{directory}/checkpoints", checkpoint_every_s=60
                ),
                given={"CPU": 1, "GPU": 0},
                max_failures=3,
                ledger=ledger,
                heard=heard,
            )
        assert {standing.status for standing in ledger.standing().values()} == {FINISHED}
        return time.process_time() - cpu, time.perf_counter() - wall


if __name__ == "__main__":
    main()
