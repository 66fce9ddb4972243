"""Data sets that are known by name: those of scikit-learn and torchvision -> `Samples`."""

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ae_model.errors import UserError
from ae_model.samples import Samples

TORCHVISION_SOURCES = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST", "kmnist": "KMNIST", "cifar10": "CIFAR10"}
NAMED_SOURCES = ("digits", *TORCHVISION_SOURCES)


def read_named(source: str, data_dir: Path, download: bool) -> Samples:
    """Read one of `NAMED_SOURCES`.

    Args:
        source: The name of the data set.
        data_dir: Where torchvision's data sets lie, in the layout torchvision gives them.
        download: Whether torchvision may download what is not there.

    Raises:
        UserError: If its files are not there, and cannot or may not be downloaded.
    """
    return _read_digits() if source == "digits" else _read_torchvision(source, data_dir, download)


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
        raise UserError(
            f"{source} {action} data_dir = {str(data_dir)!r} ({reason.rstrip('.')}). "
            "Put torchvision's files there, or give another data_dir.",
            argument="data_dir",
        ) from error
    return Samples(
        values=images.reshape(len(images), -1),
        labels=labels,
        test_values=test_images.reshape(len(test_images), -1),
        test_labels=test_labels,
        image_shape=images.shape[1:],
        value_range=(0.0, 255.0),
    )
