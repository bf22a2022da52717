"""Waves: an image's coarse pattern as the amplitudes of its longest cosine waves, and the way back.

    a_k = sqrt(m / N) c_k . x,   f = sqrt(N / m) sum_k a_k c_k

with c_k the m orthonormal cosines of the discrete cosine transform (DCT-II) that are longest, in parts of an image's
sides, and N the pixels: amplitudes are of the order of 1. A pattern of as many features as a phase field's is nearly
in them, and they are hardly correlated: independent random ones, each as large as a dataset's, make a pattern like its.
"""

from functools import lru_cache
from math import prod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class Waves:
    """The `count` longest waves of images (n, *grid), the constant one first."""

    def __init__(self, grid: tuple[int, ...], count: int) -> None:
        self.grid, self.count = grid, count

    def amplitudes(self, x: Tensor) -> Tensor:
        """Of images: (n, *grid) -> (n, count)."""
        place, cosines = _basis(self.grid, self.count)
        for wave in cosines:
            x = torch.tensordot(x, torch.as_tensor(wave, dtype=x.dtype, device=x.device), dims=([1], [1]))
        return x.flatten(1)[:, torch.as_tensor(place, device=x.device)]

    def field(self, amplitudes: Tensor) -> Tensor:
        """What waves add up to: (n, count) -> (n, *grid)."""
        place, cosines = _basis(self.grid, self.count)
        lengths = [len(wave) for wave in cosines]
        x = amplitudes.new_zeros(len(amplitudes), prod(lengths))
        x = x.index_add(1, torch.as_tensor(place, device=x.device), amplitudes).reshape(-1, *lengths)
        for wave in cosines:
            back = torch.as_tensor(wave, dtype=x.dtype, device=x.device)
            x = torch.tensordot(x, back, dims=([1], [0]))
        return x * (prod(self.grid) / self.count)


@lru_cache(maxsize=8)
def _basis(grid: tuple[int, ...], count: int) -> tuple[NDArray[np.intp], list[NDArray[np.float64]]]:
    """Where the waves stand among all of as many halves along each axis, and the cosines, (halves, side), by axis."""
    halves = np.indices([side // 2 for side in grid]).reshape(len(grid), -1)
    longest = np.argsort(((halves.T / grid) ** 2).sum(axis=1), kind="stable")[:count]
    most = halves[:, longest].max(axis=1) + 1
    cosines = []
    for side, number in zip(grid, most, strict=True):
        half = np.arange(number)[:, None]
        wave = np.cos(np.pi * half * (np.arange(side) + 0.5) / side) * np.sqrt(np.where(half, 2, 1) / side)
        cosines.append(wave * (count / prod(grid)) ** (0.5 / len(grid)))
    return np.ravel_multi_index(tuple(halves[:, longest]), tuple(most)), cosines
