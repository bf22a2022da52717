"""Solves in volumes: conjugate gradients preconditioned by pyamg's smoothed aggregation with rigid motions."""

from typing import Any

import numpy as np

from simulators.elasticity.lattice import Lattice
from simulators.elasticity.stiffness import FloatArray

TOLERANCE = 1e-10
"""of the residual, relative to the forces; the energy's error is of its square"""
MAX_ITERATIONS = 500


class Multigrid:
    """The hierarchy of a volume's problem, whose rigid motions need not be stopped."""

    def __init__(self, lattice: Lattice, stencil: FloatArray) -> None:
        import pyamg

        self.lattice, self.held = lattice, lattice.held.reshape(3, -1).T.ravel()
        self.matrix = block_matrix(lattice, stencil)
        self.hierarchy = pyamg.smoothed_aggregation_solver(
            self.matrix, B=_rigid_motions(lattice), max_coarse=300, symmetry="symmetric"
        )

    def solve(self, forces: FloatArray) -> FloatArray:
        """Displacements (m, 3, *nodes) under nodal forces."""
        found = []
        for force in forces:
            rhs = np.where(self.held, 0.0, force.reshape(3, -1).T.ravel())
            x = self.hierarchy.solve(rhs, tol=TOLERANCE, maxiter=MAX_ITERATIONS, accel="cg")
            found.append(x.reshape(-1, 3).T.reshape(force.shape))
        return np.stack(found)


def block_matrix(lattice: Lattice, stencil: FloatArray) -> Any:
    """The stiffness matrix, in blocks of 3; displacements that are held have rows and columns of the identity."""
    from scipy.sparse import bsr_matrix

    count = int(np.prod(lattice.nodes))
    columns = lattice.neighbours.reshape(27, count).T
    blocks = np.moveaxis(stencil.reshape(27, 3, 3, count), 3, 0)
    free = (~lattice.held).reshape(3, count).T.astype(float)
    held = blocks[:, 13] * np.eye(3) * (1 - free)[:, None]
    blocks = blocks * free[:, None, :, None] * free[columns][:, :, None]
    blocks[:, 13] += held
    there = columns >= 0
    rows = np.concatenate([[0], np.cumsum(there.sum(axis=1))])
    matrix = bsr_matrix((np.ascontiguousarray(blocks[there]), columns[there], rows), shape=(3 * count,) * 2)
    matrix.sum_duplicates()
    return matrix


def _rigid_motions(lattice: Lattice) -> FloatArray:
    """Displacements (3 nodes, 6), zero where they are held."""
    z, y, x = (p.ravel() - p.mean() for p in np.meshgrid(*map(np.arange, lattice.nodes), indexing="ij"))
    motions = np.zeros((len(x), 3, 6))
    motions[:, [0, 1, 2], [0, 1, 2]] = 1
    motions[:, 0, 3], motions[:, 1, 3] = -y, x
    motions[:, 1, 4], motions[:, 2, 4] = -z, y
    motions[:, 2, 5], motions[:, 0, 5] = -x, z
    motions[lattice.held.reshape(3, -1).T] = 0
    return motions.reshape(-1, 6)
