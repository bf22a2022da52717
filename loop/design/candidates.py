"""Candidates: from a model and targets to proposed images, and from these to simulated ones."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from janus_al.inversion import InversionConfig, invert
from janus_al.material import Boundary, Material
from janus_al.networks.janus import Janus
from janus_al.properties import FRACTION, row_of
from janus_al.samples import content_hash
from loop.design.cut import Trial, cut, first_count, next_count
from loop.design.select import select
from loop.design.targets import Limits, Target, interval
from simulators import Result

Image = NDArray[np.uint8]
TABLES = {"": "values", "_fv": "plain", "_lower": "lower", "_upper": "upper"}
"""ends of a property's names in JSON, and the tables of a `Result`"""


@dataclass
class Candidate:
    """A proposal on its way to a design: the decoder's grey field and the cuts of it simulated so far."""

    target: Target
    probe: bool
    field: NDArray[np.float32]
    predicted: Mapping[str, float]
    trials: list[Trial] = dataclasses.field(default_factory=list)
    verdict: str | None = None
    """of the verification, if there was one: confirmed, refuted or undecided"""
    reason: str = ""
    """why it was not confirmed"""

    @property
    def met(self) -> bool:
        """Whether the last cut meets the target."""
        return bool(self.trials) and self.target.met(self.trials[-1].properties)

    @property
    def image(self) -> Image:
        """The last cut simulated, or the first to be."""
        return cut(self.field, self.trials[-1].count if self.trials else first_count(self.field, self.target))


def propose(
    model: Janus,
    wanted: Sequence[tuple[Target, int]],
    probes: Sequence[Target],
    seed: Sequence[int],
    config: InversionConfig,
    swarm: int,
    known: Collection[str],
    chosen: Mapping[str, Sequence[Image]],
    limits: Limits,
    min_distance: float,
    boundary: Boundary,
    progress: Callable[[int, int], None] = lambda step, steps: None,
    passed_over: Counter[str] | None = None,
) -> list[Candidate]:
    """Candidates for each target, chosen from `swarm` times as many inversions, then one for each probe.

    Args:
        wanted: targets with the number of candidates for each, at most.
        known: canonical hashes of everything ever simulated.
        chosen: by target name, images from which its candidates must differ.
        min_distance: part of the pixels by which they must.
        passed_over: is told by which rule inversions fell.
    """
    members = [t for t, count in wanted for _ in range(swarm * count)]
    targets = [*members, *probes]
    found = invert(model, [t.intervals for t in targets], seed, config, progress)
    images = np.stack([cut(f, first_count(f, t)) for f, t in zip(found.field, targets, strict=True)])
    rows: list[int] = []
    first = 0
    for target, count in wanted:
        own = np.arange(first, first + swarm * count)
        first += swarm * count
        best = select(
            images[own],
            found.predicted[own],
            found.names,
            found.miss[own],
            count,
            known,
            chosen.get(target.name, ()),
            limits,
            min_distance,
            boundary,
            passed_over,
        )
        rows += own[best].tolist()
    return [
        Candidate(
            target=targets[row],
            probe=row >= len(members),
            field=found.field[row],
            predicted=dict(zip(found.names, found.predicted[row].tolist(), strict=True)),
        )
        for row in [*rows, *range(len(members), len(targets))]
    ]


def shoot(
    candidates: Sequence[Candidate],
    simulate: Callable[[list[Image]], Sequence[Result | None]],
    material: Material,
    cut_steps: int,
) -> None:
    """Simulate the first shots of all candidates, then move the cuts of those that miss, probes excepted.

    A candidate that `simulate` answers with None goes no further.
    """
    going = [(c, first_count(c.field, c.target)) for c in candidates]
    for _ in range(1 + cut_steps):
        images = [cut(c.field, count) for c, count in going]
        after = []
        for (candidate, count), image, result in zip(going, images, simulate(images), strict=True):
            if result is None:
                continue
            candidate.trials.append(Trial(count, properties_of(result, image), result.sensitivity))
            following = None
            if not candidate.probe:
                following = next_count(candidate.field, candidate.trials, candidate.target, material)
            if following is not None:
                after.append((candidate, following))
        going = after


def probe_targets(ranges: Mapping[str, tuple[float, float]], count: int) -> list[Target]:
    """Values evenly spread over the ranges of properties, of each one above 0 in turn."""
    targets, names = [], [name for name, (low, _) in ranges.items() if row_of(name).log and low > 0]
    for index in range(count if names else 0):
        name = names[index % len(names)]
        low, high = ranges[name]
        value = low + (high - low) * (index + 0.5) / count
        targets.append(Target("probe", {name: interval(name, value, tolerance=0.01)}))
    return targets


def properties_of(result: Result, image: NDArray[np.integer]) -> dict[str, float]:
    """Values and bounds by name, as they stand in JSON."""
    found = {
        name + end: float(getattr(result, table)[name])
        for name in result.values
        for end, table in TABLES.items()
        if name in getattr(result, table)
    }
    return {**found, FRACTION.name: float(np.mean(np.asarray(image) == 1))}


def table_row(candidate: Candidate) -> dict[str, object]:
    """A simulated candidate as JSON."""
    return {
        "target": candidate.target.name,
        "wanted": candidate.target.wanted(),
        "predicted": dict(candidate.predicted),
        "first_shot": dict(candidate.trials[0].properties),
        "final": dict(candidate.trials[-1].properties),
        "error": candidate.target.error(candidate.trials[0].properties),
        "hash": content_hash(candidate.image),
        "simulations": len(candidate.trials),
        "met": candidate.met,
        "verdict": candidate.verdict,
        "reason": candidate.reason,
    }
