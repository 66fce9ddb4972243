"""Rows, block by block, to a file: .npy, .csv or .parquet."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy_format

from ae_model.samples import Block

_GROUP_ROWS = 8192
"""Rows of a row group of a Parquet file, at least: each costs some bytes for every column."""


def write_npy(path: Path, blocks: Iterable[Block], n_columns: int) -> None:
    """Write values as one array `(n_rows, n_columns)` of float32, the bytes that `numpy.save` writes.

    Raises:
        OSError: If the file cannot be written.
    """
    n_rows = 0
    with path.open("wb") as file:
        _write_header(file, 0, n_columns)
        start = file.tell()
        for block in blocks:
            file.write(np.ascontiguousarray(block.values, np.float32).data)
            n_rows += len(block.values)
        file.seek(0)
        _write_header(file, n_rows, n_columns)  # NumPy leaves room for the number of rows to grow
        assert file.tell() == start


def _write_header(file: IO[bytes], n_rows: int, n_columns: int) -> None:
    header = {"descr": "<f4", "fortran_order": False, "shape": (n_rows, n_columns)}
    npy_format.write_array_header_1_0(file, header)


def write_csv(file: IO[bytes], blocks: Iterable[Block], columns: Sequence[str], names_are: str | None) -> None:
    """Write a table as text, with the shortest digits that are the same float32.

    Args:
        file: Where to; it stays open.
        blocks: The rows.
        columns: The names of their columns.
        names_are: What the first column is called, which holds the rows' names; None if they have none.

    Raises:
        OSError: If it cannot be written.
    """
    from pyarrow import csv as arrow_csv

    options = arrow_csv.WriteOptions(include_header=False)
    header: bytes | None = header_line([*([] if names_are is None else [names_are]), *columns])
    for block in blocks:
        if header is not None:  # not before the first block has been read: what is wrong with it comes first
            file.write(header)
            header = None
        arrow_csv.write_csv(_table(block, columns, names_are), file, options)


def header_line(names: Sequence[str]) -> bytes:
    """The first line of a CSV file."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(names)
    return line.getvalue().encode()


def write_names(path: Path, names: Iterable[Sequence[str]], names_are: str) -> None:
    """Write the names of rows as a table of one column, which `names_are` is the name of.

    Raises:
        OSError: If the file cannot be written.
    """
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([names_are])
        for some in names:
            writer.writerows([name] for name in some)


def write_parquet(path: Path, blocks: Iterable[Block], columns: Sequence[str], names_are: str | None) -> None:
    """Write a table as Parquet; the arguments are those of `write_csv`.

    Raises:
        OSError: If the file cannot be written.
    """
    import pyarrow
    from pyarrow import parquet

    fields = [] if names_are is None else [(names_are, pyarrow.string())]
    schema = pyarrow.schema([*fields, *((name, pyarrow.float32()) for name in columns)])
    with parquet.ParquetWriter(path, schema) as writer:
        waiting: list[pyarrow.Table] = []
        for block in blocks:
            waiting.append(_table(block, columns, names_are))
            if sum(map(len, waiting)) >= _GROUP_ROWS:
                writer.write_table(pyarrow.concat_tables(waiting))
                waiting = []
        if waiting:
            writer.write_table(pyarrow.concat_tables(waiting))


def _table(block: Block, columns: Sequence[str], names_are: str | None) -> "object":
    import pyarrow

    arrays = [pyarrow.array(np.ascontiguousarray(column)) for column in block.values.T]
    if names_are is None:
        return pyarrow.table(arrays, names=list(columns))
    return pyarrow.table([pyarrow.array(block.names, pyarrow.string()), *arrays], names=[names_are, *columns])
