"""Targets: intervals for properties, all of which one design must meet, and what physics can reach at all."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from janus_al.properties import FRACTION, PropertyError, row_of

DEFAULT_TOLERANCE = 0.01

FORMS = (
    "PROPERTY=VALUE",
    "PROPERTY=VALUE+-PERCENT%",
    "PROPERTY=MIN..MAX",
    "PROPERTY>MIN",
    "PROPERTY>=MIN",
    "PROPERTY<MAX",
    "PROPERTY<=MAX",
)
"""of a condition in words"""

Interval = tuple[float, float]


class TargetError(ValueError):
    """A target that is not one, or that no microstructure of these phases can meet."""


@dataclass(frozen=True)
class Target:
    """Intervals wanted, by property, and how many designs are wanted."""

    name: str
    intervals: Mapping[str, Interval]
    designs: int = 1

    def met(self, properties: Mapping[str, float]) -> bool:
        """Whether properties lie in every interval; one that is not known does not."""
        return all(low <= properties.get(name, math.nan) <= high for name, (low, high) in self.intervals.items())

    def error(self, properties: Mapping[str, float]) -> float:
        """Largest relative distance from what is wanted: from an interval's middle, or from a bound if beyond it.

        Volume fractions, which a candidate has without simulation, do not count unless nothing else is asked. NaN where
        none of what is asked is known.
        """
        names = [n for n in self.intervals if n != FRACTION.name] or list(self.intervals)
        return max(
            (_relative_error(properties[n], self.intervals[n]) for n in names if n in properties), default=math.nan
        )

    def wanted(self) -> dict[str, list[float | None]]:
        """The intervals as JSON; an end that is open is null."""
        return {n: [None if math.isinf(end) else end for end in ends] for n, ends in self.intervals.items()}

    @classmethod
    def of(cls, name: str, wanted: Mapping[str, Sequence[float | None]]) -> "Target":
        """One design's target from `wanted` of another."""
        return cls(
            name,
            {
                n: (_lowest(n) if low is None else float(low), math.inf if high is None else high)
                for n, (low, high) in wanted.items()
            },
        )

    def __str__(self) -> str:
        return ", ".join(describe(name, interval) for name, interval in self.intervals.items())


def _lowest(name: str) -> float:
    """What a property is above anyway."""
    row = row_of(name)
    return 0.0 if row.log or row == FRACTION else -math.inf


def _relative_error(value: float, interval: Interval) -> float:
    low, high = interval
    if _is_value(interval):
        return abs(value / ((low + high) / 2) - 1)
    if value < low:
        return (low - value) / (abs(low) or 1.0)
    return (value - high) / (abs(high) or 1.0) if value > high else 0.0


def _is_value(interval: Interval) -> bool:
    """A value with a tolerance rather than a range: no wider than 20 % about its middle."""
    low, high = interval
    return math.isfinite(low) and math.isfinite(high) and 0 < high - low <= 0.2 * abs(high + low)


def describe(name: str, interval: Interval) -> str:
    """An interval in words: `kxx = 0.3 ± 1 %`, `kyy in 0.2..0.5`, `volume_fraction <= 0.5`."""
    low, high = interval
    if _is_value(interval):
        middle = (low + high) / 2
        return f"{name} = {middle:.4g} ± {100 * (high - middle) / abs(middle):.3g} %"
    if math.isinf(high):
        return f"{name} >= {low:.4g}"
    return f"{name} <= {high:.4g}" if low <= _lowest(name) else f"{name} in {low:.4g}..{high:.4g}"


def interval(
    name: str,
    value: float | None = None,
    tolerance: float | None = None,
    low: float | None = None,
    high: float | None = None,
) -> Interval:
    """The interval of a value with a relative tolerance, or of a minimum, a maximum or both.

    Raises:
        TargetError: if it is neither, or empty, or of no property.
    """
    try:
        lowest = _lowest(name)
    except PropertyError as error:
        raise TargetError(f"target {error}") from None
    for given in (value, tolerance, low, high):
        if given is not None and not math.isfinite(given):
            raise TargetError(f"target {name}: {given} must be a finite number; leave an end open by leaving it out")
    if (value is None) == (low is None and high is None):
        raise TargetError(f"target {name}: give either a value (with a tolerance) or min and max")
    if value is None:
        if tolerance is not None:
            raise TargetError(f"target {name}: a tolerance goes with a value, not with min and max")
        ends = (lowest if low is None else low, math.inf if high is None else high)
    else:
        tolerance = DEFAULT_TOLERANCE if tolerance is None else tolerance
        if not 0 < tolerance < 1:
            raise TargetError(f"target {name}: tolerance {tolerance} must lie between 0 and 1 (0.01 is 1 %)")
        ends = (value - abs(value) * tolerance, value + abs(value) * tolerance)
    if lowest <= ends[1] < ends[0]:
        raise TargetError(f"target {name}: min {ends[0]:.4g} is above max {ends[1]:.4g}; swap them")
    if value == 0 and lowest < 0:
        raise TargetError(f"target {name}: 0 has no relative tolerance; give min and max")
    if lowest == 0 and (ends[0] < 0 or ends[1] <= 0):
        raise TargetError(
            f"target {name}: {ends[0]:.4g}..{ends[1]:.4g}; its lower end must be 0 or more, its upper end above 0"
        )
    return ends


def parse_targets(words: Sequence[str], tolerance: float, designs: int = 1) -> Target:
    """One target from words in any of the `FORMS`, spaces or not; those on one property hold together.

    Raises:
        TargetError: in another form, of another property, or where the conditions exclude each other.
    """
    intervals: dict[str, Interval] = {}
    for word in words:
        name, new = _condition(word, tolerance)
        old = intervals.get(name, (-math.inf, math.inf))
        intervals[name] = (max(old[0], new[0]), min(old[1], new[1]))
        if intervals[name][0] > intervals[name][1]:
            raise TargetError(f"target {name}: the conditions on it exclude each other")
    return Target("target", intervals, designs)


def _condition(word: str, tolerance: float) -> tuple[str, Interval]:
    """The property and the interval that one word asks for."""
    plain = "".join(word.split()).replace("≥", ">=").replace("≤", "<=").replace("±", "+-")
    number = r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)"
    if match := re.fullmatch(rf"(\w+?)(?:=|in){number}\.\.{number}", plain):
        return match[1], interval(match[1], low=float(match[2]), high=float(match[3]))
    if match := re.fullmatch(rf"(\w+)={number}(?:\+-{number}%)?", plain):
        own = tolerance if match[3] is None else float(match[3]) / 100
        return match[1], interval(match[1], value=float(match[2]), tolerance=own)
    if match := re.fullmatch(rf"(\w+)([<>])(=?){number}", plain):
        end = float(match[4])
        if not match[3]:
            end = math.nextafter(end, math.inf if match[2] == ">" else -math.inf)
        return match[1], interval(match[1], **{"low" if match[2] == ">" else "high": end})
    raise TargetError(f"target '{word}': write {', '.join(FORMS[:-1])} or {FORMS[-1]}")


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
