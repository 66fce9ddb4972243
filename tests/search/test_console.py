"""search.console: what a person or a pipe reads about a search."""

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from ae_model import Configuration, EpochRecord, load_model
from search import Evaluation, SearchResult, load_epochs, load_trials
from search.console import (
    beside_validation_text,
    evaluation_text,
    model_summary,
    print_result,
    print_trials,
    selection_text,
    status_text,
)
from search.ledger import Ledger
from search.trend import falling_trials
from search.trials_table import trials_table


def _record(epoch: int, mean: float) -> EpochRecord:
    values = np.full(3, mean)
    return EpochRecord(
        epoch=epoch, train_mse=values, val_mse=values, val_fve=values, dead_code_units=np.zeros(3, np.int64)
    )


def _text(trials: pd.DataFrame) -> str:
    console = Console(file=io.StringIO(), width=250)
    console.print(trials_table(trials))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_table_for_people(searched: SearchResult) -> None:
    """It shows every trial with what varies, its rounded result and PCA's."""
    lines = _text(searched.trials).splitlines()
    assert len(lines) == 1 + len(searched.trials)
    for line, (_, row) in zip(lines[1:], searched.trials.iterrows(), strict=True):
        assert row["trial_id"] in line
        assert row["layer_sizes"] in line
        assert row["code_activation"] in line
        assert f"{row['val_mse_mean']:.5f} ± {row['val_mse_se']:.5f}" in line
        assert f"{row['pca_val_mse_mean']:.5f}" in line


def test_the_texts(searched: SearchResult) -> None:
    """Winner and test result in words, with the numbers of the files."""
    selection = selection_text(searched.selection)
    assert f"{searched.selection.val_mse_mean:.5f}" in selection
    assert searched.selection.trial_id in selection
    lucky = replace(searched.selection, val_mse_mean=0.5, cross_fit_mse_mean=0.51, cross_fit_mse_se=0.02)
    assert "\n  without the luck of being chosen: 0.51000 ± 0.02000, FVE " in selection_text(lucky)
    for unknown in (0.5, None):
        assert "luck" not in selection_text(replace(lucky, cross_fit_mse_mean=unknown)), "nothing to say"
    for tied in searched.selection.tied:
        assert str(tied["trial_id"]) in selection
    assert selection.startswith("Winner by the rule 'best', of 4 finished trials:\n")
    interrupted = selection_text(replace(searched.selection, n_finished=1, n_unfinished=3))
    assert interrupted.startswith(
        "Winner by the rule 'best', of 1 finished trial, and 3 by what they have reached so far:"
    )
    for n, of_what in ((1, "1 trial by what it has reached"), (2, "2 trials by what they have reached")):
        cut_off = selection_text(replace(searched.selection, n_finished=0, n_unfinished=n))
        assert cut_off.startswith(f"Winner by the rule 'best', of {of_what} so far:\n")
    evaluation = evaluation_text(searched.evaluation)
    assert f"MSE {searched.evaluation.mse:.5f}" in evaluation
    assert f"PCA with 2 components: MSE {searched.evaluation.pca_mse:.5f}" in evaluation
    assert f"{searched.evaluation.n_parameters:,}" in model_summary(load_model(searched.model_dir))


@pytest.mark.parametrize(
    ("mse", "words"),
    [
        (0.1, "better than PCA (difference -0.10000 ± 0.02000)"),
        (0.17, "cannot be told apart from PCA"),
        (0.23, "cannot be told apart from PCA"),
        (0.3, "worse than PCA (difference +0.10000 ± 0.02000): try other widths"),
        (0.6, "no better than the mean: try other"),
    ],
)
def test_the_verdict(mse: float, words: str) -> None:
    """The test result is judged against PCA at equal code size, by the error of the difference, and the mean."""
    fields = dict.fromkeys(("mse_se", "fve", "psnr_db", "pca_fve", "mean_mse", "compression_ratio"), 0.5)
    fields |= {"pca_difference": mse - 0.2, "pca_difference_se": 0.02}
    evaluation = Evaluation(
        data="x", trial_id="a", n_test=3, layer_sizes="6-2", code_size=2, n_parameters=9, mse=mse, dead_code_units=0,
        pca_mse=0.2,
        per_feature_mse=[mse] * 6, **fields,
    )  # fmt: skip
    assert evaluation_text(evaluation).splitlines()[-1].strip().startswith(words)


def test_the_end_of_a_run(searched: SearchResult, capsys: pytest.CaptureFixture[str]) -> None:
    """Model, best trials, winner, test result, where things lie, and the next command; on standard output alone."""
    command = ["ae-search", "run", "my birds.toml", "--fresh", "--set", "search.max_epochs=6"]
    print_result(searched, command)
    output, errors = capsys.readouterr()
    assert errors == ""
    parts = [
        model_summary(load_model(searched.model_dir)),
        "rank trial",
        selection_text(searched.selection, searched.trials),
        evaluation_text(searched.evaluation),
        beside_validation_text(searched.selection, 3, searched.evaluation.mse),
        str(searched.directory / "trials.csv"),
    ]
    n_falling = len(falling_trials(load_epochs(searched.directory)))
    assert n_falling, "six epochs are too few"
    parts.append(f"{n_falling} of 4 trials still improve at epoch 6; to go on:")
    parts.append("  ae-search run 'my birds.toml' --set search.max_epochs=12\n")
    places = [output.index(part) for part in parts]
    assert places == sorted(places)
    assert output.endswith(parts[-1])
    print_result(searched)
    assert capsys.readouterr().out.endswith("still improve at epoch 6; to go on, set search.max_epochs = 12\n")
    for name in ("trials.csv", "validation_mse.png", "best"):
        assert str(searched.directory / name) in output
    positions = [output.index(trial_id) for trial_id in searched.trials.sort_values("rank")["trial_id"]]
    assert positions == sorted(positions), "best first"


def test_all_that_is_usual_fits_on_80_columns(searched: SearchResult) -> None:
    """Words of the result are not broken by a narrow terminal."""
    texts = [
        selection_text(searched.selection, searched.trials),
        evaluation_text(searched.evaluation),
        beside_validation_text(searched.selection, 3, searched.evaluation.mse),
        model_summary(load_model(searched.model_dir)),
    ]
    assert max(len(line) for text in texts for line in text.splitlines()) <= 80


@pytest.mark.parametrize("distance", [0.1, 0.29, 0.31])
def test_a_verdict_that_the_error_bars_seem_to_contradict(searched: SearchResult, distance: float) -> None:
    """A trial within both errors of the winner, and yet not tied with it, is explained; others need no explanation."""
    selection = replace(searched.selection, val_mse_mean=1.0, val_mse_se=0.1, tied=[])
    trials = searched.trials.assign(val_mse_mean=5.0, val_mse_se=0.2)
    others = trials.index[trials["trial_id"] != selection.trial_id]
    trials.loc[others[0], "val_mse_mean"] = 1 + distance
    text = selection_text(selection, trials)
    assert "every other finished trial is significantly worse" in text
    assert ("compared fold by fold" in text) == (distance < 0.3)
    assert "fold by fold" not in selection_text(selection)
    tied = [{"trial_id": trials.loc[others[0], "trial_id"], "label": "6-2", "p_value": 0.5}]
    assert "fold by fold" not in selection_text(replace(selection, tied=tied), trials), "a tie is no contradiction"


def test_many_ties(searched: SearchResult) -> None:
    """The first are named, each in its line, and the rest counted."""
    tied: list[dict[str, object]] = [
        {"trial_id": f"t{number}", "label": f"6-{number}-2", "p_value": 0.5} for number in range(9)
    ]
    lines = selection_text(replace(searched.selection, tied=tied, n_better=0)).splitlines()
    assert lines[-7:-1] == ["  cannot be told apart from 9 of the others:"] + [
        f"    6-{number}-2 (t{number}, p = 0.50)" for number in range(5)
    ]
    assert lines[-1] == "    … and 4 more: selection.json"


def test_what_is_known_of_the_others(searched: SearchResult) -> None:
    """In words: better than all but some; whether a target is reached; what was stopped; what was not repeated."""
    tied: list[dict[str, object]] = [{"trial_id": f"t{n}", "label": f"6-{n}-2", "p_value": 0.5} for n in range(3)]
    many = replace(searched.selection, tied=tied, n_better=0, n_finished=60, n_stopped=58)
    lines = selection_text(many).splitlines()
    assert "  better than every other trial but 3, which it cannot be told apart from:" in lines
    assert lines[-1] == "  58 were stopped on the way, and are not compared"
    assert selection_text(replace(many, n_stopped=1)).endswith("\n  1 was stopped on the way, and is not compared")
    reached = replace(many, rule="target-fve", target_fve=many.val_fve_mean)
    assert f"the smallest code that reaches the FVE {many.val_fve_mean:g}, of those" in selection_text(reached)
    missed = selection_text(replace(reached, target_fve=0.99))
    assert "  no trial reaches the FVE 0.99: this is the best of them\n" in missed
    repeated = selection_text(replace(many, n_repeats=3, n_splits=5, n_better=1))
    assert f"best epoch {many.best_epoch}\n  (± over 5 folds, repeated 3 times)\n" in repeated
    assert "repeated" not in selection_text(many)
    assert "  1 trial is significantly better by its first folds, and was not repeated\n" in repeated
    smaller = selection_text(replace(many, rule="one-se", n_better=2))
    assert "  2 trials are significantly better: the rule prefers a smaller model\n" in smaller


def test_a_stopped_trial_in_the_table(searched: SearchResult) -> None:
    """Its status says after which rung, and at which epoch; what it was like by then is not judged."""
    trials = searched.trials.copy()
    trials["pca_p_value"] = 0.01
    word = "worse" if trials.loc[0, "val_mse_mean"] > trials.loc[0, "pca_val_mse_mean"] else "better"
    n_before = _text(trials).count(word)
    trials.loc[0, ["status", "rung", "epochs"]] = ["stopped", 2, 6]
    assert "stopped (rung 2, epoch 6)" in _text(trials)
    assert _text(trials).count("finished") == 3
    assert _text(trials).count(word) == n_before - 1


def test_the_test_mse_beside_the_cross_validated_one(searched: SearchResult) -> None:
    """Two lines: the interval with the part of the rows, and why the test set may say less."""
    s = searched.selection
    first, second = beside_validation_text(s, n_splits=5, test_mse=s.val_mse_mean).splitlines()
    assert (
        first
        == f"  cross-validated: MSE {s.val_mse_mean:.5f} ± {s.val_mse_se:.5f}, by models that saw 4/5 of the rows;"
    )
    assert second == "  this one has seen all, 1.25 times as many, so its error may be lower"
    _, higher = beside_validation_text(s, n_splits=5, test_mse=2 * s.val_mse_mean).splitlines()
    assert higher == "  this one has seen all, 1.25 times as many, but these samples may be harder"


@pytest.mark.parametrize("sort", ["rank", "number", "layer_sizes", "learning_rate", "error", "trial_id"])
def test_trials_as_csv(searched: SearchResult, capsys: pytest.CaptureFixture[str], sort: str) -> None:
    """A pipe gets every column of trials.csv, unrounded, sorted by the one that is asked for."""
    print_trials(searched.directory, sort=sort, format_="csv")
    table = pd.read_csv(io.StringIO(capsys.readouterr().out), dtype={"trial_id": str})
    expected = searched.trials.sort_values([sort, "number"] if sort != "number" else ["number"], ignore_index=True)
    pd.testing.assert_frame_equal(table.astype(expected.dtypes), expected, rtol=1e-15)


def test_trials_as_json(searched: SearchResult, capsys: pytest.CaptureFixture[str]) -> None:
    """So does a program that reads JSON."""
    print_trials(searched.directory, sort="number", top=3, format_="json")
    records = json.loads(capsys.readouterr().out)
    assert len(records) == 3
    for record, (_, row) in zip(records, searched.trials.iterrows(), strict=False):
        assert list(record) == list(searched.trials.columns)
        assert record["trial_id"] == row["trial_id"]
        assert record["best_epoch"] == row["best_epoch"]
        np.testing.assert_allclose(record["val_mse_mean"], row["val_mse_mean"], rtol=1e-12)
        assert record["error"] is None


def test_trials_as_a_table(searched: SearchResult, capsys: pytest.CaptureFixture[str]) -> None:
    """`--top 2` are the two best, one line each."""
    print_trials(searched.directory, top=2)
    lines = capsys.readouterr().out.splitlines()
    best = searched.trials.sort_values("rank")["trial_id"].tolist()
    assert len(lines) == 3
    assert best[0] in lines[1]
    assert best[1] in lines[2]


def test_trials_that_meet_a_condition(searched: SearchResult, capsys: pytest.CaptureFixture[str]) -> None:
    """`--where` leaves them, in every format; in words, where there is none."""
    wanted = searched.trials[searched.trials["code_activation"] == "linear"].sort_values("rank")["trial_id"].tolist()
    for format_ in ("table", "csv", "json"):
        print_trials(searched.directory, where="code_activation == 'linear' and hidden_depth >= 0", format_=format_)
        output = capsys.readouterr().out
        assert [trial for trial in searched.trials.sort_values("rank")["trial_id"] if trial in output] == wanted
    for format_, nothing in (("table", "No trial meets the condition.\n"), ("json", "[]\n")):
        print_trials(searched.directory, where="code_size > 99", format_=format_)
        assert capsys.readouterr().out == nothing
    print_trials(searched.directory, where="code_size > 99", format_="csv", columns=["rank", "init"])
    assert capsys.readouterr().out == "rank,init\n"


def test_columns_that_are_asked_for(searched: SearchResult, capsys: pytest.CaptureFixture[str]) -> None:
    """In their order, once each, in every format; a table has six digits, other formats have all."""
    columns = ["val_mse_mean", "trial_id", "best_epoch", "error", "trial_id"]
    expected = searched.trials.sort_values("rank")[columns[:4]]
    print_trials(searched.directory, columns=columns)
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split() == columns[:4]
    assert [line.split() for line in lines] == [
        [f"{mse:.6g}", trial_id, str(epoch)] for mse, trial_id, epoch, _ in expected.itertuples(index=False)
    ]
    print_trials(searched.directory, columns=columns, format_="csv")
    table = pd.read_csv(io.StringIO(capsys.readouterr().out)).astype(expected.dtypes)
    pd.testing.assert_frame_equal(table, expected.reset_index(drop=True), rtol=1e-15)
    print_trials(searched.directory, columns=columns, format_="json", top=1)
    (record,) = json.loads(capsys.readouterr().out)
    assert list(record) == columns[:4]
    assert record["val_mse_mean"] == expected["val_mse_mean"].iloc[0]


def test_trials_of_several_searches(
    searched: SearchResult, search_copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each row says whose it is; conditions know that column too."""
    both = [searched.directory, search_copy]
    own, copy = load_trials(both)["search"].unique()
    print_trials(both)
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split()[0] == "search"
    assert sorted(line.split()[0] for line in lines) == sorted([own, copy] * len(searched.trials))
    print_trials(both, where=f"search == '{copy}'", columns=["search", "rank"], format_="csv", sort="number")
    table = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert set(table["search"]) == {copy}
    assert table["rank"].tolist() == searched.trials["rank"].tolist()


def test_options_are_shown_where_they_vary(searched: SearchResult, capsys: pytest.CaptureFixture[str]) -> None:
    """A column for each of decay, schedule, dropout, noise and mask; none where all trials have the same."""
    Console(width=250).print(trials_table(searched.trials))
    words = ["decay", "schedule", "dropout", "noise", "mask"]
    assert not set(words) & set(capsys.readouterr().out.split())
    n = len(searched.trials)
    varied = searched.trials.assign(
        hidden_depth=1,
        weight_decay=[0.0, *[0.25] * (n - 1)],
        learning_rate_schedule=["cosine", *["constant"] * (n - 1)],
        dropout=[0.5, *[0.0] * (n - 1)],
        noise_std=[0.125, *[0.0] * (n - 1)],
        mask_fraction=[0.75, *[0.0] * (n - 1)],
    )
    Console(width=250).print(trials_table(varied))
    head, first, *_ = capsys.readouterr().out.splitlines()
    assert [word for word in head.split() if word in words] == words
    assert " ".join(first.split()).find("0 cosine 0.5 0.125 0.75") > 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sort": "colour"}, r"^sort must be a column of trials\.csv, but is 'colour'.*trial_id, number"),
        ({"sort": "val_mse"}, r"^sort must be .*'val_mse'\. Did you mean val_mse_"),
        ({"columns": ["rank", "ranc"]}, r"^columns must be .*'ranc'\. Did you mean rank\?$"),
        ({"where": "ranc < 2"}, r"^where names 'ranc', which is not a column\. Did you mean rank\?"),
        ({"format_": "xml"}, r"^format_ must be table, csv or json, but is 'xml'"),
    ],
)
def test_wrong_options(
    searched: SearchResult, capsys: pytest.CaptureFixture[str], options: dict[str, Any], words: str
) -> None:
    """A column or a format that there is not, or what is no condition, is refused, and nothing is printed."""
    with pytest.raises(ValueError, match=words):
        print_trials(searched.directory, **options)
    assert capsys.readouterr() == ("", "")


def test_the_status_of_a_search(searched: SearchResult) -> None:
    """How many trials are in which state, and the best of those that have finished."""
    lines = status_text(searched.directory).splitlines()
    assert lines[0] == f"{searched.directory}: 4 trials: 4 finished"
    best = searched.trials.sort_values("rank").iloc[0]
    assert best["trial_id"] in lines[1]
    assert f"{best['val_mse_mean']:.5f}" in lines[1]


def test_a_search_that_has_only_begun(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Pending, running and failed trials have empty cells in the table and are counted in the status."""
    with Ledger(tmp_path) as ledger:
        ledger.enter_trials({name: Configuration(layer_sizes=(6, n)) for n, name in enumerate("abcd", 1)})
        ledger.start("b")
        ledger.record("b", [_record(1, 0.5)], host="node", fit_seconds=1.0)
        ledger.start("c")
        ledger.fail("c", "no memory")
        status = status_text(tmp_path)
        assert "4 trials" in status
        for part in ("2 pending", "1 running", "1 failed"):
            assert part in status
        assert "best so far" not in status
        for format_ in ("table", "csv", "json"):
            print_trials(tmp_path, format_=format_)
            out = capsys.readouterr().out
            assert "pending" in out
            assert ("running (epoch 1)" in out) == (format_ == "table")
    for format_ in ("table", "csv", "json"):  # its driver is gone
        print_trials(tmp_path, format_=format_)
        out = capsys.readouterr().out
        assert "running" not in out
        assert ("interrupted (epoch 1)" if format_ == "table" else "interrupted") in out
    assert "1 interrupted" in status_text(tmp_path)
    trials = load_trials(tmp_path)
    assert len(_text(trials).splitlines()) == 5
    assert "pending" in _text(trials[trials["status"] == "pending"]), "all alike, but not what one expects"


def test_no_search(tmp_path: Path) -> None:
    """A folder that is no search's is named."""
    for describe in (status_text, print_trials):
        with pytest.raises(ValueError, match="is not a search directory"):
            describe(tmp_path)
