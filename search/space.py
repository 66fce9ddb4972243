"""Settings -> the configurations of a search, in a fixed order and without duplicates."""

from collections.abc import Iterator, Sequence
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
) -> list[Configuration]:
    """The configurations of a search.

    Args:
        space: What may vary.
        input_size: The number of features of the data.
        code_sizes: The code sizes, each less than `input_size`.
        num_samples: Draw this many at random, without duplicates, or all if there are no more; the grid if None. A
            larger number begins with the same configurations.
        seed: The seed of the draw.

    Raises:
        UserError: If a code size does not fit the input size, or there are too many configurations.
    """
    for code_size in code_sizes:
        if code_size >= input_size:
            raise UserError(
                f"a code size must be less than the number of features, but bottleneck gives {code_size} and the data "
                f"has {input_size}. Lower bottleneck.code_sizes or bottleneck.explained_variance."
            )
    rates = space.learning_rate
    hidden = {code_size: hidden_choices(space, code_size) for code_size in code_sizes}  # equally many for each
    axes: list[Sequence[Any]] = [
        # Without a hidden layer its activation does nothing, so there is one choice.
        [
            (number, activation)
            for number, layers in enumerate(hidden[code_sizes[0]])
            for activation in (dict.fromkeys(space.hidden_activation) if layers else ["linear"])
        ],
        list(dict.fromkeys(code_sizes)),
        list(dict.fromkeys(space.code_activation)),
        list(dict.fromkeys(space.init)),
        list(dict.fromkeys(space.batch_size)),
        [rates] if isinstance(rates, LogUniform) else list(dict.fromkeys(rates)),
    ]
    n_total = int(np.prod([len(axis) for axis in axes]))
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
    points = product(*axes) if num_samples is None else _random_points(axes, num_samples, seed)
    return [
        Configuration(
            layer_sizes=(input_size, *hidden[code_size][number], code_size),
            hidden_activation=hidden_activation,
            code_activation=code_activation,
            output_activation=space.output_activation,
            learning_rate=learning_rate,
            batch_size=batch_size,
            init=init,
        )
        for (number, hidden_activation), code_size, code_activation, init, batch_size, learning_rate in points
    ]


def _random_points(axes: Sequence[Sequence[Any]], num_samples: int, seed: int) -> Iterator[tuple[Any, ...]]:
    """Distinct random points of the space; one after the other, so that more points begin with the same ones."""
    generator = np.random.default_rng(seed)
    rates = axes[-1][0] if isinstance(axes[-1][0], LogUniform) else None
    shape = [len(axis) for axis in axes]
    seen: set[tuple[Any, ...]] = set()
    # A range of learning rates never runs out of points; a finite space does.
    n_points = num_samples if rates else min(num_samples, int(np.prod(shape)))
    for _ in range(1000 + 100 * n_points):  # ends where a narrow range holds fewer numbers of four digits
        if len(seen) == n_points:
            return
        point = [axis[i] for axis, i in zip(axes, generator.integers(shape), strict=True)]
        if rates:
            exponent = generator.uniform(np.log(rates.low), np.log(rates.high))
            rounded = float(f"{np.exp(exponent):.4g}")  # four digits are enough, and stay readable in every table
            point[-1] = min(max(rounded, rates.low), rates.high)
        if tuple(point) not in seen:
            seen.add(tuple(point))
            yield tuple(point)
