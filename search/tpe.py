"""What a search has found so far -> the configurations to try next, by a tree-structured Parzen estimator."""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from math import inf
from typing import Any

import numpy as np

from ae_model.configuration import Configuration, default_learning_rate
from ae_model.errors import UserError
from search.identity import to_json
from search.settings import LogUniform, Range, SpaceSettings
from search.space import (
    Axis,
    check_code_sizes,
    default_hidden,
    make_configuration,
    make_configurations,
    other_axes,
    rounded,
)

STARTUP = 8
"""Where less is known, configurations are drawn: an estimate from fewer is a guess."""
MISSES = 20
"""After so many suggestions in a row that are known already, a configuration is drawn instead."""

Choose = Callable[[str, Axis], Any]
"""Picks from what a part of a configuration may be; the part has a name."""


def suggest(
    space: SpaceSettings,
    history: Sequence[tuple[Configuration, float | None]],
    n: int,
    *,
    seed: int,
    input_size: int,
    code_sizes: Sequence[int] | LogUniform[int],
    schedule_epochs: Callable[[int], int] | None = None,
) -> list[Configuration]:
    """The configurations to try next.

    Two densities over the space are estimated, one of the best tenth of what has been tried and one of the rest, and
    suggested is where the ratio of the two is largest (Bergstra et al. 2011, "Algorithms for hyper-parameter
    optimization"). Optuna does it, for all parts of a configuration together; the widths of layers that only deep
    configurations have are estimated from these. What is suggested and has no result yet counts among the rest, so
    that the suggestions of a round differ. Until `STARTUP` configurations are known, what is taken is near the defaults
    at first, and then what a random search with this seed begins with.

    Args:
        space: What may vary.
        history: What has been tried, in any order, with its validation MSE; None where it diverged or failed, which
            counts as worse than any. Only ranks matter: the logarithm gives the same.
        n: How many are wanted. There are fewer where a finite space has no more.
        seed: The seed of the search. The same space, history and seed give the same suggestions, to the bit.
        input_size: The number of features of the data.
        code_sizes: The code sizes, or their range, each less than `input_size`.
        schedule_epochs: As `make_configurations` takes it.

    Raises:
        UserError: If Optuna is not installed, or a code size does not fit the input size.
    """
    check_code_sizes(code_sizes, input_size)
    optuna = _optuna()

    def at(choose: Choose) -> Configuration:
        return _configuration(choose, space, input_size, code_sizes, schedule_epochs)

    known = {configuration for configuration, _ in history}

    def drawn() -> Iterator[Configuration]:
        yield at(_first_choice(input_size))
        # So many that there are enough new ones among them, whatever is known.
        yield from make_configurations(
            space,
            input_size=input_size,
            code_sizes=code_sizes,
            num_samples=len(known) + n,
            seed=seed,
            schedule_epochs=schedule_epochs,
        )

    spare = drawn()
    suggested: dict[Configuration, None] = {}  # in order
    misses = 0
    with _quiet(optuna):
        study = optuna.create_study(sampler=_sampler(optuna, seed, len(known)))
        study.add_trials(_trials(optuna, at, history))
        while len(suggested) < n:
            if len(known) < STARTUP or misses == MISSES:
                new = next((c for c in spare if c not in known and c not in suggested), None)
                if new is None:
                    break
            else:
                # One that is known stays in the study, as one without a result, and keeps the next away.
                new = at(_asked(study.ask()))
                if new in known or new in suggested:
                    misses += 1
                    continue
            suggested[new] = None
            misses = 0
    return list(suggested)


def _first_choice(input_size: int) -> Choose:
    """What is tried first: the defaults, or what is nearest to them in the space.

    That is the first value of each list, the default learning rate and batch size, and of hidden layers the widest, or
    one layer of 512: on most kinds of data width helps more than anything else (`benchmarks/README.md`). Of other
    ranges it is the middle.
    """
    usual = {"learning_rate": default_learning_rate(input_size), "batch_size": 64, "depth": 1, "width": 512}

    def choose(name: str, axis: Axis) -> Any:
        wanted = usual.get(name.split()[0])  # "width 2" is a width
        if isinstance(axis, Range):
            middle = (axis.low * axis.high) ** 0.5 if isinstance(axis, LogUniform) else (axis.low + axis.high) / 2
            value = rounded(wanted or middle)
            return min(max(round(value) if isinstance(axis.low, int) else value, axis.low), axis.high)
        if name == "hidden":
            return max(axis, key=sum)
        return axis[0] if wanted is None else min(axis, key=lambda value: abs(value - wanted))

    return choose


def _configuration(
    choose: Choose,
    space: SpaceSettings,
    input_size: int,
    code_sizes: Sequence[int] | LogUniform[int],
    schedule_epochs: Callable[[int], int] | None,
) -> Configuration:
    """Walk through the space: each part is chosen where those before it leave a choice."""
    code_size = choose("code_size", _each_once(code_sizes))
    if space.depth is not None and space.widths is not None:
        widths = _each_once(space.widths)
        layers = tuple(choose(f"width {i + 1}", widths) for i in range(choose("depth", _each_once(space.depth))))
        layers = tuple(sorted(layers, reverse=True)) if space.non_increasing else layers
    elif space.hidden is not None:
        layers = choose(
            "hidden", [tuple(map(int, text.split("-") if text else [])) for text in _each_once(space.hidden)]
        )
    else:
        layers = choose("hidden", default_hidden(code_size))
    return make_configuration(
        space,
        layer_sizes=(input_size, *layers, code_size),
        hidden_activation=choose("hidden_activation", _each_once(space.hidden_activation)) if layers else "linear",
        dropout=choose("dropout", _each_once(space.dropout)) if layers else 0.0,
        schedule_epochs=schedule_epochs,
        **{name: choose(name, axis) for name, axis in other_axes(space, input_size).items()},
    )


def _each_once(axis: Axis) -> Any:
    return axis if isinstance(axis, Range) else list(dict.fromkeys(axis))


def _asked(trial: Any) -> Choose:
    """What Optuna suggests for a trial."""

    def choose(name: str, axis: Axis) -> Any:
        if not isinstance(axis, Range):
            # By number, because layers are no values that Optuna takes.
            return axis[trial.suggest_categorical(name, list(range(len(axis)))) if len(axis) > 1 else 0]
        log = isinstance(axis, LogUniform)
        if isinstance(axis.low, int):
            return trial.suggest_int(name, axis.low, axis.high, log=log)
        value = rounded(trial.suggest_float(name, axis.low, axis.high, log=log))
        return min(max(value, axis.low), axis.high)

    return choose


def _trials(
    optuna: Any, at: Callable[[Choose], Configuration], history: Sequence[tuple[Configuration, float | None]]
) -> Iterator[Any]:
    """The history as Optuna takes it, the worst first, whatever its order was; without what is not in the space.

    Of more than 25, Optuna gives the first ones less weight, as they were the oldest. That the worst are these finds
    better configurations than another order does: what is bad is of more interest near what is good.
    """
    values = [(inf if value is None else value, to_json(configuration)) for configuration, value in history]
    for number in sorted(range(len(values)), key=values.__getitem__, reverse=True):
        configuration, (value, _) = history[number][0], values[number]
        parameters: dict[str, Any] = {}
        distributions: dict[str, Any] = {}
        try:
            if at(_told(optuna.distributions, configuration, parameters, distributions)) == configuration:
                yield optuna.trial.create_trial(params=parameters, distributions=distributions, value=value)
        except LookupError:  # of another space
            continue


def _told(
    kinds: Any, configuration: Configuration, parameters: dict[str, Any], distributions: dict[str, Any]
) -> Choose:
    """What a configuration has chosen, noted as Optuna's parameters; LookupError where that cannot be chosen."""
    layers = configuration.layer_sizes[1:-1]
    parts: Mapping[str, Any] = {
        **asdict(configuration),
        "code_size": configuration.code_size,
        "hidden": layers,
        "depth": len(layers),
        **{f"width {i}": width for i, width in enumerate(layers, 1)},
    }

    def choose(name: str, axis: Axis) -> Any:
        value = parts[name]
        if isinstance(axis, Range):
            if not axis.low <= value <= axis.high:
                raise LookupError(f"{name} {value}")
            kind = kinds.IntDistribution if isinstance(axis.low, int) else kinds.FloatDistribution
            distributions[name] = kind(axis.low, axis.high, log=isinstance(axis, LogUniform))
            parameters[name] = value
        elif value not in axis:
            raise LookupError(f"{name} {value}")
        elif len(axis) > 1:
            distributions[name] = kinds.CategoricalDistribution(list(range(len(axis))))
            parameters[name] = axis.index(value)
        return value

    return choose


def _sampler(optuna: Any, seed: int, n_known: int) -> Any:
    """Optuna's sampler, whose random numbers follow from the seed and from how much is known."""
    return optuna.samplers.TPESampler(
        n_startup_trials=0,  # those are taken before
        multivariate=True,
        group=True,  # without it, widths that not every configuration has would be chosen each by itself
        constant_liar=True,
        seed=int(np.random.SeedSequence((seed, n_known)).generate_state(1)[0]),
    )


def _optuna() -> Any:
    """Optuna, which not everybody has."""
    try:
        import optuna
    except ModuleNotFoundError as error:
        raise UserError(
            'search.algorithm = "tpe" needs the package optuna, which is not installed. '
            "Install it with: pip install 'optuna>=5,<6'. Or use search.algorithm = \"random\"."
        ) from error
    return optuna


@contextmanager
def _quiet(optuna: Any) -> Iterator[None]:
    """Without what Optuna says of new studies, and of `group`, which it calls experimental."""
    before = optuna.logging.get_verbosity()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            yield
        finally:
            optuna.logging.set_verbosity(before)
