"""Surfaces and outlines of a phase that close, from its voxels as they are or smoothed.

Both are marching cubes, or squares in the plane. Voxels as they are have two samples a side, `GAP` within their faces:
what is found lies in the faces themselves, and phases that touch at an edge or a corner alone come apart by chamfers
of that size, so that every edge belongs to two triangles. Elsewhere the chamfers are drawn together to the voxel's
corner. A smoothed phase has samples at the voxels' corners, of which those of the box lie in its faces, and the level
is the one that keeps the volume. Either way samples beyond the box are empty, which closes the surface there.

Coordinates are in voxels, (x, y, z) with x to the right, y up from the bottom row, z from the first layer on.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import trimesh

Bools = NDArray[np.bool_]
Floats = NDArray[np.floating]
GAP = 2.5e-4
"""voxels"""
APART = 0.501
"""level between 0 and 1 at which voxels that touch at an edge alone stay apart: no heat passes there"""
NUDGES = (1e-6, -1e-6, 1e-5, -1e-5)
"""of a level that is that of a sample, through which surfaces touch themselves"""
EMPTY = -1.0


def surface(phase: Bools, smooth: float = 0.0, periodic: bool = False) -> "trimesh.Trimesh":
    """The closed surface of a phase, with outward normals, in voxels.

    Args:
        phase: (nz, ny, nx), some of it true; a single layer is a plane, extruded, and smoothed in the plane alone.
        smooth: standard deviation of a Gaussian filter, in voxels; 0 leaves the voxels' faces as they are.
        periodic: whether the filter goes on through the opposite faces, so that cells fit together.
    """
    if not smooth:
        return _mesh(*_marched(_doubled(phase), APART, lambda index: _snapped(index, phase)), phase.shape)
    field = _at_corners(phase, smooth, periodic)
    top = np.array(phase.shape)

    def at(level: float) -> tuple[Floats, NDArray[Any]]:
        return _marched(field, level, lambda index: np.clip(index - 1, 0, top))

    level = _level(lambda level: _volume(*at(level)), field, int(phase.sum()))
    for step in (0, *NUDGES):
        mesh = _mesh(*at(level + step), phase.shape)
        if mesh.is_watertight:
            break
    return mesh


def outlines(phase: Bools, smooth: float = 0.0, periodic: bool = False) -> list[Floats]:
    """Closed polygons (n, 2) of a phase (ny, nx): around it against the clock, around its holes with it."""
    if not smooth:
        return _polygons(_doubled(phase), APART, lambda index: np.floor((index + 1e-4) / 2), phase.shape)
    field = _at_corners(phase, smooth, periodic)
    top = np.array(phase.shape)

    def at(level: float) -> list[Floats]:
        return _polygons(field, level, lambda index: np.clip(index - 1, 0, top), phase.shape)

    return at(_level(lambda level: sum(map(area, at(level))), field, int(phase.sum())))


def area(polygon: Floats) -> float:
    """Of a polygon (n, 2), positive if it runs against the clock."""
    (x, y), (u, v) = polygon.T, np.roll(polygon, -1, axis=0).T
    return float((x * v - u * y).sum() / 2)


# --- samples


def _doubled(phase: Bools) -> Floats:
    wide = phase.astype(np.float32)
    for axis in range(phase.ndim):
        wide = wide.repeat(2, axis)
    return np.pad(wide, 1)


def _snapped(index: Floats, phase: Bools) -> Floats:
    """Positions in voxels of vertices of the doubled samples: corners of voxels, or `GAP` off where phases touch."""
    corner = np.floor((index + 1e-4) / 2).astype(int)
    off = np.rint(2 * (index - 2 * corner) - 1)  # -1 and 1 on either side of the corner, 0 in the face
    apart = _contacts(phase)[tuple(corner.T)]
    return corner + GAP * off * apart[:, None]


def _contacts(phase: Bools) -> Bools:
    """At which corners of voxels a phase, or the rest, has parts that share no face there."""
    wide, code = np.pad(phase, 1).astype(int), np.zeros(np.add(phase.shape, 1), dtype=int)
    for bit, shift in enumerate(np.ndindex((2,) * phase.ndim)):
        code |= wide[tuple(slice(s, s + n) for s, n in zip(shift, code.shape, strict=True))] << bit
    return _parted(phase.ndim)[code]


@lru_cache
def _parted(dim: int) -> Bools:
    from scipy.ndimage import label

    cells = 2**dim
    cubes = [np.array([code >> bit & 1 for bit in range(cells)]).reshape((2,) * dim) for code in range(2**cells)]
    return np.array([max(label(cube)[1], label(1 - cube)[1]) > 1 for cube in cubes])


def _at_corners(phase: Bools, smooth: float, periodic: bool) -> Floats:
    """The filtered phase at the corners of its voxels, with empty samples around."""
    from scipy.ndimage import gaussian_filter

    widths = [smooth if n > 1 else 0.0 for n in phase.shape]
    field = gaussian_filter(phase.astype(float), widths, mode="wrap" if periodic else "nearest")
    for axis, n in enumerate(phase.shape):
        around = [(1, 1) if a == axis else (0, 0) for a in range(phase.ndim)]
        wide = np.moveaxis(np.pad(field, around, mode="wrap" if periodic and n > 1 else "edge"), axis, 0)
        field = np.moveaxis((wide[1:] + wide[:-1]) / 2, 0, axis)
    return np.pad(field, 1, constant_values=EMPTY)


def _level(measure: Callable[[float], float], field: Floats, wanted: float) -> float:
    """The level at which the phase measures what its voxels do."""
    from scipy.optimize import brentq

    inner = field[(slice(1, -1),) * field.ndim]
    low, high = inner.min() + 1e-6, inner.max() - 1e-6
    if low >= high:
        return 0.5  # all of the box
    if measure(low) <= wanted:
        return float(low)
    if measure(high) >= wanted:
        return float(high)
    return float(brentq(lambda level: measure(level) - wanted, low, high, xtol=1e-6))


# --- what is found in them


def _marched(field: Floats, level: float, place: Callable[[Floats], Floats]) -> tuple[Floats, NDArray[Any]]:
    from skimage.measure import marching_cubes

    index, faces, _, _ = marching_cubes(field, level, gradient_direction="ascent")
    return place(index.astype(float)), faces


def _volume(points: Floats, faces: NDArray[Any]) -> float:
    a, b, c = points[faces.T]
    return float((np.cross(a, b) * c).sum() / 6)


def _mesh(points: Floats, faces: NDArray[Any], shape: tuple[int, ...]) -> "trimesh.Trimesh":
    import trimesh

    z, y, x = points.T
    mesh = trimesh.Trimesh(np.stack([x, shape[1] - y, z], axis=1), faces, process=False)
    mesh.merge_vertices()
    mesh.update_faces(mesh.nondegenerate_faces())
    mesh.remove_unreferenced_vertices()
    return mesh


def _polygons(field: Floats, level: float, place: Callable[[Floats], Floats], shape: tuple[int, ...]) -> list[Floats]:
    from skimage.measure import find_contours

    found = []
    for index in find_contours(field, level, positive_orientation="high"):
        y, x = place(index[:-1]).T
        polygon = np.stack([x, shape[0] - y], axis=1)
        polygon = polygon[(polygon != np.roll(polygon, 1, axis=0)).any(axis=1)]
        back, on = polygon - np.roll(polygon, 1, axis=0), np.roll(polygon, -1, axis=0) - polygon
        polygon = polygon[np.abs(back[:, 0] * on[:, 1] - back[:, 1] * on[:, 0]) > 1e-12]  # no straight lines' inside
        if len(polygon) > 2:
            found.append(polygon)
    return found
