"""Pieces of one size out of images of any: sliding windows, random crops, or the middle of each."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulators.structures.rasters import ImageError

Labels = NDArray[np.unsignedinteger[Any]]
MOST = 1_000_000
"""tiles"""


@dataclass(frozen=True, eq=False)
class Piece:
    """A part of an image, or all of it.

    Attributes:
        picture: number of the image.
        corner: its first row and column there, of a volume its first layer, row and column.
        labels: the part.
        name: in words, of the file and the place.
    """

    picture: int
    corner: tuple[int, ...]
    labels: Labels
    name: str


@dataclass(frozen=True)
class Cut:
    """How pieces are cut.

    Attributes:
        tile: sides of a piece, in the order of the axes; empty: images stay whole.
        stride: from one window to the next, along each axis.
        crops: number of random tiles in place of windows, over all images together; 0: windows.
        middle: of whole images, whether all are cropped to the shortest sides, around their middles.
        seed: of the random tiles.
    """

    tile: tuple[int, ...] = ()
    stride: int = 1
    crops: int = 0
    middle: bool = False
    seed: int = 0

    def pieces(self, images: Sequence[tuple[Path, Labels]]) -> tuple[list[Piece], int]:
        """The pieces of images of files, in order, and how many tiles were left out as they have one phase alone.

        Windows begin in the first cell along each axis; what is left at its end, less than a stride, is in none of
        them. Random tiles are any that lie inside an image, each once at most.

        Raises:
            ImageError: an image is smaller than a tile, all tiles are of one phase or fewer than asked for, or whole
                images are of several sizes.
        """
        side = self.tile or self._whole([(path, labels.shape) for path, labels in images])
        room = []
        for path, labels in images:
            if len(labels.shape) != len(side) or min(n - s for n, s in zip(labels.shape, side, strict=True)) < 0:
                raise ImageError(
                    f"{path}: {_by(labels.shape)} pixels, smaller than a tile of {_by(side)}; take smaller tiles, or "
                    "leave it out"
                )
            room.append(tuple(n - s + 1 for n, s in zip(labels.shape, side, strict=True)))
        found = []
        for number, corners in enumerate(self._corners(room)):
            path, labels = images[number]
            for corner in corners:
                name = f"{path} from row {corner[-2]}, column {corner[-1]}" if self.tile else str(path)
                found.append(Piece(number, tuple(corner), part(labels, corner, side), name))
        kept = [p for p in found if not self.tile or p.labels.min() < p.labels.max()]
        if not kept:
            raise ImageError(f"{images[0][0]}: no tile of {_by(side)} has two phases; take larger tiles")
        return kept, len(found) - len(kept)

    def _corners(self, room: Sequence[tuple[int, ...]]) -> list[list[list[int]]]:
        """First cells of the pieces of each image, where a piece may begin in so many cells along each axis."""
        if not self.tile:
            return [[[(free - 1) // 2 for free in axes]] for axes in room]
        if not self.crops:
            count = sum(math.prod(-(-free // self.stride) for free in axes) for axes in room)
            if count > MOST:
                raise ImageError(f"{count} tiles of {_by(self.tile)}: {MOST} at most; take a longer stride, or crops")
            grids = [np.meshgrid(*(np.arange(0, free, self.stride) for free in axes), indexing="ij") for axes in room]
            return [np.stack([grid.ravel() for grid in axes], axis=1).tolist() for axes in grids]
        ends = np.cumsum([0, *(math.prod(axes) for axes in room)])
        if self.crops > ends[-1]:
            raise ImageError(f"{self.crops} crops of {_by(self.tile)}: only {ends[-1]} lie inside; ask for fewer")
        drawn = np.sort(np.random.default_rng(self.seed).choice(ends[-1], self.crops, replace=False))
        parts = [drawn[(start <= drawn) & (drawn < end)] - start for start, end in pairwise(ends)]
        return [np.stack(np.unravel_index(part, axes), axis=1).tolist() for part, axes in zip(parts, room, strict=True)]

    def _whole(self, shapes: Sequence[tuple[Path, tuple[int, ...]]]) -> tuple[int, ...]:
        """Sides of whole images, all alike or all cropped to them."""
        first_path, first = shapes[0]
        for path, shape in shapes:
            if shape != first and not (self.middle and len(shape) == len(first)):
                raise ImageError(
                    f"{path}: {shape} pixels but {first_path} has {first}; one size a dataset, so cut tiles (--tile "
                    "64), or crop all to the shortest sides (--crop)"
                )
        return tuple(min(sides) for sides in zip(*(shape for _, shape in shapes), strict=True))


def part(image: NDArray[Any], corner: Sequence[int], side: Sequence[int]) -> NDArray[Any]:
    """What of an image begins in a cell and has these sides."""
    return image[tuple(slice(first, first + length) for first, length in zip(corner, side, strict=True))]


def _by(sides: Sequence[int]) -> str:
    return " x ".join(map(str, sides))
