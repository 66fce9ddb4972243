"""How many workers one driver keeps busy: packs that sleep on more logical CPUs than there are, and a model of more.

`python benchmarks/scaling.py [--slots 16 64] [--per-slot 10] [--many 10000] [--repeats 3] [--json FILE]`

No pack computes anything, so that two cores can hold many workers: what is measured is the driver, with Tune, our
callbacks and the ledger, and what passes between it and the workers. Efficiency is N t / (W T): N packs of t seconds on
W logical CPUs took T seconds, the start of the workers aside. A pack reports as those that train do: every second, or
less often where the driver is slow to take a report, and at its end.

The model is a queue of events. Of each pack the driver hears three times, as Tune has it: that a worker can begin, that
the last report has come, that the function has ended; each takes it a third of what a pack costs, in the order in which
they come, and between them the worker answers. Each report before the last takes it some time too, and the worker waits
for that. The model has three figures: the driver's seconds per pack, from packs that take no time at all; its seconds
per report, from packs that only report; and what passes besides between a pack's end and the next one's start, from
packs of a second on the first number of CPUs. The other real runs are what it is held against.
"""

import argparse
import heapq
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import accumulate, count, islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from training import environment

from ae_model import Configuration, EpochRecord, make_folds
from search.execution import connection, trainable
from search.execution.agenda import Agenda
from search.execution.packs import Pack
from search.execution.records import Report, ValidationDesign, WorkerOptions
from search.execution.runner import run_packs
from search.execution.trainable import report_interval
from search.ledger import FINISHED, RUNNING, Ledger
from search.settings import ResourceSettings

FOLDS = make_folds(16, 2, seed=0)
VALUES = np.zeros((16, 4), np.float32)
REPORTS = 20
"""How many reports before the last a pack sends that only reports."""


def main() -> None:
    """Measure, model, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slots", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--per-slot", type=int, default=10, help="packs of a second per logical CPU")
    parser.add_argument("--many", type=int, default=10_000, help="packs of no time, for the driver's memory; 0: none")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    repeats = arguments.repeats
    raw: dict[str, Any] = {"environment": environment(1)}
    with ray_with(2):
        run_kind([20], 0.0, 2)  # warm-up
        raw["empty"] = [seconds / 400 for seconds in run_kind([400] * repeats, 0.0, 2)["seconds"]]
        raw["reporting"] = [seconds / 100 for seconds in run_kind([100] * repeats, -REPORTS, 2)["seconds"]]
        if arguments.many:
            raw["many"] = run_kind([arguments.many], 0.0, 2)
    raw["runs"] = []
    for n_slots in arguments.slots:
        n = n_slots * arguments.per_slot
        with ray_with(n_slots):  # once: to start so many workers takes minutes here
            for pack_seconds, kinds in ((1.0, ([n], [n, n // 2, n // 4, n // 8])), (10.0, ([max(n // 5, 1)],))):
                rounds = [packs for kind in kinds for packs in kind * repeats]
                taken = iter(run_kind(rounds, pack_seconds, n_slots)["seconds"])
                for kind in kinds:
                    seconds = [sum(islice(taken, len(kind))) for _ in range(repeats)]
                    run = {"slots": n_slots, "pack_seconds": pack_seconds, "rounds": kind, "seconds": seconds}
                    raw["runs"].append(run)
        if arguments.json:
            arguments.json.write_text(json.dumps(raw, indent=1) + "\n")
    report(raw)


@dataclass(frozen=True)
class Costs:
    """The figures of the model, in seconds."""

    pack: float
    """What a pack costs the driver."""
    report: float
    """What each report before the last does."""
    latency: float = 0.0
    """What passes between a pack's end and the start of the next on the same worker, besides."""


def report(raw: Mapping[str, Any]) -> None:
    """Print what was measured beside what the model gives."""
    pack = statistics.median(raw["empty"])
    costs = fitted(raw["runs"][0], Costs(pack, (statistics.median(raw["reporting"]) - pack) / REPORTS))
    print(
        f"driver {1e3 * costs.pack:.1f} ms a pack, {1e3 * costs.report:.1f} ms a report before the last; "
        f"{1e3 * costs.latency:.0f} ms from a pack's end to the next one's start\n"
    )
    print("| logical CPUs | packs | of, s | seconds | efficiency | the model's seconds | difference |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for run in raw["runs"]:
        seconds, modelled = statistics.median(run["seconds"]), modelled_seconds(run, costs)
        print(
            f"| {run['slots']} | {', then '.join(map(str, run['rounds']))} | {run['pack_seconds']:g} "
            f"| {seconds:.1f} ({min(run['seconds']):.1f} to {max(run['seconds']):.1f}) "
            f"| {sum(run['rounds']) * run['pack_seconds'] / (run['slots'] * seconds):.2f} | {modelled:.1f} "
            f"| {modelled / seconds - 1:+.0%} |"
        )
    print("\n| 1,000 workers, 100,000 trials | hours | efficiency |\n| --- | --- | --- |")
    for name, rounds in at_scale().items():
        work = sum(map(sum, rounds))
        seconds = simulated(rounds, 1000, costs)
        print(f"| {name} | {seconds / 3600:.1f} | {work / 1000 / seconds:.2f} |")
    if "many" in raw:
        memory = raw["many"]["megabytes"]
        print(
            f"\nDriver's memory over {len(memory)} packs, MB: "
            + ", ".join(f"{m:.0f}" for m in memory[:: len(memory) // 10])
        )


def at_scale() -> dict[str, list[list[float]]]:
    """Seconds of the packs of each round, where 100,000 trials come on 1,000 workers."""
    rng = np.random.default_rng(0)

    def spread(n: int, mean: float) -> list[float]:
        """Longest first, as a search has them: the slowest takes some ten times as long as the median."""
        return sorted((mean * rng.lognormal(-0.5, 1.0, n)).tolist(), reverse=True)

    rungs = [spread(100_000 // 2**rung, 60 * 2**rung) for rung in range(5)]
    return {
        "a pack each, of 1 s": [[1.0] * 100_000],
        "a pack each, of 10 s": [[10.0] * 100_000],
        "a pack each, of 60 s": [[60.0] * 100_000],
        "packs of 20, of 60 s": [[60.0] * 5_000],
        "a pack each, of 60 s on average, spread": [spread(100_000, 60)],
        "halving in 5 rungs, of 60 s on average at the first, spread": rungs,
    }


def simulated(rounds: Sequence[Sequence[float]], n_workers: int, costs: Costs) -> float:
    """Seconds of rounds of packs, one after the other.

    Args:
        rounds: The seconds of each pack, in the order in which they are started.
        n_workers: How many are trained at once.
        costs: The figures.
    """
    now = 0.0  # the moment at which the driver has done all so far
    number = count()
    for packs in rounds:
        coming = iter(packs)
        # When, a number for those that come at once, what, and the pack's seconds that are left.
        events = [(now, next(number), "start", seconds) for seconds in islice(coming, n_workers)]

        def train(begin: float, left: float, interval: float) -> None:
            """A worker trains from a moment on until its next report, or its last."""
            what = "report" if left > interval else "result"
            step = min(left, interval)
            heapq.heappush(events, (begin + step, next(number), what, left - step))  # noqa: B023

        while events:
            moment, _, what, left = heapq.heappop(events)
            now = max(now, moment) + (costs.report if what == "report" else costs.pack / 3)
            if what == "start":
                train(now + costs.latency / 2, left, report_interval(0))
            elif what == "report":
                train(now, left, report_interval(now - moment))
            elif what == "result":
                heapq.heappush(events, (now + costs.latency / 2, next(number), "end", 0.0))
            elif (following := next(coming, None)) is not None:
                heapq.heappush(events, (now, next(number), "start", following))
    return now


def modelled_seconds(run: Mapping[str, Any], costs: Costs) -> float:
    """What the model gives for a real run."""
    return simulated([[run["pack_seconds"]] * n for n in run["rounds"]], run["slots"], costs)


def fitted(run: Mapping[str, Any], costs: Costs) -> Costs:
    """The same with the latency with which the model takes as long as a real run did."""
    seconds = statistics.median(run["seconds"])
    low, high = 0.0, seconds
    while high - low > 1e-4:
        middle = (low + high) / 2
        if modelled_seconds(run, replace(costs, latency=middle)) < seconds:
            low = middle
        else:
            high = middle
    return replace(costs, latency=low)


@contextmanager
def ray_with(n_cpus: int) -> Iterator[None]:
    """A local Ray that takes this machine for a larger one."""
    usable = connection.usable_cpus
    connection.usable_cpus = lambda: n_cpus
    try:
        with connection.connected_ray(None, ResourceSettings()):
            yield
    finally:
        connection.usable_cpus = usable


def run_kind(rounds: Sequence[int], seconds: float, n_workers: int) -> dict[str, Any]:
    """Run packs that sleep, a trial each, once all workers are there.

    Args:
        rounds: How many in each round.
        seconds: How long each sleeps; below 0, how many reports it sends instead, one after the other.
        n_workers: How many workers there are; first, each has a pack that waits for all others.

    Returns:
        Seconds of each round, and the driver's memory at the end of each pack.
    """
    n_packs = sum(rounds)
    n = n_workers + n_packs
    trials = {f"{i:010d}": Configuration(layer_sizes=(4, 2), learning_rate=1e-4 + 1e-7 * i) for i in range(n)}
    packs = [Pack(trials={id_: c}, targets={id_: 1_000_000}) for id_, c in trials.items()]
    gathering = set(list(trials)[:n_workers])
    waiting = set(gathering)
    megabytes: list[float] = []
    own = psutil.Process()
    bounds = [0, *accumulate([n_workers, *rounds])]
    coming = iter([packs[begin:end] for begin, end in pairwise(bounds)])
    ends: list[float] = []
    train = trainable.train_pack
    try:
        with tempfile.TemporaryDirectory() as folder, Ledger(Path(folder)) as ledger:
            all_there = Path(folder) / "all-there"

            def heard(trial_id: str, status: str, _records: Sequence[EpochRecord]) -> None:
                waiting.discard(trial_id)
                if not waiting:
                    all_there.touch()
                if trial_id not in gathering and status != RUNNING:
                    megabytes.append(own.memory_info().rss / 2**20)

            def next_round() -> list[Pack]:
                ends.append(time.perf_counter())
                return next(coming, [])

            trainable.train_pack = sleeper(seconds, n_workers, all_there)
            ledger.enter_trials(trials)
            run_packs(
                Agenda(next_round),
                values=VALUES,
                design=ValidationDesign(folds=FOLDS, seed=0, value_range=None, fp32_precision="tf32"),
                options=WorkerOptions(
                    device="cpu", n_threads=1, checkpoint_folder=f"{folder}/none", checkpoint_every_s=60
                ),
                given={"CPU": 1, "GPU": 0},
                max_failures=3,
                ledger=ledger,
                heard=heard,
            )
            assert {standing.status for standing in ledger.standing().values()} == {FINISHED}
    finally:
        trainable.train_pack = train
    assert len(megabytes) == n_packs
    return {"seconds": [end - begin for begin, end in pairwise(ends[1:])], "megabytes": megabytes}


def sleeper(seconds: float, n_workers: int, all_there: Path) -> Any:
    """What a worker does instead of training: it sleeps, the first time until all are there, and reports epochs."""

    def train_pack(config: Mapping[str, Any], **_: Any) -> None:
        from ray import tune

        from search.execution.trainable import report_interval

        ones = np.ones(len(FOLDS))
        epochs = count(1)

        def report(*, is_last: bool = False) -> float:
            record = EpochRecord(epoch=next(epochs), train_mse=ones, val_mse=ones, val_fve=ones, dead_code_units=ones)
            records = {trial_id: [record] for trial_id in config["job"].pack.trials}
            begun = time.perf_counter()
            ended = list(records) if is_last else []
            tune.report({"report": Report(records=records, fit_seconds=seconds, ended=ended)})
            return time.perf_counter() - begun

        if config["pack"] < n_workers:
            while not all_there.exists():
                time.sleep(0.5)
        elif seconds < 0:
            for _report in range(round(-seconds)):
                report()
        else:
            left, interval = seconds, report_interval(0)
            while left > interval:
                time.sleep(interval)
                left -= interval
                interval = report_interval(report())
            time.sleep(left)
        report(is_last=True)

    return train_pack


if __name__ == "__main__":
    os.environ.setdefault("RAY_worker_maximum_startup_concurrency", "4")  # or all start at once, on these few cores
    main()
