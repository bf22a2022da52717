"""The reference homogenizer: FiPy's finite volumes, its own meshes, boundary conditions and matrices.

FiPy averages a cell coefficient arithmetically to the faces, which is 7-15 % wrong here, so the harmonic
mean is given as a face variable. Mesh, variables and equation are built once for each grid and thread. In the
plane FiPy's matrix is factorised in symmetric mode and the factor kept for adjoint solves; in a volume, where
direct solvers fail, FiPy's conjugate gradients with smoothed aggregation run to a residual of 1e-12.
"""

import contextlib
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulators.algebra.arrays import Array
from simulators.algebra.threads import cached_by_thread
from simulators.conduction.homogenizer import Boundary, Homogenized, homogenize
from simulators.conduction.problem import Conduction, Solve

TOLERANCE = 1e-12
"""of the residual relative to the right-hand side, where the solver iterates"""

_importing = threading.Lock()


@dataclass(frozen=True)
class FipyHomogenizer:
    """Homogenizer by FiPy with scipy's solvers."""

    boundary: Boundary = "dirichlet"
    name = "fipy"

    def __call__(self, image: NDArray[np.integer], phase_conductivity: Sequence[float]) -> Homogenized:
        """Effective conductivity of labels; see `Homogenizer`."""
        return homogenize(
            image, phase_conductivity, solve_by_fipy, self.boundary, self.name, _import_fipy().__version__
        )


def solve_by_fipy(problem: Conduction) -> tuple[Array, Solve]:
    """Deviations of one field's problem as FiPy solves it, and its matrix's solver; see `Backend`."""
    return _discretization(problem.grid, problem.periodic).solve(problem.kappa[0, 0])


def _import_fipy() -> Any:
    """FiPy with its scipy solvers. Its import reads sys.argv for options of its own, hence the blank one."""
    with _importing:
        os.environ["FIPY_SOLVERS"] = "scipy"
        argv, sys.argv = sys.argv, sys.argv[:1]
        try:
            import fipy
        finally:
            sys.argv = argv
        return fipy


@cached_by_thread(maxsize=4)
def _discretization(grid: tuple[int, ...], periodic: bool) -> "_Discretization":
    return _Discretization(grid, periodic)


class _Discretization:
    """One grid's mesh, variables and equation. Cells run along x fastest, as in a raveled image."""

    def __init__(self, grid: tuple[int, ...], periodic: bool) -> None:
        fipy = _import_fipy()
        self.grid, self.periodic, dim = grid, periodic, len(grid)
        kind = getattr(fipy, f"{'Periodic' if periodic else ''}Grid{dim}D")
        mesh = kind(
            **dict(zip(("nx", "ny", "nz"), reversed(grid), strict=False)),
            **dict.fromkeys(("dx", "dy", "dz")[:dim], 1.0),
        )
        self.temperature = fipy.CellVariable(mesh=mesh)
        self.coefficient = fipy.FaceVariable(mesh=mesh, value=1.0)
        self.equations: list[Any] = []
        self.boundary_conditions: tuple[Any, ...] = ()
        if periodic:
            # The first cell is held at 0 by a conductance of its own, which carries no heat.
            self.anchor = fipy.CellVariable(mesh=mesh)
            for axis in range(dim):
                unit = fipy.FaceVariable(mesh=mesh, rank=1, value=np.eye(dim)[axis][:, None])
                drive = (self.coefficient * unit).divergence
                self.equations.append(
                    fipy.DiffusionTerm(coeff=self.coefficient) - fipy.ImplicitSourceTerm(coeff=self.anchor) == drive
                )
        else:
            # Boundary conditions of the equation, not constraints of the variable: those cost a third of the time.
            hot = fipy.FixedValue(faces=mesh.facesLeft, value=float(grid[-1]))
            self.boundary_conditions = (hot, fipy.FixedValue(faces=mesh.facesRight, value=0.0))
            self.equations.append(fipy.DiffusionTerm(coeff=self.coefficient) == 0.0)
        self.profile = grid[-1] - 0.5 - np.arange(grid[-1])
        self.solver = _direct_solver() if dim == 2 else _iterative_solver()
        cells = np.ma.getdata(mesh.faceCellIDs)
        inside = ~np.ma.getmaskarray(mesh.faceCellIDs)[1]
        self.first, self.second = cells[0], np.where(inside, cells[1], cells[0])

    def solve(self, kappa: Array) -> tuple[Array, Solve]:
        flat = kappa.ravel()
        self.coefficient.setValue(2 / (1 / flat[self.first] + 1 / flat[self.second]))
        if self.periodic:
            self.anchor.setValue(np.eye(1, flat.size)[0] * flat[0])
        deviations = []
        for equation in self.equations:
            self.temperature.setValue(0.0)
            equation.solve(self.temperature, solver=self.solver, boundaryConditions=self.boundary_conditions)
            deviations.append(self.temperature.value.reshape(self.grid).copy())
        if not self.periodic:
            deviations[0] = deviations[0] - self.profile
        again = self.solver.again

        def solve(rhs: Array, _: Array) -> Array:
            # FiPy's matrix is that of div(kappa grad), the negative of ours.
            found = [again(-b.ravel()) for b in rhs.reshape(-1, *self.grid)]
            return np.stack(found).reshape(rhs.shape)

        return np.stack(deviations)[None], solve


def _direct_solver() -> Any:
    """A FiPy solver by SuperLU in symmetric mode, whose factor serves further right-hand sides."""
    from fipy.solvers.scipy.scipySolver import ScipySolver
    from scipy.sparse.linalg import splu

    class SymmetricLU(ScipySolver):
        def _solve_(self, matrix: Any, x: Array, b: Array) -> Array:
            options = {"SymmetricMode": True}
            factor = splu(matrix.tocsc(), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=options)
            self.again = factor.solve
            return factor.solve(b)

    return SymmetricLU()


def _iterative_solver() -> Any:
    """FiPy's conjugate gradients with smoothed aggregation; a residual it cannot reach is refused by the gates."""
    parent: Any = _import_fipy().LinearPCGSolver

    class SmoothedAggregationPCG(parent):
        def _solve_(self, matrix: Any, x: Array, b: Array) -> Array:
            iterate = super()._solve_

            def again(rhs: Array) -> Array:
                with _repeated():
                    return iterate(matrix, np.zeros_like(rhs), rhs) if rhs.any() else np.zeros_like(rhs)

            self.again = again
            return again(b)

    from fipy.solvers.pyAMG.preconditioners import SmoothedAggregationPreconditioner

    precon = SmoothedAggregationPreconditioner()
    return SmoothedAggregationPCG(tolerance=TOLERANCE, criterion="RHS", iterations=1000, precon=precon)


@contextlib.contextmanager
def _repeated() -> Iterator[None]:
    """The same random numbers each time: from NumPy's global ones pyamg starts, and a solve would never be repeated."""
    before = np.random.get_state()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002
