"""Refinement: each simulation of a candidate corrects the next, until it meets its target.

    first shot -> simulate -> flips along sensitivities | corrected goal -> simulate -> ... -> the best trial

*Flips*: pixels near the interface of the best trial are turned over, so many and such that their simulated
sensitivities, times what flips brought before beside what was predicted, close all gaps together (`loop.design.step`).
A property without sensitivities but with a known trend counts as if all pixels were alike: then a step moves the cut.
*Corrected goal*, where a gap's quantity has no sensitivities and the generator has a network, or where flips lead
nowhere: what its prediction was wrong by is added to it, and it proposes again near where it was (space mapping,
Bandler et al. 1994; trust-region model management, Alexandrov et al. 1998).
*Second thoughts* are a network's, of flips before they are paid for (`loop.design.thinking`). What each is worth:
docs/results/refinement.md.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from janus_al.inversion import InversionConfig
from janus_al.likeness import Likeness
from janus_al.material import Material
from janus_al.properties import FRACTION
from janus_al.quantities import quantity
from loop.design.candidates import Candidate, Trial
from loop.design.cut import first_count
from loop.design.geometry import shaped
from loop.design.measures import properties_of
from loop.design.pool import Image, Shot, changes, distance, gaps
from loop.design.step import CAUTION, REACH, Way, gaps_of, map_of, step
from loop.design.targets import Target
from loop.design.thinking import think_twice
from simulators import Result

Simulate = Callable[[list[Image]], Sequence[Result | None]]
OWN = 0.7
"""weight, on a log scale, of what a candidate's own last flips brought against what those of all have brought"""
GAINS = (0.3, 3.0)
"""between what the ratio of what came to what was predicted is believed"""
RAISE = 3.0
"""times this caution after a step that did not help"""
PARTS = (1.0, 0.5, 0.25)
"""of a step's reach, tried in turn where a target wants a likeness that the step would lose"""
IDLE = 8
"""steps without a gain after which the most or least of a quantity is not looked for any longer"""


@dataclass(frozen=True)
class Refinement:
    """How to refine.

    Attributes:
        material: of the images.
        steps: simulations of a candidate after its first, at most.
        best_steps: the same where the most or least of a quantity is asked for.
        inversion: how close to the middle of an interval to aim.
        generator: makes that of the candidates, which may have corrected goals and opinions; asked only where needed.
        likeness: the class that designs are compared with, where one is known.
        opinions: whether it has any; where not, it is not made to be asked for them.
    """

    material: Material
    steps: int
    best_steps: int = 40
    inversion: InversionConfig = field(default_factory=InversionConfig)
    generator: Callable[[], Any] = lambda: None
    likeness: Likeness | None = None
    opinions: bool = True


@dataclass
class Run:
    """A candidate under way: what it simulates next, and what its flips have taught."""

    candidate: Candidate
    image: Image
    latent: NDArray[np.float32] | None
    promised: Mapping[str, float] = field(default_factory=dict)
    """changes that the flips to the next image bring to the best trial if sensitivities are right"""
    expected: float = 1.0
    """what is thought that they bring, by that"""
    foretold: Mapping[str, float] | None = None
    """the changes that a network foretells"""
    gain: float | None = None
    """what its last flips brought, by that"""
    caution: float = CAUTION
    reach: float = REACH
    seen: set[bytes] = field(default_factory=set)

    @property
    def base(self) -> Trial:
        """The trial from which it goes on."""
        return self.candidate.trials[self.candidate.best]


@dataclass
class Lessons:
    """What flips have taught all candidates.

    Attributes:
        gains: what each step brought, by what was promised.
        nearer: of each step of which a network foretold something, whether that was nearer to what came.
        off: how far a network's opinion was from what physics said of the trial from which a step went on.
    """

    gains: list[float] = field(default_factory=lambda: [1.0])
    nearer: list[bool] = field(default_factory=list)
    off: list[float] = field(default_factory=list)


def refine(candidates: Sequence[Candidate], simulate: Simulate, how: Refinement) -> None:
    """Simulate the first shots of all candidates, then refine those that miss, probes excepted.

    A candidate that `simulate` answers with None goes no further; one that has trials goes on from the best of them.
    """
    known = [Run(c, c.image, None, seen={t.image.tobytes() for t in c.trials}) for c in candidates if c.trials]
    going = [Run(c, c.image, c.latent) for c in candidates if not c.trials]
    lessons = Lessons()
    while going or known:
        going, known = [*known, *_simulated(going, simulate, lessons, how)], []
        going = [run for run in going if not _finished(run.candidate, how)]
        flips = [run for run in going if _sensitive(run, how) and _flip(run, how, lessons)]
        think_twice(flips, how, lessons)
        others = [run for run in going if not any(run is other for other in flips)]
        corrected = _correct([run for run in others if run.base.latent is not None], how)
        others = [run for run in others if not any(run is other for other in corrected)]
        going = [*flips, *corrected, *(run for run in others if not _sensitive(run, how) and _flip(run, how, lessons))]


def rank(target: Target, properties: Mapping[str, float]) -> tuple[float, float]:
    """What is smaller the better: how far outside the intervals, then how far from the extreme."""
    far = float(distance(gaps(target, properties, None)))
    best = sum(-way * float(quantity(n).scaled(quantity(n).of(properties))) for n, way in target.best.items())
    return (np.inf if np.isnan(far) else far), best


def _finished(candidate: Candidate, how: Refinement) -> bool:
    """Whether nothing more is to be paid for."""
    done = len(candidate.trials) - 1
    if not candidate.target.best:
        return candidate.probe or candidate.met or done >= how.steps
    return candidate.probe or done - candidate.best >= IDLE or done >= how.best_steps


def _simulated(runs: Sequence[Run], simulate: Simulate, lessons: Lessons, how: Refinement) -> list[Run]:
    """The runs that were simulated, each with its trial."""
    results = simulate([run.image for run in runs]) if runs else []
    found = [(run, result) for run, result in zip(runs, results, strict=True) if result is not None]
    for run, result in found:
        c = run.candidate
        properties = properties_of(result, run.image, c.target.geometry, how.likeness)
        run.seen.add(run.image.tobytes())
        _learn(run, properties, lessons)
        c.reason = ""
        c.trials.append(Trial(run.image, properties, result.sensitivity, run.latent))
        if len(c.trials) == 1 or rank(c.target, properties) < rank(c.target, run.base.properties):
            c.best, run.caution, run.reach = len(c.trials) - 1, CAUTION, min(1.5 * run.reach, REACH)
        else:
            run.caution, run.reach = run.caution * RAISE, run.reach / 2
    return [run for run, _ in found]


def _learn(run: Run, properties: Mapping[str, float], lessons: Lessons) -> None:
    """What came of flips, beside what was promised and foretold of them."""
    if not run.promised:
        return
    promised = np.array(list(run.promised.values()))
    came = np.array(list(changes(run.promised, run.base.properties, properties).values()))
    if not promised.any() or not np.isfinite(came).all():
        return
    run.gain = float(np.clip(came @ promised / (promised @ promised), *GAINS))
    lessons.gains.append(run.gain)
    if run.foretold is not None:
        off = [np.linalg.norm(came - told) for told in (list(run.foretold.values()), run.expected * promised)]
        lessons.nearer.append(bool(off[0] <= off[1]))


def _correct(runs: Sequence[Run], how: Refinement) -> list[Run]:
    """Those of the runs for which the generator has another proposal, which is their next image."""
    corrected = getattr(how.generator(), "corrected", None) if runs else None
    if corrected is None:
        return []
    held = [(run, run.base) for run in runs]
    pool = corrected(
        [Shot(r.candidate.target, b.latent, b.image, b.properties) for r, b in held if b.latent is not None]
    )
    found = []
    for run, grey, latent in zip(runs, pool.field, pool.latent, strict=True):
        target = run.candidate.target
        image = shaped(grey, first_count(grey, target), target, how.material.boundary)
        if image.tobytes() not in run.seen and like_enough(target, image, how):
            run.image, run.latent, run.promised, run.foretold = image, latent, {}, None
            found.append(run)
    return found


def like_enough(target: Target, image: Image, how: Refinement) -> bool:
    """Whether an image is as like the class as a target asks."""
    least = target.geometry.like
    return least is None or (how.likeness is not None and how.likeness.score(image) >= least)


def _sensitive(run: Run, how: Refinement) -> bool:
    """Whether physics says of all that is to be changed what a flip brings."""
    wanted = gaps_of(run.candidate.target, run.base, how.inversion)
    return all(name == FRACTION.name or map_of(name, run.base, how.material) is not None for name in wanted)


def _flip(run: Run, how: Refinement, lessons: Lessons) -> bool:
    """Give a run the image to which flips along sensitivities lead; False where they lead nowhere.

    Where they lead out of the class that the target wants, half as many are tried, and half of these.
    """
    target, everyone = run.candidate.target, float(np.exp(np.mean(np.log(lessons.gains))))
    gain = everyone if run.gain is None else run.gain**OWN * everyone ** (1 - OWN)
    for part in PARTS:
        found = step(target, run.base, Way(how.material, how.inversion, gain, run.caution, part * run.reach))
        if found is None:
            return False
        image = shaped(found.level, int((found.level > 0).sum()), target, how.material.boundary)
        if image.tobytes() in run.seen:
            return False
        if like_enough(target, image, how):
            run.image, run.latent, run.foretold, run.expected = image, None, None, gain
            run.promised = {name: change / gain for name, change in found.promised.items() if name != FRACTION.name}
            return True
    run.candidate.reason = f"what would refine it is less like the class than {target.geometry.like:g}"
    return False
