"""search.execution.runner: trials that fail, workers and drivers that die; against the same computation without Ray."""

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest
import safetensors.numpy
import torch

from ae_model import Configuration, Dataset, EpochRecord, Fold, cross_validate, load_dataset, make_folds
from search import SearchSettings, load_epochs, load_trials, parse_settings, run_search
from search.cli import main
from search.console import status_text
from search.execution.connection import connected_ray
from search.execution.packs import make_packs
from search.execution.placement import trial_resources
from search.settings import ResourceSettings
from search.settings_files import to_toml

COMMAND = [str(Path(sys.executable).with_name("ae-search")), "run", "settings.toml"]
DEEP = "20-20-20-20-20-20"
"""Diverges in the first epoch with a learning rate of 10."""
TOO_DEEP_FOR_THIS_RATE = "200-200-200-200-200-200"
TOO_WIDE_FOR_ANY_MEMORY = "5000000-5000000"
"""2e14 bytes, more than a process can address."""


def _settings(table: Path, *, hidden: list[str], max_epochs: int, learning_rate: float | list[float]) -> SearchSettings:
    return parse_settings(
        {
            "data": {"source": str(table), "label_column": "kind", "scaling": "standard"},
            "bottleneck": {"code_sizes": [2]},
            "space": {
                "hidden": hidden,
                "hidden_activation": "linear",
                "code_activation": "linear",
                "output_activation": "linear",
                "init": "random",
                "learning_rate": learning_rate,
                "batch_size": 16,
            },
            "search": {"n_splits": 3, "max_epochs": max_epochs},
        }
    )


def _configuration(row: "pd.Series[Any]") -> Configuration:
    """The configuration of a row of trials.csv, of a search by `_settings`."""
    return Configuration(
        layer_sizes=tuple(map(int, row["layer_sizes"].split("-"))),
        hidden_activation="linear",
        code_activation="linear",
        output_activation="linear",
        learning_rate=float(row["learning_rate"]),
        batch_size=16,
    )


def _alone(dataset: Dataset, row: "pd.Series[Any]", folds: Sequence[Fold], *, max_epochs: int) -> Iterator[EpochRecord]:
    """A row's configuration, trained in this process alone."""
    values, configuration = dataset.development, _configuration(row)
    return cross_validate(values, configuration, folds=folds, max_epochs=max_epochs, seed=0, scaling="standard")


def test_a_trial_that_fails_or_diverges_does_not_end_the_search(
    table_csv: Path, local_ray: None, tmp_path: Path
) -> None:
    """At a wild learning rate one trial finishes, one diverges, one finds no memory: each has its row and status.

    The one that diverges shares a pack with one at a tame rate, which goes on to its end.
    """
    hidden = [TOO_WIDE_FOR_ANY_MEMORY, TOO_DEEP_FOR_THIS_RATE, ""]
    settings = _settings(table_csv, hidden=hidden, max_epochs=3, learning_rate=[10.0, 0.001])
    result = run_search(settings, results_dir=tmp_path)
    trials = result.trials
    assert trials["status"].tolist() == ["failed", "failed", "diverged", "finished", "finished", "finished"]
    assert trials["error"].notna().tolist() == [True, True, False, False, False, False]
    assert trials["error"].str.contains("RuntimeError: .*memory")[:2].all()
    assert trials.loc[2, "epochs"] < 3, "it ends with the epoch in which it diverges"
    assert (trials.loc[3:, "epochs"] == 3).all()
    assert trials["rank"].notna().tolist() == [False, False, False, True, True, True]
    assert result.selection.n_finished == 3
    again = run_search(settings, results_dir=tmp_path).trials
    assert again["status"].tolist() == trials["status"].tolist()
    assert again.loc[2:, "fit_seconds"].tolist() == trials.loc[2:, "fit_seconds"].tolist()


def test_every_member_of_a_pack_has_its_own_results(table_csv: Path, local_ray: None, tmp_path: Path) -> None:
    """Widths and learning rates that share a pack give what each gives when it is trained alone, but for rounding."""
    rates = [0.001, 0.02]
    settings = _settings(table_csv, hidden=["5", "4", "6"], max_epochs=4, learning_rate=rates)
    trials = run_search(settings, results_dir=tmp_path).trials
    dataset = load_dataset(table_csv, label_column="kind", seed=0)
    packs = make_packs(
        {row["trial_id"]: _configuration(row) for _, row in trials.iterrows()}, n_rows=2 * len(dataset.development)
    )
    assert max(map(len, packs)) > 1, "otherwise this tests nothing"
    epochs = load_epochs(tmp_path / "birds")
    folds = make_folds(len(dataset.development), 3, 0)
    for _, row in trials.iterrows():
        records = _alone(dataset, row, folds, max_epochs=4)
        of_trial = epochs[epochs["trial_id"] == row["trial_id"]]
        expected = np.concatenate([record.val_mse for record in records])
        np.testing.assert_allclose(of_trial["val_mse"], expected, rtol=1e-4)
    assert trials["val_mse_mean"].nunique() == 6


def test_a_search_in_which_nothing_finishes(
    table_csv: Path,
    local_ray: None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It raises RuntimeError with the reasons; tables and status are there, a model is not.

    The command ends with status 1 and one line.
    """
    hidden = [TOO_DEEP_FOR_THIS_RATE, "300-300-300-300-300-300"]
    settings = _settings(table_csv, hidden=hidden, max_epochs=3, learning_rate=10.0)
    with pytest.raises(RuntimeError, match=r"no trial could be finished.*diverged") as caught:
        run_search(settings, results_dir=tmp_path)
    directory = tmp_path / "birds"
    assert str(directory) in str(caught.value)
    assert (load_trials(directory)["status"] == "diverged").all()
    assert (directory / "trials.csv").is_file()
    assert not (directory / "best").exists()
    assert not (directory / "selection.json").exists()
    assert "2 diverged" in status_text(directory)
    arguments = ["ae-search", "run", str(directory / "settings.toml"), "--results-dir", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 1
    assert capsys.readouterr() == ("", f"Nothing is left to train\nae-search: {caught.value}\n")


def test_a_quiet_search(table_csv: Path, tmp_path: Path) -> None:
    """A program that calls `run_search` sees not one character of it, nor of the Ray that it starts and stops."""
    settings = _settings(table_csv, hidden=["", "5"], max_epochs=2, learning_rate=0.01)
    (tmp_path / "settings.toml").write_text(to_toml(settings))
    code = (
        "import sys; from search import load_settings, run_search; "
        "result = run_search(load_settings(sys.argv[1]), name='quiet', results_dir=sys.argv[2], verbose=False); "
        "import ray; assert not ray.is_initialized(); assert len(result.trials) == 2"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, str(tmp_path / "settings.toml"), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def _family(pid: int) -> list[psutil.Process]:
    """All processes below one, as long as it lives."""
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).children(recursive=True)
    return []


def _workers(pid: int) -> list[psutil.Process]:
    """Those of them that train."""
    found = []
    for child in _family(pid):
        with suppress(psutil.NoSuchProcess):  # it has ended meanwhile
            if "ImplicitFunc" in child.name():
                found.append(child)
    return found


def _wait_until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    give_up = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < give_up, "the search is stuck"
        time.sleep(0.1)


def _first(directory: Path, query: str) -> float:
    """The first value of a query, 0 where there is none yet."""
    if not (directory / "ledger.sqlite").exists():
        return 0.0
    with closing(sqlite3.connect(directory / "ledger.sqlite", timeout=30)) as connection:
        try:
            return float(connection.execute(query).fetchone()[0] or 0)
        except sqlite3.OperationalError:  # the table is not made yet
            return 0.0


def _checkpointed_epoch(directory: Path) -> int:
    """The last epoch that a checkpoint of a search holds, 0 where there is none."""
    files = directory.glob("checkpoints/*.safetensors")
    return max((int(safetensors.numpy.load_file(file)["epoch"]) for file in files), default=0)


def test_a_lost_worker_and_an_interrupted_driver_change_no_number(table_csv: Path, tmp_path: Path) -> None:
    """Kill a worker, interrupt the command, repeat it: the table is that of an undisturbed computation, to the bit.

    The interrupted command ends with 130 and one line that says how to continue, and chooses no winner.
    """
    n_epochs = 1600
    settings = _settings(table_csv, hidden=["5", "4-3"], max_epochs=n_epochs, learning_rate=0.01)
    (tmp_path / "settings.toml").write_text(to_toml(settings))
    directory = tmp_path / "results" / "birds"
    command = [str(Path(sys.executable).with_name("ae-search")), "run", "settings.toml"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            _wait_until(lambda: _first(directory, "SELECT count(*) FROM epochs") > 0, process)
            started = _first(directory, "SELECT max(started_at) FROM trials")
            for worker in _workers(process.pid):  # each of them: one may have nothing left to train
                worker.kill()
            _wait_until(lambda: _first(directory, "SELECT max(started_at) FROM trials") > started, process)
            family = _family(process.pid)
            process.send_signal(signal.SIGINT)
            output, errors = process.communicate(timeout=60)
            assert not [child for child in family if child.is_running()], "processes are left"
        finally:
            process.kill()
    assert process.returncode == 130, errors
    assert "Winner" not in output
    assert errors.splitlines()[-1].startswith("ae-search: interrupted")
    assert "continue" in errors.splitlines()[-1]
    assert "Traceback" not in errors
    assert not (directory / "best").exists()
    assert not (load_trials(directory)["status"] == "finished").all()

    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "6-5-2" in done.stdout
    assert "results/birds/trials.csv" in done.stdout
    assert json.loads((directory / "best" / "evaluation.json").read_text())["mse"] > 0

    dataset = load_dataset(table_csv, label_column="kind", seed=0)
    folds = make_folds(len(dataset.development), 3, 0)
    epochs = load_epochs(directory)
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for _, row in load_trials(directory).iterrows():
            records = _alone(dataset, row, folds, max_epochs=n_epochs)
            expected = np.array([record.val_mse for record in records])
            of_trial = epochs[epochs["trial_id"] == row["trial_id"]]
            np.testing.assert_array_equal(of_trial["val_mse"].to_numpy().reshape(n_epochs, 3), expected)
            assert row["best_epoch"] == expected.mean(axis=1).argmin() + 1
    finally:
        torch.set_num_threads(n_threads)


def test_a_killed_raylet_ends_the_search_with_a_line(table_csv: Path, tmp_path: Path) -> None:
    """Exit status 1, what happened and what to do in two lines, no page of Ray's log; repeating the command goes on."""
    settings = _settings(table_csv, hidden=["5"], max_epochs=6000, learning_rate=0.01)
    (tmp_path / "settings.toml").write_text(to_toml(settings))
    with subprocess.Popen(COMMAND, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        _wait_until(lambda: _first(tmp_path / "results" / "birds", "SELECT count(*) FROM epochs") > 0, process)
        (raylet,) = (child for child in _family(process.pid) if child.name() == "raylet")
        raylet.kill()
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    lines = errors.splitlines()
    assert lines[-1].startswith("ae-search: Ray's own raylet was killed")
    assert lines[-1].endswith("run the same command again.")
    known = "birds: code size|Searching|[0-9]+/[0-9]+ trials|Ray: |ae-search: "
    assert all(re.match(known, line) for line in lines), errors


@pytest.mark.parametrize("first", ["gcs_server", "raylet"])
def test_a_search_is_interrupted_while_ray_starts(first: str, table_csv: Path, tmp_path: Path) -> None:
    """As soon as one of its processes is there: status 130, one line, and none of them is left."""
    settings = _settings(table_csv, hidden=["5"], max_epochs=30, learning_rate=0.01)
    (tmp_path / "settings.toml").write_text(to_toml(settings))
    with subprocess.Popen(COMMAND, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        _wait_until(lambda: any(child.name() == first for child in _family(process.pid)), process)
        process.terminate()
        errors = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert errors.splitlines()[-1].startswith("ae-search: interrupted")
    give_up = time.monotonic() + 20  # a worker that was just begun takes seconds to notice; what is lost, a minute
    while left := _living(process.pid):
        assert time.monotonic() < give_up, f"processes are left: {left}"
        time.sleep(0.1)


def _living(session: int) -> list[str]:
    """Names of the processes of a session, which keep it when their parents are gone."""
    found = []
    for process in psutil.process_iter(["name", "status"]):
        with suppress(ProcessLookupError):  # it has ended meanwhile
            if os.getsid(process.pid) == session and process.info["status"] != psutil.STATUS_ZOMBIE:
                found.append(process.info["name"])
    return found


def test_a_search_is_interrupted_while_its_winner_is_trained(table_csv: Path, tmp_path: Path) -> None:
    """SIGTERM means the same when Ray has left: one line, status 130."""
    settings = _settings(table_csv, hidden=["5"], max_epochs=30, learning_rate=0.01)
    (tmp_path / "settings.toml").write_text(to_toml(settings))
    with subprocess.Popen(COMMAND, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert any(line.startswith("Retraining") for line in process.stderr)
        process.terminate()
        errors = process.stderr.read()
    assert process.returncode == 130
    assert re.fullmatch("ae-search: interrupted.*\n", errors)


def test_a_ray_that_is_there_is_used_and_stays(local_ray: None) -> None:
    """Then Tune must mind the cap on trials at once; what a trial needs is held against what the nodes have."""
    for _ in range(2):
        with connected_ray(None, ResourceSettings(max_concurrent_trials=1)) as tune_cap:
            assert tune_cap == 1
    assert trial_resources(ResourceSettings()) == {"CPU": 1, "GPU": 0}
    with pytest.raises(ValueError, match=r"a trial needs 1000 CPUs, but no node .*Lower"):
        trial_resources(ResourceSettings(cpus_per_trial=1000))
    heard: list[str] = []
    with pytest.raises(
        ValueError, match=r"0\.1 s after the start no node has them .* raise resources\.startup_timeout_s"
    ):
        trial_resources(ResourceSettings(cpus_per_trial=1000), wait_s=0.1, say=heard.append)
    (line,) = heard
    assert re.fullmatch(r"No node has 1000 CPUs \(.*\); waiting 0\.1 s for one to join", line)
    assert trial_resources(ResourceSettings(gpus_per_trial="auto")) == {"CPU": 1, "GPU": 0}


def test_a_cluster_that_is_not_there(table_csv: Path, tmp_path: Path) -> None:
    """Is named in one line with what to check, and the exit status is 2."""
    settings = _settings(table_csv, hidden=["5"], max_epochs=1, learning_rate=0.01)
    (tmp_path / "settings.toml").write_text(to_toml(settings))
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    done = subprocess.run([*COMMAND, "--address", address], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    words = rf"ae-search: --address {address}: no Ray cluster could be joined \(.*refused\)\. Check the address;.*"
    assert re.fullmatch(words, done.stderr.splitlines()[-1]), done.stderr


@pytest.mark.parametrize(
    "older", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["ledger of now", "older ledger"]
)
def test_a_killed_driver_goes_on_from_the_checkpoint(older: bool, table_csv: Path, tmp_path: Path) -> None:
    """Epochs before the checkpoint are not trained again, nor is what has diverged: unless the ledger lacks them."""
    settings = _settings(table_csv, hidden=[DEEP], max_epochs=1200, learning_rate=[0.001, 10.0])
    (tmp_path / "settings.toml").write_text(to_toml(settings))
    directory = tmp_path / "results" / "birds"
    command = [*COMMAND, "--set", "resources.checkpoint_every_s=0.5"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        _wait_until(lambda: _checkpointed_epoch(directory) > 1, process)
        process.kill()
    with closing(sqlite3.connect(directory / "ledger.sqlite")) as connection, connection:
        assert connection.execute("SELECT max(epoch) FROM epochs").fetchone()[0] > 1
        connection.execute("UPDATE epochs SET train_mse = -1 WHERE epoch = 1 AND val_mse IS NOT NULL")
        if older:
            connection.execute("DELETE FROM epochs WHERE epoch > 1")
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    trials = load_trials(directory).set_index("learning_rate")
    assert trials["status"].to_dict() == {0.001: "finished", 10.0: "diverged"}
    epochs = load_epochs(directory)
    epochs = epochs[epochs["trial_id"] == trials.loc[0.001, "trial_id"]]
    assert len(epochs) == 3 * 1200
    assert (epochs.loc[epochs["epoch"] == 1, "train_mse"] == -1).all() != older


@pytest.mark.slow
def test_a_pack_that_is_restarted_keeps_what_has_ended(table_csv: Path, tmp_path: Path) -> None:
    """A worker is killed after one of its trials has diverged: restarted or given up, that one stays diverged."""
    settings = _settings(table_csv, hidden=[DEEP], max_epochs=2500, learning_rate=[0.001, 10.0])
    (tmp_path / "settings.toml").write_text(to_toml(settings))
    directory = tmp_path / "results" / "birds"
    for max_failures, other in ((0, "failed"), (1, "finished")):
        command = [*COMMAND, "--set", f"resources.max_failures={max_failures}"]
        started = time.time()
        with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
            running = f"SELECT count(*) FROM trials WHERE status = 'running' AND started_at > {started}"
            diverged = "SELECT count(*) FROM trials WHERE status = 'diverged'"
            _wait_until(lambda: _first(directory, running) * _first(directory, diverged) > 0, process)  # noqa: B023
            _wait_until(lambda: bool(_workers(process.pid)), process)
            _workers(process.pid)[0].kill()
            _, errors = process.communicate(timeout=120)
        trials = load_trials(directory).set_index("learning_rate")
        assert trials["status"].to_dict() == {0.001: other, 10.0: "diverged"}, errors
        assert process.returncode == (other == "failed"), errors
        if other == "failed":
            assert trials.loc[0.001, "error"] == "its worker was lost too often"
            assert "lost too often" in errors.splitlines()[-1]
