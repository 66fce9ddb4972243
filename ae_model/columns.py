"""Columns with names, from a file or a DataFrame: which of them are features, and their cells as numbers."""

import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np

from ae_model.errors import UserError

_ID_NAMES = re.compile(r"(?i:(^|[ _.-])(id|ids|index|idx|key|uid|timestamp)$)|(?<=[a-z])I[dD]$|^Unnamed: 0$")
_FEW, _MANY = 3, 20
"""Of more columns than this, all of them rising, the first is no counter; fewer rows rise by chance."""
_SHOWN = 12
"""So many names are listed in a message."""


def feature_columns(
    place: str,
    columns: Sequence[str],
    n_rows: int,
    label_column: str | None,
    features: Sequence[str] | None,
    ignored: Sequence[str] = (),
) -> list[str]:
    """The columns that are features, in their order.

    Args:
        place: What the messages begin with.
        columns: The names of all columns.
        n_rows: The number of rows.
        label_column: The column that holds labels, if one does.
        features: The features, where they are known; all columns but the label column and those ignored if None.
        ignored: Columns that are neither; of no effect where the features are known.

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
                f"{place}: label_column = {label_column!r} must be a column, but {_listed(names, label_column)}. Name "
                "one.",
                argument="label_column",
            )
        if label_column in ignored:
            raise UserError(
                f"{place}: label_column = {label_column!r} is one of the ignore_columns too. Leave it out of one.",
                argument="label_column",
            )
        names.remove(label_column)
    if features is None:
        for name in ignored:
            if name not in names:
                there = _listed(names, name)
                raise UserError(f"{place}: ignore_columns: {name!r} must be a column, but {there}. Fix the name.")
        names = [name for name in names if name not in ignored]
        if "" in names:
            raise UserError(
                f"{place}: every column must have a name, but that of column {names.index('')} (counted from 0) is "
                "empty. Name it."
            )
    else:
        missing = [name for name in features if name not in names]
        if missing:
            there = _listed(names, missing[0])
            raise UserError(f"{place}: the column {missing[0]!r} is missing. {there[0].upper()}{there[1:]}. Add it.")
        names = list(features)
    if not names or n_rows == 0:
        raise UserError(
            f"{place}: must not be empty, but has {n_rows} rows and {len(names)} feature columns. Add some."
        )
    return names


def _listed(names: Sequence[str], wanted: str) -> str:
    """What columns there are, in words; of many, those that are called like the one that was wanted."""
    if len(names) <= _SHOWN:
        return f"the columns are {list(names)}"
    close = get_close_matches(wanted, names)
    shown = f"the nearest: {', '.join(close)}" if close else f"{names[0]}, {names[1]}, ..., {names[-1]}"
    return f"none of the {len(names)} columns is called so ({shown})"


def counting_notes(place: str, names: Sequence[str], values: np.ndarray) -> list[str]:
    """A note for each feature that looks like a number or name of its row, such as an id or a time.

    Args:
        place: What notes begin with.
        names: The features.
        values: Their values `(n_rows, n_features)`, in the order of the rows.
    """
    if len(values) < _MANY:
        return []
    head = np.flatnonzero(_rises(values[:_MANY]) | _rises(values[:_MANY][::-1]))  # few are left of many
    rising = _rises(values[:, head]) | _rises(values[::-1, head])
    counting = {int(column) for column in head[rising]}
    if len(counting) > _FEW:  # a trend, which goes through everything
        counting = set()
    called = {column for column, name in enumerate(names) if _ID_NAMES.search(name)} - counting
    counting |= {column for column in called if _are_names(values[:, column])}
    found = [names[column] for column in sorted(counting)]
    if not found or len(found) == len(names):
        return []
    one = len(found) == 1
    these = f"the column {found[0]!r} has" if one else f"the columns {', '.join(map(repr, found))} have"
    return [
        f"{place}: {these} another value in each row, as ids, row numbers and times have, and "
        f"{'is taken for a feature' if one else 'are taken for features'}; ignore_columns={found} leaves "
        f"{'it' if one else 'them'} out"
    ]


def _are_names(values: np.ndarray) -> bool:
    """Whether each is another whole number."""
    return bool(np.all(values == np.floor(values))) and len(np.unique(values)) == len(values)


def _rises(values: np.ndarray) -> np.ndarray:
    """Whether each column is greater in each row than in the one before."""
    return np.asarray((values[1:] > values[:-1]).all(axis=0))


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
                f"Fix it, leave the column out with ignore_columns=[{name!r}], make it the label_column, or, if it "
                "names categories, give each of them a column of 0 and 1 (pandas.get_dummies does).",
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
