"""search.execution.recorder: what becomes of each trial of a pack, in the ledger."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from ae_model import Configuration, EpochRecord
from search.execution.packs import Pack
from search.execution.recorder import Recorder
from search.execution.records import Report
from search.ledger import DIVERGED, FAILED, FINISHED, PENDING, RUNNING, Ledger
from search.tables import load_trials

TRIALS = {
    "large": Configuration(layer_sizes=(8, 4, 2)),
    "small": Configuration(layer_sizes=(8, 2)),
    "alone": Configuration(layer_sizes=(8, 3)),
    "done before": Configuration(layer_sizes=(8, 1)),
}
PACK = ["large", "small", "done before"]


def _record(epoch: int, val_mse: float) -> EpochRecord:
    values = np.array([val_mse, 0.2])
    return EpochRecord(epoch=epoch, train_mse=values, val_mse=values, val_fve=values, dead_code_units=np.array([0, 0]))


def _report(seconds: float = 1.0, **records: Sequence[EpochRecord]) -> Report:
    return Report(records={name.replace("_", " "): given for name, given in records.items()}, fit_seconds=seconds)


@pytest.fixture
def heard() -> list[tuple[str, str, int]]:
    """What was said of progress: trial, status, number of new epochs."""
    return []


@pytest.fixture
def recorder(tmp_path: Path, heard: list[tuple[str, str, int]]) -> Recorder:
    """Of two packs, of three trials, one of which is not wanted, and of one; two epochs each."""
    ledger = Ledger(tmp_path)
    ledger.enter_trials(TRIALS)
    packs = [
        Pack(trials={name: TRIALS[name] for name in PACK}, targets={"large": 2, "small": 2}),
        Pack(trials={"alone": TRIALS["alone"]}, targets={"alone": 2}),
    ]

    def progress(trial_id: str, status: str, records: Sequence[EpochRecord]) -> None:
        heard.append((trial_id, status, len(records)))

    return Recorder(packs, ledger, progress)


def _statuses(directory: Path) -> dict[str, str]:
    return load_trials(directory).set_index("trial_id")["status"].to_dict()


def test_a_pack_from_start_to_end(recorder: Recorder, tmp_path: Path, heard: list[tuple[str, str, int]]) -> None:
    """Each trial has its own status and epochs; one that is not wanted is left as it is, whatever is reported of it."""
    recorder.start(0)
    assert _statuses(tmp_path) == {"large": RUNNING, "small": RUNNING, "alone": PENDING, "done before": PENDING}
    recorder.record(0, _report(large=[_record(1, 0.3)], small=[_record(1, np.inf)], done_before=[_record(1, 0.1)]))
    assert _statuses(tmp_path) == {"large": RUNNING, "small": DIVERGED, "alone": PENDING, "done before": PENDING}
    recorder.record(0, _report(large=[_record(2, 0.2)]))
    assert _statuses(tmp_path) == {"large": FINISHED, "small": DIVERGED, "alone": PENDING, "done before": PENDING}
    expected = [("large", RUNNING, 0), ("small", RUNNING, 0), ("large", RUNNING, 1), ("small", DIVERGED, 1)]
    assert heard == [*expected, ("large", FINISHED, 1)]
    epochs = load_trials(tmp_path).set_index("trial_id")["epochs"]
    assert epochs.dropna().to_dict() == {"large": 2, "small": 1}


def test_a_pack_that_fails(recorder: Recorder, tmp_path: Path) -> None:
    """Those of its trials that have ended before keep their result, and are not begun again with it."""
    recorder.start(0)
    recorder.record(0, _report(small=[_record(1, 0.3), _record(2, 0.2)]))
    recorder.start(0)
    recorder.record(0, Report(error="RuntimeError: no memory"))
    recorder.fail(1, "its worker was lost too often")
    trials = load_trials(tmp_path).set_index("trial_id")
    assert trials["status"].to_dict() == {"large": FAILED, "small": FINISHED, "alone": FAILED, "done before": PENDING}
    assert trials["error"].dropna().to_dict() == {
        "large": "RuntimeError: no memory",
        "alone": "its worker was lost too often",
    }


def test_the_time_of_a_pack_is_shared_by_parameters(recorder: Recorder, tmp_path: Path) -> None:
    """(8, 4, 2) has 98 parameters, (8, 2) 42 and (8, 1) 25, biases and decoder included."""
    recorder.record(0, _report(17.3, large=[_record(1, 0.3)], small=[_record(1, 0.3)]))
    seconds = load_trials(tmp_path).set_index("trial_id")["fit_seconds"]
    np.testing.assert_allclose(seconds[["large", "small"]], [17.3 * 98 / 165, 17.3 * 42 / 165], rtol=1e-12)
    assert seconds[["alone", "done before"]].isna().all()


def test_a_trial_ends_at_its_own_target(tmp_path: Path) -> None:
    """In a pack whose trials are to reach different epochs, what comes after a trial's own is dropped."""
    ledger = Ledger(tmp_path)
    ledger.enter_trials(TRIALS)
    pack = Pack(trials={name: TRIALS[name] for name in PACK}, targets={"large": 3, "small": 1})
    recorder = Recorder([pack], ledger, lambda *_: None)
    recorder.start(0)
    both = [_record(1, 0.3), _record(2, 0.2)]
    recorder.record(0, _report(large=both, small=both))
    assert load_trials(tmp_path).set_index("trial_id")["epochs"].dropna().to_dict() == {"large": 2, "small": 1}
    assert _statuses(tmp_path)["small"] == FINISHED
    recorder.record(0, _report(large=[_record(3, 0.1)], small=[_record(3, 0.1)]))
    assert load_trials(tmp_path).set_index("trial_id")["epochs"].dropna().to_dict() == {"large": 3, "small": 1}
    assert pack.max_epochs == 3
