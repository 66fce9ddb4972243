"""Which rows of the development set train and which validate, and the scaling that each fold fits."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, Num

from ae_model.errors import UserError
from ae_model.scaling import Scaling, fit_scaling


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fold:
    """The row numbers of one fold's two parts of the development set."""

    train: Int[np.ndarray, " train"]
    validation: Int[np.ndarray, " validation"]


def make_folds(n_samples: int, n_splits: int, seed: int) -> list[Fold]:
    """Shuffled folds whose sizes differ by at most one row (scikit-learn's KFold).

    Raises:
        UserError: If there are fewer than 2 folds, or more folds than samples.

    Examples:
        >>> [len(fold.validation) for fold in make_folds(12, 5, seed=0)]
        [3, 3, 2, 2, 2]
    """
    if not 2 <= n_splits <= n_samples:
        raise UserError(
            f'"2 <= n_splits <= n_samples" must hold, but got n_splits={n_splits}, n_samples={n_samples}. '
            "Change n_splits or use more samples.",
            argument="n_splits",
        )
    from sklearn.model_selection import KFold  # takes a second to import, and Ray's workers are given their folds

    splitter = KFold(n_splits, shuffle=True, random_state=seed)
    return [Fold(train=train, validation=validation) for train, validation in splitter.split(np.empty((n_samples, 1)))]


def fold_scalings(
    values: Num[np.ndarray, "samples features"],
    folds: Sequence[Fold],
    value_range: tuple[float, float] | None,
    scaling: str = "range",
) -> list[Scaling]:
    """Each fold's scaling of a kind, fitted on its training rows alone; one and the same object where it is fixed.

    It is fixed for "range" with a `value_range`, and for "none"; the kinds are those of `fit_scaling`.
    """
    if scaling == "none" or (scaling == "range" and value_range is not None):
        return [fit_scaling(values[:1], value_range, scaling)] * len(folds)
    return [fit_scaling(values[fold.train], scaling=scaling) for fold in folds]
