"""Effective conductivity tensors with certified bounds, and their exact derivatives to every cell.

From the fluxes q_i of one problem, each under a unit gradient along one axis i, follow two lower bounds:

    F_ij = mean flux along i under drive j                     finite volumes
    F E^-1 F, E_ij = mean of q_i . q_j / kappa                 lowest Raviart-Thomas energy, sharper (Thomson)

Under "dirichlet" both are 1 x 1, under "periodic" symmetric tensors that bound in the Loewner order. F is
stationary in the temperatures; E needs one adjoint temperature for each q_i, one more back-substitution.
A tensor is carried as its matrix logarithm, where the duality of plane conduction is a change of sign and a
quarter turn: K(kappa) = R K(1/kappa)^-1 R^T (Keller 1964, Dykhne 1971, Mendelson 1975).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from simulators.algebra.arrays import Array, like, namespace, part
from simulators.conduction.problem import Conduction, Faces, Solve, both_sides
from simulators.conduction.refinement import TOLERANCE, divergence_free


@dataclass(frozen=True)
class LogTensor:
    """A symmetric positive tensor by its logarithm.

    Attributes:
        log: matrix logarithm, (..., m, m).
        slope: derivative of `log` to log kappa of each cell, (..., m, m, *grid).
    """

    log: Array
    slope: Array

    def tensor(self) -> Array:
        """The tensor itself, (..., m, m)."""
        values, vectors = _eigh(self.log)
        return _compose(vectors, namespace(values).exp(values))

    def tensor_slope(self, row: int) -> Array:
        """Derivative of one row's tensor itself to log kappa of each cell, (m, m, *grid)."""
        values, vectors = _eigh(self.log[row])
        powers = namespace(values).exp(values)
        return _conjugate(vectors, _divided_differences(values, powers, powers, powers / powers), self.slope[row])

    def dual(self) -> "LogTensor":
        """What this tensor of 1/kappa says of kappa: inverted and turned by a quarter (m = 1: inverted)."""
        return LogTensor(-_quarter_turn(self.log, 0), _quarter_turn(self.slope, self.slope.ndim - self.log.ndim))


def log_tensor(tensor: Array, slope: Array) -> LogTensor:
    """From a tensor (..., m, m), which is made symmetric, and its derivative (..., m, m, *grid)."""
    xp = namespace(tensor)
    values, vectors = _eigh((tensor + tensor.swapaxes(-1, -2)) / 2)
    logs = xp.log(values)
    differences = _divided_differences(values, logs, 1 / values, values)
    return LogTensor(_compose(vectors, logs), _conjugate(vectors, differences, slope))


def mean(tensors: Sequence[LogTensor]) -> LogTensor:
    """Log-Euclidean mean: geometric for numbers, and it commutes with inversion and rotation."""
    return LogTensor(sum(t.log for t in tensors) / len(tensors), sum(t.slope for t in tensors) / len(tensors))


@dataclass(frozen=True)
class LowerBounds:
    """What the solution of one problem gives; `imbalance` (...) compares total fluxes through all planes."""

    finite_volume: LogTensor
    raviart_thomas: LogTensor
    imbalance: Array


def lower_bounds(problem: Conduction, deviation: Array, solve: Solve) -> LowerBounds:
    """Both lower bounds with derivatives, from the deviations under each of the problem's drives.

    With low and high the fluxes through a cell's two faces along an axis, r its resistivity and sums over axes,
    a cell dissipates r (low^2 + high^2) / 2 in finite volumes and r (low^2 + low high + high^2) / 3 in E. Half of
    dE/dq times the face's conductance is 2 q / 3 + g x / 6, x the sum of r times the flux at the other side of
    either cell; 2 q / 3 has no divergence, so that x alone drives the adjoint.
    """
    axes, dim, r, count = problem.axes, problem.dim, problem.resistivity, prod(problem.grid)
    plane = count / max(problem.grid)
    flux = divergence_free(problem, problem.fluxes(deviation), solve, TOLERANCE * problem.least_flux * plane)
    sides = both_sides(flux, axes)
    g = problem.conductances
    across = [
        g_a * _across(r * low, r * high, axis, problem.periodic) / 6
        for g_a, (low, high), axis in zip(g, sides, axes, strict=True)
    ]
    response = divergence_free(problem, across, solve, TOLERANCE * problem.least_flux * count)

    squares = _sum_sides([_outer(q, q, dim) for q in flux], axes)
    mixed = sum(_symmetric(_outer(low, high, dim), dim) for low, high in sides)
    change = _sum_sides([_symmetric(_outer(q, h, dim), dim) for q, h in zip(flux, response, strict=True)], axes)
    r = r[(..., None, *[slice(None)] * dim)]
    df = r * squares / (2 * count)
    e = (r * (squares + mixed)).sum(axis=tuple(axes)) / (3 * count)
    de = r * ((squares - mixed) / 3 + change) / count
    f = _mean_flux(problem, sides)
    # A solve that failed must not take the rest of its batch with it: its imbalance says what it is worth.
    xp, imbalance = namespace(e), _imbalance(problem, flux)
    sound = (xp.isfinite(e) & xp.isfinite(f)).all(-1).all(-1)
    unit = like(np.eye(e.shape[-1]), e)
    e, f = (xp.where(sound[..., None, None], t, unit) for t in (e, f))
    imbalance = xp.where(sound, imbalance, np.nan)
    x = f / e if e.shape[-1] == 1 else xp.linalg.solve(e, f)
    slope = 2 * _symmetric(_times(None, df, x), dim) - _times(x.swapaxes(-1, -2), de, x)
    return LowerBounds(log_tensor(f, df), log_tensor(f.swapaxes(-1, -2) @ x, slope), imbalance)


def _across(low: Array, high: Array, axis: int, periodic: bool) -> Array:
    """On each face, `low` of the cell below it plus `high` of the cell above it."""
    first, last = part(high, axis, slice(0, 1)), part(low, axis, slice(-1, None))
    inner = part(low, axis, slice(None, -1)) + part(high, axis, slice(1, None))
    ends = [first + last] * 2 if periodic else [first, last]
    return namespace(low).concatenate([ends[0], inner, ends[1]], axis=axis)


def _sum_sides(faces: Faces, axes: Sequence[int]) -> Array:
    """Of each cell, the sum over all its faces."""
    return sum(low + high for low, high in both_sides(faces, axes))


def _symmetric(field: Array, dim: int) -> Array:
    """The symmetric part of a field (..., m, m, *grid)."""
    return field if field.shape[-dim - 1] == 1 else (field + field.swapaxes(-dim - 1, -dim - 2)) / 2


def _mean_flux(problem: Conduction, sides: list[tuple[Array, Array]]) -> Array:
    """F: row i is the mean flux along drive i's axis, column j the drive."""
    rows = [(sides[axis][0] + sides[axis][1]).mean(axis=tuple(problem.axes)) / 2 for axis in problem.drives]
    return namespace(rows[0]).stack(rows, -2)


def _imbalance(problem: Conduction, flux: Faces) -> Array:
    """Largest difference between the total fluxes through two parallel planes, relative to the driven flux."""
    xp, worst = namespace(problem.kappa), []
    for row, driven in enumerate(problem.drives):
        own = flux[driven][(..., row, *[slice(None)] * problem.dim)]
        scale = abs(own.mean(axis=tuple(problem.axes)))
        for axis in problem.drives:
            q = flux[axis][(..., row, *[slice(None)] * problem.dim)]
            planes = q.mean(axis=tuple(a for a in problem.axes if a != axis))
            worst.append((xp.amax(planes, -1) - xp.amin(planes, -1)) / scale)
    return xp.amax(xp.stack(worst, 0), 0)


def _outer(a: Array, b: Array, dim: int) -> Array:
    """Products of every drive of `a` with every drive of `b`, (..., m, m, *grid)."""
    grid = [slice(None)] * dim
    return a[(..., None, *grid)] * b[(..., None, slice(None), *grid)]


def _times(left: Array | None, field: Array, right: Array) -> Array:
    """left @ field @ right in each cell, for matrices (..., m, m) and a field (..., m, m, *grid)."""
    xp, grid = namespace(field), field.shape[right.ndim :]
    if right.shape[-1] == 1:
        scalar = right if left is None else left * right
        return field * scalar[(..., *[None] * len(grid))]
    flat = field.reshape(*right.shape, -1)
    flat = xp.einsum("...abp,...bc->...acp", flat, right)
    if left is not None:
        flat = xp.einsum("...ab,...bcp->...acp", left, flat)
    return flat.reshape(field.shape)


def _conjugate(vectors: Array, factors: Array, field: Array) -> Array:
    """V (factors * (V^T field V)) V^T in each cell."""
    if vectors.shape[-1] == 1:
        return _times(None, field, factors)
    inside = _times(vectors.swapaxes(-1, -2), field, vectors)
    inside = inside * factors[(..., *[None] * (field.ndim - factors.ndim))]
    return _times(vectors, inside, vectors.swapaxes(-1, -2))


def _divided_differences(x: Array, f: Array, slope: Array, scale: Array) -> Array:
    """(f_a - f_b) / (x_a - x_b) for all pairs of eigenvalues, and f' where they coincide on the scale of f's change."""
    if x.shape[-1] == 1:
        return slope[..., None]
    xp = namespace(x)
    gap, rise = x[..., :, None] - x[..., None, :], f[..., :, None] - f[..., None, :]
    tie = abs(gap) <= 1e-5 * scale[..., None]
    return xp.where(tie, (slope[..., :, None] + slope[..., None, :]) / 2, rise / xp.where(tie, 1.0, gap))


def _eigh(tensor: Array) -> tuple[Array, Array]:
    """Eigenvalues and -vectors of symmetric tensors (..., m, m)."""
    if tensor.shape[-1] == 1:
        return tensor[..., 0], namespace(tensor).ones_like(tensor)
    return namespace(tensor).linalg.eigh(tensor)


def _compose(vectors: Array, values: Array) -> Array:
    return (vectors * values[..., None, :]) @ vectors.swapaxes(-1, -2)


def _quarter_turn(field: Array, dim: int) -> Array:
    """R X R^T for symmetric X: the diagonal exchanged, the rest with its sign changed."""
    m = field.shape[field.ndim - dim - 1]
    if m == 1:
        return field
    grid = [slice(None)] * dim
    turned = -field
    turned[(..., 0, 0, *grid)] = field[(..., 1, 1, *grid)]
    turned[(..., 1, 1, *grid)] = field[(..., 0, 0, *grid)]
    return turned
