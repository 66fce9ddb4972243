"""Files and folders of every kind -> `Samples`, checked to be finite numbers in two dimensions."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ae_model.array_files import read_npy, read_npz
from ae_model.columns import column_positions
from ae_model.errors import UserError
from ae_model.image_folders import read_images
from ae_model.samples import Samples
from ae_model.table_files import read_csv, read_parquet


def read_samples(
    source: str | Path,
    label_column: str | None = None,
    features: Sequence[str] | None = None,
    header: bool | None = None,
) -> Samples:
    """Read a .npy, .npz, .csv or .parquet file or a folder of images.

    Args:
        source: Path of the file or folder.
        label_column: Column of a table that holds labels, not a feature.
        features: Columns to read, in this order, of a table or an .npz with `feature_names`; all but the label column
            if None.
        header: Whether the first line of a .csv file names the columns; if None, what the line and those below it
            suggest, and `Samples.notes` says so where it might have been either.

    Raises:
        UserError: If it is missing, unreadable, or holds anything but finite numbers; the message names the place.
    """
    path = Path(source)
    suffix = "folder" if path.is_dir() else path.suffix.lower()
    if not os.path.exists(path):  # unlike Path.exists, false for a name that no file can have
        raise UserError(f"{path}: no such file or folder. Check the path.")
    if label_column is not None and suffix in ("folder", ".npy", ".npz"):
        raise UserError(
            f"{path}: label_column is for .csv and .parquet files alone. Leave it out.", argument="label_column"
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
            return read_csv(path, label_column, features, header)
        case ".parquet":
            return read_parquet(path, label_column, features)
    raise UserError(f"{path}: the suffix must be .npy, .npz, .csv or .parquet. Convert the file to one of these.")


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
