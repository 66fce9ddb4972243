"""search.table_types: every column has its type, whatever a search holds."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ae_model import Configuration, EpochRecord
from ae_model.configuration import ACTIVATION_NAMES, INIT_NAMES, SCHEDULE_NAMES
from search import SearchResult, load_epochs, load_folds, load_trials
from search.ledger import DIVERGED, FINISHED, PENDING, RUNNING, Ledger
from search.table_types import EPOCH_TYPES, FOLD_TYPES, TRIAL_TYPES, typed
from search.tables import write_tables

TABLES = ((load_trials, TRIAL_TYPES), (load_folds, FOLD_TYPES), (load_epochs, EPOCH_TYPES))
CONFIGURATIONS = {
    "a": Configuration(layer_sizes=(8, 4, 2), code_activation="linear", init="pca"),
    "b": Configuration(layer_sizes=(8, 2), learning_rate_schedule="cosine", schedule_epochs=4),
    "c": Configuration(layer_sizes=(8, 4, 4, 2), dropout=0.25),
}


def _record(epoch: int, val_mse: float) -> EpochRecord:
    values = np.array([val_mse, val_mse + 0.25])
    return EpochRecord(
        epoch=epoch, train_mse=values / 2, val_mse=values, val_fve=1 - values, dead_code_units=np.array([0, 1])
    )


def _enter(directory: Path, *, with_reports: bool) -> Path:
    """A ledger of three trials: one that finished, one that was stopped, one that failed; or three that wait."""
    with Ledger(directory) as ledger:
        ledger.enter_trials(CONFIGURATIONS)
        ledger.put_baseline([2], np.array([[0.5, 0.75]]))
        if with_reports:
            ledger.record("a", [_record(1, 0.5), _record(2, 0.25)], host="node", fit_seconds=1.5, status=FINISHED)
            ledger.record("b", [_record(1, 0.75)], host="node", fit_seconds=0.5, status=RUNNING)
            ledger.note_stopped({"b": (1, 0.625)})
            ledger.fail("c", "no memory")
    return directory


@pytest.fixture(params=["no trials", "pending", "failed", "diverged", "stopped", "finished"])
def directory(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A search in each of the states that leave columns, or whole tables, without a value."""
    if request.param in ("pending", "stopped"):
        return _enter(tmp_path, with_reports=request.param == "stopped")
    if request.param == "finished":
        searched: SearchResult = request.getfixturevalue("searched")
        return searched.directory
    with Ledger(tmp_path) as ledger:
        if request.param == "failed":
            ledger.enter_trials(CONFIGURATIONS)
            for trial_id in CONFIGURATIONS:
                ledger.fail(trial_id, "no memory")
        elif request.param == "diverged":
            ledger.enter_trials(CONFIGURATIONS)
            ledger.record("a", [_record(1, np.nan)], host="node", fit_seconds=1.0, status=DIVERGED)
    return tmp_path


def test_columns_have_their_types(directory: Path) -> None:
    """In tables of searches that are empty, failed, stopped or finished; no column holds objects."""
    for load, types in TABLES:
        table = load(directory)
        assert list(table.columns) == list(types)
        for name, kind in types.items():
            dtype = table[name].dtype
            if isinstance(kind, str):
                assert dtype == kind, f"{load.__name__}: {name} is {dtype}"
            else:
                assert isinstance(dtype, pd.CategoricalDtype)
                assert dtype.categories.tolist() == sorted(kind)
    assert "object" not in [str(dtype) for load, _ in TABLES for dtype in load(directory).dtypes]


def test_tables_can_be_written_and_read(directory: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """With pandas' types the files say the same: what is missing is an empty cell, and comes back as missing."""
    folder = tmp_path_factory.mktemp("files")
    for load, _ in TABLES:
        table = load(directory)
        table.to_csv(folder / "table.csv", index=False)
        read = pd.read_csv(folder / "table.csv", dtype={"trial_id": "string"}).astype(table.dtypes.to_dict())
        pd.testing.assert_frame_equal(read, table, rtol=1e-15)
    load_epochs(directory).to_parquet(folder / "epochs.parquet", index=False)
    pd.testing.assert_frame_equal(pd.read_parquet(folder / "epochs.parquet"), load_epochs(directory))


def test_trials_csv_to_the_byte(tmp_path: Path) -> None:
    """Whole numbers have no point, floats have all their digits, and what is missing leaves its cell empty."""
    write_tables(_enter(tmp_path, with_reports=True))
    columns = ",".join(TRIAL_TYPES)
    rows = [
        "a,1,finished,8-4-2,2,1,relu,linear,pca,0.001,64,0.0,constant,,0.0,0.0,0.0,98,4.0,2,,,1,2,0.375,"
        "0.1767766952966369,0.125,0.625,0.1875,0.625,0.0,0.5,,,,1,1.5,node,",
        "b,2,stopped,8-2,2,0,relu,relu,random,0.001,64,0.0,cosine,4,0.0,0.0,0.0,42,4.0,1,1,0.625,1,1,0.875,"
        "0.1767766952966369,0.125,0.125,0.4375,0.625,0.0,0.5,,,,,0.5,node,",
        "c,3,failed,8-4-4-2,2,2,relu,relu,random,0.001,64,0.0,constant,,0.25,0.0,0.0,138,4.0,"
        ",,,,,,,,,,,,,,,,,,,no memory",
    ]
    assert (tmp_path / "trials.csv").read_text() == "\n".join([columns, *rows, ""])
    folds = [
        "trial_id,number,fold,repeat,best_epoch,train_mse,val_mse,val_fve,dead_code_units,pca_val_mse,"
        "probe_score,probe_knn_score,pca_probe_score",
        "a,1,0,0,2,0.125,0.25,0.75,0,0.5,,,",
        "a,1,1,0,2,0.25,0.5,0.5,1,0.75,,,",
        "b,2,0,0,1,0.375,0.75,0.25,0,0.5,,,",
        "b,2,1,0,1,0.5,1.0,0.0,1,0.75,,,",
    ]
    assert (tmp_path / "folds.csv").read_text() == "\n".join([*folds, ""])


def test_groups_of_categories(tmp_path: Path) -> None:
    """Groups are the names that are there, and not all that a category can have, as in any text column."""
    trials = load_trials(_enter(tmp_path, with_reports=True))
    assert trials.groupby("init")["val_mse_mean"].min().to_dict() == {"pca": 0.375, "random": 0.875}
    assert trials.groupby("code_activation")["number"].max().to_dict() == {"linear": 1, "relu": 3}
    assert trials.groupby(["status", "init"]).size().to_dict() == {
        ("failed", "random"): 1,
        ("finished", "pca"): 1,
        ("stopped", "random"): 1,
    }


def test_categories_are_the_names_that_there_are() -> None:
    """What a configuration can be, and what a trial's status can be."""
    assert TRIAL_TYPES["hidden_activation"] == TRIAL_TYPES["code_activation"] == ACTIVATION_NAMES
    assert TRIAL_TYPES["init"] == INIT_NAMES
    assert TRIAL_TYPES["learning_rate_schedule"] == SCHEDULE_NAMES
    assert set(TRIAL_TYPES["status"]) == {PENDING, RUNNING, FINISHED, DIVERGED, "failed", "stopped"}


def test_a_name_that_only_another_version_knows() -> None:
    """It is kept, and not made a missing value."""
    table = typed(pd.DataFrame({"init": ["pca", "fourier", None]}), {"init": INIT_NAMES})
    assert table["init"].tolist()[:2] == ["pca", "fourier"]
    assert table["init"].isna().tolist() == [False, False, True]
    assert table["init"].cat.categories.tolist() == sorted(["fourier", *INIT_NAMES])
