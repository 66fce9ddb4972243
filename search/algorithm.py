"""Plan -> the rounds of its search."""

from collections.abc import Callable, Mapping

from ae_model.configuration import Configuration
from ae_model.pca import pca_fve
from search.adaptive import History, Train, smallest_code_rounds, suggested
from search.plan import Plan
from search.rounds import Rounds, bounded, halving, one_round, repeated
from search.smallest_code import search_range
from search.space import make_configurations

REPEATS_PART = 0.25
"""The part of a budget, in time or epochs, that is kept for the repeats, where there are any."""


def make_rounds(plan: Plan) -> Rounds:
    """The rounds of a search, as the settings ask for them.

    Raises:
        UserError: If Optuna is needed and missing, when the first round is asked for.
    """
    search = plan.settings.search
    rounds = _searched(plan, _trained(plan))
    budget, n_repeats = search.max_fold_epochs, search.repeats - 1
    for_repeats = int(REPEATS_PART * budget) if budget is not None and n_repeats else 0
    if budget is not None:
        rounds = bounded(rounds, max_fold_epochs=budget - for_repeats, n_folds=search.n_splits)
    if n_repeats:
        max_epochs = None if budget is None else for_repeats // (n_repeats * search.n_splits)
        rounds = repeated(rounds, plan.length, search.repeat_top, max_epochs)
    return rounds


def choices_at(plan: Plan) -> Callable[[int], Mapping[str, Configuration]]:
    """The function that gives the configurations of a code size by trial id, always in the same order."""
    n_features = plan.dataset.development.shape[1]

    def choices(code_size: int) -> Mapping[str, Configuration]:
        return plan.named(
            make_configurations(
                plan.settings.space,
                input_size=n_features,
                code_sizes=[code_size],
                schedule_epochs=plan.schedule_epochs,
            )
        )

    return choices


def _trained(plan: Plan) -> Train:
    """How a set of configurations is trained: with pruning or without."""
    search = plan.settings.search
    if search.pruning == "none":
        return lambda trials: one_round(trials, plan.length)
    return lambda trials: halving(trials, plan.length, factor=search.reduction_factor, grace_period=search.grace_period)


def _searched(plan: Plan, train: Train) -> Rounds:
    """The rounds of an algorithm."""
    search, settings = plan.settings.search, plan.settings
    if search.algorithm == "smallest-code":
        assert search.target_fve is not None
        design = plan.design
        pca = pca_fve(plan.dataset.development, design.folds, design.value_range, scaling=design.scaling)
        high, guesses = search_range(pca, search.target_fve)
        if "pca" not in settings.space.init:  # then nothing says that PCA's size is enough
            high = len(pca) - 1
        return smallest_code_rounds(choices_at(plan), train, targets=search.target_fve, high=high, guesses=guesses)
    if search.algorithm == "tpe":

        def suggest(history: History, n: int) -> Mapping[str, Configuration]:
            from search.tpe import suggest as suggest_next  # with Optuna, which is an extra

            return plan.named(
                suggest_next(
                    settings.space,
                    history,
                    n,
                    seed=settings.seed,
                    input_size=plan.dataset.development.shape[1],
                    code_sizes=plan.code_sizes.searched,
                    schedule_epochs=plan.schedule_epochs,
                )
            )

        return suggested(suggest, train, plan.length, num_samples=search.num_samples, batch_trials=search.batch_trials)
    return train(plan.trials)
