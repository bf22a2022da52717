"""Direct solves in the plane by LAPACK's banded Cholesky.

The band is as wide as what a cell joins is apart in the space's order: two rows, four on a ring. Its time does not
depend on the contrast; SuperLU takes three to four times as long (docs/results/elasticity.md).
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.linalg.lapack import dpbtrf, dpbtrs

from simulators.elasticity.spaces import IndexArray, Space
from simulators.elasticity.stiffness import FloatArray


@dataclass(frozen=True)
class Band:
    """Where the entries of cells' matrices lie in LAPACK's lower band.

    Attributes:
        pairs: of local unknowns that have their entry in some cell's lower triangle, (2, pairs).
        places: flat index in the band (n, width) of each of these entries in each cell, (pairs * cells,); entries
            that are not in the lower band go to one last place behind it.
        size: of the band.
        width: of the band, its diagonal included.
    """

    pairs: IndexArray
    places: IndexArray
    size: int
    width: int


@lru_cache(maxsize=6)
def band(space: Space) -> Band:
    """The band of a space; kept, since all images of a campaign have one shape."""
    number = np.full(space.held.size, -1)
    number[space.order] = np.arange(len(space.order))
    local = number[space.cells]
    rows, columns = local[:, None], local[None]
    lower = (columns >= 0) & (rows >= columns)
    # An odd width, since a power of two would fight for the cache.
    width = int((rows - columns)[lower].max(initial=0) + 1) | 1
    size = len(space.order) * width
    places = np.where(lower, columns * width + rows - columns, size)
    pairs = np.nonzero(lower.any(axis=2))
    return Band(np.stack(pairs), places[pairs].ravel(), size, width)


class BandedCholesky:
    """The factor of a plane problem."""

    def __init__(self, space: Space, constants: FloatArray, matrices: FloatArray) -> None:
        """Of both constants of each cell, (2, cells), and the element matrices for each of them, (2, k, k)."""
        self.order, where = space.order, band(space)
        entries = matrices[:, where.pairs[0], where.pairs[1]].T @ constants
        matrix = np.bincount(where.places, entries.ravel(), minlength=where.size + 1)[:-1]
        self.factor, failed = dpbtrf(matrix.reshape(-1, where.width).T, lower=1, overwrite_ab=1)
        if failed:
            # A contrast beyond double precision; what it solves for is no number, and no gate lets that pass.
            self.factor = self.factor * np.nan

    def solve(self, loads: FloatArray) -> FloatArray:
        """Unknowns (m, unknowns) under loads."""
        solved, _ = dpbtrs(self.factor, np.asfortranarray(loads[:, self.order].T), lower=1, overwrite_b=1)
        found = np.zeros_like(loads)
        found[:, self.order] = solved.T
        return found
