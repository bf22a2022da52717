"""The nodes of a grid of cells: which displacements are free, and what passes between nodes and cells.

Nodal arrays are (m, dim, *nodes), those of cells (m, corners * dim, *grid); the displacement along x comes first.
Under a periodic boundary a grid has as many nodes as cells along each axis, else one more. Between grips the
displacement along the pull is prescribed on two opposite faces and nothing else is: grips are rigid and
frictionless, and the other faces are free of traction.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from simulators.elasticity.stiffness import FloatArray, corners


@dataclass(frozen=True)
class Lattice:
    """Nodes of a grid; `pull` is the component driven between grips, None under a periodic boundary."""

    grid: tuple[int, ...]
    pull: int | None = None

    @property
    def dim(self) -> int:
        """Axes of the grid."""
        return len(self.grid)

    @property
    def periodic(self) -> bool:
        """Whether the grid repeats itself."""
        return self.pull is None

    @property
    def nodes(self) -> tuple[int, ...]:
        """Nodes along each grid axis."""
        return tuple(n + (not self.periodic) for n in self.grid)

    @cached_property
    def held(self) -> NDArray[np.bool_]:
        """Displacements that the grips prescribe, (dim, *nodes)."""
        found = np.zeros((self.dim, *self.nodes), dtype=bool)
        if self.pull is not None:
            faces = np.moveaxis(found[self.pull], -1 - self.pull, 0)
            faces[[0, -1]] = True
        return found

    @cached_property
    def pinned(self) -> NDArray[np.bool_]:
        """The same with as many more as it takes to stop every rigid motion."""
        found, origin = self.held.copy(), (0,) * self.dim
        others = [c for c in range(self.dim) if c != self.pull]
        for component in others:
            found[(component, *origin)] = True
        if self.pull is not None and self.dim == 3:
            # What is left is a rotation about the pull.
            end = [0, 0, 0]
            end[-1 - others[0]] = -1
            found[(others[1], *end)] = True
        return found

    @cached_property
    def neighbours(self) -> NDArray[np.intp]:
        """Index of each node's neighbours at the offsets -1, 0, 1 along each axis, (3, ..., *nodes); -1 if none."""
        index = np.arange(np.prod(self.nodes)).reshape(self.nodes)
        padded = np.pad(index, 1, mode="wrap") if self.periodic else np.pad(index, 1, constant_values=-1)
        return np.lib.stride_tricks.sliding_window_view(padded, self.nodes)

    def gather(self, nodal: FloatArray) -> FloatArray:
        """Displacements at the corners of each cell."""
        m, dim = nodal.shape[:2]
        if self.periodic:
            nodal = np.pad(nodal, [(0, 0), (0, 0), *[(0, 1)] * dim], mode="wrap")
        found = np.stack([nodal[(..., *self._at(corner))] for corner in corners(dim)], axis=1)
        return found.reshape(m, -1, *self.grid)

    def scatter(self, cells: FloatArray) -> FloatArray:
        """Sums over the cells about each node; the transpose of `gather`."""
        split = cells.reshape(len(cells), -1, self.dim, *self.grid)
        found = np.zeros((len(cells), self.dim, *(n + 1 for n in self.grid)))
        for i, corner in enumerate(corners(self.dim)):
            found[(..., *self._at(corner))] += split[:, i]
        return self._folded(found)

    def stencil(self, constants: FloatArray, matrices: FloatArray) -> FloatArray:
        """The stiffness matrix as blocks from each node to its neighbours, (3, ..., dim, dim, *nodes).

        Of Lamé's constants of the cells, (2, *grid), and the element matrices for each of them.
        """
        dim, count = self.dim, 2**self.dim
        blocks = matrices.reshape(2, count, dim, count, dim)
        found = np.zeros((*(3,) * dim, dim, dim, *(n + 1 for n in self.grid)))
        for i, row in enumerate(corners(dim)):
            for j, column in enumerate(corners(dim)):
                offset = tuple(1 + b - a for a, b in zip(row, column, strict=True))
                into = found[offset][(..., *self._at(row))]
                into += np.tensordot(blocks[:, i, :, j], constants, axes=(0, 0))
        return self._folded(found)

    def _at(self, corner: tuple[int, ...]) -> tuple[slice, ...]:
        return tuple(slice(c, c + n) for c, n in zip(corner, self.grid, strict=True))

    def _folded(self, nodal: FloatArray) -> FloatArray:
        """The last node of each axis is the first again if periodic."""
        if self.periodic:
            for axis in range(-self.dim, 0):
                moved = np.moveaxis(nodal, axis, 0)
                moved[0] += moved[-1]
                nodal = np.moveaxis(moved[:-1], 0, axis)
        return nodal
