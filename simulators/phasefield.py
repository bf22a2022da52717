"""Two-phase microstructures by spinodal decomposition (Cahn & Hilliard 1958).

    dc/dt = laplacian(c^3 - c - g laplacian(c))     on a periodic square, c near -1 and 1 in the two phases

Stepped in Fourier space by Eyre's linearly stabilised splitting (2 c implicit, c^3 - 3 c explicit), which
conserves mass exactly and never raises the free energy, whatever the step.
"""

from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray

Array = NDArray[np.float64]

BATCH = 64
REFERENCE_SIZE = 32
"""Lengths are in pixels of a 32-pixel image, so a pattern has as many features at every resolution."""


@dataclass(frozen=True)
class PhaseField:
    """Ranges from which each image's parameters are drawn, uniformly."""

    volume_fraction: tuple[float, float] = (0.3, 0.7)
    """of label 1"""
    gradient_energy: tuple[float, float] = (0.8, 2.0)
    """g, in (side / 32)^2"""
    noise: tuple[float, float] = (0.05, 0.2)
    """standard deviation of the initial composition"""
    time: tuple[float, float] = (40.0, 250.0)
    """in units of (side / 32)^2"""
    time_step: float = 1.0
    """in units of (side / 32)^2"""

    def __post_init__(self) -> None:
        """Refuse ranges in which the mixture does not decompose."""
        low, high = self.volume_fraction
        if not 0.22 <= low <= high <= 0.78:
            raise ValueError(
                f"volume_fraction {self.volume_fraction}: a mixture decomposes by itself only between 0.22 and 0.78"
            )


def generate(count: int, size: int, seed: int, config: PhaseField | None = None) -> NDArray[np.uint8]:
    """Labels 0 and 1, shape (count, size, size). Image i depends on (seed, i) alone, not on count."""
    config = config or PhaseField()
    images = np.empty((count, size, size), dtype=np.uint8)
    for start in range(0, count, BATCH):
        stop = min(start + BATCH, count)
        for index, composition in enumerate(_evolve(range(start, stop), size, seed, config), start):
            images[index] = _cut(composition)
    return images


def _evolve(indices: range, size: int, seed: int, config: PhaseField) -> Array:
    """Final composition of the images with these indices, each stopped at its own time."""
    composition = np.empty((len(indices), size, size))
    gradient_energy, steps = np.empty(len(indices)), np.empty(len(indices), dtype=int)
    for row, index in enumerate(indices):
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index,)))
        mean = 2 * rng.uniform(*config.volume_fraction) - 1
        gradient_energy[row] = rng.uniform(*config.gradient_energy)
        steps[row] = round(rng.uniform(*config.time) / config.time_step)
        noise = rng.uniform(*config.noise) * rng.standard_normal((size, size))
        composition[row] = mean + noise - noise.mean()
    unit = size / REFERENCE_SIZE
    done = np.empty_like(composition)
    active = np.arange(len(indices))
    for step in range(steps.max() + 1):
        finished = steps[active] == step
        if finished.any():
            done[active[finished]] = composition[finished]
            active, composition = active[~finished], composition[~finished]
            if not active.size:
                break
        composition = step_composition(composition, gradient_energy[active] * unit**2, config.time_step * unit**2)
    return done


def _cut(composition: Array) -> NDArray[np.uint8]:
    """Labels whose fraction of 1 is what the mean composition asks for, also where separation is unfinished."""
    ones = round(composition.size * (1 + composition.mean()) / 2)
    labels = np.zeros(composition.size, dtype=np.uint8)
    labels[np.argsort(composition, axis=None, kind="stable")[composition.size - ones :]] = 1
    return labels.reshape(composition.shape)


def step_composition(composition: Array, gradient_energy: Array, time_step: float) -> Array:
    """One step for a batch (n, side, side) with its gradient energies (n,), lengths in pixels."""
    side = composition.shape[-1]
    kx, ky = 2 * np.pi * scipy.fft.rfftfreq(side), 2 * np.pi * scipy.fft.fftfreq(side)
    k2 = kx**2 + ky[:, None] ** 2
    explicit = scipy.fft.rfft2(composition**3 - 3 * composition)
    implicit = 1 + time_step * k2 * (2 + gradient_energy[:, None, None] * k2)
    spectrum = (scipy.fft.rfft2(composition) - time_step * k2 * explicit) / implicit
    return scipy.fft.irfft2(spectrum, s=composition.shape[-2:])


def free_energy(composition: Array, gradient_energy: Array) -> Array:
    """Free energy of each image of a batch, integral of (c^2 - 1)^2 / 4 + g |grad c|^2 / 2, spectrally."""
    side = composition.shape[-1]
    k = 2 * np.pi * scipy.fft.fftfreq(side)
    k2 = k**2 + k[:, None] ** 2
    power = np.abs(scipy.fft.fft2(composition)) ** 2 / side**2
    bulk = ((composition**2 - 1) ** 2 / 4).sum(axis=(1, 2))
    return bulk + (gradient_energy[:, None, None] * k2 * power).sum(axis=(1, 2)) / 2
