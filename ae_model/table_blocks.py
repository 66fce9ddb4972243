"""Tables, .csv and .parquet, block by block."""

import csv as text_csv
import io
import itertools
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal

import numpy as np

from ae_model.columns import feature_columns, numbers_from_cells
from ae_model.csv_header import HEAD_LINES, MISSING, header_in
from ae_model.errors import UserError
from ae_model.samples import Block, SampleBlocks, checked_values, unreadable
from ae_model.table_files import cells_of, numbers_of, refuse_missing, row_names_column

if TYPE_CHECKING:
    import pyarrow

_NAMES = ("file", "row")
"""What the column is called that the project writes names of rows into; it is the first."""
_BYTES = 2**22
"""How much of a text is parsed at a time."""
_PAGE_BYTES = 2**16
"""How much of each column of a Parquet file is read at a time."""


def csv_blocks(source: Path | IO[bytes], features: Sequence[str] | None, n_rows: int) -> SampleBlocks:
    """A text in UTF-8 with commas, in parts of `n_rows` rows.

    Whether its first line is a header is decided as by `ae_model.csv_header.has_header`. Names of the rows are in a
    column without a name at the edge, which is pandas' index, or in a first column `file` or `row` that is no feature.

    Args:
        source: A file, or standard input, which stays open.
        features: Columns to take, in this order; all but the rows' names if None.
        n_rows: Rows of a block.

    Raises:
        UserError: If it cannot be read; of rows that do not hold finite numbers, when they are read.
    """
    place, file_name = (str(source), source.name) if isinstance(source, Path) else ("standard input", "standard input")
    try:
        with _opened(source) as file:
            head = b"".join(itertools.islice(file, HEAD_LINES))
        lines = list(io.StringIO(head.decode("utf-8-sig"), newline=""))
        cells, has_header, note = header_in(lines, place, file_name, features or ())
    except UnicodeDecodeError as error:
        raise _not_utf8(place, error) from error
    except (OSError, text_csv.Error) as error:
        raise unreadable(place, error) from error
    columns = cells if has_header else [f"f{number}" for number in range(len(cells))]
    kind, names, wanted = _parts(place, columns, 1, features)
    tables = _of_csv(source, head, place, [*wanted, *names], n_rows, has_header=has_header)
    return SampleBlocks(
        blocks=_blocks(tables, place, wanted, names),
        n_samples=None,
        names_are=kind,
        notes=() if note is None else (note,),
    )


def _opened(source: Path | IO[bytes]) -> AbstractContextManager[IO[bytes]]:
    return source.open("rb") if isinstance(source, Path) else nullcontext(source)


def parquet_blocks(path: Path, features: Sequence[str] | None, n_rows: int) -> SampleBlocks:
    """A Parquet file in parts of `n_rows` rows; the rows' names are found as in `csv_blocks`.

    Raises:
        UserError: As of `csv_blocks`.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            n_samples, columns = file.metadata.num_rows, file.schema_arrow.names
    except (OSError, pyarrow.ArrowException) as error:
        raise unreadable(path, error) from error
    kind, names, wanted = _parts(str(path), columns, n_samples, features)
    tables = _of_parquet(path, [*wanted, *names], n_rows)
    return SampleBlocks(blocks=_blocks(tables, str(path), wanted, names), n_samples=n_samples, names_are=kind)


def _parts(
    place: str, columns: Sequence[str], n_rows: int, features: Sequence[str] | None
) -> tuple[Literal["file", "row"] | None, list[str], list[str]]:
    """What the rows' names are, the column that holds them, if one does, and the features."""
    kind: Literal["file", "row"] | None = None
    name = row_names_column(columns)
    if name is not None:
        kind = "row"
    elif len(columns) > 1 and columns[0] in _NAMES and columns[0] not in (features or ()):
        name = columns[0]
        kind = "file" if name == "file" else "row"
    # Of two columns without a name one is left, which is refused.
    rest = list(columns)
    if name is not None:
        rest.remove(name)
    return kind, [] if name is None else [name], feature_columns(place, rest, n_rows, None, features)


def _of_csv(
    source: Path | IO[bytes], head: bytes, place: str, columns: list[str], n_rows: int, *, has_header: bool
) -> Iterator["pyarrow.Table"]:
    """The rows as texts: what a column holds cannot be told from its first rows."""
    import pyarrow
    from pyarrow import csv

    try:
        with _opened(source) as file:
            text = file if isinstance(source, Path) else io.BufferedReader(_Joined(head, file))
            reader = csv.open_csv(
                pyarrow.PythonFile(text, mode="r"),
                # One thread, so that an error names its row.
                read_options=csv.ReadOptions(
                    use_threads=False, block_size=_BYTES, autogenerate_column_names=not has_header
                ),
                convert_options=csv.ConvertOptions(
                    null_values=MISSING,
                    strings_can_be_null=True,
                    include_columns=columns,
                    column_types=dict.fromkeys(columns, pyarrow.string()),
                ),
            )
            yield from _regrouped(reader, n_rows)
    except UnicodeDecodeError as error:
        raise _not_utf8(place, error) from error
    except (OSError, pyarrow.ArrowException) as error:
        raise unreadable(place, error) from error


def _of_parquet(path: Path, columns: list[str], n_rows: int) -> Iterator["pyarrow.Table"]:
    import pyarrow
    from pyarrow import parquet

    try:
        # Without pre_buffer, so that of a row group, which may be the whole file, no more is in memory than is needed.
        with parquet.ParquetFile(path, pre_buffer=False, buffer_size=_PAGE_BYTES) as file:
            yield from _regrouped(file.iter_batches(n_rows, columns=columns), n_rows)
    except (OSError, pyarrow.ArrowException) as error:
        raise unreadable(path, error) from error


def _regrouped(batches: Iterator["pyarrow.RecordBatch"], n_rows: int) -> Iterator["pyarrow.Table"]:
    """The rows of batches of any size as tables of `n_rows` rows; the last may have fewer."""
    import pyarrow

    waiting: list[pyarrow.RecordBatch] = []
    n_waiting = 0
    for batch in batches:
        waiting.append(batch)
        n_waiting += len(batch)
        while n_waiting >= n_rows:
            table = pyarrow.Table.from_batches(waiting)
            yield table.slice(0, n_rows)
            waiting = table.slice(n_rows).to_batches()
            n_waiting -= n_rows
    if n_waiting:
        yield pyarrow.Table.from_batches(waiting)


def _blocks(
    tables: Iterator["pyarrow.Table"], place: str, wanted: Sequence[str], names: Sequence[str]
) -> Iterator[Block]:
    first = 0
    for table in tables:
        values = np.stack([_numbers(place, name, table[name], first) for name in wanted], axis=1)
        yield Block(
            values=checked_values(values, place, wanted, first),
            names=[str(cell) for cell in cells_of(place, table[names[0]])] if names else None,
        )
        first += len(table)
    if first == 0:
        raise UserError(f"{place}: must not be empty, but has 0 rows and {len(wanted)} feature columns. Add some.")


def _numbers(place: str, name: str, column: "pyarrow.ChunkedArray", first_row: int) -> np.ndarray:
    """A column as numbers; texts as Arrow reads them where it guesses what a column holds, else as Python does."""
    import pyarrow
    from pyarrow import compute

    if pyarrow.types.is_string(column.type):
        refuse_missing(place, name, column, first_row)
        for kind in (pyarrow.float64(), pyarrow.bool_()):
            try:
                return np.asarray(compute.cast(column, kind).to_numpy()).astype(np.float64)
            except pyarrow.ArrowInvalid:
                continue
        return numbers_from_cells(place, name, column.to_pylist(), first_row)
    return numbers_of(place, name, column, first_row)


def _not_utf8(place: str, error: UnicodeDecodeError) -> UserError:
    return UserError(f"{place}: the text must be UTF-8 ({error}). Convert it.")


class _Joined(io.RawIOBase):
    """What has been read of a file already, and the rest of it: standard input cannot be read twice."""

    def __init__(self, head: bytes, rest: IO[bytes]) -> None:
        self._head, self._rest = memoryview(head), rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview | bytearray") -> int:  # type: ignore[override]
        part = self._head[: len(buffer)] if self._head else self._rest.read(len(buffer))
        self._head = self._head[len(part) :]
        buffer[: len(part)] = part
        return len(part)
