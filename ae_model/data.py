"""Data sources -> `Dataset`: named data sets, arrays, tables and folders of images."""

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from jaxtyping import Num

from ae_model.readers import Samples, read_samples

TORCHVISION_SOURCES = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST", "kmnist": "KMNIST", "cifar10": "CIFAR10"}
NAMED_SOURCES = ("digits", *TORCHVISION_SOURCES)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dataset:
    """Samples, split into what a search may see and what is held out until the end."""

    name: str
    development: Num[np.ndarray, "samples features"]
    """All rows that a search may see; uint8 or float32, read-only."""
    test: Num[np.ndarray, "test_samples features"]
    """The rows that only the final evaluation reads."""
    development_labels: np.ndarray | None = None
    """`(n_samples,)`; carried along, never trained on."""
    test_labels: np.ndarray | None = None
    image_shape: tuple[int, ...] | None = None
    """`(height, width)` or `(height, width, channels)`; None for tables."""
    feature_names: tuple[str, ...] | None = None
    value_range: tuple[float, float] | None = None
    """Lowest and highest possible value where the data has such limits by its nature (images); None for tables."""

    def fingerprint(self) -> str:
        """Hash of the development rows and of how they are scaled: equal for equal searches."""
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
    features: Sequence[str] | None = None,
    seed: int = 0,
) -> Dataset:
    """Load a data source and set its test split aside.

    Args:
        source: "digits" (bundled with scikit-learn), "mnist", "fashion-mnist", "kmnist", "cifar10" (by torchvision), or
            the path of a .npy, .npz, .csv or .parquet file or of a folder of images.
        data_dir: Where torchvision's data sets lie, in the layout torchvision gives them.
        download: Whether torchvision may download what is not there.
        test_fraction: Part of the samples that becomes the test split where the source has none of its own, in (0, 1).
        max_samples: Upper limit for the number of development samples, which are then drawn at random.
        label_column: Column of a table that holds labels, not a feature.
        features: Columns of a table to read, in this order; all but the label column if None.
        seed: Of the split and the draw.

    Returns:
        The data set, with at least two development samples and one test sample.

    Raises:
        ValueError: If the source is unknown, missing or unreadable, or a value is not a finite number; the message
            names the file, row and column.
    """
    if max_samples is not None and max_samples < 2:
        raise ValueError(f"data.max_samples must be at least 2, but is {max_samples}. Raise it.")
    samples = _read(str(source), Path(data_dir), download, label_column, features)
    values, labels = samples.values, samples.labels
    test, test_labels = samples.test_values, samples.test_labels
    if test is None:
        n_test = int(np.ceil(test_fraction * len(values)))
        if len(values) - n_test < 2 or n_test < 1:
            raise ValueError(
                f"{source}: development and test need at least 2 and 1 samples, but test_fraction={test_fraction} of "
                f"{len(values)} leaves {len(values) - n_test} and {n_test}. Use more samples or another test_fraction."
            )
        from sklearn.model_selection import train_test_split  # slow to import, and only needed here

        kept, held_out = (
            np.sort(rows) for rows in train_test_split(np.arange(len(values)), test_size=n_test, random_state=seed)
        )
        test, test_labels = values[held_out], None if labels is None else labels[held_out]
        values, labels = values[kept], None if labels is None else labels[kept]
    if len(values) < 2:
        raise ValueError(
            f"{source}: there must be at least 2 development samples, but there is {len(values)}. Add some."
        )
    if max_samples is not None and max_samples < len(values):
        kept = np.sort(np.random.default_rng(seed).choice(len(values), max_samples, replace=False))
        values, labels = values[kept], None if labels is None else labels[kept]
    values.flags.writeable = test.flags.writeable = False
    return Dataset(
        name=source_name(source),
        development=values,
        test=test,
        development_labels=labels,
        test_labels=test_labels,
        image_shape=samples.image_shape,
        feature_names=samples.feature_names,
        value_range=samples.value_range,
    )


def source_name(source: str | Path) -> str:
    """What a source is called: a named source's name, a path's last part without its suffix."""
    return str(source) if str(source) in NAMED_SOURCES else Path(source).resolve().stem


def _read(
    source: str, data_dir: Path, download: bool, label_column: str | None, features: Sequence[str] | None
) -> Samples:
    if source == "digits":
        return _read_digits()
    if source in TORCHVISION_SOURCES:
        return _read_torchvision(source, data_dir, download)
    if not os.path.exists(source):  # unlike Path.exists, false for a name that no file can have
        raise ValueError(
            f"{source}: no such file or folder, and no named source. Give a path, or one of {', '.join(NAMED_SOURCES)}."
        )
    return read_samples(source, label_column, features)


def _read_digits() -> Samples:
    from sklearn.datasets import load_digits  # scikit-learn's data sets are slow to import

    digits = load_digits()
    return Samples(
        values=digits.data.astype(np.uint8), labels=digits.target, image_shape=(8, 8), value_range=(0.0, 16.0)
    )


def _read_torchvision(source: str, data_dir: Path, download: bool) -> Samples:
    from torchvision import datasets  # slow to import, and only needed here

    make: Callable[..., object] = getattr(datasets, TORCHVISION_SOURCES[source])

    def arrays(train: bool) -> tuple[np.ndarray, np.ndarray]:
        try:
            part = make(data_dir, train=train, download=False)
        except RuntimeError:
            if not download:
                raise
            part = make(data_dir, train=train, download=True)
        images, labels = np.asarray(part.data), np.asarray(part.targets)  # type: ignore[attr-defined]  # it is untyped
        if len(images) != len(labels):
            raise ValueError(f"there are {len(images)} images and {len(labels)} labels")
        return images, labels

    try:
        with warnings.catch_warnings(action="ignore"):  # torch's, of old files: what cannot be read is an error
            (images, labels), (test_images, test_labels) = arrays(True), arrays(False)
        if images.shape[1:] != test_images.shape[1:]:
            raise ValueError(f"the images have the shapes {images.shape[1:]} and {test_images.shape[1:]}")
    except (
        Exception
    ) as error:  # what torchvision raises on foreign and damaged files is not documented, and is anything
        lines = str(error).splitlines() or [type(error).__name__]
        reason = lines[0] if len(lines) == 1 else f"{lines[0].rstrip(':')}: {lines[-1]}"
        action = "could not be downloaded to" if download else "is not in"
        raise ValueError(
            f"{source} {action} data.data_dir = {str(data_dir)!r} ({reason.rstrip('.')}). "
            "Put torchvision's files there, or give another --data-dir."
        ) from error
    return Samples(
        values=images.reshape(len(images), -1),
        labels=labels,
        test_values=test_images.reshape(len(test_images), -1),
        test_labels=test_labels,
        image_shape=images.shape[1:],
        value_range=(0.0, 255.0),
    )
