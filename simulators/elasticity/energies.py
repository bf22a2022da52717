"""Displacement fields of one problem, and the energy that each cell holds of each pair of them."""

from dataclasses import dataclass

import numpy as np

from simulators.elasticity.lattice import Lattice
from simulators.elasticity.stiffness import FloatArray, element_matrices, uniform


@dataclass(frozen=True)
class Energies:
    """Mean energies of pairs of fields, each under a unit mean strain; the stiffness that they add up to.

    Attributes:
        total: (m, m), the derivative of the mean energy to both mean strains.
        cells: share of each cell, (m, m, *grid); all derivatives to the logarithm of its modulus.
        imbalance: forces left at the nodes, summed, relative to those that the cells exert.
    """

    total: FloatArray
    cells: FloatArray
    imbalance: float


def solve(constants: FloatArray, lattice: Lattice) -> Energies:
    """Solve for Lamé's constants of each cell, (2, *grid): under every unit strain if periodic, else the pull."""
    from simulators.elasticity.banded import BandedCholesky
    from simulators.elasticity.multigrid import Multigrid

    dim, grid = lattice.dim, lattice.grid
    matrices = element_matrices(dim)
    strains = range(dim * (dim + 1) // 2) if lattice.pull is None else [lattice.pull]
    strained = uniform(dim, strains)[(..., *[None] * dim)]
    lam, mu = constants

    def forces(cells: FloatArray) -> FloatArray:
        """What each cell exerts at its corners."""
        flat = cells.reshape(*cells.shape[:2], -1)
        by_lam, by_mu = ((matrix @ flat).reshape(cells.shape) for matrix in matrices)
        return lam * by_lam + mu * by_mu

    backend = BandedCholesky if dim == 2 else Multigrid
    inverse = backend(lattice, lattice.stencil(constants, matrices))
    source = lattice.scatter(forces(np.broadcast_to(strained, (*strained.shape[:2], *grid))))
    total = strained - lattice.gather(inverse.solve(source))
    pushed = forces(total)
    left = np.where(lattice.held, 0.0, lattice.scatter(pushed))
    cells = np.einsum("ic...,jc...->ij...", total, pushed) / lam.size
    return Energies(
        total=cells.sum(axis=tuple(range(2, 2 + dim))),
        cells=cells,
        imbalance=float((abs(left).sum(axis=tuple(range(1, left.ndim))) / abs(pushed).sum(axis=tuple(range(1, left.ndim)))).max()),
    )
