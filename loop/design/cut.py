"""Moving the cut of a candidate that misses its target.

A candidate is a grey field and a number of conducting pixels: the brightest `count` pixels conduct. By
Rayleigh's monotonicity law every conductivity, and the volume fraction, rises with `count`. So a trial that
is too low in any property bounds the wanted count from below, one that is too high bounds it from above,
and one that is both can not be mended by the cut. The steps within the bracket come from the sensitivity
first, from interpolation afterwards.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from loop.design.targets import Target, count_range


@dataclass(frozen=True)
class Trial:
    """One simulated cut: number of conducting pixels, its properties, and the sensitivity of each conductivity."""

    count: int
    properties: Mapping[str, float]
    sensitivity: Mapping[str, NDArray[np.floating]]


def cut(field: NDArray[np.floating], count: int) -> NDArray[np.uint8]:
    """Binary image whose brightest `count` pixels conduct; ties fall to the earlier pixel."""
    image = np.zeros(field.size, dtype=np.uint8)
    image[brightness_order(field)[:count]] = 1
    return image.reshape(field.shape)


def brightness_order(field: NDArray[np.floating]) -> NDArray[np.intp]:
    """Pixels from the brightest to the darkest."""
    return np.argsort(-field, axis=None, kind="stable")


def first_count(field: NDArray[np.floating], target: Target) -> int:
    """Where the decoder itself cuts, at 0.5, moved into the volume fractions that the target allows."""
    low, high = count_range(target, field.size)
    return int(np.clip((field > 0.5).sum(), low, high))


def next_count(
    field: NDArray[np.floating], trials: Sequence[Trial], target: Target, phase_conductivity: Sequence[float]
) -> int | None:
    """The number of conducting pixels to simulate next, or None if the target is met or out of the cut's reach."""
    rises = phase_conductivity[1] > phase_conductivity[0]
    low, high = count_range(target, field.size)
    low, high = max(low, 1) - 1, min(high, field.size - 1) + 1
    below: Trial | None = None
    above: Trial | None = None
    for trial in trials:
        lacking, exceeding = _violations(trial, target)
        if not lacking and not exceeding:
            return None
        if lacking and exceeding:
            return None
        needs_more = bool(lacking) == rises
        if needs_more and trial.count > low:
            low, below = trial.count, trial
        if not needs_more and trial.count < high:
            high, above = trial.count, trial
    if high - low <= 1:
        return None
    last = trials[-1]
    name = next(iter([*_violations(last, target)[0], *_violations(last, target)[1]]))
    wanted = math.log(_aim(target.intervals[name]))
    if below is not None and above is not None:
        a, b = math.log(below.properties[name]), math.log(above.properties[name])
        part = (wanted - a) / (b - a) if b != a else 0.5
        guess = low + min(max(part, 0.1), 0.9) * (high - low)
    else:
        gap = wanted - math.log(last.properties[name])
        guess = _by_sensitivity(field, last, name, gap, math.log(phase_conductivity[1] / phase_conductivity[0]))
    return int(np.clip(round(guess), low + 1, high - 1))


def _violations(trial: Trial, target: Target) -> tuple[list[str], list[str]]:
    """Conductivities below and above their intervals."""
    names = [n for n in target.intervals if n != "volume_fraction"]
    lacking = [n for n in names if trial.properties[n] < target.intervals[n][0]]
    exceeding = [n for n in names if trial.properties[n] > target.intervals[n][1]]
    return lacking, exceeding


def _aim(interval: tuple[float, float]) -> float:
    low, high = interval
    if low <= 0:
        return high * 0.998
    return low * 1.002 if math.isinf(high) else math.sqrt(low * high)


def _by_sensitivity(field: NDArray[np.floating], trial: Trial, name: str, gap: float, log_contrast: float) -> float:
    """Count at which the pixels that change, weighted by their sensitivity, close the gap in log k."""
    order = brightness_order(field)
    changes = trial.sensitivity[name].ravel()[order].astype(float) / field.size * log_contrast
    more = gap / log_contrast > 0
    path = changes[trial.count :] if more else changes[: trial.count][::-1]
    closed = np.abs(np.cumsum(path)) >= abs(gap)
    steps = int(np.argmax(closed)) + 1 if closed.any() else len(path)
    return trial.count + steps if more else trial.count - steps
