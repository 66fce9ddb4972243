"""What is trained next: it follows from plan and ledger alone, so that a search goes on alike, whatever dies."""

from collections.abc import Iterable, Mapping

from search.ledger import DIVERGED, FAILED, Standing


def next_round(trials: Iterable[str], standing: Mapping[str, Standing], *, max_epochs: int) -> dict[str, int]:
    """The trials to train next, with the epoch that each is to reach; empty where nothing is left to do.

    A grid and a random search are plans of one round: every trial is to reach the last epoch. One that has reached it,
    has diverged, or has failed in this run is not asked again.

    Args:
        trials: The plan's trial ids, in order.
        standing: How far each trial of the ledger is.
        max_epochs: The last epoch, >= 1.

    Example:
        >>> from search.ledger import Standing
        >>> standing = {"a": Standing(status="finished", epochs=100), "b": Standing(status="pending", epochs=0)}
        >>> next_round(["a", "b"], standing, max_epochs=100)
        {'b': 100}
        >>> next_round(["a", "b"], standing, max_epochs=200)
        {'a': 200, 'b': 200}
    """
    return {
        trial_id: max_epochs
        for trial_id in trials
        if standing[trial_id].status not in (DIVERGED, FAILED) and standing[trial_id].epochs < max_epochs
    }
