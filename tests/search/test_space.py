"""search.space: the configurations of a search against a slow obvious enumeration."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ae_model import Configuration
from search.settings import LogUniform, SpaceSettings
from search.settings_files import parse_settings
from search.space import MAX_CONFIGURATIONS, default_hidden, hidden_choices, make_configurations

INPUT_SIZE = 50


def _space(**keys: Any) -> SpaceSettings:
    """The space section of checked settings; "random" so that a range of learning rates is allowed."""
    return parse_settings(
        {"space": {"init": "random", **keys}, "search": {"algorithm": "random", "num_samples": 1}}
    ).space


def _schedule_epochs(batch_size: int) -> int:
    return 1000 // batch_size


def _slow_grid(space: SpaceSettings, hidden: list[tuple[int, ...]], code_sizes: list[int]) -> set[Configuration]:
    """Every combination, by nested loops."""
    found = set()
    assert isinstance(space.learning_rate, list)
    for widths in hidden:
        for code_size in code_sizes:
            for hidden_activation in space.hidden_activation:
                for code_activation in space.code_activation:
                    for batch_size in space.batch_size:
                        for learning_rate in space.learning_rate:
                            found |= {
                                Configuration(
                                    layer_sizes=(INPUT_SIZE, *widths, code_size),
                                    # without a hidden layer there is nothing to choose
                                    hidden_activation=hidden_activation if widths else "linear",
                                    code_activation=code_activation,
                                    output_activation=space.output_activation or "linear",
                                    learning_rate=learning_rate,
                                    batch_size=batch_size,
                                    init=init,
                                    weight_decay=weight_decay,
                                    learning_rate_schedule=schedule,
                                    schedule_epochs=None if schedule == "constant" else _schedule_epochs(batch_size),
                                    dropout=dropout if widths else 0.0,
                                    noise_std=noise_std,
                                    mask_fraction=mask_fraction,
                                )
                                for init in space.init
                                for weight_decay in space.weight_decay
                                for schedule in space.learning_rate_schedule
                                for dropout in space.dropout
                                for noise_std in space.noise_std
                                for mask_fraction in space.mask_fraction
                            }
    return found


_hidden_lists = st.lists(st.lists(st.integers(1, 9), max_size=3).map(tuple), min_size=1, max_size=5)
_activations = st.lists(st.sampled_from(["relu", "linear", "tanh"]), min_size=1, max_size=4)
_spaces = st.fixed_dictionaries(
    {
        "hidden_activation": _activations,
        "code_activation": _activations,
        "init": st.lists(st.sampled_from(["random", "pca"]), min_size=1, max_size=3),
        "learning_rate": st.lists(st.sampled_from([1e-3, 1e-2, 0.1]), min_size=1, max_size=4),
        "batch_size": st.lists(st.sampled_from([16, 32]), min_size=1, max_size=3),
    },
    optional={
        "weight_decay": st.lists(st.sampled_from([0.0, 0.01]), min_size=1, max_size=3),
        "learning_rate_schedule": st.lists(st.sampled_from(["constant", "one-cycle"]), min_size=1, max_size=3),
        "dropout": st.lists(st.sampled_from([0.0, 0.5]), min_size=1, max_size=3),
        "noise_std": st.lists(st.sampled_from([0.0, 0.1]), min_size=1, max_size=2),
        "mask_fraction": st.sampled_from([0.0, 0.3]),
    },
)
_code_sizes = st.lists(st.integers(1, INPUT_SIZE - 1), min_size=1, max_size=3)


def _texts(hidden: list[tuple[int, ...]]) -> list[str]:
    return ["-".join(map(str, widths)) for widths in hidden]


@given(hidden=_hidden_lists, keys=_spaces, code_sizes=_code_sizes)
def test_the_grid_is_every_combination_once(
    hidden: list[tuple[int, ...]], keys: dict[str, Any], code_sizes: list[int]
) -> None:
    """The grid equals nested loops over the lists, holds nothing twice, and repeats in order."""
    space = _space(hidden=_texts(hidden), **keys)
    grid, again = (
        make_configurations(space, input_size=INPUT_SIZE, code_sizes=code_sizes, schedule_epochs=_schedule_epochs)
        for _ in range(2)
    )
    assert len(grid) == len(set(grid))
    assert set(grid) == _slow_grid(space, hidden, code_sizes)
    assert grid == again


@given(
    depth=st.lists(st.integers(0, 3), min_size=1, max_size=4),
    widths=st.lists(st.integers(1, 60), min_size=1, max_size=4),
    non_increasing=st.booleans(),
    code_sizes=_code_sizes,
)
def test_depth_and_widths(depth: list[int], widths: list[int], non_increasing: bool, code_sizes: list[int]) -> None:
    """Depth and widths give every sequence of widths of each depth; with non_increasing, those that never grow."""
    space = _space(depth=depth, widths=widths, non_increasing=non_increasing)
    expected: set[tuple[int, ...]] = set()
    for d in depth:
        sequences: list[tuple[int, ...]] = [()]
        for _ in range(d):
            sequences = [(*sequence, width) for sequence in sequences for width in widths]
        for sequence in sequences:
            if not non_increasing or list(sequence) == sorted(sequence, reverse=True):
                expected.add(sequence)
    choices = hidden_choices(space, 8)
    assert len(choices) == len(set(choices))
    assert set(choices) == expected
    for configuration in make_configurations(space, input_size=INPUT_SIZE, code_sizes=code_sizes):
        sizes = configuration.layer_sizes
        assert sizes[0] == INPUT_SIZE
        assert sizes[-1] in code_sizes
        assert sizes[1:-1] in expected
        assert all(isinstance(size, int) and size >= 1 for size in sizes)
        assert not non_increasing or all(a >= b for a, b in pairwise(sizes[1:-1]))


def test_an_explicit_list_keeps_its_order() -> None:
    """No hidden layer, one and two: in the order of the settings, repetitions left out."""
    space = _space(hidden=["", "2500", "1000-500", "2500"], code_activation=["linear"])
    grid = make_configurations(space, input_size=784, code_sizes=[154])
    assert [c.layer_sizes for c in grid] == [(784, 154), (784, 2500, 154), (784, 1000, 500, 154)]
    assert [c.text for c in grid] == ["784-154", "784-2500-154", "784-1000-500-154"]


def test_a_shallow_autoencoder_has_no_hidden_activation_to_choose() -> None:
    """Three hidden activations make three trials of a deep configuration, but one of a shallow one."""
    space = _space(hidden=["", "8"], hidden_activation=["relu", "tanh", "elu"], code_activation=["linear"])
    grid = make_configurations(space, input_size=INPUT_SIZE, code_sizes=[3])
    assert [(len(c.layer_sizes), c.hidden_activation) for c in grid] == [
        (2, "linear"),
        (3, "relu"),
        (3, "tanh"),
        (3, "elu"),
    ]


@given(hidden=_hidden_lists, keys=_spaces, code_sizes=_code_sizes, seed=st.integers(0, 2**32 - 1), n=st.integers(1, 12))
def test_a_random_draw_is_a_seeded_part_of_the_grid(
    hidden: list[tuple[int, ...]], keys: dict[str, Any], code_sizes: list[int], seed: int, n: int
) -> None:
    """A draw repeats with its seed, holds nothing twice, lies in the grid, and begins every larger draw."""
    space = _space(hidden=_texts(hidden), **keys)

    def draw(num_samples: int) -> list[Configuration]:
        return make_configurations(
            space,
            input_size=INPUT_SIZE,
            code_sizes=code_sizes,
            num_samples=num_samples,
            seed=seed,
            schedule_epochs=_schedule_epochs,
        )

    grid = make_configurations(space, input_size=INPUT_SIZE, code_sizes=code_sizes, schedule_epochs=_schedule_epochs)
    some = draw(n)
    assert some == draw(n)
    assert len(some) == len(set(some)) == min(n, len(grid))
    assert set(some) <= set(grid)
    assert draw(n + 5)[: len(some)] == some
    assert set(draw(len(grid) + 1)) == set(grid), "a finite space is exhausted"


def test_a_large_finite_space_is_exhausted_too() -> None:
    """Also the last of 2000 points is found."""
    space = _space(depth=[3], widths=list(range(1, 11)), code_activation=["relu", "linear"])
    grid = make_configurations(space, input_size=INPUT_SIZE, code_sizes=[2])
    drawn = make_configurations(space, input_size=INPUT_SIZE, code_sizes=[2], num_samples=2000, seed=1)
    assert len(grid) == 2000
    assert set(drawn) == set(grid)
    assert drawn != grid, "but not in the grid's order"


@pytest.mark.parametrize(
    ("learning_rate", "expected"),
    [
        (
            {"low": 1e-4, "high": 1e-2},
            [((3,), 0.0001141), ((16, 8, 5), 0.0001383), ((8, 3), 0.000547), ((16, 8, 3), 0.0003553)],
        ),
        ([0.1, 0.01, 0.001], [((3,), 0.01), ((16, 8, 3), 0.001), ((8, 3), 0.001), ((16, 8, 5), 0.01)]),
    ],
    ids=["range", "values"],
)
@pytest.mark.parametrize("options", [{}, {"weight_decay": 0.1, "noise_std": 0.2, "dropout": 0.3}], ids=str)
def test_draws_are_those_of_every_version(
    learning_rate: object, expected: list[tuple[tuple[int, ...], float]], options: dict[str, float]
) -> None:
    """A draw that changes with a version would train everything again: these are pinned.

    An axis of the space with one value changes nothing.
    """
    space = _space(
        hidden=["", "8", "16-8"],
        hidden_activation=["relu", "tanh"],
        code_activation=["relu", "linear"],
        init=["random", "pca"],
        batch_size=[16, 32],
        learning_rate=learning_rate,
        **options,
    )
    drawn = make_configurations(space, input_size=INPUT_SIZE, code_sizes=[3, 5, 7], num_samples=4, seed=11)
    assert [(c.layer_sizes[1:], c.learning_rate) for c in drawn] == expected
    assert all(
        (c.weight_decay, c.noise_std) == (options.get("weight_decay", 0), options.get("noise_std", 0)) for c in drawn
    )


def test_a_shallow_autoencoder_has_no_dropout_to_choose() -> None:
    """Three strengths make three trials of a deep configuration, but one of a shallow one; 0 and 0.0 are one."""
    space = _space(hidden=["", "8"], code_activation=["linear"], dropout=[0, 0.0, 0.2, 0.5])
    grid = make_configurations(space, input_size=INPUT_SIZE, code_sizes=[3])
    assert [(len(c.layer_sizes), c.dropout) for c in grid] == [(2, 0.0), (3, 0.0), (3, 0.2), (3, 0.5)]


def test_another_seed_draws_others() -> None:
    """Two seeds give different configurations of a large space."""
    space = _space(depth=[3], widths=list(range(1, 11)))
    draws = [
        make_configurations(space, input_size=INPUT_SIZE, code_sizes=[2], num_samples=10, seed=seed) for seed in (0, 1)
    ]
    assert draws[0] != draws[1]


@given(low=st.floats(1e-8, 9.9), width=st.floats(1e-7, 3), seed=st.integers(0, 2**32 - 1))
def test_random_learning_rates_stay_in_their_range(low: float, width: float, seed: int) -> None:
    """No rate leaves [low, high], however near the two lie, and none is drawn twice."""
    high = min(low * (1 + width), 10.0)
    space = _space(hidden=["8"], code_activation=["linear"], learning_rate={"low": low, "high": high})
    drawn = make_configurations(space, input_size=INPUT_SIZE, code_sizes=[2], num_samples=6, seed=seed)
    rates = [configuration.learning_rate for configuration in drawn]
    assert 1 <= len(set(rates)) == len(rates) <= 6
    assert low <= min(rates)
    assert max(rates) <= high


def test_a_range_is_log_uniform() -> None:
    """Of many draws from [1e-4, 1e-1], each decade holds a third, and the logarithms' quartiles are in place."""
    space = _space(hidden=["8"], code_activation=["linear"], learning_rate={"low": 1e-4, "high": 1e-1})
    drawn = make_configurations(space, input_size=INPUT_SIZE, code_sizes=[2], num_samples=3000, seed=0)
    logarithms = np.log10([configuration.learning_rate for configuration in drawn])
    assert len(drawn) == 3000
    np.testing.assert_allclose(np.quantile(logarithms, [0.25, 0.5, 0.75]), [-3.25, -2.5, -1.75], atol=0.1)


def test_draws_from_ranges() -> None:
    """Depths are uniform, widths, batch sizes, code sizes and decays are log-uniform, and both ends are drawn."""
    space = _space(
        depth={"low": 0, "high": 3},
        widths={"low": 2, "high": 8},
        hidden_activation=["relu", "tanh"],
        dropout=[0.0, 0.5],
        batch_size={"low": 4, "high": 256},
        weight_decay={"low": 1e-4, "high": 1.0},
    )
    drawn = make_configurations(
        space, input_size=INPUT_SIZE, code_sizes=LogUniform[int](low=1, high=3), num_samples=4000, seed=0
    )
    assert len(set(drawn)) == 4000
    depths = np.bincount([c.hidden_depth for c in drawn]) / 4000
    np.testing.assert_allclose(depths, 0.25, atol=0.03)
    widths = np.bincount([width for c in drawn for width in c.layer_sizes[1:-1]])
    edges = np.log(np.arange(1.5, 9))
    np.testing.assert_allclose(widths[2:] / widths.sum(), np.diff(edges) / (edges[-1] - edges[0]), atol=0.02)
    sizes = np.bincount([c.code_size for c in drawn])
    np.testing.assert_allclose(sizes[1:] / 4000, np.log([3, 5 / 3, 7 / 5]) / np.log(7), atol=0.03)
    batches = np.array([c.batch_size for c in drawn])
    assert (batches.min(), batches.max()) == (4, 256)
    np.testing.assert_allclose(np.quantile(np.log2(batches), [0.25, 0.5, 0.75]), [3.5, 5, 6.5], atol=0.2)
    decays = [c.weight_decay for c in drawn]
    assert all(decay == float(f"{decay:.4g}") for decay in decays)
    np.testing.assert_allclose(np.quantile(np.log10(decays), [0.25, 0.5, 0.75]), [-3, -2, -1], atol=0.1)
    assert {(c.hidden_activation, c.dropout) for c in drawn if not c.hidden_depth} == {("linear", 0.0)}
    assert len({(c.hidden_activation, c.dropout) for c in drawn if c.hidden_depth}) == 4


@pytest.mark.parametrize(
    ("depth", "widths"),
    [([1, 3], {"low": 4, "high": 99}), ({"low": 1, "high": 3}, [4, 8, 8, 16])],
    ids=["widths", "depth"],
)
def test_draws_where_only_depth_or_widths_are_a_range(depth: object, widths: object) -> None:
    """The other is taken from its list; with non_increasing no layer is wider than the one before it."""
    space = _space(depth=depth, widths=widths, non_increasing=True, learning_rate={"low": 1e-4, "high": 1e-2})
    drawn = make_configurations(space, input_size=INPUT_SIZE, code_sizes=[2], num_samples=50, seed=1)
    hidden = [c.layer_sizes[1:-1] for c in drawn]
    assert {len(layers) for layers in hidden} == ({1, 3} if depth == [1, 3] else {1, 2, 3})
    assert all(a >= b for layers in hidden for a, b in pairwise(layers))
    assert all(4 <= width <= 99 for layers in hidden for width in layers)
    assert depth == [1, 3] or {width for layers in hidden for width in layers} == {4, 8, 16}


def test_more_draws_from_ranges_begin_with_the_same() -> None:
    """A larger number of samples goes on where a smaller one ended."""
    space = _space(depth={"low": 0, "high": 3}, widths={"low": 4, "high": 99}, batch_size={"low": 4, "high": 256})

    def draw(n: int) -> list[Configuration]:
        sizes = LogUniform[int](low=2, high=30)
        return make_configurations(space, input_size=INPUT_SIZE, code_sizes=sizes, num_samples=n, seed=5)

    assert draw(20)[:7] == draw(7)


def test_default_layers_follow_the_code_size_that_is_drawn() -> None:
    """Each configuration has one of the default layers of its own code size, and all three come up."""
    drawn = make_configurations(
        _space(), input_size=1000, code_sizes=LogUniform[int](low=10, high=900), num_samples=60, seed=0
    )
    choices = [default_hidden(c.code_size).index(c.layer_sizes[1:-1]) for c in drawn]
    assert set(choices) == {0, 1, 2}
    assert len({c.code_size for c in drawn}) > 30


def test_a_narrow_range_ends() -> None:
    """A range that holds one number of four digits gives one configuration rather than an endless search."""
    space = _space(hidden=["8"], code_activation=["linear"], learning_rate={"low": 1.0001e-3, "high": 1.0002e-3})
    assert len(make_configurations(space, input_size=INPUT_SIZE, code_sizes=[2], num_samples=5)) <= 2


@pytest.mark.parametrize("num_samples", [None, 3])
@pytest.mark.parametrize("code_size", [INPUT_SIZE, INPUT_SIZE + 1])
def test_a_code_that_compresses_nothing_is_refused(code_size: int, num_samples: int | None) -> None:
    """A code size of at least the input size is refused with both numbers and the settings that gave it."""
    words = rf"gives {code_size} and the data has {INPUT_SIZE}.*bottleneck\.code_sizes"
    with pytest.raises(ValueError, match=words):
        make_configurations(_space(), input_size=INPUT_SIZE, code_sizes=[2, code_size], num_samples=num_samples)
    sizes = LogUniform[int](low=2, high=code_size)
    with pytest.raises(ValueError, match=words):
        make_configurations(_space(), input_size=INPUT_SIZE, code_sizes=sizes, num_samples=3)


def test_too_many_combinations_are_refused() -> None:
    """Refused with their number and the limit, before any is made: by depth, by product, and by num_samples."""
    deep = _space(depth=[10], widths=list(range(1, 100)))
    with pytest.raises(ValueError, match=rf"space\.depth and space\.widths have {99**10} .*{MAX_CONFIGURATIONS}"):
        make_configurations(deep, input_size=INPUT_SIZE, code_sizes=[2])
    wide = _space(depth=[2], widths=list(range(1, 301)), init=["pca", "random"])  # 90000 hidden layers, two starts
    with pytest.raises(ValueError, match=rf"180000 configurations.*{MAX_CONFIGURATIONS}.*random"):
        make_configurations(wide, input_size=INPUT_SIZE, code_sizes=[2])
    endless = _space(learning_rate={"low": 1e-4, "high": 1e-2})
    with pytest.raises(ValueError, match=rf"{MAX_CONFIGURATIONS + 1} configurations"):
        make_configurations(endless, input_size=INPUT_SIZE, code_sizes=[2], num_samples=MAX_CONFIGURATIONS + 1)
