"""Tables in files, .csv and .parquet -> `Samples`."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ae_model.columns import counting_notes, feature_columns, numbers_from_cells
from ae_model.csv_header import MISSING, has_header
from ae_model.errors import UserError
from ae_model.memory import require_memory
from ae_model.samples import Samples, checked_values, unreadable

if TYPE_CHECKING:
    import pyarrow

_ROW_NAMES = ("", "__index_level_0__")
"""What pandas calls its index, the first column of a .csv file and the last of a .parquet file."""


def read_csv(
    path: Path,
    label_column: str | None,
    features: Sequence[str] | None,
    header: bool | None,
    ignored: Sequence[str] = (),
) -> Samples:
    """A text file in UTF-8 with commas; the arguments are those of `read_samples`.

    Raises:
        UserError: If it cannot be read, or a feature holds anything but finite numbers.
    """
    import pyarrow
    from pyarrow import csv

    found, note = has_header(path, label_column, [*(features or ()), *ignored])
    try:
        table = csv.read_csv(
            path,
            # One thread, so that an error names its row.
            read_options=csv.ReadOptions(
                use_threads=False, autogenerate_column_names=not (found if header is None else header)
            ),
            convert_options=csv.ConvertOptions(null_values=MISSING, strings_can_be_null=True),
        )
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: the text must be UTF-8 ({error}). Convert it.") from error
    except (OSError, pyarrow.ArrowException) as error:
        raise unreadable(path, error) from error
    names = table.column_names
    repeated = [name for name in names if names.count(name) > 1]
    if repeated:
        raise UserError(
            f"{path}: column names must differ, but {repeated[0]!r} occurs more than once in the first line. Rename "
            "one; if that line holds values, put a line of names before it; if it is one of several such lines, keep "
            "one."
        )
    samples = _from_table(path, table, label_column, features, ignored)
    return samples if header is not None or note is None else replace(samples, notes=(note, *samples.notes))


def read_parquet(
    path: Path, label_column: str | None, features: Sequence[str] | None, ignored: Sequence[str] = ()
) -> Samples:
    """A Parquet file; the arguments are those of `read_samples`.

    Raises:
        UserError: If it cannot be read, or a feature holds anything but finite numbers.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            n_rows, schema = file.metadata.num_rows, file.schema_arrow
            require_memory(
                n_rows * sum(_row_bytes(kind) for kind in schema.types),
                str(path),
                f"{n_rows} rows of {len(schema.names)} columns",
                "Use fewer rows.",
            )
            table = file.read()
    except (OSError, pyarrow.ArrowException) as error:
        raise unreadable(path, error) from error
    return _from_table(path, table, label_column, features, ignored)


def _row_bytes(kind: "pyarrow.DataType") -> int:
    """What a row of such a column takes, at least: as Arrow has it, and as float32."""
    try:
        return int(kind.bit_width) // 8 + 4
    except ValueError:  # texts, lists: of any width
        return 4


def _from_table(
    path: Path,
    table: "pyarrow.Table",
    label_column: str | None,
    features: Sequence[str] | None,
    ignored: Sequence[str],
) -> Samples:
    columns, notes = table.column_names, []
    rows = row_names_column(columns, label_column)
    if rows is not None:
        notes.append(f"{path.name}: the column without a name is taken for the rows' names, not for a feature")
        columns = [name for name in columns if name != rows]
    names = feature_columns(str(path), columns, table.num_rows, label_column, features, ignored)
    _refuse_missing_anywhere(path, table.select(names))
    labels = None if label_column is None else _labels(path, label_column, table[label_column])
    values = np.stack([numbers_of(str(path), name, table[name]) for name in names], axis=1)
    if features is None:
        notes += counting_notes(path.name, names, values)
    return Samples(
        values=checked_values(values, str(path), names), labels=labels, feature_names=tuple(names), notes=tuple(notes)
    )


def _refuse_missing_anywhere(path: Path, table: "pyarrow.Table") -> None:
    """Check that every feature has a value in each row; the message says how many rows there are in which one has none.

    Raises:
        UserError: If not.
    """
    lacking = [name for name in table.column_names if table[name].null_count]
    if lacking:
        first, is_any = table[lacking[0]].is_null().to_numpy(), np.zeros(table.num_rows, bool)
        for name in lacking:
            is_any |= table[name].is_null().to_numpy()
        n_rows = is_any.sum()
        others = f", as in {n_rows} of {table.num_rows} rows" if n_rows > 1 else ""
        raise UserError(
            f"{path}: row {first.argmax()} (counted from 0), column {lacking[0]!r}: a value is missing{others}. "
            f"Fill or remove {'them' if others else 'it'}."
        )


def _labels(path: Path, name: str, column: "pyarrow.ChunkedArray") -> np.ndarray:
    import pyarrow

    if pyarrow.types.is_nested(column.type):
        raise UserError(
            f"{path}: label_column = {name!r} must hold one label in each row, but holds {column.type}. Name another.",
            argument="label_column",
        )
    return np.array(cells_of(str(path), column))


def row_names_column(columns: Sequence[str], label_column: str | None = None) -> str | None:
    """The column that holds the rows' names, if one at the edge is called as pandas calls its index."""
    found = [name for name in (*columns[:1], *columns[-1:]) if name in _ROW_NAMES and name != label_column]
    return found[0] if found and len(columns) > 1 else None


def numbers_of(place: str, name: str, column: "pyarrow.ChunkedArray", first_row: int = 0) -> np.ndarray:
    """The cells of a column as numbers.

    Args:
        place: What messages begin with.
        name: The column's name.
        column: Its cells.
        first_row: The number of its first row, where these are a part of all.

    Raises:
        UserError: If a cell is missing or no number; the message names its row, counted from 0.
    """
    import pyarrow

    kind = column.type
    if pyarrow.types.is_floating(kind) or pyarrow.types.is_integer(kind) or pyarrow.types.is_boolean(kind):
        refuse_missing(place, name, column, first_row)
        return np.asarray(column.to_pylist() if pyarrow.types.is_boolean(kind) else column.to_numpy())
    return numbers_from_cells(place, name, cells_of(place, column), first_row)


def refuse_missing(place: str, name: str, column: "pyarrow.ChunkedArray", first_row: int = 0) -> None:
    """Check that a column has a value in each row; the arguments are those of `numbers_of`.

    Raises:
        UserError: If one is missing; the message names its row, counted from 0.
    """
    if column.null_count:
        row = column.is_null().to_pylist().index(True)
        raise UserError(
            f"{place}: row {first_row + row} (counted from 0), column {name!r}: a value is missing. Fill or remove it."
        )


def cells_of(place: str, column: "pyarrow.ChunkedArray") -> list[Any]:
    """The cells of a column as Python's objects.

    Raises:
        UserError: If a cell cannot be one; the message begins with `place`.
    """
    try:
        cells: list[Any] = column.to_pylist()
    except (ValueError, OverflowError, LookupError) as error:  # text that is not UTF-8, impossible dates, ...
        raise unreadable(place, error) from error
    return cells
