"""Lower bounds in the plane: stresses in equilibrium, of which the true ones have the least energy (Castigliano).

They are derivatives of Airy's function, sxx = F,yy, syy = F,xx, sxy = -F,xy, made of biquadratic B-splines on the
grid of cells: their first derivatives are continuous, so tractions are, too, and each cell costs one unknown. Of
cell i along an axis the splines i - 1, i, i + 1 are (1 - t)^2 / 2, 1/2 + t - t^2 and t^2 / 2, 0 <= t <= 1.

Between grips F and its slope vanish at one free side; at the other one the slope is the force that pulls, and F is
one number, the moment that rigid grips take up; at the grips the slope across them vanishes, since they are
frictionless.
"""

from functools import lru_cache

import numpy as np
from numpy.polynomial import Polynomial
from numpy.polynomial.legendre import leggauss

from simulators.elasticity.energies import Energies, Problem
from simulators.elasticity.spaces import Space
from simulators.elasticity.stiffness import FloatArray

SPLINES = (Polynomial([0.5, -1, 0.5]), Polynomial([0.5, 1, -1]), Polynomial([0, 0, 0.5]))
LINEAR = np.array([-0.5, 0.5, 1.5])
"""coefficients of t"""


def stress_energies(constants: FloatArray, grid: tuple[int, int], periodic: bool) -> Energies:
    """Energies of unit mean stresses, xx, yy and xy if periodic, else xx: the compliance, from above.

    Of Lamé's constants of each cell, (2, cells); the derivatives are to the logarithm of its compliance.
    """
    lam, mu = constants
    direct, across = (lam + 2 * mu) / (4 * mu * (lam + mu)), -lam / (4 * mu * (lam + mu))
    problem = Problem(splines(grid, periodic), np.stack([direct, across]), element_matrices())
    last = np.array([0.0, 0.0, 1.0])
    means = np.stack([np.outer(last, np.ones(3)), np.outer(np.ones(3), last), -np.outer(LINEAR, LINEAR)])
    prescribed = np.broadcast_to(means.reshape(3, 9, 1), (3, 9, lam.size))
    if periodic:
        return problem.energies(problem.relaxed(prescribed))
    moment = np.zeros(problem.space.shape)
    moment[0, -2:] = 1
    fields = problem.relaxed(np.concatenate([prescribed[:1], problem.space.gather(moment.reshape(1, -1))]))
    loads = problem.loads(fields[1:])
    share = (fields[0] * loads[0]).sum() / (fields[1] * loads[0]).sum()
    return problem.energies(fields[:1] - share * fields[1:])


@lru_cache(maxsize=6)
def splines(grid: tuple[int, int], periodic: bool) -> Space:
    """Biquadratic splines; a cell has those before it, about it and behind it along y, and of each along x."""
    ny, nx = grid
    around = np.array([-1, 0, 1])
    if periodic:
        shape = (1, ny, nx)
        y, x = ((around[:, None] + np.arange(n)) % n for n in grid)
    else:
        # No slope at the grips: the spline beyond them is that before them.
        shape = (1, ny + 2, nx)
        y, x = around[:, None] + np.arange(ny) + 1, (around[:, None] + np.arange(nx)).clip(0, nx - 1)
    index = np.arange(shape[1] * shape[2]).reshape(shape[1:])
    cells = index[y[:, None, :, None], x[None, :, None, :]].reshape(9, -1)
    held = np.zeros(shape, dtype=bool)
    pinned = held.copy()
    if periodic:
        pinned[0, 0, 0] = True
    else:
        held[0, [0, 1, -2, -1]] = pinned[0, [0, 1, -2, -1]] = True
    # Linear functions have no stress: what is left is zero for the first splines (0, 0), (0, 1) and (1, 0).
    to_linear = np.eye(9)
    for i, j in np.ndindex(3, 3):
        to_linear[3 * i + j, [0, 1, 3]] -= [1 - i - j, j, i]
    return Space(shape, periodic, cells, held.ravel(), pinned.ravel(), to_linear)


@lru_cache(maxsize=1)
def element_matrices() -> FloatArray:
    """Energy of a unit cell for s11 = 1 and for s12 = 1, (2, 9, 9); s66 = 2 (s11 - s12)."""
    points, weights = leggauss(3)
    at = (points + 1) / 2
    values = [np.array([spline.deriv(order)(at) for spline in SPLINES]) for order in range(3)]

    def derivative(along_y: int, along_x: int) -> FloatArray:
        return np.einsum("iq,jr->ijqr", values[along_y], values[along_x]).reshape(9, 9)

    weight = np.outer(weights, weights).ravel() / 4
    xx, yy, xy = derivative(2, 0), derivative(0, 2), -derivative(1, 1)

    def mean(a: FloatArray, b: FloatArray) -> FloatArray:
        return (a * weight) @ b.T

    shear = 2 * mean(xy, xy)
    return np.stack([mean(xx, xx) + mean(yy, yy) + shear, mean(xx, yy) + mean(yy, xx) - shear])
