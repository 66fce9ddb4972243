"""Searches that decide for themselves, from command to result: halving, suggestions, the smallest code, budgets."""

import json
import runpy
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris

from ae_model import Configuration
from search import SearchResult, load_epochs, load_folds, load_trials, parse_settings, run_search
from search.errors import SearchError
from search.ledger import Ledger
from search.smallest_code_record import SmallestCode

EXAMPLES = Path(__file__).parents[2] / "examples"


def _search(table: Path, results: Path, name: str = "birds", **settings: Any) -> SearchResult:
    content = {
        "data": {"source": str(table), "label_column": "kind"},
        "search": {"n_splits": 3, "max_epochs": 12, **settings.pop("search", {})},
        **settings,
    }
    return run_search(parse_settings(content), name=name, results_dir=results)


def _epochs(directory: Path) -> pd.DataFrame:
    return load_epochs(directory).drop(columns="number")


SPACE = {"hidden": ["", "4", "6", "8"], "learning_rate": [3e-4, 3e-3], "init": ["pca", "random"]}


HALVED = {"bottleneck": {"code_sizes": [2]}, "space": SPACE, "search": {"pruning": "halving"}}


@pytest.fixture(scope="module")
def halved(table_csv: Path, local_ray: None, tmp_path_factory: pytest.TempPathFactory) -> SearchResult:
    """A finished search that gave up twelve of its sixteen trials."""
    return _search(table_csv, tmp_path_factory.mktemp("results"), "halved", **HALVED)


@pytest.fixture(scope="module")
def whole(table_csv: Path, local_ray: None, tmp_path_factory: pytest.TempPathFactory) -> SearchResult:
    """A search of `SPACE` with neither pruning nor a budget; its directory is only to be read."""
    settings = {"bottleneck": {"code_sizes": [2]}, "space": SPACE}
    return _search(table_csv, tmp_path_factory.mktemp("whole"), **settings)


def test_halving(halved: SearchResult, whole: SearchResult, table_csv: Path, tmp_path: Path) -> None:
    """Survivors have the numbers that a search without pruning gives, what was stopped the first of them.

    Numbers agree to rounding: a pack that shrinks adds up in another order.
    """
    trials = halved.trials
    assert trials.groupby("status").size().to_dict() == {"stopped": 12, "finished": 4}
    assert trials.groupby("rung")["epochs"].unique().explode().to_dict() == {1: 4, 2: 8}
    assert trials["rank"].notna().tolist() == (trials["status"] == "finished").tolist()
    both = _epochs(halved.directory).merge(
        _epochs(whole.directory), on=["trial_id", "epoch", "fold"], suffixes=("", "_whole")
    )
    assert len(both) == len(_epochs(halved.directory))
    np.testing.assert_allclose(both["val_mse"], both["val_mse_whole"], rtol=1e-4)
    assert halved.selection.n_stopped == 12
    assert halved.selection.n_finished == 4
    assert {tied["trial_id"] for tied in halved.selection.tied} <= set(trials.loc[trials["rank"].notna(), "trial_id"])
    again = _search(table_csv, halved.directory.parent, "halved", **HALVED)
    pd.testing.assert_frame_equal(again.trials, trials)


def test_questions_to_a_search(halved: SearchResult, capsys: pytest.CaptureFixture[str]) -> None:
    """The example answers its five questions with the numbers of the search's own results."""
    questions = runpy.run_path(str(EXAMPLES / "questions.py"))
    questions["main"](str(halved.directory))
    output = capsys.readouterr().out
    headings = ["Which width", "What does the code size", "Is the winner", "What did pruning", "Which trials failed"]
    assert [output.count(heading) for heading in headings] == [1] * 5
    assert output.endswith("\n\nNone.\n\n"), "none failed"
    trials, selection = halved.trials, halved.selection
    widths = questions["which_width_helps"](trials)
    assert (
        widths.loc[(2, "6-2"), "random"]
        == trials.query("layer_sizes == '6-2' and init == 'random'")["val_mse_mean"].min()
    )
    assert widths[["pca", "random"]].min().min() == trials["val_mse_mean"].min()
    sizes = questions["what_does_the_code_size_buy"](trials)
    assert sizes["val_mse_mean"].to_dict() == {2: trials["val_mse_mean"].min()}
    tests = questions["is_the_winner_significant"](trials, load_folds(halved.directory))
    assert len(tests) == selection.n_finished
    assert tests.loc["-", "p_value"] == selection.pca_p_value
    for tied in selection.tied:
        assert tests.loc[tied["trial_id"], "p_value"] == tied["p_value"]
    saved = questions["what_did_pruning_save"](trials)
    assert saved.loc["all", "epochs"] == trials["epochs"].sum()
    assert saved.loc["all", "at_full_length"] == 16 * 12
    assert saved.loc["all", "saved"] == 1 - trials["epochs"].sum() / 192


def test_questions_to_a_search_that_came_to_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With no trial, or none but failed ones, it says what it can: why they failed."""
    questions = runpy.run_path(str(EXAMPLES / "questions.py"))
    with Ledger(tmp_path) as ledger:
        questions["main"](str(tmp_path))
        assert "Which width" not in capsys.readouterr().out
        ledger.enter_trials({"a": Configuration(layer_sizes=(6, 2))})
        ledger.fail("a", "no memory")
    questions["main"](str(tmp_path))
    output = capsys.readouterr().out
    assert "Is the winner" not in output
    assert "no memory" in output


def test_who_was_stopped_too_early_is_trained_on(local_ray: None, tmp_path: Path) -> None:
    """Of all that were stopped one had a lower error than those that finished: it goes on in its pack, and wins."""
    settings = parse_settings(
        {
            "data": {"test_fraction": 0.2},
            "bottleneck": {"code_sizes": [2]},
            "space": {
                "hidden": ["64", "128"], "init": ["random"], "learning_rate": [3e-4, 1e-3, 1e-2], "batch_size": [16]
            },
            "search": {"max_epochs": 81, "pruning": "halving"},
        }
    )  # fmt: skip
    result = run_search(settings, data=load_iris().data, name="iris", results_dir=tmp_path)
    finished = result.trials[result.trials["status"] == "finished"]
    assert sorted(finished["epochs"]) == [81, 81], "the one that survived all rungs, and the one that was better"
    stopped = result.trials[result.trials["status"] == "stopped"]
    assert stopped["val_mse_mean"].min() > result.selection.val_mse_mean
    epochs = load_epochs(result.directory).query("trial_id == @result.selection.trial_id")
    assert epochs.groupby("fold")["epoch"].apply(list).tolist() == [list(range(1, 82))] * 5


def test_more_epochs_than_before(table_csv: Path, local_ray: None, tmp_path: Path) -> None:
    """Who was stopped may be asked to go on; a search without pruning finishes everybody."""
    settings = {"bottleneck": {"code_sizes": [2]}, "space": SPACE}
    _search(table_csv, tmp_path, **settings, search={"pruning": "halving", "max_epochs": 6})
    longer = _search(table_csv, tmp_path, **settings, search={"pruning": "halving", "max_epochs": 24}).trials
    assert longer["epochs"].max() == 24
    assert (longer["status"] == "stopped").sum() >= 12
    everyone = _search(table_csv, tmp_path, **settings, search={"max_epochs": 12}).trials
    assert (everyone["status"] == "finished").all()
    assert everyone["rung"].isna().all()
    assert everyone["forecast"].isna().all()


def test_suggestions(table_csv: Path, local_ray: None, tmp_path: Path) -> None:
    """Ranges are searched in batches that are halved; a longer search begins with the same trials."""
    settings: dict[str, Any] = {
        "bottleneck": {"code_sizes": {"low": 1, "high": 4}},
        "space": {
            "depth": {"low": 0, "high": 2}, "widths": {"low": 2, "high": 32},
            "learning_rate": {"low": 1e-4, "high": 1e-2}, "weight_decay": {"low": 1e-5, "high": 1e-1},
        },
    }  # fmt: skip
    search = {"algorithm": "tpe", "batch_trials": 4, "pruning": "halving", "max_epochs": 6}
    first = _search(table_csv, tmp_path, **settings, search={**search, "num_samples": 10}).trials
    assert len(first) == 10
    assert first["trial_id"].is_unique
    assert first["pca_val_mse_mean"].notna().all(), "PCA was measured at every code size that came up"
    longer = _search(table_csv, tmp_path, **settings, search={**search, "num_samples": 13}).trials
    assert longer["trial_id"].tolist()[:8] == first["trial_id"].tolist()[:8]
    assert len(longer) >= 13
    assert set(longer["status"]) <= {"finished", "stopped", "diverged"}


def test_the_smallest_code(table_csv: Path, local_ray: None, tmp_path: Path) -> None:
    """The answer is the smallest size that reaches the target, and the winner is a trial of that size."""
    search = {"algorithm": "smallest-code", "target_fve": [0.8]}
    result = _search(table_csv, tmp_path, space={"hidden": ["", "16"]}, search=search)
    found = SmallestCode.read(result.directory)
    trials = result.trials
    reach = trials[trials["val_fve_mean"] >= 0.8]
    assert found.answers[0].size == reach["code_size"].min()
    assert result.selection.rule == "target-fve"
    winner = trials[trials["trial_id"] == result.selection.trial_id].iloc[0]
    assert winner["code_size"] == reach["code_size"].min()
    assert (result.directory / "smallest_code.png").stat().st_size > 5000
    written = (result.directory / "smallest_code.json").stat().st_mtime_ns
    again = _search(table_csv, tmp_path, space={"hidden": ["", "16"]}, search=search)
    pd.testing.assert_frame_equal(again.trials, trials)
    assert (result.directory / "smallest_code.json").stat().st_mtime_ns == written


def test_repeats(whole: SearchResult, table_csv: Path, tmp_path: Path) -> None:
    """The best are trained on other folds too; their first folds keep their numbers, and PCA is measured in all."""
    settings = {"bottleneck": {"code_sizes": [2]}, "space": SPACE}
    epochs = _epochs(whole.directory)
    shutil.copytree(whole.directory, tmp_path / "birds")
    after = _search(table_csv, tmp_path, **settings, search={"repeats": 3, "repeat_top": 2})
    repeated = after.trials[after.trials["n_repeats"] == 3]
    assert len(repeated) == 2
    assert set(repeated["rank"]) <= {1, 2}
    ranks = whole.trials.set_index("trial_id")["rank"]
    assert (ranks[repeated["trial_id"]] <= 2).all(), "those that stay at PCA are equal"
    further = _epochs(after.directory)
    of_before = further[further["fold"] < 3].reset_index(drop=True)
    pd.testing.assert_frame_equal(of_before[epochs.columns], epochs)
    last = further[further["trial_id"] == repeated["trial_id"].iloc[0]]
    assert sorted(last["fold"].unique()) == list(range(9))
    with closing(sqlite3.connect(after.directory / "ledger.sqlite")) as ledger:
        assert ledger.execute("SELECT count(*) FROM baselines WHERE pca_val_mse > 0").fetchone() == (9,)
    assert after.selection.trial_id in set(repeated["trial_id"])


def test_a_budget_of_epochs_can_be_raised(whole: SearchResult, table_csv: Path, tmp_path: Path) -> None:
    """It is kept to; with a larger one the search ends as one that had no budget."""
    settings = {"bottleneck": {"code_sizes": [2]}, "space": SPACE}
    small = _search(table_csv, tmp_path, "b", **settings, search={"max_fold_epochs": 3 * 16 * 5})
    assert small.trials["epochs"].sum() * 3 <= 3 * 16 * 5
    assert small.trials["epochs"].gt(0).all()
    assert small.selection.n_unfinished == 16
    large = _search(table_csv, tmp_path, "b", **settings, search={"max_fold_epochs": 10**6})
    pd.testing.assert_frame_equal(_epochs(large.directory), _epochs(whole.directory))
    assert large.selection.trial_id == whole.selection.trial_id


def test_a_budget_of_time(table_csv: Path, local_ray: None, tmp_path: Path) -> None:
    """It ends a search that would take hours at an epoch's end, with a winner; run again, it does nothing."""
    search: dict[str, Any] = {"max_epochs": 10**6, "time_budget_s": 4.0}
    settings = {"bottleneck": {"code_sizes": [2]}, "space": SPACE}
    while True:  # where other programs share the cores, a worker alone may take longer to start than the budget
        try:
            result = _search(table_csv, tmp_path, **settings, search=search)
            break
        except SearchError as error:
            if "the budget ended before" not in str(error) or search["time_budget_s"] > 100:
                raise
            search["time_budget_s"] *= 2
    epochs = _epochs(result.directory)
    assert result.selection.n_finished == 0
    assert result.selection.n_unfinished > 0
    assert (epochs.groupby(["trial_id", "epoch"])["fold"].count() == 3).all()
    again = _search(table_csv, tmp_path, **settings, search=search)
    pd.testing.assert_frame_equal(_epochs(again.directory), epochs)
    assert json.loads((result.directory / "selection.json").read_text())["n_unfinished"] > 0
    assert set(load_trials(result.directory)["status"]) == {"pending"}
