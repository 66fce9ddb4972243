"""search.searches_compared: several searches side by side, and fold by fold where their folds are the same."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from scipy import stats

from ae_model import Configuration, EpochRecord
from search import SearchResult, compare_searches, parse_settings, select
from search.console import print_comparison
from search.ledger import FINISHED, RUNNING, Ledger
from search.searches_compared import SearchesCompared
from search.searches_compared_text import best_table, pair_lines, settings_table
from search.settings_files import to_toml

DEFINITION = {
    "data": "0123",
    "data.scaling": "range",
    "search.n_splits": 4,
    "search.fp32_precision": "tf32",
    "seed": 0,
}
FOLDS = np.array([0.50, 0.54, 0.46, 0.52])


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., Path]:
    """Makes a search of which only ledger and settings are there, in the test's folder."""

    def make(
        name: str,
        trials: Mapping[str, Sequence[float]],
        *,
        settings: Mapping[str, Any] | None = None,
        definition: Mapping[str, Any] | None = DEFINITION,
        sizes: tuple[int, ...] = (8, 4, 2),
        init: str = "pca",
        status: str = FINISHED,
    ) -> Path:
        """A search.

        Args:
            name: What it is called.
            trials: The validation MSE of each trial in each fold; with repeats, of all their folds.
            settings: Its settings.
            definition: What its ledger keeps of what defines a trial.
            sizes: The layers of its trials.
            init: Their start.
            status: Of the trials.
        """
        directory = tmp_path / name
        directory.mkdir()
        (directory / "settings.toml").write_text(to_toml(parse_settings(settings or {})))
        n_splits = (definition or DEFINITION).get("search.n_splits", 5)
        with Ledger(directory) as ledger:
            if definition is not None:
                ledger.put("definition", definition)
            ledger.put_baseline([sizes[-1]], np.full((1, n_splits), 0.75))
            # Their rates make them different trials.
            ledger.enter_trials(
                {
                    trial: Configuration(layer_sizes=sizes, init=init, learning_rate=0.001 * n)
                    for n, trial in enumerate(trials, 1)
                }
            )
            for trial, values in trials.items():
                for first in range(0, len(values), n_splits):
                    val_mse = np.array(values[first : first + n_splits])
                    record = EpochRecord(
                        epoch=1,
                        train_mse=val_mse,
                        val_mse=val_mse,
                        val_fve=1 - val_mse,
                        dead_code_units=np.zeros(len(val_mse), np.int64),
                    )
                    more = {"first_fold": first} if first else {"host": "node", "fit_seconds": 1.0}
                    ledger.record(trial, [record], status=None if first else status, **more)
        return directory

    return make


def _lines(compared: SearchesCompared) -> list[str]:
    return list(pair_lines(compared))


def _text(table: Any) -> list[str]:
    console = Console(width=200)
    with console.capture() as captured:
        console.print(table)
    return [" ".join(line.split()) for line in captured.get().splitlines()]


@pytest.mark.parametrize(
    ("differences", "verdict"),
    [
        ([-0.10, -0.12, -0.11, -0.13], "better"),
        ([0.10, 0.12, 0.11, 0.13], "worse"),
        ([-0.10, 0.12, -0.11, 0.13], "cannot be told apart"),
        ([1e-7, -1e-7, 1e-7, 0.0], "the same"),
    ],
)
def test_the_same_folds(
    made: Callable[..., Path], p_by_hand: Callable[[np.ndarray], float], differences: list[float], verdict: str
) -> None:
    """The bests are compared by the corrected test over the folds, though their trials have the same id."""
    d = np.array(differences)
    compared = compare_searches([made("one", {"t": FOLDS + d}), made("two", {"t": FOLDS, "u": FOLDS + 0.2})])
    (pair,) = compared.pairs
    assert (pair.first, pair.second, pair.why_not, pair.verdict, pair.n_folds) == ("one", "two", (), verdict, 4)
    if verdict == "the same":
        assert (pair.difference, pair.low, pair.high, pair.p_value) == (0, 0, 0, 1)
        assert _lines(compared) == [
            "one and two are the same: their best trials differ in none of the 4 folds of both."
        ]
        return
    np.testing.assert_allclose(pair.difference, d.mean())
    np.testing.assert_allclose(pair.p_value, p_by_hand(d))
    # The variance of the mean over 4 folds, whose validation rows are to the training rows as 1 to 3.
    interval = stats.t.interval(0.95, 3, loc=d.mean(), scale=np.sqrt((1 / 4 + 1 / 3) * d.var(ddof=1)))
    np.testing.assert_allclose((pair.low, pair.high), interval)
    ((line),) = _lines(compared)
    low, high = sorted(abs(end) for end in interval)
    if verdict == "cannot be told apart":
        assert line == (
            f"one and two cannot be told apart: difference {d.mean():+.3g}, 95 % interval {interval[0]:+.3g} to "
            f"{interval[1]:+.3g} "
            f"(p = {p_by_hand(d):.2g}, over the 4 folds of both)."
        )
    else:
        assert line == (
            f"one is {verdict} than two: its validation MSE is {'lower' if d.mean() < 0 else 'higher'} by "
            f"{abs(d.mean()):.3g}, 95 % interval {low:.3g} to {high:.3g} "
            f"(p = {p_by_hand(d):.2g}, over the 4 folds of both)."
        )


def test_one_was_repeated(made: Callable[..., Path]) -> None:
    """Two results are compared over the folds that both were trained on, and not over all that one has."""
    repeated = [*(FOLDS - [0.1, 0.11, 0.12, 0.13]), *(FOLDS + 0.01)]
    twice = [*FOLDS, *(FOLDS + 0.3)]
    one, two, three = made("one", {"t": repeated}), made("two", {"t": FOLDS}), made("three", {"t": twice})
    first, second, _ = compare_searches([one, two, three]).pairs
    assert (first.n_folds, second.n_folds) == (4, 8)
    np.testing.assert_allclose(first.difference, -0.115)
    np.testing.assert_allclose(second.difference, (4 * -0.115 + 4 * -0.29) / 8)


@pytest.mark.parametrize(
    ("definition", "settings", "reason"),
    [
        ({"seed": 1}, {"seed": 1}, "seed (0, 1)"),
        ({"search.n_splits": 3}, {"search": {"n_splits": 3}}, "search.n_splits (4, 3)"),
        ({"data.scaling": "standard"}, {}, 'data.scaling ("range", "standard")'),
        (
            {"data": "4567"},
            {"data": {"test_fraction": 0.5}},
            "development samples (data.test_fraction: 0.2, 0.5)",
        ),
        (
            {"data": "4567"},
            {"data": {"source": "/no/birds.csv", "max_samples": 9}},
            'development samples (data.source: "digits", "/no/birds.csv"; data.max_samples: not given, 9)',
        ),
        ({"data": "4567"}, {}, "development samples"),
    ],
)
def test_other_folds(
    made: Callable[..., Path], definition: dict[str, Any], settings: dict[str, Any], reason: str
) -> None:
    """Nothing is compared; what differs is told, with both values."""
    n_splits = definition.get("search.n_splits", 4)
    one = made("one", {"t": FOLDS}, settings={"search": {"n_splits": 4}})
    other_settings = {"search": {"n_splits": 4}, **settings}
    two = made("two", {"t": FOLDS[:n_splits]}, settings=other_settings, definition={**DEFINITION, **definition})
    compared = compare_searches([one, two])
    (pair,) = compared.pairs
    assert (pair.verdict, pair.difference, pair.p_value, pair.n_folds) == ("", None, None, 0)
    assert pair.why_not == (reason,)
    sentence = f"one and two are not compared: their folds are not the same, as they differ in {reason}."
    assert _lines(compared)[0] == sentence


def test_other_scalings(made: Callable[..., Path]) -> None:
    """MSEs are in different units then, which is said; FVE is there for both, and the scaling beside it."""
    one = made("one", {"t": FOLDS})
    two = made("two", {"t": FOLDS / 4}, definition={**DEFINITION, "data.scaling": "standard", "seed": 3})
    compared = compare_searches([one, two])
    assert compared.scalings_differ
    first, second = _lines(compared)
    assert first.endswith('as they differ in data.scaling ("range", "standard") and seed (0, 3).')
    assert second.startswith("The scalings differ (one: range, two: standard), and with them the units: ")
    assert "FVE has no unit" in second
    assert _text(best_table(compared)) == [
        "search finished trial layer sizes and choices code validation MSE FVE PCA test MSE scaling",
        "one 1 of 1 t 8-4-2 2 0.50500 ± 0.01708 0.495 0.75000 range",
        "two 1 of 1 t 8-4-2 2 0.12625 ± 0.00427 0.874 0.75000 standard",
    ]
    assert 'data.scaling "range" "standard"' in _text(settings_table(compared))


def test_what_does_not_make_the_folds(made: Callable[..., Path]) -> None:
    """Searches that differ in epochs, precision, space or pruning are compared; a larger code is told."""
    one = made("one", {"t": FOLDS, "u": FOLDS - 0.1}, settings={"search": {"max_epochs": 30}})
    two = made(
        "two",
        {"t": FOLDS},
        settings={"search": {"max_epochs": 60, "pruning": "halving"}, "space": {"init": "random"}},
        definition={**DEFINITION, "search.fp32_precision": "ieee"},
        sizes=(8, 3),
        init="random",
    )
    compared = compare_searches([one, two])
    assert compared.settings == {
        "space.init": (["pca", "random"], ["random"]),
        "search.pruning": ("none", "halving"),
        "search.max_epochs": (30, 60),
    }
    assert _text(settings_table(compared)) == [
        "setting one two",
        'space.init ["pca", "random"] ["random"]',
        'search.pruning "none" "halving"',
        "search.max_epochs 30 60",
    ]
    (pair,) = compared.pairs
    assert pair.verdict == "better"
    (line,) = _lines(compared)
    assert line.endswith(" The code of one is smaller: 2 units, against 3 of two.")
    # The rate tells the first from the other trial of its own search, but not from the second's best.
    assert [s.best.label for s in compared.searches if s.best] == [
        "8-4-2, pca start, rate 0.002",
        "8-3, random start, rate 0.001",
    ]


def test_what_is_not_finished(made: Callable[..., Path]) -> None:
    """A trial on its way counts by what it has reached, and one that was stopped does not; it is said."""
    one, two = made("one", {"t": FOLDS}), made("two", {"t": FOLDS - 0.1}, status=RUNNING)
    three = made("three", {"t": FOLDS - 0.2, "u": FOLDS})
    with Ledger(three) as ledger:
        ledger.note_stopped({"t": (1, 0.2)})
    compared = compare_searches([one, two, three])
    assert [(s.n_trials, s.n_finished) for s in compared.searches] == [(1, 1), (1, 0), (2, 1)]
    assert [s.best is not None and s.best.is_finished for s in compared.searches] == [True, False, True]
    assert [s.best.trial_id for s in compared.searches if s.best] == ["t", "t", "u"]
    assert _lines(compared)[0] == "two: the best trial is not finished; it counts by what it has reached so far."
    assert [pair.verdict for pair in compared.pairs] == ["worse", "the same", "better"]


@pytest.mark.parametrize("trials", [{}, {"t": []}])
def test_nothing_to_compare(made: Callable[..., Path], trials: dict[str, list[float]]) -> None:
    """A search without trials, or without an epoch, has its row and its settings, and no pair."""
    compared = compare_searches([made("one", {"t": FOLDS}), made("two", trials, settings={"seed": 2})])
    assert compared.searches[1].best is None
    assert compared.pairs == ()
    assert compared.settings == {"seed": (0, 2)}
    assert _lines(compared) == ["two: no trial has a complete epoch, so there is nothing to compare."]
    assert _text(best_table(compared))[2] == f"two 0 of {len(trials)}"


def test_ledgers_of_earlier_versions(made: Callable[..., Path]) -> None:
    """What they did not write was then fixed; where nothing is known of the folds, nothing is compared."""
    old = made("old", {"t": [*FOLDS, 0.5]}, definition={"data": "0123"})
    now = made("now", {"t": [*FOLDS, 0.6]}, definition={**DEFINITION, "search.n_splits": 5})
    unknown = made("unknown", {"t": FOLDS}, definition=None)
    compared = compare_searches([old, now, unknown])
    assert [(pair.is_known, pair.why_not) for pair in compared.pairs] == [(True, ()), (False, ()), (False, ())]
    assert [pair.verdict for pair in compared.pairs] == ["cannot be told apart", "", ""]
    assert _lines(compared)[1:] == [
        "old and unknown are not compared: a ledger does not say how its folds were made.",
        "now and unknown are not compared: a ledger does not say how its folds were made.",
    ]


def test_a_search_and_its_copy(
    searched: SearchResult, search_copy: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The best is the winner with its test result, by the rule that was chosen last; nothing is written."""
    before = {path: path.stat().st_mtime_ns for path in search_copy.rglob("*")}
    compared = compare_searches([searched.directory, search_copy])
    assert {path: path.stat().st_mtime_ns for path in search_copy.rglob("*")} == before
    first, second = (search.best for search in compared.searches)
    assert first == second
    assert first is not None
    assert (first.trial_id, first.rule) == (searched.selection.trial_id, "best")
    assert first.test_mse == searched.evaluation.mse
    assert (first.val_mse_mean, first.val_mse_se) == (searched.selection.val_mse_mean, searched.selection.val_mse_se)
    print_comparison(compared)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "The settings are the same."
    assert lines[-1].endswith("are the same: their best trials differ in none of the 3 folds of both.")
    smallest = select(search_copy, "smallest-code")
    again = compare_searches([searched.directory, search_copy]).searches[1].best
    assert again is not None
    assert (again.trial_id, again.rule) == (smallest.trial_id, "smallest-code")
    assert "rule" in _text(best_table(compare_searches([searched.directory, search_copy])))[0].split()


def test_refused(made: Callable[..., Path], tmp_path: Path) -> None:
    """Fewer than two searches, one twice, what is none."""
    one = made("one", {"t": FOLDS})
    for few in ([], [one], one, str(one)):
        with pytest.raises(
            ValueError, match=r"^a comparison takes two or more searches\. Give the directory of each\.$"
        ):
            compare_searches(few)  # type: ignore[arg-type]  # a path is no list
    with pytest.raises(ValueError, match="is given twice"):
        compare_searches([one, tmp_path / "one"])
    with pytest.raises(ValueError, match="is not a search directory"):
        compare_searches([one, tmp_path])


def test_the_command(
    made: Callable[..., Path], run: Callable[..., tuple[int, str, str]], one_line: Callable[..., str]
) -> None:
    """Settings, bests and words, a long path or a bracket in a name left as it is; errors in one line."""
    one, two = (
        made("one", {"t": FOLDS}),
        made("[bold]two", {"t": FOLDS - 0.1}, settings={"seed": 0, "data": {"source": "[i]x.csv"}}),
    )
    code, output, errors = run("compare", one, two)
    assert (code, errors) == (0, "")
    assert "[bold]two" in output.splitlines()[0]
    assert "[i]x.csv" in output
    assert "one is worse than [bold]two: its validation MSE is higher by 0.1, 95 % interval 0.1 to 0.1" in output
    code, output, errors = run("compare", one)
    assert (code, output) == (2, "")
    one_line(errors, "a comparison takes two or more searches")
