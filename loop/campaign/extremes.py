"""The most or the least of a quantity: where a campaign looks for it, when it has it, and which candidates are designs.

Candidates that meet all else are kept from round to round, and none is a design until the search ends: when a round
no longer betters the best by `loop.improvement`, when the best is within `loop.near` of the exact limit, or when the
budget ends. Then the best that differ are. All of it follows from the journal and the round's own candidates.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from janus_al.properties import FRACTION
from janus_al.quantities import quantity
from janus_al.samples import Samples
from loop.design.candidates import Candidate, Trial
from loop.design.feasible import Reach, distance_to_limit
from loop.design.measures import NONE
from loop.design.pool import Image
from loop.design.targets import Target

PART = 0.9
"""of the way from the best known to the limit, where what generators aim at begins: least kxx at half of each phase by
24 first shots of `janus-32` from 0.1, 1/3, 2/3, 0.95 of it: 0.225, 0.210, 0.201, 0.192 (limit 0.182)"""
BEYOND = 0.05
"""by how much of it the best known is to be surpassed where no limit is known"""


@dataclass(frozen=True)
class Search:
    """When a search ends.

    Attributes:
        improvement: relative gain of a round below which no other follows.
        near: relative distance to the limit that is as good as there.
    """

    improvement: float
    near: float


def best_of(target: Target, rows: Sequence[Mapping[str, Any]]) -> float | None:
    """The best value among rows of candidate tables that meet a target; None where none does."""
    (name, way), *_ = target.best.items()
    values = [quantity(name).of(row["final"]) for row in rows if row["target"] == target.name and row["met"]]
    return max((float(v) for v in values if math.isfinite(v)), key=lambda v: way * v, default=None)


def ended(before: float | None, now: float | None, target: Target, limit: float, search: Search) -> str:
    """Why a search ends after a round, in words; empty if it goes on.

    Args:
        before: the best before the round; None if there was none.
        now: the best after it.
        target: what is asked.
        limit: of the quantity; NaN if it is not known.
        search: when it ends.
    """
    ((name, way),) = target.best.items()
    if now is None:
        return ""
    if distance(now, limit) <= search.near:
        return f"{name} = {now:.4g} is within {100 * search.near:g} % of the limit, {limit:.4g}"
    if before is not None and way * (now - before) < search.improvement * abs(before):
        return f"{name} = {now:.4g} was bettered by less than {100 * search.improvement:g} % in a round"
    return ""


def distance(value: float | None, limit: float) -> float:
    """Relative distance of a value to its limit; infinite where either is unknown."""
    if value is None or not value or not math.isfinite(limit):
        return math.inf
    return max(abs(limit / value - 1), 0.0)


def to_limit(
    target: Target, values: Mapping[str, float], reach: Reach, between: Mapping[str, Sequence[float]]
) -> float | None:
    """Relative distance of an image to what is possible: of what a target wants the best of, to its limit.

    Of other targets that of the nearest of its properties to the ends that they could have, all others being as they
    are (`loop.design.feasible.to_limits`).
    """
    for name, limit in reach.best.items():
        found = distance(float(quantity(name).of(values)), limit)
        return found if math.isfinite(found) else None
    return distance_to_limit(values, between)


def ranked(
    target: Target,
    rounds: Sequence[Mapping[str, Any]],
    candidates: Sequence[Candidate],
    image_of: Callable[[str], Image],
) -> list[Candidate]:
    """All candidates for a target so far that meet it, the best first; those of earlier rounds as they ended.

    Args:
        target: one of the campaign's.
        rounds: events of earlier rounds.
        candidates: of the last one.
        image_of: a simulated image by its hash.
    """
    known = [c for c in candidates if c.target is target and c.met]
    for event in rounds:
        designs = {design["hash"] for design in event["designs"]}
        for row in event["candidates_table"]:
            if row["target"] == target.name and row["met"] and row["hash"] not in designs:
                image = image_of(row["hash"])
                trial = Trial(image, row["final"], {})
                field = image.astype(np.float32)
                known.append(Candidate(target, probe=False, field=field, predicted=row["predicted"], trials=[trial]))
    return sorted(known, key=lambda c: -c.score)


def aimed(target: Target, known: Samples | None, limit: float) -> Target:
    """The target with an interval to aim at: from nine tenths of the way between the best known and the limit, to this.

    The best known is that of the samples that meet all else; without any, a tenth from the limit. On the scale on which
    the quantity is learned.
    """
    for name, way in target.best.items():
        q, values = quantity(name), _known_values(target, name, known)
        best = max(values, key=lambda v: way * v, default=math.nan)
        if math.isnan(best):
            best = limit - 0.1 * way * abs(limit)
        if not math.isfinite(limit):
            ends = best + way * BEYOND * abs(best), way * math.inf
        else:
            a, b = float(q.scaled(best)), float(q.scaled(limit))
            start = a + PART * (b - a)
            ends = (math.exp(start) if q.log else start), limit
        if math.isfinite(ends[0]):
            low = q.lowest if way < 0 and math.isinf(ends[1]) else min(ends)
            target = replace(target, aims={name: (low, max(ends))})
    return target


def _known_values(target: Target, name: str, known: Samples | None) -> list[float]:
    if known is None or not set(target.properties) <= set(known.names):
        return []
    columns = {p: known.column(p)[known.simulated] for p in {*target.properties, FRACTION.name}}
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    plain = replace(target, geometry=NONE)
    values = [float(quantity(name).of(row)) for row in rows if plain.met(row)]
    return [v for v in values if math.isfinite(v)]
