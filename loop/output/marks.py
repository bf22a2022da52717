"""What says on a picture of a plane where x and y run and how long a pixel is."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from janus_al.lengths import in_words, metres
from janus_al.material import Material

INK, SOFT = (28, 36, 48), (91, 102, 117)
STRIP, FONT, NARROWEST = 46, 15, 340
"""pixels of the room below a picture, of the letters there, and of the width that they need"""
SHARE = 0.4
"""of the width that a scale bar takes at most"""


@dataclass(frozen=True)
class Bar:
    """A scale bar: its length in words, and as a part of the picture's width."""

    words: str
    part: float


def scale_bar(pixel: str, width: int) -> Bar | None:
    """A round length of at most `SHARE` of so many pixels; None where a pixel's length is not known."""
    if not pixel:
        return None
    whole = metres(pixel) * width
    exponent = math.floor(math.log10(whole * SHARE))
    length = max(step * 10.0**exponent for step in (1, 2, 5) if step * 10.0**exponent <= whole * SHARE * (1 + 1e-9))
    return Bar(in_words(length), length / whole)


def directions(material: Material) -> dict[str, str]:
    """Of x and y what a property along them is called, as {"x": "x: kxx"}."""
    named = {n[1]: n for p in material.physics if p.simulator == "conduction" for n in p.properties if n[1] == n[2]}
    return {axis: f"{axis}: {named[axis]}" if axis in named else axis for axis in "xy"}


def picture(labels: NDArray[np.integer], material: Material, pixel: str = "", least: int = 480) -> Any:
    """A plane's pixels, label 0 dark and the others bright, with its axes and, where it is known, a scale bar below."""
    from PIL import Image, ImageDraw, ImageFont

    scale = max(1, -(-least // max(labels.shape)))
    grey = np.kron(np.where(labels > 0, 245, 40).astype(np.uint8), np.ones((scale, scale), np.uint8))
    high, wide = grey.shape
    across = max(wide, NARROWEST)
    whole = Image.new("RGB", (across, high + STRIP), "white")
    whole.paste(Image.fromarray(grey), (0, 0))
    draw, font, words, middle = ImageDraw.Draw(whole), ImageFont.load_default(FONT), directions(material), high + 24
    draw.rectangle((0, 0, wide - 1, high - 1), outline=SOFT)
    _arrow(draw, (8, middle), (48, middle))
    draw.text((54, middle), words["x"], INK, font, "lm")
    _arrow(draw, (124, high + 8), (124, high + 40))
    draw.text((132, middle), words["y"], INK, font, "lm")
    if (bar := scale_bar(pixel, labels.shape[1])) is not None:
        right = across - 8
        left = right - round(bar.part * wide)
        draw.rectangle((left, high + 10, right, high + 14), fill=INK)
        draw.text(((left + right) / 2, high + 31), bar.words, INK, font, "mm")
    return whole


def _arrow(draw: Any, tail: tuple[float, float], tip: tuple[float, float]) -> None:
    along = np.array(tip, float) - tail
    along /= np.hypot(*along)
    away = np.array([-along[1], along[0]])
    draw.line([tail, tuple(np.array(tip) - 4 * along)], INK, 2)
    draw.polygon([tip, *(tuple(np.array(tip) - 9 * along + side * 4.5 * away) for side in (-1, 1))], INK)
