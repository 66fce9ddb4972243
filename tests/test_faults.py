"""Faults for real: kills, torn writes, a full disk, two thousand trials; lost hosts are in test_cluster.py."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ae_model import Configuration, EpochRecord, make_folds
from search.execution.agenda import Agenda
from search.execution.packs import Pack
from search.execution.records import ValidationDesign, WorkerOptions
from search.ledger import FINISHED, Ledger
from search.ledger_reader import read_ledger
from search.monitor import Monitor
from search.settings import ResourceSettings

AE_SEARCH = str(Path(sys.executable).with_name("ae-search"))
TABLES = {"trials.csv": pd.read_csv, "folds.csv": pd.read_csv, "epochs.parquet": pd.read_parquet}


def _assert_equal_tables(expected: Path, found: Path) -> None:
    """Two searches have the same tables to the bit, times and hosts aside."""
    times = ["fit_seconds", "host"]
    for name, read in TABLES.items():
        tables = [read(path / name).drop(columns=times, errors="ignore") for path in (expected, found)]
        pd.testing.assert_frame_equal(*tables, check_exact=True)


@pytest.mark.slow
def test_thirty_kills_change_no_number() -> None:
    """Workers, raylet and driver are killed thirty times, and every table is that of an undisturbed search."""
    script = Path(__file__).with_name("kill_search.py")
    done = subprocess.run([sys.executable, script, "--kills", "30"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "30 kills so far" in done.stdout


_WRITER = """
import sys
import numpy as np
from pathlib import Path
from ae_model import Configuration
from ae_model.configuration import EpochRecord
from search.ledger import Ledger

epoch = int(sys.argv[2])
Path(sys.argv[1]).mkdir(exist_ok=True)
with Ledger(Path(sys.argv[1])) as ledger:
    ledger.enter_trials({"a": Configuration(layer_sizes=(4, 2))})
    while True:
        values = np.full(500, float(epoch))
        record = EpochRecord(epoch=epoch, train_mse=values, val_mse=values, val_fve=values, dead_code_units=values)
        ledger.record("a", [record], host="here", fit_seconds=1.0)
        print(epoch, flush=True)
        epoch += 1
"""


@pytest.mark.parametrize("seed", range(6))
def test_a_torn_write(tmp_path: Path, seed: int) -> None:
    """A driver that is killed while it writes leaves a whole ledger, with every report that it acknowledged."""
    chance = random.Random(seed)
    acknowledged = 0
    for _ in range(2):
        command = [sys.executable, "-c", _WRITER, str(tmp_path), str(acknowledged + 1)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            time.sleep(chance.uniform(0, 0.3))
            writer.send_signal(signal.SIGKILL)
            acknowledged = max([acknowledged + 1, *map(int, writer.stdout.read().split())])
        assert read_ledger(tmp_path, "PRAGMA integrity_check")[1] == [("ok",)]
        rows = read_ledger(tmp_path, "SELECT epoch, count(*), min(val_mse), max(val_mse) FROM epochs GROUP BY epoch")[1]
        # One more may have been written than the test was told of, but none in part.
        assert rows[:acknowledged] == [(epoch, 500, epoch, epoch) for epoch in range(1, acknowledged + 1)]
        assert len(rows) <= acknowledged + 1
        acknowledged = len(rows)


@contextmanager
def _small_disk(path: Path, size: str) -> Iterator[Path]:
    path.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted: {mounted.stderr.strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


def _write_settings(path: Path) -> None:
    path.write_text(
        "bottleneck.code_sizes = [8]\n[space]\nhidden = ['', '32']\nbatch_size = [32, 64]\n[search]\nmax_epochs = 40\n"
    )


def _run(cwd: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [AE_SEARCH, "run", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a search that nothing happened to."""
    directory = tmp_path_factory.mktemp("undisturbed")
    _write_settings(directory / "settings.toml")
    done = _run(directory, "settings.toml", "--results-dir", ".", "--name", "calm")
    assert done.returncode == 0, done.stderr
    return directory / "calm"


@pytest.mark.slow
@pytest.mark.parametrize("size", ["40k", "150k", "260k", "420k"])
def test_a_full_disk(size: str, undisturbed: Path, tmp_path: Path) -> None:
    """The search ends with status 1 and one line; with space back, the same command ends in the same tables."""
    _write_settings(tmp_path / "settings.toml")
    with _small_disk(tmp_path / "results", size) as results:
        done = _run(tmp_path, "settings.toml", "--name", "full")
        last = done.stderr.splitlines()[-1]
        assert done.returncode in (1, 2), done.stderr
        assert last.startswith("ae-search: ")
        assert str(Path("results") / "full") in last or "disk" in last.lower() or "space" in last.lower()
        assert "Traceback" not in done.stderr
        assert "Move it away" not in done.stderr, "that would throw away what was found"
        subprocess.run(["mount", "-o", "remount,size=50m", results], check=True)
        done = _run(tmp_path, "settings.toml", "--name", "full")
        assert done.returncode == 0, done.stderr
        _assert_equal_tables(undisturbed, results / "full")


@pytest.mark.slow
def test_a_read_only_disk(undisturbed: Path, tmp_path: Path) -> None:
    """Nothing can be searched there, which is said in one line; what was searched before can be read."""
    with _small_disk(tmp_path / "results", "50m") as results:
        shutil.copytree(undisturbed, results / "calm")
        command = [sys.executable, "-c", _WRITER, str(results / "killed"), "1"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            writer.kill()
        assert (results / "killed" / "ledger.sqlite-wal").stat().st_size, "the ledger must be whole without it"
        subprocess.run(["mount", "-o", "remount,ro", results], check=True)
        settings = str(undisturbed.parent / "settings.toml")
        for name in ("calm", "other"):
            done = _run(tmp_path, settings, "--name", name)
            assert done.returncode == 2
            assert len(done.stderr.splitlines()) == 1
            assert f"results/{name}" in done.stderr
            assert "--results-dir" in done.stderr
        done = subprocess.run([AE_SEARCH, "status", results / "calm"], capture_output=True, text=True, check=False)
        assert "8 finished" in done.stdout, done.stderr
        done = subprocess.run([AE_SEARCH, "status", results / "killed"], capture_output=True, text=True, check=False)
        assert "1 interrupted" in done.stdout, done.stderr


@pytest.mark.slow
def test_two_thousand_trials(tmp_path: Path) -> None:
    """The driver's memory does not grow by more than 25 MB over the second thousand: a trial that is over is let go.

    Kept, its results and metrics would be 40 MB.
    """
    from search.execution.connection import connected_ray
    from search.execution.runner import run_packs

    values = np.random.default_rng(0).normal(size=(4000, 4)).astype(np.float32)
    trials = {f"{i:010d}": Configuration(layer_sizes=(4, 2), learning_rate=1e-4 + 1e-7 * i) for i in range(2000)}
    packs = [Pack(trials={id_: configuration}, targets={id_: 1}) for id_, configuration in trials.items()]
    folds = make_folds(len(values), 2, seed=0)
    monitor = Monitor(enabled=False)
    resident: list[float] = []
    with Ledger(tmp_path) as ledger, connected_ray(None, ResourceSettings()):
        ledger.enter_trials(trials)
        monitor.searching(tmp_path, list(trials), ledger.standing(), dict.fromkeys(trials, 1))
        monitor.begin_round(packs, list(trials), ledger.standing(), 4000)
        rounds = iter([packs])
        with monitor.training() as heard:

            def progress(trial_id: str, status: str, records: Sequence[EpochRecord]) -> None:
                heard(trial_id, status, records)
                if status == FINISHED:
                    pages = int(Path("/proc/self/statm").read_text().split()[1])
                    resident.append(pages * os.sysconf("SC_PAGE_SIZE") / 2**20)

            run_packs(
                Agenda(lambda: next(rounds, [])),
                values=values,
                design=ValidationDesign(folds=folds, seed=0, value_range=None, fp32_precision="tf32"),
                options=WorkerOptions(
                    device="cpu", n_threads=1, checkpoint_folder=str(tmp_path / "none"), checkpoint_every_s=60
                ),
                given={"CPU": 1, "GPU": 0},
                max_failures=3,
                ledger=ledger,
                heard=progress,
            )
        assert {standing.status for standing in ledger.standing().values()} == {FINISHED}
    assert len(resident) == 2000
    assert resident[-1] - resident[999] <= 25, f"{resident[999]:.0f} MB, then {resident[-1]:.0f} MB"
