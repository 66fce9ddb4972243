"""Samples with the labels of inliers: what a model of the usual is trained on, and tested on."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ae_model.errors import UserError
from ae_model.samples import Samples

_MAX_SHOWN = 10
"""So many labels are named."""


def only_inliers(samples: Samples, place: str, inlier_labels: Sequence[object]) -> Samples:
    """The samples, also of a test split, whose labels are among those given; numbers and texts of them are the same.

    Args:
        samples: All.
        place: What messages begin with.
        inlier_labels: The labels of those to take.

    Raises:
        UserError: If there are no labels, or one that is given does not occur.
    """
    if samples.labels is None:
        raise UserError(
            f"{place}: inlier_labels needs labels, but there are none. Name the label_column of a table, or leave it "
            "out.",
            argument="inlier_labels",
        )
    wanted, labels = [_text(label) for label in inlier_labels], _texts(samples.labels)
    known = set(labels.tolist())
    missing = [label for label in wanted if label not in known]
    if missing or not wanted:
        shown = ", ".join(map(repr, sorted(known)[:_MAX_SHOWN])) + ", ..." * (len(known) > _MAX_SHOWN)
        what = f"{missing[0]!r} does not occur" if missing else "it is empty"
        raise UserError(
            f"{place}: inlier_labels must be labels of the samples, but {what}. They are {shown}.",
            argument="inlier_labels",
        )
    kept = np.isin(labels, wanted)
    n_left_out = int((~kept).sum())
    test, test_labels = samples.test_values, samples.test_labels
    if test is not None and test_labels is not None:
        kept_test = np.isin(_texts(test_labels), wanted)
        n_left_out += int((~kept_test).sum())
        test, test_labels = test[kept_test], test_labels[kept_test]
    note = f"{n_left_out} samples with other labels than {', '.join(wanted)} are left out (data.inlier_labels)"
    return replace(
        samples,
        values=samples.values[kept],
        labels=samples.labels[kept],
        test_values=test,
        test_labels=test_labels,
        notes=(*samples.notes, note),
    )


def _texts(labels: np.ndarray) -> np.ndarray:
    return np.array([_text(label) for label in labels.tolist()])


def _text(label: object) -> str:
    """The same for 1, 1.0 and "1", which files hold for one another."""
    try:
        return f"{float(str(label)):g}"
    except ValueError:
        return str(label)
