"""Spinodoids: structures of superposed waves whose vectors lie in cones about the axes (Kumar et al. 2020).

    phi(x) = sum of cos(k_n . x + phase_n),   label 1 where phi is above a level

Directions are uniform on the sphere, or in the plane on the circle, as far as they are within an angle of one of the
chosen axes: all directions make it isotropic, one axis lamellar (layers across it), two columnar (columns along the
third), three cubic. As a spinodal pattern without its dynamics it is stiff or conducting along axes of one's choice.

S. Kumar, S. Tan, L. Zheng, D. M. Kochmann, npj Computational Materials 6, 73 (2020).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulators.structures.drawing import Seed, check_range, grid_of, stream

Array = NDArray[np.float64]

KINDS = {"isotropic": 0, "lamellar": 1, "columnar": 2, "cubic": 3}
"""kind -> number of axes with a cone; in the plane columnar is cubic"""
TOGETHER = 64
"""waves summed at a time, which bounds the memory"""
DIGITS = 9
"""of phi that count: layers on a lattice are equally high to the last digit but for rounding"""


@dataclass(frozen=True)
class Spinodoid:
    """Ranges from which each image's parameters are drawn, uniformly."""

    kinds: tuple[str, ...] = tuple(KINDS)
    """of which each image is one, all equally likely; its axes are drawn, too"""
    volume_fraction: tuple[float, float] = (0.3, 0.7)
    """of label 1"""
    wavelengths: tuple[float, float] = (1.5, 2.5)
    """in the longest side of the image, one number for all its waves"""
    angle: tuple[float, float] = (15.0, 40.0)
    """half the opening of each cone, in degrees"""
    waves: int = 256
    periodic: bool = False
    """whether wave vectors are moved to the nearest for which the image repeats itself"""

    def __post_init__(self) -> None:
        """Refuse kinds and ranges that are none."""
        if not self.kinds or set(self.kinds) - set(KINDS):
            raise ValueError(f"kinds {self.kinds}: give one or more of {', '.join(KINDS)}")
        for name in ("volume_fraction", "wavelengths", "angle"):
            check_range(name, getattr(self, name))
        if self.volume_fraction[1] >= 1:
            raise ValueError(f"volume_fraction {self.volume_fraction}: keep both ends between 0 and 1")
        if not (self.angle[0] >= 5 and self.angle[1] <= 90):
            raise ValueError(f"angle {self.angle}: keep both ends between 5 and 90 degrees")
        if self.waves < 1:
            raise ValueError(f"waves {self.waves}: give a number of 1 or more, such as 256")


def generate(count: int, size: int | Sequence[int], seed: Seed, config: Spinodoid | None = None) -> NDArray[np.uint8]:
    """Labels 0 and 1, shape (count, *grid). Image i depends on (seed, i) and the grid alone, not on count.

    Args:
        size: side of a square, or the grid (ny, nx) or (nz, ny, nx).

    Raises:
        ValueError: a size that is neither.
    """
    grid, config = grid_of(size), config or Spinodoid()
    images = np.empty((count, *grid), dtype=np.uint8)
    for index in range(count):
        images[index] = _draw(grid, stream(seed, index), config)
    return images


def _draw(grid: tuple[int, ...], rng: np.random.Generator, config: Spinodoid) -> NDArray[np.uint8]:
    """One image."""
    kind = config.kinds[rng.integers(len(config.kinds))]
    fraction, wavelengths = rng.uniform(*config.volume_fraction), rng.uniform(*config.wavelengths)
    angles = np.zeros(len(grid))
    axes = rng.permutation(len(grid))[: KINDS[kind]]
    angles[axes] = rng.uniform(*config.angle, len(axes))
    directions = _directions(angles if len(axes) else np.full(len(grid), 90.0), config.waves, rng)
    periods = wavelengths * directions * np.array(grid) / max(grid)
    if config.periodic:
        periods = _on_lattice(periods)
    phi = superposed(grid, periods, rng.uniform(0, 2 * np.pi, config.waves)).round(DIGITS)
    ones = round(phi.size * fraction)
    return (phi >= np.sort(phi, axis=None)[phi.size - max(ones, 1)]).astype(np.uint8)


def _directions(angles: Array, count: int, rng: np.random.Generator) -> Array:
    """Unit vectors (count, dim), uniform among those within the angle, in degrees, of any axis."""
    least, found = np.cos(np.deg2rad(angles)), np.empty((0, len(angles)))
    while len(found) < count:
        vectors = rng.standard_normal((4 * count, len(angles)))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        found = np.concatenate([found, vectors[(abs(vectors) >= least).any(axis=1)]])
    return found[:count]


def _on_lattice(periods: Array) -> Array:
    """The nearest whole numbers of periods a side, at least one along some axis."""
    whole, largest = periods.round(), abs(periods).argmax(axis=1, keepdims=True)
    still = ~whole.any(axis=1, keepdims=True)
    np.put_along_axis(whole, largest, np.where(still, 1.0, np.take_along_axis(whole, largest, 1)), 1)
    return whole


def superposed(grid: tuple[int, ...], periods: Array, phase: Array) -> Array:
    """Sum of cosines on a grid, each with its periods a side (n, dim) and phase (n,), at the pixels' centres."""
    phi = np.zeros(grid)
    for first in range(0, len(periods), TOGETHER):
        part = slice(first, first + TOGETHER)
        # cos(a + b + c) is the real part of a product of three, of which each depends on one coordinate.
        outer = np.exp(1j * phase[part])[:, None]
        for axis, side in enumerate(grid):
            turn = np.exp(2j * np.pi * periods[part, axis, None] * (np.arange(side) + 0.5) / side)
            if axis < len(grid) - 1:
                outer = (outer[:, :, None] * turn[:, None, :]).reshape(len(turn), -1)
        phi += (outer.T @ turn).real.reshape(grid)
    return phi
