"""search.commands: the command that goes on, in the words of the one that was given."""

import itertools
import shlex
import tomllib
from collections.abc import Sequence
from typing import Any

import pytest

from search.commands import command_with, toml_value
from search.settings_files import load_settings


@pytest.mark.parametrize(
    ("given", "continued"),
    [
        ("run", "run --set search.max_epochs=40"),
        ("run my.toml --fresh --name x", "run my.toml --name x --set search.max_epochs=40"),
        ("run --set search.max_epochs=20 a.toml", "run a.toml --set search.max_epochs=40"),
        ("run --set=search.max_epochs=20 --set seed=3", "run --set seed=3 --set search.max_epochs=40"),
        ("run --set 'search.max_epochs = 20'", "run --set search.max_epochs=40"),
        ("run --data 'my data.csv'", "run --data 'my data.csv' --set search.max_epochs=40"),
        (
            """run --set 'space.hidden=["", "64"]'""",
            """run --set 'space.hidden=["", "64"]' --set search.max_epochs=40""",
        ),
        ("run --name x -- a.toml", "run --name x --set search.max_epochs=40 -- a.toml"),
        ("run --set", "run --set '' --set search.max_epochs=40"),
    ],
)
def test_the_command_that_goes_on(given: str, continued: str) -> None:
    """It is the one that was given, with another number of epochs and without `--fresh`; a shell reads it back."""
    words: Sequence[str] = ["ae-search", *shlex.split(given)]
    assert command_with(words, {"search.max_epochs": 40}) == f"ae-search {continued}"


@pytest.mark.parametrize(
    ("given", "changes", "continued"),
    [
        (
            "run --set space.learning_rate.low=1e-4 --set space.learning_rate.high=1e-2 --set seed=1",
            {"space.learning_rate": {"low": 1e-05, "high": 0.01}},
            "run --set seed=1 --set 'space.learning_rate={low = 1e-05, high = 0.01}'",
        ),
        (
            "run --preset reference --set bottleneck.explained_variance=0.9",
            {"bottleneck.code_sizes": [2, 3]},
            "run --preset reference --set 'bottleneck.code_sizes=[2, 3]'",
        ),
        (
            "run --set=space.depth=[1] --set 'space.widths=[8, 16]'",
            {"space.hidden": ["", "9-5"]},
            """run --set 'space.hidden=["", "9-5"]'""",
        ),
        (
            "run --set space.hidden_activation=elu",
            {"space.hidden": ["9"], "seed": 3},
            """run --set space.hidden_activation=elu --set 'space.hidden=["9"]' --set seed=3""",
        ),
    ],
)
def test_several_settings(given: str, changes: dict[str, Any], continued: str) -> None:
    """What the command said of them goes, part by part, and so does what cannot be together with them."""
    command = command_with(["ae-search", *shlex.split(given)], changes)
    assert command == f"ae-search {continued}"


@pytest.mark.parametrize("value", [3, 0.5, 1e-05, 1e22, True, 'it\'s "ä"', ["", "64"], [1e-5, 2.0], []])
def test_a_value_as_toml(value: Any) -> None:
    """It is read back as what it was."""
    assert tomllib.loads(f"x = {toml_value(value)}") == {"x": value}
    assert tomllib.loads(f"x = {toml_value({'low': value})}") == {"x": {"low": value}}


def test_a_shell_and_the_settings_read_it_back() -> None:
    """The words after each `--set` are overrides that give the settings."""
    changes = {"space.hidden": ["", "128-64"], "space.learning_rate": [0.0001, 0.001]}
    words = shlex.split(command_with(["ae-search", "run", "--set", "space.hidden=9"], changes))
    overrides = [value for option, value in itertools.pairwise(words) if option == "--set"]
    space = load_settings(overrides=overrides).space
    assert (space.hidden, space.learning_rate) == (changes["space.hidden"], changes["space.learning_rate"])
