"""How many of everything a campaign takes, at best and at worst, and with a machine's rates for how long."""

import math
from dataclasses import dataclass
from typing import Self

from loop.campaign.config import CampaignConfig
from loop.campaign.rates import Rates, Rows
from loop.design.generators import generator, needs_model
from loop.simulation.executors import cores
from loop.simulation.simulate import BATCH, BATCH_CELLS, TASK_CELLS

Span = tuple[float, float]
"""at best and at worst"""
PROJECTING = 3.0
"""seconds of a round's designs and MLflow, measured on two cores"""


@dataclass(frozen=True)
class Course:
    """How many of everything a campaign takes, at best and at worst; of images, which cost `price` simulations each."""

    config: CampaignConfig
    rows: Rows
    modelled: bool
    """whether its generator has a network"""

    @classmethod
    def of(cls, config: CampaignConfig) -> Self:
        """That of a configuration."""
        most, modelled = config.loop.candidates, needs_model(generator(config.loop.generator))
        wanted = [(t, most if t.best else min(most, t.designs)) for t in config.targets()]
        return cls(config, Rows(wanted, min(config.loop.probes, config.budget.probes) if modelled else 0), modelled)

    @property
    def price(self) -> int:
        """Simulations of an image."""
        return len(self.config.material.physics)

    @property
    def workers(self) -> int:
        """Processes that simulate."""
        return self.config.execution.workers or cores()

    @property
    def first_steps(self) -> int:
        """Of the training before the first round."""
        return self.config.training.steps if self.modelled and self.config.network.start is None else 0

    @property
    def steps_after(self) -> int:
        """Of the training after a round."""
        loop = self.config.loop
        steps = {"warm": loop.retrain_steps, "scratch": self.config.training.steps, "never": 0}
        return steps[loop.retrain] if self.modelled else 0

    @property
    def trains(self) -> bool:
        """Whether there is a training at all."""
        return bool(self.first_steps or (self.steps_after and self.config.budget.rounds > 1))

    @property
    def shots(self) -> int:
        """First shots of a round."""
        return sum(count for _, count in self.rows.wanted)

    @property
    def designs(self) -> int:
        """Wanted in all."""
        return sum(target.designs for target, _ in self.rows.wanted)

    @property
    def rounds(self) -> tuple[int, int]:
        """At best and at worst."""
        return max(-(-t.designs // n) for t, n in self.rows.wanted), self.config.budget.rounds

    @property
    def most(self) -> int:
        """Images that a round simulates, probes not among them, if all are refined to the end."""
        loop = self.config.loop
        return sum(n * (1 + (loop.best_steps if t.best else loop.refine_steps)) for t, n in self.rows.wanted)

    @property
    def left(self) -> int:
        """Images that the budget leaves after the first dataset, as far as candidates may take them."""
        generate = self.config.dataset.generate
        first = generate.simulated if generate else 0
        return min(self.config.budget.simulations // self.price - first, self.rounds[1] * self.most)

    def probes(self, rounds: int) -> int:
        """Images that so many rounds probe with."""
        return min(self.config.budget.probes // self.price, self.rows.probes * rounds)

    @property
    def simulations(self) -> tuple[int, int]:
        """After the first dataset."""
        low, high = self.rounds
        return self.price * (self.designs + self.probes(low)), self.price * (self.left + self.probes(high))

    def simulating(self, images: float, together: int, rates: Rates) -> float:
        """Seconds for images that are sent so many at a time; a process is given several small ones at once."""
        if not images or rates.simulation is None:
            return 0.0
        cells, batched = math.prod(self.config.microstructure.grid), rates.solver == "batched"
        task = min(BATCH, max(1, BATCH_CELLS // cells)) if batched else max(1, TASK_CELLS // cells)
        turns = math.ceil(math.ceil(together / task) / self.workers)
        return images / together * turns * min(task, together) * rates.simulation

    def round(self, rates: Rates) -> Span:
        """Seconds of one round."""
        always = PROJECTING + (rates.proposal or 0.0) + min(self.designs, self.shots) * rates.verification
        always += self.simulating(self.rows.probes, self.rows.probes, rates)
        training = self.steps_after * (rates.step or 0.0) if self.rounds[1] > 1 else 0.0
        low, high = (self.simulating(n, self.shots, rates) for n in (self.shots, min(self.most, self.left)))
        return always + low + (training if self.rounds[0] > 1 else 0.0), always + high + training

    def rounds_all(self, rates: Rates) -> Span:
        """Seconds of all rounds."""
        found = []
        for rounds, images in zip(self.rounds, (self.designs, self.left), strict=True):
            each = PROJECTING + (rates.proposal or 0.0)
            probes = self.simulating(self.probes(rounds), self.rows.probes, rates)
            trained = (rounds - 1) * self.steps_after * (rates.step or 0.0)
            simulated = self.simulating(images, self.shots, rates) + self.designs * rates.verification
            found.append(rounds * each + probes + trained + simulated)
        return found[0], found[1]
