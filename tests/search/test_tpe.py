"""search.tpe: what is suggested lies in the space, is new, is the same everywhere, and is better than chance."""

import os
import subprocess
import sys
from collections.abc import Sequence
from math import log2, log10
from typing import Any

import numpy as np
import optuna
import pytest

from ae_model import Configuration
from ae_model.errors import UserError
from search.settings import LogUniform, SpaceSettings
from search.settings_files import parse_settings
from search.space import make_configurations
from search.tpe import MISSES, STARTUP, suggest

INPUT_SIZE = 50
RANGES: dict[str, Any] = {
    "depth": {"low": 0, "high": 3},
    "widths": {"low": 8, "high": 1024},
    "learning_rate": {"low": 1e-5, "high": 0.1},
    "batch_size": {"low": 8, "high": 256},
    "weight_decay": {"low": 1e-6, "high": 1.0},
    "hidden_activation": ["relu", "gelu", "tanh"],
    "dropout": [0.0, 0.2],
}
History = list[tuple[Configuration, float | None]]


def _space(**keys: Any) -> SpaceSettings:
    return parse_settings({"space": keys, "search": {"algorithm": "tpe", "num_samples": 1}}).space


def _suggest(
    space: SpaceSettings, history: History, n: int, seed: int = 0, code_sizes: Sequence[int] | LogUniform[int] = (5,)
) -> list[Configuration]:
    return suggest(space, history, n, seed=seed, input_size=INPUT_SIZE, code_sizes=code_sizes)


def _loss(configuration: Configuration) -> float:
    """A smooth function of rate, batch size, depth and widths, which are best at 0.001, 64, 2, and 256 and 128."""
    c, hidden = configuration, configuration.layer_sizes[1:-1]
    widths = sum((log2(width) - 8 + i) ** 2 for i, width in enumerate(hidden)) / max(len(hidden), 1)
    training = (log10(c.learning_rate) + 3) ** 2 + 0.1 * (log2(c.batch_size) - 6) ** 2
    return training + 0.5 * (len(hidden) - 2) ** 2 + 0.3 * widths + (c.init == "random") + c.dropout


def _searched(space: SpaceSettings, n: int, batch: int = 8, seed: int = 0, **options: Any) -> History:
    """So many configurations with their losses, in rounds."""
    history: History = []
    while len(history) < n:
        new = _suggest(space, history, min(batch, n - len(history)), seed, **options)
        if not new:
            break
        history += [(configuration, _loss(configuration)) for configuration in new]
    return history


def test_suggestions_lie_in_the_space_and_are_new() -> None:
    """Every part is in its list or range, as an integer or four digits, and nothing is suggested twice."""
    history = _searched(_space(**RANGES), 32, code_sizes=LogUniform[int](low=2, high=40))
    configurations = [configuration for configuration, _ in history]
    assert len(set(configurations)) == 32
    for c in configurations:
        *hidden, code_size = c.layer_sizes[1:]
        assert all(isinstance(size, int) for size in (*c.layer_sizes, c.batch_size))
        assert 2 <= code_size <= 40
        assert len(hidden) <= 3
        assert all(8 <= width <= 1024 for width in hidden)
        assert 8 <= c.batch_size <= 256
        for value, low, high in ((c.learning_rate, 1e-5, 0.1), (c.weight_decay, 1e-6, 1.0)):
            assert low <= value <= high
            assert value == float(f"{value:.4g}")
        if hidden:
            assert c.hidden_activation in RANGES["hidden_activation"]
            assert c.dropout in RANGES["dropout"]
        else:
            assert (c.hidden_activation, c.dropout) == ("linear", 0.0)
    assert {len(c.layer_sizes) for c in configurations} >= {3, 4}, "of several depths"


def test_the_order_of_arrival_does_not_matter() -> None:
    """A history in any order gives the same suggestions; with other values, other ones."""
    space = _space(**RANGES)
    history = _searched(space, 32)
    history[3], history[7] = (history[3][0], None), (history[7][0], None)
    expected = _suggest(space, history, 6)
    for order in (np.random.default_rng(0).permutation(32), range(31, -1, -1)):
        assert _suggest(space, [history[i] for i in order], 6) == expected
    assert _suggest(space, [(c, -value if value else None) for c, value in history], 6) != expected
    assert _suggest(space, history, 6, seed=1) != expected


def test_only_ranks_count() -> None:
    """The logarithms of the losses give the same suggestions as the losses."""
    space = _space(**RANGES)
    history = _searched(space, 24)
    logarithms: History = [(c, float(np.log(value))) for c, value in history if value]
    assert _suggest(space, logarithms, 4) == _suggest(space, history, 4)


PROCESS = """
import sys
sys.path.insert(0, sys.argv[1])
import test_tpe
print([c for c, _ in test_tpe._searched(test_tpe._space(**test_tpe.RANGES), 20)])
"""


def test_another_process_suggests_the_same() -> None:
    """To the bit, whatever seed Python's hashes have there."""
    expected = [configuration for configuration, _ in _searched(_space(**RANGES), 20)]
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        command = [sys.executable, "-c", PROCESS, os.path.dirname(__file__)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert done.stdout == f"{expected}\n"
        assert done.stderr == "", "nothing is said on the terminal"


def test_it_begins_near_the_defaults_and_as_a_random_search() -> None:
    """The first is the default rate and start with the widest layer; those that follow are a random search's."""
    space = _space(hidden=["", "32", "512", "64-32"], learning_rate={"low": 1e-5, "high": 0.1})
    first, *others = _suggest(space, [], 5, seed=3)
    assert (first.layer_sizes, first.learning_rate, first.init) == ((INPUT_SIZE, 512, 5), 1e-3, "pca")
    drawn = make_configurations(space, input_size=INPUT_SIZE, code_sizes=[5], num_samples=4, seed=3)
    assert others == drawn
    more = _suggest(space, [(c, 1.0) for c in (first, *others)], 3, seed=3)
    assert len(drawn) + 1 < STARTUP
    assert more == make_configurations(space, input_size=INPUT_SIZE, code_sizes=[5], num_samples=7, seed=3)[4:]


@pytest.mark.parametrize("keys", [RANGES, {}], ids=["ranges", "defaults"])
def test_the_first_is_one_that_the_space_holds(keys: dict[str, Any]) -> None:
    """In ranges: one layer of 512, the default rate and batch size, the middle of what has no default."""
    (first,) = _suggest(_space(**keys), [], 1)
    assert first.layer_sizes == (INPUT_SIZE, 512, 5)
    assert (first.learning_rate, first.batch_size, first.init) == (1e-3, 64, "pca")
    assert first.weight_decay == (1e-3 if keys else 0.0)
    narrow = {
        "depth": {"low": 2, "high": 4},
        "widths": {"low": 4, "high": 9},
        "learning_rate": {"low": 0.012345, "high": 0.1},
    }
    (first,) = _suggest(_space(**narrow, batch_size=[16, 256]), [], 1)
    assert first.layer_sizes == (INPUT_SIZE, 9, 9, 5)
    assert (first.learning_rate, first.batch_size) == (0.012345, 16)


@pytest.mark.parametrize("widths", [[8, 16, 32], {"low": 8, "high": 32}], ids=["list", "range"])
def test_non_increasing_layers(widths: object) -> None:
    """No layer of any suggestion is wider than the one before it."""
    space = _space(depth=[2, 3], widths=widths, non_increasing=True, learning_rate={"low": 1e-4, "high": 1e-2})
    hidden = [configuration.layer_sizes[1:-1] for configuration, _ in _searched(space, 24)]
    assert {len(layers) for layers in hidden} == {2, 3}
    assert all(list(layers) == sorted(layers, reverse=True) for layers in hidden)


@pytest.mark.parametrize(
    ("keys", "size"),
    [
        ({"hidden": ["", "8"], "init": ["pca", "random"], "dropout": [0.0, 0.2], "batch_size": [16, 32]}, 12),
        ({"depth": [0, 1, 2], "widths": [4, 8], "init": "pca"}, 7),
        ({"depth": {"low": 1, "high": 2}, "widths": {"low": 4, "high": 6}, "init": "pca"}, 12),
    ],
    ids=["choices", "layers", "ranges"],
)
def test_a_finite_space_is_exhausted(keys: dict[str, Any], size: int) -> None:
    """All its configurations are suggested, each once, and then none."""
    space = _space(**keys)
    history = _searched(space, size + 8, batch=5)
    assert len(history) == len({configuration for configuration, _ in history}) == size
    assert _suggest(space, history, 3) == []
    assert len(_suggest(space, history[:-2], 3)) == 2


def test_a_point_that_is_always_suggested_is_not_suggested_again() -> None:
    """Where one value is best by far and known, others are tried; more of them than `MISSES`."""
    space = _space(hidden=["8"], init="pca", batch_size=list(range(1, 100)))
    history: History = [
        (c, abs(c.batch_size - 50.0))
        for c in make_configurations(space, input_size=INPUT_SIZE, code_sizes=[5])
        if 30 <= c.batch_size <= 70
    ]
    new = _suggest(space, history, MISSES + 5)
    assert len(set(new)) == MISSES + 5
    assert not set(new) & {configuration for configuration, _ in history}


def test_what_failed_is_avoided() -> None:
    """None is worse than any value: where all rates above 0.001 diverge, few suggestions are there."""
    space = _space(hidden=["8"], init="pca", learning_rate={"low": 1e-5, "high": 0.1})
    drawn = make_configurations(space, input_size=INPUT_SIZE, code_sizes=[5], num_samples=40, seed=1)
    history: History = [(c, None if c.learning_rate > 1e-3 else 1e6 + abs(log10(c.learning_rate) + 4)) for c in drawn]
    assert sum(c.learning_rate > 1e-3 for c in drawn) > 15
    assert sum(c.learning_rate > 1e-3 for c in _suggest(space, history, 20)) <= 3


def test_a_history_in_which_everything_failed() -> None:
    """The search goes on."""
    space = _space(**RANGES)
    assert len(_suggest(space, [(c, None) for c, _ in _searched(space, 16)], 8)) == 8


def test_what_the_space_no_longer_holds_is_not_learned_from() -> None:
    """Configurations of another space change nothing but the count: they are neither suggested nor estimated from."""
    space = _space(hidden=["8", "16"], learning_rate={"low": 1e-4, "high": 1e-2})
    inside = _searched(space, 16)
    others = _searched(_space(hidden=["9", "8"], learning_rate={"low": 0.02, "high": 0.1}), 16)
    deeper = _searched(_space(**RANGES), 16)
    expected = _suggest(space, [*inside, *others], 4)
    assert _suggest(space, [*inside, *deeper], 4) == expected
    assert all(c.layer_sizes[1] in (8, 16) and 1e-4 <= c.learning_rate <= 1e-2 for c in expected)


def test_it_beats_chance() -> None:
    """On a smooth loss over rate, batch size, depth and widths, it ends lower than a random search with each seed."""
    space = _space(**RANGES)
    ratios = []
    for seed in range(5):
        drawn = make_configurations(space, input_size=INPUT_SIZE, code_sizes=[5], num_samples=64, seed=seed)
        by_chance = min(_loss(configuration) for configuration in drawn)
        ratios.append(min(value for _, value in _searched(space, 64, seed=seed) if value) / by_chance)
    assert max(ratios) < 1
    assert np.mean(ratios) < 0.7


def test_schedules_have_their_length() -> None:
    """A schedule is as long as the batch size makes it."""
    space = _space(learning_rate_schedule="cosine", batch_size={"low": 8, "high": 64}, hidden="8")
    new = suggest(
        space, [], 6, seed=0, input_size=9, code_sizes=[3], schedule_epochs=lambda batch_size: 900 // batch_size
    )
    assert all(c.schedule_epochs == 900 // c.batch_size for c in new)


@pytest.mark.parametrize(
    "code_sizes", [[2, INPUT_SIZE], LogUniform[int](low=2, high=INPUT_SIZE)], ids=["list", "range"]
)
def test_a_code_that_compresses_nothing_is_refused(code_sizes: Any) -> None:
    """As by a grid: with both numbers and the setting."""
    with pytest.raises(UserError, match=rf"gives {INPUT_SIZE} and the data has {INPUT_SIZE}.*bottleneck\.code_sizes"):
        _suggest(_space(), [], 1, code_sizes=code_sizes)


def test_optuna_says_as_much_as_before() -> None:
    """How much Optuna tells those who use it themselves is as they have set it."""
    before = optuna.logging.get_verbosity()
    _searched(_space(), 16)
    assert optuna.logging.get_verbosity() == before


def test_without_optuna(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says what to install, and what works without."""
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(
        UserError, match=r"search\.algorithm = \"tpe\" needs .*pip install 'optuna.*\"random\""
    ) as caught:
        _suggest(_space(), [], 1)
    assert "\n" not in str(caught.value)
