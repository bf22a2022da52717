"""Second thoughts: what a network says of flips before they are paid for.

Sensitivities are of small changes, and flips are not; a network has an opinion of any image. Put right by what physics
said of the best trial, in value and in sensitivity, it agrees with physics there to first order, and foretells what
flips bring beyond that (trust-region model management, Alexandrov et al. 1998). So a candidate is refined by this
opinion as it would be by physics, and what comes of it is simulated next, for as long as opinions are not far off
themselves, and more steps are foretold better than sensitivities promise them.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from janus_al.aims import aimed_at
from janus_al.inversion import InversionConfig
from janus_al.properties import row_of
from loop.design.candidates import Candidate, Trial
from loop.design.pool import Image, changes
from loop.design.step import Way, rate_of
from loop.design.targets import Target
from simulators import Result

if TYPE_CHECKING:
    from loop.design.refine import Lessons, Refinement, Run

Opinion = Callable[[Sequence[Image]], Sequence[Result | None]]
"""what a network thinks of images, as if it had simulated them; None where it does not know"""
NEAR = 0.05
"""by how much opinions may be off at the bases, in the median, to be heard of what is near them"""
LISTENED = 0.55
"""part of the steps that it must have foretold better than they were promised, to be asked of the next"""


def narrow(target: Target, config: InversionConfig) -> Target:
    """A target as inversions aim at it; the most or least of a quantity is left to physics."""
    ends = {n: aimed_at(goal, config).tolist() for n, goal in target.goal.items() if n not in target.best}
    return replace(target, intervals={n: (low, high) for n, (low, high) in ends.items()}, aims={}, best={})


def think_twice(runs: Sequence["Run"], how: "Refinement", lessons: "Lessons") -> None:
    """Let the generator's network say to what image each run's flips should lead instead, if it is listened to."""
    asked = how.opinions and how.inversion.aim_steps > 0
    if not runs or not asked or np.mean(lessons.nearer or [True]) < LISTENED:
        return
    opinion: Opinion | None = getattr(how.generator(), "opinion", None)
    if opinion is None:
        return
    heard = []
    for run in [run for run in runs if not run.candidate.target.best]:
        before, flipped = opinion([run.base.image, run.image])
        if before is not None and flipped is not None:
            heard.append((run, before, flipped))
            lessons.off.append(off_by(before, run.base, run.promised))
    if lessons.off and np.median(lessons.off) <= NEAR:
        for run, before, flipped in heard:
            _reconsider(run, how, opinion, before, flipped)


def _reconsider(run: "Run", how: "Refinement", opinion: Opinion, before: Result, flipped: Result) -> None:
    from loop.design.refine import like_enough, refine

    base = run.base

    def foretold(images: Sequence[Image]) -> list[Result | None]:
        return [None if found is None else put_right(found, before, base) for found in opinion(images)]

    aim = narrow(run.candidate.target, how.inversion)
    field = base.image.astype(np.float32)
    thought = Candidate(aim, False, field, {}, boundary=how.material.boundary, trials=[base])
    by_opinion = replace(how, steps=how.inversion.aim_steps, generator=lambda: None)
    refine([thought], foretold, by_opinion)
    image, told = run.image, dict(put_right(flipped, before, base).values)
    near = 0 < (thought.image != base.image).mean() <= run.reach
    if near and thought.image.tobytes() not in run.seen and like_enough(aim, thought.image, how):
        image, told = thought.image, dict(thought.trials[thought.best].properties)
        rates = {name: rate_of(name, base, Way(how.material, how.inversion)) for name in run.promised}
        flips = image.astype(float) - base.image
        run.promised = {name: float((rate * flips).sum()) for name, rate in rates.items() if rate is not None}
    run.image, run.foretold = image, changes(run.promised, base.properties, told)


def off_by(before: Result, base: Trial, names: Iterable[str]) -> float:
    """How far an opinion is from what physics said of a base, in the quantity where it is worst."""
    return max((abs(change) for change in changes(names, before.values, base.properties).values()), default=0.0)


def put_right(found: Result, before: Result, base: Trial) -> Result:
    """An opinion after what physics said of a base, of which the opinion was `before`."""
    values, sensitivity = {}, {}
    for name, value in found.values.items():
        if name in base.properties:
            own, was = base.properties[name], before.values[name]
            values[name] = value * own / was if row_of(name).log else value + own - was
        if name in base.sensitivity and name in found.sensitivity:
            sensitivity[name] = base.sensitivity[name] + found.sensitivity[name] - before.sensitivity[name]
    return Result(values, sensitivity=sensitivity)
