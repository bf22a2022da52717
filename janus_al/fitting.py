"""The training loop: AdamW on a one-cycle schedule, the best weights by validation kept, resumable bit for bit.

Weights may be averaged over the last steps (Polyak & Juditsky 1992), which lets the rate stay high.

Every random choice derives from (seed, step), so a resumed run ends with the very weights of an
uninterrupted one on the same machine and number of threads.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from janus_al.material import Material
from janus_al.networks.janus import Janus, JanusConfig
from janus_al.settings import Count, Part, Rate, Weight, settings
from janus_al.state import read_state, write_state


class TrainingError(ValueError):
    """Samples that cannot train this network, or settings under which training fails."""


class StateError(TrainingError):
    """A state that belongs to another training run."""


@settings
class TrainingConfig:
    """Settings of one training run; l_sens = 0 is the paper's way, and what is left where no simulator gives maps."""

    steps: Annotated[int, Field(strict=True, ge=1, le=100_000_000)] = 1500
    """gradient steps of the first training"""
    batch: Annotated[int, Field(strict=True, ge=1, le=65536)] = 48
    """images a step"""
    simulated: Count = 16
    """how many of them come from the simulated samples"""
    cycled: Count = 16
    """how many of them the two cycle terms are computed on, at most"""
    rate: Rate = 3e-3
    """highest learning rate of the one-cycle schedule"""
    average: Annotated[int, Field(strict=True, ge=0, le=1_000_000)] = 0
    """steps, an eighth of all at most, that the running mean of the weights goes back, which is what is kept; the rate
    then ends at a fifth of its highest value, as averaging settles what small steps would; 0: the last weights"""
    weight_decay: Annotated[float, Field(strict=True, ge=0, le=100)] = 1e-3
    """of AdamW"""
    clip: Annotated[float, Field(strict=True, gt=0, le=1e6)] = 5.0
    """largest norm of a gradient step"""
    precision: Literal["float32", "bfloat16"] = "float32"
    """of convolutions and matrix products; bfloat16 is many times slower on CPUs without instructions for it"""
    l_task: Weight = 1.0
    """weight of the head's error"""
    l_rec: Weight = 20.0
    """weight of the reconstruction"""
    l_cyc: Weight = 0.1
    """weight of |z - E(D(z))|"""
    l_deep: Weight = 0.1
    """weight of |D(z) - D(E(D(z)))|"""
    l_sens: Weight = 10.0
    """weight of the mismatch of sensitivities"""
    reconstruction: Literal["bce", "l1", "l2"] = "bce"
    """how a decode is compared: cross-entropy, absolute or squared difference"""
    pool: Annotated[int, Field(strict=True, ge=1, le=1024)] = 1
    """sensitivities are compared after averaging over blocks of this many pixels a side; where these do not
    divide the image, the last are smaller"""
    validation: Annotated[float, Field(strict=True, ge=0, lt=1)] = 0.1
    """part of the images, by content hash, that is held out to choose the best weights"""
    replay: Part = 0.5
    """part of a step's simulated images that are what a campaign's rounds proposed, at least, where there are any: as
    few as they are, they are what the next round needs"""
    checks: Count = 20
    """how often the validation loss is computed"""
    calibrate: bool = True
    """at the end, fit a slope, an offset and a linear function of the latent vector to what the head still gets wrong
    of the simulated samples"""

    def __post_init__(self) -> None:
        """Refuse settings that cannot train."""
        if self.simulated > self.batch:
            raise ValueError(f"simulated {self.simulated}: at most the batch of {self.batch} that they are part of")
        if not any((self.l_task, self.l_rec, self.l_cyc, self.l_deep, self.l_sens)):
            raise ValueError("l_task, l_rec, l_cyc, l_deep and l_sens are all 0: nothing is trained; raise one")


def network_for(
    grid: tuple[int, ...], material: Material, network: JanusConfig, training: TrainingConfig
) -> JanusConfig:
    """The network that takes images of this shape and material, checked against the settings of its training.

    Raises:
        TrainingError: if there is none.
    """
    try:
        suited = network.suited_to(grid, material.boundary, material.simulated)
    except ValueError as error:
        raise TrainingError(f"images of {sides(grid)} pixels: {error}") from None
    check_settings(suited, training)
    return suited


def check_settings(network: JanusConfig, training: TrainingConfig) -> None:
    """Refuse settings that do not go together for microstructures.

    Raises:
        TrainingError: a pool larger than the image.
    """
    if training.pool > min(network.grid):
        raise TrainingError(f"training.pool {training.pool}: larger than the image, {sides(network.grid)}; lower it")


def sides(grid: tuple[int, ...]) -> str:
    """A grid in words."""
    return " x ".join(map(str, grid))


@dataclass(frozen=True)
class Fit:
    """What a training run leaves beside the weights: its losses at each check, and the time it took."""

    history: list[dict[str, float]]
    seconds: float


@dataclass(frozen=True)
class Run:
    """Where a training runs, and what it leaves on its way.

    Attributes:
        device: where.
        state: a file that keeps the run's state; one that exists is resumed, and removed at the end. It is a cache:
            a damaged one is dropped, with a warning.
        progress: told the step reached and the number of steps.
    """

    device: str = "cpu"
    state: Path | None = None
    progress: Callable[[int, int], None] = lambda step, steps: None


ALONE = Run()
"""on the CPU, with nothing kept and nobody told"""


def fit(
    model: Janus,
    terms: Callable[[int], Mapping[str, Tensor]],
    validate: Callable[[Janus], float],
    config: TrainingConfig,
    identity: str,
    run: Run,
) -> Fit:
    """Train a model in place, and leave it with its best weights, in evaluation mode.

    Args:
        model: moved to the run's device.
        terms: step -> the losses by name, weighted by the configuration's `l_` fields.
        validate: what chooses the best weights, asked of the model that has them; lower is better, of equal ones the
            later.
        config: steps, rates, weights.
        identity: what tells this run from others; a state of another run is refused.
        run: its device, state and progress.

    Raises:
        TrainingError: if training diverges.
        StateError: the state is another run's.
    """
    began = time.perf_counter()
    model.to(run.device).train()
    device = model.log_mean.device
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config.rate, weight_decay=config.weight_decay, betas=(0.9, 0.98)
    )
    step, spent, mean = 0, 0.0, running_mean(model, config)
    best = {k: v.clone() for k, v in model.state_dict().items()}
    best_score, history = math.inf, list[dict[str, float]]()
    saved = None if run.state is None else read_state(run.state, device)
    if saved is not None:
        if saved["run"] != identity:
            raise StateError(f"{run.state}: the state of another training run; remove it, or write elsewhere")
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        step, spent, best, best_score, history = (saved[k] for k in ("step", "spent", "best", "score", "history"))
        if mean is not None:
            mean.load_state_dict(saved["mean"])
    every = max(1, config.steps // config.checks)
    while step < config.steps:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, config)
        with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bfloat16"):
            losses = terms(step)
            loss = sum((getattr(config, f"l_{name}") * value for name, value in losses.items()), torch.zeros(()))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), config.clip)
        optimizer.step()
        if mean is not None:
            mean.update_parameters(model)
        step += 1
        run.progress(step, config.steps)
        if step % every and step < config.steps:
            continue
        judged = model if mean is None else cast(Janus, mean.module)
        score = validate(judged)
        if score <= best_score:
            best_score, best = score, {k: v.clone() for k, v in judged.state_dict().items()}
        row = {name: float(value.detach()) for name, value in losses.items()}
        history.append({"step": step, "loss": float(loss.detach()), **row, "validation": score})
        if not math.isfinite(history[-1]["loss"]):
            raise TrainingError(f"training diverged at step {step}; lower the rate ({config.rate}) or the loss weights")
        if run.state is not None and step < config.steps:
            kept = {
                "run": identity,
                "model": model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "mean": None if mean is None else mean.state_dict(),
                "step": step,
                "spent": spent + time.perf_counter() - began,
                "best": best,
                "score": best_score,
                "history": history,
            }
            write_state(run.state, kept)
    model.load_state_dict(best)
    model.eval()
    if run.state is not None:
        run.state.unlink(missing_ok=True)
    return Fit(history, spent + time.perf_counter() - began)


def running_mean(model: Janus, config: TrainingConfig) -> AveragedModel | None:
    """What averages a model's weights, or None where the last ones are kept."""
    back = averaged_steps(config)
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(1 - 1 / back)) if back else None


def averaged_steps(config: TrainingConfig) -> int:
    """Steps that the running mean goes back; 0 where there are too few."""
    back = min(config.average, config.steps // 8)
    return back if back > 1 else 0


def learning_rate(step: int, config: TrainingConfig) -> float:
    """One cycle: up from a 25th along a cosine over 15 % of the steps, then down, to nearly nothing or a fifth."""
    up, last = max(1.0, 0.15 * config.steps), 0.2 if averaged_steps(config) else 1e-4
    low, part = (1 / 25, step / up) if step < up else (last, 1 - (step - up) / max(1.0, config.steps - up))
    return config.rate * (low + (1 - low) * (1 - math.cos(math.pi * part)) / 2)
