"""search.advice: what constructed curves are answered with, and that every answer can be run."""

import shlex
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ae_model import Configuration, EpochRecord
from search import SearchResult, load_epochs, load_folds, load_settings, load_trials
from search.advice import Advice, advise
from search.commands import toml_value
from search.ledger import FINISHED, PENDING, Ledger
from search.lengths import DEFAULT_STEPS
from search.selection import select_winner
from search.settings import SearchSettings
from search.settings_files import parse_settings, search_settings, to_toml

K = 5
N_EPOCHS = 80
PCA_MSE = 0.1
NARROW = Configuration(layer_sizes=(20, 8, 4), code_activation="linear", output_activation="linear", init="pca")
WIDE = replace(NARROW, layer_sizes=(20, 16, 4))
NONE = replace(NARROW, layer_sizes=(20, 4), hidden_activation="linear")
SETTINGS: dict[str, dict[str, Any]] = {
    "bottleneck": {"code_sizes": [4]},
    "space": {"hidden": ["8", "16"]},
    "search": {"max_epochs": N_EPOCHS},
}

T = np.arange(1, N_EPOCHS + 1)
PLATEAU = 1 + np.exp(-T / 4)
DECAY = 1 + 2 * np.exp(-T / 60)
OVERFITTING = np.where(T <= 10, 2 - T / 10, 1 + (T - 10) / 100)


def _advice(
    directory: Path,
    trials: Mapping[Configuration, tuple[float, np.ndarray]],
    settings: Mapping[str, Mapping[str, Any]] = SETTINGS,
    *,
    dead: float = 0.0,
    train: np.ndarray = PLATEAU,
    stopped: Configuration | None = None,
) -> list[Advice]:
    """What a search is answered with, after checking that each command would be taken.

    Args:
        directory: Where its ledger goes.
        trials: The level at which each trial ends, relative to PCA, and its curve, which ends at about 1.
        settings: What was searched.
        dead: Units of each code.
        train: The curve of the training error of all trials.
        stopped: One that was given up at the first rung, if any.
    """
    generator = np.random.default_rng(0)
    of_fold = 1 + 0.1 * np.arange(K)
    parsed = parse_settings(settings)
    with Ledger(directory) as ledger:
        ledger.enter_trials({f"trial{number}": configuration for number, configuration in enumerate(trials)})
        ledger.put_baseline([4], PCA_MSE * of_fold[np.newaxis])
        for number, (level, curve) in enumerate(trials.values()):
            level_of_fold = PCA_MSE * level * of_fold * (1 + 0.002 * generator.normal(size=K))
            records = [
                EpochRecord(
                    epoch=epoch,
                    train_mse=PCA_MSE * of_fold * train_value,
                    val_mse=level_of_fold * value,
                    val_fve=of_fold,
                    dead_code_units=np.full(K, round(dead), np.int64),
                )
                for epoch, (value, train_value) in enumerate(zip(curve, train[: len(curve)], strict=True), 1)
            ]
            ledger.record(f"trial{number}", records, host="node", fit_seconds=1.0, status=FINISHED)
        if stopped is not None:
            ledger.enter_trials({f"trial{n}": c for n, c in enumerate(trials)} | {"stopped": stopped})
            ledger.record("stopped", records[:3], status=PENDING)
            ledger.note_stopped({"stopped": (1, 0.2)})
    table, epochs = load_trials(directory), load_epochs(directory)
    pieces = advise(table, epochs, select_winner(table, load_folds(directory)), parsed)
    for piece in pieces:
        _check_that_it_runs(piece, parsed, directory / "settings.toml")
    return pieces


def _check_that_it_runs(piece: Advice, settings: SearchSettings, file: Path) -> None:
    """The command's settings, laid over those of the search, are those that were meant."""
    file.write_text(to_toml(settings))
    text = piece.text(["ae-search", "run", str(file), "--fresh", "--set", "seed=3"])
    sentence, *commands = text.splitlines()
    if not piece.changes:
        assert sentence.endswith(".")
        assert not commands
        return
    assert sentence == f"{piece.finding}; {piece.aim}:"
    (command,) = commands
    words = shlex.split(command)
    assert words[:5] == ["ae-search", "run", str(file), "--set", "seed=3"]
    overrides = [value for option, value in pairwise(words) if option == "--set"]
    loaded = load_settings(file, overrides).model_dump()
    for key, value in piece.changes.items():
        section, name = key.split(".")
        assert loaded[section][name] == value
    assert piece.text() == f"{piece.finding}; {piece.aim}, set " + ", ".join(
        f"{key} = {toml_value(value)}" for key, value in piece.changes.items()
    )


def test_a_search_that_leaves_nothing_to_try(tmp_path: Path) -> None:
    """Where the curves are flat, PCA is beaten and the winner has no equal beyond it, nothing is said."""
    assert _advice(tmp_path, {NARROW: (0.5, PLATEAU), WIDE: (0.51, PLATEAU)}) == []


@pytest.mark.parametrize(
    ("search", "changes"),
    [
        ({"max_epochs": N_EPOCHS}, {"search.max_epochs": 2 * N_EPOCHS}),
        ({}, {"search.max_steps": 2 * DEFAULT_STEPS}),
        ({"max_steps": 300}, {"search.max_steps": 600}),
        ({"max_steps": 300, "max_epochs": 90}, {"search.max_epochs": 2 * N_EPOCHS, "search.max_steps": 600}),
        ({"max_steps": 300, "max_epochs": 900}, {"search.max_steps": 600}),
    ],
)
def test_curves_that_still_fall(tmp_path: Path, search: dict[str, int], changes: dict[str, int]) -> None:
    """Twice as many epochs or steps are proposed, whichever ended the training, and nothing that would come of them."""
    trials = {NARROW: (0.9, DECAY), WIDE: (0.8, DECAY)}
    first, *_ = _advice(tmp_path, trials, {**SETTINGS, "search": search})
    assert (first.finding, first.aim) == (f"2 of 2 trials still improve at epoch {N_EPOCHS}", "to go on")
    assert first.changes == changes


def test_curves_that_fall_and_could_not_win(tmp_path: Path) -> None:
    """A trial that is far behind may fall as it likes; nor does it count that one stopped earlier."""
    assert _advice(tmp_path, {NARROW: (0.5, PLATEAU), WIDE: (2.0, DECAY)}) == []
    other = tmp_path / "stopped"
    other.mkdir()
    assert _advice(other, {NARROW: (0.5, PLATEAU), WIDE: (0.5 / 1.6, DECAY[: N_EPOCHS // 2])}) == []


def test_a_winner_that_overfits_early(tmp_path: Path) -> None:
    """Lower rates are proposed, beside those that there are, where the curve rises while the training error falls."""
    trials = {NARROW: (0.5, OVERFITTING), WIDE: (0.51, OVERFITTING)}
    (piece,) = _advice(tmp_path, trials)
    assert piece.finding == f"The winner is best at epoch 10 of {N_EPOCHS}, and overfits after it"
    assert piece.changes == {"space.learning_rate": [0.0001, 0.0003, 0.001]}


def test_a_winner_that_overfits_at_the_higher_of_two_rates(tmp_path: Path) -> None:
    """Where lower rates were searched, noise is proposed; where noise was too, it is only said."""
    trials = {NARROW: (0.5, OVERFITTING), replace(NARROW, learning_rate=0.0001): (0.51, PLATEAU)}
    space: dict[str, Any] = {"hidden": ["8"], "learning_rate": [0.0001, 0.001]}
    (piece,) = _advice(tmp_path, trials, {**SETTINGS, "space": space})
    assert piece.changes == {"space.noise_std": [0.0, 0.05]}
    again = tmp_path / "again"
    again.mkdir()
    (piece,) = _advice(again, trials, {**SETTINGS, "space": {**space, "noise_std": [0.0, 0.1]}})
    assert piece.changes == {}
    assert piece.text() == f"The winner is best at epoch 10 of {N_EPOCHS}, and overfits after it."


def test_a_winner_that_overfits_from_a_range(tmp_path: Path) -> None:
    """Of a range, the lower end goes lower."""
    space = {"hidden": ["8", "16"], "learning_rate": {"low": 0.0005, "high": 0.1}}
    settings = {**SETTINGS, "space": space, "search": {"algorithm": "random", "num_samples": 2}}
    (piece,) = _advice(tmp_path, {NARROW: (0.5, OVERFITTING), WIDE: (0.51, OVERFITTING)}, settings)
    assert piece.changes["space.learning_rate"] == {"low": 0.0001, "high": 0.1}


@pytest.mark.parametrize("case", ["late", "training rises too", "by too little"])
def test_a_curve_that_rises_and_is_no_early_overfitting(tmp_path: Path, case: str) -> None:
    """The best epoch must be early, the training error must fall, and the rise must matter."""
    curve, train = OVERFITTING, PLATEAU
    if case == "late":
        curve = np.where(T <= 60, 2 - T / 60, 1 + (T - 60) / 100)
    elif case == "training rises too":
        train = OVERFITTING
    else:
        curve = np.where(T <= 10, 2 - T / 10, 1 + (T - 10) / 10_000)
    assert _advice(tmp_path, {NARROW: (0.5, curve), WIDE: (0.505, curve)}, train=train) == []


@pytest.mark.parametrize(
    ("winner", "others", "rates"),
    [
        (0.01, [0.001, 0.003], [0.001, 0.003, 0.01, 0.03]),
        (0.001, [0.003, 0.01], [0.0003, 0.001, 0.003, 0.01]),
        (0.003, [0.001, 0.01], None),
        (0.001, [], None),
    ],
)
@pytest.mark.parametrize("significant", [True, False])
def test_a_learning_rate_at_the_edge(
    tmp_path: Path, winner: float, others: list[float], rates: list[float] | None, significant: bool
) -> None:
    """The next rate beyond the largest or smallest is proposed, if the next one inward is clearly worse."""
    trials = {replace(NARROW, learning_rate=winner): (0.5, PLATEAU)}
    trials |= {replace(NARROW, learning_rate=rate): (0.6 if significant else 0.502, PLATEAU) for rate in others}
    settings = {**SETTINGS, "space": {"hidden": ["8"], "learning_rate": sorted([winner, *others])}}
    pieces = _advice(tmp_path, trials, settings)
    if rates is None or not significant:
        assert pieces == []
    else:
        (piece,) = pieces
        side = "largest" if winner > others[0] else "smallest"
        assert piece.finding == f"The {side} learning rate wins, and the next one is significantly worse"
        assert piece.changes == {"space.learning_rate": rates}


@pytest.mark.parametrize(
    ("levels", "space", "changes"),
    [
        ({WIDE: 0.5, NARROW: 0.6}, {"hidden": ["8", "16"]}, {"space.hidden": ["8", "16", "32"]}),
        ({WIDE: 0.5, NARROW: 0.502}, {"hidden": ["8", "16"]}, None),
        ({WIDE: 0.6, NARROW: 0.5}, {"hidden": ["8", "16"]}, None),
        ({WIDE: 0.5, NARROW: 0.6}, {"depth": 1, "widths": [8, 16]}, {"space.widths": [8, 16, 32]}),
        ({NARROW: 0.5, NONE: 0.6}, {"hidden": ["", "8"]}, {"space.hidden": ["", "8", "16-8"]}),
        ({NARROW: 0.5, NONE: 0.6}, {"depth": [0, 1], "widths": [8]}, {"space.depth": [0, 1, 2]}),
        (
            {WIDE: 0.5, NARROW: 0.6},
            {"depth": {"low": 0, "high": 1}, "widths": {"low": 4, "high": 16}},
            {"space.widths": {"low": 4, "high": 32}},
        ),
        (
            {NARROW: 0.5, NONE: 0.6},
            {"depth": {"low": 0, "high": 1}, "widths": {"low": 4, "high": 16}},
            {"space.depth": {"low": 0, "high": 2}},
        ),
        ({NARROW: 0.5, NONE: 0.502}, {"hidden": ["", "8"]}, None),
        ({NARROW: 0.6, NONE: 0.5}, {"hidden": ["", "8"]}, None),
    ],
)
def test_layers_at_the_edge(
    tmp_path: Path, levels: dict[Configuration, float], space: dict[str, Any], changes: dict[str, Any] | None
) -> None:
    """Twice the widest is proposed, or one layer more, if the next one inward is clearly worse."""
    trials = {configuration: (level, PLATEAU) for configuration, level in levels.items()}
    ranges = any(isinstance(value, dict) for value in space.values())
    search = {**SETTINGS["search"], **({"algorithm": "random", "num_samples": 2} if ranges else {})}
    pieces = _advice(tmp_path, trials, {**SETTINGS, "space": space, "search": search})
    assert [piece.changes for piece in pieces] == ([] if changes is None else [changes])


def test_only_what_differs_in_nothing_else_is_compared(tmp_path: Path) -> None:
    """A narrower network that started elsewhere says nothing about widths."""
    random = replace(NARROW, init="random")
    assert _advice(tmp_path, {WIDE: (0.5, PLATEAU), random: (0.9, PLATEAU)}) == []


def test_dead_units(tmp_path: Path) -> None:
    """Of a ReLU code a linear one is proposed; where that was searched, a code without the dead units."""
    relu = replace(NARROW, code_activation="relu", init="random")
    space = {"hidden": ["8"], "code_activation": ["relu"], "init": ["random"]}
    (piece,) = _advice(tmp_path, {relu: (0.5, PLATEAU)}, {**SETTINGS, "space": space}, dead=2)
    assert piece.finding == "2.0 of the winner's 4 code units are dead"
    assert piece.changes == {"space.code_activation": ["relu", "linear"]}
    both = tmp_path / "both"
    both.mkdir()
    trials = {relu: (0.5, PLATEAU), replace(relu, code_activation="linear"): (0.9, PLATEAU)}
    (piece,) = _advice(both, trials, {**SETTINGS, "space": {**space, "code_activation": ["relu", "linear"]}}, dead=2)
    assert piece.changes == {"bottleneck.code_sizes": [2, 4]}


@pytest.mark.parametrize("level", [1.0, 1.3])
def test_a_search_that_does_not_beat_pca(tmp_path: Path, level: float) -> None:
    """It is said, with the other start or wider layers to try, or with nothing where both were tried."""
    cases: list[tuple[Configuration, dict[str, Any], str, dict[str, Any]]] = [
        (NARROW, {"init": "pca"}, "to try a random start too", {"space.init": ["pca", "random"]}),
        (
            replace(NARROW, init="random"),
            {"init": "random"},
            "to try the start at PCA too",
            {"space.init": ["pca", "random"]},
        ),
        (NARROW, {}, "to try wider layers", {"space.hidden": ["8", "16"]}),
        (NONE, {"hidden": ""}, "to try wider layers", {"space.hidden": ["", "64"]}),
        (replace(NARROW, layer_sizes=(20, 40, 4)), {"hidden": "40"}, "", {}),
    ]
    for number, (configuration, space, aim, changes) in enumerate(cases):
        directory = tmp_path / str(number)
        directory.mkdir()
        settings = {**SETTINGS, "space": {"hidden": ["8"], **space}}
        (piece,) = _advice(directory, {configuration: (level, PLATEAU)}, settings)
        assert piece.finding.startswith("Nothing here beats PCA significantly")
        assert (piece.aim, piece.changes) == (aim, changes)
    assert piece.text() == (
        "Nothing here beats PCA significantly: PCA with 4 components may be all that this data needs."
    )


def test_what_was_stopped_was_tried(tmp_path: Path) -> None:
    """Where PCA is not beaten, layers wider than the widest that was tried are proposed, although it was given up."""
    wide = replace(NARROW, layer_sizes=(20, 32, 4))
    settings = {**SETTINGS, "space": {"hidden": ["8", "32"]}}
    (piece,) = _advice(tmp_path, {NARROW: (1.0, PLATEAU)}, settings, stopped=wide)
    assert piece.changes == {"space.hidden": ["8", "32", "64"]}


def test_overfitting_goes_before_wider_layers(tmp_path: Path) -> None:
    """A network that overfits and does not beat PCA is not made wider: that is said, and to hold it back."""
    first, second = _advice(tmp_path, {NARROW: (1.2, OVERFITTING)})
    assert first.changes == {}
    assert "space.learning_rate" in second.changes


@pytest.mark.parametrize("budget", [{"max_fold_epochs": 400}, {"time_budget_s": 1.5}])
def test_a_winner_that_a_budget_has_cut_off(tmp_path: Path, budget: dict[str, Any]) -> None:
    """Of a search whose winner is not finished, although others are, only a larger budget is proposed."""
    trials = {NARROW: (0.6, PLATEAU), WIDE: (0.5, PLATEAU[:30])}
    settings = {**SETTINGS, "search": {"max_epochs": N_EPOCHS, **budget}}
    _advice(tmp_path, trials, settings)
    with Ledger(tmp_path) as ledger:
        ledger.start("trial1")  # and it was never finished
    table, epochs = load_trials(tmp_path), load_epochs(tmp_path)
    selection = select_winner(table, load_folds(tmp_path))
    assert (selection.trial_id, selection.n_finished, selection.n_unfinished) == ("trial1", 1, 1)
    (piece,) = advise(table, epochs, selection, parse_settings(settings))
    assert piece.finding == "The winner has come to epoch 30, and not to its end"
    assert piece.changes == {f"search.{name}": 2 * value for name, value in budget.items()}
    _check_that_it_runs(piece, parse_settings(settings), tmp_path / "settings.toml")


def _close_trials(directory: Path, gaps: list[float], search: Mapping[str, Any]) -> list[Advice]:
    """What a search is answered with whose trials are worse than the first by so many standard errors of a fold."""
    noise = np.random.default_rng(4).normal(size=K)
    noise = (noise - noise.mean()) / noise.std(ddof=1)
    trials = [replace(NARROW, weight_decay=0.1 * number) for number in range(len(gaps))]
    parsed = parse_settings({**SETTINGS, "search": {"max_epochs": N_EPOCHS, **search}})
    with Ledger(directory) as ledger:
        ledger.enter_trials({f"trial{number}": trial for number, trial in enumerate(trials)})
        ledger.put_baseline([4], np.full((1, K), PCA_MSE))
        for number, gap in enumerate(gaps):
            level = PCA_MSE * (0.5 + 0.001 * (gap + (noise if number else 0.0)) + np.zeros(K))
            records = [
                EpochRecord(
                    epoch=epoch,
                    train_mse=level * value,
                    val_mse=level * value,
                    val_fve=level,
                    dead_code_units=np.zeros(K, np.int64),
                )
                for epoch, value in enumerate(PLATEAU, 1)
            ]
            ledger.record(f"trial{number}", records, host="node", fit_seconds=1.0, status=FINISHED)
    table = load_trials(directory)
    return advise(table, load_epochs(directory), select_winner(table, load_folds(directory)), parsed)


def test_repeats_where_they_may_decide(tmp_path: Path) -> None:
    """Where a trial is tied whose difference, if it stays as it is, three cross-validations would find significant."""
    quantile = {"once": np.sqrt(1 / 5 + 1 / 4) * 2.776, "thrice": np.sqrt(1 / 15 + 1 / 4) * 2.145}
    cases = [
        ([0.0, 1.1 * quantile["once"], 9.0], {}, None),  # all are told apart
        ([0.0, 0.2, 0.9 * quantile["thrice"]], {}, None),  # three cross-validations would not decide
        ([0.0, 0.2, 1.1 * quantile["thrice"], 9.0], {}, 3),
        ([0.0, 1.1 * quantile["thrice"], *[1.2 * quantile["thrice"]] * 11], {}, 2),  # of many, the best
        ([0.0, 1.1 * quantile["thrice"]], {"repeats": 2}, None),  # they are repeated already
    ]
    for number, (gaps, search, top) in enumerate(cases):
        directory = tmp_path / str(number)
        directory.mkdir()
        pieces = _close_trials(directory, gaps, search)
        if top is None:
            assert pieces == []
            continue
        (piece,) = pieces
        assert piece.changes == {"search.repeats": 3, "search.repeat_top": top}
        n_tied = len(gaps) - 1 - (9.0 in gaps)
        others = f"{n_tied} other trial{'s' * (n_tied != 1)}"
        assert piece.finding == f"The winner cannot be told apart from {others}"
        assert piece.aim == f"to cross-validate the best {top} three times, which may decide"
        _check_that_it_runs(piece, parse_settings(SETTINGS), directory / "settings.toml")


def test_no_more_than_three(tmp_path: Path) -> None:
    """What is not said is what matters least: here, dead units."""
    relu = {name: replace(c, code_activation="relu") for name, c in (("narrow", NARROW), ("wide", WIDE))}
    trials = {relu["wide"]: (1.0, OVERFITTING), relu["narrow"]: (1.2, OVERFITTING)}
    settings = {**SETTINGS, "space": {"hidden": ["8", "16"], "code_activation": ["relu"]}}
    pieces = _advice(tmp_path, trials, settings, dead=2)
    assert len(pieces) == 3
    assert not any("dead" in piece.finding for piece in pieces)


def test_advice_on_a_real_search(searched: SearchResult) -> None:
    """It takes what a search leaves: six epochs are too few, and are to be twelve."""
    settings = search_settings(searched.directory)
    pieces = advise(searched.trials, load_epochs(searched.directory), searched.selection, settings)
    assert 1 <= len(pieces) <= 3
    assert pieces[0].changes == {"search.max_epochs": 12}
