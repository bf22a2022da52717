"""The campaign: propose -> select -> simulate -> refine -> append -> retrain -> stop?

The only file that sees everything. What it has done is in the journal, what it
has proposed and simulated in files that the journal vouches for; everything else it derives from these, the
models, too. A round that was killed is done again from its proposals, and what it had simulated is not paid twice.
"""

import dataclasses
import functools
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loop.campaign.acceptance import Acceptance, accept
from loop.campaign.beginning import begin
from loop.campaign.extremes import ranked
from loop.campaign.journal import Journal
from loop.campaign.ledger import Ledger
from loop.campaign.models import Models
from loop.campaign.proposals import Proposals
from loop.campaign.standing import Standing
from loop.campaign.toml import check_unchanged, load_stored, retired
from loop.design.acquisition import acquisition
from loop.design.candidates import Candidate, answer, probe_targets, propose, table_row
from loop.design.confidence import coverage
from loop.design.generators import Generator, Tools, fitted, generator, needs_model
from loop.design.pool import Known
from loop.design.refine import Refinement, refine
from loop.design.select import Rules
from loop.design.shapes import shapes_for
from loop.simulation.progress import Clock, Progress
from loop.simulation.simulate import Execution, backend, limits_of
from loop.simulation.verify import Check
from simulators import Result

STAGE, PROBES = 2, 3
"""of a round's seeds, those of its candidates and of its probes"""
BEYOND = "more than the budget is expected to refine"
"""why candidates are left for a later round"""


class Campaign:
    """A campaign in its folder; one process at a time may `run` it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.config = folder, load_stored(folder)
        self.journal = Journal(folder / "journal.jsonl")
        check_unchanged(folder / "campaign.toml", self.config, self.journal.events)
        self.progress = Progress()
        self.material = self.config.material
        boundary = self.material.boundary
        generated = self.config.dataset.generate is not None
        about = (generated, self.config.seed, self.config.microstructure.pixel)
        self.ledger = Ledger(folder, self.journal, self.material, self.config.budget, *about)
        self.standing = Standing(self.config, self.journal, self.ledger)
        self.targets = self.standing.targets
        self.proposals = Proposals(folder, self.journal, boundary)
        self.clock = Clock()
        self.models = Models(folder, self.config, self.journal, self.ledger, self.clock)
        grid, execution = self.config.microstructure.grid, self.config.execution
        self.solver = backend(execution.solver, grid, boundary)
        certify, strict = self.config.certify is not False, self.config.by_interval
        self.check = Check(self.material, self.solver, certify, strict, execution.timeout)

    def run(self, executor: Executor, device: str, progress: Progress, project: Callable[[], None]) -> str:
        """Go on until the targets are met or the budget is spent; returns 'done' or 'stopped'.

        `project` is called after the first training, after every round that another follows and at the end.
        """
        self.executor, self.progress = executor, progress
        self.models.device, self.models.progress = device, progress
        budget, rounds = self.config.budget, self.journal.of("round")
        for key in retired(next((e["config"] for e in self.journal.of("begun")), {})):
            progress.say(f"{self.folder / 'campaign.toml'}: {key} is no more; models to come are trained without it")
        if end := self.journal.end:
            spent = len(rounds) >= budget.rounds or not self.ledger.left
            if end["state"] == "done" or spent or not self.standing.open():
                if end["state"] == "stopped" and end["reason"] != (reason := self.standing.why_stopped()):
                    self.journal.append("finished", state="stopped", reason=reason)
                if self.journal.events[-1]["event"] != "projected":
                    project()
                return str(end["state"])
            self.journal.append("extended", rounds=budget.rounds, simulations=budget.simulations)
        begin(self.config, self.ledger, self.proposals, partial(self._simulate, number=0, origin="generated"))
        if self._needs_model():
            self.models.of(0)
        if self.models.start is None:
            project()
        progress("rounds", len(rounds), budget.rounds)
        for number in range(1, budget.rounds + 1):
            affordable = self.ledger.left or self.ledger.spent_in(number) or self.proposals.begun(number)
            if number > len(rounds) and self.standing.open() and affordable:
                self._round(number)
                progress("rounds", number, budget.rounds)
                if self.standing.goes_on(number):
                    project()
        unmet = self.standing.unmet()
        reason = self.standing.why_stopped() if unmet else "targets met"
        state = "stopped" if unmet else "done"
        self.journal.append("finished", state=state, reason=reason)
        project()
        return state

    # --- one round ---------------------------------------------------------------------------------------

    def _round(self, number: int) -> None:
        """One pass of the loop."""
        began, seconds = time.perf_counter(), self.clock.restart()
        candidates = self.proposals.candidates(number, self.targets)
        if candidates is None:
            candidates, passed_over = self._propose(number)
            if not self.standing.open():
                return
            self.proposals.commit_candidates(number, candidates, passed_over)
        with self.clock("simulation"):
            how = Refinement(
                self.material,
                self.config.loop.refine_steps,
                self.config.loop.best_steps,
                self.config.inversion,
                functools.cache(lambda: self._generator(self._tools(number), self._known(number))),
                self.models.likeness,
                hasattr(generator(self.config.loop.generator), "opinion"),
            )
            self._refine(candidates, number, how)
        with self.clock("verification"):
            designs = self._accept(candidates, number)
        if self.standing.goes_on(number, designs) and self._needs_model():
            self.models.of(number)
        first = [c.error for c in candidates if c.error is not None and not c.probe]
        probes = [c.error for c in candidates if c.error is not None and c.probe]
        table = [table_row(c) for c in candidates if c.trials]
        seconds["other"] = time.perf_counter() - began - sum(seconds.values())
        self.journal.append(
            "round",
            round=number,
            candidates=len([c for c in candidates if not c.probe]),
            probes=len(probes),
            first_shot_error_median=median(first) if first else None,
            probe_error_median=median(probes) if probes else None,
            probe_error_mean=sum(probes) / len(probes) if probes else None,
            hits=len([c for c in candidates if c.met and len(c.trials) == 1 and not c.probe]),
            simulations=self.ledger.spent_in(number),
            spent=self.ledger.spent,
            coverage=coverage(table),
            seconds=seconds,
            designs=designs,
            candidates_table=table,
        )

    def _refine(self, candidates: Sequence[Candidate], number: int, how: Refinement) -> None:
        """Simulate and refine a round's candidates, then its probes.

        Where the most or the least of something is sought, which takes all there is, other targets come first, and
        neither takes what the other's first shots want, in this round and, of other targets, in the next.
        """
        probes = [c for c in candidates if c.probe]
        sought = [c for c in candidates if c.target.best and not c.probe]
        others = [c for c in candidates if not (c.target.best or c.probe)]
        before = (self.ledger.left + self.ledger.spent_in(number)) // self.ledger.price - len(sought) - len(others)
        keep = min(self.standing.reserved(number), max(before, 0)) if sought else 0
        for own, origin, kept in (
            (others, "candidate", keep + len(sought)),
            (sought, "candidate", keep),
            (probes, "probe", 0),
        ):
            refine(own, partial(self._simulate, number=number, origin=origin, keep=kept * self.ledger.price), how)

    def _propose(self, number: int) -> tuple[list[Candidate], Mapping[str, int]]:
        """Candidates for every unmet target, and the probes where there is a model; how many others fell by which rule.

        All follows from what was known before the round, so that one killed while its generator simulated proposes
        the same.
        """
        settings, seed = self.config.loop, self.config.seed
        tools, known = self._tools(number), self._known(number)
        rules = Rules(
            limits_of(self.material, trusted=True),
            self.material.boundary,
            tools.min_distance,
            acquisition(settings.acquisition),
        )
        with self.clock("inversion"):
            while open_ := self.standing.open():
                most = settings.candidates
                wanted = [(self.standing.aimed(t, known), most if t.best else min(most, n)) for t, n in open_]
                candidates, passed_over = propose(
                    self._generator(tools, known), wanted, known, rules, (seed, number, STAGE)
                )
                own = {target.name: target for target in self.targets}
                candidates = [dataclasses.replace(c, target=own[c.target.name]) for c in candidates]
                if not (hopeless := self.standing.hopeless(candidates)):
                    break
                # What is left is proposed for again: as it would be had the round been killed here.
                self.journal.append("given_up", round=number, budget=self.standing.budget, targets=hopeless)
            else:
                return [], {}
            begun = self.standing.affordable(candidates, number)
            passed_over += Counter({BEYOND: len(candidates) - len(begun)})
            candidates = begun
            if number == 1:
                grid, limits = tools.grid, rules.limits
                candidates += [
                    c for t in self.targets for c in shapes_for(t, grid, self.material, limits, known.likeness)
                ]
            probes = min(settings.probes, self.ledger.probes_left // self.ledger.price)
            if not self._needs_model() or not probes:
                return candidates, passed_over
            probing = self._generator(dataclasses.replace(tools, swarm=1), known)
            targets = probe_targets(self._probe_range(), probes)
            return [*candidates, *answer(probing, targets, known, rules.boundary, (seed, number, PROBES))], passed_over

    def _generator(self, tools: Tools, known: Known) -> Generator:
        return fitted(generator(self.config.loop.generator), tools, known)

    def _tools(self, number: int) -> Tools:
        """What a round's generator is made with."""

        def simulate(images: Sequence[NDArray[np.uint8]]) -> list[Result | None]:
            with self.clock("simulation"):
                return self._simulate(images, number, "generator")

        return Tools(
            grid=self.config.microstructure.grid,
            material=self.material,
            inversion=self.config.inversion,
            swarm=self.config.loop.swarm,
            min_distance=2 * self.config.loop.min_distance,
            model=functools.cache(lambda: self.models.of(number - 1)),
            simulate=simulate,
            progress=lambda step, steps: self.progress("inversion", step, steps),
        )

    def _known(self, number: int) -> Known:
        """What is known before a round."""
        before = any(event["round"] < number and event["samples"] for event in self.journal.of("shard"))
        samples = self.ledger.samples(through=number - 1) if before else None
        if self._needs_model():
            # Whether it has learned from the last round is known once it is there.
            self.models.of(number - 1)
        own = self.config.loop.generator in ("janus", "mixed") and self.models.start is not None
        past = self.standing.past(self.models.of(0)[1].proposals if own else [])
        bias, brought = self.standing.bias(), self.standing.brought()
        like, tried = self.models.likeness, self.ledger.tried_before(number)
        return Known(samples, tried, self.standing.images(), past, bias, brought, like)

    def _needs_model(self) -> bool:
        return needs_model(generator(self.config.loop.generator))

    def _probe_range(self) -> dict[str, tuple[float, float]]:
        """What probes ask for: the range of the first dataset, as it was stored then."""
        return next((e["probe_range"] for e in self.journal.of("campaign") if "probe_range" in e), {})

    def _accept(self, candidates: Sequence[Candidate], number: int) -> list[dict[str, Any]]:
        """New designs: of what meets its target, and of the best there was where a search for it has ended."""
        rules = Acceptance(self.config.loop.min_distance, self.check, self.executor, self.models.likeness)
        unmet, have, rounds = self.standing.unmet(), self.standing.images(), self.journal.of("round")
        found = accept(candidates, [(t, n) for t, n in unmet if not t.best], have, rules)
        for target, missing in unmet:
            if target.best and self.standing.ended(target, candidates, number):
                kept = ranked(target, rounds, candidates, self.ledger.image)
                found += accept(kept, [(target, missing)], have, rules)
        return found

    # --- simulations ---------------------------------------------------------------------------------------

    def _simulate(
        self, images: Sequence[NDArray[np.uint8]], number: int, origin: str, keep: int = 0
    ) -> list[Result | None]:
        execution = Execution(self.executor, self.solver, self.config.execution.timeout, trusted=True)
        return self.ledger.simulate(images, number, origin, keep, execution, self.progress)

    # --- what has been reached ---------------------------------------------------------------------------

    @property
    def identity(self) -> str:
        """What tells this campaign from all others; empty before it has begun."""
        return next((e["campaign_id"] for e in self.journal.of("campaign")), "")

    def designs(self) -> list[dict[str, Any]]:
        """Target, name, content hash and verification of every design, in order of acceptance."""
        return self.standing.designs()
