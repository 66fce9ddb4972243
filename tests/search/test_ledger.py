"""search.ledger: what goes in comes out, whatever the order; one writer at a time; clear words about damaged files."""

import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ae_model import Configuration, EpochRecord, UserError
from search.ledger import (
    FAILED,
    FINISHED,
    PENDING,
    RUNNING,
    STOPPED,
    Ledger,
    Standing,
)
from search.ledger_file import SCHEMA_VERSION
from search.ledger_reader import read_ledger, read_trials

A = Configuration(layer_sizes=(8, 4, 2))
B = Configuration(layer_sizes=(8, 2))
C = Configuration(layer_sizes=(8, 3))

_HOLD = """
import sys, time
from pathlib import Path
from search.ledger import Ledger
with Ledger(Path(sys.argv[1])) as ledger:
    ledger.put("held", True)
    print("open", flush=True)
    time.sleep(60)
"""


def _record(epoch: int, values: Sequence[Sequence[float]]) -> EpochRecord:
    """An epoch of as many folds as there are rows of train_mse, val_mse, val_fve and dead units."""
    columns = np.array(values, dtype=np.float64).T
    return EpochRecord(
        epoch=epoch,
        train_mse=columns[0],
        val_mse=columns[1],
        val_fve=columns[2],
        dead_code_units=columns[3].astype(np.int64),
    )


def _numbers(directory: Path) -> dict[str, int]:
    return dict(read_ledger(directory, "SELECT trial_id, number FROM trials")[1])


@contextmanager
def _holder(directory: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the ledger open."""
    with subprocess.Popen([sys.executable, "-c", _HOLD, str(directory)], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "open\n"
            yield process
        finally:
            process.kill()


_values = st.floats(width=64) | st.just(float("nan"))
_folds = st.lists(st.tuples(_values, _values, _values, st.integers(0, 100)), min_size=2, max_size=2)
_trials = st.dictionaries(
    st.sampled_from("abc"), st.dictionaries(st.integers(1, 9), _folds, min_size=1, max_size=5), min_size=1
)


@settings(max_examples=40)  # each makes a file
@given(content=_trials, data=st.data())
def test_reports_in_any_order_and_more_than_once(
    content: dict[str, dict[int, list[tuple[float, float, float, int]]]],
    data: st.DataObject,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Every report is stored once, whatever the order in which reports arrive, and however often each does."""
    expected = {
        (trial, epoch, fold): values
        for trial, epochs in content.items()
        for epoch, folds in epochs.items()
        for fold, values in enumerate(folds)
    }
    reports = [(trial, epoch) for trial, epochs in content.items() for epoch in epochs]
    arrivals = data.draw(st.permutations(reports + data.draw(st.lists(st.sampled_from(reports)))))
    directory = tmp_path_factory.mktemp("ledger")
    with Ledger(directory) as ledger:
        ledger.enter_trials(dict.fromkeys(content, A))
        for trial, epoch in arrivals:
            ledger.record(trial, [_record(epoch, content[trial][epoch])], host="here", fit_seconds=1.0)
    columns, rows = read_ledger(directory, "SELECT * FROM epochs")
    assert columns == ["trial_id", "epoch", "fold", "train_mse", "val_mse", "val_fve", "dead_code_units"]
    assert {row[:3] for row in rows} == set(expected)
    assert len(rows) == len(expected)
    for trial, epoch, fold, *stored in rows:
        wanted = [value if np.isfinite(value) else None for value in expected[trial, epoch, fold]]
        assert stored == wanted


def test_what_is_not_finite_is_stored_as_null(tmp_path: Path) -> None:
    """NaN and both infinities become NULL, so that SQL's own functions leave them out."""
    with Ledger(tmp_path) as ledger:
        ledger.enter_trials({"a": A})
        ledger.record(
            "a",
            [_record(1, [(np.nan, np.inf, -np.inf, 0), (1.0, 2.0, 3.0, 4)])],
            host="here",
            fit_seconds=0.5,
        )
    _, rows = read_ledger(tmp_path, "SELECT train_mse, val_mse, val_fve, dead_code_units FROM epochs ORDER BY fold")
    assert rows == [(None, None, None, 0), (1.0, 2.0, 3.0, 4)]


def test_a_report_can_be_read_while_the_search_is_writing(tmp_path: Path) -> None:
    """A reader sees what was stored although the ledger is still open."""
    with Ledger(tmp_path) as ledger:
        ledger.enter_trials({"a": A})
        ledger.record("a", [_record(1, [(1, 2, 3, 4)])], host="here", fit_seconds=0.5)
        assert len(read_ledger(tmp_path, "SELECT * FROM epochs")[1]) == 1


def test_values_by_key(tmp_path: Path) -> None:
    """`get` returns what `put` stored last, also after reopening, and None for what was never stored."""
    with Ledger(tmp_path) as ledger:
        assert ledger.get("definition") is None
        ledger.put("definition", {"seed": 1})
        ledger.put("definition", {"seed": 2, "list": [1, "ü", None]})
    with Ledger(tmp_path) as ledger:
        assert ledger.get("definition") == {"seed": 2, "list": [1, "ü", None]}


def test_the_life_of_a_trial(tmp_path: Path) -> None:
    """Pending, running, failed, started again from its first epoch, finished: status and times follow."""
    query = "SELECT status, error, host, fit_seconds, started_at IS NULL, ended_at IS NULL FROM trials"
    record = _record(1, [(1, 2, 3, 4)])
    with Ledger(tmp_path) as ledger:

        def row() -> tuple[object, ...]:
            return read_ledger(tmp_path, query)[1][0]

        ledger.enter_trials({"a": A})
        assert row() == (PENDING, None, None, None, 1, 1)
        ledger.start("a")
        assert row() == (RUNNING, None, None, None, 0, 1)
        ledger.record("a", [record], host="node", fit_seconds=1.5)
        assert row() == (RUNNING, None, "node", 1.5, 0, 1)
        ledger.fail("a", "it broke")
        assert row() == (FAILED, "it broke", "node", 1.5, 0, 0)
        assert ledger.standing() == {"a": Standing(status=FAILED, epochs=1)}
        ledger.set_status(["a"], PENDING)
        assert row()[:2] == (PENDING, "it broke"), "why it failed is kept until it is tried again"
        ledger.start("a")
        assert row()[:2] == (RUNNING, None)
        assert row()[5] == 1
        ledger.record("a", [record], host="node", fit_seconds=1.5)
        assert len(read_ledger(tmp_path, "SELECT * FROM epochs")[1]) == 1, "what it had recorded is stored once"
        ledger.record("a", [record], host="other", fit_seconds=2.5, status=FINISHED)
        assert row() == (FINISHED, None, "other", 2.5, 0, 0)
        assert ledger.standing() == {"a": Standing(status=FINISHED, epochs=1)}


def test_trials_are_numbered_in_their_order_and_renumbered_when_the_search_widens(tmp_path: Path) -> None:
    """A wider search numbers its trials anew; what was stored of a trial stays, and pending ones follow in order."""
    with Ledger(tmp_path) as ledger:
        ledger.enter_trials({"a": A, "b": B})
        ledger.record("b", [_record(1, [(1, 2, 3, 4)])], host="here", fit_seconds=1.0, status=FINISHED)
        ledger.enter_trials({"c": C, "b": B, "a": A})
        assert _numbers(tmp_path) == {"c": 1, "b": 2, "a": 3}
        assert list(ledger.standing()) == ["c", "b", "a"]
    rows = dict(read_ledger(tmp_path, "SELECT trial_id, status FROM trials")[1])
    assert rows == {"a": PENDING, "b": FINISHED, "c": PENDING}
    assert len(read_ledger(tmp_path, "SELECT * FROM epochs")[1]) == 1


def test_trials_that_are_no_longer_searched_follow_in_their_order(tmp_path: Path) -> None:
    """A narrower search keeps its old trials behind its own; entering the same trials again changes no number."""
    with Ledger(tmp_path) as ledger:
        ledger.enter_trials({"a": A, "b": B, "c": C})
        for _ in range(3):
            ledger.enter_trials({"b": B})
            assert _numbers(tmp_path) == {"b": 1, "a": 2, "c": 3}


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    """In the same process, while the first is open; afterwards the ledger opens again."""
    with (
        Ledger(tmp_path),
        pytest.raises(ValueError, match=r"another ae-search is running in this directory.*--name") as caught,
    ):
        Ledger(tmp_path)
    assert str(tmp_path) in str(caught.value)
    with Ledger(tmp_path) as ledger:
        ledger.put("again", 1)


def test_a_second_driver_is_refused_while_the_first_lives(tmp_path: Path) -> None:
    """Another process that holds the ledger locks this one out; one that is killed does not, and loses nothing."""
    with _holder(tmp_path) as process:
        with pytest.raises(ValueError, match="another ae-search is running"):
            Ledger(tmp_path)
        assert read_ledger(tmp_path, "SELECT value FROM search")[1] == [("true",)], "reading is allowed"
        process.send_signal(signal.SIGKILL)
        process.wait()
        with Ledger(tmp_path) as ledger:
            assert ledger.get("held") is True


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    """It is refused with its path, for writing and for reading, left as it is, and does not leave a lock behind."""
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(b"these are not the tables you are looking for" * 100)
    before = path.read_bytes()
    for _ in range(2):
        with pytest.raises(ValueError, match=r"ledger\.sqlite: is not a readable ledger.*--name"):
            Ledger(tmp_path)
    with pytest.raises(ValueError, match=r"ledger\.sqlite: is not a readable ledger"):
        read_ledger(tmp_path, "SELECT * FROM trials")
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"", None], ids=["empty", "another database"])
def test_a_database_that_is_no_ledger(tmp_path: Path, content: bytes | None) -> None:
    """An empty file or somebody else's database is no ledger to read from."""
    path = tmp_path / "ledger.sqlite"
    if content is None:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE birds (name TEXT)")
            connection.commit()
    else:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"ledger\.sqlite: is not"):
        read_ledger(tmp_path, "SELECT * FROM trials")


def test_a_damaged_ledger(tmp_path: Path) -> None:
    """A ledger of which pages are overwritten is refused with its path, not with a database error."""
    with Ledger(tmp_path) as ledger:
        ledger.enter_trials({f"t{i}": A for i in range(500)})
    path = tmp_path / "ledger.sqlite"
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"ledger\.sqlite: is not a readable ledger"):
        read_ledger(tmp_path, "SELECT * FROM trials")


@pytest.mark.parametrize("text", ["[]", "3", "no JSON", "{}", '{"layer_sizes": 3}'])
def test_a_ledger_of_version_1_that_is_damaged(tmp_path: Path, text: str) -> None:
    """Where a configuration in it is none, it is refused, and stays as it is."""
    with Ledger(tmp_path) as ledger:
        ledger.enter_trials({"a": A})
    path = tmp_path / "ledger.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE trials SET configuration = ?", (text,))
        connection.execute("PRAGMA user_version = 1")
    with pytest.raises(UserError, match=r"ledger\.sqlite: is not a readable ledger"):
        Ledger(tmp_path)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone()[0] == 1
        assert connection.execute("SELECT trial_id, configuration FROM trials").fetchall() == [("a", text)]


def test_a_ledger_of_version_2_gets_the_columns_of_stopped_trials(tmp_path: Path) -> None:
    """It can be read as it is, with neither rung nor forecast; a driver gives it the columns, and nothing is lost."""
    with Ledger(tmp_path) as ledger:
        ledger.enter_trials({"a": A, "b": B})
        ledger.record("a", [_record(1, [[0.5, 0.25, 0.75, 0]])], host="node", fit_seconds=2.0, status=FINISHED)
    path = tmp_path / "ledger.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        for column in ("rung", "forecast"):
            connection.execute(f"ALTER TABLE trials DROP COLUMN {column}")
        connection.execute("PRAGMA user_version = 2")
    before = read_trials(tmp_path)
    assert before[0][:5] == ["trial_id", "number", "status", "rung", "forecast"]
    assert before[1] == [("a", 1, FINISHED, None, None, 2.0, "node", None), ("b", 2, PENDING, *[None] * 5)]
    assert read_ledger(tmp_path, "PRAGMA user_version")[1] == [(2,)], "readers change nothing"
    with Ledger(tmp_path) as ledger:
        assert read_trials(tmp_path) == before
        ledger.note_stopped({"b": (2, 0.125)})
    assert read_ledger(tmp_path, "PRAGMA user_version")[1] == [(SCHEMA_VERSION,)]
    assert read_trials(tmp_path)[1][1][:5] == ("b", 2, STOPPED, 2, 0.125)
    assert len(read_ledger(tmp_path, "SELECT * FROM epochs")[1]) == 1


def test_a_ledger_of_a_newer_version(tmp_path: Path) -> None:
    """It is refused with both versions, and not changed."""
    with Ledger(tmp_path):
        pass
    path = tmp_path / "ledger.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    for open_it in (lambda: Ledger(tmp_path), lambda: read_ledger(tmp_path, "SELECT 1")):
        with pytest.raises(ValueError, match=rf"is of version {SCHEMA_VERSION + 1}.*up to {SCHEMA_VERSION}"):
            open_it()


def test_a_folder_without_a_ledger(tmp_path: Path) -> None:
    """Reading says that the folder is no search's, and creates no file in it."""
    with pytest.raises(ValueError, match=r"is not a search directory, ledger\.sqlite is missing"):
        read_ledger(tmp_path, "SELECT 1")
    assert list(tmp_path.iterdir()) == []


def test_the_search_that_may_have_been_meant(tmp_path: Path) -> None:
    """Above a model's directory, or below one of results; and whether there is such a directory at all."""
    for name in ("a", "b"):
        (tmp_path / name / "trials" / "1").mkdir(parents=True)
        (tmp_path / name / "ledger.sqlite").touch()
    for wrong, words in [
        (tmp_path, f"but holds 2 of them: {tmp_path}/a, {tmp_path}/b. Give one of them."),
        (tmp_path / "a" / "trials" / "1", f"but the search that it belongs to is {tmp_path}/a. Give that."),
        (tmp_path / "a" / "trials", f"but the search that it belongs to is {tmp_path}/a. Give that."),
        (tmp_path / "c", "there is no such directory. Check the path."),
    ]:
        with pytest.raises(ValueError, match=re.escape(f"{wrong}: is not a search directory, {words}")):
            read_ledger(wrong, "SELECT 1")
