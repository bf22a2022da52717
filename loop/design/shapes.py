"""Simple shapes: stripes, a cross, discs, in volumes layers, columns, balls, with which the search for the most or the least of a quantity begins.

A stripe along the flow reaches the bound on a single conductivity, and no search from random structures comes so near.
"""

import numpy as np
from numpy.typing import NDArray

from janus_al.material import Material
from janus_al.quantities import quantity
from loop.design.candidates import Candidate
from loop.design.feasible import count_range
from loop.design.generators.level import ranked
from loop.design.targets import Target

LEAST = 0.1
"""part of the pixels of either phase, at least, where the target allows it"""


def fields(grid: tuple[int, ...]) -> list[NDArray[np.float64]]:
    """Grey images, brightest where label 1 begins: stripes across each axis, a cross, and discs.

    In volumes layers across each axis, columns along each, all layers together, and balls.
    """
    place = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in grid], indexing="ij"))
    across = [-np.abs(x) for x in place]
    ball = -np.sqrt((place**2).sum(axis=0))
    others = [[a for a in range(len(grid)) if a != axis] for axis in range(len(grid))] if len(grid) > 2 else []
    columns = [np.min([across[a] for a in two], axis=0) for two in others]
    return [*across, *columns, np.max(across, axis=0), ball, -ball]


def shapes_for(target: Target, grid: tuple[int, ...], material: Material) -> list[Candidate]:
    """Candidates of each shape with the volume fraction that favours the extreme wanted; none for other targets."""
    pixels = int(np.prod(grid))
    low, high = count_range(target, pixels)
    low, high = max(low, min(high, round(LEAST * pixels))), min(high, max(low, round((1 - LEAST) * pixels)))
    found = []
    for name, way in target.best.items():
        rises = way * sum(weight * material.trend(p) for p, weight in quantity(name).terms)
        count = high if rises > 0 else low if rises < 0 else (low + high) // 2
        for field in fields(grid):
            grey = ranked(field, count)
            predicted = {"volume_fraction": count / pixels}
            found.append(Candidate(target, False, grey, predicted, boundary=material.boundary))
    return found
