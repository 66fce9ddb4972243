"""search.execution.idle_workers: how long workers stay without a trial, by themselves and in real searches."""

import time
from pathlib import Path
from threading import Thread
from typing import Any

import psutil
import pytest

from search import SearchSettings, parse_settings, run_search
from search.execution import idle_workers, train
from search.execution.idle_workers import IdleWorkers


def _settings(table: Path, *, n_slots: int, space: dict[str, Any], search: dict[str, Any]) -> SearchSettings:
    return parse_settings(
        {
            "data": {"source": str(table), "label_column": "kind", "scaling": "standard"},
            "bottleneck": {"code_sizes": [2]},
            "space": {"batch_size": 16} | space,
            "search": {"n_splits": 3} | search,
            "resources": {"max_failures": 0, "max_concurrent_trials": n_slots},
        }
    )


def _workers() -> list[psutil.Process]:
    """The processes that train."""
    found = []
    for child in psutil.Process().children(recursive=True):
        try:
            if "ImplicitFunc" in child.name():
                found.append(child)
        except psutil.NoSuchProcess:
            continue
    return found


@pytest.mark.slow
def test_one_that_dies_between_two_rounds_costs_no_trial(
    table_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Although no trial may be started again: it had none."""
    killed = []
    begin = train.note_round

    def kill_all_and_begin(*arguments: Any, **options: Any) -> None:
        for process in _workers():
            process.kill()
            killed.append(process.pid)
        begin(*arguments, **options)

    monkeypatch.setattr(train, "note_round", kill_all_and_begin)
    space = {"hidden": ["", "5", "6-4"], "learning_rate": [0.001, 0.01]}
    search = {"max_epochs": 9, "pruning": "halving", "reduction_factor": 3}
    result = run_search(
        _settings(table_csv, n_slots=1, space=space, search=search), results_dir=tmp_path, verbose=False
    )
    assert killed, "the first round's worker, before the second"
    assert set(result.trials["status"]) == {"finished", "stopped"}
    assert not result.trials["error"].notna().any()


@pytest.mark.slow
def test_those_without_a_trial_leave(table_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another has one, and is not disturbed."""
    monkeypatch.setattr(idle_workers, "IDLE_S", 1.0)
    counts: list[int] = []

    def count() -> None:
        while not counts or counts[-1] >= 0:
            counts.append(len(_workers()))
            time.sleep(0.2)

    counting = Thread(target=count)
    counting.start()
    try:
        # A longer schedule is a pack of its own.
        space = {"hidden": "5", "learning_rate_schedule": ["constant", "one-cycle"]}
        search = {"max_epochs": 4000, "patience": 5, "min_gain": 0.5}
        result = run_search(
            _settings(table_csv, n_slots=2, space=space, search=search), results_dir=tmp_path, verbose=False
        )
    finally:
        seen = list(counts)
        counts.append(-1)
        counting.join()
    assert set(result.trials["status"]) == {"finished"}
    assert seen[seen.index(2) :].count(1) > 5, seen


def test_the_last_one_goes_first_and_the_oldest_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that few trials keep few workers."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    idle = IdleWorkers()
    for now[0], worker in ((0.0, "old"), (10.0, "young"), (20.0, "other")):
        assert idle.cache_object("gpu" if worker == "other" else "cpu", worker)
    assert idle.num_cached_objects == 3
    now[0] = idle_workers.IDLE_S + 5
    assert list(idle.flush_cached_objects()) == ["old"]
    assert (idle.pop_cached_object("cpu"), idle.pop_cached_object("cpu")) == ("young", None)
    assert (idle.has_cached_object("cpu"), idle.has_cached_object("gpu")) == (False, True)
    assert list(idle.flush_cached_objects(force_all=True)) == ["other"]
    idle.increase_max("cpu", 2)
    idle.decrease_max("cpu")
    assert idle.total_max_objects == 1
