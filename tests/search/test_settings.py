"""search.settings and its files: defaults, TOML, overrides, and one clear line for everything that is wrong."""

import inspect
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ae_model.activations import ACTIVATIONS
from ae_model.configuration import ACTIVATION_NAMES, ACTIVATION_RANGES, SCHEDULE_NAMES
from ae_model.errors import UserError
from search import cli
from search.pipeline import check_name, default_name
from search.presets import budget_text
from search.settings import DataSettings, LogUniform, SearchSection, SearchSettings, SpaceSettings, Uniform
from search.settings_files import load_settings, parse_settings, search_settings, to_toml


def test_the_defaults_are_those_of_the_command_without_arguments() -> None:
    """`ae-search run` changes no setting: all its options that do are None, and no file gives all defaults."""
    options = inspect.signature(cli.run).parameters
    assert all(options[name].default is None for name in ("settings_file", "data", "data_dir", "preset", "set_"))
    assert load_settings(None, []) == parse_settings({}) == SearchSettings()
    assert default_name(SearchSettings()) == "digits"


def test_the_defaults_are_those_of_the_design() -> None:
    """The values that the README shows."""
    settings = SearchSettings()
    assert settings.seed == 0
    assert (settings.data.source, settings.data.test_fraction) == ("digits", 0.2)
    assert settings.bottleneck.explained_variance == [0.95]
    assert settings.space.hidden is None
    assert (settings.space.code_activation, settings.space.output_activation) == (["linear"], None)
    assert settings.space.init == ["pca", "random"]
    assert (settings.space.learning_rate, settings.space.batch_size) == (None, [64])
    assert (settings.search.algorithm, settings.search.n_splits) == ("grid", 5)
    assert settings.resources.cpus_per_trial == 1
    assert settings.resources.max_failures == 3
    assert settings.selection.rule == "best"


@pytest.mark.parametrize("name", ACTIVATION_NAMES)
def test_the_output_can_be_what_the_data_is(name: str) -> None:
    """An output activation is accepted if its values come as close to -1 and to 1 as one likes, else refused."""
    given = {"space": {"output_activation": name}}
    values = ACTIVATIONS[name].module()(torch.linspace(-1e3, 1e3, 100_001, dtype=torch.float64))
    if values.min() <= -1 + 1e-9 and values.max() >= 1 - 1e-9:
        space = parse_settings(given).space
        assert space.output_activation == name
        assert space.init == (["pca", "random"] if name in ("linear", "tanh") else ["random"]), "as far as it is known"
    else:
        with pytest.raises(UserError, match=rf"space\.output_activation: .*\[-1, 1\].*'{name}'"):
            parse_settings(given)


def test_settings_cannot_be_changed_afterwards() -> None:
    """Settings are frozen: what was checked is what runs."""
    with pytest.raises(ValueError, match="frozen"):
        SearchSettings().seed = 1  # type: ignore[misc]  # the point of the test


def test_a_file_and_the_overrides_laid_over_it(tmp_path: Path) -> None:
    """What the file leaves out has its default, and `--set` goes over the file."""
    path = tmp_path / "settings.toml"
    path.write_text('seed = 3\n[search]\nn_splits = 4\nmax_epochs = 7\n[space]\nhidden = ["", "9-5"]\n')
    settings = load_settings(path, ["search.n_splits=6", "seed=4"])
    assert (settings.seed, settings.search.n_splits, settings.search.max_epochs) == (4, 6, 7)
    assert settings.space.hidden == ["", "9-5"]
    assert settings.resources == SearchSettings().resources


@pytest.mark.parametrize(
    ("override", "section", "key", "value"),
    [
        ("search.n_splits=7", "search", "n_splits", 7),
        (" search.n_splits = 7 ", "search", "n_splits", 7),
        ("data.test_fraction=0.5", "data", "test_fraction", 0.5),
        ("data.download=false", "data", "download", False),
        ("selection.rule=one-se", "selection", "rule", "one-se"),
        ('selection.rule="one-se"', "selection", "rule", "one-se"),
        ("selection.rule='one-se'", "selection", "rule", "one-se"),
        ("data.data_dir=my data=here", "data", "data_dir", "my data=here"),
        ("data.label_column=species", "data", "label_column", "species"),
        ("data.label_column=400.5", "data", "label_column", "400.5"),
        ("data.ignore_columns=6146", "data", "ignore_columns", ["6146"]),
        ("data.ignore_columns=[id, time]", "data", "ignore_columns", ["id", "time"]),
        ("space.hidden=128-64", "space", "hidden", ["128-64"]),
        ("space.hidden=", "space", "hidden", [""]),
        ('space.hidden=["", "128"]', "space", "hidden", ["", "128"]),
        ("space.batch_size=32", "space", "batch_size", [32]),
        ("space.batch_size=[32, 64]", "space", "batch_size", [32, 64]),
        ("space.code_activation=linear", "space", "code_activation", ["linear"]),
        ("space.learning_rate=1e-3", "space", "learning_rate", [1e-3]),
        ("space.learning_rate=1", "space", "learning_rate", [1.0]),
        ("space.weight_decay=1", "space", "weight_decay", [1.0]),
        ("space.learning_rate_schedule=one-cycle", "space", "learning_rate_schedule", ["one-cycle"]),
        ("space.dropout=[0, 0.5]", "space", "dropout", [0.0, 0.5]),
        ("space.noise_std=0.1", "space", "noise_std", [0.1]),
        ("space.mask_fraction=0.1", "space", "mask_fraction", [0.1]),
        ("bottleneck.code_sizes=[2, 3]", "bottleneck", "code_sizes", [2, 3]),
        ("bottleneck.explained_variance=1", "bottleneck", "explained_variance", [1.0]),
    ],
)
def test_one_override(override: str, section: str, key: str, value: object) -> None:
    """A value is written as in TOML; quotes around a text may be left out, and one value stands for a list of one."""
    settings = load_settings(None, [override])
    assert getattr(getattr(settings, section), key) == value
    others = parse_settings({section: {key: value}})
    assert settings == others


def test_a_range_of_learning_rates_as_override() -> None:
    """An inline table becomes a range, and the keys of a range can be set one by one."""
    random = ["search.algorithm=random", "search.num_samples=5"]
    settings = load_settings(None, [*random, "space.learning_rate={low=1e-4,high=1e-2}"])
    assert settings.space.learning_rate == LogUniform(low=1e-4, high=1e-2)
    one_by_one = load_settings(None, [*random, "space.learning_rate.low=1e-4", "space.learning_rate.high=1e-2"])
    assert one_by_one == settings


@pytest.mark.parametrize("algorithm", ["random", "tpe"])
def test_ranges_as_overrides(algorithm: str) -> None:
    """Whatever takes a range takes it from `--set`, of integers where integers are meant, and gives it to the file."""
    ranges = [
        "bottleneck.code_sizes={low = 2, high = 40}",
        "space.depth={low = 0, high = 3}",
        "space.widths={low = 16, high = 512}",
        "space.batch_size={low=16,high=256}",
        "space.weight_decay={low = 1e-6, high = 1}",
    ]
    settings = load_settings(None, [f"search.algorithm={algorithm}", "search.num_samples=5", *ranges])
    assert settings.bottleneck.code_sizes == LogUniform(low=2, high=40)
    space = settings.space
    assert (space.depth, space.widths) == (Uniform(low=0, high=3), LogUniform(low=16, high=512))
    assert (space.batch_size, space.weight_decay) == (LogUniform(low=16, high=256), LogUniform(low=1e-6, high=1.0))
    assert "[space.widths]\nlow = 16\nhigh = 512\n" in to_toml(settings)
    assert parse_settings(tomllib.loads(to_toml(settings))) == settings


WRONG: list[tuple[Mapping[str, Any], list[str]]] = [
    # unknown keys
    ({"sed": 1}, ["sed", "Did you mean seed?"]),
    ({"max_epochs": 3}, ["max_epochs", "Did you mean search.max_epochs?"]),
    ({"space": {"max_samples": 3}}, ["space.max_samples", "Did you mean data.max_samples?"]),
    ({"search": {"seed": 3}}, ["search.seed", "Did you mean seed?"]),
    ({"serch": {"n_splits": 3}}, ["serch", "Did you mean search?"]),
    ({"search": {"n_split": 3}}, ["search.n_split", "Did you mean n_splits?"]),
    ({"space": {"learning_rates": [0.1]}}, ["space.learning_rates", "Did you mean learning_rate?"]),
    ({"space": {"xyz": 1}}, ["space.xyz", "Known here: hidden, depth, widths"]),
    ({"values": 1}, ["values", "unknown"]),
    ({"space": {"range": 1}}, ["space.range", "unknown"]),
    ({"space": {"learning_rate": {"low": 1e-3, "high": 1e-2, "hgih": 1}}}, ["space.learning_rate.hgih", "high"]),
    # wrong types
    ({"seed": "zero"}, ["seed", "integer", "'zero'"]),
    ({"seed": True}, ["seed", "True"]),
    ({"search": 3}, ["search", "3"]),
    ({"data": ["digits"]}, ["data", "['digits']"]),
    ({"data": {"source": 5}}, ["data.source", "string", "5"]),
    ({"data": {"download": "no"}}, ["data.download", "'no'"]),
    ({"search": {"n_splits": 2.5}}, ["search.n_splits", "integer", "2.5"]),
    ({"search": {"n_splits": "5"}}, ["search.n_splits", "integer", "'5'"]),
    ({"space": {"hidden": 6.5}}, ["space.hidden", "6.5", '"128-64"']),
    ({"space": {"learning_rate": "fast"}}, ["space.learning_rate", "'fast'", "number"]),
    ({"space": {"learning_rate": {"low": 1e-3}}}, ["space.learning_rate.high"]),
    ({"space": {"code_activation": [["relu"]]}}, ["space.code_activation", "['relu']"]),
    ({"space": {"output_activation": ["tanh"]}}, ["space.output_activation", "['tanh']"]),
    ({"resources": {"cpus_per_trial": 0.5}}, ["resources.cpus_per_trial", "integer", "0.5"]),
    # out of range
    ({"seed": -1}, ["seed", "-1", "0"]),
    ({"seed": 2**32}, ["seed", str(2**32)]),
    ({"data": {"source": ""}}, ["data.source"]),
    ({"data": {"test_fraction": 1}}, ["data.test_fraction", "less than 1"]),
    ({"data": {"test_fraction": -0.1}}, ["data.test_fraction", "greater than or equal to 0"]),
    ({"data": {"test_fraction": float("nan")}}, ["data.test_fraction", "finite", "nan"]),
    ({"data": {"max_samples": 3}}, ["data.max_samples", "4", "3"]),
    ({"bottleneck": {"explained_variance": 1.5}}, ["bottleneck.explained_variance", "1.5"]),
    ({"bottleneck": {"explained_variance": [0.9, 0]}}, ["bottleneck.explained_variance", "greater than 0"]),
    ({"bottleneck": {"explained_variance": []}}, ["bottleneck.explained_variance", "at least 1"]),
    ({"bottleneck": {"code_sizes": [0]}}, ["bottleneck.code_sizes", "0"]),
    ({"bottleneck": {"code_sizes": []}}, ["bottleneck.code_sizes", "at least 1"]),
    ({"space": {"hidden": []}}, ["space.hidden", "at least 1"]),
    ({"space": {"hidden": ["64-"]}}, ["space.hidden", "'64-'"]),
    ({"space": {"hidden": ["64,32"]}}, ["space.hidden", "'64,32'"]),
    ({"space": {"hidden": ["0"]}}, ["space.hidden", "'0'"]),
    ({"space": {"hidden": ["64\n"]}}, ["space.hidden", r"'64\n'"]),
    ({"space": {"hidden_activation": ["rellu"]}}, ["space.hidden_activation", "'rellu'", "relu, leaky_relu"]),
    ({"space": {"code_activation": []}}, ["space.code_activation", "at least 1"]),
    ({"space": {"output_activation": "none"}}, ["space.output_activation", "'none'", "tanh"]),
    ({"space": {"output_activation": "sigmoid"}}, ["space.output_activation", "[-1, 1]", "'sigmoid'", "from 0 to 1"]),
    ({"space": {"output_activation": "gelu"}}, ["space.output_activation", "linear, leaky_relu, elu, tanh", "-0.17"]),
    ({"space": {"init": ["svd"]}}, ["space.init", "'pca' or 'random'", "'svd'"]),
    ({"space": {"init": []}}, ["space.init", "at least 1"]),
    ({"space": {"init": "pca", "output_activation": "elu"}}, ["init", "output_activation", "'linear' or 'tanh'"]),
    ({"space": {"depth": [11], "widths": [2]}}, ["space.depth", "11", "10"]),
    ({"space": {"depth": [], "widths": [2]}}, ["space.depth", "at least 1"]),
    ({"space": {"depth": [1], "widths": []}}, ["space.widths", "at least 1"]),
    ({"space": {"learning_rate": 0}}, ["space.learning_rate", "greater than 0"]),
    ({"space": {"learning_rate": [1e-3, 100.0]}}, ["space.learning_rate", "100.0", "10"]),
    ({"space": {"learning_rate": {"low": 1e-2, "high": 1e-4}}}, ["space.learning_rate", "0.01", "0.0001", "less"]),
    ({"space": {"batch_size": 0}}, ["space.batch_size", "0", "1"]),
    ({"space": {"weight_decay": -1e-4}}, ["space.weight_decay", "-0.0001", "0"]),
    ({"space": {"weight_decay": [0, 101]}}, ["space.weight_decay", "101", "100"]),
    ({"space": {"weight_decay": "none"}}, ["space.weight_decay", "'none'"]),
    ({"space": {"weight_decay": []}}, ["space.weight_decay", "at least 1"]),
    ({"space": {"learning_rate_schedule": "step"}}, ["space.learning_rate_schedule", "'one-cycle'", "'step'"]),
    ({"space": {"learning_rate_schedule": []}}, ["space.learning_rate_schedule", "at least 1"]),
    ({"space": {"dropout": 1}}, ["space.dropout", "less than 1"]),
    ({"space": {"dropout": [0.1, -0.1]}}, ["space.dropout", "-0.1", "0"]),
    ({"space": {"noise_std": float("inf")}}, ["space.noise_std", "inf"]),
    ({"space": {"noise_std": 100.5}}, ["space.noise_std", "100.5", "100"]),
    ({"space": {"mask_fraction": 1.0}}, ["space.mask_fraction", "less than 1"]),
    ({"space": {"mask_fraction": [[0.1]]}}, ["space.mask_fraction", "[0.1]"]),
    ({"search": {"n_splits": 1}}, ["search.n_splits", "2", "1"]),
    ({"search": {"max_epochs": 0}}, ["search.max_epochs", "1", "0"]),
    ({"search": {"algorithm": "bayes"}}, ["search.algorithm", "'grid', 'random', 'tpe' or 'smallest-code'", "'bayes'"]),
    ({"search": {"algorithm": "random", "num_samples": 0}}, ["search.num_samples", "0"]),
    ({"search": {"fp32_precision": "fp8"}}, ["search.fp32_precision", "'fp8'"]),
    ({"resources": {"cpus_per_trial": 0}}, ["resources.cpus_per_trial", "0"]),
    ({"resources": {"gpus_per_trial": -0.5}}, ["resources.gpus_per_trial", "-0.5"]),
    ({"resources": {"max_failures": -1}}, ["resources.max_failures", "-1"]),
    (
        {"selection": {"rule": "worst"}},
        ["selection.rule", "'best', 'one-se', 'smallest-code', 'target-fve' or 'best-probe'", "'worst'"],
    ),
    # contradictions
    ({"space": {"hidden": ["64"], "depth": [1], "widths": [8]}}, ["space", "hidden", "depth", "both"]),
    ({"space": {"depth": [1]}}, ["space", "widths is missing"]),
    ({"space": {"widths": [8]}}, ["space", "depth is missing"]),
    ({"space": {"non_increasing": True}}, ["non_increasing", "depth and widths"]),
    ({"bottleneck": {"explained_variance": 0.9, "code_sizes": [2]}}, ["bottleneck", "explained_variance", "both"]),
    ({"search": {"algorithm": "random"}}, ["search.num_samples", "random"]),
    ({"search": {"num_samples": 3}}, ["search.num_samples", "random", "grid"]),
    ({"space": {"learning_rate": {"low": 1e-4, "high": 1e-2}}}, ["space.learning_rate", "random", "grid"]),
]  # fmt: skip


@pytest.mark.parametrize(("content", "parts"), WRONG, ids=[str(content) for content, _ in WRONG])
def test_wrong_settings_give_one_line_that_names_the_key(content: Mapping[str, Any], parts: list[str]) -> None:
    """Whatever is wrong, the message is one line with the key and what came, in the user's words."""
    with pytest.raises(ValueError, match=r"\.|\?") as caught:
        parse_settings(content)
    message = str(caught.value)
    assert type(caught.value) is UserError
    assert "\n" not in message
    for part in parts:
        assert part in message
    for jargon in ("instance of", "validation error", "pydantic", "For further information"):
        assert jargon not in message


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("n_splits", "'n_splits'.*search.n_splits=10"),
        ("=3", "'=3'"),
        ("search.n_split=3", "search.n_split: unknown"),
        ("search.a.b=3", "search.a: unknown"),
        ("seed.x=1", "seed"),
    ],
)
def test_wrong_overrides(override: str, words: str) -> None:
    """An override that is none, or that goes to no setting, is refused with its own text or key."""
    with pytest.raises(UserError, match=words) as caught:
        load_settings(None, [override])
    assert "\n" not in str(caught.value)


def test_an_override_into_a_value_of_the_file(tmp_path: Path) -> None:
    """`--set seed.x=1` over a file with `seed = 1` is refused, naming what is no section."""
    path = tmp_path / "settings.toml"
    path.write_text("seed = 1")
    with pytest.raises(UserError, match=r"seed\.x=1.*seed is a value"):
        load_settings(path, ["seed.x=1"])


def test_the_reference_preset() -> None:
    """It is the design of the first version: each of its values is given, and the others are the defaults."""
    settings = load_settings(preset="reference")
    assert settings.space == SpaceSettings(
        hidden=["", "64", "128", "256", "128-64"], code_activation=["relu"], init=["random"], output_activation="tanh",
        learning_rate=[1e-3], batch_size=[64],
    )  # fmt: skip
    assert settings.search == SearchSection(max_epochs=100)
    defaults = SearchSettings()
    assert settings.data == DataSettings(scaling="range")
    sections = {"space": settings.space, "search": settings.search, "data": settings.data}
    assert settings == defaults.model_copy(update=sections)


def test_what_is_laid_over_a_preset(tmp_path: Path) -> None:
    """A file replaces it key by key, and `--set` replaces both; whatever is read, the preset stays as it is."""
    path = tmp_path / "settings.toml"
    path.write_text('[space]\nhidden = ["9"]\ninit = "pca"\n[search]\nn_splits = 3\n[bottleneck]\ncode_sizes = 4\n')
    settings = load_settings(path, ["space.hidden=7", "seed=2"], preset="reference")
    assert (settings.seed, settings.search.n_splits, settings.search.max_epochs) == (2, 3, 100)
    assert (settings.space.hidden, settings.space.init, settings.bottleneck.code_sizes) == (["7"], ["pca"], [4])
    assert (settings.space.output_activation, settings.space.code_activation) == ("tanh", ["relu"])
    assert load_settings(preset="reference").space.init == ["random"]
    random = ["search.algorithm=random", "search.num_samples=3", "space.learning_rate={low=1e-4,high=1e-2}"]
    assert load_settings(None, random, preset="reference").space.learning_rate == LogUniform(low=1e-4, high=1e-2)


def test_two_ways_to_say_a_thing_in_two_layers(tmp_path: Path) -> None:
    """The upper layer's way replaces the lower's: preset, file, `--set`; within one layer, both are refused."""
    path = tmp_path / "settings.toml"
    path.write_text("[space]\ndepth = 1\nwidths = [8]\nnon_increasing = true\n[bottleneck]\nexplained_variance = 0.9\n")
    of_file = load_settings(path, preset="reference")
    assert (of_file.space.depth, of_file.space.widths) == ([1], [8])
    assert load_settings(path, ["space.widths=[16]"]).space.widths == [16]
    over_it = load_settings(path, ["space.hidden=5", "bottleneck.code_sizes=3"], preset="reference")
    assert (over_it.space.hidden, over_it.space.depth, over_it.space.non_increasing) == (["5"], None, False)
    assert over_it.bottleneck.code_sizes == [3]
    back = load_settings(None, ["space.depth=1", "space.widths=2"], preset="reference").space
    assert (back.depth, back.widths) == ([1], [2])
    for overrides in (["space.hidden=5", "space.depth=1", "space.widths=8"], ["space={hidden='5', depth=1, widths=8}"]):
        with pytest.raises(UserError, match="takes either hidden or depth and widths"):
            load_settings(path, overrides, preset="reference")
    path.write_text('[space]\ndepth = 1\nwidths = 8\nhidden = "5"\n')
    with pytest.raises(UserError, match="takes either hidden or depth and widths"):
        load_settings(path, preset="reference")


def test_a_budget() -> None:
    """It prunes, repeats the best three, and lets Optuna look about where nobody says what is to be searched."""
    settings = load_settings(budget_s=600)
    search = settings.search
    assert (search.algorithm, search.pruning, search.repeats, search.repeat_top) == ("tpe", "halving", 3, 3)
    assert search.time_budget_s == 510
    assert isinstance(settings.space.widths, LogUniform)
    given = load_settings(overrides=["space.hidden=7"], budget_s=600)
    assert (given.search.algorithm, given.search.pruning, given.space.hidden) == ("grid", "halving", ["7"])
    once = load_settings(overrides=["search.repeats=1"], budget_s=600).search
    assert (once.repeats, once.repeat_top, once.pruning) == (1, None, "halving")
    asked = ["search.algorithm=smallest-code", "search.target_fve=0.9"]
    smallest = load_settings(overrides=asked, budget_s=600).search
    assert (smallest.pruning, smallest.repeats, smallest.time_budget_s) == ("none", 1, 510)
    assert load_settings(overrides=["search.time_budget_s=5"], budget_s=600).search.time_budget_s == 5


def test_what_a_budget_is_spent_on_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a line, by what was decided: with Optuna and without, and for what was asked."""
    assert budget_text(load_settings(budget_s=600)) == (
        "Within 510 s of training: suggestions by tpe (depth 0 to 2, widths 32 to 1024, learning_rate 0.0001 to 0.01), "
        "halving, 2 more cross-validations of the best 3"
    )
    asked = ["search.algorithm=smallest-code", "search.target_fve=0.9"]
    smallest = load_settings(overrides=asked, budget_s=60)
    assert budget_text(smallest) == "Within 51 s of training: bisection for the smallest code"
    given = load_settings(overrides=["space.hidden=7", "search.repeats=1"], budget_s=600)
    assert budget_text(given) == "Within 510 s of training: every configuration of the space, halving"
    monkeypatch.setattr("search.presets.find_spec", lambda _: None)
    assert "where Optuna is installed" in budget_text(load_settings(budget_s=600))


def test_the_rule_of_a_search_for_the_smallest_code() -> None:
    """Its first target, unless another rule is asked for."""
    asked = ["search.algorithm=smallest-code", "search.target_fve=[0.9, 0.8]"]
    assert load_settings(overrides=asked).selection_rule == ("target-fve", 0.9)
    assert load_settings(overrides=[*asked, "selection.rule=one-se"]).selection_rule == ("one-se", None)
    other = ["selection.rule=target-fve", "selection.target_fve=0.7"]
    assert load_settings(overrides=[*asked, *other]).selection_rule == ("target-fve", 0.7)
    assert load_settings().selection_rule == ("best", None)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("10min", 600), ("2h", 7200), ("1h30min", 5400), ("0.5h", 1800)]
)
def test_durations(text: str, seconds: float) -> None:
    """A number and its unit, or several."""
    from search.cli import _seconds

    assert _seconds(text) == seconds


def test_a_preset_that_does_not_exist() -> None:
    """The message lists those that do."""
    with pytest.raises(UserError, match=r"^preset must be one of reference, but is 'best'\.") as caught:
        load_settings(preset="best")
    assert caught.value.argument == "preset"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"seed = ", r"TOML.*Fix the file\."),
        (b"\xff\xfe", "TOML"),
        (b"[data\nsource=1", "TOML"),
        (b"seed=1\nseed=2", "TOML"),
    ],
)
def test_a_file_that_is_not_toml(tmp_path: Path, content: bytes, words: str) -> None:
    """A damaged file is refused in one line that names it."""
    path = tmp_path / "broken.toml"
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"broken\.toml.*{words}") as caught:
        load_settings(path)
    assert "\n" not in str(caught.value)


def test_a_missing_or_unreadable_file(tmp_path: Path) -> None:
    """A missing file, and a folder in its place, are named."""
    with pytest.raises(UserError, match=r"none\.toml: no such settings file"):
        load_settings(tmp_path / "none.toml")
    with pytest.raises(UserError, match="cannot be read"):
        load_settings(tmp_path)
    with pytest.raises(UserError, match=r"settings\.toml: no such settings file"):
        search_settings(tmp_path)


def test_a_path_means_the_same_file_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative data source is stored as an absolute path, a named one as its name."""
    monkeypatch.chdir(tmp_path)
    assert load_settings(None, ["data.source=a.csv"]).data.source == str(tmp_path / "a.csv")
    assert load_settings(None, ["data.source=mnist"]).data.source == "mnist"


def test_a_home_folder_that_does_not_exist_is_the_users_error() -> None:
    """`~name` of nobody is a wrong input like any other."""
    with pytest.raises(UserError, match=r"data\.source|nobody-here"):
        load_settings(None, ["data.source=~nobody-here/a.csv"])


_names = st.sampled_from(ACTIVATION_NAMES)
_outputs = st.sampled_from([name for name, (low, high) in ACTIVATION_RANGES.items() if low <= -1 and high >= 1])
_texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)
_rates = st.floats(1e-8, 10)
_hidden = st.lists(st.integers(1, 9_999_999), max_size=4).map(lambda widths: "-".join(map(str, widths)))


def _some(values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(values, min_size=1, max_size=4)


def _section(**keys: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=keys)


@st.composite
def _contents(draw: st.DrawFn) -> dict[str, Any]:
    """Nested mappings that are right, with any of the keys left out."""
    random = draw(st.booleans())

    def some_or_range(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        ranges = st.tuples(values, values).filter(lambda pair: 0 < pair[0] < pair[1])
        as_range = ranges.map(lambda pair: {"low": pair[0], "high": pair[1]})
        return _some(values) | as_range if random else _some(values)

    by_depth = draw(st.booleans())
    layers: dict[str, st.SearchStrategy[Any]] = {"hidden": _some(_hidden)}
    space = draw(
        _section(
            hidden_activation=_some(_names),
            code_activation=_some(_names),
            output_activation=_outputs,
            learning_rate=some_or_range(_rates),
            batch_size=some_or_range(st.integers(1, 10**6)),
            weight_decay=some_or_range(st.floats(0, 100)),
            learning_rate_schedule=_some(st.sampled_from(SCHEDULE_NAMES)),
            dropout=_some(st.floats(0, 1, exclude_max=True)),
            noise_std=_some(st.floats(0, 100)),
            mask_fraction=_some(st.floats(0, 1, exclude_max=True)),
            **({} if by_depth else layers),
        )
    )
    unlimited = space.get("output_activation", "linear") in ("linear", "leaky_relu")
    if space.get("output_activation", "linear") in ("linear", "tanh"):
        space |= draw(_section(init=_some(st.sampled_from(["pca", "random"]))))
    if by_depth:
        space |= {
            "depth": draw(some_or_range(st.integers(0, 10))),
            "widths": draw(some_or_range(st.integers(1, 10**7))),
        }
        space |= draw(_section(non_increasing=st.booleans()))
    code_sizes = {"code_sizes": some_or_range(st.integers(1, 10**7))}
    variance = {"explained_variance": _some(st.floats(1e-6, 1))}
    search = draw(_section(n_splits=st.integers(2, 100), max_epochs=st.integers(1, 10**6)))
    if random:
        search |= {"algorithm": draw(st.sampled_from(["random", "tpe"])), "num_samples": draw(st.integers(1, 10**6))}
        if search["algorithm"] == "tpe":
            search |= draw(_section(batch_trials=st.integers(1, 100)))
    return {
        "seed": draw(st.integers(0, 2**32 - 1)),
        "data": draw(
            _section(
                source=st.sampled_from(["digits", "mnist", "/some where/ü\t'\".csv"]),
                data_dir=_texts,
                download=st.booleans(),
                test_fraction=st.floats(0, 0.999),
                max_samples=st.integers(4, 10**9),
                label_column=_texts,
                scaling=st.sampled_from(["range", "standard", "robust", "none"] if unlimited else ["range"]),
            )
        ),
        "bottleneck": draw(_section(**draw(st.sampled_from([code_sizes, variance])))),
        "space": space,
        "search": search,
        "resources": draw(
            _section(
                cpus_per_trial=st.integers(1, 64),
                gpus_per_trial=st.floats(0, 1) | st.integers(2, 8).map(float) | st.just("auto"),
                startup_timeout_s=st.floats(0, 1e6),
                max_concurrent_trials=st.integers(1, 64),
                max_failures=st.integers(0, 9),
                storage_path=_texts.filter(lambda text: not text.startswith("~")),
            )
        ),
        "selection": draw(_section(rule=st.sampled_from(["best", "one-se", "smallest-code"]))),
    }


@given(content=_contents())
def test_toml_round_trip(content: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> None:
    """What `to_toml` writes, `load_settings` reads back as it was."""
    settings = parse_settings(content)
    path = tmp_path_factory.getbasetemp() / "round_trip.toml"
    path.write_text(to_toml(settings), encoding="utf-8")
    assert load_settings(path) == settings
    assert load_settings(path).model_dump() == settings.model_dump()


def test_the_default_settings_round_trip() -> None:
    """So do the defaults, of which everything that is given is in the text."""
    content = tomllib.loads(to_toml(SearchSettings()))
    assert parse_settings(content) == SearchSettings()
    assert set(content) == set(SearchSettings.model_fields)


@pytest.mark.parametrize("name", ["digits", "a", "_x", "2024-01-01", "my.run+1", "x" * 100, "Größen", "ü" * 50, "測定"])
def test_names_that_are_folders(name: str) -> None:
    """A plain name is returned as it is."""
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../x", "a/b", "/tmp/x", "a\\b", ".hidden", "x" * 101, "a'b", 'a"b', "a b", "a\n", "\n", "-rf",
     "a\0", "ü" * 51, "a\u0308", "~", "$HOME", "a;b"],
)  # fmt: skip
def test_names_that_are_not(name: str) -> None:
    """A name that would leave the results directory, hide, or need quoting is refused in one line that shows it."""
    with pytest.raises(ValueError, match="name must be at most 100 bytes of letters") as caught:
        check_name(name)
    assert repr(name) in str(caught.value)
    assert "\n" not in str(caught.value)


@given(stem=_texts)
def test_every_source_has_a_name_that_is_a_folder(stem: str) -> None:
    """Whatever a file is called, the name of its search is one that `check_name` accepts."""
    settings = parse_settings({"data": {"source": f"/data/{stem}.csv"}})
    assert check_name(default_name(settings)) == default_name(settings)


def test_letters_of_any_language_stay_in_a_name() -> None:
    """Files whose names differ by a letter make two searches; one that is written in two ways makes one."""

    def name_of(source: str) -> str:
        return default_name(parse_settings({"data": {"source": source}}))

    assert name_of("/data/Größen 2.csv") == "Größen-2"
    assert name_of("/data/Gro\u0308ßen.csv") == name_of("/data/Größen.csv") == "Größen" != name_of("/data/Gräßen.csv")
