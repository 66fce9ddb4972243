"""Images and what models make of them -> one picture."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from search.plots.figures import SMALL, literal, save, three_digits

_MIN_COLUMNS = 5
"""The picture is at least this wide, so that the heading has room above few images."""


def reconstructions(
    inputs: np.ndarray,
    outputs: np.ndarray,
    pca_outputs: np.ndarray | None,
    image_shape: tuple[int, ...],
    value_range: tuple[float, float] | None,
    path: Path | None = None,
    *,
    mse: np.ndarray,
    pca_mse: np.ndarray | None,
    titles: Sequence[str],
) -> Figure:
    """Images above, what the autoencoder makes of them below, and PCA's reconstructions under these.

    Args:
        inputs: The images, `(n_images, n_features)`, in their own units.
        outputs: The autoencoder's reconstructions, of the same shape.
        pca_outputs: PCA's reconstructions with as many components as the code has units; None if there are none.
        image_shape: The shape of an image, `(height, width)` or `(height, width, channels)`.
        value_range: The values of black and white; the inputs' smallest and largest if None.
        path: Where the picture is written; nowhere if None.
        mse: The MSE of each of `outputs`, `(n_images,)`, in scaled units squared.
        pca_mse: The MSE of each of `pca_outputs`.
        titles: The short texts above the images.
    """
    low, high = value_range or (float(inputs.min()), float(inputs.max()))
    rows: list[tuple[str, np.ndarray, np.ndarray | None]] = [("input", inputs, None), ("autoencoder", outputs, mse)]
    if pca_outputs is not None:
        rows.append(("PCA", pca_outputs, pca_mse))
    n_columns = max(len(inputs), _MIN_COLUMNS)
    wrapped = [_wrapped(title) for title in titles]

    def draw(figure: Figure) -> None:
        grid = figure.subplots(len(rows), n_columns, squeeze=False)
        for row, (name, images, errors) in enumerate(rows):
            for column, axes in enumerate(grid[row]):
                if column >= len(images):
                    axes.set_axis_off()
                    continue
                image = images[column].reshape(image_shape).squeeze(axis=2 if image_shape[2:] == (1,) else ())
                shown = np.clip((image - low) / ((high - low) or 1), 0, 1)
                axes.imshow(shown, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
                axes.set(xticks=[], yticks=[])
                axes.spines[:].set_visible(True)  # else a white image on white has no edge
                axes.spines[:].set_color("#bbbbbb")
                axes.spines[:].set_linewidth(0.5)
                if row == 0:
                    axes.set_title(wrapped[column], fontsize=SMALL, loc="center")
                if errors is not None:
                    axes.set_xlabel(three_digits(errors[column]), fontsize=SMALL, labelpad=2)
            grid[row, 0].set_ylabel(name, rotation=0, ha="right", va="center")
        figure.suptitle("Test samples and their reconstructions", x=0.01, ha="left")
        figure.supxlabel("under each reconstruction its MSE (scaled units squared)", fontsize=SMALL, x=0.01, ha="left")

    # Each picture an inch wide, and as high as its shape asks for.
    height = min(max(image_shape[0] / image_shape[1], 0.3), 3.0)
    lines = max((title.count("\n") + 1 for title in wrapped), default=0)
    return save(draw, path, size=(1.1 * n_columns + 1.1, len(rows) * (height * 1.05 + 0.24) + 0.15 * lines + 0.55))


def _wrapped(title: str) -> str:
    """A title in lines that are no wider than an image."""
    lines = [line for part in title.split(", ", 1) for line in textwrap.wrap(part, 15)]
    kept = [*lines[:2], lines[2] + "…"] if len(lines) > 3 else lines
    return "\n".join(literal(line) for line in kept)
