"""Whether the next candidates for a target are worth their price: the designs that they promise for each simulation.

A candidate is a design if its first shot hits or if what follows mends it. Of the first its P(hit) speaks, put right by
what P(hit) promised for this target before and what came of it (a Gamma estimate, hits + 1 over hits promised + 1). Of
the second the target's own past speaks: of `missed` first shots `mended` became designs, so that the next does with
chance (mended + 1) / (missed + 2), a Beta estimate, in as many simulations as these took in the mean. What verification
or the other designs refused is no design, whatever its values say.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from loop.design.candidates import Candidate
from loop.design.targets import Target


@dataclass(frozen=True)
class Tried:
    """What a target's candidates took.

    Attributes:
        hits: first shots that met it.
        hit_designs: those of them that became designs.
        missed: the others.
        mended: those of these that became designs.
        steps: simulations after the first shot that the missed took, together.
        told: hits of those that had a P(hit).
        expected: hits that these promised, the sum of P(hit).
    """

    hits: int = 0
    hit_designs: int = 0
    missed: int = 0
    mended: int = 0
    steps: int = 0
    told: int = 0
    expected: float = 0.0


@dataclass(frozen=True)
class Promise:
    """Designs that are expected, in so many simulated images."""

    candidates: int
    designs: float
    simulations: float

    def worth(self, least: float) -> bool:
        """Whether it gives so many designs a simulation at least."""
        return self.designs >= least * self.simulations

    def __str__(self) -> str:
        return (
            f"the next {self.candidates} candidates promise {self.designs:.2g} designs in about {self.simulations:.0f} "
            "simulations"
        )


def tried(rounds: Sequence[Mapping[str, Any]], target: Target) -> Tried:
    """What a target's candidates took in rounds, as the journal has them."""
    found, expected = dict.fromkeys(("hits", "hit_designs", "missed", "mended", "steps", "told"), 0), 0.0
    for event in rounds:
        designs = {d["hash"] for d in event["designs"] if d["target"] == target.name}
        for row in event["candidates_table"]:
            if row["target"] == target.name:
                hit, design = target.met(row["first_shot"]), row["hash"] in designs
                found["hits"] += hit
                found["hit_designs"] += hit and design
                found["missed"] += not hit
                found["mended"] += design and not hit
                found["steps"] += 0 if hit else row["simulations"] - 1
                if (chance := row.get("p_hit")) is not None:
                    found["told"] += hit
                    expected += chance
    return Tried(**found, expected=expected)


def promise(batch: Sequence[Candidate], past: Tried, most: int) -> Promise:
    """What candidates for one target promise.

    Args:
        batch: not yet simulated.
        past: of the target's candidates.
        most: simulations that may follow a first shot; what is expected where nothing is known.
    """
    kept = (past.hit_designs + 1) / (past.hits + 1)
    mends, steps = (past.mended + 1) / (past.missed + 2), (past.steps + most) / (past.missed + 1)
    unknown = (past.hits + 1) / (past.hits + past.missed + 2)
    right = (past.told + 1) / (past.expected + 1)
    chances = [unknown if c.p_hit is None else min(c.p_hit * right, 1.0) for c in batch]
    designs = sum(p * kept + (1 - p) * (mends if most else 0.0) for p in chances)
    return Promise(len(batch), designs, sum(1 + (1 - p) * steps for p in chances))


def promised(
    target: Target, candidates: Sequence[Candidate], events: Sequence[Mapping[str, Any]], most: int
) -> Promise:
    """What the next candidates for a target promise, from what was paid for it since it was last given up, if it was.

    Args:
        target: one of the campaign's.
        candidates: of the next round, for whatever target.
        events: of the journal.
        most: see `promise`.
    """
    after = 0
    for number, event in enumerate(events, start=1):
        if event["event"] == "given_up" and target.name in event["targets"]:
            after = number
    rounds = [event for event in events[after:] if event["event"] == "round"]
    return promise([c for c in candidates if c.target is target], tried(rounds, target), most)
