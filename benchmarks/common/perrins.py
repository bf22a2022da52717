"""Conductivity of a square array of discs by multipoles (Rayleigh 1892; Perrins, McKenzie & McPhedran 1979)."""

from functools import cache
from math import comb, factorial, pi

import numpy as np
from scipy.special import zeta

ORDERS = 60


def square_array(fraction, contrast):
    """Discs of area fraction f (below pi / 4) conducting `contrast` times the matrix; contrast may be infinite."""
    radius = np.sqrt(fraction / pi)
    t = 1.0 if np.isinf(contrast) else (contrast + 1) / (contrast - 1)
    matrix = np.zeros((ORDERS, ORDERS))
    for n in range(1, ORDERS + 1):
        for m in range(1, ORDERS + 1):
            power = 2 * (n + m - 1)
            matrix[n - 1, m - 1] = -comb(power - 1, 2 * n - 1) * lattice_sum(power) * radius**power
    # Unknowns and rows scaled by radius^(2n - 1), so that the diagonal is t.
    matrix += t * np.eye(ORDERS)
    right = np.zeros(ORDERS)
    right[0] = radius
    return 1 + 2 * pi * radius * np.linalg.solve(matrix, right)[0]


@cache
def lattice_sum(power):
    """Sum of w^-power over the Gaussian integers w but 0; pi for the second one, by its summation along the field."""
    if power == 2:
        return pi
    if power % 4:
        return 0.0
    if power <= 16:
        # Eisenstein series at i, q = exp(-2 pi).
        tail = sum(
            sum(d ** (power - 1) for d in range(1, n + 1) if n % d == 0) * np.exp(-2 * pi * n) for n in range(1, 40)
        )
        return float(2 * zeta(power) + 2 * (2 * pi) ** power / factorial(power - 1) * tail)
    grid = np.arange(-8, 9)
    w = (grid[:, None] + 1j * grid).ravel()
    return float((w[w != 0] ** -power).sum().real)
