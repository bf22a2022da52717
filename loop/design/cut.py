"""From a field and a number of pixels to the image that a target lets be made of them."""

import numpy as np
from numpy.typing import NDArray

from loop.design.feasible import count_range
from loop.design.targets import Target


def cut(field: NDArray[np.floating], count: int) -> NDArray[np.uint8]:
    """Binary image whose brightest `count` pixels conduct; ties fall to the earlier pixel."""
    image = np.zeros(field.size, dtype=np.uint8)
    image[np.argsort(-field, axis=None, kind="stable")[:count]] = 1
    return image.reshape(field.shape)


def fractions(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Volume fraction of each of several binary images (n, *grid), (n,)."""
    found: NDArray[np.float64] = images.mean(axis=tuple(range(1, images.ndim)))
    return found


def allowed(count: int, target: Target, pixels: int) -> int:
    """The number of pixels of label 1 nearest to `count` that the target's volume fraction allows."""
    low, high = count_range(target, pixels)
    return int(np.clip(count, low, high))


def first_count(field: NDArray[np.floating], target: Target) -> int:
    """Where the decoder itself cuts, at 0.5, moved into the volume fractions that the target allows."""
    return allowed(int((field > 0.5).sum()), target, field.size)
