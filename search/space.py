"""Settings -> the configurations of a search, in a fixed order and without duplicates."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise, product
from typing import Any

import numpy as np

from ae_model.configuration import Configuration, default_learning_rate
from ae_model.errors import UserError
from search.settings import LogUniform, Range, SpaceSettings

MAX_CONFIGURATIONS = 100_000
"""More than this is a mistake in the settings, not a search."""
Axis = Sequence[Any] | Range[Any]
"""What a part of a configuration may be: one of some values, each once, or anything in a range."""


def default_hidden(code_size: int) -> list[tuple[int, ...]]:
    """The hidden layers that are searched where the settings name none: no layer, a narrow and a wide one.

    Twice the code size is what training that starts at PCA needs for an exact start with ReLU units. Width beyond that
    helps more than depth does: `benchmarks/README.md` has the measurements.

    Examples:
        >>> default_hidden(28), default_hidden(154)
        ([(), (64,), (512,)], [(), (308,), (616,)])
    """
    return [(), (max(64, 2 * code_size),), (max(512, 4 * code_size),)]


def hidden_choices(space: SpaceSettings, code_size: int) -> list[tuple[int, ...]]:
    """The hidden layers that are searched with a code size, in the order of the settings, each once.

    Raises:
        UserError: If depth and widths have too many combinations.
    """
    if space.hidden is not None:
        choices = [tuple(int(width) for width in text.split("-") if width) for text in space.hidden]
    elif space.depth is None or space.widths is None:
        choices = default_hidden(code_size)
    else:
        assert isinstance(space.depth, list)
        assert isinstance(space.widths, list)
        n_combinations = sum(len(space.widths) ** depth for depth in space.depth)
        if n_combinations > MAX_CONFIGURATIONS:
            raise UserError(
                f"space.depth and space.widths have {n_combinations} combinations, but at most {MAX_CONFIGURATIONS} "
                "are possible. Use fewer widths or less depth."
            )
        choices = [
            hidden
            for depth in space.depth
            for hidden in product(space.widths, repeat=depth)
            if not space.non_increasing or all(a >= b for a, b in pairwise(hidden))
        ]
    return list(dict.fromkeys(choices))


def layers_vary_freely(space: SpaceSettings) -> bool:
    """Whether hidden layers are not listed, but drawn: depth or widths, or both, are a range."""
    return isinstance(space.depth, Range) or isinstance(space.widths, Range)


def check_code_sizes(code_sizes: Axis, input_size: int) -> None:
    """Check that every code compresses.

    Raises:
        UserError: If a code size is not less than the number of features.
    """
    largest = code_sizes.high if isinstance(code_sizes, Range) else max(code_sizes)
    if largest >= input_size:
        raise UserError(
            f"a code size must be less than the number of features, but bottleneck gives {largest} and the data "
            f"has {input_size}. Lower bottleneck.code_sizes or bottleneck.explained_variance."
        )


def other_axes(space: SpaceSettings, input_size: int) -> dict[str, Axis]:
    """What may vary beside layer sizes, hidden activation and dropout, by the names of `Configuration`."""
    axes: dict[str, Axis] = {
        "code_activation": space.code_activation,
        "init": space.init,
        "batch_size": space.batch_size,
        "learning_rate": space.learning_rate or [default_learning_rate(input_size)],
        "weight_decay": space.weight_decay,
        "learning_rate_schedule": space.learning_rate_schedule,
        "noise_std": space.noise_std,
        "mask_fraction": space.mask_fraction,
    }
    return {name: axis if isinstance(axis, Range) else list(dict.fromkeys(axis)) for name, axis in axes.items()}


def make_configuration(
    space: SpaceSettings,
    *,
    layer_sizes: tuple[int, ...],
    batch_size: int,
    learning_rate_schedule: str,
    schedule_epochs: Callable[[int], int] | None,
    **others: Any,
) -> Configuration:
    """The configuration of a point of the space.

    Args:
        space: What all points have in common.
        layer_sizes: The encoder's widths, input first, code last.
        batch_size: Samples per step.
        learning_rate_schedule: One of `SCHEDULE_NAMES`.
        schedule_epochs: As `make_configurations` takes it.
        others: Further fields of `Configuration`.
    """
    epochs = None
    if learning_rate_schedule != "constant":
        assert schedule_epochs is not None, "a schedule needs a length"
        epochs = schedule_epochs(batch_size)
    return Configuration(
        layer_sizes=layer_sizes,
        output_activation=space.output_activation or "linear",
        batch_size=batch_size,
        learning_rate_schedule=learning_rate_schedule,
        schedule_epochs=epochs,
        **others,
    )


def make_configurations(
    space: SpaceSettings,
    *,
    input_size: int,
    code_sizes: Sequence[int] | LogUniform[int],
    num_samples: int | None = None,
    seed: int = 0,
    schedule_epochs: Callable[[int], int] | None = None,
) -> list[Configuration]:
    """The configurations of a search.

    Args:
        space: What may vary.
        input_size: The number of features of the data.
        code_sizes: The code sizes, or their range, each less than `input_size`.
        num_samples: Draw this many at random, without duplicates, or all if there are no more; the grid if None, which
            a range has none of. A larger number begins with the same configurations.
        seed: The seed of the draw.
        schedule_epochs: Maps a batch size to the length of a schedule in epochs; needed where a learning rate follows
            another schedule than "constant".

    Raises:
        UserError: If a code size does not fit the input size, or there are too many configurations.
    """
    check_code_sizes(code_sizes, input_size)
    axes: dict[str, Axis] = {
        "hidden": _hidden_layers(space, code_sizes.low if isinstance(code_sizes, Range) else code_sizes[0]),
        "code_size": code_sizes if isinstance(code_sizes, Range) else list(dict.fromkeys(code_sizes)),
        **other_axes(space, input_size),
    }
    values = {name: [axis] if isinstance(axis, Range) else axis for name, axis in axes.items()}
    n_wanted = int(np.prod([len(axis) for axis in values.values()])) if num_samples is None else num_samples
    if n_wanted > MAX_CONFIGURATIONS:
        raise UserError(
            f"the search has {n_wanted} configurations, but at most {MAX_CONFIGURATIONS} are possible. "
            + (
                'Make the space smaller, or use search.algorithm = "random" with search.num_samples.'
                if num_samples is None
                else "Lower search.num_samples."
            )
        )
    points = product(*values.values()) if num_samples is None else _random_points(space, values, num_samples, seed)
    return [_at(space, input_size, schedule_epochs, **dict(zip(axes, point, strict=True))) for point in points]


_Hidden = tuple[tuple[int, ...] | int | None, str, float]
"""Hidden layers, or the number of a choice of `default_hidden`, or None where they are drawn; activation; dropout."""


def _hidden_layers(space: SpaceSettings, code_size: int) -> list[_Hidden]:
    """Choices of hidden layers with activation and dropout, which do nothing where there is no layer."""
    choices: list[tuple[tuple[int, ...] | int | None, bool]]
    if layers_vary_freely(space):
        choices = [(None, True)]
    else:
        by_code_size = space.hidden is None and space.depth is None
        choices = [
            (number if by_code_size else layers, bool(layers))
            for number, layers in enumerate(hidden_choices(space, code_size))
        ]
    return [
        (choice, activation, dropout)
        for choice, has_layers in choices
        for activation in (dict.fromkeys(space.hidden_activation) if has_layers else ["linear"])
        for dropout in (dict.fromkeys(space.dropout) if has_layers else [0.0])
    ]


def _at(
    space: SpaceSettings,
    input_size: int,
    schedule_epochs: Callable[[int], int] | None,
    *,
    hidden: _Hidden,
    code_size: int,
    **others: Any,
) -> Configuration:
    """The configuration of a point of the axes."""
    choice, hidden_activation, dropout = hidden
    assert choice is not None, "the layers are drawn"
    layers = default_hidden(code_size)[choice] if isinstance(choice, int) else choice
    return make_configuration(
        space,
        layer_sizes=(input_size, *layers, code_size),
        hidden_activation=hidden_activation,
        dropout=dropout,
        schedule_epochs=schedule_epochs,
        **others,
    )


def _random_points(
    space: SpaceSettings, axes: Mapping[str, Sequence[Any]], num_samples: int, seed: int
) -> Iterator[tuple[Any, ...]]:
    """Distinct random points of the space; one after the other, so that more points begin with the same ones.

    An axis with one value draws nothing from the generator, so that such a one changes no random search; ranges, which
    are such an axis here, are drawn after all lists.
    """
    generator = np.random.default_rng(seed)
    shape = [len(axis) for axis in axes.values()]
    has_range = layers_vary_freely(space) or any(isinstance(axis[0], Range) for axis in axes.values())
    seen: set[tuple[Any, ...]] = set()
    # A range of numbers hardly runs out of points; a finite space does.
    n_points = num_samples if has_range else min(num_samples, int(np.prod(shape)))
    for _ in range(1000 + 100 * n_points):  # ends where narrow ranges hold fewer points
        if len(seen) == n_points:
            return
        point = [axis[i] for axis, i in zip(axes.values(), generator.integers(shape), strict=True)]
        point = [_drawn(value, generator) if isinstance(value, Range) else value for value in point]
        choice, activation, dropout = point[0]
        if choice is None:
            layers = _drawn_layers(space, generator)
            point[0] = (layers, activation, dropout) if layers else (layers, "linear", 0.0)
        if tuple(point) not in seen:
            seen.add(tuple(point))
            yield tuple(point)


def _drawn_layers(space: SpaceSettings, generator: np.random.Generator) -> tuple[int, ...]:
    """Hidden layers of a random depth and random widths."""
    assert space.depth is not None
    assert space.widths is not None
    layers = [_one_of(space.widths, generator) for _ in range(_one_of(space.depth, generator))]
    return tuple(sorted(layers, reverse=True) if space.non_increasing else layers)


def _one_of(axis: Range[int] | list[int], generator: np.random.Generator) -> int:
    """A random number of a range or a list."""
    return int(_drawn(axis, generator) if isinstance(axis, Range) else generator.choice(list(dict.fromkeys(axis))))


def _drawn(axis: Range[Any], generator: np.random.Generator) -> Any:
    """A random number of a range: an integer between integers, otherwise four digits."""
    low, high = axis.low, axis.high
    if isinstance(low, int):
        if not isinstance(axis, LogUniform):
            return int(generator.integers(low, high, endpoint=True))
        # Each integer has its share of the logarithms, also the two at the ends.
        return min(max(round(np.exp(generator.uniform(np.log(low - 0.5), np.log(high + 0.5)))), low), high)
    assert isinstance(axis, LogUniform), "no range of other numbers is uniform"
    return min(max(rounded(np.exp(generator.uniform(np.log(low), np.log(high)))), low), high)


def rounded(value: float) -> float:
    """Four digits, which are enough, and stay readable in every table."""
    return float(f"{value:.4g}")
