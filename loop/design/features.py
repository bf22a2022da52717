"""What an image is like as a thing to be made: its smallest features, what connects, how much interface it has."""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loop.design.measures import AXES, Image, disc, joins, smallest_feature

Bools = NDArray[np.bool_]

LARGEST = {2: 24, 3: 12}
"""pixels up to which features of planes and volumes are told apart: the work grows with their volume"""


def features_of(image: Image, periodic: bool) -> dict[str, Any]:
    """The volume fraction, `min_feature_LABEL`, `connected_LABEL` and `specific_surface` of an image of two phases.

    Features as in `loop.design.measures`, at most `LARGEST` and 0 of a label that is nowhere; the axes along which a
    label joins both faces, as "xy"; and the faces between pixels of different labels, by the number of pixels, which
    is what a staircase has: a smooth interface has pi / 4 of that in planes, two thirds in volumes, on average.
    """
    labels = np.asarray(image) == 1
    found: dict[str, Any] = {"volume_fraction": float(labels.mean())}
    axes = AXES[: labels.ndim]
    for label, phase in enumerate((~labels, labels)):
        found[f"min_feature_{label}"] = (
            smallest_feature(labels, label, _fitting(phase, periodic), periodic) if phase.any() else 0
        )
        found[f"connected_{label}"] = "".join(axis for axis in axes if joins(phase, axis, periodic))
    across = sum(int(np.count_nonzero(np.diff(labels, axis=axis))) for axis in range(labels.ndim))
    if periodic:
        across += sum(int((labels.take(0, a) != labels.take(-1, a)).sum()) for a in range(labels.ndim))
    return found | {"specific_surface": across / labels.size}


def _fitting(phase: Bools, periodic: bool) -> int:
    """A diameter that the smallest feature does not surpass, `LARGEST` at most.

    Along some axis each pixel of a union of discs has a run at least as long as each pixel of a single one has.
    """
    most = LARGEST[phase.ndim]
    inner = (slice(most, -most),) * phase.ndim
    runs = _longest_runs(np.pad(phase, most, "wrap" if periodic else "symmetric"))[inner]
    shortest = runs[phase].min()
    return max(d for d in range(1, most + 1) if _shortest_run(d, phase.ndim) <= shortest)


@lru_cache
def _shortest_run(diameter: int, dim: int) -> int:
    """Of the pixels of a disc, the longest run of that where it is shortest."""
    return int(_longest_runs(disc(diameter, dim))[disc(diameter, dim)].min())


def _longest_runs(phase: Bools) -> NDArray[np.integer]:
    """Of each pixel of a phase, how long the longest run along an axis is in which it lies."""
    longest = np.zeros(phase.shape, int)
    for axis, n in enumerate(phase.shape):
        place = np.arange(n).reshape([-1 if a == axis else 1 for a in range(phase.ndim)])
        before = np.maximum.accumulate(np.where(phase, -1, place), axis)
        after = np.flip(np.minimum.accumulate(np.flip(np.where(phase, n, place), axis), axis), axis)
        longest = np.maximum(longest, after - before - 1)
    return longest
