"""Gradient: physics' own sensitivities move the interface of a known structure until it meets the target.

A level set moved by Gauss-Newton, always binary: a step flips those pixels of the last image that the interface
reaches first, at the speed which the filtered sensitivities of all wanted properties together ask for, and as many of
them as close the gap in log k. What earlier flips brought, beside what they were predicted to bring, corrects how
many. A pixel that would bring much of the gap alone, such as one that closes a bridge, is left. Every step is
simulated, and paid for. Needs no network.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from janus_al.identity import canonical_hash
from janus_al.properties import FRACTION, row_of, scaled
from loop.design.generators import Tools
from loop.design.generators.level import RADIUS, level, ranked, smooth
from loop.design.generators.lookup import LookupGenerator, Sample, log_contrast
from loop.design.pool import EMPTY, Image, Known, Pool, Wanted, distance, gaps, joined
from loop.design.select import aligned_distance
from loop.design.targets import Target
from simulators import Result

STEPS = 6
"""simulations of a structure, at most, before it is proposed as it is"""
NEXT = 0.7
"""pixels, radius of the filter after which a sensitivity says best what a flip brings (correlations
0.92 at contrast 10, 0.68 to 0.96 at 100)"""
BAND = 0.2
"""levels about the interface whose sensitivities decide how the wanted properties are traded"""
MOST = 0.1
"""part of the pixels flipped in one step, at most"""
PART, SMALL = 0.25, 0.003
"""of the largest gap, what a single pixel may bring, and what it always may"""
SHRINK = 0.2
"""of that part, after a step that led farther away"""


@dataclass
class Run:
    """One structure on its way; what it was before a step that led farther away is where it goes on."""

    target: Target
    index: int
    now: Sample
    trial: Image
    asked: dict[str, float] = field(default_factory=dict)
    """rise of each wanted property that the trial was predicted to bring"""
    gain: float = 1.0
    """what came, by that predicted"""
    part: float = PART
    seen: set[str] = field(default_factory=set)
    simulated: bool = False

    @property
    def met(self) -> bool:
        """Whether a simulation says so."""
        return self.simulated and self.target.met(self.now.values)


class GradientGenerator:
    """A structure for each candidate wanted, moved in up to `STEPS` simulations."""

    needs_model: ClassVar[bool] = False

    def __init__(self, tools: Tools) -> None:
        self.tools, self.lookup = tools, LookupGenerator(tools)

    def fit(self, known: Known) -> None:
        """Take the simulated samples to start from."""
        self.lookup.fit(known)

    def propose(self, wanted: Wanted, known: Known, seed: Sequence[int]) -> Pool:
        """A row for each structure, with what physics said of it."""
        runs = [run for index in range(len(wanted)) for run in self._starts(wanted, index, known, seed)]
        for step in range(STEPS):
            going = [run for run in runs if not run.met]
            for run in going:
                if set(run.target.intervals) <= set(run.now.values):
                    self._move(run, known)
            for run, result in zip(going, self.tools.simulate([run.trial for run in going]), strict=True):
                found = None if result is None else self._sample(run.trial, result)
                if found is not None and set(run.target.intervals) <= set(found.values):
                    self._learn(run, found)
                elif not run.simulated:
                    runs = [other for other in runs if other is not run]
            self.tools.progress(step + 1, STEPS)
        return joined([self._row(run) for run in runs]) if runs else EMPTY

    def _starts(self, wanted: Wanted, index: int, known: Known, seed: Sequence[int]) -> list[Run]:
        """As many structures as wanted that differ from each other and from designs: known ones, or else fresh ones."""
        target, count = wanted[index]
        reference, runs = list(known.designs.get(target.name, ())), list[Run]()
        for sample in self.lookup.nearest(target):
            if len(runs) == count:
                return runs
            if reference and aligned_distance(sample.image, np.stack(reference)).min() < self.tools.min_distance:
                continue
            reference.append(sample.image)
            runs.append(Run(target, index, sample, sample.image))
        from simulators import generate

        fresh = generate(count - len(runs), self.tools.grid[-1], np.random.SeedSequence([*seed, index]))
        return [*runs, *(Run(target, index, Sample(image, {}, {}), image) for image in fresh)]

    def _sample(self, image: Image, result: Result) -> Sample:
        """What a simulation found."""
        material = self.tools.material
        rate = {n: log_contrast(material, n) * image.size * s for n, s in result.sensitivity.items()}
        return Sample(image, {**result.values, FRACTION.name: float((image == 1).mean())}, rate)

    def _move(self, run: Run, known: Known) -> None:
        """The next trial: where one step leads, if the sensitivities are right."""
        image, boundary, n = run.now.image, self.tools.boundary, run.now.image.size
        gap = {name: float(g) for name, g in gaps(run.target, run.now.values, self.tools.inversion).items()}
        names = [name for name in gap if gap[name] or _closed(name, run.target)]
        rates = np.array([self._rate(run, name) for name in names]).reshape(len(names), *image.shape)
        aim = np.array([gap[name] for name in names])
        phi = level(image, boundary)
        speed = self._speed(aim, rates, phi) if aim.any() else -phi
        turns = (speed > 0) != (image == 1)
        alone = np.abs(rates).max(axis=0, initial=0) / n
        quiet = turns & (alone <= max(run.part * np.abs(aim).max(initial=0), SMALL))
        turns = quiet if quiet.any() else turns
        when = np.where(turns, np.abs(phi) / np.maximum(np.abs(speed), 1e-300), np.inf)
        order = np.argsort(when, axis=None, kind="stable")[: max(1, min(round(MOST * n), int(turns.sum())))]
        sign = np.where(image.ravel()[order] == 1, -1, 1)
        rise = np.cumsum(sign * rates.reshape(len(names), n)[:, order], axis=1) / n
        flips = int(np.argmin(((aim[:, None] - rise) ** 2).sum(axis=0))) + 1
        while True:
            trial = image.copy()
            trial.ravel()[order[:flips]] ^= 1
            key = canonical_hash(trial, boundary)
            if flips == len(order) or not (key in known.tried or key in run.seen):
                break
            flips += 1
        run.seen.add(key)
        run.trial, run.asked = trial, dict(zip(names, rise[:, flips - 1].tolist(), strict=True))

    def _rate(self, run: Run, name: str) -> NDArray[np.float64]:
        """What flipping all pixels to label 1 that are like one would add to a property, (*grid)."""
        if name not in run.now.rate:
            return np.full(run.now.image.shape, 1.0 if name == FRACTION.name else run.gain * self.lookup.slopes[name])
        return smooth(run.gain * run.now.rate[name], NEXT, self.tools.boundary)

    def _speed(
        self, gap: NDArray[np.float64], rates: NDArray[np.float64], phi: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """By how much the level rises in each pixel: the filtered rates, so weighted that all gaps close together."""
        filtered = np.stack([smooth(rate, RADIUS, self.tools.boundary) for rate in rates]).reshape(len(gap), -1)
        weight = np.exp(-0.5 * (phi / BAND) ** 2).ravel()
        gram = (filtered * weight) @ filtered.T / weight.sum()
        gram += (1e-3 * np.trace(gram) / len(gap) + 1e-12) * np.eye(len(gap))
        return (np.linalg.solve(gram, gap) @ filtered).reshape(phi.shape)

    def _learn(self, run: Run, found: Sample) -> None:
        """Take what a simulation found, and how it compares with what was asked; go back if it is farther away."""
        names = [name for name in run.asked if name != FRACTION.name]
        asked = np.array([run.asked[name] for name in names])
        if asked.any():
            came = np.array([scaled(name, found.values[name]) - scaled(name, run.now.values[name]) for name in names])
            run.gain *= float(np.clip(came @ asked / (asked @ asked), 0.5, 2.0))
        if run.simulated and not run.target.met(found.values):
            before, after = (
                float(distance(gaps(run.target, s.values, self.tools.inversion))) for s in (run.now, found)
            )
            if after > before:
                run.part *= SHRINK
                return
        run.now, run.simulated, run.part = found, True, PART

    def _row(self, run: Run) -> Pool:
        image, names = run.now.image, self.tools.material.names
        grey = ranked(level(image, self.tools.boundary), int((image == 1).sum()))
        predicted = np.array([[run.now.values.get(name, math.nan) for name in names]])
        miss = float(distance(gaps(run.target, run.now.values, self.tools.inversion)))
        return Pool(grey[None], predicted, names, np.array([miss]), np.array([run.index]))


def _closed(name: str, target: Target) -> bool:
    """Whether an interval ends at both sides: one that is open to a side, and kept, need not be held where it is."""
    low, high = target.intervals[name]
    return high < math.inf and low > (0 if row_of(name).log or name == FRACTION.name else -math.inf)
