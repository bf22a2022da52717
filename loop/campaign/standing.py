"""Where a campaign stands: what its journal, its samples and its budget say of the targets, and nothing else."""

import math
from collections.abc import Sequence
from typing import Any

from loop.campaign.config import CampaignConfig
from loop.campaign.extremes import Search, aimed, best_of, ended
from loop.campaign.journal import Journal, given_up
from loop.campaign.ledger import Ledger
from loop.campaign.worth import promised, tried
from loop.design.bias import Bias, bias_of
from loop.design.candidates import Candidate, table_row
from loop.design.confidence import Past, Shot, past_of
from loop.design.pool import Image, Known
from loop.design.targets import Target
from loop.simulation.simulate import limits_of

USUAL = 2.0
"""images that a candidate takes where nothing is known: a first shot and a step"""


class Standing:
    """What has been reached, what is left to do, and what the past says of the next round."""

    def __init__(self, config: CampaignConfig, journal: Journal, ledger: Ledger) -> None:
        self.config, self.journal, self.ledger = config, journal, ledger
        self.targets = config.targets()

    def why_stopped(self) -> str:
        """Why targets are unmet, in words; empty if none is."""
        given, left = self.given_up(), self.open()
        what = "rounds" if self.ledger.left else "simulations"
        spent = [f"{what} spent before {', '.join(t.name for t, _ in left)}"] if left else []
        return "; ".join([*spent, *(f"{name} given up: {reason}" for name, reason in given.items())])

    def designs(self) -> list[dict[str, Any]]:
        """Target, name, content hash and verification of every design, in order of acceptance."""
        return [d for e in self.journal.of("round") for d in e["designs"]]

    def images(self) -> dict[str, list[Image]]:
        """Images of the designs, by target."""
        found: dict[str, list[Image]] = {target.name: [] for target in self.targets}
        for design in self.designs():
            found[design["target"]].append(self.ledger.image(design["hash"]))
        return found

    def goes_on(self, number: int, more: Sequence[dict[str, Any]] = ()) -> bool:
        """Whether another round follows one, as far as can be said before it proposes."""
        return len(self.open(more)) > 0 and number < self.config.budget.rounds and self.ledger.left > 0

    def unmet(self, more: Sequence[dict[str, Any]] = ()) -> list[tuple[Target, int]]:
        """Targets with the number of designs still missing."""
        have = [d["target"] for d in [*self.designs(), *more]]
        return [(t, t.designs - have.count(t.name)) for t in self.targets if t.designs > have.count(t.name)]

    def open(self, more: Sequence[dict[str, Any]] = ()) -> list[tuple[Target, int]]:
        """Those of them that were not given up."""
        given = self.given_up()
        return [(target, missing) for target, missing in self.unmet(more) if target.name not in given]

    @property
    def budget(self) -> dict[str, Any]:
        """As JSON."""
        return self.config.budget.model_dump(mode="json")

    def given_up(self) -> dict[str, str]:
        """Why targets were given up under this budget, by name."""
        return given_up(self.journal.events, self.budget)

    def hopeless(self, candidates: Sequence[Candidate]) -> dict[str, str]:
        """Targets whose candidates are not worth their price, and why.

        A search for the best ends by its own rule; what is missing after it waits for something new to be proposed.
        """
        least, most = self.config.budget.worth, self.config.loop.refine_steps
        asked = [target for target, _ in self.open() if not target.best]
        told = {target.name: promised(target, candidates, self.journal.events, most) for target in asked}
        poor = {name: f"{p}, below budget.worth {least:g} for each" for name, p in told.items() if not p.worth(least)}
        found, proposed = {design["target"] for design in self.designs()}, {c.target.name for c in candidates}
        sought = {target.name for target, _ in self.open() if target.best} & found
        return poor | {name: "nothing new is proposed for it" for name in sorted(sought - proposed)}

    def affordable(self, candidates: Sequence[Candidate], number: int) -> list[Candidate]:
        """Those of a round that what is left is expected to see to their end, one at least, of each target the first.

        What is left over is for a round after it, which has learned more; in the last one all may begin, and always
        those for the best of something, which take whatever there is.
        """
        if number >= self.config.budget.rounds:
            return list(candidates)
        asked = [c for c in candidates if not c.target.best]
        before = [sum(c.target is other.target for other in asked[:place]) for place, c in enumerate(asked)]
        left, kept = self.ledger.left / self.ledger.price, list[Candidate]()
        for _, c in sorted(zip(before, asked, strict=True), key=lambda pair: pair[0]):
            left -= self._takes(c.target)
            if left < 0 and kept:
                break
            kept.append(c)
        return [c for c in candidates if c.target.best or any(c is one for one in kept)]

    def _takes(self, target: Target) -> float:
        """Images that a candidate for a target takes, by those so far and one more of the usual."""
        past = tried(self.journal.of("round"), target)
        begun = past.hits + past.missed
        return (begun + past.steps + min(USUAL, 1 + self.config.loop.refine_steps)) / (begun + 1)

    def reserved(self, number: int) -> int:
        """Images that the first shots of the round after one want, of targets that ask for no extreme."""
        most = self.config.loop.candidates
        return sum(min(most, n) for t, n in self.open() if not t.best) if number < self.config.budget.rounds else 0

    def past(self, first: Sequence[Shot]) -> Past:
        """First shots that were paid for; before all rounds the `first`, those on the card of a model to start from."""
        shots = [first, *(e["candidates_table"] for e in self.journal.of("round"))]
        return past_of(shots, [False, *self._learned()], limits_of(self.config.material, trusted=True))

    def bias(self) -> Bias:
        """What the first shots of each target were all off by."""
        return bias_of([e["candidates_table"] for e in self.journal.of("round")], self._learned())

    def _learned(self) -> list[bool]:
        """Whether the model did, after each round."""
        guards = {e["round"]: e.get("guard") or {"accepted": True} for e in self.journal.of("trained")}
        return [e["round"] in guards and guards[e["round"]]["accepted"] for e in self.journal.of("round")]

    def brought(self) -> dict[tuple[str, str], tuple[int, int]]:
        """Designs and simulations so far, by name of the target and source of its candidates."""
        found = dict[tuple[str, str], tuple[int, int]]()
        for event in self.journal.of("round"):
            accepted = {(design["target"], design["hash"]) for design in event["designs"]}
            for row in event["candidates_table"]:
                key = (row["target"], row.get("source", ""))
                designs, simulations = found.get(key, (0, 0))
                found[key] = designs + ((row["target"], row["hash"]) in accepted), simulations + row["simulations"]
        return found

    def ended(self, target: Target, candidates: Sequence[Candidate], number: int) -> str:
        """Why the search for the best of a target ends with a round, if it does."""
        if number >= self.config.budget.rounds or self.ledger.left <= 0:
            return "the budget is spent"
        rows = [row for event in self.journal.of("round") for row in event["candidates_table"]]
        before, now = (best_of(target, [*rows, *more]) for more in ((), [table_row(c) for c in candidates if c.trials]))
        settings, (name,) = self.config.loop, target.best
        limit = self.config.reach[target.name].best.get(name, math.nan)
        return ended(before, now, target, limit, Search(settings.improvement, settings.near))

    def aimed(self, target: Target, known: Known) -> Target:
        """A target with what its generator is to aim at."""
        best = self.config.reach[target.name].best
        return aimed(target, known.samples, next((best[n] for n in target.best if n in best), math.nan))
