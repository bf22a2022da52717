"""Iterative refinement of heat fluxes: what makes every backend accurate up to `MAX_CONTRAST`.

Temperatures of which double precision keeps 16 digits leave a flux imbalance of about 1e-16 times contrast times
side. A flux is therefore never computed from refined temperatures: each correction's own flux is added to it, so
that the divergence goes down to the rounding of the flux itself.
"""

from simulators.algebra.arrays import Array, namespace
from simulators.conduction.problem import Conduction, Faces, Solve, divergence

TOLERANCE = 1e-10
"""of the divergence left, summed over the grid, relative to the heat that flows"""
MAX_CONTRAST = 1e6
"""between any two cells of a field"""
MAX_STEPS = 10
LOST = 10.0
ROUNDING = 2.0**-52


def divergence_free(problem: Conduction, faces: Faces, solve: Solve, limit: Array) -> Faces:
    """`faces` (n, m, *faces) without the gradient part that makes their divergence.

    Solves only for what has more divergence left than `limit` (n, 1) or than rounding leaves, and as long as that
    helps; what has then `LOST` times as much left is NaN, which no gate lets pass.
    """
    axes, xp = problem.axes, namespace(problem.kappa)
    grid, wide = tuple(axes), (..., *[None] * problem.dim)
    limit = xp.maximum(limit, ROUNDING * sum(abs(f).sum(axis=grid) for f in faces))
    left = divergence(faces, axes)
    size = abs(left).sum(axis=grid)
    pending = size > limit
    for _ in range(MAX_STEPS):
        if not bool(pending.any()):
            break
        drops = problem.drops(solve(xp.where(pending[wide], left, 0.0), limit / 2))
        tried = [f - g * d for f, g, d in zip(faces, problem.conductances, drops, strict=True)]
        left = divergence(tried, axes)
        after = abs(left).sum(axis=grid)
        better = pending & (after < size)
        faces = [xp.where(better[wide], t, f) for t, f in zip(tried, faces, strict=True)]
        size, pending = xp.where(better, after, size), better & (after > limit)
    return [xp.where((size <= LOST * limit)[wide], f, xp.nan) for f in faces]
