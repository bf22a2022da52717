"""Preconditioned conjugate gradients for many systems at once, on NumPy or torch arrays.

The preconditioner is the same problem with a uniform conductivity, inverted by fast diagonalisation: on a
rectangular grid its matrix is a sum over the axes of products of small one-dimensional matrices, whose
eigenvectors (sines, cosines or complex waves made real) diagonalise all of it. Images that are done leave the
batch; one that does not converge comes back as NaN, which no gate lets pass.
"""

from functools import lru_cache
from typing import Protocol

import numpy as np

from simulators.algebra.arrays import Array, like, namespace
from simulators.algebra.stencils import Stencil

MAX_ITERATIONS = 5000
CHECK_EVERY = 5
"""iterations between looks at the residuals, which on a GPU cost a synchronisation"""


class System(Protocol):
    """A batch of symmetric systems on grids."""

    def apply(self, x: Array) -> Array:
        """The matrices times vectors (n, m, *nodes)."""

    def modes(self) -> list[tuple[Array, Array]]:
        """Of each axis: eigenvalues (nodes,) and eigenvectors (nodes, nodes) at conductivity 1, NumPy."""

    def take(self, index: Array | slice) -> "System":
        """The systems at an index."""

    def stencil(self) -> Stencil:
        """The operator of the one system there is, in NumPy; its free part has the nodes."""


def conjugate_gradients(system: System, rhs: Array, limit: Array) -> Array:
    """Solutions (n, m, *nodes) whose residuals' absolute sums are at most `limit` (n, m or 1)."""
    xp, dim = namespace(rhs), rhs.ndim - 2
    grid = tuple(range(-dim, 0))
    inverse = _Inverse(system.modes(), rhs)
    result, active = xp.zeros_like(rhs), xp.arange(len(rhs))
    if xp is not np:
        active = active.to(rhs.device)
    x, r = xp.zeros_like(rhs), rhs
    z = inverse(r)
    p, rz = z, (r * z).sum(axis=grid, keepdims=True)
    for iteration in range(MAX_ITERATIONS):
        if iteration % CHECK_EVERY == 0:
            if inverse.constant:
                # Rounding leaves a heat there that has nowhere to go.
                r = r - r.mean(axis=grid, keepdims=True)
            residual = abs(r).sum(axis=grid)
            done = (residual <= limit[active]).all(-1)
            if bool(done.any()):
                result[active[done]] = x[done]
                keep = ~done
                if not bool(keep.any()):
                    return result
                system, active = system.take(keep), active[keep]
                x, r, p, rz = x[keep], r[keep], p[keep], rz[keep]
        q = system.apply(p)
        curvature = (p * q).sum(axis=grid, keepdims=True)
        step = xp.where(curvature > 0, rz / xp.where(curvature > 0, curvature, 1.0), 0.0)
        x, r = x + step * p, r - step * q
        z = inverse(r)
        last, rz = rz, (r * z).sum(axis=grid, keepdims=True)
        p = z + xp.where(last > 0, rz / xp.where(last > 0, last, 1.0), 0.0) * p
    result[active] = np.nan
    return result


class _Inverse:
    """The uniform problem's inverse; its constant mode, if it has one, is left out."""

    def __init__(self, modes: list[tuple[Array, Array]], example: Array) -> None:
        total = np.zeros([1] * len(modes))
        for axis, (values, _) in enumerate(modes):
            shape = [1] * len(modes)
            shape[axis] = -1
            total = total + values.reshape(shape)
        constant = total < 1e-10 * total.max()
        self.constant = bool(constant.any())
        self.scale = like(np.where(constant, 0.0, 1 / np.where(constant, 1.0, total)), example)
        self.vectors = [like(v, example) for _, v in modes]

    def __call__(self, r: Array) -> Array:
        for i, v in enumerate(self.vectors):
            r = _along(r, v, i - len(self.vectors))
        r = r * self.scale
        for i, v in enumerate(self.vectors):
            r = _along(r, v.T, i - len(self.vectors))
        return r


def _along(array: Array, matrix: Array, axis: int) -> Array:
    """sum_k array[..., k, ...] matrix[k, l] along one axis."""
    if axis == -1:
        return array @ matrix
    if axis == -2:
        return matrix.T @ array
    return (array.swapaxes(axis, -1) @ matrix).swapaxes(axis, -1)


@lru_cache(maxsize=64)
def volume_modes(cells: int, ends: str) -> tuple[Array, Array]:
    """Eigenvalues and -vectors of the finite-volume operator in one dimension at conductivity 1.

    `ends` is "periodic", "fixed" (half a cell from the outer centres) or "free".
    """
    matrix = 2 * np.eye(cells) - np.eye(cells, k=1) - np.eye(cells, k=-1)
    corner = {"periodic": 2.0, "fixed": 3.0, "free": 1.0}[ends]
    matrix[0, 0] = matrix[-1, -1] = corner
    if ends == "periodic":
        matrix[0, -1] -= 1
        matrix[-1, 0] -= 1
    return np.linalg.eigh(matrix)


@lru_cache(maxsize=64)
def element_modes(elements: int, ends: str) -> tuple[Array, Array]:
    """The same for linear elements: stiffness against mass, on the nodes that are free to move."""
    import scipy.linalg

    nodes = elements + 1
    stiffness, mass = np.zeros((nodes, nodes)), np.zeros((nodes, nodes))
    for i in range(elements):
        stiffness[i : i + 2, i : i + 2] += [[1, -1], [-1, 1]]
        mass[i : i + 2, i : i + 2] += [[1 / 3, 1 / 6], [1 / 6, 1 / 3]]
    if ends == "periodic":
        for matrix in (stiffness, mass):
            matrix[0] += matrix[-1]
            matrix[:, 0] += matrix[:, -1]
        stiffness, mass = stiffness[:-1, :-1], mass[:-1, :-1]
    if ends == "fixed":
        stiffness, mass = stiffness[1:-1, 1:-1], mass[1:-1, 1:-1]
    return scipy.linalg.eigh(stiffness, mass)
