"""Kill workers, the raylet and the driver of searches at random moments; tables must come out as if nothing had been.

`python tests/kill_search.py --kills 200 [--seed 0] [--only grid halving tpe smallest-code]`. Each search is first run
undisturbed. Then one after the other is run and killed, and run again with the same command until it ends; where kills
are left, they are started over. After each, the tables are compared to the bit, and no process may be left.
"""

import argparse
import itertools
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pandas as pd
import psutil

COMMON = """
bottleneck.code_sizes = [8]
[resources]
checkpoint_every_s = 1
max_failures = 1000
[space]
"""
MADE_UP = """
[resources]
checkpoint_every_s = 1
max_failures = 1000
[space]
init = "random"
"""
SEARCHES = {
    "grid": f"""{COMMON}
hidden = ["32-16-16-16-16", "30-16-16-16-16"]
hidden_activation = "linear"
code_activation = ["relu", "linear"]
init = "random"
learning_rate = [0.001, 10]
batch_size = [16, 20, 24]
[search]
max_epochs = 60
""",
    "halving": f"""{COMMON}
hidden = ["", "32", "48", "32-16", "256-64-64-64"]
learning_rate = [0.001, 0.01, 10]
batch_size = [16, 24]
[search]
max_epochs = 60
pruning = "halving"
repeats = 2
repeat_top = 3
""",
    "tpe": f"""{MADE_UP}
depth = {{low = 0, high = 3}}
widths = {{low = 16, high = 256}}
learning_rate = {{low = 1e-4, high = 1}}
batch_size = [16, 24]
[search]
algorithm = "tpe"
num_samples = 20
batch_trials = 10
max_epochs = 30
pruning = "halving"
""",
    "smallest-code": f"""{MADE_UP}
hidden = ["", "64-64-64"]
batch_size = 16
[search]
algorithm = "smallest-code"
target_fve = [0.6, 0.8]
max_epochs = 15
""",
}
"""Half of the grid's trials diverge, in packs with those that do not; so does a third of those that are halved."""
Family = dict[psutil.Process, str]
"""Processes with their commands."""
VICTIMS = {"worker": 0.7, "raylet": 0.1, "driver": 0.2}


def main() -> None:
    """Run, kill, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=SEARCHES, default=list(SEARCHES))
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    shared_memory = set(os.listdir("/dev/shm"))
    share = -(-arguments.kills // len(arguments.only))
    with tempfile.TemporaryDirectory() as scratch:
        results = Path(scratch)
        kills: Counter[str] = Counter()
        lingering: Family = {}
        for name in itertools.cycle(arguments.only):
            if kills.total() >= arguments.kills:
                break
            (results / "settings.toml").write_text(SEARCHES[name])
            if not (results / f"calm-{name}").exists():
                status = _start(results, f"calm-{name}").wait(600)
                assert status == 0, f"the undisturbed search ended with {status}"
            kills += _disturbed_search(results, chance, min(share, arguments.kills - kills.total()), lingering)
            compare(results / f"calm-{name}", results / "killed")
            print(f"{kills.total()} kills so far ({dict(kills)}), {name}: equal tables", flush=True)
        _wait_until_gone(lingering, 120)
    left = set(os.listdir("/dev/shm")) - shared_memory
    left -= _shared_memory_in_use()  # other programs come
    left &= set(os.listdir("/dev/shm"))  # and go
    assert not left, f"shared memory is left: {left}"


def compare(expected: Path, found: Path) -> None:
    """Raise AssertionError unless two searches have the same tables, times and hosts aside."""
    for name, read in (("trials.csv", pd.read_csv), ("folds.csv", pd.read_csv), ("epochs.parquet", pd.read_parquet)):
        tables = [
            read(path / name).drop(columns=["fit_seconds", "host"], errors="ignore") for path in (expected, found)
        ]
        pd.testing.assert_frame_equal(*tables, check_exact=True)


def _disturbed_search(results: Path, chance: random.Random, n_kills: int, lingering: Family) -> "Counter[str]":
    """One search from its start to its end, with up to so many kills; what was killed."""
    kills: Counter[str] = Counter()
    driver = _start(results, "killed", "--fresh")
    while True:
        victim = chance.choices(list(VICTIMS), list(VICTIMS.values()))[0] if kills.total() < n_kills else None
        family = _wait_for_worker(driver)
        if victim is not None and family:
            time.sleep(chance.uniform(0, 2))
        family = _descendants(driver.pid)
        if victim is not None and driver.poll() is None:
            victims = [process for process, command in family.items() if _is(victim, command)]
            if victim == "driver":
                driver.kill()
            elif not victims:
                continue
            else:
                try:
                    chance.choice(victims).kill()
                except psutil.NoSuchProcess:  # it has just ended: that is no kill
                    continue
            kills[victim] += 1
        if victim == "worker" and driver.poll() is None:
            continue
        status = driver.wait(600 if victim is None else 60)
        # What computes ends at once; Ray's agents and workers that were just starting look for their node for a minute.
        busy = {
            process: command for process, command in family.items() if _is("worker", command) or _is("raylet", command)
        }
        _wait_until_gone(busy, 20)
        lingering |= family
        if status == 0:
            return kills
        assert status in (1, -signal.SIGKILL), f"the driver ended with {status}"
        driver = _start(results, "killed")


def _start(results: Path, name: str, *options: str) -> "subprocess.Popen[bytes]":
    command = ["ae-search", "run", "settings.toml", "--results-dir", ".", "--name", name, *options]
    with (results / f"{name}.log").open("ab") as log:
        return subprocess.Popen(command, cwd=results, stdout=log, stderr=log)


def _wait_for_worker(driver: "subprocess.Popen[bytes]") -> Family:
    """The driver's descendants once a worker is among them; empty if the driver ended before."""
    deadline = time.monotonic() + 120
    while driver.poll() is None:
        family = _descendants(driver.pid)
        if any(_is("worker", command) for command in family.values()):
            return family
        assert time.monotonic() < deadline, "no worker was started for two minutes"
        time.sleep(0.05)
    return {}


def _is(victim: str, command: str) -> bool:
    return "ImplicitFunc" in command if victim == "worker" else "/raylet/raylet " in command


def _descendants(pid: int) -> Family:
    """All processes below one, with their commands."""
    found = {}
    with suppress(psutil.NoSuchProcess):
        for child in psutil.Process(pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):  # it has ended meanwhile
                found[child] = " ".join(child.cmdline())
    return found


def _wait_until_gone(processes: Family, seconds: float) -> None:
    """Wait until none of these processes is left; zombies count."""
    deadline = time.monotonic() + seconds
    while left := {process: command for process, command in processes.items() if process.is_running()}:
        assert time.monotonic() < deadline, f"processes are left: {left}"
        time.sleep(0.1)


def _shared_memory_in_use() -> set[str]:
    """Names in /dev/shm that a living process has mapped or open."""
    used: set[str] = set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended meanwhile
            used |= set(re.findall(r" /dev/shm/(.*)$", (process / "maps").read_text(), flags=re.MULTILINE))
            for descriptor in (process / "fd").iterdir():
                with suppress(OSError):
                    used.add(os.readlink(descriptor).removeprefix("/dev/shm/"))
    return used


if __name__ == "__main__":
    sys.exit(main())
