"""`Samples`: what every reader returns, and the checks that all of them share."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Num

from ae_model.errors import UserError, first_line


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Samples:
    """What a source holds, before any split of ours; the fields are like those of `Dataset`."""

    values: Num[np.ndarray, "samples features"]
    labels: np.ndarray | None = None
    test_values: Num[np.ndarray, "test_samples features"] | None = None
    test_labels: np.ndarray | None = None
    image_shape: tuple[int, ...] | None = None
    feature_names: tuple[str, ...] | None = None
    value_range: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Block:
    """Some rows of a source, one after another, checked as `checked_values` does it."""

    values: Num[np.ndarray, "rows features"]
    names: Sequence[str] | None = None
    """What the source calls each row."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SampleBlocks:
    """A source that is read block by block, so that it need not fit into memory."""

    blocks: Iterator[Block]
    """All have the number of rows that was asked for, but the last, which may have fewer. Reading one can raise a
    UserError."""
    n_samples: int | None
    """The number of all rows; None if that is known only at the end."""
    names_are: Literal["file", "row"] | None = None
    """What the rows' names are: those of image files, or those of a table's rows; None if they have none."""
    notes: tuple[str, ...] = ()


def checked_values(
    values: np.ndarray, place: str, feature_names: Sequence[str] | None = None, first_row: int = 0
) -> Num[np.ndarray, "samples features"]:
    """`values` as uint8 (if it was) or float32.

    Args:
        values: The array.
        place: What messages begin with.
        feature_names: What they call the columns; numbers if None.
        first_row: The number of the first row, where these are a part of all.

    Raises:
        UserError: If it is not `(n_samples, n_features)`, is empty, or holds anything but finite numbers; the message
            names row and column, counted from 0.
    """
    check_form(values.dtype, values.shape, place)
    if values.dtype == np.uint8:
        return values
    with np.errstate(over="ignore"):
        converted = np.ascontiguousarray(values, dtype=np.float32)
    finite = np.isfinite(converted)
    if not finite.all():
        row, column = (int(i) for i in np.argwhere(~finite)[0])
        name = f"column {column}" if feature_names is None else f"column {feature_names[column]!r}"
        raise UserError(
            f"{place}: row {first_row + row} (counted from 0), {name}: a value must be a finite float32 number, "
            f"but is {values[row, column]}. Fill or remove it."
        )
    return converted


def check_form(dtype: "np.dtype[Any]", shape: tuple[int, ...], place: str) -> None:
    """Check type and shape of an array that is to hold samples.

    Raises:
        UserError: If it holds no real numbers, is not `(n_samples, n_features)`, or is empty.
    """
    if dtype.kind not in "buif":
        raise UserError(f"{place}: values must be real numbers, but have the type {dtype}. Convert them.")
    if len(shape) != 2:
        raise UserError(
            f"{place}: the shape must be (n_samples, n_features), but is {shape}. Reshape the array; images are "
            "flattened, with their shape beside them as image_shape (in a file: an .npz)."
        )
    if 0 in shape:
        raise UserError(f"{place}: must not be empty, but has the shape {shape}. Add samples.")


def checked_labels(place: str, name: str, labels: np.ndarray | None, n_samples: int) -> np.ndarray | None:
    """The labels, if there is one for each sample.

    Raises:
        UserError: If there are more or fewer.
    """
    if labels is not None and labels.shape != (n_samples,):
        raise UserError(
            f"{place}: {name} must have the shape ({n_samples},), but has {labels.shape}. Fix it, or leave it out."
        )
    return labels


def checked_image_shape(place: str, shape: np.ndarray | None, n_features: int) -> tuple[int, ...] | None:
    """The shape as a tuple, if its pixels are as many as the features.

    Raises:
        UserError: If it is not (height, width) or (height, width, channels).
    """
    if shape is None:
        return None
    if (
        not np.issubdtype(shape.dtype, np.integer)
        or shape.shape not in ((2,), (3,))
        or shape.min() < 1
        or shape.prod() != n_features
    ):
        raise UserError(
            f"{place}: image_shape must be (height, width) or (height, width, channels) of {n_features} pixels in all, "
            f"but is {tuple(shape.tolist()) if shape.ndim else shape.tolist()}. Fix it, or leave it out.",
            argument="image_shape",
        )
    return tuple(int(n) for n in shape)


def checked_feature_names(place: str, names: Sequence[object] | None, n_features: int) -> tuple[str, ...] | None:
    """The names as texts, if there is one for each feature.

    Raises:
        UserError: If there are more or fewer.
    """
    if names is None:
        return None
    if len(names) != n_features:
        raise UserError(
            f"{place}: feature_names must hold {n_features} names, but holds {len(names)}. Fix it, or leave it out.",
            argument="feature_names",
        )
    return tuple(str(name) for name in names)


def unreadable(path: Path | str, error: BaseException) -> UserError:
    """The error for a file that its reader does not understand."""
    return UserError(
        f"{path}: cannot be read ({first_line(error)}). Check that it is whole and of the type that its name says."
    )
