"""NumPy's arrays block by block: .npy files as they are read, others from memory."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from ae_model.array_files import DAMAGED, read_header, read_npy
from ae_model.errors import UserError
from ae_model.samples import Block, SampleBlocks, check_form, checked_values, unreadable


def npy_blocks(path: Path, n_rows: int) -> SampleBlocks:
    """An array `(n_samples, n_features)` in parts of `n_rows` rows, stored by rows or by columns.

    Raises:
        UserError: If the file does not hold such an array; of values that are not finite, when they are read.
    """
    try:
        with path.open("rb") as file:
            header = read_header(file)
            if header is None:  # an archive, or no array: then this raises the error that says so
                return array_blocks([read_npy(path).values], n_rows)
            shape, by_columns, dtype = header
            check_form(dtype, shape, str(path))
            start, claimed = file.tell(), math.prod(shape) * dtype.itemsize
            found = path.stat().st_size - start
            if found < claimed:
                raise EOFError(f"its header claims {claimed} bytes of values, but there are {found}")
    except UserError:
        raise
    except DAMAGED as error:
        raise unreadable(path, error) from error
    return SampleBlocks(blocks=_of_file(path, start, shape, by_columns, dtype, n_rows), n_samples=shape[0])


def array_blocks(arrays: list[np.ndarray], n_rows: int, notes: tuple[str, ...] = ()) -> SampleBlocks:
    """Checked arrays of equally many features, one after another, in parts of `n_rows` rows."""
    return SampleBlocks(blocks=_of_arrays(arrays, n_rows), n_samples=sum(len(array) for array in arrays), notes=notes)


def _of_arrays(arrays: list[np.ndarray], n_rows: int) -> Iterator[Block]:
    starts = np.cumsum([0, *(len(array) for array in arrays)])
    for first in range(0, int(starts[-1]), n_rows):
        parts = [
            array[max(first - start, 0) : max(first + n_rows - start, 0)]
            for start, array in zip(starts[:-1], arrays, strict=True)
        ]
        held = [part for part in parts if len(part)]
        yield Block(values=held[0] if len(held) == 1 else np.concatenate(held))


def _of_file(
    path: Path, start: int, shape: tuple[int, ...], by_columns: bool, dtype: "np.dtype[Any]", n_rows: int
) -> Iterator[Block]:
    n_samples, n_features = shape
    try:
        with path.open("rb", buffering=0) as file:
            for first in range(0, n_samples, n_rows):
                n = min(n_rows, n_samples - first)
                if by_columns:
                    columns = np.empty((n_features, n), dtype)
                    for number, column in enumerate(columns):
                        file.seek(start + (number * n_samples + first) * dtype.itemsize)
                        _fill(column, file)
                    values = columns.T
                else:
                    values = np.empty((n, n_features), dtype)
                    file.seek(start + first * n_features * dtype.itemsize)
                    _fill(values, file)
                yield Block(values=checked_values(values, str(path), first_row=first))
    except (OSError, EOFError) as error:
        raise unreadable(path, error) from error


def _fill(values: np.ndarray, file: IO[bytes]) -> None:
    """Read an array that lies in memory in one piece."""
    rest = memoryview(values.view(np.uint8).reshape(-1).data)
    while rest:
        n_read = file.readinto(rest)  # type: ignore[attr-defined]  # an unbuffered file has it
        if not n_read:
            raise EOFError("it has become shorter")
        rest = rest[n_read:]
