"""Measures: what a target may ask of the image itself, decided without simulation.

A phase has features of diameter d if its opening by the disc of that diameter, in volumes the ball, leaves it as it is,
which is to say if it is a union of such discs. The disc of diameter d holds the pixels whose centres are at most d / 2
from its centre, which is a pixel's centre where d is odd and a pixel's corner where d is even: 1, 4, 9, 12, 21 pixels
for d = 1 ... 5. A measure says the largest d of which that is so, up to the one asked for.

How like a class of structures it is says its score (`janus_al.likeness`), where that class is known.

The image goes on beyond its edges: mirrored, as between fixed faces heat takes it to, or, if it is judged as
`periodic`, repeated. Pixels are connected through their faces.
"""

import contextlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from janus_al.lengths import metres
from janus_al.likeness import LIKE, Likeness
from janus_al.material import Boundary
from janus_al.properties import FRACTION
from simulators import Result

AXES = "xyz"
MOST = 1024
"""pixels"""
TABLES = {"": "values", "_fv": "plain", "_lower": "lower", "_upper": "upper"}
"""ends of a property's names in JSON, and the tables of a `Result`"""
Image = NDArray[np.integer]


@dataclass(frozen=True)
class Geometry:
    """What is asked of an image.

    Attributes:
        features: least diameter of a feature of label 0 and of label 1, in pixels; 1 asks for nothing.
        connected: axes along which label 1 must join both faces.
        periodic: whether the image is judged repeated.
        like: least score of its likeness to the class; None asks for nothing.
    """

    features: tuple[int, int] = (1, 1)
    connected: str = ""
    periodic: bool = False
    like: float | None = None

    @property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """Measures with the interval that each must lie in."""
        least: dict[str, float] = {f"min_feature_{label}": d for label, d in enumerate(self.features) if d > 1}
        least |= {f"connected_{a}": 1 for a in self.connected}
        least |= {} if self.like is None else {"like": self.like}
        return {name: (float(low), math.inf) for name, low in least.items()}

    @property
    def made(self) -> "Geometry":
        """What images are made to obey; how like the class they are comes out."""
        return replace(self, like=None)

    def beside(self, other: "Geometry") -> "Geometry":
        """What both ask for."""
        first, second = (max(pair) for pair in zip(self.features, other.features, strict=True))
        connected = "".join(a for a in AXES if a in self.connected + other.connected)
        like = max((each.like for each in (self, other) if each.like is not None), default=None)
        return Geometry((first, second), connected, self.periodic or other.periodic, like)

    def under(self, boundary: Boundary) -> "Geometry":
        """The same, of an image that repeats where the boundary says so."""
        return replace(self, periodic=self.periodic or boundary == "periodic")

    def measured(self, image: Image, likeness: Likeness | None = None) -> dict[str, float]:
        """The measures asked for, by name; NaN is the score of what no class is known for."""
        found = {} if self.like is None else {"like": math.nan if likeness is None else likeness.score(image)}
        for name in self.made.intervals:
            kind, _, end = name.rpartition("_")
            found[name] = (
                float(smallest_feature(image, int(end), self.features[int(end)], self.periodic))
                if kind == "min_feature"
                else float(joins(np.asarray(image) == 1, end, self.periodic))
            )
        return found

    def obeyed(self, image: Image, likeness: Likeness | None = None) -> bool:
        """Whether an image has all that is asked."""
        found = self.measured(image, likeness)
        return all(low <= found[name] <= high for name, (low, high) in self.intervals.items())

    def __str__(self) -> str:
        first, second = self.features
        if first == second:
            words = [f"min_feature >= {first}"] if first > 1 else []
        else:
            words = [f"min_feature_{label} >= {d}" for label, d in enumerate(self.features) if d > 1]
        words += [f"connected = {self.connected}"] if self.connected else []
        words += [] if self.like is None else [f"like >= {self.like:g}"]
        return ", ".join(words + ["periodic"] * self.periodic)


NONE = Geometry()
"""nothing is asked"""
MEASURES = (*(f"min_feature_{label}" for label in (0, 1)), *(f"connected_{a}" for a in AXES), "like")
"""their names"""


def geometry_of(wanted: Mapping[str, Any]) -> Geometry:
    """From `Geometry.intervals` and "periodic", as JSON has them."""
    least = [int(wanted.get(f"min_feature_{label}", [1])[0]) for label in (0, 1)]
    connected = "".join(a for a in AXES if f"connected_{a}" in wanted)
    like = wanted["like"][0] if "like" in wanted else None
    return Geometry((least[0], least[1]), connected, bool(wanted.get("periodic", False)), like)


def least_features(least: float | str, label: int | None = None, pixel: str = "") -> tuple[int, int]:
    """Diameters in whole pixels, of one label or both, from a number of pixels or a length and that of a pixel.

    Raises:
        ValueError: it is neither; or a length, and the pixel's is not known.
    """
    try:
        pixels = float(least)
    except ValueError:
        if not pixel:
            raise ValueError(
                f"min_feature {least!r}: a number of pixels; or a length, where microstructure.pixel or the model says "
                "how long a pixel is"
            ) from None
        pixels = metres(str(least)) / metres(pixel)
    if not 1 <= pixels <= MOST:
        raise ValueError(f"min_feature {least}: {pixels:.4g} pixels; it must be from 1 to {MOST}")
    whole = math.ceil(pixels - 1e-9)
    return (1 if label == 1 else whole), (1 if label == 0 else whole)


def least_likeness(least: float | str) -> float:
    """The least score wanted.

    Raises:
        ValueError: it is no number above 0 and below 1.
    """
    with contextlib.suppress(ValueError):
        if 0 < (score := float(least)) < 1:
            return score
    raise ValueError(
        f"like {least}: it must be a number above 0 and below 1; {LIKE:g} is what 95 of 100 images of the class have"
    )


@lru_cache
def disc(diameter: int, dim: int) -> NDArray[np.bool_]:
    """The disc, or ball, of a diameter in pixels."""
    centre = (np.arange(diameter) - (diameter - 1) / 2) ** 2
    square = sum(np.meshgrid(*[centre] * dim, indexing="ij"), np.zeros((diameter,) * dim))
    return np.asarray(square <= diameter**2 / 4)


def opened(phase: NDArray[np.bool_], diameter: int, periodic: bool) -> NDArray[np.bool_]:
    """The union of all discs of a diameter that lie in a phase, which goes on beyond the edges.

    By shifted copies, which is twenty times as fast as `scipy.ndimage.binary_opening` on 64 x 64 pixels.
    """
    room, offsets = diameter - 1, np.argwhere(disc(diameter, phase.ndim))
    wide = np.pad(phase, room, "wrap" if periodic else "symmetric")
    fits = np.ones([n + room for n in phase.shape], dtype=bool)  # at its first corner, from -room on
    for offset in offsets:
        fits &= wide[tuple(slice(o, o + n) for o, n in zip(offset, fits.shape, strict=True))]
    found = np.zeros(phase.shape, dtype=bool)
    for offset in room - offsets:
        found |= fits[tuple(slice(o, o + n) for o, n in zip(offset, phase.shape, strict=True))]
    return found


def smallest_feature(image: Image, label: int, most: int, periodic: bool) -> int:
    """The largest diameter, up to `most`, whose opening leaves a phase as it is."""
    phase = np.asarray(image) == label
    return next(d for d in range(most, 0, -1) if np.array_equal(opened(phase, d, periodic), phase))


def joins(phase: NDArray[np.bool_], axis: str, periodic: bool) -> bool:
    """Whether one component of a phase touches both faces normal to an axis.

    Repeated, components go on through the edges of the other axes, and one must go on along this axis without end: from
    a pixel to its copy some periods away.
    """
    from scipy.ndimage import label

    along = phase.ndim - 1 - AXES.index(axis)
    labels, count = label(np.moveaxis(phase, along, 0))
    if not periodic:
        return bool(np.intersect1d(labels[0], labels[-1]).any())
    return _winds(labels, count)


def _winds(labels: NDArray[np.integer], count: int) -> bool:
    """Whether components joined through the edges go on without end along the first axis.

    Each is given the period in which it stands, as seen from the one it was reached from; two answers for one of them
    mean that it is its own copy.
    """
    neighbours: dict[int, set[tuple[int, int]]] = {number: set() for number in range(1, count + 1)}
    for axis in range(labels.ndim):
        ends = np.take(labels, -1, axis).ravel(), np.take(labels, 0, axis).ravel()
        for last, first in set(zip(*(e.tolist() for e in ends), strict=True)):
            if last and first:
                neighbours[last].add((first, int(axis == 0)))
                neighbours[first].add((last, -int(axis == 0)))
    period: dict[int, int] = {}
    for start in neighbours:
        if start in period:
            continue
        period[start], reached = 0, [start]
        while reached:
            here = reached.pop()
            for there, step in neighbours[here]:
                if there not in period:
                    period[there] = period[here] + step
                    reached.append(there)
                elif period[there] != period[here] + step:
                    return True
    return False


def properties_of(
    result: Result, image: Image, geometry: Geometry = NONE, likeness: Likeness | None = None
) -> dict[str, float]:
    """Values and bounds by name, as they stand in JSON, and the measures that a geometry asks for."""
    found = {
        name + end: float(getattr(result, table)[name])
        for name in result.values
        for end, table in TABLES.items()
        if name in getattr(result, table)
    }
    return {**found, FRACTION.name: float(np.mean(np.asarray(image) == 1)), **geometry.measured(image, likeness)}
