"""Files -> `Samples`: arrays, tables and folders of images, checked to be finite numbers in two dimensions."""

import os
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Num

if TYPE_CHECKING:
    import pyarrow

_DAMAGED = (
    OSError,
    ValueError,
    EOFError,
    SyntaxError,
    RuntimeError,
    MemoryError,
    zipfile.BadZipFile,
    zlib.error,
    tokenize.TokenError,
)
"""What NumPy raises on damaged files."""
_MISSING = ["", "NA", "N/A", "null", "None"]
"""Cells of a CSV file that hold no value."""
_GREY_MODES, _COLOUR_MODES = ("1", "L", "LA"), ("P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "LAB")
"""Pillow's names of the kinds of image whose channels have eight bits or fewer."""
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Samples:
    """What a source holds, before any split of ours; fields as in `Dataset`."""

    values: Num[np.ndarray, "samples features"]
    labels: np.ndarray | None = None
    test_values: Num[np.ndarray, "test_samples features"] | None = None
    test_labels: np.ndarray | None = None
    image_shape: tuple[int, ...] | None = None
    feature_names: tuple[str, ...] | None = None
    value_range: tuple[float, float] | None = None


def read_samples(source: str | Path, label_column: str | None = None, features: Sequence[str] | None = None) -> Samples:
    """Read a .npy, .npz, .csv or .parquet file or a folder of images.

    Args:
        source: Path of the file or folder.
        label_column: Column of a table that holds labels, not a feature.
        features: Columns of a table to read, in this order; all but the label column if None.

    Raises:
        ValueError: If it is missing, unreadable, or holds anything but finite numbers; the message names the place.
    """
    path = Path(source)
    suffix = path.suffix.lower()
    if not os.path.exists(path):  # unlike Path.exists, false for a name that no file can have
        raise ValueError(f"{path}: no such file or folder. Check the path.")
    if path.is_dir() or suffix in (".npy", ".npz"):
        if label_column is not None:
            raise ValueError(f"{path}: data.label_column is for .csv and .parquet files alone. Leave it out.")
        return read_images(path) if path.is_dir() else read_npy(path) if suffix == ".npy" else read_npz(path)
    if suffix == ".csv":
        return _from_table(path, _read_csv(path), label_column, features)
    if suffix == ".parquet":
        return _from_table(path, _read_parquet(path), label_column, features)
    raise ValueError(f"{path}: the suffix must be .npy, .npz, .csv or .parquet. Convert the file to one of these.")


def read_npy(path: Path) -> Samples:
    """An array `(n_samples, n_features)`; uint8 stays uint8, the rest becomes float32."""
    values = _load_numpy(path)
    if not isinstance(values, np.ndarray):
        raise ValueError(f"{path}: holds an archive of arrays, not one array. Rename it to .npz.")
    return Samples(values=checked_values(values, str(path)))


def read_npz(path: Path) -> Samples:
    """Arrays `x` and, where present, `y`, `x_test`, `y_test`, `image_shape`, `feature_names`; or one of any name."""
    arrays = _load_numpy(path)
    if isinstance(arrays, np.ndarray):
        raise ValueError(f"{path}: holds one array, not an archive of arrays. Rename it to .npy.")
    if "x" not in arrays:
        if len(arrays) != 1:
            raise ValueError(f"{path}: must hold an array 'x', but holds {sorted(arrays)}. Rename the samples to 'x'.")
        arrays = {"x": next(iter(arrays.values()))}
    values = checked_values(arrays["x"], f"{path}: x")
    test = checked_values(arrays["x_test"], f"{path}: x_test") if "x_test" in arrays else None
    if test is not None and test.shape[1] != values.shape[1]:
        raise ValueError(
            f"{path}: x and x_test must have equally many features, but have {values.shape[1]} and {test.shape[1]}. "
            "Give both the same."
        )
    shape = _checked_image_shape(path, arrays.get("image_shape"), values.shape[1])
    names = tuple(str(name) for name in arrays["feature_names"].ravel()) if "feature_names" in arrays else None
    if names is not None and len(names) != values.shape[1]:
        raise ValueError(f"{path}: feature_names must hold {values.shape[1]} names, but holds {len(names)}. Mend it.")
    return Samples(
        values=values,
        labels=_checked_labels(path, "y", arrays.get("y"), len(values)),
        test_values=test,
        test_labels=_checked_labels(path, "y_test", arrays.get("y_test"), 0 if test is None else len(test)),
        image_shape=shape,
        feature_names=names,
        value_range=(0.0, 255.0) if shape is not None and values.dtype == np.uint8 else None,
    )


def read_images(folder: Path) -> Samples:
    """All images under a folder, in the order of their paths, as grey values or, if one has colours, as RGB.

    Images in subfolders are labelled with the subfolder's name.
    """
    from PIL import Image

    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    if not paths:
        raise ValueError(f"{folder}: holds no image. The suffix must be one of {', '.join(IMAGE_SUFFIXES)}.")
    images = []
    for path in paths:
        try:
            # Pillow warns of large images and of damage; what it cannot read is an error.
            with warnings.catch_warnings(action="ignore"), Image.open(path) as image:
                mode = image.mode
                images.append(image.convert("L" if mode in _GREY_MODES else "RGB"))
        except Exception as error:  # what Pillow raises on damaged images is anything
            raise _unreadable(path, error) from error
        if mode not in (*_GREY_MODES, *_COLOUR_MODES):
            raise ValueError(f"{path}: channels must have eight bits, but the image is of mode {mode!r}. Convert it.")
        if images[-1].size != images[0].size:
            width, height = images[-1].size
            first_width, first_height = images[0].size
            raise ValueError(
                f"{path}: all images must have one size, but this one has {width} x {height} and {paths[0].name} has "
                f"{first_width} x {first_height}. Resize or remove it."
            )
    mode = "L" if all(image.mode == "L" for image in images) else "RGB"
    stacked = np.stack([np.asarray(image.convert(mode)) for image in images])
    labels = [path.parent.relative_to(folder).as_posix() for path in paths]
    return Samples(
        values=stacked.reshape(len(stacked), -1),
        labels=np.array(labels) if set(labels) != {"."} else None,
        image_shape=stacked.shape[1:],
        value_range=(0.0, 255.0),
    )


def checked_values(
    values: np.ndarray, place: str, feature_names: Sequence[str] | None = None
) -> Num[np.ndarray, "samples features"]:
    """`values` as uint8 (if it was) or float32.

    Raises:
        ValueError: If it is not `(n_samples, n_features)`, is empty, or holds anything but finite numbers; the message
            begins with `place` and names row and column, counted from 0.
    """
    if values.dtype.kind not in "buif":
        raise ValueError(f"{place}: values must be real numbers, but have the type {values.dtype}. Convert them.")
    if values.ndim != 2:
        raise ValueError(
            f"{place}: the shape must be (n_samples, n_features), but is {values.shape}. Reshape the array; images go "
            "into an .npz with 'x' flattened and 'image_shape'."
        )
    if 0 in values.shape:
        raise ValueError(f"{place}: must not be empty, but has the shape {values.shape}. Add samples.")
    if values.dtype == np.uint8:
        return values
    with np.errstate(over="ignore"):
        converted = np.ascontiguousarray(values, dtype=np.float32)
    finite = np.isfinite(converted)
    if not finite.all():
        row, column = (int(i) for i in np.argwhere(~finite)[0])
        name = f"column {column}" if feature_names is None else f"column {feature_names[column]!r}"
        raise ValueError(
            f"{place}: row {row} (counted from 0), {name}: a value must be a finite float32 number, "
            f"but is {values[row, column]}. Fill or remove it."
        )
    return converted


def _read_csv(path: Path) -> "pyarrow.Table":
    """The first line holds the column names unless it holds numbers; but 0, 1, 2 and so on are names, pandas' own."""
    import pyarrow
    from pyarrow import csv

    try:
        with path.open(encoding="utf-8-sig") as file:
            line = file.readline()
        if "," not in line and (";" in line or "\t" in line):
            raise ValueError(f"{path}: columns must be separated by commas, decimals by points. Convert the file.")
        cells = [cell.strip(' "\r\n') for cell in line.split(",")]
        numbers = [_is_number(cell) for cell in cells if cell not in _MISSING]
        names = cells[1:] if cells[0] == "" else cells  # before them, the index has none
        counted = names == [str(i) for i in range(len(names))]
        return csv.read_csv(
            path,
            # One thread, so that an error names its row.
            read_options=csv.ReadOptions(
                use_threads=False, autogenerate_column_names=bool(numbers) and all(numbers) and not counted
            ),
            convert_options=csv.ConvertOptions(null_values=_MISSING, strings_can_be_null=True),
        )
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: the text must be UTF-8 ({error}). Convert it.") from error
    except (OSError, pyarrow.ArrowException) as error:
        raise _unreadable(path, error) from error


def _read_parquet(path: Path) -> "pyarrow.Table":
    import pyarrow
    from pyarrow import parquet

    try:
        return parquet.read_table(path)
    except (OSError, pyarrow.ArrowException) as error:
        raise _unreadable(path, error) from error


def _from_table(
    path: Path, table: "pyarrow.Table", label_column: str | None, features: Sequence[str] | None
) -> Samples:
    import pyarrow

    names = table.column_names
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"{path}: column names must differ, but {repeated[0]!r} stands more than once. Rename one.")
    labels = None
    if label_column is not None:
        if label_column not in names:
            raise ValueError(
                f"{path}: data.label_column = {label_column!r} must be a column, but they are {names}. Name one."
            )
        if pyarrow.types.is_nested(table[label_column].type):
            raise ValueError(
                f"{path}: data.label_column = {label_column!r} must hold one label in each row, but holds "
                f"{table[label_column].type}. Name another."
            )
        labels = np.array(_cells(path, table[label_column]))
        names = [name for name in names if name != label_column]
    if features is not None:
        missing = [name for name in features if name not in names]
        if missing:
            raise ValueError(f"{path}: the column {missing[0]!r} is missing. The columns are {names}. Add it.")
        names = list(features)
    elif "" in names:
        raise ValueError(
            f"{path}: every column must have a name, but that of column {names.index('')} (counted from 0) is empty. "
            "Name it; if it is the index that pandas writes, save with index=False."
        )
    if not names or table.num_rows == 0:
        raise ValueError(
            f"{path}: must not be empty, but has {table.num_rows} rows and {len(names)} feature columns. Add some."
        )
    columns = [_numeric_column(path, name, table[name]) for name in names]
    values = np.stack(columns, axis=1)
    return Samples(values=checked_values(values, str(path), names), labels=labels, feature_names=tuple(names))


def _numeric_column(path: Path, name: str, column: "pyarrow.ChunkedArray") -> np.ndarray:
    import pyarrow

    kind = column.type
    if pyarrow.types.is_floating(kind) or pyarrow.types.is_integer(kind) or pyarrow.types.is_boolean(kind):
        if column.null_count:
            row = column.is_null().to_pylist().index(True)
            raise ValueError(
                f"{path}: row {row} (counted from 0), column {name!r}: a value is missing. Fill or remove it."
            )
        return np.asarray(column.to_pylist() if pyarrow.types.is_boolean(kind) else column.to_numpy())
    cells = _cells(path, column)
    for row, cell in enumerate(cells):
        if not _is_number(cell):
            raise ValueError(
                f"{path}: row {row} (counted from 0), column {name!r}: a value must be a number, but is {cell!r}. "
                "Fix it, leave the column out, or, in a search, make it data.label_column."
            )
    return np.array([float(cell) for cell in cells])


def _cells(path: Path, column: "pyarrow.ChunkedArray") -> list[Any]:
    """The cells of a column as Python's objects."""
    try:
        cells: list[Any] = column.to_pylist()
    except (ValueError, OverflowError, LookupError) as error:  # text that is no UTF-8, dates that are none, ...
        raise _unreadable(path, error) from error
    return cells


def _is_number(cell: Any) -> bool:
    try:
        float(cell)
    except (TypeError, ValueError):
        return False
    return "_" not in str(cell)  # Python reads 1_000 as a number, nobody else does


def _load_numpy(path: Path) -> np.ndarray | dict[str, np.ndarray]:
    """The array of an .npy file, or the arrays of an .npz file; never unpickled."""
    try:
        with path.open("rb") as file:  # opened here because np.load leaves damaged archives open
            content = np.load(file, allow_pickle=False)
            if isinstance(content, np.ndarray):
                return content
            return {name: np.asarray(content[name]) for name in content.files}  # bytes where a member is no array
    except _DAMAGED as error:
        raise _unreadable(path, error) from error


def _checked_image_shape(path: Path, shape: np.ndarray | None, n_features: int) -> tuple[int, ...] | None:
    if shape is None:
        return None
    if (
        not np.issubdtype(shape.dtype, np.integer)
        or shape.shape not in ((2,), (3,))
        or shape.min() < 1
        or shape.prod() != n_features
    ):
        raise ValueError(
            f"{path}: image_shape must be (height, width) or (height, width, channels) of {n_features} pixels in all, "
            f"but is {tuple(shape.tolist()) if shape.ndim else shape.tolist()}. Mend it, or leave it out."
        )
    return tuple(int(n) for n in shape)


def _checked_labels(path: Path, name: str, labels: np.ndarray | None, n_samples: int) -> np.ndarray | None:
    if labels is not None and labels.shape != (n_samples,):
        raise ValueError(
            f"{path}: {name} must have the shape ({n_samples},), but has {labels.shape}. Mend it, or leave it out."
        )
    return labels


def _unreadable(path: Path, error: BaseException) -> ValueError:
    reason = str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__
    return ValueError(f"{path}: cannot be read ({reason}). Check that the file is whole and of the type it is named.")
