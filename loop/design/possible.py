"""Between what quantities lie at a volume fraction, where others lie in intervals.

A ratio is cut into slices of its lower property, so that within one it follows from both; the best slice is cut again.
"""

import math
from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from janus_al.quantities import quantity
from loop.design.targets import Interval

FloatArray = NDArray[np.float64]
Box = Mapping[str, tuple[FloatArray, FloatArray]]
"""between what properties lie, at each of n volume fractions"""
ROUNDING = 1e-9
SLICES, CUTS = 16, 7


class Limits(Protocol):
    """Between what each property must lie, of those for which that is known."""

    def __call__(self, fraction: FloatArray, given: Box | None = None) -> Box:
        """At volume fractions (n,) of label 1, and where properties lie in given intervals (n,)."""


def possible_at(wanted: Mapping[str, Interval], limits: Limits, fraction: FloatArray) -> NDArray[np.bool_]:
    """At which volume fractions all of it may hold at once; of ratios, each beside all else."""
    alone = {n: ends for n, ends in wanted.items() if len(quantity(n).terms) == 1}
    possible = _holds(_box(alone, limits, fraction))
    for name, (low, high) in wanted.items():
        if name not in alone:
            others = {n: ends for n, ends in wanted.items() if n != name}
            most, least = (ends_at(name, way, others, limits, fraction) for way in (1, -1))
            possible &= ~(most < low * (1 - ROUNDING)) & ~(least > high * (1 + ROUNDING))
    return possible


def ends_at(name: str, way: int, wanted: Mapping[str, Interval], limits: Limits, fraction: FloatArray) -> FloatArray:
    """The most or the least of a quantity, (n,): infinite the other way where nothing is possible, or it is unknown."""
    ratios = [n for n in (name, *wanted) if len(quantity(n).terms) > 1]
    if not ratios:
        box = _box(wanted, limits, fraction)
        ends = box.get(name, (np.full(len(fraction), -math.inf), np.full(len(fraction), math.inf)))
        return np.where(_holds(box), ends[way > 0], -way * math.inf)
    sliced = quantity(ratios[0]).properties[1]
    low, high = limits(fraction).get(sliced, (np.zeros(len(fraction)), np.zeros(len(fraction))))
    best = np.full(len(fraction), -way * math.inf)
    low, high = np.array(low), np.array(high)
    if not (low > 0).all():
        return np.full(len(fraction), way * math.inf)
    for _ in range(CUTS):
        edges = np.geomspace(low, high, SLICES + 1, axis=1)
        part = {sliced: (edges[:, :-1].ravel(), edges[:, 1:].ravel())}
        box = _box(wanted, limits, np.repeat(fraction, SLICES), part)
        over, under = (box[n] for n in quantity(name).properties) if "/" in name else (box[name], None)
        end = over[way > 0] / (1.0 if under is None else under[way < 0])
        end = np.where(_holds(box), end, -way * math.inf).reshape(-1, SLICES)
        row = np.arange(len(fraction)), (way * end).argmax(1)
        best = end[row]
        low, high = edges[row[0], np.maximum(row[1] - 1, 0)], edges[row[0], np.minimum(row[1] + 2, SLICES)]
    return best


def _box(wanted: Mapping[str, Interval], limits: Limits, fraction: FloatArray, part: Box | None = None) -> Box:
    """Between what properties lie where all of `wanted` holds; what is asked of ratios is carried over to both."""
    n = len(fraction)
    given = {name: free(n) for name in limits(fraction[:1])}
    for name, (low, high) in wanted.items():
        if len(quantity(name).terms) == 1:
            given[name] = np.full(n, low), np.full(n, high)
    for name, ends in (part or {}).items():
        given[name] = _meet(given[name], ends)
    for name, (low, high) in wanted.items():
        if len(quantity(name).terms) == 2:
            over, under = quantity(name).properties
            with np.errstate(divide="ignore", invalid="ignore"):
                a, b = (np.maximum(end, 0) for end in given.get(under, free(n)))
                given[over] = _meet(given.get(over, free(n)), (a * low, b * high))
                a, b = (np.maximum(end, 0) for end in given[over])
                given[under] = _meet(given.get(under, free(n)), (a / high, b / low if low > 0 else b * math.inf))
    found = limits(fraction, given)
    return {name: _meet(ends, found.get(name, ends)) for name, ends in given.items()}


def free(n: int) -> tuple[FloatArray, FloatArray]:
    """An interval of which nothing is known, n times."""
    return np.full(n, -math.inf), np.full(n, math.inf)


def _meet(one: tuple[FloatArray, FloatArray], other: tuple[FloatArray, FloatArray]) -> tuple[FloatArray, FloatArray]:
    """NaN, of 0 times infinity, says nothing."""
    return np.fmax(one[0], other[0]), np.fmin(one[1], other[1])


def _holds(box: Box) -> NDArray[np.bool_]:
    """Where no interval is empty, but for rounding."""
    with np.errstate(invalid="ignore"):
        return np.logical_and.reduce(
            [(low <= high) | (low <= high + ROUNDING * np.abs(high)) for low, high in box.values()]
        )
