"""Candidates: from a generator and targets to proposed images, and what is known of each."""

import dataclasses
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from janus_al.material import Boundary
from janus_al.properties import row_of
from janus_al.samples import content_hash
from loop.design.bias import Bias
from loop.design.cut import first_count
from loop.design.doors import guarded
from loop.design.generators import Generator
from loop.design.geometry import shaped
from loop.design.pool import EMPTY, Image, Known, Pool, Wanted, check_pool
from loop.design.select import Rules, select
from loop.design.targets import Interval, Target, interval


@dataclass(frozen=True)
class Trial:
    """One simulated image of a candidate.

    Attributes:
        image: labels.
        properties: as in JSON.
        sensitivity: see `Result`.
        latent: the vector of whose decode it is the cut, or nearly, if it is one.
    """

    image: Image
    properties: Mapping[str, float]
    sensitivity: Mapping[str, NDArray[np.floating]]
    latent: NDArray[np.float32] | None = None


@dataclass
class Candidate:
    """A proposal on its way to a design: the generator's grey field, and what was simulated of it so far."""

    target: Target
    probe: bool
    field: NDArray[np.float32]
    predicted: Mapping[str, float]
    latent: NDArray[np.float32] | None = None
    """the vector that was decoded into the field, or nearly, where the generator has one"""
    boundary: Boundary = "dirichlet"
    interval: Mapping[str, Interval] = dataclasses.field(default_factory=dict)
    """between what each property of the first shot will lie, as far as the past can say"""
    p_hit: float | None = None
    """chance that the first shot meets the target, as far as the past can say"""
    source: str = ""
    """who proposed it, where the generator has several that do"""
    bias: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """what was added to what the generator predicted, by property; see `loop.design.bias`"""
    trials: list[Trial] = dataclasses.field(default_factory=list)
    best: int = 0
    """which trial is nearest to the target"""
    verdict: str | None = None
    """of the verification, if there was one: confirmed, refuted or undecided"""
    reason: str = ""
    """why it was not confirmed"""

    @property
    def met(self) -> bool:
        """Whether the best trial meets the target."""
        return bool(self.trials) and self.target.met(self.trials[self.best].properties)

    @property
    def error(self) -> float | None:
        """Of the first shot, by simulation; None where there is none, or its physics failed."""
        error = self.target.error(self.trials[0].properties) if self.trials else math.nan
        return None if math.isnan(error) else error

    @property
    def score(self) -> float:
        """See `Target.score`, of what it has become."""
        return self.target.score(self.trials[self.best].properties) if self.trials else -math.inf

    @property
    def image(self) -> Image:
        """The best image simulated, or the first to be."""
        if self.trials:
            return self.trials[self.best].image
        return shaped(self.field, first_count(self.field, self.target), self.target, self.boundary)


def propose(
    generator: Generator, wanted: Wanted, known: Known, rules: Rules, seed: Sequence[int]
) -> tuple[list[Candidate], Counter[str]]:
    """Candidates for each target, as many as wanted at most; and how many others fell by which rule.

    Raises:
        DoorError: the generator or the acquisition fails, or gives what cannot be used.
    """
    pool = _pool(generator, wanted, known, rules.boundary, seed)
    rows, passed_over = select(pool, wanted, known, rules, seed)
    found = [_candidate(pool, row, wanted, rules.boundary) for row in rows]
    return [dataclasses.replace(c, bias=known.bias.shifts.get(c.target.name, {})) for c in found], passed_over


def answer(
    generator: Generator, targets: Sequence[Target], known: Known, boundary: Boundary, seed: Sequence[int]
) -> list[Candidate]:
    """The generator's best for each target, whatever is known, with no bias taken off.

    How it answers a question is what a probe measures.
    """
    wanted = [(target, 1) for target in targets]
    pool = _pool(generator, wanted, dataclasses.replace(known, bias=Bias()), boundary, seed)
    rows = [np.flatnonzero(pool.target == index) for index in range(len(targets))]
    best = [own[np.argmin(pool.miss[own])] for own in rows if len(own)]
    return [dataclasses.replace(_candidate(pool, row, wanted, boundary), probe=True) for row in best]


def _pool(generator: Generator, wanted: Wanted, known: Known, boundary: Boundary, seed: Sequence[int]) -> Pool:
    if not wanted:
        return EMPTY
    with guarded("generator", generator):
        pool = generator.propose([(known.bias.aimed(target), count) for target, count in wanted], known, seed)
        check_pool(pool, wanted)
    names = [wanted[index][0].name for index in pool.target]
    pool = dataclasses.replace(pool, predicted=known.bias.corrected(pool.predicted, pool.names, names))
    return pool.foretold(wanted, known.past, boundary, known.likeness)


def _candidate(pool: Pool, row: int, wanted: Wanted, boundary: Boundary) -> Candidate:
    chance = math.nan if pool.p_hit is None else float(pool.p_hit[row])
    latent = None if pool.latent is None or np.isnan(pool.latent[row]).any() else pool.latent[row]
    return Candidate(
        target=wanted[pool.target[row]][0],
        probe=False,
        field=pool.field[row],
        predicted={n: v for n, v in zip(pool.names, pool.predicted[row].tolist(), strict=True) if math.isfinite(v)},
        latent=latent,
        boundary=boundary,
        interval=pool.interval(row),
        p_hit=None if math.isnan(chance) else chance,
        source="" if pool.source is None else str(pool.source[row]),
    )


def probe_targets(ranges: Mapping[str, tuple[float, float]], count: int) -> list[Target]:
    """Values evenly spread over the ranges of properties, of each one above 0 in turn."""
    targets, names = [], [name for name, (low, _) in ranges.items() if row_of(name).log and low > 0]
    for index in range(count if names else 0):
        name = names[index % len(names)]
        low, high = ranges[name]
        value = low + (high - low) * (index + 0.5) / count
        targets.append(Target("probe", {name: interval(name, value, tolerance=0.01)}))
    return targets


def prediction(candidate: Candidate) -> dict[str, object]:
    """What was known of a candidate before it was paid for, as JSON."""
    interval = {name: list(ends) for name, ends in candidate.interval.items()}
    told: dict[str, object] = {"predicted": dict(candidate.predicted), "interval": interval, "p_hit": candidate.p_hit}
    more = {"source": candidate.source, "bias": dict(candidate.bias)}
    return told | {name: value for name, value in more.items() if value}


def table_row(candidate: Candidate) -> dict[str, object]:
    """A simulated candidate as JSON."""
    return {
        "target": candidate.target.name,
        "wanted": candidate.target.wanted(),
        **prediction(candidate),
        "first_shot": dict(candidate.trials[0].properties),
        "final": dict(candidate.trials[candidate.best].properties),
        "error": candidate.error,
        "hash": content_hash(candidate.trials[candidate.best].image),
        "trials": [content_hash(trial.image) for trial in candidate.trials],
        "simulations": len(candidate.trials),
        "met": candidate.met,
        "verdict": candidate.verdict,
        "reason": candidate.reason,
    }
