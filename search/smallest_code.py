"""How small may the code be? A bisection over code sizes, on the cross-validated fraction of variance explained (FVE).

A choice is everything that a configuration has but its code size: hidden layers, start, learning rate. For each choice
by itself, every size that was measured stands in one of four levels by the folds' FVE: significantly below the target,
below it, at or above it, significantly above it. Three borders lie between them, and each is bisected:

* the smallest size that is not significantly below the target: smaller codes do not do;
* the smallest size whose mean reaches it: the answer;
* the smallest size that is significantly above it: larger codes are not needed.

Between the first and the last the folds cannot tell, and the FVE may rise and fall by chance. A wrong turn there
changes the answer within these ends, and never the ends, because only what is significant moves them. A narrow
interval is measured throughout, so that the answer in it is the smallest size that reaches the target and not just
where the bisection came out. That smaller codes explain less is taken for granted only beyond the ends.

Tests are one-sample t-tests over the folds, corrected as in `search.paired_test`, for one size at a time.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd
from jaxtyping import Float

from ae_model.configuration import Configuration
from search.paired_test import SIGNIFICANCE, corrected_p_value

MAX_MEASURED = 8
"""An interval of at most so many sizes is measured throughout: about the trials that finding its ends takes."""
BELOW, UNSURE_BELOW, UNSURE_ABOVE, ABOVE = range(4)
"""The levels; what is at least `UNSURE_ABOVE` reaches the target by its mean."""

_OF_HIDDEN = ("hidden_activation", "dropout")
"""What does nothing where there is no hidden layer."""

Measured = Mapping[int, Float[np.ndarray, " folds"]]
"""The FVE of each fold at a trial's best epoch, by code size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """How small the code may be so that the cross-validated FVE reaches a target."""

    target: float
    """The FVE to be reached, in (0, 1)."""
    size: int | None
    """The smallest size that was measured whose mean FVE reaches the target; None if none does."""
    low: int | None
    """The smallest size whose FVE is not significantly below the target; None if all sizes are."""
    high: int | None
    """The smallest size whose FVE is significantly above the target; None if none is. `low <= size <= high`."""
    largest: int
    """The largest size that was measured."""
    fve: float
    """The mean FVE at `size`; the highest of all if that is None, and NaN where no training came to an end."""


def level(fve: Float[np.ndarray, " folds"], target: float) -> int:
    """Where the folds' FVE stands to a target; training that diverged, with FVE that is not finite, is below it.

    Examples:
        >>> level(np.array([0.90, 0.91, 0.90, 0.91]), 0.95) == BELOW
        True
        >>> level(np.array([0.92, 0.99, 0.94, 0.98]), 0.95) == UNSURE_ABOVE
        True
    """
    differences = fve - target
    if not np.isfinite(differences).all():
        return BELOW
    sure = corrected_p_value(differences) <= SIGNIFICANCE
    if differences.mean() >= 0:
        return ABOVE if sure else UNSURE_ABOVE
    return BELOW if sure else UNSURE_BELOW


def next_sizes(
    measured: Measured, targets: Sequence[float], *, low: int, high: int, guesses: Sequence[int]
) -> list[int]:
    """The code sizes that a choice is to be measured at next, rising; empty when every target has its answer.

    A pure function: asked again with what it asked for, it goes on. With n sizes and one target it asks for at most
    `most_sizes(n)`; what several targets ask for is shared.

    Args:
        measured: What has been measured of this choice.
        targets: The FVE to reach, each in (0, 1).
        low: The smallest size that comes into question, >= 1.
        high: The largest, >= low.
        guesses: Where to begin, for each target.

    Examples:
        >>> truth = {size: 1 - 0.5**size + np.array([0.001, -0.001, 0.0]) for size in range(1, 65)}
        >>> measured = {}
        >>> while sizes := next_sizes(measured, [0.95], low=1, high=64, guesses=[9]):
        ...     print(sizes)
        ...     measured |= {size: truth[size] for size in sizes}
        [5, 9]
        [2]
        [3]
        [4]
        [6]
        >>> answer(measured, 0.95).size
        5
    """
    assert 1 <= low <= high, (low, high)
    within = {size: fve for size, fve in measured.items() if low <= size <= high}
    wanted: set[int] = set()
    for target, guess in zip(targets, guesses, strict=True):
        if within:
            wanted |= _next({size: level(fve, target) for size, fve in within.items()}, low, high)
        else:
            start = min(max(guess, low), high)
            wanted |= {start, (low + start) // 2}
    return sorted(wanted)


def most_sizes(n: int) -> int:
    """What `next_sizes` asks for at most, of n sizes and for one target, where the levels rise with the size.

    Two to begin with, a bisection for each of three borders, the answer's neighbours, and a narrow interval.
    """
    return min(n, 2 + 3 * int(np.ceil(np.log2(n + 1))) + 2 + MAX_MEASURED)


def _next(levels: Mapping[int, int], low: int, high: int) -> set[int]:
    brackets = [_bracket(levels, least, low, high) for least in (UNSURE_BELOW, UNSURE_ABOVE, ABOVE)]
    halves = {(below + above) // 2 for below, above in brackets if above - below > 1}
    if halves:
        return halves
    (_, first), (_, size), (_, last) = brackets
    wanted = {size - 1, size, size + 1}
    if last - first < MAX_MEASURED:
        wanted |= set(range(first, last + 1))
    return {size for size in wanted if low <= size <= high and size not in levels}


def _bracket(levels: Mapping[int, int], least: int, low: int, high: int) -> tuple[int, int]:
    """The smallest measured size of at least a level, `high + 1` if there is none, after the one measured before it."""
    above = min((size for size, reached in levels.items() if reached >= least), default=high + 1)
    return max((size for size in levels if size < above), default=low - 1), above


def answer(measured: Measured, target: float) -> Answer:
    """The answer to what has been measured of a choice, at least one size.

    The lower end is the smallest measured size that the folds do not place significantly below the target, the upper
    end the smallest that they place significantly above it.
    """
    levels = {size: level(fve, target) for size, fve in measured.items()}
    low, size, high = (
        min((size for size, reached in levels.items() if reached >= least), default=None)
        for least in (UNSURE_BELOW, UNSURE_ABOVE, ABOVE)
    )
    means = [float(fve.mean()) for fve in measured.values()]
    highest = max((mean for mean in means if np.isfinite(mean)), default=float("nan"))
    fve = highest if size is None else float(measured[size].mean())
    return Answer(target=target, size=size, low=low, high=high, largest=max(measured), fve=fve)


def overall(answers: Sequence[Answer]) -> Answer:
    """The answer of all choices together, to one target: the smallest code that any of them does with.

    Its ends are the smallest of theirs: a code is too small if it is so for every choice, and large enough if it is for
    one. Each choice is tested by itself, so with many choices the ends are a little low.
    """

    def smallest(values: Iterable[int | None]) -> int | None:
        return min((value for value in values if value is not None), default=None)

    size = smallest(a.size for a in answers)
    able = [a.fve for a in answers if a.size == size and np.isfinite(a.fve)]  # all of them, where there is no size
    return Answer(
        target=answers[0].target,
        size=size,
        low=smallest(a.low for a in answers),
        high=smallest(a.high for a in answers),
        largest=max(a.largest for a in answers),
        fve=max(able, default=float("nan")),
    )


def reaching(trials: pd.DataFrame, target: float) -> pd.DataFrame:
    """The trials whose mean FVE reaches a target, the winner first: the smallest code, then the lowest MSE.

    Args:
        trials: Rows of what `load_trials` returned.
        target: The FVE to reach.
    """
    return trials[trials["val_fve_mean"] >= target].sort_values(["code_size", "val_mse_mean", "number"])


def pca_size(pca: Float[np.ndarray, "sizes folds"], target: float) -> int | None:
    """The smallest number of components with which PCA's mean FVE reaches a target; None if it never does.

    Args:
        pca: What `ae_model.pca.pca_fve` returned.
        target: The FVE to reach.
    """
    (sizes,) = np.nonzero(pca.mean(axis=1) >= target)
    return int(sizes[0]) + 1 if len(sizes) else None


def search_range(pca: Float[np.ndarray, "sizes folds"], targets: Sequence[float]) -> tuple[int, list[int]]:
    """The largest code size that comes into question, and where to begin for each target.

    An autoencoder without hidden layers that starts at PCA is no worse than PCA, so no code need be larger than PCA's
    where that is significantly above the highest target; one more is that one's neighbour. A code is smaller than the
    number of features.

    Args:
        pca: What `ae_model.pca.pca_fve` returned, with a column of every fold.
        targets: The FVE to reach.
    """
    (enough,) = np.nonzero([level(fve, max(targets)) == ABOVE for fve in pca])
    high = max(min(int(enough[0]) + 2 if len(enough) else len(pca), len(pca) - 1), 1)
    return high, [min(pca_size(pca, target) or high, high) for target in targets]


def choice_labels(choices: Sequence[Sequence[Configuration]]) -> list[str]:
    """What to call each choice: its hidden layers, and what else tells it from the others.

    Args:
        choices: The configurations of each choice, one for each of its code sizes, at least one.

    Examples:
        >>> sizes = [(64, 512, 8), (64, 512, 9)], [(64, 8), (64, 9)]
        >>> choice_labels([[Configuration(layer_sizes=s) for s in choice] for choice in sizes])
        ['512', 'no hidden layer']
        >>> choice_labels([[Configuration(layer_sizes=(64, 8), init=init)] for init in ("pca", "random")])
        ['no hidden layer, pca start', 'no hidden layer, random start']
    """
    firsts = [configurations[0] for configurations in choices]
    deep = [c for c in firsts if c.hidden_depth]  # the others have no say in what concerns hidden layers
    names = [field.name for field in fields(Configuration) if field.name not in ("layer_sizes", "schedule_epochs")]
    varying = [name for name in names if len({getattr(c, name) for c in (deep if name in _OF_HIDDEN else firsts)}) > 1]
    labels = []
    for first, configurations in zip(firsts, choices, strict=True):
        parts = [_hidden_text([c.layer_sizes[1:-1] for c in configurations])]
        for name in varying:
            if first.hidden_depth or name not in _OF_HIDDEN:
                value = getattr(first, name)
                parts.append(f"{value} start" if name == "init" else f"{name.replace('_', ' ')} {value}")
        labels.append(", ".join(parts))
    return labels


def _hidden_text(hidden: Sequence[tuple[int, ...]]) -> str:
    """Widths as people write them: "128-64", or "64 to 112" where a width goes with the code size."""
    if not hidden[0]:
        return "no hidden layer"
    ends = [(min(widths), max(widths)) for widths in zip(*hidden, strict=True)]
    return "-".join(str(least) if least == most else f"{least} to {most}" for least, most in ends)
