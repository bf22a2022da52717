"""Pictures of volumes: a phase's surface, a block of all phases cut open, and the three middle planes."""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from janus_al.lengths import in_words, metres
from janus_al.material import Material
from janus_al.properties import row_of
from loop.output.painter import PLAIN, Painter, Points

AMBER, HEAT = (238, 170, 72), (176, 58, 0)
SMOOTHING = (0.5, -0.52) * 4
"""parts of the way to its neighbours' middle that a vertex goes, step by step"""
FURTHEST = 0.2
"""cells along x, y and z from where it was that a vertex comes at most, so that single cells stay to be seen"""


@dataclass(frozen=True)
class Volume:
    """What there is to see.

    Attributes:
        labels: (nz, ny, nx).
        phase: label of the phase whose surface is drawn.
        heat: of each axis along which heat is conducted the property, as {"z": "kzz"}.
        pixel: length of a cell's side, such as 0.5um; empty if it is not known.
    """

    labels: NDArray[np.integer]
    phase: int = 1
    heat: Mapping[str, str] = field(default_factory=dict)
    pixel: str = ""

    @classmethod
    def of(cls, labels: NDArray[np.integer], material: Material, pixel: str = "") -> "Volume":
        """With the phase that conducts best, or is the stiffest: the first property decides."""
        name = material.simulated[0]
        constant = material.of(name).constants.get(row_of(name).driver)
        heat = {n[1]: n for p in material.physics if p.simulator == "conduction" for n in p.properties if n[1] == n[2]}
        return cls(labels, int(np.argmax(constant)) if isinstance(constant, tuple) else 1, heat, pixel)

    @property
    def upright(self) -> NDArray[np.integer]:
        """The labels with the last row first: seen from above, a layer looks as a picture of a plane does.

        So x, the rows upwards and z turn as in what is exported (`loop.exports.surface`), and are right-handed.
        """
        return self.labels[:, ::-1]

    @property
    def sides(self) -> NDArray[np.intp]:
        """nx, ny, nz."""
        return np.array(self.labels.shape[::-1])

    @property
    def lengths(self) -> dict[str, str]:
        """Of each axis how long the side is, as ", 16 um"; empty where it is not known."""
        if not self.pixel:
            return dict.fromkeys("xyz", "")
        edge = metres(self.pixel)
        return {a: f", {in_words(edge * side)}" for a, side in zip("xyz", self.sides.tolist(), strict=True)}

    @property
    def titles(self) -> dict[str, tuple[str, tuple[int, int, int]]]:
        """Words and colour of each axis, whose arrow is as long as the side."""
        heat = {a: f"{a}: heat, {self.heat[a]}" for a in self.heat}
        return {a: (heat.get(a, a) + self.lengths[a], HEAT if a in heat else PLAIN) for a in "xyz"}


def surface(volume: Volume) -> tuple[Points, NDArray[np.integer]]:
    """The phase's closed surface, its steps smoothed a little and none of its parts lost.

    Marching cubes (Lorensen and Cline 1987), then Taubin's smoothing (1995). What lies in a face of the volume stays
    there.

    Returns:
        vertices (n, 3) in cells, along x, from the last row upwards and along z, and triangles (m, 3), anticlockwise
        seen from outside; none of a phase that is nowhere.
    """
    from scipy.sparse import coo_array
    from skimage.measure import marching_cubes

    within = volume.upright == volume.phase
    if not within.any():
        return np.empty((0, 3)), np.empty((0, 3), dtype=int)
    found, triangles, *_ = marching_cubes(np.pad(within, 1).astype(np.float32), 0.5)
    vertices = raw = found[:, ::-1].astype(float) - 0.5
    furthest = np.where((raw == 0) | (raw == volume.sides), 0, FURTHEST)
    rows, columns = np.concatenate([triangles[:, pair] for pair in ((0, 1), (1, 2), (2, 0))]).T
    near = coo_array((np.ones(len(rows)), (rows, columns)), shape=(len(vertices),) * 2).tocsr()
    count = near.sum(axis=1)[:, None]
    for step in SMOOTHING:
        moved = vertices + step * (near @ vertices / count - vertices)
        vertices = moved.clip(raw - furthest, raw + furthest)
    return vertices, triangles


def render(volume: Volume, size: int = 420) -> Image.Image:
    """The phase's surface, `size` pixels wide and high."""
    vertices, triangles = surface(volume)
    return _paint(volume, vertices[triangles], np.full((len(triangles), 3), AMBER), size)


def block(volume: Volume, size: int = 420) -> Image.Image:
    """All phases, label 0 dark and the highest bright, without the octant that is nearest to the eye."""
    nz, ny, nx = volume.labels.shape
    solid = np.pad(np.ones(volume.labels.shape, bool), 1)
    solid[1 + nz // 2 :, : 1 + ny // 2, 1 + nx // 2 :] = False
    greys = 40 + 205 * volume.upright.astype(float) / max(int(volume.labels.max()), 1)
    unit, squares, colours = np.eye(3), [], []
    for axis, way in ((0, 1), (1, -1), (2, 1)):
        z, y, x = np.nonzero((solid & ~np.roll(solid, -way, 2 - axis))[1:-1, 1:-1, 1:-1])
        one, other = unit[(axis + 1) % 3], unit[(axis + 2) % 3]
        square = np.array([0 * one, one, one + other, other])[::way] + max(way, 0) * unit[axis]
        squares.append(np.stack([x, y, z], axis=-1)[:, None] + square)
        colours.append(greys[z, y, x].astype(int))
    return _paint(volume, np.concatenate(squares), np.concatenate(colours)[:, None].repeat(3, axis=1), size)


def _paint(volume: Volume, faces: Points, colours: NDArray[np.integer], size: int) -> Image.Image:
    painter = Painter(volume.sides, size)
    painter.edges()
    painter.faces(faces, colours)
    for number, (words, colour) in enumerate(volume.titles.values()):
        painter.arrow(number, words, colour)
    return painter.finish()


def sheet(volume: Volume) -> Image.Image:
    """Surface and block side by side."""
    views = [render(volume), block(volume)]
    return Image.fromarray(np.concatenate([np.asarray(view) for view in views], axis=1))


def slices(volume: Volume) -> bytes:
    """The middle planes across z, y and x, as PNG: in the first y runs down, as in pictures of planes, then z up."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    with plt.rc_context({"font.size": 12}):
        figure, axes = plt.subplots(1, 3, figsize=(7.2, 2.8), layout="constrained")
    highest, long = max(int(volume.labels.max()), 1), volume.lengths
    for axis, (name, across, up) in zip(axes, (("z", "x", "y"), ("y", "x", "z"), ("x", "y", "z")), strict=True):
        number, wide, high = ("xyz".index(letter) for letter in (name, across, up))
        middle, (width, height) = volume.sides[number] // 2, volume.sides[[wide, high]]
        plane = volume.labels.take(middle, axis=2 - number)
        ends = (height, 0) if up == "y" else (0, height)
        origin = "upper" if up == "y" else "lower"
        axis.imshow(plane, "gray", vmin=-0.15, vmax=1.05 * highest, extent=(0, width, *ends), origin=origin)
        axis.set(
            title=f"{name} = {middle}",
            xlabel=across + long[across],
            ylabel=up + long[up],
            xticks=[0, width],
            yticks=[0, height],
        )
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100, metadata={"Software": None})
    plt.close(figure)
    return buffer.getvalue()


def png(image: Image.Image) -> bytes:
    """A picture's file."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
