"""The curves of a design on the band of its class, as a small drawing for pages."""

import numpy as np
from numpy.typing import NDArray

from janus_al.likeness import Likeness, curves

PANELS = {"two_point": "two-point", "path_1": "paths in label 1", "path_0": "paths in label 0"}
COLOURS = ("#0072b2", "#d55e00", "#009e73")
"""of the axes, that with the smallest surface first"""
WIDE, HIGH, ROOM = 150, 40, 16
"""of a panel, and above each, in pixels of a narrow column"""
LOWEST = -0.5
"""of the ordinate, which ends at 1"""


def drawing(likeness: Likeness, image: NDArray[np.integer]) -> str:
    """SVG: for each curve a panel, along each axis the class's 5-95 % band shaded and the image's own curve drawn."""
    found = curves(image[None], likeness.boundary, likeness.lags)
    parts = list[str]()
    for number, (name, title) in enumerate(PANELS.items()):
        top = number * (ROOM + HIGH) + ROOM
        parts.append(f'<text x="0" y="{top - 4}" font-size="10" fill="#5b6675">{title}</text>')
        parts.append(f'<polyline points="{_at(top, np.zeros(2))}" stroke="#b0b8c2" stroke-width="0.5" fill="none"/>')
        for axis, colour in zip(range(image.ndim), COLOURS, strict=False):
            low, high = (np.array(end[name][axis]) for end in (likeness.low, likeness.high))
            band = f"{_at(top, low)} {' '.join(reversed(_at(top, high).split()))}"
            parts.append(f'<polygon points="{band}" fill="{colour}" fill-opacity="0.18"/>')
        for axis, colour in zip(range(image.ndim), COLOURS, strict=False):
            line = _at(top, found[name][0, axis])
            parts.append(f'<polyline points="{line}" stroke="{colour}" stroke-width="1.2" fill="none"/>')
    words = "its two-point and lineal-path functions on the band of the class"
    size = f'viewBox="0 0 {WIDE} {3 * (ROOM + HIGH) + 2}"'
    return f'<svg {size} role="img" aria-label="{words}">{"".join(parts)}</svg>'


def _at(top: float, values: NDArray[np.float64]) -> str:
    """Points of a curve in a panel, from its left end to its right one."""
    x = np.linspace(0, WIDE, len(values))
    y = top + HIGH * (1 - np.clip(values, LOWEST, 1)) / (1 - LOWEST)
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
