"""Solves in volumes: conjugate gradients preconditioned by pyamg's smoothed aggregation with rigid motions."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulators.elasticity.spaces import Space
from simulators.elasticity.stiffness import FloatArray, corners

TOLERANCE = 1e-10
"""of the residual, relative to the loads; the energy's error is of its square"""
ROUNDING = 1e-13
MAX_ITERATIONS = 500
STRENGTH = 0.04
"""of couplings that may join an aggregate, relative to the diagonals"""
COARSEST = 300
"""unknowns that are not coarsened further"""


class Multigrid:
    """The hierarchy of a volume's problem."""

    def __init__(self, space: Space, constants: FloatArray, matrices: FloatArray) -> None:
        """Of both constants of each cell, (2, cells), and the element matrices for each of them, (2, k, k)."""
        import pyamg

        self.pinned = space.pinned
        matrix = block_matrix(space, constants, matrices)
        # What is less than this came of rounding.
        self.least = ROUNDING * float(np.linalg.norm(matrix.diagonal()))
        # Aggregates keep within a phase. With every rigid motion stopped the coarsest matrix can be factorised.
        self.hierarchy = pyamg.smoothed_aggregation_solver(
            matrix,
            B=_rigid_motions(space.shape[1:], space.pinned),
            symmetry="symmetric",
            strength=("symmetric", {"theta": STRENGTH}),
            improve_candidates=None,
            max_coarse=COARSEST,
            coarse_solver="splu",
        )

    def solve(self, loads: FloatArray) -> FloatArray:
        """Unknowns (m, unknowns) under loads."""
        found = np.zeros_like(loads)
        for load, x in zip(np.where(self.pinned, 0.0, loads), found, strict=True):
            if np.linalg.norm(load) > self.least:
                by_node = load.reshape(3, -1).T.ravel()
                solved = self.hierarchy.solve(by_node, tol=TOLERANCE, maxiter=MAX_ITERATIONS, accel="cg")
                x[:] = solved.reshape(-1, 3).T.ravel()
        return found


def block_matrix(space: Space, constants: FloatArray, matrices: FloatArray) -> Any:
    """The stiffness matrix, in blocks of 3 by node; what is pinned has rows and columns of its diagonal."""
    from scipy.sparse import bsr_matrix

    nodes = space.shape[1:]
    grid = tuple(n - (not space.periodic) for n in nodes)
    count = int(np.prod(nodes))
    # To the 27 neighbours at offsets -1, 0, 1; -1 where there is none.
    index = np.arange(count).reshape(nodes)
    padded = np.pad(index, 1, mode="wrap") if space.periodic else np.pad(index, 1, constant_values=-1)
    columns = np.lib.stride_tricks.sliding_window_view(padded, nodes).reshape(27, count).T
    blocks = np.zeros((3, 3, 3, *nodes, 3, 3))
    by_corner, fields = matrices.reshape(2, 8, 3, 8, 3), constants.reshape(2, *grid)
    for i, row in enumerate(corners(3)):
        at = np.ix_(*((np.arange(n) + c) % m for n, c, m in zip(grid, row, nodes, strict=True)))
        for j, column in enumerate(corners(3)):
            offset = tuple(1 + b - a for a, b in zip(row, column, strict=True))
            blocks[offset][at] += np.tensordot(fields, by_corner[:, i, :, j], axes=(0, 0))
    blocks = np.moveaxis(blocks.reshape(27, count, 3, 3), 0, 1)
    free = (~space.pinned).reshape(3, count).T.astype(float)
    diagonal = blocks[:, 13] * np.eye(3) * (1 - free)[:, None]
    blocks = blocks * free[:, None, :, None] * free[columns][:, :, None]
    blocks[:, 13] += diagonal
    there = columns >= 0
    rows = np.concatenate([[0], np.cumsum(there.sum(axis=1))])
    matrix = bsr_matrix((blocks[there], columns[there], rows), shape=(3 * count,) * 2)
    matrix.sum_duplicates()
    return matrix


def _rigid_motions(nodes: tuple[int, ...], pinned: NDArray[np.bool_]) -> FloatArray:
    """Displacements (3 nodes, 6), zero where they are pinned."""
    z, y, x = (p.ravel() - p.mean() for p in np.meshgrid(*map(np.arange, nodes), indexing="ij"))
    motions = np.zeros((len(x), 3, 6))
    motions[:, [0, 1, 2], [0, 1, 2]] = 1
    motions[:, 0, 3], motions[:, 1, 3] = -y, x
    motions[:, 1, 4], motions[:, 2, 4] = -z, y
    motions[:, 2, 5], motions[:, 0, 5] = -x, z
    motions[pinned.reshape(3, -1).T] = 0
    return motions.reshape(-1, 6)
