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

from simulators.arrays import Array, like, namespace, part
from simulators.conduction import Conduction, Faces, Solve, both_sides, divergence


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
        values, vectors = namespace(self.log).linalg.eigh(self.log)
        return _compose(vectors, namespace(values).exp(values))

    def tensor_slope(self, row: int) -> Array:
        """Derivative of one row's tensor itself to log kappa of each cell, (m, m, *grid)."""
        values, vectors = namespace(self.log).linalg.eigh(self.log[row])
        powers = namespace(values).exp(values)
        return _conjugate(vectors, _divided_differences(values, powers, powers), self.slope[row])

    def dual(self) -> "LogTensor":
        """What this tensor of 1/kappa says of kappa: inverted and turned by a quarter (m = 1: inverted)."""
        return LogTensor(-_quarter_turn(self.log, 0), _quarter_turn(self.slope, self.slope.ndim - self.log.ndim))


def log_tensor(tensor: Array, slope: Array) -> LogTensor:
    """From a tensor (..., m, m), which is made symmetric, and its derivative (..., m, m, *grid)."""
    xp = namespace(tensor)
    values, vectors = xp.linalg.eigh((tensor + tensor.swapaxes(-1, -2)) / 2)
    logs = xp.log(values)
    return LogTensor(
        _compose(vectors, logs), _conjugate(vectors, _divided_differences(values, logs, 1 / values), slope)
    )


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
    """Both lower bounds with derivatives, from the deviations under each of the problem's drives."""
    axes, r, count = problem.axes, problem.resistivity, prod(problem.grid)
    total = tuple(axes)
    flux = problem.fluxes(deviation)
    sides = both_sides(flux, axes)
    # Per cell, half of dE/dq at its two faces of each axis; a face adds up what its two cells say.
    pulls = [(r * (low / 3 + high / 6), r * (high / 3 + low / 6)) for low, high in sides]
    on_faces = [_add_up(low, high, axis, problem.periodic) for (low, high), axis in zip(pulls, axes, strict=True)]
    adjoint = solve(divergence([g * p for g, p in zip(problem.conductances, on_faces, strict=True)], axes))
    response = [p - d for p, d in zip(on_faces, problem.drops(adjoint), strict=True)]
    weight = [(low * r / 2, high * r / 2) for low, high in both_sides(problem.conductances, axes)]

    dissipation: Array = 0
    energy: Array = 0
    change: Array = 0
    for (low, high), (pull_low, pull_high), (v_low, v_high), (w_low, w_high) in zip(
        sides, pulls, both_sides(response, axes), weight, strict=True
    ):
        dissipation = dissipation + _outer(low, r * low, problem.dim) + _outer(high, r * high, problem.dim)
        energy = energy + _outer(low, pull_low, problem.dim) + _outer(high, pull_high, problem.dim)
        change = change + _outer(low, w_low * v_low, problem.dim) + _outer(high, w_high * v_high, problem.dim)
    swap = (-problem.dim - 1, -problem.dim - 2)
    f, e = _mean_flux(problem, sides), energy.sum(axis=total) / count
    df = dissipation / (2 * count)
    de = (change + change.swapaxes(*swap) - energy) / count
    # A solve that failed must not take the rest of its batch with it: its imbalance says what it is worth.
    xp, imbalance = namespace(e), _imbalance(problem, flux)
    sound = (xp.isfinite(e) & xp.isfinite(f)).all(-1).all(-1)
    unit = like(np.eye(e.shape[-1]), e)
    e, f = (xp.where(sound[..., None, None], t, unit) for t in (e, f))
    imbalance = xp.where(sound, imbalance, np.nan)
    x = xp.linalg.solve(e, f)
    first = _times(None, df, x)
    slope = first + first.swapaxes(*swap) - _times(x.swapaxes(-1, -2), de, x)
    return LowerBounds(log_tensor(f, df), log_tensor(f.swapaxes(-1, -2) @ x, slope), imbalance)


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


def _add_up(low: Array, high: Array, axis: int, periodic: bool) -> Array:
    """Per-cell values at lower and higher faces, summed on the faces."""
    first, last = part(low, axis, slice(0, 1)), part(high, axis, slice(-1, None))
    inner = part(low, axis, slice(1, None)) + part(high, axis, slice(None, -1))
    ends = [first + last] * 2 if periodic else [first, last]
    return namespace(low).concatenate([ends[0], inner, ends[1]], axis=axis)


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


def _divided_differences(x: Array, f: Array, slope: Array) -> Array:
    """(f_a - f_b) / (x_a - x_b) for all pairs of eigenvalues, and f' where they coincide."""
    xp = namespace(x)
    gap, rise = x[..., :, None] - x[..., None, :], f[..., :, None] - f[..., None, :]
    tie = abs(gap) < 1e-5 * abs(x).max()
    return xp.where(tie, (slope[..., :, None] + slope[..., None, :]) / 2, rise / xp.where(tie, 1.0, gap))


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
