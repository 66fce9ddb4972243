"""Folders of images -> `Samples`."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import UInt8

from ae_model.errors import UserError
from ae_model.memory import require_memory
from ae_model.samples import Block, SampleBlocks, Samples, unreadable

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
_GREY_MODES, _COLOUR_MODES = ("1", "L", "LA"), ("P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "LAB")
"""Pillow's names of the kinds of image whose channels have eight bits or fewer."""
_PARTS = ("train/", "test/")
"""The subfolders of a folder that is split already."""

_Mode = Literal["L", "RGB"]


def read_images(folder: Path) -> Samples:
    """All images under a folder, in the order of their paths, as grey values or, if one has colours, as RGB.

    Images in subfolders are labelled with the subfolder's name. Where all images lie in the subfolders train/ and
    test/, and there is no other folder, these are the split, and what is below each of them gives the labels.

    Raises:
        UserError: If there is no image, one cannot be read, or their sizes differ.
    """
    paths = _image_paths(folder)
    if not _is_split(folder, paths):
        mode, size = _form_in_memory(folder, paths)
        values = _pixels(paths, mode, size)
        return Samples(
            values=values.reshape(len(values), -1),
            labels=_labels(folder, paths),
            image_shape=values.shape[1:],
            value_range=(0.0, 255.0),
        )
    train_folder, test_folder = (folder / part for part in _PARTS)
    train_paths, test_paths = _image_paths(train_folder), _image_paths(test_folder)
    mode, size = _form_in_memory(folder, [*train_paths, *test_paths])
    train, test = _pixels(train_paths, mode, size), _pixels(test_paths, mode, size)
    return Samples(
        values=train.reshape(len(train), -1),
        labels=_labels(train_folder, train_paths),
        test_values=test.reshape(len(test), -1),
        test_labels=_labels(test_folder, test_paths),
        image_shape=train.shape[1:],
        value_range=(0.0, 255.0),
    )


def image_blocks(folder: Path, n_rows: int) -> SampleBlocks:
    """The images of `read_images`, those of a split one after another, in parts of `n_rows`, with their paths as names.

    Raises:
        UserError: If there is no image, or sizes differ; of an image that cannot be read, when its turn comes.
    """
    paths = _image_paths(folder)  # sorted, but train/ comes before test/
    if _is_split(folder, paths):
        paths = [path for part in _PARTS for path in _image_paths(folder / part)]
    mode, size = _common_form(paths)
    parts = (paths[first : first + n_rows] for first in range(0, len(paths), n_rows))
    return SampleBlocks(
        blocks=(
            Block(
                values=_pixels(part, mode, size, paths[0]).reshape(len(part), -1),
                names=[path.relative_to(folder).as_posix() for path in part],
            )
            for part in parts
        ),
        n_samples=len(paths),
        names_are="file",
    )


def _image_paths(folder: Path) -> list[Path]:
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    if not paths:
        raise UserError(f"{folder}: holds no image. The suffix must be one of {', '.join(IMAGE_SUFFIXES)}.")
    return paths


def _is_split(folder: Path, paths: Sequence[Path]) -> bool:
    # Hidden folders are what programs leave behind, and count only if they hold images.
    subfolders = {f"{path.name}/" for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")}
    holders = {f"{path.relative_to(folder).parts[0]}/" for path in paths}
    return subfolders == set(_PARTS) and holders <= subfolders


def _labels(folder: Path, paths: Sequence[Path]) -> np.ndarray | None:
    labels = [path.parent.relative_to(folder).as_posix() for path in paths]
    return np.array(labels) if set(labels) != {"."} else None


def _form_in_memory(folder: Path, paths: Sequence[Path]) -> tuple[_Mode, tuple[int, int]]:
    """`_common_form`, if all images fit into memory."""
    mode, (width, height) = _common_form(paths)
    kind = "grey" if mode == "L" else "RGB"
    require_memory(
        len(paths) * width * height * (1 if mode == "L" else 3),
        str(folder),
        f"{len(paths)} {kind} images of {width} x {height} pixels",
        "Use smaller or fewer images.",
    )
    return mode, (width, height)


def _common_form(paths: Sequence[Path]) -> tuple[_Mode, tuple[int, int]]:
    """The mode that all images can be converted to, and their size; read from their heads alone."""
    from PIL import Image

    mode: _Mode = "L"
    size = None
    for path in paths:
        try:
            # Pillow warns of large images and of damage; what it cannot read is an error.
            with warnings.catch_warnings(action="ignore"), Image.open(path) as image:
                own_mode, own_size = image.mode, image.size
        except Exception as error:  # what Pillow raises on damaged images is anything
            raise unreadable(path, error) from error
        if own_mode not in (*_GREY_MODES, *_COLOUR_MODES):
            raise UserError(
                f"{path}: channels must have eight bits, but the image is of mode {own_mode!r}. Convert it."
            )
        size = size or own_size
        _check_size(path, own_size, paths[0], size)
        if own_mode not in _GREY_MODES:
            mode = "RGB"
    assert size is not None
    return mode, size


def _pixels(
    paths: Sequence[Path], mode: _Mode, size: tuple[int, int], first: Path | None = None
) -> UInt8[np.ndarray, "images height width *rgb"]:
    """The pixels of images; `first` is the one that messages compare with, the first of these if None."""
    from PIL import Image

    width, height = size
    pixels = np.empty((len(paths), height, width, *(() if mode == "L" else (3,))), np.uint8)
    for place, path in zip(pixels, paths, strict=True):
        try:
            with warnings.catch_warnings(action="ignore"), Image.open(path) as image:
                converted = image.convert("L" if image.mode in _GREY_MODES else "RGB")
        except Exception as error:  # as above
            raise unreadable(path, error) from error
        _check_size(
            path, converted.size, first or paths[0], size
        )  # some formats turn an image only when they decode it
        place[...] = np.asarray(converted.convert(mode))
    return pixels


def _check_size(path: Path, size: tuple[int, int], first: Path, first_size: tuple[int, int]) -> None:
    if size != first_size:
        raise UserError(
            f"{path}: all images must have one size, but this one has {size[0]} x {size[1]} and {first.name} has "
            f"{first_size[0]} x {first_size[1]}. Resize or remove it."
        )
