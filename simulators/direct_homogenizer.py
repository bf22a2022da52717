"""A fast homogenizer: our own assembly of FiPy's discrete problem and a direct symmetric solve.

Banded Cholesky up to 128 pixels on the shorter side, sparse LU in symmetric mode beyond: the band's cost
grows with the cube of the shorter side, that of nested orderings more slowly.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from simulators.homogenizer import Array, Homogenized, homogenize

BANDED_UP_TO = 128
"""pixels on the shorter side"""


class DirectHomogenizer:
    """Homogenizer by LAPACK's banded Cholesky or SuperLU; needs scipy alone."""

    name = "direct"

    def __call__(self, image: NDArray[np.integer], phase_conductivity: Sequence[float]) -> Homogenized:
        """Effective conductivity of labels (ny, nx); see `Homogenizer`."""
        import scipy

        return homogenize(image, phase_conductivity, solve_fluxes, self.name, scipy.__version__)


def solve_fluxes(kappa: Array) -> tuple[Array, Array]:
    """Face fluxes under a unit temperature drop from left to right; see `FluxSolver`."""
    ny, nx = kappa.shape
    gx, gy = np.zeros((ny, nx + 1)), np.zeros((ny + 1, nx))
    gx[:, 1:-1] = 2 / (1 / kappa[:, :-1] + 1 / kappa[:, 1:])
    gx[:, 0], gx[:, -1] = 2 * kappa[:, 0], 2 * kappa[:, -1]
    gy[1:-1] = 2 / (1 / kappa[:-1] + 1 / kappa[1:])
    diagonal = gx[:, :-1] + gx[:, 1:] + gy[:-1] + gy[1:]
    source = np.zeros((ny, nx))
    source[:, 0] = gx[:, 0]
    # The shorter side runs fastest, so that the matrix's band is as narrow as it can be.
    order: Literal["C", "F"] = "F" if ny <= nx else "C"
    near, far = (gy[1:], gx[:, 1:]) if ny <= nx else (gx[:, 1:], gy[1:])
    band = min(ny, nx)
    d, n, f, s = (part.ravel(order=order) for part in (diagonal, near, far, source))
    solve = _solve_banded if band <= BANDED_UP_TO else _solve_sparse
    t = solve(d, n, f, s, band).reshape((ny, nx), order=order)
    drops = np.diff(np.pad(t, ((0, 0), (1, 1)), constant_values=((0, 0), (1, 0))), axis=1)
    qx = -gx * drops
    qy = np.zeros_like(gy)
    qy[1:-1] = gy[1:-1] * (t[:-1] - t[1:])
    return qx, qy


def _solve_banded(diagonal: Array, near: Array, far: Array, source: Array, band: int) -> Array:
    from scipy.linalg import solveh_banded

    matrix = np.zeros((band + 1, diagonal.size))
    matrix[0] = diagonal
    matrix[1] -= near
    matrix[band] -= far
    # The last entry of each row of cells, and the last row, belong to outer faces, which couple no two cells.
    matrix[1, band - 1 :: band] = 0
    matrix[band, -band:] = 0
    return solveh_banded(matrix, source, lower=True, overwrite_ab=True, check_finite=False)


def _solve_sparse(diagonal: Array, near: Array, far: Array, source: Array, band: int) -> Array:
    from scipy.sparse import diags_array
    from scipy.sparse.linalg import splu

    near = near.copy()
    near[band - 1 :: band] = 0
    below = [-near[:-1], -far[:-band]]
    matrix = diags_array([diagonal, *below, *below], offsets=[0, -1, -band, 1, band])
    options = {"SymmetricMode": True}
    factor = splu(matrix.tocsc(), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=options)
    return factor.solve(source)
