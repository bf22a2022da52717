"""What physics can reach at all, and how near to that a target or a design is, before anything is paid.

Everything is asked at each number of pixels of label 1 that a target allows (`loop.design.possible`).
"""

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from janus_al.properties import FRACTION
from janus_al.quantities import quantity
from loop.design.possible import FloatArray, Limits, ends_at, free, possible_at
from loop.design.targets import Interval, Target, TargetError

NEAR = 0.03
"""relative distance from the edge of what is possible within which a target is hardly ever met"""
ALL, SOME = 2**14, 2000
"""numbers of pixels of which each is looked at; and, of more, towards either end and evenly between"""


@dataclass(frozen=True)
class Reach:
    """What physics leaves to a target.

    Attributes:
        best: the limit of each quantity of which the most or the least is wanted.
        warning: why it will hardly be met, in one sentence; empty if it may well be.
    """

    best: Mapping[str, float] = field(default_factory=dict)
    warning: str = ""


def check_reachable(target: Target, names: Sequence[str], limits: Limits, pixels: int = 1_000_000) -> Reach:
    """Refuse a target that no image of so many pixels, of two phases, can meet, naming what is reachable.

    Args:
        target: what is asked.
        names: properties that the physics gives.
        limits: of the physics.
        pixels: of an image.

    Raises:
        TargetError: of a property that the physics does not give; or if no number of pixels has a volume fraction
            that the target allows, or none of those allowed reaches every interval at once.
    """
    if strange := [name for name in target.properties if name not in names]:
        raise TargetError(f"target property '{strange[0]}': the physics asked here gives {', '.join(names)}")
    low, high = count_range(target, pixels)
    if low > high:
        near = " or ".join(f"{n / pixels:.5g}" for n in (high, low) if 0 <= n <= pixels)
        raise TargetError(
            f"target {target}: no volume fraction of an image of {pixels} pixels lies in that interval; the nearest "
            f"is {near}: widen it, or take larger images"
        )
    fraction = _fractions(low, high, pixels)
    wanted = {n: ends for n, ends in target.intervals.items() if n != FRACTION.name}
    coarse = _coarse(wanted, fraction)
    if not (possible_at(wanted, limits, coarse).any() or possible_at(wanted, limits, fraction).any()):
        alone = {n: extremes(n, limits, fraction) for n in wanted}
        reach = ", ".join(f"{n} {low:.4g}..{high:.4g}" for n, (low, high) in alone.items() if low > -math.inf)
        each = " each by itself" if len(alone) > 1 else ""
        raise TargetError(
            f"target {target}: out of reach; these phases mixed at fractions {fraction[0]:.3g}..{fraction[-1]:.3g} "
            f"reach {reach}{each}{_nearest(wanted, limits, coarse[::4])}; ask for values in there or change the phases"
        )
    best = {n: limit_of(target, n, limits, fraction) for n in target.best}
    at_edge = any(not possible_at(_moved(wanted, way, NEAR), limits, coarse).any() for way in _ways(wanted))
    warning = f"target {target}: within {100 * NEAR:.0f} % of what is possible; only laminates come near"
    return Reach({n: value for n, value in best.items() if math.isfinite(value)}, warning if at_edge else "")


def check_shape(target: Target, grid: Sequence[int]) -> None:
    """Refuse what no image of a grid can obey, however it conducts.

    Raises:
        TargetError: a feature larger than the image, or an axis that it does not have.
    """
    largest, axes = max(target.geometry.features), "xyz"[: len(grid)]
    if largest > min(grid):
        raise TargetError(
            f"target {target}: features of {largest} pixels in images of {min(grid)}; ask for smaller ones"
        )
    if strange := set(target.geometry.connected) - set(axes):
        raise TargetError(
            f"target {target}: connected along {min(strange)}; images here have the axes {', '.join(axes)}"
        )


def count_range(target: Target, pixels: int) -> tuple[int, int]:
    """Smallest and largest number of label-1 pixels that the target's volume fraction allows."""
    low, high = target.intervals.get(FRACTION.name, (0.0, 1.0))
    first, last = math.ceil(low * pixels - 1e-9), math.floor(min(high, 1.0) * pixels + 1e-9)
    # Decided as `Target.met` decides, to the last digit.
    return first + (first / pixels < low), last - (last / pixels > high)


def to_limits(values: Mapping[str, float], names: Iterable[str], limits: Limits) -> dict[str, list[float]]:
    """Between what each property of an image could lie at its volume fraction, all others being as they are."""
    fraction, found = np.array([values[FRACTION.name]]), {}
    known = {n: (np.array([v]), np.array([v])) for n, v in values.items() if n in limits(fraction)}
    for name in names:
        others = {n: ends for n, ends in known.items() if n != name}
        if name in known and name != FRACTION.name:
            low, high = limits(fraction, others | {name: free(1)})[name]
            found[name] = [float(low[0]), float(high[0])]
    return found


def distance_to_limit(values: Mapping[str, float], found: Mapping[str, Sequence[float]]) -> float | None:
    """Relative distance to the nearest of the limits of `to_limits`; None where there are none."""
    ratios = [r for n, (low, high) in found.items() if values[n] > 0 < low for r in (values[n] / low, high / values[n])]
    return max(min(ratios) - 1, 0.0) if ratios else None


def limit_of(target: Target, name: str, limits: Limits, fraction: FloatArray) -> float:
    """The most, or the least, that physics allows of a quantity beside all else that a target asks; NaN if unknown."""
    wanted, way = {n: ends for n, ends in target.intervals.items() if n != FRACTION.name}, target.best[name]
    possible = possible_at(wanted, limits, fraction)
    ends = fraction if name == FRACTION.name else ends_at(name, way, wanted, limits, fraction)
    ends = np.where(possible & np.isfinite(ends), ends, -way * math.inf)
    end = float(ends.max() if way > 0 else ends.min())
    return end if math.isfinite(end) else math.nan


def _nearest(wanted: Mapping[str, Interval], limits: Limits, fraction: FloatArray) -> str:
    """What is possible and nearest to what is not, in words to append."""
    found, least = "", math.inf
    for way in _ways(wanted):
        step, distance = _step(wanted, way, limits, fraction), math.hypot(*way.values())
        if step * distance < least:
            ends = {n: _moved(wanted, way, step)[n][s > 0] for n, s in way.items() if s}
            found, least = " and ".join(f"{n} = {end:.4g}" for n, end in ends.items()), step * distance
    return found and f", and nearest to it {found}"


def _step(wanted: Mapping[str, Interval], way: Mapping[str, int], limits: Limits, fraction: FloatArray) -> float:
    """By how much what is wanted must be moved one way to be possible; infinite if that does not help."""
    below, above = 0.0, math.inf
    steps = iter(np.geomspace(0.002, 1000, 16).tolist())
    for _ in range(24):
        step = next(steps, math.inf) if math.isinf(above) else (below + above) / 2
        if math.isinf(step):
            break
        if possible_at(_moved(wanted, way, step), limits, fraction).any():
            above = step
        else:
            below = step
    return above


def _ways(wanted: Mapping[str, Interval]) -> Iterator[dict[str, int]]:
    """Directions in which quantities on a log scale can be moved."""
    names = [n for n in wanted if quantity(n).log][:3]
    for signs in itertools.product((-1, 0, 1), repeat=len(names)):
        if any(signs):
            yield dict(zip(names, signs, strict=True))


def _moved(wanted: Mapping[str, Interval], way: Mapping[str, int], step: float) -> dict[str, Interval]:
    factors = {n: (1 + step) ** s for n, s in way.items()}
    return {n: (low * factors.get(n, 1), high * factors.get(n, 1)) for n, (low, high) in wanted.items()}


def _coarse(wanted: Mapping[str, Interval], fraction: FloatArray) -> FloatArray:
    """Fewer volume fractions where a ratio makes each one dear."""
    dear = any(len(quantity(n).terms) > 1 for n in wanted)
    return fraction[:: max(1, len(fraction) // 128)] if dear else fraction


def extremes(name: str, limits: Limits, fraction: FloatArray) -> Interval:
    """The least and the most of a quantity at any of these volume fractions."""
    return tuple(  # type: ignore[return-value]
        limit_of(Target("", {}, best={name: way}), name, limits, fraction) for way in (-1, 1)
    )


def _fractions(low: int, high: int, pixels: int) -> FloatArray:
    """All there are, or a part, denser towards both ends."""
    if high - low < ALL:
        return np.arange(low, high + 1) / pixels
    steps = np.geomspace(1, high - low, SOME).round() - 1
    counts = np.concatenate([low + steps, high - steps, np.linspace(low, high, SOME).round(), [low, high]])
    return np.unique(counts) / pixels
