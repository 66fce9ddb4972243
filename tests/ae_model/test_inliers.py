"""ae_model.inliers: only samples with the labels that were named."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ae_model import UserError, dataset_from_arrays, load_dataset


def test_digits_of_two_classes() -> None:
    """A named source: numbers and texts name the same labels, and both splits have only these."""
    dataset, same = (load_dataset("digits", inlier_labels=labels) for labels in ([3, 5], ["3", 5.0]))
    for labels in (dataset.development_labels, dataset.test_labels):
        assert labels is not None
        assert set(labels.tolist()) == {3, 5}
    everything = load_dataset("digits")
    assert everything.development_labels is not None
    assert everything.test_labels is not None
    n = np.isin(np.concatenate([everything.development_labels, everything.test_labels]), [3, 5]).sum()
    assert len(dataset.development) + len(dataset.test) == n
    assert dataset.fingerprint() == same.fingerprint()
    assert any("left out" in note for note in dataset.notes)


def test_a_table(tmp_path: Path) -> None:
    """Texts and truth values as labels; rows keep their order."""
    table = pd.DataFrame({"a": np.arange(20.0), "b": np.arange(20.0) ** 2, "is_odd": [i % 2 == 1 for i in range(20)]})
    table["kind"] = np.where(table["is_odd"], "wren", "finch")
    table.to_csv(tmp_path / "t.csv", index=False)
    for column, label in (("kind", "finch"), ("is_odd", False)):
        path = tmp_path / f"{column}.csv"
        table[["a", "b", column]].to_csv(path, index=False)
        dataset = load_dataset(path, label_column=column, inlier_labels=[label])
        assert sorted([*dataset.development[:, 0], *dataset.test[:, 0]]) == list(range(0, 20, 2))
        assert (np.diff(dataset.development[:, 0]) > 0).all()


def test_a_test_split_of_its_own() -> None:
    """What was split already is filtered on both sides."""
    x = np.arange(40.0).reshape(20, 2)
    dataset = dataset_from_arrays(
        x, test=x + 1, labels=np.arange(20) % 2, test_labels=np.arange(20) % 4, inlier_labels=[1]
    )
    assert (len(dataset.development), len(dataset.test)) == (10, 5)


def test_what_is_refused() -> None:
    """No labels, a label that does not occur, none at all."""
    x, labels = np.arange(40.0).reshape(20, 2), np.arange(20) % 2
    with pytest.raises(UserError, match="inlier_labels needs labels"):
        dataset_from_arrays(x, inlier_labels=[1])
    with pytest.raises(UserError, match=r"'7' does not occur\. They are '0', '1'"):
        dataset_from_arrays(x, labels=labels, inlier_labels=[1, 7])
    with pytest.raises(UserError, match="it is empty"):
        dataset_from_arrays(x, labels=labels, inlier_labels=[])
