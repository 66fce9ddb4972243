"""Tables -> how useful the winner's code is for predicting labels, and whether another trial's is more so, in words."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from search.ledger import FINISHED
from search.ledger_reader import read_probes, read_value
from search.paired_test import SIGNIFICANCE, corrected_p_values, p_value_text, standard_errors_of_means
from search.tables import configuration_labels

_KINDS = {"accuracy": "accuracy", "r2": "R2"}


@dataclass(frozen=True, slots=True, kw_only=True)
class MoreUseful:
    """A trial from whose code a linear probe predicts significantly better than from the winner's."""

    trial_id: str
    label: str
    score: float
    p_value: float
    """Two-sided, over the folds, times the number of trials that it was looked for among."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usefulness:
    """How well labels are predicted from the winner's code, in the mean over the folds."""

    kind: str
    """"accuracy" or "r2"."""
    score: float
    """By a linear probe, like all that follow but the nearest neighbours'."""
    score_se: float
    knn_score: float
    pca_score: float
    """From as many principal components."""
    features_score: float
    """From all features."""
    more_useful: MoreUseful | None


def usefulness(directory: str | Path, trials: pd.DataFrame, folds: pd.DataFrame, winner: str) -> Usefulness | None:
    """How useful a winner's code is.

    Args:
        directory: The search's directory.
        trials: What `load_trials` returned.
        folds: What `load_folds` returned.
        winner: The winner's `trial_id`.

    Returns:
        None where nothing was predicted: there are no labels, or the winner has not finished.
    """
    note = read_value(directory, "probe")
    first = folds[folds["repeat"] == 0]
    scores = first.pivot_table(index="trial_id", columns="fold", values="probe_score", dropna=False)
    scores = scores.dropna()
    if note is None or winner not in scores.index:
        return None
    row = trials[trials["trial_id"] == winner].iloc[0]
    own = scores.loc[winner].to_numpy(np.float64)
    columns, cells = read_probes(directory)
    probes = pd.DataFrame(cells, columns=columns)
    of_features = probes.loc[(probes["trial_id"] == "") & (probes["code_size"] == 0), "linear"]
    return Usefulness(
        kind=str(note["kind"]),
        score=float(own.mean()),
        score_se=float(standard_errors_of_means(own[np.newaxis])[0]),
        knn_score=float(row["probe_knn_score"]),
        pca_score=float(row["pca_probe_score"]),
        features_score=float(of_features.astype(float).mean()),
        more_useful=_more_useful(scores, trials, winner),
    )


def _more_useful(scores: pd.DataFrame, trials: pd.DataFrame, winner: str) -> MoreUseful | None:
    finished = trials[(trials["status"] == FINISHED) & trials["trial_id"].isin(scores.index)]
    labels = dict(zip(finished["trial_id"], configuration_labels(finished), strict=True))
    others = scores.loc[[trial for trial in labels if trial != winner]]
    if others.empty:
        return None
    best = str(others.mean(axis=1).idxmax())
    difference = others.loc[best].to_numpy(np.float64) - scores.loc[winner].to_numpy(np.float64)
    p_value = min(1.0, len(others) * float(corrected_p_values(difference[np.newaxis])[0]))
    if not (difference.mean() > 0 and p_value <= SIGNIFICANCE):
        return None
    return MoreUseful(
        trial_id=best, label=labels[best], score=float(others.loc[best].to_numpy(np.float64).mean()), p_value=p_value
    )


def usefulness_lines(found: Usefulness) -> Iterator[str]:
    """What is known, in one or two sentences without a full stop, each of which may be broken at its line breaks."""
    yield (
        f"labels from the code: {_KINDS.get(found.kind, found.kind)} {found.score:.3f} ± {found.score_se:.3f} by a "
        f"linear probe, {found.knn_score:.3f} by neighbours\n"
        f"(a linear probe has {found.pca_score:.3f} on PCA's code, {found.features_score:.3f} on all features)"
    )
    other = found.more_useful
    if other is not None:
        yield (
            f"a linear probe has more on the code of {other.label} ({other.trial_id}):\n"
            f"{other.score:.3f} ({p_value_text(other.p_value)}); the rule 'best-probe' chooses by that"
        )
