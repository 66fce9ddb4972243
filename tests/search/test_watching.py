"""Watching a search from another terminal."""

import io
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from ae_model import UserError
from search import SearchResult, watching
from search.ledger import Ledger
from search.progress import note_round, read_progress
from search.watching import watch

AE_SEARCH = str(Path(sys.executable).with_name("ae-search"))


def test_a_finished_search_is_shown_once(searched: SearchResult, capsys: pytest.CaptureFixture[str]) -> None:
    """A line of how far it is, and one that nothing is running; it ends by itself."""
    watch(searched.directory)
    first, last = capsys.readouterr().out.splitlines()
    assert "4 trials: 4 finished" in first
    assert " 0 " not in first.partition(";")[0], "what there is none of is not listed"
    mse = f"best so far {searched.selection.val_mse_mean:.5f} ± {searched.selection.val_mse_se:.5f}"
    assert mse in first
    assert last.startswith(f"{searched.directory}: no search is running here; all trials are done, {mse}")


def test_what_is_no_search_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As everywhere; what is missing or empty, only after a while."""
    (tmp_path / "notes.txt").touch()
    for path in (tmp_path, tmp_path / "notes.txt", tmp_path / ("x" * 300)):
        with pytest.raises(UserError, match="is not a search directory"):
            watch(path)
    monkeypatch.setattr(watching, "PATIENCE_S", 0.3)
    with pytest.raises(UserError, match="is not a search directory"):
        watch(tmp_path / "missing")


def test_a_search_that_is_not_there_yet_is_waited_for(
    searched: SearchResult, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says so; once there is one, it is shown."""

    def appear(_seconds: float) -> None:
        shutil.copytree(searched.directory, tmp_path / "search")

    monkeypatch.setattr(watching.time, "sleep", appear)
    watch(tmp_path / "search")
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first == f"{tmp_path / 'search'}: there is no search yet; waiting for one"
    assert "4 trials: 4 finished" in second


def test_the_round_that_is_trained(searched: SearchResult, tmp_path: Path) -> None:
    """Epochs done of those that were asked for, of the trials of the round alone; a stopped search says so."""
    directory = tmp_path / "search"
    shutil.copytree(searched.directory, directory)
    ids = searched.trials["trial_id"].tolist()
    with Ledger(directory) as ledger:
        note_round(ledger, 3, {ids[0]: 6, ids[1]: 8}, is_repeat=False)
        progress = read_progress(directory)
        assert progress.at_work
    assert progress.round is not None
    assert (progress.round.number, progress.round.asked) == (3, 14)
    assert progress.round.done == 14, "a finished trial needs no more epochs"
    assert not read_progress(directory).at_work
    assert progress.best(1)["trial_id"].tolist() == [searched.selection.trial_id]


def test_ctrl_c_ends_it(searched: SearchResult, tmp_path: Path) -> None:
    """With exit status 130 and without a traceback, while a driver goes on; on a terminal the view is drawn."""
    directory = tmp_path / "search"
    shutil.copytree(searched.directory, directory)
    ours, theirs = pty.openpty()
    with Ledger(directory) as ledger:  # as a driver holds it
        watching = subprocess.Popen(
            [AE_SEARCH, "status", str(directory), "--watch"],
            stdout=theirs,
            stderr=subprocess.STDOUT,
            env={**os.environ, "COLUMNS": "120", "TERM": "xterm"},
            # Tests that are started in the background would have it ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        os.close(theirs)
        seen = io.BytesIO()
        while b"a search is running here" not in seen.getvalue():
            seen.write(os.read(ours, 4096))
        ledger.put("anything", 1)  # nothing keeps the driver from writing
        watching.send_signal(signal.SIGINT)
        assert watching.wait(timeout=60) == 130
    os.set_blocking(ours, False)
    with suppress(OSError):  # all is read, and the other side is closed
        seen.write(os.read(ours, 65536))
    os.close(ours)
    text = seen.getvalue().decode()
    assert "Traceback" not in text
    for part in (str(directory), "best so far", "4 trials: 4 finished", "the winner is next"):
        assert part in text


@pytest.mark.slow
def test_a_search_is_watched_to_its_end(tmp_path: Path) -> None:
    """Lines while it runs, from its first epochs on; the last says that it has finished. The driver notices nothing."""
    command = [
        AE_SEARCH,
        "run",
        "--name",
        "watched",
        "--set",
        "search.max_epochs=30",
        "--set",
        'space.hidden=["", "64"]',
    ]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as driver:
        while not (tmp_path / "results" / "watched" / "ledger.sqlite").exists():
            time.sleep(0.1)
        watched = subprocess.run(
            [AE_SEARCH, "status", "results/watched", "--watch"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        _, complaints = driver.communicate()
    assert (driver.returncode, watched.returncode, watched.stderr) == (0, 0, ""), complaints
    lines = watched.stdout.splitlines()
    assert len(lines) > 2
    assert "results/watched: finished, best so far" in lines[-1]
