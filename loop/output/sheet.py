"""The contact sheet: how pictures were understood, and the tiles that were cut, before anything is paid."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from janus_al.files import atomic_path
from loop.files.outputs import SHEET
from simulators.structures.thresholds import Picture
from simulators.structures.tiles import part

PICTURES, TILES, ROW = 4, 24, 8
"""shown at most, evenly chosen; tiles in a row"""
PANEL, TILE, GAP, LINE = 542, 128, 10, 22
"""sides of a picture and of a tile, what is left between them, height of a line of text; all in pixels"""
WIDTH = 2 * PANEL + 3 * GAP
BORDER, CUT, INK, PALE = (255, 120, 0), (0, 120, 255), (20, 20, 20), (120, 120, 120)

LEGEND = "orange: between labels; blue: around all tiles; right: labels, 0 black; below tiles: part not label 0"

Tile = tuple[int, Sequence[int], bool]
"""number of its picture, its first cell, whether it is to be simulated"""


def write_sheet(
    path: Path, pictures: Sequence[Picture], tiles: Sequence[Tile], side: Sequence[int], title: str
) -> None:
    """Greys with the border of the labels beside the labels, and tiles with the part of them that is not label 0.

    Of volumes the middle layer. Blue is drawn around what the tiles cover.
    """
    shown = _some(len(pictures), PICTURES)
    some = [tiles[i] for i in _some(len(tiles), TILES)] if any(p.labels.shape != side for p in pictures) else []
    ends = {n: np.quantile(pictures[n].grey, [0.002, 0.998]).tolist() for n in {*shown, *(n for n, _, _ in some)}}
    rows = [_panels(pictures[n], ends[n], [c for number, c, _ in tiles if number == n], side) for n in shown]
    heights = [LINE + greys.height + GAP for greys, _ in rows]
    sheet = Image.new("RGB", (WIDTH, LINE + GAP + sum(heights) - (-len(some) // ROW) * (TILE + LINE)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    draw.text((GAP, 4), title, INK, font)
    draw.text((WIDTH - GAP, 4), LEGEND, PALE, font, "ra")
    y = LINE + GAP
    for number, panels, height in zip(shown, rows, heights, strict=True):
        draw.text((GAP, y), f"{pictures[number].path.name}: {_told(pictures[number])}", INK, font)
        for column, panel in enumerate(panels):
            sheet.paste(panel, (GAP + column * (PANEL + GAP), y + LINE))
        y += height
    for place, (number, corner, simulated) in enumerate(some):
        grey, labels = (part(a, corner, side) for a in (pictures[number].grey, pictures[number].labels))
        at = GAP + place % ROW * (TILE + GAP), y + place // ROW * (TILE + LINE)
        sheet.paste(_bordered(grey, labels, TILE, ends[number]), at)
        words = f"{(labels > 0).mean():.2f}" + " simulated" * simulated
        draw.text((at[0], at[1] + TILE + 2), words, INK if simulated else PALE, font)
    about = PngInfo()
    about.add_text("Software", SHEET)
    with atomic_path(path) as temporary:
        sheet.save(temporary, "PNG", pnginfo=about)


def _told(picture: Picture) -> str:
    parts = ", ".join(f"label {label} {part:.1%}" for label, part in enumerate(picture.fractions))
    cut = f", threshold {', '.join(f'{t:.6g}' for t in picture.thresholds)}" if picture.thresholds else ""
    return f"{' x '.join(map(str, picture.labels.shape))}, {picture.kind}{cut}: {parts}"


def _some(count: int, most: int) -> list[int]:
    """So many numbers below `count`, evenly spaced."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int)).tolist()


def _panels(
    picture: Picture, ends: Sequence[float], corners: Sequence[Sequence[int]], side: Sequence[int]
) -> tuple[Image.Image, Image.Image]:
    """A picture's greys, with a frame around what tiles cover, and its labels."""
    labels = _plane(picture.labels)
    greys = _bordered(picture.grey, picture.labels, PANEL, ends)
    if len(corners):
        factor = greys.width / labels.shape[1]
        (top, left), (bottom, right) = np.min(corners, axis=0)[-2:], (np.max(corners, axis=0) + side)[-2:]
        left, top, right, bottom = (round(float(end) * factor) for end in (left, top, right, bottom))
        ImageDraw.Draw(greys).rectangle((left, top, right - 1, bottom - 1), outline=CUT)
    bright = (labels.astype(float) * 255 / max(len(picture.fractions) - 1, 1)).astype(np.uint8)
    shown = Image.fromarray(bright).resize(greys.size, Image.Resampling.NEAREST).convert("RGB")
    ImageDraw.Draw(shown).rectangle((0, 0, shown.width - 1, shown.height - 1), outline=PALE)
    return greys, shown


def _bordered(grey: NDArray[Any], labels: NDArray[Any], size: int, ends: Sequence[float]) -> Image.Image:
    """A plane's greys, dark to bright between two ends, with the border between its labels."""
    grey, labels = _plane(grey), _plane(labels)
    factor = size / max(labels.shape)
    factor = int(factor) if factor >= 1 else factor
    wide, high = (max(round(n * factor), 1) for n in labels.shape[::-1])
    scaled = ((grey.astype(float) - ends[0]) / max(ends[1] - ends[0], 1e-300)).clip(0, 1) * 255
    how = Image.Resampling.NEAREST if factor >= 1 else Image.Resampling.BOX
    seen = np.array(Image.fromarray(scaled.astype(np.uint8)).resize((wide, high), how).convert("RGB"))
    where = np.array(Image.fromarray(labels.astype(np.uint8)).resize((wide, high), Image.Resampling.NEAREST))
    border = np.zeros(where.shape, dtype=bool)
    border[1:] |= where[1:] != where[:-1]
    border[:, 1:] |= where[:, 1:] != where[:, :-1]
    seen[border] = BORDER
    return Image.fromarray(seen)


def _plane(image: NDArray[Any]) -> NDArray[Any]:
    return image if image.ndim == 2 else image[len(image) // 2]
