"""How useful codes are: how well simple models predict labels from them, for rows that no model has seen.

The codes of different folds' models have nothing in common, so everything is done within a fold: a probe is fitted on
the codes of rows that the fold's model was trained on, and predicts the labels of its validation rows. A linear probe
(Alain and Bengio, Understanding intermediate layers using linear classifier probes, 2016) says what can be read off the
code, nearest neighbours what is close to each other in it.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from numbers import Number
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from threadpoolctl import threadpool_limits

from ae_model.folds import Fold

MAX_ROWS = 2000
"""A fold's probe is fitted on so many rows at most, and predicts as many: enough to compare codes, and quick."""
N_NEIGHBORS = 5
MIN_ROWS_PER_CLASS = 10
"""Whole numbers that occur so often on average are names of classes; fewer of each are quantities."""

Kind = Literal["accuracy", "r2"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ProbeScores:
    """How well labels are predicted in each fold: accuracy, in [0, 1], or R2, at most 1; NaN where nothing could be."""

    linear: Float[np.ndarray, " n_splits"]
    nearest: Float[np.ndarray, " n_splits"]
    """By the nearest neighbours."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Probed:
    """How useful the codes of a configuration are at its best epoch."""

    epoch: int
    scores: ProbeScores


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Probe:
    """What is predicted, and which rows of each fold take part."""

    kind: Kind
    target: np.ndarray
    """`(n_samples,)`: the numbers of classes, or quantities; of rows without a label anything."""
    rows: Sequence[tuple[np.ndarray, np.ndarray]]
    """Of each fold the rows that the probe is fitted on, and those that it predicts; all of them have labels."""


def make_probe(labels: np.ndarray | None, folds: Sequence[Fold], seed: int) -> Probe | None:
    """The probe for labels.

    Texts and truth values are classes, and so are whole numbers that occur at least `MIN_ROWS_PER_CLASS` times on
    average; other numbers are quantities. Rows without a label (None, NaN, an empty text) take no part.

    Args:
        labels: Labels `(n_samples,)` of the samples, of any type; None if there are none.
        folds: The folds of the cross-validation.
        seed: The seed by which rows are drawn where there are more than `MAX_ROWS`.

    Returns:
        None if there are no labels, or all are the same.
    """
    if labels is None:
        return None
    cells = np.asarray(labels)
    is_there = np.array([_is_there(cell) for cell in cells], bool)
    there = cells[is_there]
    quantities = _quantities(there)
    classes, numbers = np.unique(there.astype(str), return_inverse=True)
    if len(classes) < 2:
        return None
    target = np.zeros(len(cells), np.int64 if quantities is None else np.float64)
    target[is_there] = numbers if quantities is None else quantities
    rows = []
    for number, fold in enumerate(folds):
        rng = np.random.default_rng([seed, number])
        train, validation = (_some(part[is_there[part]], rng) for part in (fold.train, fold.validation))
        rows.append((train, validation))
    return Probe(kind="accuracy" if quantities is None else "r2", target=target, rows=rows)


def probe_scores(probe: Probe, features: Callable[[int, np.ndarray], np.ndarray]) -> ProbeScores:
    """How well a probe does on features of samples.

    Args:
        probe: What `make_probe` returned.
        features: Given the number of a fold and numbers of rows, the features `(rows, size)` that the fold's model
            makes of these.
    """
    scores = [fold_scores(probe, k, partial(features, k)) for k in range(len(probe.rows))]
    linear, nearest = np.array(scores).reshape(-1, 2).T
    return ProbeScores(linear=linear, nearest=nearest)


def fold_scores(probe: Probe, fold: int, features: Callable[[np.ndarray], np.ndarray]) -> tuple[float, float]:
    """The scores of one fold, linear and by nearest neighbours.

    Args:
        probe: What `make_probe` returned.
        fold: The number of the fold.
        features: Given numbers of rows, their features.
    """
    # They take a second to import, which commands that predict nothing need not wait for.
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.metrics import accuracy_score, r2_score
    from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    train, validation = probe.rows[fold]
    y, y_validation = probe.target[train], probe.target[validation]
    least = 1 if probe.kind == "accuracy" else 2
    if len(y) < 2 or len(y_validation) < least or np.ptp(y) == 0:
        return np.nan, np.nan
    x, x_validation = (np.asarray(features(rows), np.float64) for rows in (train, validation))
    if not (np.isfinite(x).all() and np.isfinite(x_validation).all()):
        return np.nan, np.nan
    n_neighbors = min(N_NEIGHBORS, len(y))
    linear: Any
    nearest: Any
    if probe.kind == "accuracy":
        linear, nearest = LogisticRegression(max_iter=100), KNeighborsClassifier(n_neighbors, algorithm="brute")
        score = accuracy_score
    else:
        linear, nearest = Ridge(), KNeighborsRegressor(n_neighbors, algorithm="brute")
        score = r2_score
    with warnings.catch_warnings(), threadpool_limits(1):  # several threads take many times as long on a busy machine
        warnings.simplefilter("ignore", ConvergenceWarning)  # what a hundred steps give is a linear probe too
        # Near is near in the code's own units: to standardise PCA's code would make noise as loud as the rest.
        models = make_pipeline(StandardScaler(), linear), nearest
        scores = [float(score(y_validation, model.fit(x, y).predict(x_validation))) for model in models]
    return scores[0], scores[1]


def _is_there(cell: Any) -> bool:
    """Whether a label is one: not None, NaN, pandas' NA or an empty text."""
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        return False
    try:
        return bool(cell == cell)  # NaN is not
    except TypeError:  # NA has no truth
        return False


def _quantities(labels: np.ndarray) -> np.ndarray | None:
    """Labels as numbers; None if they are classes."""
    if labels.dtype == bool or not all(isinstance(cell, Number) and not isinstance(cell, bool) for cell in labels):
        return None
    values = labels.astype(np.float64)
    is_whole = bool((values == np.round(values)).all())
    return None if is_whole and len(values) >= MIN_ROWS_PER_CLASS * len(np.unique(values)) else values


def _some(rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """At most `MAX_ROWS` of the rows, in their order."""
    if len(rows) <= MAX_ROWS:
        return rows
    return np.sort(rng.choice(rows, MAX_ROWS, replace=False))
