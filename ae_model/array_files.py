"""NumPy's files, .npy and .npz -> `Samples`."""

import math
import tokenize
import zipfile
import zlib
from io import BufferedIOBase
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy_format

from ae_model.errors import UserError
from ae_model.memory import require_memory
from ae_model.samples import (
    Samples,
    checked_feature_names,
    checked_image_shape,
    checked_labels,
    checked_values,
    unreadable,
)

DAMAGED = (
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
_ARRAY_MAGIC, _ARCHIVE_MAGIC = b"\x93NUMPY", b"PK"
_MEMBERS = ("x", "y", "x_test", "y_test", "image_shape", "feature_names")
_REMEDY = "Use float32 or uint8, or fewer rows."


def read_npy(path: Path) -> Samples:
    """An array `(n_samples, n_features)`; uint8 stays uint8, the rest becomes float32.

    Raises:
        UserError: If the file does not hold such an array.
    """
    try:
        with path.open("rb") as file:
            if _starts_with(file, _ARCHIVE_MAGIC):
                raise UserError(f"{path}: holds an archive of arrays, not one array. Rename it to .npz.")
            n_bytes, claim = _claim(file, path.stat().st_size)
            require_memory(n_bytes, str(path), claim, _REMEDY)
            values = np.load(file, allow_pickle=False)
    except UserError:
        raise
    except DAMAGED as error:
        raise unreadable(path, error) from error
    return Samples(values=checked_values(values, str(path)))


def read_npz(path: Path) -> Samples:
    """Arrays `x` and, where present, `y`, `x_test`, `y_test`, `image_shape`, `feature_names`; or one of any name.

    Raises:
        UserError: If the arrays are not there, or do not fit together.
    """
    arrays = _arrays(path)
    values = checked_values(arrays["x"], f"{path}: x")
    test = checked_values(arrays["x_test"], f"{path}: x_test") if "x_test" in arrays else None
    if test is not None and test.shape[1] != values.shape[1]:
        raise UserError(
            f"{path}: x and x_test must have equally many features, but have {values.shape[1]} and {test.shape[1]}. "
            "Give both the same."
        )
    shape = checked_image_shape(str(path), arrays.get("image_shape"), values.shape[1])
    names = list(arrays["feature_names"].ravel()) if "feature_names" in arrays else None
    return Samples(
        values=values,
        labels=checked_labels(str(path), "y", arrays.get("y"), len(values)),
        test_values=test,
        test_labels=checked_labels(str(path), "y_test", arrays.get("y_test"), 0 if test is None else len(test)),
        image_shape=shape,
        feature_names=checked_feature_names(str(path), names, values.shape[1]),
        value_range=(0.0, 255.0) if shape is not None and values.dtype == np.uint8 else None,
    )


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an archive by their names, samples as "x"; never unpickled, and only those that are needed."""
    try:
        with path.open("rb") as file:  # opened here because np.load leaves damaged archives open
            if _starts_with(file, _ARRAY_MAGIC):
                raise UserError(f"{path}: holds one array, not an archive of arrays. Rename it to .npy.")
            with zipfile.ZipFile(file) as archive:
                members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
                if {"format", "shape", "data"} <= set(members):
                    raise UserError(
                        f"{path}: holds a sparse matrix, but samples must be dense. Store "
                        "scipy.sparse.load_npz(path).toarray() by numpy.save."
                    )
                if "x" not in members and len(members) != 1:
                    raise UserError(
                        f"{path}: must hold an array 'x', but holds {sorted(members)}. Rename the samples to 'x'."
                    )
                samples = "x" if "x" in members else next(iter(members))
                names = [samples, *(name for name in _MEMBERS[1:] if name in members and name != samples)]
                claims = []
                for name in names:
                    with archive.open(members[name]) as member:
                        claims.append(_claim(member, members[name].file_size))
            text = " and ".join(f"{name}, {claim}" for name, (_, claim) in zip(names, claims, strict=True))
            require_memory(sum(n_bytes for n_bytes, _ in claims), str(path), text, _REMEDY)
            file.seek(0)
            content = np.load(file, allow_pickle=False)
            # np.asarray: what is not an array comes as bytes.
            return {"x" if name == samples else name: np.asarray(content[name]) for name in names}
    except UserError:
        raise
    except DAMAGED as error:
        raise unreadable(path, error) from error


def _claim(file: IO[bytes] | BufferedIOBase, size: int) -> tuple[int, str]:
    """What it takes to read an array, by its header, as a number of bytes and in words; the file is then at its start.

    Args:
        file: An .npy file, or something else, which is read as it is.
        size: The number of bytes in it.
    """
    claim = size, f"{size} bytes"
    header = read_header(file)
    if header is not None:
        shape, _, dtype = header
        n_values = math.prod(shape)
        converted = 4 if dtype.kind in "buif" and dtype not in (np.uint8, np.float32) else 0
        claim = n_values * (dtype.itemsize + converted), f"an array {shape} of {dtype}"
    file.seek(0)
    return claim


def read_header(file: IO[bytes] | BufferedIOBase) -> tuple[tuple[int, ...], bool, "np.dtype[Any]"] | None:
    """Shape, whether it is stored by columns, and type of an .npy file's array, before which the file then is.

    None for other files, and for version 3.0, which is for records with names outside Latin-1: those are not samples.

    Raises:
        ValueError: Or another of `DAMAGED`, if the header is damaged.
    """
    if not _starts_with(file, _ARRAY_MAGIC):
        return None
    version = npy_format.read_magic(file)
    read = {(1, 0): npy_format.read_array_header_1_0, (2, 0): npy_format.read_array_header_2_0}.get(version)
    if read is None:
        return None
    shape, by_columns, dtype = read(file)
    return shape, by_columns, dtype


def _starts_with(file: IO[bytes] | BufferedIOBase, magic: bytes) -> bool:
    start = file.read(len(magic))
    file.seek(0)
    return start == magic
