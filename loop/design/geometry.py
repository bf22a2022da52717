"""Images that obey the geometry of their target: from a grey field and a number of pixels, by construction.

Features: the brightest pixels are opened and closed. What then is still too thin is widened, pixel by pixel under a
disc, and what that leaves too thin between is filled; or the other way round, thin gaps are widened. Both only ever
grow what they grow, so they end, and where they end both phases are unions of discs. Connection: the path through the
field that asks for the least new, as wide as a feature must be, belongs to label 1 before anything else does.

The number of bright pixels to begin with is sought so that the image comes out with the number wanted; a field whose
features are too fine for that is smoothed first. Of all that were made the image is taken that differs the least.
"""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from janus_al.material import Boundary
from loop.design.cut import allowed, cut
from loop.design.feasible import count_range
from loop.design.measures import AXES, Geometry, disc, joins, opened
from loop.design.targets import Target

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
SOFT = (0.0, 0.35, 0.7)
"""radii of the filters that are tried, in diameters of the largest feature"""
TRIES = 8
"""numbers of bright pixels that are tried for each"""
COUNT = 4
"""pixels in other places that one too many, or too few, is worth"""
FREE = 0.02
"""price of a path's pixel that conducts anyway, of one that would be the next to conduct 1"""


def shaped(field: NDArray[np.floating], count: int, target: Target, boundary: Boundary) -> NDArray[np.uint8]:
    """The binary image nearest to the brightest `count` pixels of a field that obeys its target's geometry.

    Args:
        field: (*grid).
        count: pixels of label 1 wanted; as near to it as was found, and in the volume fractions allowed if may be.
        target: what is asked.
        boundary: of the images; one that is periodic is judged repeated.
    """
    geometry = target.geometry.made.under(boundary)
    best = plain = cut(field, allowed(count, target, field.size))
    if geometry.obeyed(plain):
        return plain
    low, high = count_range(target, plain.size)
    least = np.inf
    for soft in SOFT:
        level = _level(field, soft * max(geometry.features), geometry.periodic)
        for image in _tried(level, count, geometry):
            pixels = int(image.sum())
            outside = max(low - pixels, pixels - high, 0) * plain.size
            far = float((image != plain).sum() + COUNT * abs(pixels - count) + outside)
            if far < least:
                best, least = image.astype(np.uint8), far
    return best


def _level(field: NDArray[np.floating], radius: float, periodic: bool) -> Floats:
    """The field, smoothed; flat parts of it are ordered by what is around them."""
    from scipy.ndimage import gaussian_filter

    mode = "wrap" if periodic else "reflect"
    plain = np.asarray(field, dtype=float)
    around = gaussian_filter(plain, max(radius, 1.0), mode=mode)
    return around if radius else plain + 1e-3 * around


def _tried(level: Floats, count: int, geometry: Geometry) -> Iterator[Bools]:
    """Images that obey, for several numbers of bright pixels, nearer and nearer to the number wanted."""
    level, bridge = _bridged(level, count, geometry)
    for widen in (True, False):
        if not widen and geometry.connected:
            return  # a gap that is widened may part what was joined
        low, high, n = bridge, level.size, max(count, bridge)
        for attempt in range(TRIES):
            image = _regular(cut(level, n).astype(bool), geometry, widen)
            if _joined(image, geometry):
                yield image
            off = count - int(image.sum())
            low, high = (n, high) if off > 0 else (low, n)
            n = n + off if attempt < TRIES // 2 and low < n + off < high else (low + high) // 2
            if off == 0 or not low < n < high:
                break


def _regular(phase: Bools, geometry: Geometry, widen: bool) -> Bools:
    """The phase with both it and the rest made of discs: closed of opened, and what is left over mended."""
    (d0, d1), periodic = geometry.features, geometry.periodic
    if widen:
        return _grown(~opened(~opened(phase, d1, periodic), d0, periodic), d1, d0, periodic)
    return ~_grown(~opened(~opened(~phase, d0, periodic), d1, periodic), d0, d1, periodic)


def _grown(phase: Bools, own: int, other: int, periodic: bool) -> Bools:
    """The phase, and as much more as it takes for both to be made of discs: it ends, since it grows."""
    while True:
        phase = ~opened(~phase, other, periodic)
        thin = phase & ~opened(phase, own, periodic)
        if not thin.any():
            return phase
        phase = phase | painted(thin, own, periodic)


def painted(points: Bools, diameter: int, periodic: bool) -> Bools:
    """Discs about points, each of which holds one of a diameter: of an odd one, so that mirrored they are the same."""
    from scipy.ndimage import binary_dilation

    element = _holder(diameter, points.ndim)
    room = element.shape[0]
    wide = binary_dilation(np.pad(points, room, "wrap" if periodic else "symmetric"), element)
    return np.asarray(wide[(slice(room, -room),) * points.ndim])


@lru_cache
def _holder(diameter: int, dim: int) -> Bools:
    """The smallest disc of an odd diameter that holds one of a diameter."""
    small = disc(diameter, dim)
    odd = diameter + 1 - diameter % 2
    while not _holds(disc(odd, dim), small):
        odd += 2
    return disc(odd, dim)


def _holds(large: Bools, small: Bools) -> bool:
    corners = np.ndindex(*(a - b + 1 for a, b in zip(large.shape, small.shape, strict=True)))
    return any(
        bool(large[tuple(slice(c, c + n) for c, n in zip(corner, small.shape, strict=True))][small].all())
        for corner in corners
    )


# --- connection


def _joined(phase: Bools, geometry: Geometry) -> bool:
    return all(joins(phase, axis, geometry.periodic) for axis in geometry.connected)


def _bridged(level: Floats, count: int, geometry: Geometry) -> tuple[Floats, int]:
    """The level with a path along each axis raised above all else, where the brightest pixels do not join the faces.

    And the pixels of these paths.
    """
    bridge, axes = np.zeros(level.shape, dtype=bool), list(geometry.connected)
    while True:
        raised, pixels = np.where(bridge, level.max() + 1, level), int(bridge.sum())
        image = _regular(cut(raised, max(count, pixels)).astype(bool), geometry, widen=True)
        apart = next((axis for axis in axes if not joins(image, axis, geometry.periodic)), None)
        if apart is None:
            return raised, pixels
        path = cheapest_path(raised, count, apart, geometry.periodic)
        bridge |= painted(path, geometry.features[1], geometry.periodic)


def cheapest_path(level: Floats, count: int, axis: str, periodic: bool) -> Bools:
    """Pixels of the path between both faces that asks for the least new; repeated, its ends meet through the edge."""
    from scipy.sparse.csgraph import dijkstra

    along = level.ndim - 1 - AXES.index(axis)
    turned = np.moveaxis(level, along, 0)
    ranks = np.empty(turned.size)
    ranks[np.argsort(-turned, axis=None, kind="stable")] = np.arange(turned.size)
    price = FREE + np.maximum(ranks + 1 - count, 0) / max(turned.size - count, 1) + (ranks >= count)
    graph = _grid(price, turned.shape, periodic)
    face = turned.size // turned.shape[0]
    first, last = np.arange(face), np.arange(turned.size - face, turned.size)

    def walk(starts: NDArray[np.integer], ends: NDArray[np.integer]) -> list[int]:
        cost, before, _ = dijkstra(graph, indices=starts, min_only=True, return_predecessors=True)
        path = [int(ends[np.argmin(cost[ends])])]
        while before[path[-1]] >= 0:
            path.append(int(before[path[-1]]))
        return path

    path = walk(first, last)
    if periodic:
        path = walk(first[[path[-1]]], last[[path[-1]]])
    found = np.zeros(turned.size, dtype=bool)
    found[path] = True
    return np.moveaxis(found.reshape(turned.shape), 0, along)


def _grid(price: Floats, shape: tuple[int, ...], periodic: bool) -> object:
    """The graph of pixels that share a face, through the edges of all axes but the first: a step costs its pixel."""
    from scipy.sparse import csr_array

    index = np.arange(price.size).reshape(shape)
    pairs = []
    for axis in range(index.ndim):
        ahead = np.roll(index, -1, axis)
        inner = slice(None) if periodic and axis else slice(None, -1)
        cells = tuple(inner if a == axis else slice(None) for a in range(index.ndim))
        pairs.append((index[cells].ravel(), ahead[cells].ravel()))
    a, b = (np.concatenate(side) for side in zip(*pairs, strict=True))
    return csr_array(
        (np.concatenate([price[b], price[a]]), (np.concatenate([a, b]), np.concatenate([b, a]))),
        shape=(price.size,) * 2,
    )
