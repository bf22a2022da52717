"""Adaptive certification: smaller pixels until the certified interval is as narrow as asked.

Cutting every cell in two along each axis leaves the medium as it is and narrows the interval, by about 0.4 a
time where phases meet in smooth lines. Where cells of one phase touch only at a corner the flux has a
singularity, and the interval narrows by no more than a few percent a time at high contrast.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from simulators.conduction.homogenizer import Homogenized, Homogenizer

MAX_CELLS = {2: 512**2, 3: 64**3}
"""of a refined image"""


@dataclass(frozen=True)
class Certificate:
    """The result at the last refinement, its maps summed over the cells of the image as given.

    Attributes:
        refinement: cells along each side of a cell of the image, 1, 2, 4...
        half_width: largest certified half-width of a diagonal conductivity, relative to its best value.
        reached: whether that is what was asked.
        reason: why not, in words; empty if reached.
    """

    result: Homogenized
    refinement: int
    half_width: float
    reached: bool
    reason: str


def half_width(result: Homogenized) -> float:
    """Largest half-width of the interval of a diagonal conductivity, relative to its best value."""
    d = result.sensitivity.ndim - 1
    return float(np.max((result.upper - result.lower)[:d] / (2 * result.k[:d])))


def certify(
    image: NDArray[np.integer],
    phase_conductivity: Sequence[float],
    homogenizer: Homogenizer,
    enough: float | Callable[[Homogenized], bool],
) -> Certificate:
    """Refine until the half-width is at most `enough`, or until `enough` says so of a result.

    A refinement that fails, for want of memory or by a gate, ends it at the last one that did not.

    Raises:
        HomogenizationError: the image as given cannot be homogenized.
    """
    done = enough if callable(enough) else lambda result: half_width(result) <= enough
    factor, widths, halted = 1, list[float](), ""
    while True:
        try:
            fine = np.kron(image, np.ones([factor] * image.ndim, dtype=np.uint8))
            result = homogenizer(fine, phase_conductivity)
        except Exception as error:
            if not widths:
                raise
            factor //= 2
            halted = f"the next refinement failed ({str(error) or type(error).__name__})"
            break
        widths.append(half_width(result))
        reached = done(result)
        if reached or fine.size * 2**image.ndim > MAX_CELLS[image.ndim]:
            break
        factor *= 2
    if factor > 1:
        maps = [_pooled(m, factor) for m in (result.sensitivity, result.sensitivity_fv)]
        result = replace(result, sensitivity=maps[0], sensitivity_fv=maps[1])
    return Certificate(result, factor, widths[-1], reached, "" if reached else _reason(image, widths, halted))


def corner_contacts(image: NDArray[np.integer]) -> int:
    """Places where cells of one phase meet another of theirs only at a corner (in a volume: only at an edge)."""
    count = 0
    for first in range(image.ndim):
        for second in range(first + 1, image.ndim):
            stack = np.moveaxis(image, (first, second), (-2, -1))
            a, b, c, d = stack[..., :-1, :-1], stack[..., :-1, 1:], stack[..., 1:, :-1], stack[..., 1:, 1:]
            count += int((((a == d) & (a != b) & (a != c)) | ((b == c) & (b != a) & (b != d))).sum())
    return count


def _reason(image: NDArray[np.integer], widths: Sequence[float], halted: str) -> str:
    contacts = corner_contacts(image)
    rate = f", {widths[-1] / widths[-2]:.2f} of the width before" if len(widths) > 1 else ""
    slow = f"phases touch at {contacts} corners, where refinement helps slowly" if contacts else ""
    why = halted or slow or "no finer image fits"
    side = "x".join(str(n * 2 ** (len(widths) - 1)) for n in image.shape)
    return f"half-width {widths[-1]:.2g} of the value at {side}{rate}: {why}"


def _pooled(maps: NDArray[np.float64], factor: int) -> NDArray[np.float64]:
    shape = [n for side in maps.shape[1:] for n in (side // factor, factor)]
    return maps.reshape(maps.shape[0], *shape).sum(axis=tuple(range(2, 2 * maps.ndim - 1, 2)))
