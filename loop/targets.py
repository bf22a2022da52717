"""Targets: intervals for properties, all of which one design must meet, and what physics can reach at all."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

PROPERTIES = ("kxx", "kyy", "volume_fraction")
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
        """Whether properties lie in every interval."""
        return all(low <= properties[name] <= high for name, (low, high) in self.intervals.items())

    def error(self, properties: Mapping[str, float]) -> float:
        """Largest relative distance from what is wanted: from an interval's middle, or from a bound if beyond it.

        Volume fractions, which a candidate has without simulation, do not count unless nothing else is asked.
        """
        names = [n for n in self.intervals if n != "volume_fraction"] or list(self.intervals)
        return max(_relative_error(properties[n], self.intervals[n]) for n in names)

    def wanted(self) -> dict[str, list[float | None]]:
        """The intervals as JSON; no upper end is null."""
        return {n: [low, None if math.isinf(high) else high] for n, (low, high) in self.intervals.items()}

    def __str__(self) -> str:
        return ", ".join(describe(name, interval) for name, interval in self.intervals.items())


def _relative_error(value: float, interval: Interval) -> float:
    low, high = interval
    if _is_value(interval):
        return abs(value / ((low + high) / 2) - 1)
    if value < low:
        return 1 - value / low
    return value / high - 1 if value > high else 0.0


def _is_value(interval: Interval) -> bool:
    """A value with a tolerance rather than a range: no wider than 20 % about its middle."""
    low, high = interval
    return math.isfinite(high) and 0 < high - low <= 0.2 * (high + low)


def describe(name: str, interval: Interval) -> str:
    """An interval in words: `kxx = 0.3 ± 1 %`, `kyy in 0.2..0.5`, `volume_fraction <= 0.5`."""
    low, high = interval
    if _is_value(interval):
        middle = (low + high) / 2
        return f"{name} = {middle:.4g} ± {100 * (high - middle) / middle:.3g} %"
    if math.isinf(high):
        return f"{name} >= {low:.4g}"
    return f"{name} <= {high:.4g}" if low <= 0 else f"{name} in {low:.4g}..{high:.4g}"


def interval(
    name: str,
    value: float | None = None,
    tolerance: float | None = None,
    low: float | None = None,
    high: float | None = None,
) -> Interval:
    """The interval of a value with a relative tolerance, or of a minimum, a maximum or both.

    Raises:
        TargetError: if it is neither, or empty.
    """
    if name not in PROPERTIES:
        raise TargetError(f"target property '{name}': it must be one of {', '.join(PROPERTIES)}")
    if (value is None) == (low is None and high is None):
        raise TargetError(f"target {name}: give either a value (with a tolerance) or min and max")
    if value is None:
        if tolerance is not None:
            raise TargetError(f"target {name}: a tolerance goes with a value, not with min and max")
        ends = (0.0 if low is None else low, math.inf if high is None else high)
    else:
        tolerance = DEFAULT_TOLERANCE if tolerance is None else tolerance
        if not 0 < tolerance < 1:
            raise TargetError(f"target {name}: tolerance {tolerance} must lie between 0 and 1 (0.01 is 1 %)")
        ends = (value * (1 - tolerance), value * (1 + tolerance))
    if not 0 <= ends[0] <= ends[1] or ends[1] <= 0 or math.isnan(ends[0] + ends[1]):
        raise TargetError(f"target {name}: {ends[0]:.4g}..{ends[1]:.4g} holds no positive number")
    return ends


def parse_targets(words: Sequence[str], tolerance: float, designs: int = 1) -> Target:
    """One target from words such as `kxx=0.3`, `kyy>=0.2`, `volume_fraction<=0.5`."""
    intervals: dict[str, Interval] = {}
    for word in words:
        match = re.fullmatch(r"\s*(\w+)\s*(=|<=|>=)\s*([-+.\deE]+)\s*", word)
        try:
            number = float(match[3]) if match else math.nan
        except ValueError:
            number = math.nan
        if match is None or math.isnan(number):
            raise TargetError(f"target '{word}': write PROPERTY=VALUE, PROPERTY>=MIN or PROPERTY<=MAX")
        name, sign = match[1], match[2]
        new = interval(
            name,
            value=number if sign == "=" else None,
            tolerance=tolerance if sign == "=" else None,
            low=number if sign == ">=" else None,
            high=number if sign == "<=" else None,
        )
        old = intervals.get(name, (0.0, math.inf))
        intervals[name] = (max(old[0], new[0]), min(old[1], new[1]))
        if intervals[name][0] > intervals[name][1]:
            raise TargetError(f"target {name}: the conditions on it exclude each other")
    return Target("target", intervals, designs)


def check_reachable(target: Target, phase_conductivity: Sequence[float]) -> None:
    """Refuse a target outside the Wiener bounds of a two-phase mixture, naming what is reachable.

    Raises:
        TargetError: if no volume fraction allowed by the target reaches every interval.
    """
    low, high = count_range(target, 100_000)
    if low > high:
        raise TargetError(f"target {target}: no volume fraction lies in that interval")
    fraction = np.linspace(low, high, 4001) / 100_000
    harmonic, arithmetic = wiener(fraction, phase_conductivity)
    possible = np.ones(len(fraction), dtype=bool)
    for name, (wanted_low, wanted_high) in target.intervals.items():
        if name != "volume_fraction":
            possible &= (harmonic <= wanted_high) & (arithmetic >= wanted_low)
    if not possible.any():
        raise TargetError(
            f"target {target}: out of reach; phases of {', '.join(f'{k:g}' for k in phase_conductivity)} mixed at "
            f"fractions {fraction[0]:.3g}..{fraction[-1]:.3g} reach {harmonic.min():.4g}..{arithmetic.max():.4g}"
            " (Wiener bounds); ask for a value in there or change the phases"
        )


def wiener(fraction: np.ndarray, phase_conductivity: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Harmonic and arithmetic mean of two phases at a volume fraction of label 1."""
    k0, k1 = phase_conductivity
    return 1 / ((1 - fraction) / k0 + fraction / k1), (1 - fraction) * k0 + fraction * k1


def count_range(target: Target, pixels: int) -> tuple[int, int]:
    """Smallest and largest number of label-1 pixels that the target's volume fraction allows."""
    low, high = target.intervals.get("volume_fraction", (0.0, 1.0))
    return math.ceil(low * pixels - 1e-9), math.floor(min(high, 1.0) * pixels + 1e-9)
