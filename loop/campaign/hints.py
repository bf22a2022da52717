"""What would be cheaper than what a campaign's configuration says, and what is worth a second thought."""

from contextlib import suppress
from typing import TYPE_CHECKING

from janus_al import checkpoint
from janus_al.errors import DatasetError
from janus_al.fitting import sides
from janus_al.material import joined
from janus_al.properties import PropertyError
from janus_al.shipped import models, shipped
from loop.campaign.config import CampaignConfig
from loop.campaign.rates import Rates
from loop.simulation.executors import cores
from loop.simulation.progress import told
from loop.simulation.simulate import backend
from simulators.algebra.memory import bytes_present

if TYPE_CHECKING:
    from loop.campaign.plan import Plan

HOUR, TEDIOUS, LONG, PART = 3600.0, 600.0, 30.0, 0.2
"""seconds that are said in a sentence, that are worth a GPU, and that are worth a hint where they are at least this
part of the campaign"""


def hints(config: CampaignConfig, plan: "Plan", rates: Rates) -> tuple[str, ...]:
    """Sentences on what would be cheaper, where that is worth it."""
    found = list[str]()

    def saves(seconds: float, of: float = plan.total_seconds[0]) -> bool:
        return seconds >= max(LONG, PART * of)

    training = plan.training_steps * (plan.step_seconds or 0.0)
    if saves(training):
        if name := _shipped(config):
            found.append(f'network.start = "{name}" begins with a shipped model, without the first training')
        if config.network.architecture == "conv" and config.network.stem == 2 and min(plan.size) >= 64:
            found.append("network.stem = 4 makes a training step about half as long at this size")
        fewer = max(300, plan.training_steps // 2)
        if fewer < plan.training_steps:
            rest = training * (1 - fewer / plan.training_steps)
            found.append(f"training.steps = {fewer} saves {told(rest)}, and costs some of the network's accuracy")
    again = (plan.rounds[1] - 1) * plan.retraining_steps * (plan.step_seconds or 0.0)
    if plan.device == "cpu" and training + again >= TEDIOUS:
        found.append("a GPU trains in a fraction of that (execution.device)")
    first = plan.first_simulations * (plan.simulation_seconds or 0.0) / plan.workers
    if saves(first) and config.dataset.generate is not None and plan.first_simulations > 64:
        found.append(f"dataset.generate.simulated = {config.dataset.generate.simulated // 2} saves {told(first / 2)}")
    if rates.fastest and rates.simulation:
        images = plan.first_simulations + plan.simulations[1]
        saved = images * (rates.simulation - rates.fastest) / plan.workers
        if saves(saved, plan.total_seconds[1]):
            quick = backend("auto", plan.size, config.microstructure.boundary)
            found.append(
                f'execution.solver = "{quick}" simulates in {told(rates.fastest)} instead of {told(rates.simulation)}; '
                "FiPy still confirms every design"
            )
    if plan.workers < cores() and saves(first):
        found.append(f"execution.workers = 0 simulates on all {cores()} cores")
    return tuple(found)


def warning(plan: "Plan") -> str:
    """A sentence where a campaign takes an hour or more, or more memory than there is; else empty."""
    low, high = plan.total_seconds
    present, needed = bytes_present(), plan.memory + plan.workers * plan.worker_memory
    if needed > present:
        return (
            f"{sides(plan.size)} take about {needed / 2**30:.0f} GiB of memory, and this machine has "
            f"{present / 2**30:.0f}; take smaller images or fewer execution.workers"
        )
    if high < HOUR:
        return ""
    step, one = plan.step_seconds or 0.0, plan.simulation_seconds or 0.0
    parts = {
        "training": (plan.training_steps + (plan.rounds[1] - 1) * plan.retraining_steps) * step,
        "simulations": (plan.first_simulations + plan.simulations[1]) * one / plan.workers,
        "proposals": plan.rounds[1] * (plan.proposal_seconds or 0.0),
    }
    what, most = max(parts.items(), key=lambda part: part[1])
    may = "takes" if low >= HOUR else "may take"
    return f"{sides(plan.size)} {may} an hour or more here, up to {told(high)}, of which {told(most)} are {what}"


def _shipped(config: CampaignConfig) -> str:
    """The name of a shipped model for these images and this material, "" if there is none."""
    for name in models():
        with suppress(DatasetError, PropertyError):
            network, card = checkpoint.load(shipped(name))
            joined(card.material, config.material)
            same = network.config.grid == config.microstructure.grid
            if same and set(config.material.simulated) <= set(network.config.properties):
                return name
    return ""
