"""Fields of least energy, and the energy that each cell holds of each pair of them."""

from dataclasses import dataclass

import numpy as np

from simulators.elasticity.spaces import Space
from simulators.elasticity.stiffness import FloatArray


@dataclass(frozen=True)
class Energies:
    """Mean energies of pairs of fields.

    Attributes:
        total: of all cells together, (m, m).
        cells: share of each, (m, m, cells): the derivative of the total to the logarithm of what it is linear in.
        imbalance: loads left at the unknowns, summed, relative to those that the cells exert.
    """

    total: FloatArray
    cells: FloatArray
    imbalance: float


@dataclass(frozen=True)
class Problem:
    """Elements whose matrices are sums of two, each times a constant of the cell.

    Attributes:
        space: of the deviations from what is prescribed.
        constants: of each cell, (2, cells).
        matrices: for each constant, (2, k, k).
    """

    space: Space
    constants: FloatArray
    matrices: FloatArray

    def loads(self, fields: FloatArray) -> FloatArray:
        """What each cell exerts on its unknowns, (m, k, cells)."""
        first, second = self.constants
        return first * (self.matrices[0] @ fields) + second * (self.matrices[1] @ fields)

    def relaxed(self, prescribed: FloatArray) -> FloatArray:
        """The fields (m, k, cells) of least energy that deviate from these by any in the space."""
        from simulators.elasticity.banded import BandedCholesky
        from simulators.elasticity.iterative import Iterative

        if not self.space.order.size:
            return prescribed
        backend = BandedCholesky if len(self.space.shape) == 3 else Iterative
        inverse = backend(self.space, self.constants, self.matrices)
        return prescribed - self.space.gather(inverse.solve(self.space.scatter(self.loads(prescribed))))

    def energies(self, fields: FloatArray) -> Energies:
        """Of relaxed fields."""
        loads = self.loads(fields)
        left = np.where(self.space.held, 0.0, self.space.scatter(loads))
        cells = np.einsum("ikc,jkc->ijc", fields, loads) / fields.shape[-1]
        imbalance = abs(left).sum(axis=1) / abs(loads).sum(axis=(1, 2))
        return Energies(cells.sum(axis=2), cells, float(imbalance.max()))
