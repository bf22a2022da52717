"""Simple shapes with which the search for the most or the least of a quantity begins.

Stripes, a cross, discs; in volumes layers, columns, balls. A stripe along the flow reaches the bound on a single
conductivity, and no search from random structures comes so near.
"""

from dataclasses import replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from janus_al.likeness import Likeness
from janus_al.material import Boundary, Material
from janus_al.quantities import quantity
from loop.design.candidates import Candidate
from loop.design.feasible import count_range
from loop.design.generators.level import ranked
from loop.design.measures import NONE
from loop.design.possible import Limits, ends_at
from loop.design.targets import Target

LEAST = 0.1
"""part of the pixels of either phase, at least, where the target allows it"""
LOOKED_AT = 101
"""volume fractions of which the best is taken for what has no trend, such as kxy"""


def fields(grid: tuple[int, ...], boundary: Boundary) -> list[NDArray[np.float64]]:
    """Grey images, brightest where label 1 begins: stripes across each axis, a cross, and discs.

    In volumes layers across each axis, columns along each, all layers together, and balls. Where images repeat also
    stripes along both diagonals of each pair of axes, which tile.
    """
    place = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in grid], indexing="ij"))
    across = [-np.abs(x) for x in place]
    ball = -np.sqrt((place**2).sum(axis=0))
    others = [[a for a in range(len(grid)) if a != axis] for axis in range(len(grid))] if len(grid) > 2 else []
    columns = [np.min([across[a] for a in two], axis=0) for two in others]
    slanted = list[NDArray[np.float64]]()
    if boundary == "periodic":
        turn = np.stack(np.meshgrid(*[np.arange(n) / n for n in grid], indexing="ij"))
        sums = [turn[a] + way * turn[b] for a, b in combinations(range(len(grid)), 2) for way in (1, -1)]
        slanted = [-np.abs(phase % 1 - 0.5) for phase in sums]
    return [*across, *columns, *slanted, np.max(across, axis=0), ball, -ball]


def shapes_for(
    target: Target, grid: tuple[int, ...], material: Material, limits: Limits, likeness: Likeness | None = None
) -> list[Candidate]:
    """Candidates of each shape with the volume fraction that favours the extreme wanted; none for other targets.

    Where a target asks for a likeness, only those that have it.
    """
    pixels = int(np.prod(grid))
    low, high = count_range(target, pixels)
    low, high = max(low, min(high, round(LEAST * pixels))), min(high, max(low, round((1 - LEAST) * pixels)))
    found = []
    for name, way in target.best.items():
        rises = way * sum(weight * material.trend(p) for p, weight in quantity(name).terms)
        count = high if rises > 0 else low if rises < 0 else _favoured(name, way, (low, high), pixels, limits)
        for field in fields(grid, material.boundary):
            grey = ranked(field, count)
            predicted = {"volume_fraction": count / pixels}
            found.append(Candidate(target, False, grey, predicted, boundary=material.boundary))
    if target.geometry.like is None:
        return found
    return [c for c in found if replace(NONE, like=target.geometry.like).obeyed(c.image, likeness)]


def _favoured(name: str, way: int, counts: tuple[int, int], pixels: int, limits: Limits) -> int:
    """The number of pixels at which physics allows the most, or the least, of what has no trend; or the middle."""
    between = np.unique(np.linspace(*counts, LOOKED_AT).round().astype(int))
    ends = way * ends_at(name, way, {}, limits, between / pixels)
    return int(between[ends.argmax()] if np.isfinite(ends).all() else between[len(between) // 2])
