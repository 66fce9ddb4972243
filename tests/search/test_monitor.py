"""search.monitor: what a person is told while a search runs."""

from pathlib import Path

import numpy as np
import pytest

from ae_model import Configuration, EpochRecord
from search.execution.packs import Pack
from search.ledger import DIVERGED, FINISHED, RUNNING, Ledger
from search.monitor import Monitor

SIZES = {"a": (6, 5, 2), "b": (6, 2), "c": (6, 3), "d": (6, 4), "e": (6, 1), "f": (6, 6, 2)}
TRIALS = {name: Configuration(layer_sizes=sizes) for name, sizes in SIZES.items()}


def _record(epoch: int, mean: float) -> EpochRecord:
    values = np.full(3, mean)
    return EpochRecord(
        epoch=epoch, train_mse=values, val_mse=values, val_fve=values, dead_code_units=np.zeros(3, np.int64)
    )


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """Of six trials, two of which, "d" and "e", were done before."""
    ledger = Ledger(tmp_path)
    ledger.enter_trials(TRIALS)
    ledger.put_baseline([1, 2, 3, 4], np.ones((4, 3)))
    for name, mean in (("d", 0.2), ("e", 0.4)):
        ledger.record(name, [_record(4, mean)], host="here", fit_seconds=1.0, status=FINISHED)
    return ledger


def _packs(*names: str) -> list[Pack]:
    return [Pack(trials={name: TRIALS[name]}, targets={name: 4}) for name in names]


@pytest.mark.parametrize("terminal", [False, True])
def test_it_tells_how_far_a_search_is(
    terminal: bool,
    ledger: Ledger,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It counts ended trials, those of an earlier run too, names the best, and writes to standard error alone."""
    if terminal:
        monkeypatch.setenv("TTY_COMPATIBLE", "1")
        monkeypatch.setenv("TERM", "xterm")
    monitor = Monitor(enabled=True)
    monitor.searching(tmp_path, ["a", "b", "c", "d", "e"], ledger.standing(), dict.fromkeys(["a", "b", "c"], 4))
    with monitor.training() as heard:
        monitor.begin_round(_packs("a", "b", "c"), ["a", "b", "c", "d", "e"], ledger.standing(), 30)
        heard("a", RUNNING, [])
        heard("a", RUNNING, [_record(1, 0.5), _record(2, 0.25)])
        heard("b", RUNNING, [])
        heard("b", DIVERGED, [_record(1, float("nan"))])
        heard("c", RUNNING, [])
        heard("c", FINISHED, [_record(4, 0.75)])
        heard("a", FINISHED, [_record(3, 0.125), _record(4, 0.375)])
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors.splitlines()[0].endswith(
        "Searching 5 configurations, 2 of them done before; 1 of earlier settings stays in the table"
    )
    assert "5/5 trials done" in errors
    assert "0.12500 (6-5-2)" in errors, "the best epoch so far, and of which trial"


def test_it_knows_what_was_found_before(ledger: Ledger, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A best trial of an earlier run stays the best so far until a new one is better; what was begun is said."""
    ledger.record("a", [_record(1, 0.5)], host="here", fit_seconds=1.0)
    monitor = Monitor(enabled=True)
    monitor.searching(tmp_path, list(TRIALS), ledger.standing(), dict.fromkeys(["a", "b", "c", "f"], 4))
    with monitor.training() as heard:
        monitor.begin_round(_packs("a", "b", "c", "f"), list(TRIALS), ledger.standing(), 30)
        for name in "abcf":
            heard(name, RUNNING, [])
            heard(name, FINISHED, [_record(4, 0.5)])
    first, *_, last = capsys.readouterr().err.splitlines()
    assert first == "Searching 6 configurations, 2 of them done before, 1 begun before"
    assert last == "6/6 trials done, best so far 0.20000 (6-4)"


def test_with_a_budget_it_says_when_all_rounds_end(
    ledger: Ledger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the round still takes says little: others follow, until the time is spent."""
    monitor = Monitor(enabled=True)
    monitor.searching(tmp_path, list(TRIALS), ledger.standing(), dict.fromkeys(["a"], 4))
    with monitor.training() as heard:
        monitor.begin_round(_packs("a"), list(TRIALS), ledger.standing(), 30, budget_left_s=240.4)
        heard("a", RUNNING, [_record(1, 0.5)])
    assert "at most 4 min left" in capsys.readouterr().err


def test_one_that_is_off_shows_nothing(ledger: Ledger, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Not a character."""
    monitor = Monitor(enabled=False)
    monitor.say("a message")
    monitor.searching(tmp_path, list(TRIALS), ledger.standing(), dict.fromkeys(["a"], 4))
    with monitor.training() as heard:
        monitor.begin_round(_packs("a"), list(TRIALS), ledger.standing(), 30)
        heard("a", RUNNING, [])
        heard("a", FINISHED, [_record(4, 0.5)])
    assert capsys.readouterr() == ("", "")


def test_messages_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    """Brackets are no markup, and long lines are not cut."""
    text = "results/[bold]x: " + "y" * 300
    Monitor(enabled=True).say(text)
    assert capsys.readouterr().err == f"{text}\n"
