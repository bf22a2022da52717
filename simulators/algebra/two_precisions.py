"""Preconditioned conjugate gradients in single precision, corrected by residuals in double: for grids that are large.

Once the residual has fallen far enough it is computed anew in double, where the solution is summed up, while the
directions go on: as exact as in double, with half its memory traffic. Where single precision helps no more, at the
highest contrasts, double takes over. The preconditioner is that of `conjugate_gradients`; one system after the other
is solved, by NumPy, for the memory traffic of one is what takes the time.
"""

from collections.abc import Callable, Sequence
from functools import cached_property, partial
from math import prod
from typing import Protocol

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
"""times what single precision takes for its residual, beyond which the directions lead astray and start anew"""
LEAST = 1e4
"""times the smallest number with all digits: below it products of residuals mean nothing"""
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
                stencil = alone.stencil()
                members[i] = TwoPrecisions(stencil, partial(Uniform, stencil.shape, stencil.free, system.modes()))
            for j, row in enumerate(given[i]):
                found[i, j] = members[i].solve(row, float(limits[i, j]))
        return like(found, rhs)

    return solve


class Preconditioner(Protocol):
    """An approximate inverse of the operator."""

    def __call__(self, r: Array) -> Array:
        """Its product with a vector (*shape), contiguous."""

    def centre(self, r: Array) -> None:
        """Take from a residual what rounding leaves where the operator and this have nothing."""


class TwoPrecisions:
    """A system and its preconditioner, in double precision where that is needed."""

    def __init__(self, stencil: Stencil, preconditioner: Callable[[type], Preconditioner]) -> None:
        """From the operator in double precision, and what makes its preconditioner in either."""
        self.stencil, self.preconditioner = stencil, preconditioner
        self.single = stencil.cast(np.float32), preconditioner(np.float32)

    @cached_property
    def double(self) -> tuple[Stencil, Preconditioner]:
        """Operator and preconditioner."""
        return self.stencil, self.preconditioner(np.float64)

    def solve(self, rhs: Array, limit: float) -> Array:
        """x (*nodes), of which the residual's absolute sum is at most `limit`, or NaN."""
        free = self.stencil.free
        whole = np.zeros(self.stencil.shape)
        whole[free] = rhs
        x, residual, size = np.zeros_like(whole), whole, float(np.abs(whole).sum())
        iterations = Iterations(*self.single, np.float32, size)
        while not size <= limit:
            tried = x + iterations.reduced(residual, max(limit / 2, RENEWED * size))
            left = np.empty_like(whole)
            self.stencil.apply(tried, left)
            np.subtract(whole, left, out=left)
            self.single[1].centre(left)
            last, size = size, float(np.abs(left).sum())
            if size <= last:
                x, residual = tried, left
            if not size <= max(limit, STALLED * last):
                return (x + Iterations(*self.double, np.float64, 1.0).reduced(residual, limit, strict=True))[free]
            if size > DRIFTED * iterations.reached:
                iterations.last = np.inf
        return x[free]


class Iterations:
    """Conjugate gradients whose directions go on from one residual to the next."""

    def __init__(self, stencil: Stencil, inverse: Preconditioner, dtype: type, scale: float) -> None:
        """Of vectors that are divided by `scale`, so that their squares are neither too small nor too large."""
        self.stencil, self.inverse, self.scale = stencil, inverse, scale
        self.direction: Array = np.zeros(stencil.shape, dtype)
        self.last = self.reached = np.inf

    def reduced(self, residual: Array, limit: float, strict: bool = False) -> Array:
        """What makes the residual as small as `limit`; the best there is, or if strict NaN, where that fails."""
        from scipy.linalg import get_blas_funcs

        dtype = self.direction.dtype
        r, x = (residual / self.scale).astype(dtype), np.zeros(residual.shape, dtype)
        q, enough = np.empty_like(x), limit / self.scale
        add, least = get_blas_funcs("axpy", dtype=dtype), LEAST * np.finfo(dtype).tiny
        for iteration in range(MAX_ITERATIONS if strict else PATIENCE):
            if iteration % CHECK_EVERY == 0:
                self.inverse.centre(r)
                if np.abs(r, out=q).sum() <= enough:
                    break
            z = self.inverse(r)
            product = np.vdot(r, z)
            if not product > least:
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
        self.reached = self.scale * float(np.abs(r, out=q).sum())
        failed = strict and not self.reached <= limit
        return np.full(x.shape, np.nan) if failed else self.scale * x.astype(np.float64)


class Uniform:
    """Inverse of a problem with a uniform coefficient, by its one-dimensional modes; a constant mode is left out."""

    def __init__(
        self, shape: Sequence[int], free: Sequence[slice], modes: Sequence[tuple[Array, Array]], dtype: type
    ) -> None:
        """Of vectors (*shape), 0 but for the free part, and of each axis eigenvalues (m,) and -vectors (free, m)."""
        self.free = tuple(free)
        total: Array = sum(np.ix_(*(values for values, _ in modes)), np.zeros(1))
        constant = total < 1e-10 * total.max()
        self.constant = bool(constant.any())
        self.scale: Array = np.where(constant, 0.0, 1 / np.where(constant, 1.0, total)).astype(dtype)
        self.vectors = []
        for nodes, kept, (_, vectors) in zip(shape, free, modes, strict=True):
            padded = np.zeros((nodes, vectors.shape[1]), dtype)
            padded[kept] = vectors
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
