"""Targets: intervals for quantities, all of which one design must meet, and quantities of which the extreme is.

A quantity is a property or a ratio of two (`janus_al.quantities`). What is asked of the image itself is its geometry
(`loop.design.measures`).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from janus_al.properties import FRACTION, PropertyError
from janus_al.quantities import quantity
from loop.design.measures import MEASURES, NONE, Geometry, geometry_of

DEFAULT_TOLERANCE = 0.01
EXTREMES = {1: "max", -1: "min"}
"""what `Target.best` says, in words"""
WAYS = {word: way for way, word in EXTREMES.items()}

Interval = tuple[float, float]


class TargetError(ValueError):
    """A target that is not one, or that no microstructure of these phases can meet."""


@dataclass(frozen=True)
class Target:
    """What one group of designs must meet.

    Attributes:
        name: of the group.
        intervals: wanted, by quantity.
        designs: how many are wanted.
        best: quantities of which the most (1) or the least (-1) is wanted, beside the intervals.
        geometry: what the image itself must obey.
        aims: where a generator looks for what is best, an interval for each such quantity.
    """

    name: str
    intervals: Mapping[str, Interval]
    designs: int = 1
    best: Mapping[str, int] = field(default_factory=dict)
    geometry: Geometry = NONE
    aims: Mapping[str, Interval] = field(default_factory=dict)

    @property
    def goal(self) -> dict[str, Interval]:
        """Intervals to propose for: those that must be met, and where the best is looked for."""
        aims = {n: (ends, self.intervals.get(n, ends)) for n, ends in self.aims.items()}
        return {**self.intervals, **{n: (max(a[0], b[0]), min(a[1], b[1])) for n, (a, b) in aims.items()}}

    @property
    def quantities(self) -> tuple[str, ...]:
        """All that it asks of."""
        return tuple(dict.fromkeys([*self.intervals, *self.best]))

    @property
    def properties(self) -> tuple[str, ...]:
        """The properties that these are made of."""
        return tuple(dict.fromkeys(p for name in self.quantities for p in quantity(name).properties))

    def met(self, properties: Mapping[str, float]) -> bool:
        """Whether all lies in every interval; what is not known does not. Says nothing of what is best.

        Measures stand among the properties, where a target asks for any.
        """
        geometry = self.geometry.intervals.items()
        return all(
            low <= quantity(name).of(properties) <= high for name, (low, high) in self.intervals.items()
        ) and all(low <= properties.get(name, math.nan) <= high for name, (low, high) in geometry)

    def score(self, properties: Mapping[str, float]) -> float:
        """How good the first quantity is of which the best is wanted, on the scale it is learned on: more is better.

        Minus infinity where it is not known; 0 where nothing of the kind is wanted.
        """
        for name, way in self.best.items():
            score = way * float(quantity(name).scaled(quantity(name).of(properties)))
            return -math.inf if math.isnan(score) else score
        return 0.0

    def error(self, properties: Mapping[str, float]) -> float:
        """Largest relative distance from what is wanted: from an interval's middle, or from a bound if beyond it.

        Volume fractions, which a candidate has without simulation, do not count unless nothing else is asked. NaN where
        none of what is asked is known.
        """
        names = [n for n in self.intervals if n != FRACTION.name] or list(self.intervals)
        values = {name: quantity(name).of(properties) for name in names}
        return max(
            (_relative_error(value, self.intervals[n]) for n, value in values.items() if not math.isnan(value)),
            default=math.nan,
        )

    def wanted(self) -> dict[str, Any]:
        """As JSON: "max" or "min", intervals, of which an open end is null, of measures, too, and "periodic"."""
        asked = {**self.intervals, **self.geometry.intervals}
        ends = {n: [None if math.isinf(end) else end for end in ends] for n, ends in asked.items()}
        best = {n: EXTREMES[way] for n, way in self.best.items()}
        both = {n: [best[n], *ends[n]] for n in best if n in ends}
        return {**best, **ends, **both, **({"periodic": True} if self.geometry.periodic else {})}

    @classmethod
    def of(cls, name: str, wanted: Mapping[str, Any]) -> "Target":
        """One design's target from `wanted` of another."""
        intervals, best = dict[str, Interval](), dict[str, int]()
        for n, given in wanted.items():
            if n in MEASURES or n == "periodic":
                continue
            words = [given] if isinstance(given, str) else given
            if isinstance(words[0], str):
                best[n] = WAYS[words[0]]
            for low, high in [words[-2:]] if len(words) > 1 else []:
                ends = quantity(n).lowest if low is None else float(low), math.inf if high is None else float(high)
                intervals[n] = ends
        return cls(name, intervals, best=best, geometry=geometry_of(wanted))

    def __str__(self) -> str:
        best = [f"{EXTREMES[way]} {name}" for name, way in self.best.items()]
        words = [*best, *(describe(name, interval) for name, interval in self.intervals.items()), str(self.geometry)]
        return ", ".join(word for word in words if word)


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
    return f"{name} <= {high:.4g}" if low <= quantity(name).lowest else f"{name} in {low:.4g}..{high:.4g}"


def interval(
    name: str,
    value: float | None = None,
    tolerance: float | None = None,
    low: float | None = None,
    high: float | None = None,
) -> Interval:
    """The interval, for a quantity, of a value with a relative tolerance, or of a minimum, a maximum or both.

    Raises:
        TargetError: if it is neither, or empty, or of no property.
    """
    try:
        lowest = quantity(name).lowest
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


def check_best(best: Mapping[str, int]) -> None:
    """Refuse more than one extreme.

    Raises:
        TargetError: what is the best of two cannot be said.
    """
    if len(best) > 1:
        raise TargetError(f"target: the best of {' and '.join(best)} at once is not one; give bounds to all but one")
