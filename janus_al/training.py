"""Training of Janus on samples, of which some were simulated and the rest train the label-free terms.

    L = l_task L_task + l_rec L_rec + l_cyc |z - E(D(z))| + l_deep |D(z) - D(E(D(z)))| + l_sens L_sens

Every random choice derives from (seed, step), so a resumed run ends with the very weights of an
uninterrupted one on the same machine and number of threads.
"""

import io
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from janus_al import losses
from janus_al.batches import Data, swap, symmetry
from janus_al.checkpoint import Card
from janus_al.dataset import CONDUCTIVITIES, Samples, atomic_path
from janus_al.network import Janus, JanusConfig

Array = NDArray[np.float64]


class TrainingError(ValueError):
    """Samples that cannot train this network, or settings under which training fails."""


@dataclass(frozen=True)
class TrainingConfig:
    """Settings of one training run; l_sens = 0 is the paper's way."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012

    steps: int = 1500
    batch: int = 48
    """images a step"""
    simulated: int = 16
    """how many of them come from the simulated samples"""
    cycled: int = 16
    """how many of them the two cycle terms are computed on, at most"""
    rate: float = 3e-3
    """highest learning rate of the one-cycle schedule"""
    weight_decay: float = 1e-3
    clip: float = 5.0
    """largest norm of a gradient step"""
    l_task: float = 1.0
    l_rec: float = 20.0
    l_cyc: float = 0.1
    l_deep: float = 0.1
    l_sens: float = 10.0
    reconstruction: str = "bce"
    """bce, l1 or l2"""
    pool: int = 1
    """sensitivities are compared after averaging over blocks of this many pixels a side"""
    validation: float = 0.1
    """part of the images, by content hash, that is held out to choose the best weights"""
    checks: int = 20
    """how often the validation loss is computed"""

    def __post_init__(self) -> None:
        """Refuse settings that cannot train."""
        if self.reconstruction not in {"bce", "l1", "l2"}:
            raise ValueError(f"reconstruction '{self.reconstruction}': it must be bce, l1 or l2")
        if not 0 < self.simulated <= self.batch or self.cycled < 1:
            raise ValueError(
                f"simulated {self.simulated}, cycled {self.cycled}: of a batch of {self.batch} at least 1, at most all"
            )
        weights = {k: v for k, v in asdict(self).items() if k.startswith("l_")}
        if min(weights.values()) < 0 or self.steps < 1 or not 0 <= self.validation < 1:
            raise ValueError(f"loss weights {weights}, steps {self.steps}: none may be negative, steps at least 1")


def train(
    samples: Samples,
    network: JanusConfig,
    config: TrainingConfig,
    seed: int,
    device: str = "cpu",
    start: Janus | None = None,
    state: Path | None = None,
    progress: Callable[[int, int], None] = lambda step, steps: None,
) -> tuple[Janus, Card]:
    """Train a model.

    Args:
        samples: with at least two of them simulated.
        network: what to build, unless `start` gives a model to go on from.
        config: losses, steps, rates.
        seed: of everything random.
        device: where to train.
        start: weights to start from; its scaling of log k is kept.
        state: a file that keeps the run's state; one that exists is resumed, and removed at the end.
        progress: told the step reached and the number of steps.

    Raises:
        TrainingError: if the samples cannot train this network, or training diverges.
    """
    began = time.perf_counter()
    check_samples(samples, network)
    model = build(network, seed) if start is None else start
    data = Data(samples, model, config.validation, device, fit_scaling=start is None)
    model.to(device).train()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config.rate, weight_decay=config.weight_decay, betas=(0.9, 0.98)
    )
    step, spent, run = 0, 0.0, repr((config, seed, samples.digest()))
    best = {k: v.clone() for k, v in model.state_dict().items()}
    best_score, history = math.inf, list[dict[str, float]]()
    if state is not None and state.exists():
        saved = torch.load(state, map_location=device, weights_only=True)
        if saved["run"] != run:
            raise TrainingError(f"{state}: the state of another training run; remove it, or write elsewhere")
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        step, spent, best, best_score, history = (saved[k] for k in ("step", "spent", "best", "score", "history"))
    every = max(1, config.steps // config.checks)
    while step < config.steps:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, config)
        terms = _losses(model, data, config, np.random.default_rng([seed, step]))
        loss = sum((getattr(config, f"l_{name}") * value for name, value in terms.items()), torch.zeros(()))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), config.clip)
        optimizer.step()
        step += 1
        progress(step, config.steps)
        if step % every and step < config.steps:
            continue
        score = _validation(model, data, config)
        if score <= best_score:
            best_score, best = score, {k: v.clone() for k, v in model.state_dict().items()}
        row = {name: float(value.detach()) for name, value in terms.items()}
        history.append({"step": step, "loss": float(loss.detach()), **row, "validation": score})
        if not math.isfinite(history[-1]["loss"]):
            raise TrainingError(f"training diverged at step {step}; lower the rate ({config.rate}) or the loss weights")
        if state is not None and step < config.steps:
            kept = {
                "run": run,
                "model": model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "step": step,
                "spent": spent + time.perf_counter() - began,
                "best": best,
                "score": best_score,
                "history": history,
            }
            # torch's own writer turns a full disk into an error that does not say so.
            buffer = io.BytesIO()
            torch.save(kept, buffer)
            with atomic_path(state) as temporary:
                temporary.write_bytes(buffer.getvalue())
    model.load_state_dict(best)
    model.eval()
    update_latent_moments(model, samples)
    if state is not None:
        state.unlink(missing_ok=True)
    k = samples.properties[samples.simulated][:, : len(CONDUCTIVITIES)]
    card = Card(
        phase_conductivity=samples.phase_conductivity,
        boundary=samples.boundary,
        dataset_digest=samples.digest(),
        simulated=int(samples.simulated.sum()),
        training={**asdict(config), "seed": seed},
        seconds=spent + time.perf_counter() - began,
        history=history,
        property_range={n: tuple(np.percentile(c, [5, 95]).tolist()) for n, c in zip(CONDUCTIVITIES, k.T, strict=True)},
    )
    return model, card


def learning_rate(step: int, config: TrainingConfig) -> float:
    """One cycle: up from a 25th along a cosine over 15 % of the steps, then down to nearly nothing."""
    up = max(1.0, 0.15 * config.steps)
    low, part = (1 / 25, step / up) if step < up else (1e-4, 1 - (step - up) / max(1.0, config.steps - up))
    return config.rate * (low + (1 - low) * (1 - math.cos(math.pi * part)) / 2)


def build(network: JanusConfig, seed: int) -> Janus:
    """A fresh network whose weights depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Janus(network)


def shrink_and_perturb(model: Janus, seed: int, shrink: float, perturb: float) -> Janus:
    """Weights for a warm start: old ones shrunk towards a fresh network (Ash & Adams 2020).

    The new weights are shrink * old + perturb * fresh.
    """
    fresh = build(model.config, seed)
    with torch.no_grad():
        for new, old in zip(fresh.parameters(), model.parameters(), strict=True):
            new.mul_(perturb).add_(shrink * old.cpu())
    for name, buffer in model.named_buffers():
        setattr(fresh, name, buffer.clone().cpu())
    return fresh


@torch.no_grad()
def update_latent_moments(model: Janus, samples: Samples) -> None:
    """Mean and standard deviation of the encoded dataset, from which inversions start."""
    z = encode(model, samples.image)
    model.latent_mean.copy_(z.mean(dim=0))
    model.latent_std.copy_(z.std(dim=0) + 1e-6)


@torch.no_grad()
def encode(model: Janus, images: NDArray[np.uint8]) -> Tensor:
    """Latent vectors of labels (n, side, side)."""
    device = model.log_mean.device
    parts = [model.encode(torch.tensor(part, device=device).float()) for part in _chunks(images)]
    return torch.cat(parts)


def _chunks(images: NDArray[np.uint8], size: int = 256) -> list[NDArray[np.uint8]]:
    return [images[i : i + size] for i in range(0, len(images), size)]


def check_samples(samples: Samples, network: JanusConfig) -> None:
    """Refuse samples that cannot train a network.

    Raises:
        TrainingError: of another size, of more than two phases, or with fewer than two simulated.
    """
    ny, nx = samples.image.shape[1:]
    if (ny, nx) != (network.size, network.size):
        raise TrainingError(
            f"images of {ny} x {nx} pixels: this network wants square ones of {network.size} x {network.size}"
        )
    if len(samples.phase_conductivity) != 2:
        raise TrainingError(f"{len(samples.phase_conductivity)} phases: Janus designs two-phase microstructures")
    if samples.simulated.sum() < 2:
        raise TrainingError(
            f"{samples.simulated.sum()} simulated samples: training needs at least 2; simulate some first"
        )


def _losses(model: Janus, data: Data, config: TrainingConfig, rng: np.random.Generator) -> dict[str, Tensor]:
    """The terms of one step, by name, in the order of the module's equation."""
    rows = rng.choice(data.simulated, config.simulated)
    others = rng.choice(data.train, config.batch - config.simulated)
    turn, turn_others = rng.random((3, len(rows))) < 0.5, rng.random((3, len(others))) < 0.5
    x = symmetry(data.x[rows].float(), turn)
    y = swap(data.y[rows], turn)
    x.requires_grad_(config.l_sens > 0)
    z = model.encode(x)
    predicted = model.predict(z)
    terms = {"task": (predicted - y).square().mean()}
    if config.l_sens:
        slope = swap(symmetry(data.slope[rows].float() * data.scale, turn), turn)
        weights = torch.tensor(rng.standard_normal(predicted.shape), dtype=torch.float32, device=x.device)
        weights = weights / weights.norm(dim=1, keepdim=True)
        terms["sens"] = losses.sensitivity(predicted, x, slope, weights, config.pool)
    if config.l_rec or config.l_cyc or config.l_deep:
        x = x.detach()
        if len(others):
            more = symmetry(data.x[others].float(), turn_others)
            x, z = torch.cat([x, more]), torch.cat([z, model.encode(more)])
        logits = model.decode_logits(z)
        terms["rec"] = losses.reconstruction(logits, x, config.reconstruction)
        if config.l_cyc or config.l_deep:
            decoded = torch.sigmoid(logits[-config.cycled :])
            again = model.encode(decoded)
            terms["cyc"] = losses.cycle(z[-config.cycled :], again)
            if config.l_deep:
                terms["deep"] = losses.deep_cycle(decoded, model.decode(again))
    return terms


@torch.no_grad()
def _validation(model: Janus, data: Data, config: TrainingConfig) -> float:
    """Task and reconstruction loss, weighted, of the held-out images; 0 where nothing is held out."""
    score = 0.0
    if len(data.held_simulated):
        rows = data.held_simulated
        predicted = model.predict(model.encode(data.x[rows].float()))
        score += config.l_task * float((predicted - data.y[rows]).square().mean())
    if len(data.held):
        x = data.x[data.held[:256]].float()
        logits = model.decode_logits(model.encode(x))
        score += config.l_rec * float(losses.reconstruction(logits, x, config.reconstruction))
    return score
