"""Two-phase microstructures by spinodal decomposition (Cahn & Hilliard 1958).

    dc/dt = laplacian(c^3 - c - g laplacian(c))     on a periodic plane or volume, c near -1 and 1 in the two phases

Stepped in Fourier space by Eyre's linearly stabilised splitting (2 c implicit, c^3 - 3 c explicit), which
conserves mass exactly and never raises the free energy, whatever the step. A mode grows at the equation's rate
for small steps only; at the default step the pattern takes the same way more slowly.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from simulators.structures.drawing import Seed, check_range, grid_of, stream, unit_of

Array = NDArray[np.float64]

BATCH_PIXELS = 2**15
"""Pixels stepped together: 256 KiB an array, which a core's cache holds (benchmarks/phasefield.py)."""


@dataclass(frozen=True)
class PhaseField:
    """Ranges from which each image's parameters are drawn, uniformly."""

    volume_fraction: tuple[float, float] = (0.3, 0.7)
    """of label 1"""
    gradient_energy: tuple[float, float] = (0.8, 2.0)
    """g, in (longest side / 32)^2"""
    noise: tuple[float, float] = (0.05, 0.2)
    """standard deviation of the initial composition"""
    time: tuple[float, float] = (40.0, 250.0)
    """in units of (longest side / 32)^2"""
    time_step: float = 1.0
    """in units of (longest side / 32)^2"""

    def __post_init__(self) -> None:
        """Refuse ranges that are none and those in which the mixture does not decompose."""
        for name in ("volume_fraction", "gradient_energy", "noise", "time"):
            check_range(name, getattr(self, name))
        if not (self.volume_fraction[0] >= 0.22 and self.volume_fraction[1] <= 0.78):
            raise ValueError(
                f"volume_fraction {self.volume_fraction}: a mixture decomposes by itself only between 0.22 and 0.78; "
                "keep both ends in there"
            )
        if not 0 < self.time_step < math.inf:
            raise ValueError(f"time_step {self.time_step}: give a positive finite number, such as 1.0")
        if self.time[0] < self.time_step:
            raise ValueError(
                f"time {self.time}: every image takes at least one time_step, {self.time_step}; "
                "raise the times or shorten the step"
            )


VOLUMES = PhaseField(gradient_energy=(1.5, 4.0), time=(80.0, 250.0))
"""The default in space: coarser than in the plane, as a volume has more features to tell by as many numbers."""


def generate(count: int, size: int | Sequence[int], seed: Seed, config: PhaseField | None = None) -> NDArray[np.uint8]:
    """Labels 0 and 1, shape (count, *grid). Image i depends on (seed, i) and the grid alone, not on count.

    Args:
        size: side of a square, or the grid (ny, nx) or (nz, ny, nx).
        config: `PhaseField()` in the plane and `VOLUMES` in space, unless given.

    Raises:
        ValueError: a size that is neither.
    """
    grid = grid_of(size)
    config = config or (PhaseField() if len(grid) == 2 else VOLUMES)
    images = np.empty((count, *grid), dtype=np.uint8)
    batch = max(1, BATCH_PIXELS // math.prod(grid))
    for first in range(0, count, batch):
        for index, composition in _evolve(range(first, min(first + batch, count)), grid, seed, config):
            images[index] = _cut(composition)
    return images


@dataclass(frozen=True)
class Start:
    """What image `index` of a seed starts from."""

    composition: Array
    """of the grid's shape"""
    gradient_energy: float
    """in pixels^2"""
    steps: int


def draw(index: int, grid: tuple[int, ...], seed: Seed, config: PhaseField) -> Start:
    """The start of one image, from its own stream of random numbers."""
    rng = stream(seed, index)
    mean = 2 * rng.uniform(*config.volume_fraction) - 1
    gradient_energy = rng.uniform(*config.gradient_energy) * unit_of(grid) ** 2
    steps = round(rng.uniform(*config.time) / config.time_step)
    noise = rng.uniform(*config.noise) * rng.standard_normal(grid)
    return Start(mean + noise - noise.mean(), gradient_energy, steps)


def _evolve(indices: range, grid: tuple[int, ...], seed: Seed, config: PhaseField) -> Iterator[tuple[int, Array]]:
    """Index and final composition of each image, the soonest finished first."""
    starts = {index: draw(index, grid, seed, config) for index in indices}
    order = sorted(indices, key=lambda index: -starts[index].steps)
    mixtures = Mixtures(
        np.stack([starts[index].composition for index in order]),
        np.array([starts[index].gradient_energy for index in order]),
        config.time_step * unit_of(grid) ** 2,
    )
    taken = 0
    for row, index in reversed(list(enumerate(order))):
        mixtures.keep(row + 1)
        mixtures.advance(starts[index].steps - taken)
        taken = starts[index].steps
        yield index, mixtures.composition[row]


def _cut(composition: Array) -> NDArray[np.uint8]:
    """Labels whose fraction of 1 is what the mean composition asks for, also where separation is unfinished."""
    ones = round(composition.size * (1 + composition.mean()) / 2)
    labels = np.zeros(composition.size, dtype=np.uint8)
    labels[np.argsort(composition, axis=None, kind="stable")[composition.size - ones :]] = 1
    return labels.reshape(composition.shape)


class Mixtures:
    """Compositions (n, *grid) under way, their gradient energies (n,) and time step, lengths in pixels.

    The spectrum is carried from step to step, so a step costs one transform each way. Every operation is on one
    image or one element, so an image's digits do not depend on which others it is stepped with.
    """

    def __init__(self, composition: Array, gradient_energy: Array, time_step: float) -> None:
        self._axes = tuple(range(1, composition.ndim))
        k2 = _squared(composition.shape[1:-1], scipy.fft.rfftfreq(composition.shape[-1]))
        self.composition = composition
        self._spectrum = scipy.fft.rfftn(composition, axes=self._axes)
        self._old = 1 / (1 + time_step * k2 * (2 + _each(gradient_energy, k2) * k2))
        self._new = time_step * k2 * self._old

    def advance(self, steps: int) -> None:
        """Take so many time steps; `composition` is a new array after them."""
        for _ in range(steps):
            explicit = self.composition * self.composition
            explicit -= 3
            explicit *= self.composition
            change = scipy.fft.rfftn(explicit, axes=self._axes, overwrite_x=True)
            change *= self._new
            self._spectrum *= self._old
            self._spectrum -= change
            self.composition = scipy.fft.irfftn(self._spectrum, s=self.composition.shape[1:], axes=self._axes)

    def keep(self, count: int) -> None:
        """Go on with the first `count` compositions only."""
        self.composition, self._spectrum = self.composition[:count], self._spectrum[:count]
        self._old, self._new = self._old[:count], self._new[:count]


def free_energy(composition: Array, gradient_energy: Array) -> Array:
    """Free energy of each image of a batch, integral of (c^2 - 1)^2 / 4 + g |grad c|^2 / 2, spectrally."""
    axes = tuple(range(1, composition.ndim))
    k2 = _squared(composition.shape[1:-1], scipy.fft.fftfreq(composition.shape[-1]))
    power = np.abs(scipy.fft.fftn(composition, axes=axes)) ** 2 / k2.size
    bulk = ((composition**2 - 1) ** 2 / 4).sum(axis=axes)
    return bulk + (_each(gradient_energy, k2) * k2 * power).sum(axis=axes) / 2


def _squared(sides: tuple[int, ...], last: Array) -> Array:
    """k^2 of each mode of a spectrum, whose last axis has the frequencies `last`."""
    k2 = (2 * np.pi * last) ** 2
    for side in reversed(sides):
        k2 = k2 + _each((2 * np.pi * scipy.fft.fftfreq(side)) ** 2, k2)
    return k2


def _each(values: Array, of: Array) -> Array:
    """Values (n,), to be multiplied with n arrays like `of`."""
    return values.reshape(-1, *(1,) * of.ndim)
