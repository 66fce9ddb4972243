"""The reference experiment on MNIST, and what goes beyond it: its searches, and what is published of them.

`python benchmarks/mnist_reference.py run [NAME ...] [--data-dir data] [--searches results/mnist]` runs `ae-search run`
for each search; it takes a day on two cores, and goes on where it was left. `... publish` writes what has finished into
`results/mnist-reference`.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from training import environment

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
        "space.init": ["random", "pca"],
        "space.code_activation": ["relu", "linear"],
        "space.learning_rate": [1e-3, 3e-4],
        "search.pruning": "halving",
        "search.reduction_factor": 3,
        "search.grace_period": 2,
    },
}
"""Each search by its name, cheap ones first."""


def main() -> None:
    """Run or publish."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["run"])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(SEARCHES)}; all, if missing")
    parser.add_argument("--data-dir", default="data", help="where MNIST lies")
    parser.add_argument("--searches", type=Path, default=Path("results/mnist"), help="where the searches lie")
    arguments = parser.parse_args()
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


if __name__ == "__main__":
    main()
