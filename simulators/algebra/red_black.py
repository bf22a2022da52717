"""Banded Cholesky of plane conduction problems after red-black elimination.

Cells coloured as on a chessboard couple only to the other colour, so the red half is eliminated by hand. The
black half has nine-point couplings and, numbered along the shorter side, the band of the whole: half the
unknowns, half the work. Exact at every contrast.

Arrays of one colour are (n, rows, width / 2): cell c of row i lies in column 2 c + i % 2 if black and in the
other one of its pair if red. Each black cell couples to the red one of its pair (`pair`), to the red one beyond
its pair's end (`link`, after cell c), and to the red ones above and below, which have the same c.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dpbtrf, dpbtrs

Array = NDArray[np.float64]
EVEN, ODD = np.s_[..., 0::2, :], np.s_[..., 1::2, :]
"""rows"""
BANDED_UP_TO = 384
"""cells on the shorter side, beyond which a sparse factorisation is faster"""


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
        self.rows, self.columns, self.half = rows, columns, (columns + 1) // 2
        black, red = self._split(diagonal, fill=1.0)
        self.inverse = 1 / red
        east = np.zeros((n, rows, 2 * self.half))
        east[:, :, : columns - 1] = along
        self.pair, self.link = np.ascontiguousarray(east[:, :, 0::2]), np.ascontiguousarray(east[:, :, 1:-1:2])
        # The coupling downwards of each black cell, and of each red one.
        self.black_down, self.red_down = self._split(across)
        self.factors = []
        for band in self._schur(black):
            factor, failed = dpbtrf(band.T, lower=1, overwrite_ab=1)
            # A contrast beyond double precision; what it solves for is no number, and no gate lets that pass.
            self.factors.append(factor * np.nan if failed else factor)

    def _split(self, full: Array, fill: float = 0.0) -> tuple[Array, Array]:
        """The black and the red cells of arrays (..., rows, columns)."""
        *batch, rows, columns = full.shape
        if columns % 2:
            full = np.concatenate([full, np.full((*batch, rows, 1), fill)], axis=-1)
        black, red = (np.empty((*batch, rows, self.half)) for _ in range(2))
        black[EVEN], black[ODD] = full[..., 0::2, 0::2], full[..., 1::2, 1::2]
        red[EVEN], red[ODD] = full[..., 0::2, 1::2], full[..., 1::2, 0::2]
        return black, red

    def _schur(self, black: Array) -> Array:
        """Lower bands of the black cells' matrices, (n, black cells, band + 2): one entry wider than need be.

        LAPACK walks through them in strides of the width less one, and a power of two would fight for the cache.
        """
        n, rows, h = black.shape
        v, pair, link, down, red_down = self.inverse, self.pair, self.link, self.black_down, self.red_down
        pair_v, down_v, up_v = pair * v, down * v[:, 1:], red_down * v[:, :-1]
        band = np.zeros((n, rows, h, 2 * h + 2))
        own = black - pair * pair_v
        own[:, :-1] -= down * down_v
        own[:, 1:] -= red_down * up_v
        same = pair_v[:, :-1] * red_down + down_v * pair[:, 1:]
        band[:, :-1, :, h] -= same
        band[:, :-2, :, 2 * h] -= down_v[:, :-1] * red_down[:, 1:]
        if h > 1:
            # In even rows the link leads from the red cell c to the black one c + 1, in odd rows the other way.
            even, odd = link[:, 0::2], link[:, 1::2]
            even_v, odd_v = even * v[:, 0::2, :-1], odd * v[:, 1::2, 1:]
            own[:, 0::2, 1:] -= even * even_v
            own[:, 1::2, :-1] -= odd * odd_v
            band[:, 0::2, :-1, 1] -= pair[:, 0::2, :-1] * even_v
            band[:, 1::2, :-1, 1] -= odd_v * pair[:, 1::2, 1:]
            # To the row below: an even row's cell c meets c - 1 there, an odd row's meets c + 1.
            k, m = (rows - 1) // 2, rows // 2
            band[:, 0 : 2 * m : 2, 1:, h - 1] -= (
                even_v[:, :m] * red_down[:, 0::2, :-1] + down_v[:, 0::2, 1:] * odd[:, :m]
            )
            band[:, 1 : 2 * k + 1 : 2, :-1, h + 1] -= (
                odd_v[:, :k] * red_down[:, 1::2, 1:] + down_v[:, 1::2, :-1] * even[:, 1 : k + 1]
            )
        band[..., 0] += own
        return band.reshape(n, rows * h, -1)

    def solve(self, rhs: Array) -> Array:
        """Solutions for right-hand sides (n, m, rows, columns)."""
        n, m, rows, columns = rhs.shape
        black, red = self._split(rhs)
        inverse = self.inverse[:, None]
        self._gather(red * inverse, self.red_down, self.black_down, red_first=True, into=black)
        for i, factor in enumerate(self.factors):
            solved, _ = dpbtrs(factor, black[i].reshape(m, -1).T, lower=1)
            black[i] = solved.T.reshape(m, rows, self.half)
        # Each red cell follows from its own equation.
        self._gather(black, self.black_down, self.red_down, red_first=False, into=red)
        red *= inverse
        full = np.empty((n, m, rows, 2 * self.half))
        full[..., 0::2, 0::2], full[..., 1::2, 1::2] = black[EVEN], black[ODD]
        full[..., 0::2, 1::2], full[..., 1::2, 0::2] = red[EVEN], red[ODD]
        return full[..., :columns]

    def _gather(self, x: Array, down: Array, up: Array, red_first: bool, into: Array) -> None:
        """Add to each cell of one colour its neighbours' values `x` times the conductances to them.

        `down` is the coupling downwards of the cells that have the values, `up` that of those that get them.
        """
        into += self.pair[:, None] * x
        into[..., 1:, :] += down[:, None] * x[..., :-1, :]
        into[..., :-1, :] += up[:, None] * x[..., 1:, :]
        link = self.link[:, None]
        first, second = (EVEN, ODD) if red_first else (ODD, EVEN)
        into[first][..., 1:] += link[first] * x[first][..., :-1]
        into[second][..., :-1] += link[second] * x[second][..., 1:]
