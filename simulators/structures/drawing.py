"""What random structures share: the grid they are drawn on, and the stream of random numbers of each of them."""

from collections.abc import Sequence

import numpy as np

Seed = int | np.random.SeedSequence
REFERENCE_SIZE = 32
"""Lengths are in 32nds of the longest side, so a pattern has as many features at every resolution."""


def grid_of(size: int | Sequence[int]) -> tuple[int, ...]:
    """The grid of a square's side, or of the sides themselves.

    Raises:
        ValueError: not two or three sides of 2 pixels or more.
    """
    grid = (size, size) if isinstance(size, int | np.integer) else tuple(size)
    if len(grid) not in (2, 3) or min(grid) < 2:
        raise ValueError(f"size {size}: give a square's side, (ny, nx) or (nz, ny, nx), each side 2 pixels or more")
    return grid


def unit_of(grid: Sequence[int]) -> float:
    """The unit of length in pixels."""
    return max(grid) / REFERENCE_SIZE


def stream(seed: Seed, index: int) -> np.random.Generator:
    """Random numbers of image `index` of a seed, which no other image of any seed draws from."""
    parent = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
    return np.random.default_rng(np.random.SeedSequence(parent.entropy, spawn_key=(*parent.spawn_key, index)))


def stream_for_tests(seed: int) -> np.random.SeedSequence:
    """What test images of a seed are drawn from: no seed's training images ever are, be it this one or another."""
    return np.random.SeedSequence(seed, spawn_key=(2**32 - 1,))


def check_range(name: str, given: tuple[float, float]) -> None:
    """Refuse a range of a parameter that is none.

    Raises:
        ValueError: not two positive finite numbers, the smaller first.
    """
    match given:
        case (low, high) if 0 < low <= high < float("inf"):
            return
    raise ValueError(f"{name} {given}: give two positive finite numbers, the smaller first")
