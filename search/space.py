"""Settings -> the configurations of a search, in a fixed order and without duplicates."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise, product
from typing import Any

import numpy as np

from ae_model.configuration import Configuration
from ae_model.errors import UserError
from search.settings import LogUniform, SpaceSettings

MAX_CONFIGURATIONS = 100_000
"""More than this is a mistake in the settings, not a search."""


def default_hidden(code_size: int) -> list[tuple[int, ...]]:
    """The hidden layers that are searched where the settings name none: no layer, a narrow and a wide one.

    Twice the code size is what training that starts at PCA needs for an exact start with ReLU units. Width beyond that
    helps more than depth does: `benchmarks/README.md` has the measurements.

    Example:
        >>> default_hidden(28), default_hidden(154)
        ([(), (64,), (512,)], [(), (308,), (616,)])
    """
    return [(), (max(64, 2 * code_size),), (max(512, 4 * code_size),)]


def default_learning_rate(input_size: int) -> float:
    """The learning rate where the settings name none: 0.001, and less where there are more than 64 features.

    A step of Adam changes each weight by about the rate, and so a unit with many inputs by more: training that starts
    at PCA leaves it in the wrong direction where that is too much. By the root of the number of features the rate is
    near the best of those measured with 64 to 4,096 of them (`benchmarks/README.md`).

    Example:
        >>> default_learning_rate(13), default_learning_rate(784)
        (0.001, 0.00029)
    """
    return float(f"{1e-3 * min(1.0, (64 / input_size) ** 0.5):.2g}")


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


def make_configurations(
    space: SpaceSettings,
    *,
    input_size: int,
    code_sizes: Sequence[int],
    num_samples: int | None = None,
    seed: int = 0,
    schedule_epochs: Callable[[int], int] | None = None,
) -> list[Configuration]:
    """The configurations of a search.

    Args:
        space: What may vary.
        input_size: The number of features of the data.
        code_sizes: The code sizes, each less than `input_size`.
        num_samples: Draw this many at random, without duplicates, or all if there are no more; the grid if None. A
            larger number begins with the same configurations.
        seed: The seed of the draw.
        schedule_epochs: Maps a batch size to the length of a schedule in epochs; needed where a learning rate follows
            another schedule than "constant".

    Raises:
        UserError: If a code size does not fit the input size, or there are too many configurations.
    """
    for code_size in code_sizes:
        if code_size >= input_size:
            raise UserError(
                f"a code size must be less than the number of features, but bottleneck gives {code_size} and the data "
                f"has {input_size}. Lower bottleneck.code_sizes or bottleneck.explained_variance."
            )
    rates = space.learning_rate or [default_learning_rate(input_size)]
    hidden = {code_size: hidden_choices(space, code_size) for code_size in code_sizes}  # equally many for each
    # An axis with one value draws nothing from the generator, so that such a one changes no random search.
    axes: dict[str, Sequence[Any]] = {
        "hidden": _hidden_layers(space, hidden[code_sizes[0]]),
        "code_size": list(dict.fromkeys(code_sizes)),
        "code_activation": list(dict.fromkeys(space.code_activation)),
        "init": list(dict.fromkeys(space.init)),
        "batch_size": list(dict.fromkeys(space.batch_size)),
        "learning_rate": [rates] if isinstance(rates, LogUniform) else list(dict.fromkeys(rates)),
        "weight_decay": list(dict.fromkeys(space.weight_decay)),
        "learning_rate_schedule": list(dict.fromkeys(space.learning_rate_schedule)),
        "noise_std": list(dict.fromkeys(space.noise_std)),
        "mask_fraction": list(dict.fromkeys(space.mask_fraction)),
    }
    n_total = int(np.prod([len(axis) for axis in axes.values()]))
    n_wanted = n_total if num_samples is None else num_samples
    if n_wanted > MAX_CONFIGURATIONS:
        raise UserError(
            f"the search has {n_wanted} configurations, but at most {MAX_CONFIGURATIONS} are possible. "
            + (
                'Make the space smaller, or use search.algorithm = "random" with search.num_samples.'
                if num_samples is None
                else "Lower search.num_samples."
            )
        )
    points = product(*axes.values()) if num_samples is None else _random_points(axes, num_samples, seed)
    return [
        _configuration(space, input_size, hidden, schedule_epochs, **dict(zip(axes, point, strict=True)))
        for point in points
    ]


def _hidden_layers(space: SpaceSettings, choices: Sequence[tuple[int, ...]]) -> list[tuple[int, str, float]]:
    """Choices of hidden layers, by number, with activation and dropout, which do nothing where there is no layer."""
    return [
        (number, activation, dropout)
        for number, layers in enumerate(choices)
        for activation in (dict.fromkeys(space.hidden_activation) if layers else ["linear"])
        for dropout in (dict.fromkeys(space.dropout) if layers else [0.0])
    ]


def _configuration(
    space: SpaceSettings,
    input_size: int,
    choices: Mapping[int, Sequence[tuple[int, ...]]],
    schedule_epochs: Callable[[int], int] | None,
    *,
    hidden: tuple[int, str, float],
    code_size: int,
    batch_size: int,
    learning_rate_schedule: str,
    **others: Any,
) -> Configuration:
    """The configuration of a point of the space."""
    number, hidden_activation, dropout = hidden
    epochs = None
    if learning_rate_schedule != "constant":
        assert schedule_epochs is not None, "a schedule needs a length"
        epochs = schedule_epochs(batch_size)
    return Configuration(
        layer_sizes=(input_size, *choices[code_size][number], code_size),
        hidden_activation=hidden_activation,
        output_activation=space.output_activation,
        batch_size=batch_size,
        learning_rate_schedule=learning_rate_schedule,
        schedule_epochs=epochs,
        dropout=dropout,
        **others,
    )


def _random_points(axes: Mapping[str, Sequence[Any]], num_samples: int, seed: int) -> Iterator[tuple[Any, ...]]:
    """Distinct random points of the space; one after the other, so that more points begin with the same ones."""
    generator = np.random.default_rng(seed)
    rate_axis = list(axes).index("learning_rate")
    rates = axes["learning_rate"][0] if isinstance(axes["learning_rate"][0], LogUniform) else None
    shape = [len(axis) for axis in axes.values()]
    seen: set[tuple[Any, ...]] = set()
    # A range of learning rates never runs out of points; a finite space does.
    n_points = num_samples if rates else min(num_samples, int(np.prod(shape)))
    for _ in range(1000 + 100 * n_points):  # ends where a narrow range holds fewer numbers of four digits
        if len(seen) == n_points:
            return
        point = [axis[i] for axis, i in zip(axes.values(), generator.integers(shape), strict=True)]
        if rates:
            exponent = generator.uniform(np.log(rates.low), np.log(rates.high))
            rounded = float(f"{np.exp(exponent):.4g}")  # four digits are enough, and stay readable in every table
            point[rate_axis] = min(max(rounded, rates.low), rates.high)
        if tuple(point) not in seen:
            seen.add(tuple(point))
            yield tuple(point)
