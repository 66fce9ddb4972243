"""Files and folders of every kind -> `Samples`, checked to be finite numbers in two dimensions."""

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ae_model.array_blocks import array_blocks, npy_blocks
from ae_model.array_files import read_npy, read_npz
from ae_model.columns import column_positions
from ae_model.errors import UserError
from ae_model.image_folders import image_blocks, read_images
from ae_model.samples import SampleBlocks, Samples
from ae_model.table_blocks import csv_blocks, parquet_blocks
from ae_model.table_files import read_csv, read_parquet


def read_samples(
    source: str | Path,
    label_column: str | None = None,
    features: Sequence[str] | None = None,
    header: bool | None = None,
    ignored: Sequence[str] = (),
) -> Samples:
    """Read a .npy, .npz, .csv or .parquet file or a folder of images.

    Args:
        source: Path of the file or folder.
        label_column: Column of a table that holds labels, not a feature.
        features: Columns to read, in this order, of a table or an .npz with `feature_names`; all but the label column
            if None.
        header: Whether the first line of a .csv file names the columns; if None, what the line and those below it
            suggest, and `Samples.notes` says so where it might have been either.
        ignored: Columns of a table that are neither features nor labels; of no effect where `features` are given.

    Raises:
        UserError: If it is missing, unreadable, or holds anything but finite numbers; the message names the place.
    """
    path = _existing(source)
    suffix = _kind(path)
    if label_column is not None and suffix in ("folder", ".npy", ".npz"):
        raise UserError(
            f"{path}: label_column is for .csv and .parquet files alone. Leave it out.", argument="label_column"
        )
    if ignored and suffix in ("folder", ".npy", ".npz"):
        raise UserError(
            f"{path}: ignore_columns is for .csv and .parquet files alone. Leave it out.", argument="ignore_columns"
        )
    if header is not None and suffix in ("folder", ".npy", ".npz", ".parquet"):
        raise UserError(f"{path}: header is for .csv files alone. Leave it out.", argument="header")
    match suffix:
        case "folder":
            return read_images(path)
        case ".npy":
            return read_npy(path)
        case ".npz":
            return _by_name(path, read_npz(path), features)
        case ".csv":
            return read_csv(path, label_column, features, header, ignored)
        case ".parquet":
            return read_parquet(path, label_column, features, ignored)
    raise _unknown(path)


def read_blocks(source: str | Path, features: Sequence[str] | None, n_rows: int) -> SampleBlocks:
    """Read what `read_samples` reads in parts of `n_rows` rows, so that it need not fit into memory (an .npz must).

    Every sample comes, also those of a test split: of an .npz `x`, then `x_test`; of a folder train/, then test/.

    Args:
        source: Path of the file or folder; "-" is standard input, from which a CSV text is read.
        features: Columns to read, in this order, of what has names; all if None.
        n_rows: Rows of a block, >= 1.

    Raises:
        UserError: As `read_samples`, at once or when the block is read in which the error lies.
    """
    if str(source) == "-":
        return csv_blocks(sys.stdin.buffer, features, n_rows)
    path = _existing(source)
    match _kind(path):
        case "folder":
            return image_blocks(path, n_rows)
        case ".npy":
            return npy_blocks(path, n_rows)
        case ".npz":
            samples = _by_name(path, read_npz(path), features)
            if samples.test_values is None:
                return array_blocks([samples.values], n_rows)
            note = f"{path.name}: its x_test is taken too, after its x"
            return array_blocks([samples.values, samples.test_values], n_rows, (note,))
        case ".csv":
            return csv_blocks(path, features, n_rows)
        case ".parquet":
            return parquet_blocks(path, features, n_rows)
    raise _unknown(path)


def _existing(source: str | Path) -> Path:
    if not os.path.exists(source):  # unlike Path.exists, false for a name that no file can have
        raise UserError(f"{source}: no such file or folder. Check the path.")
    return Path(source)


def _kind(path: Path) -> str:
    return "folder" if path.is_dir() else path.suffix.lower()


def _unknown(path: Path) -> UserError:
    return UserError(f"{path}: the suffix must be .npy, .npz, .csv or .parquet. Convert the file to one of these.")


def _by_name(path: Path, samples: Samples, features: Sequence[str] | None) -> Samples:
    """The wanted columns, if those of the samples have names."""
    if samples.feature_names is None or features is None or samples.feature_names == tuple(features):
        return samples
    order = column_positions(str(path), samples.feature_names, len(samples.values), features)
    test = samples.test_values
    return replace(
        samples,
        values=samples.values[:, order],
        test_values=None if test is None else test[:, order],
        feature_names=tuple(features),
    )
