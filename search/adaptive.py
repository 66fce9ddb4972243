"""Searches that make up their configurations as they go: rounds of what earlier rounds suggest."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ae_model.configuration import Configuration
from search.ledger import Outcome
from search.rounds import Lengths, Rounds, best_epoch, expected_mse
from search.smallest_code import next_sizes

Trials = Mapping[str, Configuration]
"""Configurations by trial id."""
Train = Callable[[Trials], Rounds]
"""The rounds in which new configurations are trained."""
History = Sequence[tuple[Configuration, float | None]]
"""What has been tried, with its validation MSE; None where there is none."""


def suggested(
    suggest: Callable[[History, int], Trials],
    train: Train,
    lengths: Lengths,
    *,
    num_samples: int | None,
    batch_trials: int,
) -> Rounds:
    """Batches of suggestions, each made from what all before it gave.

    A trial that was stopped counts with the error that was expected of it.

    Args:
        suggest: Configurations to try next, at most so many, by trial id; none where there are no more.
        train: How a batch is trained.
        lengths: How long each configuration is trained.
        num_samples: How many configurations are tried in all; as many as there are if None.
        batch_trials: How many are suggested at once.
    """
    history: list[tuple[Configuration, float | None]] = []
    outcomes: dict[str, Outcome] = {}
    while num_samples is None or len(history) < num_samples:
        n = batch_trials if num_samples is None else min(batch_trials, num_samples - len(history))
        new = suggest(history, n)
        if not new:
            break
        given = yield from train(new)
        outcomes |= given
        errors = {t: expected_mse(given[t], lengths(c)) for t, c in new.items()}
        history += [(c, errors[t] if np.isfinite(errors[t]) else None) for t, c in new.items()]
    return outcomes


def smallest_code_rounds(
    choices_at: Callable[[int], Trials],
    train: Train,
    *,
    targets: Sequence[float],
    high: int,
    guesses: Sequence[int],
) -> Rounds:
    """Every choice at the code sizes that `search.smallest_code` asks for, until each target has its answer.

    Args:
        choices_at: The configurations of a code size by trial id, one for each choice, always in the same order.
        train: How new configurations are trained.
        targets: The fractions of variance to be explained.
        high: The largest code size that comes into question.
        guesses: Where to begin, for each target.
    """
    outcomes: dict[str, Outcome] = {}
    sizes = {1}
    while True:
        measured = measured_choices(choices_at, {t: best_fve(o) for t, o in outcomes.items()}, sorted(sizes))
        wanted: dict[int, list[int]] = defaultdict(list)
        for choice, of_choice in enumerate(measured):
            for size in next_sizes(of_choice, targets, low=1, high=high, guesses=guesses):
                wanted[size].append(choice)
        if not wanted:
            return outcomes
        new = {
            t: c
            for size, choices in sorted(wanted.items())
            for number, (t, c) in enumerate(choices_at(size).items())
            if number in choices
        }
        outcomes |= yield from train(new)
        sizes |= set(wanted)


def measured_choices(
    choices_at: Callable[[int], Trials], fve: Mapping[str, np.ndarray], sizes: Sequence[int]
) -> list[dict[int, np.ndarray]]:
    """The FVE of each fold by choice and code size.

    Args:
        choices_at: As in `smallest_code_rounds`.
        fve: The FVE of each fold, by trial id.
        sizes: The code sizes that may have been measured.
    """
    measured: list[dict[int, np.ndarray]] = [{} for _ in choices_at(sizes[0])]
    for size in sizes:
        for of_choice, trial in zip(measured, choices_at(size), strict=True):
            if trial in fve:
                of_choice[size] = fve[trial]
    return measured


def best_fve(outcome: Outcome) -> np.ndarray:
    """The FVE of each fold at a trial's best epoch; NaN where it diverged or failed."""
    best = best_epoch(outcome)
    if best is None:
        return np.full(max(outcome.val_fve.shape[1], 1), np.nan)
    fve: np.ndarray = outcome.val_fve[best]
    return fve
