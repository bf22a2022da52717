"""What a campaign will take, said before it is paid for: steps, simulations, seconds, memory, and what is cheaper.

    config -> this machine's rates (`loop.campaign.rates`) -> Plan: a round and the whole, at best and at worst

At best every first shot is a design, in as few rounds as the candidates allow; at worst all rounds and all simulations
of the budget are spent. How far plans were off: docs/results/plan.md.
"""

import contextlib
import dataclasses
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from typing import Any

from janus_al.fitting import sides
from loop.campaign.config import CampaignConfig
from loop.campaign.course import Course, Span
from loop.campaign.hints import hints, warning
from loop.campaign.rates import measure
from loop.simulation.executors import open_executor
from loop.simulation.progress import told
from loop.simulation.simulate import backend
from simulators.conduction.memory import bytes_needed

BEGINNING, REPORT, MAP = 2.0, 4.0, 30.0
"""seconds, measured on two cores: processes and imports; the report and the model in MLflow; its latent map"""
MAPPED = 500
"""images from which on that map takes so long"""
BYTES = 40
"""of a pixel of a sample: its label and sensitivities, in the file's arrays and in those of training"""
PROCESS, WORKER = 5e8, 1.6e8
"""bytes of this process, and of one that simulates, before anything is in them"""


@dataclass(frozen=True)
class Plan:
    """What a campaign will take on this machine.

    Attributes:
        name: of the campaign.
        size: of its images, sides.
        device: of the network.
        solver: of conduction.
        workers: processes that simulate.
        first_images: of the first dataset, drawn before anything else.
        first_simulations: of them.
        training_steps: of the first training; 0 if there is none.
        retraining_steps: of the training after a round that another follows.
        step_seconds: of a training step, measured; None where nothing is trained.
        rounds: at best and at worst.
        simulations: after the first dataset, probes among them, at best and at worst.
        simulation_seconds: of one image in one process, measured; None where it is not known: a user's own physics is
            not run for a plan.
        verification_seconds: of a design.
        proposal_seconds: of a round's candidates; None where it is not known, of a user's own generator.
        first_seconds: before the first round.
        round_seconds: of a round, with the training that follows it.
        total_seconds: of all. What is not known is in none of them.
        memory: bytes of this process.
        worker_memory: bytes of each that simulates.
        scaled: what was measured on less than it is.
        warning: a sentence where it takes an hour or more, or more memory than there is; else empty.
        hints: what would be cheaper, a sentence each.
    """

    name: str
    size: tuple[int, ...]
    device: str
    solver: str
    workers: int
    first_images: int
    first_simulations: int
    training_steps: int
    retraining_steps: int
    step_seconds: float | None
    rounds: tuple[int, int]
    simulations: tuple[int, int]
    simulation_seconds: float | None
    verification_seconds: float
    proposal_seconds: float | None
    first_seconds: float
    round_seconds: Span
    total_seconds: Span
    memory: float
    worker_memory: float
    scaled: tuple[str, ...] = ()
    warning: str = ""
    hints: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """All fields, and `words`, what people read."""
        return {**asdict(self), "words": self.words()}

    def words(self) -> list[str]:
        """The plan in lines."""
        trained = "no training"
        if self.step_seconds is not None:
            first = f"{self.training_steps} steps" if self.training_steps else "none first"
            again = f", {self.retraining_steps} after a round" if self.retraining_steps else ""
            trained = f"training: {first}{again}, {told(self.step_seconds)} a step on {self.device}"
        one = "as long as your own physics takes" if self.simulation_seconds is None else told(self.simulation_seconds)
        before = f"{self.first_simulations} first, then " if self.first_simulations else ""
        proposing = (
            "as long as your own generator takes" if self.proposal_seconds is None else told(self.proposal_seconds)
        )
        found = [
            f"plan of {self.name}, {sides(self.size)}, measured here:",
            f"  {trained}",
            f"  simulations: {before}{number(self.simulations)}, each {one} ({self.solver}, {self.workers} at a time)",
            f"  a round: {between(self.round_seconds)}, {proposing} of them for proposals",
            f"  all: {between(self.total_seconds)} in {number(self.rounds)} rounds, {told(self.first_seconds)} before "
            "the first",
            f"  memory: {self.memory / 2**30:.1f} GiB, and {self.worker_memory / 2**30:.1f} GiB in each process that "
            "simulates",
        ]
        found += [f"  scaled from {', '.join(self.scaled)}"] if self.scaled else []
        return [
            *found,
            *([f"  {self.warning}"] if self.warning else []),
            *(f"  cheaper: {hint}" for hint in self.hints),
        ]


def plan(config: CampaignConfig, device: str = "cpu", executor: Executor | None = None) -> Plan:
    """Measure for a few seconds, and say what a new campaign will take; nothing is paid for or written.

    Args:
        config: of the campaign.
        device: where its network will run; see `janus_al.device.prepare`.
        executor: where it will simulate; if None, a process that is started for it.

    Raises:
        FileNotFoundError, DatasetError: the model to start from is lost or damaged.
    """
    course = Course.of(config)
    with open_executor("process", 1) if executor is None else contextlib.nullcontext(executor) as own:
        rates = measure(config, course.rows, device, own, course.trains)
    generate, grid, modelled = config.dataset.generate, config.microstructure.grid, course.modelled
    begins = BEGINNING + course.first_steps * (rates.step or 0.0)
    if generate is not None:
        begins += generate.count * rates.drawing + course.simulating(generate.simulated, generate.simulated, rates)
    known = _known(config)
    ends = REPORT + (MAP if modelled and config.execution.umap and known >= MAPPED else 0.0)
    one, all_ = course.round(rates), course.rounds_all(rates)
    solver = backend(config.execution.solver, grid, config.microstructure.boundary)
    found = Plan(
        name=config.name,
        size=grid,
        device=device,
        solver=solver,
        workers=course.workers,
        first_images=generate.count if generate else 0,
        first_simulations=course.price * generate.simulated if generate else 0,
        training_steps=course.first_steps,
        retraining_steps=course.steps_after,
        step_seconds=rates.step,
        rounds=course.rounds,
        simulations=course.simulations,
        simulation_seconds=rates.simulation,
        verification_seconds=rates.verification,
        proposal_seconds=rates.proposal,
        first_seconds=begins,
        round_seconds=one,
        total_seconds=(begins + all_[0] + ends, begins + all_[1] + ends),
        memory=PROCESS + rates.network + known * math.prod(grid) * BYTES,
        worker_memory=WORKER + bytes_needed(grid, config.microstructure.boundary == "periodic", solver),
        scaled=rates.scaled,
    )
    return dataclasses.replace(found, warning=warning(found), hints=hints(config, found, rates))


def remaining(config: CampaignConfig, rounds: Sequence[Mapping[str, Any]]) -> str:
    """What is left of a campaign whose rounds, as its journal has them, have said what one takes."""
    left, have = config.budget.rounds - len(rounds), sum(len(event["designs"]) for event in rounds)
    mean = sum(sum(event["seconds"].values()) for event in rounds) / len(rounds)
    return (
        f"{have} of {sum(t.designs for t in config.targets())} designs after {len(rounds)} rounds of "
        f"{told(mean)}; at most {left} more, {told(left * mean)}"
    )


def between(span: Span) -> str:
    """Seconds in words, from what to what."""
    low, high = (told(seconds) for seconds in span)
    return low if low == high else f"{low} to {high}"


def number(span: tuple[int, int]) -> str:
    """How many in words, from what to what."""
    return str(span[0]) if span[0] == span[1] else f"{span[0]} to {span[1]}"


def _known(config: CampaignConfig) -> int:
    """Images of the first dataset."""
    import h5py

    if config.dataset.generate is not None:
        return config.dataset.generate.count
    with contextlib.suppress(OSError, KeyError, AttributeError, TypeError):  # what reads it in earnest refuses it
        if config.dataset.source is not None:
            with h5py.File(config.dataset.source) as file:
                return len(file["image"])
    return 0
