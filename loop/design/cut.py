"""Moving the cut of a candidate that misses its target.

A candidate is a grey field and a number of pixels of label 1: the brightest `count`. By Rayleigh's monotonicity law
every conductivity and every modulus rises with the pixels of the better phase, and so does the volume fraction; what
other properties do the table says. So a trial that misses in a way that more pixels mend bounds the wanted count from
below, one that fewer mend bounds it from above, and one that needs both can not be mended by the cut. The steps
within the bracket come from the sensitivity first, where a simulator gives one, from interpolation afterwards.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from janus_al.material import Material
from janus_al.properties import FRACTION, row_of, scaled
from loop.design.feasible import count_range
from loop.design.targets import Target


@dataclass(frozen=True)
class Trial:
    """One simulated cut: number of pixels of label 1, properties as in JSON, and sensitivities (see `Result`)."""

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


def next_count(field: NDArray[np.floating], trials: Sequence[Trial], target: Target, material: Material) -> int | None:
    """The number of label-1 pixels to simulate next, or None if the target is met or out of the cut's reach."""
    low, high = count_range(target, field.size)
    low, high = max(low, 1) - 1, min(high, field.size - 1) + 1
    below: Trial | None = None
    above: Trial | None = None
    for trial in trials:
        ways = {way for _, way in _mends(trial, target, material)}
        if ways not in ({1}, {-1}):
            return None
        if ways == {1} and trial.count > low:
            low, below = trial.count, trial
        if ways == {-1} and trial.count < high:
            high, above = trial.count, trial
    if high - low <= 1:
        return None
    last = trials[-1]
    name, way = _mends(last, target, material)[0]
    wanted = scaled(name, _aim(name, target.intervals[name]))
    if below is not None and above is not None:
        a, b = (scaled(name, trial.properties[name]) for trial in (below, above))
        part = (wanted - a) / (b - a) if b != a else 0.5
        guess = low + min(max(part, 0.1), 0.9) * (high - low)
    elif name in last.sensitivity and material.contrast(name):
        gap = wanted - scaled(name, last.properties[name])
        guess = _by_sensitivity(field, last, name, gap, material.contrast(name))
    else:
        guess = _by_trials(trials, name, wanted, way)
    return int(np.clip(round(guess), low + 1, high - 1))


def _mends(trial: Trial, target: Target, material: Material) -> list[tuple[str, int]]:
    """Properties outside their intervals, and whether more pixels mend it (1), fewer (-1), or neither is known (0)."""
    found = []
    for name, (low, high) in target.intervals.items():
        value = trial.properties.get(name, math.nan)
        if name != FRACTION.name and not low <= value <= high:
            needs = 1 if value < low else -1 if value > high else 0
            found.append((name, needs * material.trend(name)))
    return found


def _aim(name: str, interval: tuple[float, float]) -> float:
    low, high = interval
    if row_of(name).log and low <= 0:
        return high * 0.998
    if math.isinf(low) or math.isinf(high):
        end = low if math.isinf(high) else high
        return end + (0.002 if math.isinf(high) else -0.002) * abs(end)
    return math.sqrt(low * high) if row_of(name).log else (low + high) / 2


def _by_sensitivity(field: NDArray[np.floating], trial: Trial, name: str, gap: float, log_contrast: float) -> float:
    """Count at which the pixels that change, weighted by their sensitivity, close the gap."""
    order = brightness_order(field)
    changes = trial.sensitivity[name].ravel()[order].astype(float) * log_contrast
    more = gap / log_contrast > 0
    path = changes[trial.count :] if more else changes[: trial.count][::-1]
    closed = np.abs(np.cumsum(path)) >= abs(gap)
    steps = int(np.argmax(closed)) + 1 if closed.any() else len(path)
    return trial.count + steps if more else trial.count - steps


def _by_trials(trials: Sequence[Trial], name: str, wanted: float, way: int) -> float:
    """Count on the line through the last two trials, or a tenth more or fewer pixels after the first."""
    last = trials[-1]
    step = way * max(last.count / 10, 1)
    if len(trials) > 1 and (counts := last.count - trials[-2].count):
        value, before = (scaled(name, trial.properties[name]) for trial in (last, trials[-2]))
        if slope := (value - before) / counts:
            step = way * min(abs((wanted - value) / slope), 4 * abs(step))
    return last.count + step
