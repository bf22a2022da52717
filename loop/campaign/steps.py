"""What a step takes on this machine, timed on the first few, and what that makes of a training or a study."""

import dataclasses
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

from janus_al.fitting import Run, TrainingConfig, TrainingError
from janus_al.material import Material
from janus_al.networks.janus import JanusConfig
from janus_al.samples import SIMULATED, Samples, unlabelled
from janus_al.training import train
from loop.simulation.progress import told

STEPS = 3
"""training steps, and passes of an inversion, that are timed after a first one"""
LONG = 300.0
"""seconds of a training that is long to wait for"""
FEW = 100
"""steps of a training of which nothing is said beforehand"""
SECONDS = 2.0
"""after which no more of them are begun"""
BATCH_CELLS = 2**19
"""pixels of a step's batch, at most: about a second; larger ones are measured on fewer"""
OWN = ("conduction", "elasticity")
"""simulators that may be run without paying anybody"""


class Enough(Exception):
    """Ends a loop that has been timed for long enough."""


class Stopwatch:
    """Told of each step, it knows what one takes but the first, and stops the loop after `SECONDS`."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def __call__(self, step: int, steps: int) -> None:
        """A step is done."""
        self.times.append(time.perf_counter())
        if len(self.times) > 1 and self.times[-1] - self.times[0] > SECONDS:
            raise Enough

    @property
    def each(self) -> float:
        """Seconds a step."""
        return (self.times[-1] - self.times[0]) / max(len(self.times) - 1, 1)


@contextmanager
def peak(device: str) -> Iterator[Callable[[], float]]:
    """How many bytes more than at first were held at once within the block."""
    import psutil
    import torch

    process, ended, most = psutil.Process(), threading.Event(), [0]
    began = process.memory_info().rss
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()

    def look() -> None:
        while not ended.wait(0.01):
            most[0] = max(most[0], process.memory_info().rss - began)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield lambda: float(torch.cuda.max_memory_allocated() if device == "cuda" else most[0])
    finally:
        ended.set()
        thread.join()


def step_of(material: Material, network: JanusConfig, full: TrainingConfig, device: str) -> tuple[float, float, int]:
    """Seconds of a training step and bytes it takes, and by how much the batch was divided to measure them."""
    watch, parts = Stopwatch(), math.ceil(full.batch * math.prod(network.grid) / BATCH_CELLS)
    batch = max(1, full.batch // parts)
    few: dict[str, Any] = {n: max(1, round(getattr(full, n) * batch / full.batch)) for n in ("simulated", "cycled")}
    few |= {"steps": 1 + STEPS, "checks": 1, "calibrate": False, "validation": 0.0}
    training = dataclasses.replace(full, batch=batch, **few)
    with peak(device) as held, suppress(Enough, TrainingError):  # three steps that diverge took as long
        train(_pretended(material, network.grid), network, training, 0, Run(device, None, watch))
    return watch.each * full.batch / batch, held() * full.batch / batch, round(full.batch / batch)


def training_words(
    material: Material, network: JanusConfig, training: TrainingConfig, device: str, trials: int = 0
) -> str:
    """How long a training takes, or so many trials of a study, by three of its steps; "" if it is soon done.

    A trial is trained for a quarter of the steps first, after which it may be pruned, and then from the start for all.
    """
    if training.steps < FEW:
        return ""
    step = step_of(material, network, training, device)[0]
    whole, words = step * training.steps, f"{training.steps} steps of {told(step)} on {device}"
    if not trials:
        fewer = f"; a first look: --set training.steps={training.steps // 4}" if whole > LONG else ""
        return f"{words}: about {told(whole)}{fewer}"
    span = f"{told(trials * whole / 4)} to {told(1.25 * trials * whole)} of training"
    return f"{trials} trials of up to {words}: {span}"


def _pretended(material: Material, grid: tuple[int, ...]) -> Samples:
    """A few images with properties that nobody simulated: a step does not look whether they are true."""
    rng = np.random.default_rng(0)
    images = rng.integers(2, size=(4, *grid), dtype=np.uint8)
    own = [name for p in material.physics if p.simulator in OWN for name in p.properties]
    rows = unlabelled(images, material, [n for n in own if material.contrast(n)], status=SIMULATED)
    values = np.linspace(0.4, 0.6, rows.properties.size).reshape(rows.properties.shape)
    return dataclasses.replace(rows, properties=values, sensitivity=rng.random(rows.sensitivity.shape, np.float32))
