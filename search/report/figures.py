"""What all figures of a report share: their form, colours, and numbers that are short enough to send."""

import html
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

FOREGROUND, GRID = "@foreground", "@grid"
"""Colours that the page replaces by those of its light or dark scheme."""
BLUE, ORANGE, GREY = "#3d85d0", "#e0812b", "#8a8f98"
"""Of trials, of PCA, of what is beside the point; they can be seen on white and on black."""
CYCLE = (BLUE, "#2fa37c", "#b469c9", "#c79a1b", "#d9668f", "#5ea8b8", "#8c7be0", "#7d9a3c", "#c9764f", GREY)
MSE_TITLE = "validation MSE (scaled units²)"
_DIGITS = 6
_MAX_TICKS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A figure of Plotly's, with what stands around it."""

    name: str
    """What it is called in the page, one word."""
    title: str
    caption: str
    data: list[dict[str, Any]]
    """Traces, as Plotly takes them."""
    layout: Mapping[str, Any] = field(default_factory=dict)
    height: int = 380
    """In pixels."""


def short(values: Iterable[Any]) -> list[float | None]:
    """Numbers with as many digits as can be seen; None where there is none."""
    array = np.asarray(list(values), np.float64)
    return [float(f"{value:.{_DIGITS}g}") if np.isfinite(value) else None for value in array]


def pale(colour: str, opacity: float) -> str:
    """A colour like "#3d85d0", through which others can be seen."""
    return f"rgba({', '.join(str(int(colour[n : n + 2], 16)) for n in (1, 3, 5))}, {opacity:g})"


def literal(text: Any, longest: int = 60) -> str:
    """A text as Plotly is to draw it, letter by letter: it would read tags, and entities."""
    visible = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in str(text))
    return html.escape(visible if len(visible) <= longest else f"{visible[: longest - 1]}…", quote=False)


def axis(title: str, **more: Any) -> dict[str, Any]:
    """An axis with a title."""
    return {"title": {"text": title}, "automargin": True, **more}


def log_axis(title: str, values: Iterable[Any]) -> dict[str, Any]:
    """A logarithmic axis, with ticks at 1, 2 and 5 times the powers of ten that the values span, or at these alone."""
    found = np.asarray([value for value in values if value is not None], np.float64)
    found = found[np.isfinite(found) & (found > 0)]
    if not len(found):
        return axis(title)
    low, high = float(found.min()), float(found.max())
    if high < 4 * low:
        return axis(title, type="log")  # as on a linear one
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [step * 10.0**power for power in powers for step in (1, 2, 5) if low / 2 <= step * 10.0**power <= high * 2]
    if len(ticks) > _MAX_TICKS:
        ticks = [10.0**power for power in powers][:: 1 + len(powers) // _MAX_TICKS]
    return axis(title, type="log", tickvals=ticks, ticktext=[_tick(tick) for tick in ticks])


def _tick(value: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= 10 * size or (value >= size and size > 1e3):
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def band(
    x: list[Any], low: list[float | None], high: list[float | None], colour: str, opacity: float = 0.16, **more: Any
) -> dict[str, Any]:
    """The area between two curves."""
    return {
        "type": "scatter",
        "x": [*x, *reversed(x)],
        "y": [*high, *reversed(low)],
        "fill": "toself",
        "fillcolor": pale(colour, opacity),
        "line": {"width": 0},
        "hoverinfo": "skip",
        "showlegend": False,
        **more,
    }
