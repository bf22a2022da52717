"""Data of a study: structures from a seed, some of them simulated, made once and kept."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from janus_al import dataset
from janus_al.material import Material, conduction
from janus_al.samples import Samples, concatenate, unlabelled
from loop import CREATED_BY
from loop.simulation.executors import open_executor
from loop.simulation.rows import simulate_samples
from loop.simulation.simulate import Execution
from loop.studies.means import Means
from simulators import generate
from simulators.structures.drawing import stream_for_tests

SOLVERS = {2: "direct", 3: "batched"}
"""by dimension: these agree with FiPy to 1e-10 (docs/validation.md), and are several times faster"""


@dataclass(frozen=True)
class Data:
    """Images made and simulated, their side, dimensions and seed (tests have their own stream), and their phases."""

    count: int = 16384
    simulated: int = 8192
    size: int | tuple[int, ...] = 64
    seed: int = 0
    conductivity: tuple[float, float] = (0.1, 1.0)
    dim: int = 2

    @property
    def grid(self) -> tuple[int, ...]:
        """Sides of an image."""
        return (self.size,) * self.dim if isinstance(self.size, int) else self.size

    @property
    def material(self) -> Material:
        """What is asked of them."""
        return conduction(self.conductivity, dim=self.dim)


def samples_at(path: Path, data: Data, means: Means, test: bool = False) -> Samples:
    """The dataset at `path`, made if it is not there; `test` takes the stream of test images."""
    if not path.exists():
        images = generate(data.count, data.grid, stream_for_tests(data.seed) if test else data.seed)
        meta: dict[str, Any] = {"origin": b"generated", "seed": data.seed}
        with open_executor("process", means.workers) as executor:
            execution = Execution(executor, SOLVERS[data.dim], cached=True)
            parts = simulate_samples(images[: data.simulated], data.material, execution, means.progress, **meta)
        if data.simulated < data.count:
            parts.append(unlabelled(images[data.simulated :], data.material, **meta))
        dataset.write(path, concatenate(parts), CREATED_BY)
    return dataset.read(path)
