"""Plan -> the rounds of its search."""

from collections.abc import Callable

from search.plan import Plan
from search.rounds import Rounds, bounded, halving, one_round, repeated


def make_rounds(plan: Plan) -> Rounds:
    """The rounds of a search, as the settings ask for them."""
    search = plan.settings.search
    rounds = _pruned(plan)(plan.trials)
    if search.repeats > 1:
        rounds = repeated(rounds, plan.length, search.repeat_top)
    if search.max_fold_epochs is not None:
        rounds = bounded(
            rounds, max_fold_epochs=search.max_fold_epochs, n_folds=search.n_splits, repeats=search.repeats
        )
    return rounds


def _pruned(plan: Plan) -> Callable[..., Rounds]:
    """How a set of configurations is trained: with pruning or without."""
    search = plan.settings.search
    if search.pruning == "none":
        return lambda configurations: one_round(configurations, plan.length)
    return lambda configurations: halving(
        configurations, plan.length, factor=search.reduction_factor, grace_period=search.grace_period
    )
