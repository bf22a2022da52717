"""Candidates that came near a target and are no designs, and which rule they fell by."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from loop.campaign.campaign import Campaign
from loop.campaign.journal import Event
from loop.design.measures import MEASURES
from loop.design.select import aligned_distance
from loop.design.targets import Target
from loop.output.intervals import Asked, asked

SHOWN = 6
"""of each target, the nearest"""


@dataclass(frozen=True, eq=False)
class Miss:
    """A candidate that is no design.

    Attributes:
        round: it was simulated in.
        simulations: it took.
        hash: of its best image.
        image: labels.
        asked: what its target asks for, as it has it.
        rule: it fell by: missed, geometry, refuted, undecided, too similar, outdone, one too many.
        why: in words.
    """

    round: int
    simulations: int
    hash: str
    image: NDArray[np.uint8]
    asked: list[Asked]
    rule: str
    why: str


def near_misses(campaign: Campaign) -> dict[str, tuple[list[Miss], int]]:
    """Of each target the nearest misses, and how many more there are."""
    rows: dict[str, dict[str, tuple[int, Event]]] = {target.name: {} for target in campaign.targets}
    designs = campaign.designs()
    done = {(d["target"], d["hash"]) for d in designs}
    for event in campaign.journal.of("round"):
        for row in event["candidates_table"]:
            if row["target"] in rows and (row["target"], row["hash"]) not in done:
                rows[row["target"]][row["hash"]] = event["round"], row
    found = {}
    for target in campaign.targets:
        own = [d for d in designs if d["target"] == target.name]
        told = {key: _told(campaign, target, row) for key, (_, row) in rows[target.name].items()}
        nearest = sorted(told, key=lambda key: _far(target, rows[target.name][key][1], told[key]))[:SHOWN]
        misses = [_miss(campaign, target, own, *rows[target.name][key], told[key]) for key in nearest]
        found[target.name] = misses, len(told) - len(misses)
    return found


def _told(campaign: Campaign, target: Target, row: Event) -> list[Asked]:
    return asked(target, _final(row), {}, campaign.material)


def _final(row: Event) -> Event:
    return row["final"] if "final" in row else row["first_shot"]


def _far(target: Target, row: Event, told: list[Asked]) -> tuple[float, float]:
    """What is smaller the nearer a candidate came: what met its target first, of that the best."""
    return max((a.off for a in told), default=math.inf), -target.score(_final(row))


def _miss(campaign: Campaign, target: Target, designs: list[Event], number: int, row: Event, told: list[Asked]) -> Miss:
    rule, why = _fell(campaign, target, designs, row, told)
    return Miss(number, row["simulations"], row["hash"], campaign.ledger.image(row["hash"]), told, rule, why)


def _fell(campaign: Campaign, target: Target, designs: list[Event], row: Event, told: list[Asked]) -> tuple[str, str]:
    """The rule by which a candidate fell, and why, in words."""
    if row.get("verdict") in ("refuted", "undecided"):
        return row["verdict"], row.get("reason") or "its certified interval does not decide"
    missed = [a for a in told if not a.met]
    if missed:
        worst = max(missed, key=lambda a: a.off)
        shape = all(a.name in MEASURES for a in missed)
        return "geometry" if shape else "missed", _words(worst)
    if target.best and len(designs) >= target.designs:
        return "outdone", f"{designs[0]['name']} was found, with as much or more of what is sought"
    if designs:
        images = np.stack([campaign.ledger.image(d["hash"]) for d in designs])
        apart = aligned_distance(campaign.ledger.image(row["hash"]), images)
        least, nearest = float(apart.min()), designs[int(apart.argmin())]["name"]
        if least < campaign.config.loop.min_distance:
            needed = f"{campaign.config.loop.min_distance:.1%} are needed"
            return "too similar", f"differs from {nearest} in {least:.1%} of its pixels where {needed}"
    if target.best:
        return "outdone", "the search for the best goes on, or ended with others"
    return "one too many", "it meets the target; all designs wanted were there already"


def _words(a: Asked) -> str:
    if math.isnan(a.value):
        return f"{a.name} is not known"
    if a.name in MEASURES:
        return f"{a.name} {a.shown}, wanted {a.words}"
    side = "below" if a.value < a.wanted[0] else "above"
    end = a.wanted[0] if side == "below" else a.wanted[1]
    sure = "; the certified interval says so" if a.outside else "; its interval reaches in" if a.ends else ""
    return f"{a.name} {a.value:.4g} is {a.off:.1%} {side} {end:.4g}{sure}"
