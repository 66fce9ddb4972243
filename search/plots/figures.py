"""What all pictures share: colours, style, ticks, and how they reach the disk."""

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from search.files import replace_file

BLUE, ORANGE, GREY = "#2a6fbb", "#d9720f", "#7a7a7a"
"""The autoencoder on samples it was not trained on; PCA; everything else."""
DARK = "#222222"
"""Text, and what must stand out."""
MAX_BARS = 40
"""How many rows of a picture can still be read."""
SMALL = 9
"""Size in points of text that explains details."""
MSE_LABEL = "MSE (scaled units squared)"
FAR_BELOW = 1000
"""How many times smaller than the autoencoder's MSE PCA's may be, to be still on the axis: with as many components as
features it is only rounding, some 30 decades below."""
_STYLE: dict[Any, Any] = {
    "font.size": 11,
    "text.color": DARK,
    "axes.labelcolor": DARK,
    "xtick.labelcolor": DARK,
    "ytick.labelcolor": DARK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 13,
    "axes.titlelocation": "left",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "figure.titlesize": 13,
    "savefig.dpi": 150,
}


class _Picture(Figure):
    """A figure that a notebook shows, with pyplot or without."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        with _style():
            self.savefig(buffer, format="png")
        return buffer.getvalue()


@contextmanager
def _style() -> Iterator[None]:
    """While the block draws, the pictures' own style."""
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        # Letters that the font lacks are drawn as boxes; a name in another script is no reason to warn.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def save(draw: Callable[[Figure], None], path: Path | None, size: tuple[float, float] = (8, 5)) -> Figure:
    """Draw a figure, and write it as a PNG.

    Args:
        draw: Called with the empty figure.
        path: Where the picture is written; nowhere if None.
        size: The picture's width and height in inches.
    """
    with _style():
        figure = _Picture(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure)
        if path is not None:
            replace_file(path, lambda temporary: figure.savefig(temporary, format="png"))
    return figure


def log_ticks(axis: Axis) -> None:
    """Few ticks on a logarithmic axis, written as plain numbers."""
    low, high = sorted(axis.get_view_interval())
    # Over three decades and more, the numbers between the powers of ten would run into each other.
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 1000 * low else (1,), numticks=8))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}" if value >= 1000 else f"{value:g}"))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def literal(text: str, length: int = 30) -> str:
    """Any text, as matplotlib is to show it: shortened, and with dollars that open no formula."""
    text = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
    return (text if len(text) <= length else text[: length - 1] + "…").replace("$", r"\$")


def three_digits(value: float, sign: str = "") -> str:
    """A number with three digits that count, zeros too: 0.100, 12.0, 284.

    Args:
        value: Any number.
        sign: "+" if positive numbers are to have a sign too.
    """
    return f"{value:{sign}#.3g}".removesuffix(".")
