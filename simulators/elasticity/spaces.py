"""Unknowns of elements on a grid of cells, one element a cell: which cell has which, and which are held.

Under a periodic boundary a grid has as many nodes as cells along each axis, else one more. Between grips the
displacement along the pull, x, is prescribed on two opposite faces and nothing else is: grips are rigid and
frictionless, and the other faces are free of traction.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import prod

import numpy as np
from numpy.typing import NDArray

from simulators.elasticity.stiffness import FloatArray, corners

IndexArray = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Space:
    """Fields that elements can represent.

    Attributes:
        shape: of the unknowns, (components, *nodes); all indices are to their flat array.
        periodic: whether the grid closes to a ring along every axis.
        cells: unknowns of each cell, (k, cells).
        held: which are 0.
        pinned: the same with as many more as it takes to stop what has no energy.
        relative: takes from a cell's unknowns what has no energy, (k, k), lest large ones cancel.
    """

    shape: tuple[int, ...]
    periodic: bool
    cells: IndexArray
    held: NDArray[np.bool_]
    pinned: NDArray[np.bool_]
    relative: FloatArray

    def gather(self, unknowns: FloatArray) -> FloatArray:
        """Of vectors (m, unknowns) what each cell has, (m, k, cells), without what has no energy."""
        return self.relative @ unknowns[:, self.cells]

    def scatter(self, cells: FloatArray) -> FloatArray:
        """Sums over the cells that share each unknown; what each unknown has in all."""
        index = self.cells.ravel()
        return np.stack([np.bincount(index, c.ravel(), minlength=self.held.size) for c in cells])

    @cached_property
    def order(self) -> IndexArray:
        """Unknowns that are neither held nor pinned, along the shorter side first.

        A ring is numbered from both of its ends in turn (0, n - 1, 1, n - 2, ...): what was next to each other is
        at most two places apart, so a band twice as wide closes it.
        """
        ranks = [np.arange(self.shape[0]), *(_folded(n) if self.periodic else np.arange(n) for n in self.shape[1:])]
        places = np.meshgrid(*ranks, indexing="ij")
        shortest_first = 1 + np.argsort(self.shape[1:], kind="stable")
        order = np.lexsort([places[i].ravel() for i in (0, *shortest_first)])
        return order[~self.pinned[order]]


@lru_cache(maxsize=6)
def displacements(grid: tuple[int, ...], periodic: bool) -> Space:
    """Multilinear elements of a grid; a cell's unknowns are in the order of `stiffness.element_matrices`."""
    dim = len(grid)
    nodes = tuple(n + (not periodic) for n in grid)
    index = np.arange(dim * prod(nodes)).reshape(dim, *nodes)
    cells = []
    for corner in corners(dim):
        along = [(np.arange(n) + c) % m for n, c, m in zip(grid, corner, nodes, strict=True)]
        cells += [component[np.ix_(*along)].ravel() for component in index]
    held = np.zeros(index.shape, dtype=bool)
    if not periodic:
        held[0, ..., [0, -1]] = True
    pinned = held.copy()
    for component in range(dim):
        pinned[(component, *(0,) * dim)] = True
    if dim == 3 and not periodic:
        # What is left is a rotation about the pull.
        pinned[2, 0, -1, 0] = True
    to_first = np.eye(len(cells)) - np.tile(np.eye(dim, len(cells)), (2**dim, 1))
    return Space(index.shape, periodic, np.stack(cells), held.ravel(), pinned.ravel(), to_first)


def _folded(count: int) -> IndexArray:
    """Rank of each node of a ring."""
    position = np.arange(count)
    return np.where(2 * position < count, 2 * position, 2 * (count - position) - 1)
