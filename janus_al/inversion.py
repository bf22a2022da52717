"""Inversion of properties into images: a swarm of latent vectors, all optimised together.

Each member minimises over its z (Batley & Saha 2025, Eq. 12, with a binary term)

    l_task miss(P(z)) + l_binary miss(P(E(b))) + l_cyc |z - E(D(z))| / sigma + l_deep |D(z) - D(E(D(z)))|
    + l_align mean(((z - mu) / sigma)^2)

with b the binarised decode, through which gradients pass as if it were not cut (straight-through), and
miss the squared distance of the properties from the goal's intervals. mu and sigma are the moments of the
encoded dataset, from which the starting points are drawn; steps are taken in units of sigma, so that they mean the
same for every network, however far it spreads its latent vectors.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from janus_al.aims import Aims, Goal, Task, scaled_values
from janus_al.lbfgs import lbfgs
from janus_al.networks.janus import Janus
from janus_al.properties import FRACTION, row_of, scaled
from janus_al.settings import Count, Part, Rate, Weight, settings


@settings
class InversionConfig:
    """Settings of one inversion."""

    steps: Count = 60
    """passes, each an evaluation of the loss and its gradient"""
    method: Literal["adam", "lbfgs"] = "adam"
    """of descent; lbfgs reaches in 10 to 20 passes nearly what adam does in 60"""
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
    aim_steps: Annotated[int, Field(strict=True, ge=0, le=100)] = 3
    """steps in which pixels are turned over until the network's own opinion meets the goal, before the first simulation
    and between two; 0: none"""
    near_steps: Count = 20
    """Adam's passes after a simulation, towards the goal that it corrected"""
    l_near: Weight = 3.0
    """weight, then, of the squared distance from where z was, in standard deviations"""
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
        field: the decoder's grey images (n, *grid); cut at 0.5 they are binary.
        predicted: properties of the binarised images by the head, (n, len(names)), physical units.
        names: properties predicted, with volume_fraction last.
        miss: distance of `predicted` from the goal, in standard deviations of the dataset, (n,).
        latent: vectors of which the fields are the decodes, (n, latent).
    """

    field: NDArray[np.float32]
    predicted: NDArray[np.float64]
    names: tuple[str, ...]
    miss: NDArray[np.float64]
    latent: NDArray[np.float32]


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
    aims = Aims.of(model, goals, config)
    starts = [
        np.random.default_rng([*stream, member]).standard_normal(model.config.latents) for member in range(len(goals))
    ]
    noise = torch.tensor(np.array(starts), dtype=torch.float32, device=model.log_mean.device)
    start = model.latent_mean + model.latent_std * noise
    return _found(
        model, aims, _in_parts(model, start, lambda rows: aims.of_rows(rows).task(model, config), config, progress)
    )


def correct(
    model: Janus,
    goals: Sequence[Goal],
    latent: NDArray[np.floating],
    images: NDArray[np.integer],
    simulated: Sequence[Mapping[str, float]],
    config: InversionConfig | None = None,
) -> Candidates:
    """Better candidates near simulated ones: what the head was wrong by is added to its opinion, z held near.

    Space mapping (Bandler et al. 1994): the corrected head agrees with physics where it was asked.

    Args:
        model: whose inversions they are.
        goals: of each.
        latent: their vectors, (n, latent).
        images: what was simulated of them, (n, *grid), of labels 0 and 1.
        simulated: properties of these by name; what is missing is not corrected.
        config: weights and steps.

    Raises:
        PropertyError: a goal asks for what the model does not predict.
    """
    config = config or InversionConfig()
    aims, device = Aims.of(model, goals, config), model.log_mean.device
    said = _head(model, torch.tensor(images, dtype=torch.float32, device=device))
    names = model.config.properties
    truth = [[scaled(n, v[n]) if n in v else math.nan for n in names] for v in simulated]
    shift = torch.nan_to_num(torch.tensor(truth, dtype=torch.float32, device=device) - said)
    aims = replace(aims, shift=shift)
    start = torch.tensor(latent, dtype=torch.float32, device=device)

    def near(rows: slice) -> Task:
        task, began = aims.of_rows(rows).task(model, config), start[rows]
        return lambda z, grey: task(z, grey) + config.l_near * ((z - began) / model.latent_std).square().mean(dim=1)

    near_config = replace(config, steps=config.near_steps, method="adam", rate=config.rate / 4)
    return _found(model, aims, _in_parts(model, start, near, near_config))


def _in_parts(
    model: Janus,
    start: Tensor,
    task: Callable[[slice], Task],
    config: InversionConfig,
    progress: Callable[[int, int], None] = lambda step, steps: None,
) -> Tensor:
    """`descend` from the network's own prior, with a task for some rows, as many at once as fit in memory."""
    size, parts = model.config.together, list[Tensor]()
    total = config.steps * -(-len(start) // size)
    for first in range(0, len(start), size):
        rows, done = slice(first, first + size), config.steps * len(parts)

        def told(step: int, steps: int, done: int = done) -> None:
            progress(done + step, total)

        parts.append(descend(model, start[rows], task(rows), _prior(model), config, told))
    return torch.cat(parts) if parts else start


def descend(
    model: Janus,
    start: Tensor,
    task: Task,
    prior: tuple[Tensor, Tensor],
    config: InversionConfig,
    progress: Callable[[int, int], None] = lambda step, steps: None,
) -> Tensor:
    """Latent vectors (n, latent) that minimise a task and the terms which keep them where the network knows its way.

    Args:
        model: its weights are held fixed meanwhile.
        start: (n, latent).
        task: what each member has to lower.
        prior: mu and sigma of the latent vectors wanted, (latent,) or (n, latent).
        config: weights and steps.
        progress: told the step reached and the number of steps.
    """
    mean, std = prior

    def evaluate(w: Tensor) -> tuple[Tensor, Tensor]:
        """One pass: losses (n,) and their gradients (n, latent)."""
        w = w.detach().requires_grad_()
        z = mean + std * w
        grey = model.decode(z)
        again = model.encode(grey)
        loss = (
            task(z, grey)
            + config.l_cyc * ((z - again) / std).abs().mean(dim=1)
            + config.l_deep * (grey - model.decode(again)).abs().flatten(1).mean(dim=1)
            + config.l_align * (w**2).mean(dim=1)
        )
        (slope,) = torch.autograd.grad(loss.sum(), w)
        return loss.detach(), slope

    w = ((start - mean) / std).detach()
    if config.method == "lbfgs":
        return mean + std * lbfgs(evaluate, w, config.steps, progress)
    w.requires_grad_()
    adam = torch.optim.Adam([w], lr=config.rate)
    for step in range(config.steps):
        for group in adam.param_groups:
            group["lr"] = config.rate * (1 - step / config.steps)
        _, w.grad = evaluate(w)
        adam.step()
        progress(step + 1, config.steps)
    return (mean + std * w).detach()


def _found(model: Janus, aims: Aims, z: Tensor) -> Candidates:
    with torch.no_grad():
        soft = model.decode(z)
        binary = (soft > 0.5).float()
        seen, fraction = model.encode(binary), binary.flatten(1).mean(dim=1)
        miss = aims.miss(model, seen, fraction).sqrt()
        predicted = torch.cat([scaled_values(model, seen) + aims.shift, fraction[:, None]], dim=1)
    names = (*model.config.properties, FRACTION.name)
    log = [row_of(name).log for name in names]
    values = predicted.double().cpu().numpy()
    values[:, log] = np.exp(values[:, log])
    return Candidates(soft.cpu().numpy(), values, names, miss.double().cpu().numpy(), z.cpu().numpy())


def _prior(model: Janus) -> tuple[Tensor, Tensor]:
    return model.latent_mean, model.latent_std


def _head(model: Janus, images: Tensor) -> Tensor:
    """The same of images."""
    with torch.no_grad():
        return scaled_values(model, model.encode(images))
