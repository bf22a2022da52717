"""A fast homogenizer: our own assembly of FiPy's discrete problem and a direct symmetric solve.

Between fixed faces in the plane: banded Cholesky of the red-black reduced system, whose work grows with the
cube of the shorter side, up to `BANDED_UP_TO` pixels. Else a sparse factorisation: PARDISO where the extra
is installed, or SuperLU in symmetric mode.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulators.algebra.arrays import Array, namespace
from simulators.algebra.red_black import BANDED_UP_TO
from simulators.algebra.threads import cached_by_thread
from simulators.conduction.homogenizer import Boundary, Homogenized, homogenize
from simulators.conduction.problem import Conduction, Solve


@dataclass(frozen=True)
class DirectHomogenizer:
    """Homogenizer by LAPACK's banded Cholesky, PARDISO or SuperLU; needs scipy alone."""

    boundary: Boundary = "dirichlet"
    name = "direct"

    def __call__(self, image: NDArray[np.integer], phase_conductivity: Sequence[float]) -> Homogenized:
        """Effective conductivity of labels; see `Homogenizer`."""
        import scipy

        return homogenize(image, phase_conductivity, solve_directly, self.boundary, self.name, scipy.__version__)


def solve_directly(problem: Conduction) -> tuple[Array, Solve]:
    """Deviations of one field's problem, and its factor; see `Backend`."""
    banded = problem.dim == 2 and not problem.periodic and min(problem.grid) <= BANDED_UP_TO
    solve = factorise_banded(problem) if banded else _factorise_sparse(problem)
    return solve(problem.source(), problem.least_flux), solve


def factorise_banded(problem: Conduction) -> Solve:
    """Solve for a batch of plane problems between fixed faces, by their banded factors."""
    from simulators.algebra.red_black import RedBlackCholesky

    diagonal = np.asarray(problem.diagonal[:, 0])
    gy, gx = (np.asarray(g[:, 0]) for g in problem.conductances)
    ny, nx = problem.grid
    like = namespace(problem.kappa).asarray
    # The shorter side runs fastest, so that the matrix's band is as narrow as it can be.
    if nx <= ny:
        factor = RedBlackCholesky(diagonal, gx[:, :, 1:-1], gy[:, 1:-1])
        return lambda rhs, _: like(factor.solve(np.asarray(rhs)))
    turned = [a.swapaxes(1, 2) for a in (diagonal, gy[:, 1:-1], gx[:, :, 1:-1])]
    factor = RedBlackCholesky(*turned)
    return lambda rhs, _: like(factor.solve(np.asarray(rhs).swapaxes(-1, -2)).swapaxes(-1, -2))


def _factorise_sparse(problem: Conduction) -> Solve:
    matrix = assemble(problem)
    solve = _pardiso(matrix) or _superlu(matrix)

    def on_grid(rhs: Array, _: Array) -> Array:
        flat = rhs.reshape(-1, matrix.shape[0])
        return solve(flat.T).T.reshape(rhs.shape)

    return on_grid


def assemble(problem: Conduction) -> Any:
    """The linear system's matrix of one field, scipy sparse; cell 0 is held at 0 where nothing else is."""
    from scipy.sparse import coo_array

    cell = np.arange(np.prod(problem.grid)).reshape(problem.grid)
    rows, columns, values = [cell.ravel()], [cell.ravel()], [problem.diagonal[0, 0].ravel().copy()]
    if problem.periodic:
        values[0][0] *= 2
    for axis, faces in zip(problem.axes, problem.conductances, strict=True):
        # Through its higher face each cell meets the next, and the last, if periodic, the first.
        keep = np.arange(problem.grid[axis] - (not problem.periodic))
        near = np.take(cell, keep, axis).ravel()
        far = np.take(np.roll(cell, -1, axis), keep, axis).ravel()
        g = np.take(faces[0, 0], keep + 1, axis).ravel()
        rows, columns, values = [*rows, near, far], [*columns, far, near], [*values, -g, -g]
    entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    return coo_array(entries, shape=(cell.size, cell.size)).tocsc()


def _superlu(matrix: Any) -> Any:
    from scipy.sparse.linalg import splu

    factor = splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    return lambda rhs: factor.solve(np.ascontiguousarray(rhs))


def _pardiso(matrix: Any) -> Any:
    """PARDISO for a symmetric positive definite matrix, or None if it is not installed.

    It keeps one factor at a time: a problem is done with before the next one is factorised.
    """
    from scipy.sparse import csr_matrix, triu

    solver = _pardiso_solver()
    if solver is None:
        return None
    upper = csr_matrix(triu(matrix))
    solver.factorize(upper)
    return lambda rhs: solver.solve(upper, np.asfortranarray(rhs))


@cached_by_thread(maxsize=1)
def _pardiso_solver() -> Any:
    try:
        import pypardiso
    except ImportError:
        return None
    return pypardiso.PyPardisoSolver(mtype=2)
