"""What a trained model knows, as samples: its own decodes with its own opinion of them.

A model that goes on learning from a few new samples alone forgets all others. Where those it learned from are gone, its
own answers stand for them: binary decodes of random latent vectors, each with the properties that its head says they
have and how these change with every pixel (learning without forgetting, Li & Hoiem 2017).
"""

from dataclasses import replace

import numpy as np
import torch

from janus_al.checkpoint import Card
from janus_al.networks.janus import Janus
from janus_al.properties import FRACTION
from janus_al.samples import SIMULATED, Samples, unlabelled

ORIGIN = b"remembered"


def remembered(model: Janus, card: Card, count: int, seed: int) -> Samples:
    """`count` images, fewer where decodes are alike or of one phase, with values and sensitivities by the model.

    They have the status of simulated samples, so that training takes them as such, and `ORIGIN` as their origin.
    """
    grid = tuple(range(1, 1 + model.config.dim))
    noise = np.random.default_rng(seed).standard_normal((count, model.config.latents))
    device, names = model.log_mean.device, model.config.properties
    z = model.latent_mean + model.latent_std * torch.tensor(noise, dtype=torch.float32, device=device)
    with torch.no_grad():
        images = np.concatenate(
            [(model.decode(part) > 0.5).cpu().numpy() for part in z.split(model.config.together)]
        ).astype(np.uint8)
    images = np.unique(images[np.ptp(images, axis=grid) > 0], axis=0)
    values, slopes = [], []
    for part in torch.tensor(images, device=device).float().split(model.config.together):
        x = part.requires_grad_()
        z = model.encode(x)
        slopes.append([torch.autograd.grad(s.sum(), x, retain_graph=True)[0] for s in model.predict(z).T])
        values.append(model.values(z).detach())
    known = dict(zip(names, torch.cat(values).double().cpu().numpy().T, strict=True))
    known[FRACTION.name] = images.mean(axis=grid)
    maps = {}
    for column, name in enumerate(names):
        if contrast := card.material.contrast(name):
            slope = torch.cat([part[column] for part in slopes]).cpu().numpy()
            maps[name] = slope * (model.log_std[column].item() * images[0].size / contrast)
    sensitive = [name for name in card.material.names if name in maps]
    rows = unlabelled(images, card.material, sensitive, status=SIMULATED, origin=ORIGIN, seed=seed)
    nan = np.full(len(images), np.nan)
    return replace(
        rows,
        pixel=card.pixel,
        properties=np.stack([known.get(name, nan) for name in card.material.names], axis=1),
        sensitivity=np.stack([maps[name] for name in sensitive], axis=1) if sensitive else rows.sensitivity,
    )
