"""Targets: intervals for properties, all of which one design must meet, and what physics can reach at all."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from janus_al.properties import FRACTION, PropertyError, row_of

DEFAULT_TOLERANCE = 0.01

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
