"""search.selection: the rules on tables made by hand, and what is tied with the winner."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ae_model import Configuration, EpochRecord, UserError
from search.ledger import DIVERGED, FINISHED, STOPPED, Ledger
from search.paired_test import SIGNIFICANCE
from search.selection import RULES, Rule, Selection, select, select_again, select_winner
from search.settings_files import parse_settings, to_toml
from search.tables import TRIAL_COLUMNS, ranks

DEFAULTS = Configuration(layer_sizes=(20, 8))
"""What is no matter of a choice."""

K = 4

# name: validation MSE of the folds, code size, number of parameters, status. The best has the mean 10 and the standard
# error 1, so "near" is what has a mean of at most 11.
TRIALS: dict[str, tuple[list[float], int, int, str]] = {
    "far": ([20, 21, 22, 23], 1, 10, "finished"),
    "best": ([8.267949192431123, 8.267949192431123, 11.732050807568877, 11.732050807568877], 8, 900, "finished"),
    "border": ([11, 11, 11, 11], 8, 200, "finished"),
    "small": ([10.9, 10.9, 10.9, 10.9], 3, 500, "finished"),
    "small and worse": ([10.95, 10.95, 10.95, 10.95], 3, 300, "finished"),
    "beyond": ([11.1, 11.1, 11.1, 11.1], 2, 100, "finished"),
    "diverged": ([1, 1, 1, 1], 1, 1, "diverged"),
    "failed": ([2, 2, 2, 2], 1, 1, "failed"),
    "not begun": ([np.nan] * 4, 1, 1, "pending"),
}


TARGET = 0.9
"""What the rule "target-fve" is given where it does not matter: no trial here explains as much."""


def _tables(trials: dict[str, tuple[list[float], int, int, str]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tables of trials and folds as `load_trials` and `load_folds` return them, as far as a choice needs them."""
    rows: list[dict[str, Any]] = []
    folds: list[dict[str, Any]] = []
    for number, (name, (values, code_size, n_parameters, status)) in enumerate(trials.items(), 1):
        rows.append(
            {
                "trial_id": name,
                "number": number,
                "status": status,
                "layer_sizes": f"20-{number}-{code_size}",
                "code_size": code_size,
                "hidden_depth": 1,
                **{name: value for name, value in asdict(DEFAULTS).items() if name in TRIAL_COLUMNS[5:]},
                "n_parameters": n_parameters,
                "n_repeats": 1,
                "best_epoch": number + 2,
                "val_mse_mean": np.mean(values),
                "val_mse_se": stats.sem(values),
                "val_fve_mean": 0.5,
                "pca_val_mse_mean": 12.0,
                "pca_p_value": 0.25,
                "probe_score": 0.75,
            }
        )
        folds += [{"trial_id": name, "fold": k, "repeat": 0, "val_mse": float(value)} for k, value in enumerate(values)]
    table = pd.DataFrame(rows)
    finished = table["val_mse_mean"].where(table["status"] == "finished")
    return table.assign(rank=ranks(finished.to_numpy(np.float64))), pd.DataFrame(folds)


@pytest.mark.parametrize(("rule", "winner"), [("best", "best"), ("one-se", "border"), ("smallest-code", "small")])
def test_each_rule(rule: Rule, winner: str) -> None:
    """The lowest mean; the fewest parameters within one standard error of it; the smallest code within it."""
    trials, folds = _tables(TRIALS)
    selection = select_winner(trials, folds, rule)
    row = trials.set_index("trial_id").loc[winner]
    assert (selection.trial_id, selection.rule) == (winner, rule)
    assert selection.number == row["number"]
    assert selection.best_epoch == row["best_epoch"]
    assert selection.val_mse_mean == row["val_mse_mean"]
    assert selection.val_mse_se == row["val_mse_se"]
    assert selection.label == row["layer_sizes"]
    assert (selection.val_fve_mean, selection.pca_val_mse_mean) == (0.5, 12.0)
    assert (selection.pca_difference, selection.pca_p_value) == (row["val_mse_mean"] - 12.0, 0.25)
    assert (selection.n_finished, selection.n_unfinished) == (6, 0), "what has diverged or failed does not count"


@pytest.mark.parametrize("status", ["running", "pending"])
def test_what_is_not_finished_counts_by_what_it_has_reached(status: str) -> None:
    """An interrupted search has a winner: the best epoch so far is an estimate like any other, and it is said."""
    trials, folds = _tables(TRIALS | {"so far": ([2, 2, 2, 2], 1, 1, status)})
    selection = select_winner(trials, folds)
    assert selection.trial_id == "so far"
    assert (selection.n_finished, selection.n_unfinished) == (6, 1)
    alone = select_winner(*_tables({"so far": ([2, 2, 2, 2], 1, 1, status)}))
    assert (alone.trial_id, alone.n_finished, alone.n_unfinished) == ("so far", 0, 1)


@pytest.mark.parametrize("rule", RULES)
def test_one_trial_wins_by_any_rule(rule: Rule) -> None:
    """A search of one trial has a winner and nothing that is tied."""
    selection = select_winner(*_tables({"only": ([1.0, 2.0, 3.0, 4.0], 2, 5, "finished")}), rule, TARGET)
    assert (selection.trial_id, selection.tied, selection.n_finished) == ("only", [], 1)


@pytest.mark.parametrize("rule", RULES)
def test_equal_trials_go_by_number(rule: Rule) -> None:
    """Where all else is equal the first trial wins, whatever the order of the rows."""
    same = {name: ([1.0, 2.0, 3.0, 4.0], 2, 5, "finished") for name in "abc"}
    trials, folds = _tables(same)
    assert select_winner(trials.iloc[::-1], folds, rule, TARGET).trial_id == "a"


def test_trials_that_differ_by_rounding_are_equal() -> None:
    """A network that does not leave PCA is no better for having a hidden layer: the first such trial wins."""
    values = {"a": [1.0, 2.0, 3.0], "b": [1.0, 2.0, 3.0 - 1e-7], "c": [1.0, 2.0, 2.9]}
    for names, winner in (("ab", "a"), ("abc", "c")):
        trials, folds = _tables({name: (values[name], 2, 5, "finished") for name in names})
        assert select_winner(trials, folds, "best").trial_id == winner


@pytest.mark.parametrize("rule", RULES)
def test_the_order_of_rows_does_not_matter(rule: Rule) -> None:
    """Shuffled tables give the same selection."""
    trials, folds = _tables(TRIALS)
    shuffled = select_winner(trials.sample(frac=1, random_state=0), folds.sample(frac=1, random_state=1), rule, TARGET)
    assert shuffled == select_winner(trials, folds, rule, TARGET)


def test_nothing_to_choose_from() -> None:
    """Without a trial that has an epoch there is nothing to choose, and the message says how to go on."""
    trials, folds = _tables({name: TRIALS[name] for name in ("diverged", "not begun", "failed")})
    with pytest.raises(UserError, match=r"no trial has a complete epoch.*Run the search"):
        select_winner(trials, folds)


def test_the_tied_are_those_with_a_large_p_value(p_by_hand: Callable[[np.ndarray], float]) -> None:
    """Tied is each finished trial but the winner whose corrected p-value is above the level, with its numbers."""
    trials, folds = _tables(TRIALS)
    for rule in RULES:
        selection = select_winner(trials, folds, rule, TARGET)
        expected = {}
        for name in trials.loc[trials["status"] == "finished", "trial_id"]:
            d = np.array(TRIALS[name][0]) - np.array(TRIALS[selection.trial_id][0])
            if name != selection.trial_id and p_by_hand(d) > SIGNIFICANCE:
                expected[name] = (d.mean(), p_by_hand(d))
        assert {str(tied["trial_id"]) for tied in selection.tied} == set(expected)
        for tied in selection.tied:
            difference, p_value = expected[str(tied["trial_id"])]
            np.testing.assert_allclose(tied["val_mse_difference"], difference)  # type: ignore[arg-type]  # a number
            np.testing.assert_allclose(tied["p_value"], p_value)  # type: ignore[arg-type]  # a number
    best = {str(tied["trial_id"]) for tied in select_winner(trials, folds, "best").tied}
    assert {"far"}.isdisjoint(best)
    assert {"border", "small"} <= best


def test_a_smaller_winner_owns_up_to_better_trials() -> None:
    """A rule that prefers a small model can choose one that is significantly worse: it says so, and is not tied."""
    large = [0.100, 0.140, 0.120, 0.110, 0.130]
    tables = _tables({"large": (large, 8, 900, "finished"), "small": ([x + 0.001 for x in large], 8, 90, "finished")})
    selection = select_winner(*tables, "one-se")
    assert (selection.trial_id, selection.n_better, selection.tied) == ("small", 1, [])
    assert select_winner(*tables, "best").n_better == 0


@pytest.fixture
def searched(tmp_path: Path) -> Path:
    """A search's directory with the trials of `TRIALS` that have ended."""
    with Ledger(tmp_path) as ledger:
        names = [name for name, trial in TRIALS.items() if trial[3] in ("finished", "diverged")]
        ledger.enter_trials({name: Configuration(layer_sizes=(20, TRIALS[name][1])) for name in names})
        ledger.put_baseline([1, 2, 3, 8], np.full((4, K), 12.0))
        for name in names:
            values, _, _, status = TRIALS[name]
            of_folds = np.array(values, np.float64)
            zeros = np.zeros(K, np.int64)
            record = EpochRecord(epoch=1, train_mse=of_folds, val_mse=of_folds, val_fve=of_folds, dead_code_units=zeros)
            now = FINISHED if status == "finished" else DIVERGED
            ledger.record(name, [record], host="node", fit_seconds=1.0, status=now)
    (tmp_path / "settings.toml").write_text(to_toml(parse_settings({"selection": {"rule": "smallest-code"}})))
    return tmp_path


def test_select_writes_what_it_returns(searched: Path) -> None:
    """selection.json holds the selection; without a rule the settings' is used."""
    selection = select(searched)
    assert (selection.rule, selection.trial_id) == ("smallest-code", "small")
    written = json.loads((searched / "selection.json").read_text())
    assert written == {field: getattr(selection, field) for field in selection.__dataclass_fields__}
    assert Selection.read(searched) == selection
    assert select(searched, "best").trial_id == "best"
    assert json.loads((searched / "selection.json").read_text())["rule"] == "best"


def test_the_comparison_with_pca(searched: Path, p_by_hand: Callable[[np.ndarray], float]) -> None:
    """It is the test of the winner's folds against PCA's; a file of a version without it can still be read."""
    selection = select(searched, "best")
    difference = np.array(TRIALS["best"][0]) - 12.0
    assert selection.pca_difference == pytest.approx(difference.mean())
    assert selection.pca_p_value == pytest.approx(p_by_hand(difference))
    path = searched / "selection.json"
    content = json.loads(path.read_text())
    del content["pca_difference"], content["pca_p_value"]
    path.write_text(json.dumps(content))
    older = Selection.read(searched)
    assert older == replace(selection, pca_difference=None, pca_p_value=None)


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"rule": "worst"}'])
def test_a_selection_that_cannot_be_read(searched: Path, content: str | None) -> None:
    """The file is named, and what to do; it does not matter to the next selection."""
    if content is not None:
        (searched / "selection.json").write_text(content)
    with pytest.raises(UserError, match=r"selection\.json: .* Select again"):
        Selection.read(searched)
    select(searched)


def test_a_rule_that_is_none(searched: Path) -> None:
    """The message lists the rules, and nothing is written."""
    with pytest.raises(
        ValueError, match=r"^rule must be one of best, one-se, smallest-code, target-fve, best-probe, but is 'worst'"
    ):
        select(searched, "worst")  # type: ignore[arg-type]  # the point of the test
    assert not (searched / "selection.json").exists()


def test_no_search(tmp_path: Path) -> None:
    """A folder that is no search's is named."""
    with pytest.raises(ValueError, match="is not a search directory"):
        select(tmp_path, "best")


@pytest.mark.parametrize(
    ("target", "winner", "misses"),
    [(0.80, "small", False), (0.85, "middle", False), (0.91, "large", False), (0.93, "best", True)],
)
def test_the_smallest_code_that_reaches_a_target(target: float, winner: str, misses: bool) -> None:
    """Of codes of one size the best; a mean that is the target reaches it; where none does, it is the best of all."""
    tables = {
        "large": ([5.0, 6.0, 7.0], 9, 90, "finished"),
        "middle and worse": ([8.0, 9.0, 10.0], 4, 50, "finished"),
        "middle": ([7.0, 8.0, 9.0], 4, 60, "finished"),
        "small": ([9.0, 10.0, 11.0], 2, 70, "finished"),
        "best": ([1.0, 2.0, 3.0], 12, 99, "finished"),
    }
    trials, folds = _tables(tables)
    trials["val_fve_mean"] = [0.91, 0.85, 0.86, 0.80, 0.92]
    selection = select_winner(trials, folds, "target-fve", target)
    assert (selection.trial_id, selection.misses_target, selection.target_fve) == (winner, misses, target)
    assert select_winner(trials, folds, "best", target).target_fve is None, "other rules have none"
    with pytest.raises(UserError, match=r'the rule "target-fve" needs target_fve.*0\.95'):
        select_winner(trials, folds, "target-fve")


def test_the_target_of_a_search(searched: Path) -> None:
    """It is the settings' or the one that is given; what follows, as retraining does, keeps the rule and its target."""
    with pytest.raises(UserError, match="needs target_fve"):
        select(searched, "target-fve")
    for wrong in (0.0, 1.0, float("nan")):
        with pytest.raises(UserError, match=rf"^target_fve must be in \(0, 1\), but is {wrong}"):
            select(searched, "target-fve", wrong)
    assert not (searched / "selection.json").exists()
    assert select_again(searched).rule == "smallest-code", "the settings' rule"
    given = select(searched, "target-fve", 0.25)
    assert (given.target_fve, given.n_splits) == (0.25, 4)
    assert select(searched, target_fve=0.25) == given, "a target names its rule"
    with pytest.raises(UserError, match=r'^target_fve belongs to the rule "target-fve", but the rule is "best"'):
        select(searched, "best", 0.25)
    content = {"selection": {"rule": "target-fve", "target_fve": 0.5}}
    (searched / "settings.toml").write_text(to_toml(parse_settings(content)))
    assert select_again(searched) == given
    assert select(searched).target_fve == 0.5


def _repeats(values: np.ndarray, n_repeats: list[int], k: int = 5) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tables of trials "0", "1", ... of which some were repeated.

    Args:
        values: Validation MSE `(trials, repeats * k)`.
        n_repeats: How many repeats each trial has; of its row what is beyond them is left out.
        k: The number of folds.
    """
    rows = {str(i): list(row[: n * k]) for i, (row, n) in enumerate(zip(values, n_repeats, strict=True))}
    trials, folds = _tables({name: (row, 2, 9, "finished") for name, row in rows.items()})
    place = ranks(trials["val_mse_mean"].to_numpy(np.float64), np.array(n_repeats) > 1)
    return trials.assign(n_repeats=n_repeats, rank=place), folds.assign(repeat=folds["fold"] // k)


def test_the_winner_is_one_that_was_repeated(p_by_hand: Callable[[np.ndarray], float]) -> None:
    """By its mean over all repeats; each other trial is compared with it over the folds that both have."""
    generator = np.random.default_rng(2)
    values = 10 + generator.normal(size=15) + 0.3 * generator.normal(size=(4, 15)) + [[0.0], [0.1], [0.3], [0.5]]
    values[2, :5] -= 0.4
    values[3, :5] -= 5  # it would win by the means alone
    trials, folds = _repeats(values, [3, 3, 1, 1])
    selection = select_winner(trials, folds)
    means = values[:2].mean(axis=1)
    assert (selection.trial_id, selection.n_repeats) == (str(np.argmin(means)), 3)
    assert selection.n_better == 1, "trial 3, in the first folds"
    winner = int(selection.trial_id)
    tied = {str(t["trial_id"]): t for t in selection.tied}
    d = values[1 - winner] - values[winner]
    t = d.mean() / np.sqrt((1 / 15 + 1 / 4) * d.var(ddof=1))
    expected = {str(1 - winner): (d.mean(), 2 * stats.t.sf(abs(t), 14))}
    d = values[2, :5] - values[winner, :5]
    expected["2"] = (d.mean(), p_by_hand(d))
    for name, (difference, p_value) in expected.items():
        assert (name in tied) == (p_value > SIGNIFICANCE)
        if name in tied:
            np.testing.assert_allclose(tied[name]["val_mse_difference"], difference)  # type: ignore[arg-type]  # a number
            np.testing.assert_allclose(tied[name]["p_value"], p_value)  # type: ignore[arg-type]  # a number
    assert len(tied) >= 1


def test_what_was_stopped_is_not_compared() -> None:
    """A trial that was given up at a lower MSE, of an early epoch, is not the winner, nor tied, nor better: counted."""
    tables = {"a": ([5.0, 6.0, 8.0], 2, 9, "finished"), "b": ([5.5, 6.0, 8.0], 2, 9, "finished")}
    trials, folds = _tables(
        tables | {"gone": ([1.0, 2.0, 3.0], 1, 5, STOPPED), "tie": ([5.0, 6.1, 7.9], 1, 5, STOPPED)}
    )
    for rule in RULES:
        selection = select_winner(trials, folds, rule, TARGET)
        assert selection.trial_id == "a"
        assert [tied["trial_id"] for tied in selection.tied] == ["b"]
        assert (selection.n_better, selection.n_finished, selection.n_unfinished, selection.n_stopped) == (0, 2, 0, 2)
    with pytest.raises(UserError, match="nothing to select"):
        select_winner(trials[2:], folds)


@pytest.mark.parametrize(
    ("others", "verdict"),
    [
        ([], ""),
        ([9.0], "significantly better than every other trial"),
        ([0.0, 9.0, 9.5], "significantly better than every other trial but 1, which it cannot be told apart from"),
        ([0.0, 0.0], "cannot be told apart from any other trial"),
    ],
)
def test_what_is_known_in_words(others: list[float], verdict: str) -> None:
    """selection.json says how the winner compares with all others."""
    noise = np.array([0.0, 0.02, -0.01, -0.01, 0.0])
    values = np.array([[5.0, 6.0, 7.0, 5.0, 6.0]] * (1 + len(others)))
    values[1:] += np.array(others)[:, np.newaxis] + noise + 1e-4
    assert select_winner(*_repeats(values, [1] * len(values))).verdict == verdict


def test_a_smaller_winner_in_words() -> None:
    """Where others are better, it says of how many, and how it compares with the rest."""
    large = np.array([0.100, 0.140, 0.120, 0.110, 0.130])
    trials, folds = _repeats(np.array([large, large + 0.001, large + 0.5]), [1, 1, 1])
    selection = select_winner(trials.assign(n_parameters=[900, 90, 9]), folds, "one-se")
    assert selection.trial_id == "1"
    assert selection.verdict == "significantly worse than 1 trial; significantly better than all the others"


@pytest.mark.parametrize(("repeats", "top"), [(1, 12), (3, 5)])
def test_the_best_is_the_winner_or_tied_with_it(repeats: int, top: int) -> None:
    """In at least 95 % of forty searches, and the tied are fewer where the best five were repeated.

    Each of twelve trials is worse than the one before by a quarter of what a difference between two varies by from fold
    to fold. Folds are hard or easy for all trials. A part of each trial's luck is that of the data, and the same in all
    folds of all repeats: a k-th of the variance, which is what the corrected test assumes.
    """
    n, k, found, sizes = 12, 5, 0, []
    for seed in range(40):
        generator = np.random.default_rng(seed)
        luck = np.sqrt(1 / k) * generator.normal(size=(n, 1)) + np.sqrt(1 - 1 / k) * generator.normal(size=(n, 3 * k))
        values = 20 + 0.35 * np.arange(n)[:, np.newaxis] + 3 * generator.normal(size=3 * k) + luck
        best = np.argsort(values[:, :k].mean(axis=1))[:top]
        selection = select_winner(*_repeats(values, [repeats if i in best else 1 for i in range(n)]))
        not_told_apart = {selection.trial_id, *(str(tied["trial_id"]) for tied in selection.tied)}
        found += "0" in not_told_apart
        sizes.append(len(not_told_apart))
    assert found >= 38
    np.testing.assert_allclose(np.mean(sizes), 5.6 if repeats == 1 else 5.15, atol=0.15)
