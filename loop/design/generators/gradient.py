"""Gradient: known structures, their interfaces moved by physics' own sensitivities.

The nearest simulated samples, each after the one step of the refinement (`loop.design.step`) that needs no simulation,
as theirs is known; what refines it further takes the same step. Where there are too few, fresh phase fields as they
are. Needs no network.
"""

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from janus_al.properties import FRACTION
from janus_al.quantities import quantity
from loop.design.candidates import Trial
from loop.design.generators import Tools
from loop.design.generators.level import level, ranked
from loop.design.generators.lookup import LookupGenerator, Sample, log_contrast
from loop.design.pool import EMPTY, Known, Pool, Wanted, distance, gaps, joined
from loop.design.step import REACH, Way, map_of, rate_of, step
from loop.design.targets import Target

FEWEST = 12
"""structures proposed for each candidate wanted, at least: many are too much like each other"""
UNKNOWN = 1e3
"""miss of a structure of which nothing is predicted: it comes last"""


class GradientGenerator:
    """The structures nearest to each target, one step nearer."""

    needs_model: ClassVar[bool] = False

    def __init__(self, tools: Tools) -> None:
        self.tools, self.lookup = tools, LookupGenerator(tools)

    def fit(self, known: Known) -> None:
        """Take the simulated samples to start from."""
        self.lookup.fit(known)

    def propose(self, wanted: Wanted, known: Known, seed: Sequence[int]) -> Pool:
        """A row for each structure, with what its sensitivities say of it."""
        from simulators import generate

        pools = list[Pool]()
        for index, (target, count) in enumerate(wanted):
            near = self.lookup.nearest(target)[: count * max(self.tools.swarm, FEWEST)]
            moved = [
                self._stepped(target, index, sample) or self.lookup.moved(target, index, sample) for sample in near
            ]
            pools += [pool for pool in moved if pool is not None]
            fresh = generate(max(count - len(near), 0), self.tools.grid, np.random.SeedSequence([*seed, index]))
            pools += [self._row(index, level(image, self.tools.boundary), {}, UNKNOWN) for image in fresh]
        return joined(pools) if pools else EMPTY

    def _stepped(self, target: Target, index: int, sample: Sample) -> Pool | None:
        """A sample after a step, if one leads anywhere."""
        material, size = self.tools.material, sample.image.size
        maps = {name: rate / (log_contrast(material, name) * size) for name, rate in sample.rate.items()}
        base, way = Trial(sample.image, sample.values, maps), Way(material, self.tools.inversion, reach=2 * REACH)
        found = step(target, base, way)
        if found is None or any(
            map_of(name, base, material) is None for name in found.promised if name != FRACTION.name
        ):
            return None
        flips = (found.level > 0).astype(float) - sample.image
        values = dict(sample.values)
        for name, value in sample.values.items():
            if (rate := rate_of(name, base, way)) is not None:
                change = float((rate * flips).sum())
                values[name] = value * math.exp(change) if quantity(name).log else value + change
        return self._row(index, found.level, values, float(distance(gaps(target, values, self.tools.inversion))))

    def _row(self, index: int, field: NDArray[np.float64], values: Mapping[str, float], miss: float) -> Pool:
        count, names = int((field > 0).sum()), self.tools.material.names
        values = {**values, FRACTION.name: count / field.size}
        predicted = np.array([[values.get(name, math.nan) for name in names]])
        return Pool(ranked(field, count)[None], predicted, names, np.array([miss]), np.array([index]))
