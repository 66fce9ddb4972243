"""Rows that are images, block by block, to a folder of PNG files."""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import numpy as np

from ae_model.errors import UserError
from ae_model.samples import Block

_DIGITS = 7
"""Of the numbers of images without names: so many that the order of the names is that of the numbers."""


def write_images(folder: Path, blocks: Iterable[Block], image_shape: tuple[int, ...]) -> float:
    """Write each row as a PNG file of 8 bits, grey or RGB; the folder gets them all or none.

    Values are rounded and clipped to 0 to 255. A file is called as the row is, with the suffix .png in place of its own
    (after it, where that name is taken), or by the row's number. Files of these names that are there are replaced,
    others stay.

    Args:
        folder: Where to; it is made if it is missing.
        blocks: The rows.
        image_shape: (height, width), (height, width, 1) or (height, width, 3).

    Returns:
        The highest value before it was clipped.

    Raises:
        UserError: If a row's name leads out of the folder.
        OSError: If a file cannot be written.
    """
    from PIL import Image

    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    highest = -np.inf
    shape = image_shape[:2] if image_shape[-1:] == (1,) and len(image_shape) == 3 else image_shape
    try:
        temporary.mkdir()
        taken: set[PurePosixPath] = set()
        for block in blocks:
            highest = max(highest, float(block.values.max()))
            pixels = np.clip(np.rint(block.values), 0, 255).astype(np.uint8)
            for row, image in enumerate(pixels):
                name = f"{len(taken):0{_DIGITS}d}" if block.names is None else block.names[row]
                path = temporary / _place(name, taken)
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(image.reshape(shape)).save(path)
        _move(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return highest


def _place(name: str, taken: set[PurePosixPath]) -> PurePosixPath:
    """Where the image of a row goes within the folder; the place is then taken."""
    path = PurePosixPath(name)
    if not path.name or path.is_absolute() or ".." in path.parts or "\0" in name:
        raise UserError(
            f"the name of a row must be that of a file within OUTPUT, but is {name!r}. "
            "Rename it, or leave the column of names out."
        )
    place = path.with_suffix(".png")
    if place in taken:  # a.jpg beside a.png
        place = path.with_name(f"{path.name}.png")
    while place in taken:
        place = place.with_name(f"{place.name}.png")
    taken.add(place)
    return place


def _move(source: Path, target: Path) -> None:
    """Move a folder into another's place, whose other files stay."""
    if not target.exists():
        source.rename(target)
        return
    for path in sorted(source.rglob("*")):
        place = target / path.relative_to(source)
        if path.is_dir():
            place.mkdir(exist_ok=True)
        else:
            os.replace(path, place)
