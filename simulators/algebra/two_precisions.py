"""Preconditioned conjugate gradients in single precision, corrected by residuals in double: for grids that are large.

Once the residual has fallen far enough it is computed anew in double, where the solution is summed up, while the
directions go on: as exact as in double, with half its memory traffic. Where single precision helps no more, at the
highest contrasts, double takes over. The preconditioner is that of `conjugate_gradients`; one system after the other
is solved, by NumPy, for the memory traffic of one is what takes the time.
"""

from collections.abc import Callable
from functools import cached_property
from math import prod

import numpy as np

from simulators.algebra.arrays import Array, like, to_numpy
from simulators.algebra.conjugate_gradients import System
from simulators.algebra.stencils import Stencil

MAX_ITERATIONS = 5000
CHECK_EVERY = 3
RENEWED = 1e-3
"""fall of the residual in single precision, after which it is computed in double"""
STALLED = 0.1
"""of the residual, to which single precision must bring it to go on"""
DRIFTED = 2.0
"""times the residual that was aimed at, beyond which the directions know nothing of the true one and start anew"""
PATIENCE = 250
"""iterations in single precision without a look at the true residual"""


def solver(system: System, count: int) -> Callable[[Array, Array], Array]:
    """What solves for right-hand sides (count, m, *nodes) to absolute sums of the residuals (count, m or 1).

    What does not get there comes back as NaN.
    """
    members: dict[int, TwoPrecisions] = {}

    def solve(rhs: Array, limit: Array) -> Array:
        given = to_numpy(rhs)
        limits = np.broadcast_to(to_numpy(limit), given.shape[:2])
        found = np.empty_like(given)
        for i in range(count):
            if i not in members:
                alone = system if count == 1 else system.take(slice(i, i + 1))
                members[i] = TwoPrecisions(alone.stencil(), system.modes())
            for j, row in enumerate(given[i]):
                found[i, j] = members[i].solve(row, float(limits[i, j]))
        return like(found, rhs)

    return solve


class TwoPrecisions:
    """A system and its preconditioner, in double precision where that is needed."""

    def __init__(self, stencil: Stencil, modes: list[tuple[Array, Array]]) -> None:
        """From the operator in double precision, and for each axis eigenvalues and -vectors of the uniform problem."""
        self.stencil, self.modes = stencil, modes
        self.single = stencil.cast(np.float32), Uniform(stencil, modes, np.float32)

    @cached_property
    def double(self) -> tuple[Stencil, "Uniform"]:
        """Operator and preconditioner."""
        return self.stencil, Uniform(self.stencil, self.modes, np.float64)

    def solve(self, rhs: Array, limit: float) -> Array:
        """x (*nodes), of which the residual's absolute sum is at most `limit`, or NaN."""
        free, uniform = self.stencil.free, self.single[1]
        whole = np.zeros(self.stencil.shape)
        whole[free] = rhs
        x, residual, size = np.zeros_like(whole), whole.copy(), float(np.abs(whole).sum())
        iterations = Iterations(*self.single, size)
        while not size <= limit:
            aim = max(limit / 2, RENEWED * size)
            x += iterations.reduced(residual, aim)
            self.stencil.apply(x, residual)
            np.subtract(whole, residual, out=residual)
            uniform.centre(residual)
            last, size = size, float(np.abs(residual).sum())
            if not size <= DRIFTED * aim:
                iterations.last = np.inf
            if not size <= max(limit, STALLED * last):
                # Of a sum that overflowed nothing is kept.
                kept = x if np.isfinite(size) else np.zeros_like(x)
                rest = residual if np.isfinite(size) else whole
                return (kept + Iterations(*self.double, 1.0).reduced(rest, limit, strict=True))[free]
        return x[free]


class Iterations:
    """Conjugate gradients whose directions go on from one residual to the next."""

    def __init__(self, stencil: Stencil, uniform: "Uniform", scale: float) -> None:
        """Of vectors that are divided by `scale`, so that their squares are neither too small nor too large."""
        self.stencil, self.uniform, self.scale = stencil, uniform, scale
        self.direction = np.zeros(stencil.shape, uniform.scale.dtype)
        self.last = np.inf

    def reduced(self, residual: Array, limit: float, strict: bool = False) -> Array:
        """What makes the residual as small as `limit`; the best there is, or if strict NaN, where that fails."""
        from scipy.linalg import get_blas_funcs

        dtype = self.direction.dtype
        r, x = (residual / self.scale).astype(dtype), np.zeros(residual.shape, dtype)
        q, enough = np.empty_like(x), limit / self.scale
        add = get_blas_funcs("axpy", dtype=dtype)
        for iteration in range(MAX_ITERATIONS if strict else PATIENCE):
            if iteration % CHECK_EVERY == 0:
                self.uniform.centre(r)
                if np.abs(r, out=q).sum() <= enough:
                    break
            z = self.uniform(r)
            product = np.vdot(r, z)
            if not product > 0:
                break
            add(self.direction.ravel(), z.ravel(), a=product / self.last)
            self.direction, self.last = z, product
            self.stencil.apply(z, q)
            curvature = np.vdot(z, q)
            if not curvature > 0:
                self.last = np.inf
                break
            add(z.ravel(), x.ravel(), a=product / curvature)
            add(q.ravel(), r.ravel(), a=-product / curvature)
        reached = np.abs(r, out=q).sum() <= enough
        return np.full(x.shape, np.nan) if strict and not reached else self.scale * x.astype(np.float64)


class Uniform:
    """Inverse of a problem with a uniform coefficient, by its one-dimensional modes; a constant mode is left out."""

    def __init__(self, stencil: Stencil, modes: list[tuple[Array, Array]], dtype: type) -> None:
        """From eigenvalues (m,) and -vectors (free nodes, m) of each axis of the stencil's vectors."""
        self.free = stencil.free
        total: Array = sum(np.ix_(*(values for values, _ in modes)), np.zeros(1))
        constant = total < 1e-10 * total.max()
        self.constant = bool(constant.any())
        self.scale: Array = np.where(constant, 0.0, 1 / np.where(constant, 1.0, total)).astype(dtype)
        self.vectors = []
        for nodes, free, (_, vectors) in zip(stencil.shape, self.free, modes, strict=True):
            padded = np.zeros((nodes, vectors.shape[1]), dtype)
            padded[free] = vectors
            self.vectors.append(padded)

    def __call__(self, r: Array) -> Array:
        """Its product with a vector (*shape)."""
        r = _transformed(r, [v.T for v in self.vectors])
        r *= self.scale
        return _transformed(r, self.vectors)

    def centre(self, r: Array) -> None:
        """Take away what rounding leaves in the constant mode: a heat that has nowhere to go."""
        if self.constant:
            r[self.free] -= r[self.free].mean()


def _transformed(x: Array, matrices: list[Array]) -> Array:
    """Each axis of x times a matrix from the left."""
    for axis, matrix in enumerate(matrices):
        before, after = x.shape[:axis], x.shape[axis + 1 :]
        # BLAS likes matrices, of which the last axis needs no batch.
        turned = matrix @ x.reshape(prod(before), -1, prod(after)) if after else x.reshape(prod(before), -1) @ matrix.T
        x = turned.reshape(*before, -1, *after)
    return x
