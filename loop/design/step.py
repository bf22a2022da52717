"""One step of a refinement: from a simulated image to that which, by its sensitivities, meets the target.

Sensitivities are of small changes, and a flip is none. What it brings, beside what they say, saturates with the
contrast (that of a pixel deep in a phase as the polarisation of a disc does, at 2, or of a sphere, at 3), and differs
from image to image by a gain that the steps before have shown.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from janus_al.inversion import InversionConfig
from janus_al.material import Material
from janus_al.properties import FRACTION
from janus_al.quantities import quantity
from loop.design.candidates import Trial
from loop.design.flips import Wanted, flipped
from loop.design.generators.level import level, smooth
from loop.design.generators.lookup import log_contrast
from loop.design.pool import ends_of, gap_to
from loop.design.targets import Target

NARROW = 0.1
"""an interval no wider is held where it is met; a wider one is left alone until a step would leave it"""
NEXT = 1.0
"""pixels, radius of the filter after which a sensitivity says best what a flip brings"""
SATURATED = {2: 2.5, 3: 3.2}
"""what a flip brings by its sensitivity at high contrast, by dimension"""
REACH = 0.05
"""part of the pixels flipped in one step, at most; twice that for the most or least of a quantity"""
CAUTION = 100.0
"""levels that a flip costs more which would close the gap alone"""
STEP = 1.0
"""of the most or least of a quantity: the change that one step asks for, more than it can bring"""
CLEAR = 0.003
"""relative distance that the most or least of a quantity keeps from an end of its own interval: nearer no certified
interval can confirm it"""
WIDE = 3.5
"""pixels, radius of the filter where the most or least is asked for: what wins in the long run is smooth; less where
the reach has shrunk"""

Gaps = dict[str, tuple[float, float]]
"""by quantity, the change wanted and how far off it may end, on the scale on which it is a linear form"""


@dataclass(frozen=True)
class Way:
    """How to step.

    Attributes:
        material: of the image.
        inversion: how close to the middle of an interval to aim.
        gain: what flips bring beside what is thought of them here.
        caution: see `CAUTION`.
        reach: see `REACH`.
    """

    material: Material
    inversion: InversionConfig
    gain: float = 1.0
    caution: float = CAUTION
    reach: float = REACH


@dataclass(frozen=True)
class Step:
    """Where a step leads.

    Attributes:
        level: above 0 where pixels are to conduct, (*grid).
        promised: change predicted of each quantity that it was to change or to hold.
    """

    level: NDArray[np.float64]
    promised: Mapping[str, float]


def step(target: Target, base: Trial, way: Way) -> Step | None:
    """The step from a simulated image towards a target; None where none is known to lead there."""
    surface = level(base.image, way.material.boundary)
    most = max(1, round((2 if target.best else 1) * way.reach * base.image.size))
    wanted = gaps_of(target, base, way.inversion)
    wide = max(NEXT, WIDE * (way.reach / REACH) ** 0.5)
    for _ in range(1 + len(target.intervals)):
        radii = {name: wide if name in target.best else NEXT for name in wanted}
        rates = {name: rate for name in wanted if (rate := rate_of(name, base, way, radii[name])) is not None}
        if not any(wanted[name][0] for name in rates):
            return None
        gap, tolerance = (np.array([wanted[name][i] for name in rates]) for i in (0, 1))
        sure = np.array([name == FRACTION.name for name in rates])
        found, change = flipped(
            surface, Wanted(gap, tolerance, np.array(list(rates.values())), sure), most, way.caution
        )
        if set(left := _left_by(found, base, target, way)) <= set(wanted):
            break
        wanted |= left
    return Step(found, dict(zip(rates, change.tolist(), strict=True)))


def gaps_of(target: Target, base: Trial, config: InversionConfig) -> Gaps:
    """What must change, or be held, by how much."""
    found, size = Gaps(), base.image.size
    for name in target.intervals:
        value = _value(name, base)
        change = float(gap_to(value, *ends_of(name, target, config, size)))
        low, high = ends_of(name, target, None, size)
        if change or high - low <= NARROW:
            found[name] = (change, _tolerance(name, low, high, size))
    for name, sign in target.best.items():
        low, high = ends_of(name, target, None, size) if name in target.intervals else (-np.inf, np.inf)
        value, end = _value(name, base), high if sign > 0 else low
        # From beyond its own interval it comes back first, and from within goes no farther than to near its end.
        if low <= value <= high:
            off = CLEAR * (1.0 if quantity(name).log else abs(end)) if np.isfinite(end) else 0.0
            reach = min(STEP, sign * (end - value) - off)
            found[name] = (sign * reach, max(reach, _tolerance(name, low, high, size)))
    return found


def map_of(name: str, base: Trial, material: Material) -> NDArray[np.float64] | None:
    """Change of a quantity predicted of making each pixel label 1, by its sensitivities, (*grid); None without."""
    contrast = {p: log_contrast(material, p) for p in base.sensitivity}
    brings = {p: bring(c, base.image.ndim) * base.sensitivity[p] for p, c in contrast.items() if c}
    return quantity(name).derivative(brings)


def bring(contrast: float, dim: int) -> float:
    """What a flip brings, by its sensitivity, at a log contrast: measured, of quiet pixels at interfaces."""
    return contrast / float(1 + (contrast / SATURATED[dim]) ** 4) ** 0.25


def rate_of(name: str, base: Trial, way: Way, radius: float = NEXT) -> NDArray[np.float64] | None:
    """The same, filtered, times the gain, or by the trend alone; None where nothing is known."""
    shape, size = base.image.shape, base.image.size
    if name == FRACTION.name:
        return np.full(shape, 1 / size)
    if (found := map_of(name, base, way.material)) is not None:
        return way.gain * smooth(found, radius, way.material.boundary)
    trend = sum(w * (way.material.contrast(p) or way.material.trend(p)) for p, w in quantity(name).terms)
    return np.full(shape, way.gain * trend / size) if trend else None


def _left_by(found: NDArray[np.float64], base: Trial, target: Target, way: Way) -> Gaps:
    """Intervals that flips would leave: the change that leads no farther than into them."""
    lost, size = Gaps(), base.image.size
    flips = (found > 0).astype(float) - base.image
    for name in target.intervals:
        if (rate := rate_of(name, base, way)) is None:
            continue
        low, high = ends_of(name, target, None, size)
        value = _value(name, base)
        after = value + float((rate * flips).sum())
        if not low - 1e-9 <= after <= high + 1e-9:
            inner = ends_of(name, target, way.inversion, size)
            lost[name] = (float(np.clip(after, *inner)) - value, _tolerance(name, low, high, size))
    return lost


def _value(name: str, base: Trial) -> float:
    return float(quantity(name).scaled(quantity(name).of(base.properties)))


def _tolerance(name: str, low: float, high: float, size: int) -> float:
    least = 0.5 / size if name == FRACTION.name else 1e-4
    return max(min((high - low) / 2, NARROW / 10), least)
