"""Data sources -> `Dataset`: named data sets, files, folders and arrays, with a test split set aside."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from jaxtyping import Num

from ae_model.arrays import samples_from_arrays
from ae_model.errors import UserError
from ae_model.inliers import only_inliers
from ae_model.named_sources import NAMED_SOURCES, read_named
from ae_model.readers import read_samples
from ae_model.samples import Samples


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dataset:
    """Samples, split into what a search may see and what is held out until the end."""

    name: str
    development: Num[np.ndarray, "samples features"]
    """All rows that a search may see; uint8 or float32, read-only."""
    test: Num[np.ndarray, "test_samples features"]
    """The rows that only the final evaluation reads; none with a `test_fraction` of 0."""
    development_labels: np.ndarray | None = None
    """`(n_samples,)`; carried along, never trained on."""
    test_labels: np.ndarray | None = None
    image_shape: tuple[int, ...] | None = None
    """`(height, width)` or `(height, width, channels)`; None for tables."""
    feature_names: tuple[str, ...] | None = None
    value_range: tuple[float, float] | None = None
    """Lowest and highest possible value where the data has such limits by its nature (images); None for tables."""

    notes: tuple[str, ...] = ()
    """What was decided about the source where it could have been read otherwise, for its owner to check."""

    @property
    def n_test(self) -> int:
        """The number of test samples."""
        return len(self.test)

    def fingerprint(self) -> str:
        """A hash of the development rows and of their fixed range: equal for equal samples."""
        content = sha256(f"{self.development.dtype}{self.development.shape}{self.value_range}".encode())
        content.update(np.ascontiguousarray(self.development).data)
        return content.hexdigest()[:16]


def load_dataset(
    source: str | Path,
    *,
    data_dir: str | Path = "data",
    download: bool = True,
    test_fraction: float = 0.2,
    max_samples: int | None = None,
    label_column: str | None = None,
    ignore_columns: Sequence[str] = (),
    inlier_labels: Sequence[object] | None = None,
    features: Sequence[str] | None = None,
    header: bool | None = None,
    seed: int = 0,
) -> Dataset:
    """Load a data source and set its test split aside.

    Args:
        source: "digits" (bundled with scikit-learn), "mnist", "fashion-mnist", "kmnist", "cifar10" (by torchvision), or
            the path of a .npy, .npz, .csv or .parquet file or of a folder of images.
        data_dir: Where torchvision's data sets lie, in the layout torchvision gives them.
        download: Whether torchvision may download what is not there.
        test_fraction: Part of the samples that becomes the test split where the source has none of its own, in [0, 1).
        max_samples: Upper limit for the number of development samples, which are then drawn at random.
        label_column: Column of a table that holds labels, not a feature.
        ignore_columns: Columns of a table that are neither, such as ids and times.
        inlier_labels: Labels of the samples to take, where others are anomalies; all if None.
        features: Columns of a table to read, in this order; all but the label column and those ignored if
            None.
        header: Whether the first line of a .csv file names the columns; if None, what the line and those below it
            suggest, and `Dataset.notes` says so where it might have been either.
        seed: The seed of the split and the draw.

    Returns:
        The data set, with at least two development samples and, unless `test_fraction` is 0, one test sample.

    Raises:
        UserError: If the source is unknown, missing or unreadable, or a value is not a finite number; the message
            names the file, row and column.
    """
    _check_max_samples(max_samples)
    samples = _read(str(source), Path(data_dir), download, label_column, features, header, ignore_columns)
    if inlier_labels is not None:
        samples = only_inliers(samples, str(source), inlier_labels)
    return _split(
        samples, str(source), source_name(source), test_fraction=test_fraction, max_samples=max_samples, seed=seed
    )


def dataset_from_arrays(
    x: object,
    *,
    name: str = "data",
    test: object = None,
    labels: object = None,
    test_labels: object = None,
    test_fraction: float = 0.2,
    max_samples: int | None = None,
    label_column: str | None = None,
    ignore_columns: Sequence[str] = (),
    inlier_labels: Sequence[object] | None = None,
    image_shape: Sequence[int] | None = None,
    value_range: tuple[float, float] | None = None,
    feature_names: Sequence[str] | None = None,
    seed: int = 0,
) -> Dataset:
    """A data set from what is in memory already; it is split and checked as the same values in a file are.

    Args:
        x: Samples `(n_samples, n_features)`: an array, or a DataFrame, whose columns then name the features.
        name: What the data set is called, in messages too.
        test: A test split of its own, of the same kind as `x`; a part of `x` is held out if None.
        labels: Labels `(n_samples,)` of `x`; carried along, never trained on.
        test_labels: Labels of `test`.
        test_fraction: Part of `x` that becomes the test split if `test` is None, in [0, 1).
        max_samples: Upper limit for the number of development samples, which are then drawn at random.
        label_column: Column of a DataFrame that holds labels, not a feature.
        ignore_columns: Columns of a DataFrame that are neither, such as ids and times.
        inlier_labels: Labels of the samples to take, where others are anomalies; all if None.
        image_shape: `(height, width)` or `(height, width, channels)` where the samples are flattened images.
        value_range: Lowest and highest possible value where the data has such limits by its nature; 0 and 255 for
            uint8 images.
        feature_names: The names of an array's features.
        seed: The seed of the split and the draw.

    Returns:
        The data set, with at least two development samples and, unless `test_fraction` is 0, one test sample. It
        shares no memory with `x`.

    Raises:
        UserError: If the arguments do not fit together, or a value is not a finite number; the message names row and
            column.

    Examples:
        >>> dataset = dataset_from_arrays(np.random.default_rng(0).random((50, 4)), feature_names=list("abcd"))
        >>> dataset.development.shape, dataset.test.shape
        ((40, 4), (10, 4))
    """
    _check_max_samples(max_samples)
    samples = samples_from_arrays(
        x,
        name,
        test=test,
        labels=labels,
        test_labels=test_labels,
        label_column=label_column,
        ignored=ignore_columns,
        image_shape=image_shape,
        value_range=value_range,
        feature_names=feature_names,
    )
    if inlier_labels is not None:
        samples = only_inliers(samples, name, inlier_labels)
    return _split(samples, name, name, test_fraction=test_fraction, max_samples=max_samples, seed=seed)


def source_name(source: str | Path) -> str:
    """What a source is called: a named source's name, a path's last part without its suffix."""
    return str(source) if str(source) in NAMED_SOURCES else Path(source).resolve().stem


def _read(
    source: str,
    data_dir: Path,
    download: bool,
    label_column: str | None,
    features: Sequence[str] | None,
    header: bool | None,
    ignored: Sequence[str],
) -> Samples:
    if source in NAMED_SOURCES:
        if header is not None:
            raise UserError(f"{source}: header is for .csv files alone. Leave it out.", argument="header")
        if ignored:
            raise UserError(f"{source}: ignore_columns is for tables alone. Leave it out.", argument="ignore_columns")
        return read_named(source, data_dir, download)
    if not os.path.exists(source):  # unlike Path.exists, false for a name that no file can have
        raise UserError(
            f"{source}: no such file, folder or named source. Give a path, or one of {', '.join(NAMED_SOURCES)}."
        )
    return read_samples(source, label_column, features, header, ignored)


def _check_max_samples(max_samples: int | None) -> None:
    if max_samples is not None and max_samples < 2:
        raise UserError(f"max_samples must be at least 2, but is {max_samples}. Raise it.", argument="max_samples")


def _split(
    samples: Samples, place: str, name: str, *, test_fraction: float, max_samples: int | None, seed: int
) -> Dataset:
    values, labels = samples.values, samples.labels
    test, test_labels = samples.test_values, samples.test_labels
    if test is None and test_fraction == 0:
        test, test_labels = values[:0].copy(), None if labels is None else labels[:0]
    elif test is None:
        if not math.isfinite(test_fraction):
            raise UserError(
                f"test_fraction must lie between 0 and 1, but is {test_fraction}. Change it.", argument="test_fraction"
            )
        n_test = int(np.ceil(test_fraction * len(values)))
        if len(values) - n_test < 2 or n_test < 1:
            raise UserError(
                f"{place}: development and test need at least 2 and 1 samples, but test_fraction={test_fraction} of "
                f"{len(values)} leaves {len(values) - n_test} and {n_test}. Use more samples or another test_fraction.",
                argument="test_fraction",
            )
        from sklearn.model_selection import train_test_split  # slow to import, and only needed here

        kept, held_out = (
            np.sort(rows) for rows in train_test_split(np.arange(len(values)), test_size=n_test, random_state=seed)
        )
        test, test_labels = values[held_out], None if labels is None else labels[held_out]
        values, labels = values[kept], None if labels is None else labels[kept]
    if len(values) < 2:
        raise UserError(f"{place}: there must be at least 2 development samples, but there is {len(values)}. Add some.")
    if max_samples is not None and max_samples < len(values):
        kept = np.sort(np.random.default_rng(seed).choice(len(values), max_samples, replace=False))
        values, labels = values[kept], None if labels is None else labels[kept]
    values.flags.writeable = test.flags.writeable = False
    return Dataset(
        name=name,
        development=values,
        test=test,
        development_labels=labels,
        test_labels=test_labels,
        image_shape=samples.image_shape,
        feature_names=samples.feature_names,
        value_range=samples.value_range,
        notes=samples.notes,
    )
