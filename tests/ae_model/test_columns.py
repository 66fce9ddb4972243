"""ae_model.columns: what tables are told about their columns."""

from pathlib import Path
from types import EllipsisType
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ae_model import dataset_from_arrays
from ae_model.columns import counting_notes
from ae_model.readers import read_samples


@pytest.mark.parametrize(
    ("columns", "noted"),
    [
        ({"row": range(30)}, ["row"]),
        ({"time": np.linspace(9, 1, 30)}, ["time"]),
        ({"Unnamed: 0": [*range(29, 0, -2), *range(0, 30, 2)]}, ["Unnamed: 0"]),
        ({"customer_id": [*range(20, 30), *range(20)], "machineID": [*range(5, 30), *range(5)]}, ...),
        ({"customer_id": [1, *range(29)]}, []),
        ({"refractive_index": np.sin(np.arange(30))}, []),
        ({"grid": [*range(20, 30), *range(20)]}, []),
        ({"steps": [0, *range(29)]}, []),
        ({f"trend{i}": np.arange(30.0) * i for i in range(1, 5)}, []),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_column_that_counts_the_rows_is_noted(
    tmp_path: Path, columns: dict[str, Any], noted: list[str] | EllipsisType
) -> None:
    """It is a feature nevertheless: only its owner knows. A trend that goes through all columns is none."""
    expected = list(columns) if noted is ... else noted
    frame = pd.DataFrame({**columns, "x": [0.5, 0.25, 0.75] * 10})
    frame.to_csv(tmp_path / "x.csv", index=False)
    samples = read_samples(tmp_path / "x.csv")
    assert samples.feature_names == tuple(frame.columns)
    notes = [note for note in samples.notes if "ignore_columns" in note]
    assert len(notes) == bool(expected)
    for note in notes:
        assert f"ignore_columns={expected} leaves" in note
        assert note.startswith("x.csv: the column")
    assert list(dataset_from_arrays(frame, name="x.csv").notes) == notes
    assert not read_samples(tmp_path / "x.csv", features=list(frame.columns)).notes


def test_columns_of_unsigned_numbers_count_too() -> None:
    """Down as well: differences of such numbers wrap."""
    table = np.column_stack([np.arange(29, -1, -1, dtype=np.uint8), np.array([3, 9, 3] * 10, np.uint8)])
    assert len(counting_notes("x", ["down", "other"], table)) == 1
    assert not counting_notes("x", ["other", "another"], np.column_stack([table[:, 1] > 3, table[:, 1] > 5]))


def test_many_columns_are_not_listed(tmp_path: Path) -> None:
    """But those that are called like the one that is missing."""
    path = tmp_path / "x.csv"
    path.write_text(",".join(f"sensor{i}" for i in range(50)) + "\n" + ",".join(["1"] * 50))
    for wanted, shown in (("sensor7x", "the nearest: sensor7"), ("kind", "sensor0, sensor1, ..., sensor49")):
        with pytest.raises(ValueError, match=f"none of the 50 columns is called so .{shown}") as caught:
            read_samples(path, label_column=wanted)
        assert len(str(caught.value)) < 300
