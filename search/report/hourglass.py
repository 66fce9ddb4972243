"""The shape of an autoencoder as a drawing: a bar for each layer, as high as the layer is wide."""

from collections.abc import Sequence
from math import log

from markupsafe import Markup

_WIDTH, _HEIGHT, _BAR = 640, 220, 26
_MIDDLE, _LEAST = 100, 14


def hourglass(layer_sizes: Sequence[int]) -> Markup:
    """An SVG of encoder, code and decoder.

    Heights go with the logarithm of the width: of 784 and 10 units both must be seen.

    Args:
        layer_sizes: Widths of the encoder, input first, code last; the decoder mirrors them.
    """
    sizes = [*layer_sizes, *reversed(layer_sizes[:-1])]
    code = len(layer_sizes) - 1
    highest = log(max(sizes) + 1)
    heights = [_LEAST + (2 * _MIDDLE - 20 - _LEAST) * log(size + 1) / highest for size in sizes]
    step = (_WIDTH - _BAR - 20) / (len(sizes) - 1)
    left = [10 + n * step for n in range(len(sizes))]
    parts = []
    for n in range(len(sizes) - 1):
        x0, x1 = left[n] + _BAR, left[n + 1]
        y0, y1 = heights[n] / 2, heights[n + 1] / 2
        corners = ((x0, _MIDDLE - y0), (x1, _MIDDLE - y1), (x1, _MIDDLE + y1), (x0, _MIDDLE + y0))
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)
        parts.append(f'<polygon class="between" points="{points}"/>')
    for n, (size, height, x) in enumerate(zip(sizes, heights, left, strict=True)):
        kind = "code" if n == code else "outer" if n in (0, len(sizes) - 1) else "hidden"
        parts.append(
            f'<rect class="{kind}" x="{x:.1f}" y="{_MIDDLE - height / 2:.1f}" width="{_BAR}" height="{height:.1f}" '
            f'rx="4"/><text x="{x + _BAR / 2:.1f}" y="{_HEIGHT - 4}">{size}</text>'
        )
    label = f"Autoencoder with layers of {', '.join(map(str, sizes))} units; the code has {sizes[code]}."
    box = f'viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}"'
    return Markup(f'<svg class="hourglass" {box}>{"".join(parts)}</svg>')  # of numbers alone
