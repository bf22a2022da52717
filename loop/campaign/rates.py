"""What each part of a campaign takes on this machine, measured on a few of them: steps, passes, simulations.

A training is timed by the loop that will train, an inversion by the generator that will propose, a simulation in the
processes that will simulate. What a few seconds do not hold is measured on less and scaled by its pixels. No
simulation of the budget is paid, nothing is written, and no random number of a campaign is drawn.
"""

import dataclasses
import math
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from janus_al.fitting import sides
from janus_al.networks.janus import Janus
from janus_al.quantities import quantity
from janus_al.training import build
from loop.campaign.config import CampaignConfig
from loop.campaign.sources import read_start
from loop.campaign.steps import OWN, SECONDS, STEPS, Enough, Stopwatch, peak, step_of
from loop.design.generators import BUILT_IN as GENERATORS
from loop.design.generators import Tools
from loop.design.generators.janus import JanusGenerator
from loop.design.generators.phasefield import fresh
from loop.design.pool import Known
from loop.design.targets import Target
from loop.simulation.simulate import Execution, backend, simulate
from loop.simulation.verify import Check, conducts, verify
from simulators import Result, generate

PASS_CELLS = 2**19
"""pixels of the rows of a pass of an inversion, at most: about a second; more rows are measured on fewer"""
IMAGE_CELLS = {2: 2**16, 3: 2**15}
"""pixels of an image that is simulated, at most, by axes: a second or two"""
GROWTH = {2: 1.15, 3: 1.7}
"""power of the pixels with which the time of a larger image grows, by axes"""
SEED = 2**40
"""of the images that are measured on; no campaign's, in all likelihood, and none of it is kept"""


@dataclass(frozen=True)
class Rates:
    """Seconds that one of each takes, and bytes; None where it is not known, or not needed.

    Attributes:
        drawing: an image of the class.
        simulation: of an image by all physics, in one process.
        fastest: the same by the fastest solver of conduction, where another was chosen.
        verification: of a design.
        step: of training.
        proposal: of a round's candidates and probes.
        network: bytes that training and inversion take.
        scaled: which of these were measured on less.
        solver: of conduction.
    """

    drawing: float = 0.0
    simulation: float | None = None
    fastest: float | None = None
    verification: float = 0.0
    step: float | None = None
    proposal: float | None = 0.0
    network: float = 0.0
    scaled: tuple[str, ...] = ()
    solver: str = ""


@dataclass(frozen=True)
class Rows:
    """How many a round proposes: candidates by target and probes."""

    wanted: Sequence[tuple[Target, int]]
    probes: int

    def inverted(self, swarm: int) -> int:
        """Latent vectors that are optimised together."""
        return swarm * sum(count for _, count in self.wanted) + self.probes


def measure(config: CampaignConfig, rows: Rows, device: str, executor: Executor, train_too: bool) -> Rates:
    """All rates of a campaign.

    Raises:
        FileNotFoundError, DatasetError: the model to start from is lost or damaged.
    """
    full, scaled, network = config.microstructure.grid, list[str](), 0.0
    grid = _smaller(full)
    larger = math.prod(full) / math.prod(grid)
    generate(1, grid, SEED)
    began = time.perf_counter()
    images = generate(2, grid, SEED)
    drawing = (time.perf_counter() - began) / 2 * larger
    solver = backend(config.execution.solver, full, config.microstructure.boundary)
    simulation, fastest, verification = _simulation(config, images, executor)
    growth = larger ** GROWTH[len(grid)]
    if simulation is not None and larger > 1:
        scaled.append(f"images of {sides(grid)}")
        simulation, verification = simulation * growth, verification * growth
        fastest = fastest and fastest * growth
    step = None
    if train_too:
        step, network, parts = step_of(config.material, config.network.built, config.training, device)
        scaled += [f"a batch of {config.training.batch // parts}"] if parts > 1 else []
    proposal: float | None = 0.0
    if config.loop.generator in ("janus", "mixed"):
        start = read_start(config)
        model = build(config.network.built, 0) if start is None else start[0]
        proposal, held, parts = _proposal(config, rows, model.to(device).eval())
        network = max(network, held)
        scaled += [f"1 of {parts} inversions"] if parts > 1 else []
    if config.loop.generator in ("phasefield", "mixed"):
        proposal = (proposal or 0.0) + drawing * fresh(rows.inverted(config.loop.swarm), full)
    if config.loop.generator not in GENERATORS:
        proposal = None
    return Rates(drawing, simulation, fastest, verification, step, proposal, network, tuple(scaled), solver)


def _smaller(grid: tuple[int, ...]) -> tuple[int, ...]:
    """The grid, its sides halved until an image takes a second or two."""
    while math.prod(grid) > IMAGE_CELLS[len(grid)]:
        grid = tuple(max(8, side // 2) for side in grid)
    return grid


def _proposal(config: CampaignConfig, rows: Rows, model: Janus) -> tuple[float, float, int]:
    """Seconds of a round's inversions and bytes they take, and by how much their number was divided."""
    grid, total, watch = config.microstructure.grid, rows.inverted(config.loop.swarm), Stopwatch()
    most = max(1, min(total, PASS_CELLS // math.prod(grid), model.config.together))
    inversion = dataclasses.replace(config.inversion, steps=1 + STEPS)
    tools = Tools(grid, config.material, inversion, model=lambda: (model, None), progress=watch)
    with peak(model.log_mean.device.type) as held, suppress(Enough):
        JanusGenerator(tools).propose([(rows.wanted[0][0], most)], Known(), (SEED,))
    return watch.each * config.inversion.steps * total / most, held(), -(-total // most)


def _simulation(
    config: CampaignConfig, images: NDArray[np.uint8], executor: Executor
) -> tuple[float | None, float | None, float]:
    """Seconds of a simulation, of one by the fastest solver where another was chosen, and of a design's verification.

    The physics of a user, or a program, is not run: it may cost what nobody knows.
    """
    material, limit = config.material, config.execution.timeout
    if any(p.simulator not in OWN for p in material.physics):
        return None, None, 0.0
    grid, boundary = config.microstructure.grid, config.microstructure.boundary
    solver, quick = (backend(name, grid, boundary) for name in (config.execution.solver, "auto"))

    def timed(name: str) -> tuple[float, Result] | None:
        one, began, found = Execution(executor, name, limit), time.perf_counter(), list[Result]()
        for image in images[np.arange(1 + STEPS) % len(images)]:
            found += [r for r in simulate(image[None], material, one) if isinstance(r, Result)]
            if time.perf_counter() - began > SECONDS:
                break
        return (statistics.median_low([r.seconds for r in found]), found[0]) if found else None

    known = timed(solver)
    if known is None:
        return None, None, 0.0
    other = timed(quick) if quick != solver and material.phase_conductivity else None
    check = Check(material, solver, config.certify is not False, config.by_interval, limit)
    return known[0], other[0] if other else None, _verification(config, images[0], known[1], check, executor)


def _verification(
    config: CampaignConfig, image: NDArray[np.uint8], found: Result, check: Check, executor: Executor
) -> float:
    """Seconds to decide an image whose values lie an eighth within intervals as wide as the first target's."""
    if not check.needed:
        return 0.0
    ends = {}
    for name, (low, high) in config.targets()[0].intervals.items():
        if conducts(check.material, name) and set(quantity(name).properties) <= set(found.values):
            value = quantity(name).of(found.values)
            width = (high - low) / abs(high + low) if math.isfinite(high + low) else 0.2
            ends[name] = (value * (1 - width / 4), value * (1 + 7 * width / 4))
    began = time.perf_counter()
    verify(image, Target("plan", ends), check, executor)
    return time.perf_counter() - began
