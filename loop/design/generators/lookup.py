"""Lookup: the nearest known samples, each eroded or dilated until its sensitivities say that it meets the target.

A turned sample is one, too, where its properties are others: transposed, those of the axes are exchanged. Needs no
network, and without sensitivities it goes by the mean slope of a property over the volume fraction.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from janus_al.material import Material
from janus_al.properties import FRACTION, Turn, action, row_of, turned, turns
from janus_al.samples import Samples
from loop.design.feasible import count_range
from loop.design.generators import Tools
from loop.design.generators.level import along, level, ranked, slope
from loop.design.pool import EMPTY, Image, Known, Pool, Wanted, distance, gaps, joined
from loop.design.targets import Target

LARGEST = {2: 512, 3: 64}
"""samples looked at for a target, the nearest ones, by the axes of an image: volumes take ten milliseconds each"""
DOUBT = 0.4
"""standard deviation of a prediction on a log scale, by part of the pixels flipped"""
REACH = 0.25
"""part of the pixels flipped, at most"""
THICKER = 0.6
"""what a part more of label 1 adds along a cut, by what it adds from sample to sample (measured at contrast 10)"""


@dataclass(frozen=True)
class Rates(Mapping[str, NDArray[np.float64]]):
    """Maps of an image that was turned, made when they are asked for: of many volumes they do not fit into memory.

    Attributes:
        maps: of the image as it was simulated, by name, each with what it is to be multiplied by.
        turn: of the image.
    """

    maps: Mapping[str, tuple[float, NDArray[np.floating]]]
    turn: Turn

    def __getitem__(self, name: str) -> NDArray[np.float64]:
        factor, found = self.maps[name]
        return factor * turned(found, self.turn).astype(float)

    def __iter__(self) -> Iterator[str]:
        return iter(self.maps)

    def __len__(self) -> int:
        return len(self.maps)


@dataclass(frozen=True)
class Sample:
    """A simulated image, or a turned one.

    Attributes:
        image: labels (*grid).
        values: of its properties, by name; those not known are not there.
        rate: what flipping all pixels to label 1 that are like one would add to a property, of its logarithm where it
            is on a log scale, by name, (*grid).
    """

    image: Image
    values: Mapping[str, float]
    rate: Mapping[str, NDArray[np.float64]]


def log_contrast(material: Material, name: str) -> float:
    """log of label 1's constant over label 0's, of the constant that a property's sensitivity refers to."""
    physics = material.of(name)
    return next((found for n in physics.properties if (found := physics.contrast(n))), 0.0)


def turned_samples(samples: Samples | None) -> list[Sample]:
    """Every simulated sample, each beside those of its grid that it turns into and that have other properties."""
    if samples is None:
        return []
    material, names = samples.material, samples.material.simulated
    contrast = {name: log_contrast(material, name) for name in names}
    ways = dict[tuple[tuple[int, ...], tuple[float, ...]], Turn]()
    for turn in turns(samples.image.ndim - 1):
        if (acts := action(names, turn)) is not None:
            ways.setdefault((tuple(acts[0].tolist()), tuple(acts[1].tolist())), turn)
    columns = [samples.names.index(name) for name in names]
    maps = {name: samples.maps(name) for name in samples.sensitive if contrast[name]}
    found = list[Sample]()
    for row in np.flatnonzero(samples.simulated):
        values = samples.properties[row, columns]
        for (index, sign), turn in ways.items():
            image = np.ascontiguousarray(turned(samples.image[row], turn))
            if image.shape != samples.image.shape[1:]:
                continue
            known = {
                n: float(s * values[i]) for n, i, s in zip(names, index, sign, strict=True) if values[i] == values[i]
            }
            own = {
                n: (s * contrast[names[i]], maps[names[i]][row])
                for n, i, s in zip(names, index, sign, strict=True)
                if n in known and names[i] in maps and not np.isnan(maps[names[i]][row]).any()
            }
            found.append(Sample(image, {**known, FRACTION.name: float((image == 1).mean())}, Rates(own, turn)))
    return found


class LookupGenerator:
    """Every known sample that is near, moved by its cut, the likeliest first."""

    needs_model: ClassVar[bool] = False
    needs_samples: ClassVar[bool] = True

    def __init__(self, tools: Tools) -> None:
        self.tools, self.names = tools, tools.material.names
        self.samples: list[Sample] = []
        self.slopes = dict.fromkeys(tools.material.simulated, 0.0)

    def fit(self, known: Known) -> None:
        """Take the simulated samples, and the mean slope of each property along a cut."""
        self.samples = turned_samples(known.samples)
        slopes: dict[str, list[float]] = {name: [] for name in self.slopes}
        for sample in self.samples:
            field = level(sample.image, self.tools.boundary)
            for name, rate in sample.rate.items():
                slopes[name].append(slope(rate, field))
        for name, own in slopes.items():
            points = np.array([(s.values[FRACTION.name], s.values[name]) for s in self.samples if name in s.values])
            if own:
                self.slopes[name] = float(np.mean(own))
            elif len(points) > 1 and np.ptp(points[:, 0]):
                value = np.log(points[:, 1]) if row_of(name).log else points[:, 1]
                self.slopes[name] = THICKER * float(np.polyfit(points[:, 0], value, 1)[0])

    def propose(self, wanted: Wanted, known: Known, seed: Sequence[int]) -> Pool:
        """A row for each sample looked at."""
        moved = [
            self.moved(target, index, sample)
            for index, (target, _) in enumerate(wanted)
            for sample in self.nearest(target)
        ]
        pools = [pool for pool in moved if pool is not None]
        return joined(pools) if pools else EMPTY

    def nearest(self, target: Target) -> list[Sample]:
        """Samples by their distance from a target, of those of which all that it asks is known."""
        known = [sample for sample in self.samples if set(target.properties) <= set(sample.values)]
        far = [float(distance(gaps(target, sample.values, self.tools.inversion))) for sample in known]
        return [known[row] for row in np.argsort(far, kind="stable")[: LARGEST[len(self.tools.grid)]]]

    def moved(self, target: Target, index: int, sample: Sample) -> Pool | None:
        """One sample at the cut that its sensitivities favour, never its own; None if none is within reach."""
        field, count = level(sample.image, self.tools.boundary), int((sample.image == 1).sum())
        n = field.size
        values = {name: np.full(n + 1, np.nan) for name in self.names}
        for name, value in sample.values.items():
            if name == FRACTION.name:
                values[name] = np.arange(n + 1) / n
                continue
            rise = along(sample.rate.get(name), field, count, self.slopes[name])
            values[name] = value * np.exp(rise) if row_of(name).log else value + rise
        flipped = np.abs(np.arange(n + 1) - count)
        low, high = count_range(target, n)
        allowed = (flipped > 0) & (flipped <= REACH * n)
        allowed[[*range(max(low, 1)), *range(min(high, n - 1) + 1, n + 1)]] = False
        if not allowed.any():
            return None
        miss = np.hypot(distance(gaps(target, values, self.tools.inversion)), DOUBT * flipped / n)
        best = int(np.argmin(np.where(allowed, miss, np.inf)))
        predicted = np.array([[values[name][best] for name in self.names]])
        return Pool(ranked(field, best)[None], predicted, self.names, miss[[best]], np.array([index]))
