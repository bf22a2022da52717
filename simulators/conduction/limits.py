"""Between what the effective conductivities of two isotropic phases lie, each by itself and all at once.

By itself each lies between the harmonic and the arithmetic mean, h and a (Wiener, 1912). All eigenvalues l of the
effective tensor at once, in dimension d, with the phases' conductivities k < K,

    sum 1 / (l - k) <= 1 / (h - k) + (d - 1) / (a - k),    sum 1 / (K - l) <= 1 / (K - h) + (d - 1) / (K - a)

(Lurie and Cherkaev 1984; Tartar 1985), and laminates reach both edges. 1 / (t - k) is convex, so that the diagonal
entries obey what the eigenvalues obey, in any axes; and a window between fixed faces is a mirrored periodic cell.
"""

from collections.abc import Sequence

import numpy as np

from simulators.simulator import FloatArray


def wiener(fraction: FloatArray, conductivity: Sequence[float]) -> tuple[FloatArray, FloatArray]:
    """Harmonic and arithmetic mean of two phases at a volume fraction of label 1."""
    k0, k1 = conductivity
    least = min(k0, k1)  # by which to divide never overflows
    return least / ((1 - fraction) * (least / k0) + fraction * (least / k1)), (1 - fraction) * k0 + fraction * k1


def narrowed(
    low: FloatArray, high: FloatArray, fraction: FloatArray, conductivity: Sequence[float]
) -> tuple[FloatArray, FloatArray]:
    """Intervals that kxx, kyy ... lie in, made as narrow as those of the others and the volume fraction allow.

    Args:
        low: (n, d), of the diagonal entries; -inf where nothing is known.
        high: (n, d).
        fraction: (n,) of label 1.
        conductivity: of label 0 and label 1.

    Returns:
        Both ends (n, d); the lower one is above the upper one, perhaps infinite, where nothing is possible.
    """
    (h, a), dim = (mean[:, None] for mean in wiener(fraction, conductivity)), low.shape[1]
    bottom, top = min(conductivity), max(conductivity)
    low, high = np.maximum(low, h), np.minimum(high, a)
    with np.errstate(divide="ignore", invalid="ignore"):
        up = 1 / (high - bottom)
        left = 1 / (h - bottom) + (dim - 1) / (a - bottom) - (up.sum(1, keepdims=True) - up)
        lowest = bottom + np.where(left > 0, 1 / left, np.inf)
        down = 1 / (top - low)
        left = 1 / (top - h) + (dim - 1) / (top - a) - (down.sum(1, keepdims=True) - down)
        highest = top - np.where(left > 0, 1 / left, np.inf)
    mixed = (h > bottom) & (a < top)  # a single phase leaves no choice but h = a
    return np.where(mixed, np.maximum(low, lowest), low), np.where(mixed, np.minimum(high, highest), high)
