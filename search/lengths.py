"""How long a configuration is trained at most: the settings' steps or epochs as epochs, for a batch size."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from ae_model.folds import Fold
from ae_model.patience import Patience
from search.settings import SearchSection

DEFAULT_STEPS = 2000
"""Training steps where the settings say nothing: many enough for a table of a hundred rows, whose epochs are short."""
PATIENCE_PART = 4
"""One part of so many of a length in steps may go by without a gain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Length:
    """How long a configuration is trained."""

    epochs: int
    """The last epoch, >= 1."""
    patience: Patience | None
    """How long it may go without a gain; for ever if None."""


def training_length(settings: SearchSection, folds: Sequence[Fold], batch_size: int) -> Length:
    """How long configurations with this batch size are trained.

    An epoch has as many steps as the largest training part has batches. Where `max_epochs` is given and `patience` is
    not, every one of these epochs is trained: then somebody has asked for them.

    Args:
        settings: What is asked for.
        folds: The folds of the cross-validation.
        batch_size: Samples per step.

    Examples:
        >>> from ae_model import make_folds
        >>> training_length(SearchSection(max_steps=1000), make_folds(100, 5, seed=0), batch_size=8)
        Length(epochs=100, patience=Patience(epochs=25, min_gain=0.001))
    """
    steps_per_epoch = ceil(max(len(fold.train) for fold in folds) / batch_size)
    in_steps = settings.max_steps if settings.max_steps or settings.max_epochs else DEFAULT_STEPS
    limits = [limit for limit in (in_steps and ceil(in_steps / steps_per_epoch), settings.max_epochs) if limit]
    epochs = min(limits)
    patience = settings.patience
    if patience is None and settings.max_epochs is None:
        patience = ceil(epochs / PATIENCE_PART)
    return Length(
        epochs=epochs,
        patience=None if patience is None else Patience(epochs=patience, min_gain=settings.min_gain),
    )
