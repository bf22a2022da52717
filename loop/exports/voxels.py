"""Which voxels lie inside a closed surface, and which pixels inside outlines: what was exported, as it is simulated.

Coordinates as in `loop.exports.surface`; images have row 0 on top, which is where y is highest.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Floats = NDArray[np.floating]
BESIDE = (1.7e-3, 2.9e-3)
"""voxels by which rays pass centres, so as to meet no edge of a surface made of voxels"""


def inside(triangles: Floats, shape: tuple[int, ...]) -> Bools:
    """Voxels whose centre a closed surface encloses, by a ray along z through each column.

    Args:
        triangles: (n, 3, 3), in voxels, outward by the right-hand rule.
        shape: (nz, ny, nx).
    """
    nz, ny, nx = shape
    a, b, c = np.moveaxis(triangles.astype(float), 1, 0)
    first = np.ceil(np.minimum(np.minimum(a, b), c)[:, :2] - 0.5 - BESIDE).astype(int)
    last = np.floor(np.maximum(np.maximum(a, b), c)[:, :2] - 0.5 - BESIDE).astype(int)
    twice = _cross(b - a, c - a)
    turns = np.zeros((nz + 1, ny, nx), dtype=int)
    for step in np.ndindex(*(np.max(last - first, axis=0, initial=-1) + 1)):
        column = first + step
        ray = column + 0.5 + BESIDE
        u, v = _cross(ray - a[:, :2], c - a), _cross(b - a, ray - a[:, :2])
        hit = (column <= last).all(axis=1) & (column >= 0).all(axis=1) & (column < (nx, ny)).all(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            u, v = u / twice, v / twice
            hit &= (twice != 0) & (u >= 0) & (v >= 0) & (u + v <= 1)
        (x, y), s, t = column[hit].T, u[hit], v[hit]
        height = a[hit, 2] + s * (b - a)[hit, 2] + t * (c - a)[hit, 2]
        layer = np.clip(np.ceil(height - 0.5), 0, nz).astype(int)
        np.add.at(turns, (layer, y, x), np.where(twice[hit] < 0, 1, -1))
    return (np.cumsum(turns, axis=0)[:-1] > 0)[:, ::-1]


def within(polygons: Sequence[Floats], shape: tuple[int, ...]) -> Bools:
    """Pixels (ny, nx) whose centre lies within an odd number of polygons (n, 2), in pixels."""
    from skimage.measure import points_in_poly

    rows, columns = np.indices(shape)
    centres = np.stack([columns + 0.5, shape[0] - rows - 0.5], axis=-1).reshape(-1, 2)
    found = np.zeros(len(centres), dtype=bool)
    for polygon in polygons:
        found ^= points_in_poly(centres, polygon)
    return found.reshape(shape)


def _cross(one: Floats, other: Floats) -> Floats:
    return one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0]
