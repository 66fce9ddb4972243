"""Columns with names, from a file or a DataFrame: which of them are features, and their cells as numbers."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ae_model.errors import UserError


def feature_columns(
    place: str, columns: Sequence[str], n_rows: int, label_column: str | None, features: Sequence[str] | None
) -> list[str]:
    """The columns that are features, in their order.

    Args:
        place: What the messages begin with.
        columns: The names of all columns.
        n_rows: The number of rows.
        label_column: The column that holds labels, if one does.
        features: The features, where they are known; all columns but the label column if None.

    Raises:
        UserError: If a name is missing, empty or repeated, or there is no feature or no row.
    """
    names = list(columns)
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise UserError(f"{place}: column names must differ, but {repeated[0]!r} occurs more than once. Rename one.")
    if label_column is not None:
        if label_column not in names:
            raise UserError(
                f"{place}: label_column = {label_column!r} must be a column, but the columns are {names}. Name one.",
                argument="label_column",
            )
        names.remove(label_column)
    if features is not None:
        missing = [name for name in features if name not in names]
        if missing:
            raise UserError(f"{place}: the column {missing[0]!r} is missing. The columns are {names}. Add it.")
        names = list(features)
    elif "" in names:
        raise UserError(
            f"{place}: every column must have a name, but that of column {names.index('')} (counted from 0) is empty. "
            "Name it."
        )
    if not names or n_rows == 0:
        raise UserError(
            f"{place}: must not be empty, but has {n_rows} rows and {len(names)} feature columns. Add some."
        )
    return names


def column_positions(place: str, columns: Sequence[str], n_rows: int, features: Sequence[str]) -> list[int]:
    """Where the features stand among the columns; there may be others.

    Raises:
        UserError: Where `feature_columns` raises it.
    """
    names = list(columns)
    if names == list(features):
        return list(range(len(names)))
    return [names.index(name) for name in feature_columns(place, names, n_rows, None, features)]


def numbers_from_cells(place: str, name: str, cells: Sequence[Any], first_row: int = 0) -> np.ndarray:
    """Cells of any kind as numbers, also where they are texts; `first_row` is the number of the first.

    Raises:
        UserError: If one is not a number; the message names row, counted from 0, and column.
    """
    for row, cell in enumerate(cells, first_row):
        if not is_number(cell):
            raise UserError(
                f"{place}: row {row} (counted from 0), column {name!r}: a value must be a number, but is {cell!r}. "
                "Fix it, leave the column out, make it the label_column, or, if it names categories, give each of "
                "them a column of 0 and 1 (pandas.get_dummies does).",
                argument="label_column",
            )
    return np.array([float(cell) for cell in cells])


def is_number(cell: Any) -> bool:
    """Whether a cell is a number, or a text that everybody reads as one."""
    try:
        float(cell)
    except (TypeError, ValueError):
        return False
    return "_" not in str(cell)  # Python reads 1_000 as a number, nobody else does
