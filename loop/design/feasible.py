"""What physics can reach at all: targets that no image of these phases meets are refused before anything is paid."""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from janus_al.properties import FRACTION
from loop.design.targets import Target, TargetError

Limits = Callable[[np.ndarray], Mapping[str, tuple[np.ndarray, np.ndarray]]]
"""Volume fractions of label 1 -> between what each property must lie, of those for which that is known."""


def check_reachable(target: Target, names: Sequence[str], limits: Limits, pixels: int = 1_000_000) -> None:
    """Refuse a target that no image of so many pixels, of two phases, can meet, naming what is reachable.

    Args:
        target: what is asked.
        names: properties that the physics gives.
        limits: of the physics.
        pixels: of an image.

    Raises:
        TargetError: of a property that the physics does not give; or if no number of pixels has a volume fraction
            that the target allows, or none of those allowed reaches every interval within the limits.
    """
    if strange := [name for name in target.intervals if name not in names]:
        raise TargetError(f"target property '{strange[0]}': the physics asked here gives {', '.join(names)}")
    low, high = count_range(target, pixels)
    if low > high:
        near = " or ".join(f"{n / pixels:.5g}" for n in (high, low) if 0 <= n <= pixels)
        raise TargetError(
            f"target {target}: no volume fraction of an image of {pixels} pixels lies in that interval; the nearest "
            f"is {near}: widen it, or take larger images"
        )
    fraction = np.arange(low, high + 1) / pixels
    possible, reach = np.ones(len(fraction), dtype=bool), list[str]()
    for name, (lowest, highest) in limits(fraction).items():
        if name in target.intervals:
            wanted_low, wanted_high = target.intervals[name]
            possible &= (lowest <= wanted_high) & (highest >= wanted_low)
            reach.append(f"{name} {lowest.min():.4g}..{highest.max():.4g}")
    if not possible.any():
        raise TargetError(
            f"target {target}: out of reach; these phases mixed at fractions {fraction[0]:.3g}..{fraction[-1]:.3g} "
            f"reach {', '.join(reach)} (elementary bounds); ask for values in there or change the phases"
        )


def count_range(target: Target, pixels: int) -> tuple[int, int]:
    """Smallest and largest number of label-1 pixels that the target's volume fraction allows."""
    low, high = target.intervals.get(FRACTION.name, (0.0, 1.0))
    first, last = math.ceil(low * pixels - 1e-9), math.floor(min(high, 1.0) * pixels + 1e-9)
    # Decided as `Target.met` decides, to the last digit.
    return first + (first / pixels < low), last - (last / pixels > high)
