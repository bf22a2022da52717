"""What a target wants of an image beside what it has: values, certified intervals, and a drawing of both."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from janus_al.material import Material
from janus_al.properties import FRACTION
from janus_al.quantities import quantity
from loop.design.measures import MEASURES
from loop.design.targets import EXTREMES, Interval, Target
from loop.simulation.verify import bounds_of

ROOM = 0.35
"""beside what is wanted, as a part of its width, on a drawing of an interval"""


@dataclass(frozen=True)
class Asked:
    """One quantity or measure that a target asks for.

    Attributes:
        name: of it.
        unit: of its values.
        value: that the image has; NaN where it is not known.
        ends: certified interval of the value; None where it has none.
        wanted: interval, of which an end may be infinite.
        best: "max" or "min" where the most or the least of it is sought, beside the interval.
    """

    name: str
    unit: str
    value: float
    ends: Interval | None
    wanted: Interval
    best: str = ""

    @property
    def drawn(self) -> bool:
        """Whether a drawing of it says more than words."""
        return self.name not in MEASURES and any(math.isfinite(end) for end in self.wanted)

    @property
    def met(self) -> bool:
        """Whether the value lies where it should."""
        return self.wanted[0] <= self.value <= self.wanted[1]

    @property
    def decided(self) -> str:
        """What decides that: the certified interval, the value, or the pixels that were counted."""
        if self.name == FRACTION.name or self.name in MEASURES:
            return "pixels"
        if self.best:
            return "the search"
        low, high = self.wanted
        inside = self.ends is not None and low <= self.ends[0] and self.ends[1] <= high
        return "interval" if inside or self.outside else "value"

    @property
    def outside(self) -> bool:
        """Whether all of the certified interval lies outside."""
        return self.ends is not None and (self.ends[1] < self.wanted[0] or self.ends[0] > self.wanted[1])

    @property
    def shown(self) -> str:
        """The value."""
        if math.isnan(self.value):
            return "not known"
        if self.name.startswith("connected"):
            return "yes" if self.value else "no"
        return f"{self.value:g}" if self.name in MEASURES else f"{self.value:#.4g}"

    @property
    def words(self) -> str:
        """What is wanted, such as 0.297..0.303."""
        low, high = self.wanted
        if self.name.startswith("connected"):
            return "yes"
        if self.best:
            sought = "the most" if self.best == "max" else "the least"
            return sought if not self.drawn else f"{sought}, {replace(self, best='').words}"
        if math.isinf(high):
            return f"≥ {low:.4g}"
        lowest = 0.0 if self.name in MEASURES else quantity(self.name).lowest
        return f"≤ {high:.4g}" if low <= lowest else f"{low:.4g}..{high:.4g}"

    @property
    def off(self) -> float:
        """By which part of the nearer end the value misses; 0 where it is met, infinite where it is not known."""
        low, high = self.wanted
        if math.isnan(self.value):
            return math.inf
        end = low if self.value < low else high
        return 0.0 if self.met else abs(self.value - end) / (abs(end) or 1.0)

    @property
    def bar(self) -> dict[str, tuple[float, float]]:
        """Where on a line, in per cent from its left end: `wanted` and `ends` from and how wide, `value` at and 0."""
        low, high = self.wanted
        known = [x for x in (*self.wanted, self.value, *(self.ends or ())) if math.isfinite(x)]
        wide = (high - low) if math.isfinite(high - low) else 0.0
        room = ROOM * (wide or max(known) - min(known) or abs(known[0]) or 1.0)
        left, right = min(known) - room, max(known) + room

        def part(a: float, b: float) -> tuple[float, float]:
            a, b = max(a, left), min(b, right)
            return round(100 * (a - left) / (right - left), 2), round(100 * (b - a) / (right - left), 2)

        drawn = {"wanted": part(low, high), "value": part(self.value, self.value)}
        return drawn if self.ends is None else drawn | {"ends": part(*self.ends)}


def asked(
    target: Target, properties: Mapping[str, float], certified: Mapping[str, float], material: Material
) -> list[Asked]:
    """All that a target asks for, best things first, in intervals and of the image itself, as an image has it.

    Args:
        target: one.
        properties: as simulated, with their bounds, and measures.
        certified: the same after refinement; empty if nothing was refined.
        material: of the image.
    """
    finest, found = {**properties, **certified}, []
    best = {name: EXTREMES[way] for name, way in target.best.items()}
    open_ends = dict.fromkeys(target.best, (-math.inf, math.inf))
    for name, ends in {**open_ends, **target.intervals}.items():
        parts = quantity(name).properties
        unit = "" if len(parts) > 1 or name not in material.names else material.unit(name)
        known = all(p in properties for p in parts)
        exact = known and name != FRACTION.name and all(p + "_lower" in finest for p in parts if p != FRACTION.name)
        value = float(quantity(name).of(properties)) if known else math.nan
        found.append(Asked(name, unit, value, bounds_of(name, finest) if exact else None, ends, best.get(name, "")))
    for name, ends in target.geometry.intervals.items():
        found.append(Asked(name, "", properties.get(name, math.nan), None, ends))
    return found
