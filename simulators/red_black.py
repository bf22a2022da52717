"""Banded Cholesky of a plane conduction problem after red-black elimination.

Cells coloured as on a chessboard couple only to the other colour, so the red half is eliminated by hand. The
black half has nine-point couplings and, numbered along the shorter side, the band of the whole: half the
unknowns, half the work. Exact at every contrast.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dpbtrf, dpbtrs

Array = NDArray[np.float64]


class RedBlackCholesky:
    """Factors of a batch of plane problems with adiabatic or fixed sides."""

    def __init__(self, diagonal: Array, along: Array, across: Array) -> None:
        """Factorise.

        Args:
            diagonal: of the matrices, (n, rows, columns); columns had better be the shorter side.
            along: conductance between cells (i, j) and (i, j + 1), (n, rows, columns - 1).
            across: conductance between cells (i, j) and (i + 1, j), (n, rows - 1, columns).
        """
        n, rows, columns = diagonal.shape
        width = columns + columns % 2
        self.rows, self.columns, self.half = rows, columns, width // 2
        # Beyond the last row and column lie cells that couple to nothing, so that no neighbour is missing.
        self.inverse = np.ones((n, rows + 2, width + 2))
        self.inverse[:, :rows, :columns] = 1 / diagonal
        self.east, self.south = np.zeros_like(self.inverse), np.zeros_like(self.inverse)
        self.east[:, :rows, : columns - 1] = along
        self.south[:, : rows - 1, :columns] = across
        self.factors = []
        for band in self._schur(diagonal):
            factor, failed = dpbtrf(band.T, lower=1, overwrite_ab=1)
            # A contrast beyond double precision; what it solves for is no number, and no gate lets that pass.
            self.factors.append(factor * np.nan if failed else factor)

    def _schur(self, diagonal: Array) -> Array:
        """Lower bands of the black cells' matrices, (n, black cells, band + 2): one entry wider than need be.

        LAPACK walks through them in strides of the width less one, and a power of two would fight for the cache.
        """
        n, rows, h = len(diagonal), self.rows, self.half
        v = self.inverse
        # A coupling and its product with the inverse diagonal of the cell it leads to, east, south, west and north.
        e, s = self.east[:, :-1, :-1], self.south[:, :-1, :-1]
        ev, sv = e * v[:, :-1, 1:], s * v[:, 1:, :-1]
        ew, sn = e * v[:, :-1, :-1], s * v[:, :-1, :-1]
        own = np.ones_like(e)
        own[:, :rows, : self.columns] = diagonal
        own -= e * ev + s * sv
        own[:, :, 1:] -= (e * ew)[:, :, :-1]
        own[:, 1:] -= (s * sn)[:, :-1]
        south_east, south_west = np.zeros_like(e), np.zeros_like(e)
        south_east[:, :-1, :-1] = (ev[:, :, :-1] * s[:, :, 1:])[:, :-1] + sv[:, :-1, :-1] * e[:, 1:, :-1]
        south_west[:, :-1, 1:] = ew[:, :-1, :-1] * s[:, :-1, :-1] + sv[:, :-1, 1:] * e[:, 1:, :-1]
        band = np.zeros((n, rows, h, 2 * h + 2))
        for parity in (0, 1):
            here, columns = slice(parity, rows, 2), slice(parity, 2 * h, 2)
            band[:, here, :, 0] = own[:, here, columns]
            band[:, here, :, 1] -= (ev[:, :, :-1] * e[:, :, 1:])[:, here, columns]
            if rows > 2:
                band[:, slice(parity, rows - 2, 2), :, 2 * h] -= (sv[:, :-1] * s[:, 1:])[
                    :, slice(parity, rows - 2, 2), columns
                ]
            band[:, here, :, h + parity] -= south_east[:, here, columns]
            band[:, here, :, h - 1 + parity] -= south_west[:, here, columns]
        return band.reshape(n, rows * h, -1)

    def solve(self, rhs: Array) -> Array:
        """Solutions for right-hand sides (n, m, rows, columns)."""
        n, m, rows, columns = rhs.shape
        h, inverse = self.half, self.inverse[:, None]
        full = np.zeros((n, m, rows + 2, 2 * h + 2))
        full[:, :, :rows, :columns] = rhs
        # Red cells have an odd sum of indices.
        red = np.zeros_like(full)
        for parity in (0, 1):
            cells = np.s_[:, :, parity:rows:2, 1 - parity : 2 * h : 2]
            red[cells] = full[cells] * inverse[cells]
        reduced = full + self._neighbours(red)
        black = np.empty((n, m, rows, h))
        for parity in (0, 1):
            black[:, :, parity::2] = reduced[:, :, parity:rows:2, parity : 2 * h : 2]
        both = np.zeros_like(full)
        for i, factor in enumerate(self.factors):
            solved, _ = dpbtrs(factor, black[i].reshape(m, -1).T, lower=1)
            black[i] = solved.T.reshape(m, rows, h)
        for parity in (0, 1):
            both[:, :, parity:rows:2, parity : 2 * h : 2] = black[:, :, parity::2]
        # Each red cell follows from its own equation.
        return np.where(both == 0, (full + self._neighbours(both)) * inverse, both)[:, :, :rows, :columns]

    def _neighbours(self, x: Array) -> Array:
        """Sum over the four neighbours of conductance times value."""
        e, s = self.east[:, None, :, :-1], self.south[:, None, :-1]
        total = np.empty_like(x)
        np.multiply(e, x[..., 1:], out=total[..., :-1])
        total[..., -1] = 0
        total[..., 1:] += e * x[..., :-1]
        total[..., :-1, :] += s * x[..., 1:, :]
        total[..., 1:, :] += s * x[..., :-1, :]
        return total
