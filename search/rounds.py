"""What is trained next: it follows from plan and ledger alone, so that a search goes on alike, whatever dies."""

from collections.abc import Mapping

from search.ledger import DIVERGED, FAILED, Standing
from search.lengths import Length


def next_round(lengths: Mapping[str, Length], standing: Mapping[str, Standing]) -> dict[str, int]:
    """The trials to train next, with the epoch that each is to reach; empty where nothing is left to do.

    A grid and a random search are plans of one round: every trial is to reach its last epoch. One that has reached it,
    has gone for too long without a gain, has diverged, or has failed in this run is not asked again.

    Args:
        lengths: How long each of the plan's trials is trained, in order.
        standing: How far each trial of the ledger is, with the epochs since its last gain.

    Example:
        >>> from search.ledger import Standing
        >>> standing = {"a": Standing(status="finished", epochs=100), "b": Standing(status="pending", epochs=0)}
        >>> next_round(dict.fromkeys("ab", Length(epochs=100, patience=None)), standing)
        {'b': 100}
        >>> next_round(dict.fromkeys("ab", Length(epochs=200, patience=None)), standing)
        {'a': 200, 'b': 200}
    """
    return {t: length.epochs for t, length in lengths.items() if not _is_done(standing[t], length)}


def _is_done(standing: Standing, length: Length) -> bool:
    stalled = length.patience is not None and standing.without_gain >= length.patience.epochs
    return standing.status in (DIVERGED, FAILED) or standing.epochs >= length.epochs or stalled
