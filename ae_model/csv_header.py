"""Whether the first line of a CSV file names the columns or is a sample."""

import csv
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ae_model.columns import is_number
from ae_model.errors import UserError
from ae_model.samples import unreadable

MISSING = ["", "NA", "N/A", "null", "None"]
"""Cells of a CSV file that hold no value."""
HEAD_LINES = 101
"""How many lines are looked at: the first, and those below it."""


def has_header(
    path: Path, label_column: str | None = None, features: Sequence[str] | None = None
) -> tuple[bool, str | None]:
    """Whether the first line is a header, and a note for the user if it holds numbers and might be either.

    A line with a text above numbers is a header, and so are the names that are asked for. Numbers are a header where
    they rise or fall from column to column, as wavelengths or times do, and the lines below do not; and where a column
    of texts stands under a number. 0, 1, 2 and so on are always names: pandas' own. A text that stands in the lines
    below, too, among other texts, is a class and no name.

    Args:
        path: The file.
        label_column: A column that the file must have.
        features: Columns that the file must have.

    Raises:
        UserError: If the file cannot be read as text, or its columns are not separated by commas.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = list(itertools.islice(file, HEAD_LINES))
        wanted = [*(features or ()), *([] if label_column is None else [label_column])]
        return header_in(lines, str(path), path.name, wanted)[1:]
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: the text must be UTF-8 ({error}). Convert it.") from error
    except (OSError, csv.Error) as error:
        raise unreadable(path, error) from error


def header_in(
    lines: Sequence[str], place: str, file_name: str, wanted: Sequence[str]
) -> tuple[list[str], bool, str | None]:
    """The cells of the first line, whether they are a header, and a note, as of `has_header`.

    Args:
        lines: The first `HEAD_LINES` lines of a file.
        place: What messages begin with.
        file_name: What the note begins with.
        wanted: Columns that the file must have.

    Raises:
        UserError: If the columns are not separated by commas.
        csv.Error: If the lines are no table.
    """
    text = next((line for line in lines if line.strip()), "")
    if "," not in text and (";" in text or "\t" in text):
        raise UserError(f"{place}: columns must be separated by commas, decimals by points. Convert the file.")
    rows = (row for row in csv.reader(lines) if row)
    names = next(rows, [])
    return names, *_decided(names, rows, wanted, file_name)


def _decided(
    names: Sequence[str], rows: Iterator[list[str]], wanted: Sequence[str], file_name: str
) -> tuple[bool, str | None]:
    cells, below = [cell.strip() for cell in names], list(rows)
    alike = [n for n, cell in enumerate(cells) if _is_text(cell) and _is_one_of(n, cells, below)]
    filled = [cell for n, cell in enumerate(cells) if cell not in MISSING and n not in alike]
    if not filled or not all(is_number(cell) for cell in filled):
        texts = [n for n, cell in enumerate(cells) if _is_text(cell)]
        # A class that is rare may stand in the first line alone: numbers are seldom names of columns that hold numbers.
        is_doubtful = bool(texts) and all(_is_of_texts(n, cells, below) for n in texts) and len(texts) < len(filled)
        wanted_here = bool(wanted) and set(wanted) <= set(names)
        return True, f"{_said(file_name, cells)} the header; header=False makes it a sample" if (
            is_doubtful and not wanted_here
        ) else None
    if wanted and set(wanted) <= set(names):
        return True, None
    if wanted and set(wanted) <= {f"f{column}" for column in range(len(names))}:  # what there is without a header
        return False, None
    others = [n for n in range(len(cells)) if n not in alike]
    reason = _reason_for_a_header(
        [cells[n] for n in others], [[row[n] for n in others] for row in below if len(row) == len(cells)]
    )
    first = _said(file_name, cells)
    if reason is not None:
        return True, f"{first} the header, because {reason}; header=False makes it a sample"
    if alike or _direction(cells) != 0:
        return False, f"{first} a sample, because it is like the lines below it; header=True makes it the header"
    return False, None


def _reason_for_a_header(cells: Sequence[str], below: Sequence[Sequence[str]]) -> str | None:
    """Why a line of numbers holds names, if it does."""
    start = 1 if cells[0] == "" else 0  # before the names of pandas' columns, the index has none
    names = cells[start:]
    others = [row[start:] for row in below if len(row) == len(cells)]
    if names == [str(column) for column in range(len(names))]:
        return "pandas counts columns like this"
    above_texts = any(
        names[column] not in MISSING and all(_is_text(row[column]) for row in others) for column in range(len(names))
    )
    if above_texts and len(others) > 1 and len(set(names)) == len(names):
        return "texts stand below a number of it"
    if not others or _direction(names) == 0:
        return None
    if not any(_direction(row) == _direction(names) for row in others):
        return f"its numbers {'rise' if _direction(names) > 0 else 'fall'} and those below it do not"
    if _is_evenly_spaced(names) and not any(_is_evenly_spaced(row) for row in others):
        return "its numbers are evenly spaced and those below it are not"
    return None


def _said(file_name: str, cells: Sequence[str]) -> str:
    return f"{file_name}: its first line ({', '.join(cells[:3])}{', ...' if len(cells) > 3 else ''}) is taken for"


def _is_one_of(column: int, cells: Sequence[str], below: Sequence[Sequence[str]]) -> bool:
    """Whether a text of the first line stands again in its column, in which there are but texts."""
    is_there = any(row[column].strip() == cells[column] for row in below if len(row) == len(cells))
    return is_there and _is_of_texts(column, cells, below)


def _is_of_texts(column: int, cells: Sequence[str], below: Sequence[Sequence[str]]) -> bool:
    """Whether there are but texts in a column below the first line."""
    others = [row[column] for row in below if len(row) == len(cells)]
    return bool(others) and all(_is_text(cell) for cell in others)


def _is_text(cell: str) -> bool:
    return cell.strip() not in MISSING and not is_number(cell)


def _direction(cells: Sequence[str]) -> int:
    """1 if at least three numbers rise strictly, -1 if they fall strictly, 0 if neither."""
    values = _numbers(cells)
    if values is None or len(values) < 3:
        return 0
    with np.errstate(invalid="ignore"):  # between two infinities
        steps = np.diff(values)
    return 1 if (steps > 0).all() else -1 if (steps < 0).all() else 0


def _is_evenly_spaced(cells: Sequence[str]) -> bool:
    """Whether at least four numbers rise or fall in equal steps, but for rounding."""
    values = _numbers(cells)
    if values is None or len(values) < 4 or not np.isfinite(values).all():
        return False
    steps = np.diff(values)
    return bool(steps[0] != 0 and np.allclose(steps, steps.mean(), rtol=0.01, atol=0))


def _numbers(cells: Sequence[str]) -> np.ndarray | None:
    return np.array([float(cell) for cell in cells]) if all(is_number(cell) for cell in cells) else None
