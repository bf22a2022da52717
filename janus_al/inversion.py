"""Inversion of properties into images: a swarm of latent vectors, all optimised together.

Each member minimises over its z (Batley & Saha 2025, Eq. 12, with a binary term)

    l_task miss(P(z)) + l_binary miss(P(E(b))) + l_cyc |z - E(D(z))| / sigma + l_deep |D(z) - D(E(D(z)))|
    + l_align mean(((z - mu) / sigma)^2)

with b the binarised decode, through which gradients pass as if it were not cut (straight-through), and
miss the squared distance of the properties from the goal's intervals. mu and sigma are the moments of the
encoded dataset, from which the starting points are drawn; steps are taken in units of sigma, so that they mean the
same for every network, however far it spreads its latent vectors.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from janus_al.networks.janus import Janus
from janus_al.properties import PropertyError, row_of
from janus_al.settings import Count, Part, Rate, Weight, settings

Goal = Mapping[str, tuple[float, float]]
"""Interval wanted for each property, in its unit; ends may be infinite."""


@settings
class InversionConfig:
    """Settings of one inversion."""

    steps: Count = 60
    """Adam steps"""
    rate: Rate = 0.2
    """of Adam, in standard deviations of the encoded dataset"""
    l_task: Weight = 30.0
    """weight of the head's miss of the goal"""
    l_binary: Weight = 30.0
    """weight of the miss of the decoded, binarised and encoded image"""
    l_cyc: Weight = 1.0
    """weight of |z - E(D(z))| in standard deviations"""
    l_deep: Weight = 1.0
    """weight of |D(z) - D(E(D(z)))|"""
    l_align: Weight = 0.1
    """weight of the squared distance from the encoded dataset's mean, in standard deviations"""
    focus: Part = 0.25
    """part of a narrow goal's interval, around its middle, that is aimed at"""
    margin: Annotated[float, Field(strict=True, ge=0, le=0.5)] = 0.02
    """a wide goal is aimed at up to this part of its ends"""

    def __post_init__(self) -> None:
        """Refuse settings that do not look at the goal."""
        if not (self.l_task or self.l_binary):
            raise ValueError("l_task and l_binary are both 0: nothing draws to the target; raise one")


@dataclass(frozen=True)
class Candidates:
    """What an inversion proposes, row by row.

    Attributes:
        field: the decoder's grey images (n, side, side); cut at 0.5 they are binary.
        predicted: properties of the binarised images by the head, (n, len(names)), physical units.
        names: properties predicted, with volume_fraction last.
        miss: distance of `predicted` from the goal, in standard deviations of the dataset, (n,).
    """

    field: NDArray[np.float32]
    predicted: NDArray[np.float64]
    names: tuple[str, ...]
    miss: NDArray[np.float64]


def invert(
    model: Janus,
    goals: Sequence[Goal],
    seed: int | Sequence[int],
    config: InversionConfig | None = None,
    progress: Callable[[int, int], None] = lambda step, steps: None,
) -> Candidates:
    """One candidate for each goal, in order. The seed and a member's index fix its starting point.

    Raises:
        PropertyError: a goal asks for what the model does not predict.
    """
    config, stream = config or InversionConfig(), [seed] if isinstance(seed, int) else [*seed]
    device = model.log_mean.device
    names = (*model.config.properties, "volume_fraction")
    if strange := [name for goal in goals for name in goal if name not in names]:
        raise PropertyError(f"property '{strange[0]}': this model predicts {', '.join(names)}")
    low, high = (b.to(device) for b in _bounds(model, goals, names, config))
    starts = [
        np.random.default_rng([*stream, member]).standard_normal(model.config.latent) for member in range(len(goals))
    ]
    noise = torch.tensor(np.array(starts), dtype=torch.float32, device=device)

    def task(z: Tensor, grey: Tensor) -> Tensor:
        binary = grey + ((grey > 0.5).float() - grey).detach()
        fraction = binary.mean(dim=(1, 2))
        return config.l_task * _miss(model, z, fraction, low, high) + config.l_binary * _miss(
            model, model.encode(binary), fraction, low, high
        )

    prior = (model.latent_mean, model.latent_std)
    z = descend(model, model.latent_mean + model.latent_std * noise, task, prior, config, progress)
    with torch.no_grad():
        soft = model.decode(z)
        binary = (soft > 0.5).float()
        seen, fraction = model.encode(binary), binary.mean(dim=(1, 2))
        miss = _miss(model, seen, fraction, low, high).sqrt()
        predicted = torch.cat([model.values(seen), fraction[:, None]], dim=1)
    return Candidates(soft.cpu().numpy(), predicted.double().cpu().numpy(), names, miss.double().cpu().numpy())


def descend(
    model: Janus,
    start: Tensor,
    task: Callable[[Tensor, Tensor], Tensor],
    prior: tuple[Tensor, Tensor],
    config: InversionConfig,
    progress: Callable[[int, int], None] = lambda step, steps: None,
) -> Tensor:
    """Latent vectors (n, latent) that minimise a task and the terms which keep them where the network knows its way.

    Args:
        model: its weights are held fixed meanwhile.
        start: (n, latent).
        task: latent vectors and their grey decodes -> what each member has to lower, (n,).
        prior: mu and sigma of the latent vectors wanted, (latent,) or (n, latent).
        config: weights and steps.
        progress: told the step reached and the number of steps.
    """
    mean, std = prior
    w = ((start - mean) / std).detach().requires_grad_()
    adam = torch.optim.Adam([w], lr=config.rate)
    for step in range(config.steps):
        for group in adam.param_groups:
            group["lr"] = config.rate * (1 - step / config.steps)
        z = mean + std * w
        grey = model.decode(z)
        again = model.encode(grey)
        loss = (
            task(z, grey)
            + config.l_cyc * ((z - again) / std).abs().mean(dim=1)
            + config.l_deep * (grey - model.decode(again)).abs().mean(dim=(1, 2))
            + config.l_align * (w**2).mean(dim=1)
        ).sum()
        (w.grad,) = torch.autograd.grad(loss, w)
        adam.step()
        progress(step + 1, config.steps)
    return (mean + std * w).detach()


def aimed_at(interval: tuple[float, float], config: InversionConfig) -> NDArray[np.float64]:
    """The part of an interval that the inversion aims at, off its ends as the simulation will not agree exactly."""
    low, high = interval
    narrow = (1 - config.focus) * (high - low) / 2
    inward = [0.0 if np.isinf(end) else min(narrow, config.margin * abs(end)) for end in interval]
    return np.array([low + inward[0], high - inward[1]])


def _bounds(
    model: Janus, goals: Sequence[Goal], names: Sequence[str], config: InversionConfig
) -> tuple[Tensor, Tensor]:
    """Intervals aimed at, standardised as the head's output is; the volume fraction as it is."""
    mean, std = model.log_mean.cpu().numpy(), model.log_std.cpu().numpy()
    bounds = np.full((2, len(goals), len(names)), np.inf)
    bounds[0] = -np.inf
    for row, goal in enumerate(goals):
        for name, interval in goal.items():
            column = names.index(name)
            ends = aimed_at(interval, config)
            if column < len(mean):
                with np.errstate(divide="ignore"):
                    ends = np.log(np.maximum(ends, 0)) if row_of(name).log else ends
                ends = (ends - mean[column]) / std[column]
            bounds[:, row, column] = ends
    low, high = torch.tensor(bounds, dtype=torch.float32)
    return low, high


def _miss(model: Janus, z: Tensor, fraction: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Squared distance of (standardised properties, 10 x volume fraction) from the goal's intervals, (n,)."""
    values = torch.cat([model.predict(z), fraction[:, None]], dim=1)
    outside = torch.relu(low - values) + torch.relu(values - high)
    scale = torch.ones_like(outside[:1])
    scale[:, -1] = 10.0
    return (scale * outside).square().sum(dim=1)
