"""Direct solves in the plane by LAPACK's banded Cholesky.

Nodes are numbered along the shorter side first, so that the band is two rows of displacements wide. A periodic
side is numbered from both of its ends in turn (0, n - 1, 1, n - 2, ...), where neighbours are at most two places
apart: the band is twice as wide, and nothing else is needed to close the ring. Measured with contrast-independent
times; SuperLU takes several times as long (docs/results/elasticity.md).
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dpbtrf, dpbtrs

from simulators.elasticity.lattice import Lattice
from simulators.elasticity.stiffness import FloatArray


@dataclass(frozen=True)
class Band:
    """Where the matrix of one lattice lies in LAPACK's lower band.

    Attributes:
        order: flat indices of the free displacements, in the order of the band, (n,).
        entries: flat indices of the stencil's entries that lie in the lower band.
        places: the flat index in the band (n, width), of each of them.
        width: of the band, its diagonal included.
    """

    order: NDArray[np.intp]
    entries: NDArray[np.intp]
    places: NDArray[np.intp]
    width: int


@lru_cache(maxsize=6)
def band(lattice: Lattice) -> Band:
    """The band of a plane lattice; kept, since all images of a campaign have one shape."""
    ranks = [_folded(n) if lattice.periodic else np.arange(n) for n in lattice.nodes]
    places = np.meshgrid([0, 1], *ranks, indexing="ij")
    short = 1 + int(np.argmin(lattice.nodes))
    order = np.lexsort([places[i].ravel() for i in (0, short, 3 - short)])
    order = order[~lattice.pinned.ravel()[order]]
    number = np.full(lattice.pinned.size, -1)
    number[order] = np.arange(len(order))
    # One more, which is no displacement, for the neighbours beyond an edge.
    by_node = np.concatenate([number.reshape(2, -1), [[-1], [-1]]], axis=1)
    rows = by_node[:, :-1].reshape(2, 1, *lattice.nodes)
    columns = np.moveaxis(by_node[:, lattice.neighbours], 0, 2)[:, :, None]
    rows, columns = (a.ravel() for a in np.broadcast_arrays(rows, columns))
    entries = np.flatnonzero((columns >= 0) & (rows >= columns))
    rows, columns = rows[entries], columns[entries]
    # An odd width, since a power of two would fight for the cache.
    width = int((rows - columns).max() + 1) | 1
    return Band(order, entries, columns * width + rows - columns, width)


class BandedCholesky:
    """The factor of a plane problem."""

    def __init__(self, lattice: Lattice, stencil: FloatArray) -> None:
        self.band, self.shape = band(lattice), (2, *lattice.nodes)
        size = len(self.band.order) * self.band.width
        matrix = np.bincount(self.band.places, stencil.ravel()[self.band.entries], minlength=size)
        self.factor, failed = dpbtrf(matrix.reshape(-1, self.band.width).T, lower=1, overwrite_ab=1)
        if failed:
            # A contrast beyond double precision; what it solves for is no number, and no gate lets that pass.
            self.factor *= np.nan

    def solve(self, forces: FloatArray) -> FloatArray:
        """Displacements (m, 2, *nodes) under nodal forces."""
        flat = forces.reshape(len(forces), -1)
        solved, _ = dpbtrs(self.factor, np.asfortranarray(flat[:, self.band.order].T), lower=1, overwrite_b=1)
        found = np.zeros_like(flat)
        found[:, self.band.order] = solved.T
        return found.reshape(len(forces), *self.shape)


def _folded(count: int) -> NDArray[np.intp]:
    """Rank of each node of a ring."""
    position = np.arange(count)
    return np.where(2 * position < count, 2 * position, 2 * (count - position) - 1)
