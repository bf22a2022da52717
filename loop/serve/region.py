"""What physics can reach, drawn: two properties against each other, between their exact bounds, with a target's box."""

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from janus_al.properties import FRACTION
from janus_al.quantities import quantity
from loop.campaign.config import CampaignConfig
from loop.design.feasible import count_range
from loop.design.possible import FloatArray, Limits, free
from loop.design.targets import EXTREMES, Target
from loop.simulation.simulate import limits_of

ACROSS, FRACTIONS = 48, 240
WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 300, 274, 44, 34, 20, 10
"""of the drawing, and of its margins, in its own units"""

Line = list[tuple[float, float]]


@dataclass(frozen=True)
class Region:
    """Two properties of a target and what they reach.

    Attributes:
        names: of the properties, across and up.
        whole: outline of what these phases reach at any volume fraction, values of both.
        allowed: outline at the fractions that the target allows, beside all else that it asks; empty if there are none.
        box: least and most wanted of each; an end that is open is infinite.
        best: "max" or "min" of either, where that is wanted.
    """

    target: str
    names: tuple[str, str]
    whole: Line
    allowed: Line
    box: tuple[tuple[float, float], tuple[float, float]]
    best: Mapping[str, str]

    def limit(self, axis: int) -> float | None:
        """The most or the least of what is sought along an axis, where the other lies in the box."""
        way, other, found = self.best.get(self.names[axis]), 1 - axis, list[float]()
        if way is None or not self.allowed:
            return None
        low, high = self.box[other]
        for one, next_ in itertools.pairwise([*self.allowed, self.allowed[0]]):
            found += [one[axis]] if low <= one[other] <= high else []
            for end in (low, high):
                if min(one[other], next_[other]) < end < max(one[other], next_[other]):
                    part = (end - one[other]) / (next_[other] - one[other])
                    found.append(one[axis] + part * (next_[axis] - one[axis]))
        return (max if way == EXTREMES[1] else min)(found, default=None)


def regions(config: CampaignConfig, targets: list[Target]) -> list[Region]:
    """One for each target, where its physics says what two of its properties reach."""
    limits, pixels = limits_of(config.material, trusted=True), math.prod(config.microstructure.grid)
    known = [n for n in limits(np.array([0.5])) if n != FRACTION.name and quantity(n).lowest >= 0]
    found = []
    for target in targets:
        asked = [n for n in known if n in target.properties]
        pair = sorted([*asked, *(n for n in known if n not in asked)][:2], key=known.index)
        if len(pair) == 2:
            found.append(_region(target, (pair[0], pair[1]), limits, pixels))
    return found


def _region(target: Target, names: tuple[str, str], limits: Limits, pixels: int) -> Region:
    low, high = count_range(target, pixels)
    every, some = np.linspace(0, 1, FRACTIONS), np.unique(np.linspace(low, high, FRACTIONS).round()) / pixels
    others = {n: e for n, e in target.intervals.items() if n not in names and len(quantity(n).terms) == 1}
    endless = (0.0, math.inf)
    return Region(
        target.name,
        names,
        _outline(names, {}, limits, every),
        _outline(names, others, limits, some) if low <= high else [],
        (target.intervals.get(names[0], endless), target.intervals.get(names[1], endless)),
        {n: EXTREMES[target.best[n]] for n in names if n in target.best},
    )


def _outline(
    names: tuple[str, str], asked: Mapping[str, tuple[float, float]], limits: Limits, fraction: FloatArray
) -> Line:
    """Around all that both properties reach at any of the volume fractions, the upper edge first."""
    (least, most), (first, _) = (limits(fraction)[name] for name in names)
    across = np.geomspace(max(least.min(), 1e-300), most.max(), ACROSS)
    at, value = (part.ravel() for part in np.meshgrid(fraction, across))
    given = {name: free(len(at)) for name in limits(fraction[:1])} | {names[0]: (value, value)}
    for name, (low, high) in asked.items():
        given[name] = np.full(len(at), low), np.full(len(at), high)
    box = limits(at, given)
    with np.errstate(invalid="ignore"):
        near = 1e-9
        fine = [low <= high + near * np.abs(high) for low, high in box.values()]
        fine += [given[n][0] <= box[n][1] * (1 + near) for n in (names[0], *asked) if n in box]
        fine += [given[n][1] >= box[n][0] * (1 - near) for n in (names[0], *asked) if n in box]
    possible = np.logical_and.reduce(fine).reshape(len(across), -1)
    lower, upper = (end.reshape(possible.shape) for end in box[names[1]])
    under, over = np.where(possible, lower, np.inf).min(1), np.where(possible, upper, -np.inf).max(1)
    rows = np.flatnonzero(possible.any(1))
    pure = {} if asked else {float(x): float(y) for x, y, end in zip(least, first, most, strict=True) if x == end}
    begin, end = ([(x, y)] if (y := pure.get(x)) else [] for x in (float(least.min()), float(most.max())))
    edge = [(float(across[i]), float(over[i])) for i in rows]
    return [*begin, *edge, *end, *((float(across[i]), float(under[i])) for i in rows[::-1])]


def drawn(region: Region) -> str:
    """The region as SVG, on log scales; colours are the page's, by class."""
    from jinja2 import Environment, PackageLoader

    xs, ys = zip(*region.whole, strict=True)
    ends = _frame(xs, region.box[0]), _frame(ys, region.box[1])
    x = _Scale(*ends[0], LEFT, WIDTH - RIGHT)
    y = _Scale(*ends[1], HEIGHT - BOTTOM, TOP)
    (left, right), (least, most) = ([scale(end) for end in b] for scale, b in zip((x, y), region.box, strict=True))
    asked = any(math.isfinite(end) and end > 0 for ends in region.box for end in ends)
    limits = [((x, y)[i](limit), i) for i in range(2) if (limit := region.limit(i)) is not None]
    environment = Environment(loader=PackageLoader("loop.serve", "pages"), autoescape=True, trim_blocks=True)
    return environment.get_template("region.svg.j2").render(
        region=region,
        size=(WIDTH, HEIGHT),
        frame=(LEFT, TOP, WIDTH - LEFT - RIGHT, HEIGHT - BOTTOM - TOP),
        whole=_path(region.whole, x, y),
        allowed=_path(region.allowed, x, y),
        box=(left, most, max(right - left, 3), max(least - most, 3)) if asked else None,
        limits=limits,
        ticks=[(x(v), f"{v:g}") for v in _ticks(*ends[0])],
        rises=[(y(v), f"{v:g}") for v in _ticks(*ends[1])],
    )


@dataclass(frozen=True)
class _Scale:
    low: float
    high: float
    first: float
    last: float

    def __call__(self, value: float) -> float:
        inside = min(max(value, self.low), self.high)
        part = math.log(inside / self.low) / math.log(self.high / self.low)
        return round(self.first + part * (self.last - self.first), 2)


def _frame(values: tuple[float, ...], box: tuple[float, float]) -> tuple[float, float]:
    """All that is reached, and a box beyond it unless that is far away."""
    low, high = min(values), max(values)
    room = (high / low) ** 0.5
    ends = [min(max(end, low / room), high * room) for end in box if 0 < end < math.inf]
    return min([low, *ends]) / 1.06, max([high, *ends]) * 1.06


def _ticks(low: float, high: float) -> list[float]:
    steps = (1, 2, 5) if high / low < 120 else (1,)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [v for p in powers for s in steps if low <= (v := float(f"{s}e{p}")) <= high]


def _path(line: Line, x: _Scale, y: _Scale) -> str:
    return "M" + "L".join(f"{x(a):g} {y(b):g}" for a, b in line) + "Z" if line else ""
