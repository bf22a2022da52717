"""Grids: between the pixels of an image and those that a network computes on.

A large image is coarsened: the network sees means of blocks of pixels, and what it draws is interpolated. A phase's
boundary lies then where the log odds pass through 0 between two coarse pixels, as finely as the pixels allow, and a
network of 64 x 64 pixels draws 256 x 256 for little more than the 64.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def continued(x: Tensor, sides: tuple[int, ...], circular: bool) -> Tensor:
    """Images (n, ..., *grid) -> (n, ..., *sides): repeated at their far ends where circular, else mirrored."""
    for axis, side in enumerate(sides, start=-len(sides)):
        if more := side - x.shape[axis]:
            tail = x.narrow(axis, 0, more) if circular else x.narrow(axis, -more, more).flip(axis)
            x = torch.cat([x, tail], dim=axis)
    return x


def cropped(x: Tensor, sides: tuple[int, ...]) -> Tensor:
    """Images (n, ..., *grid) -> (n, ..., *sides), without what lies at their far ends."""
    inside: list[Any] = [slice(side) for side in sides]
    return x[(..., *inside)]


def enlarged(x: Tensor, times: int, circular: bool) -> Tensor:
    """Linear interpolation, (n, c, *grid) -> (n, c, *times grid), across the edges where the image is periodic."""
    dim = x.dim() - 2
    mode = "bilinear" if dim == 2 else "trilinear"
    if not circular:
        return F.interpolate(x, scale_factor=times, mode=mode)
    wrapped = F.pad(x, (1, 1) * dim, mode="circular")
    return F.pad(F.interpolate(wrapped, scale_factor=times, mode=mode), (-times, -times) * dim)


@dataclass(frozen=True)
class Coarsening:
    """Blocks of pixels as one pixel each.

    Attributes:
        grid: sides of an image.
        block: pixels a side of a block; those that an image ends within go on as its boundary has it.
        circular: whether opposite edges touch.
    """

    grid: tuple[int, ...]
    block: int
    circular: bool

    @property
    def coarse(self) -> tuple[int, ...]:
        """Sides of a coarsened image."""
        return tuple(-(-side // self.block) for side in self.grid)

    def means(self, x: Tensor) -> Tensor:
        """Images (n, *grid) -> means of their blocks, (n, *coarse)."""
        if self.block == 1:
            return x
        average = F.avg_pool2d if len(self.grid) == 2 else F.avg_pool3d
        whole = continued(x, tuple(side * self.block for side in self.coarse), self.circular)
        return average(whole.unsqueeze(1), self.block).squeeze(1)

    def between(self, x: Tensor) -> Tensor:
        """Coarse images (n, *coarse) -> images (n, *grid), linear between the blocks' middles."""
        if self.block == 1:
            return x
        return cropped(enlarged(x.unsqueeze(1), self.block, self.circular), self.grid).squeeze(1)
