"""A small convolutional variational autoencoder, conditional or not, with a head that predicts from images.

Kingma & Welling 2014; Sohn, Lee & Yan 2015. The convolutions are those of Janus-C; what is Janus' own, the cycles and
the sensitivities, is not here.
"""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from janus_al.networks import convolutional

LATENT, CHANNELS, STEM, STEPS, BATCH, RATE = 16, 24, 4, 400, 48, 3e-3


class Autoencoder(nn.Module):
    """q(z | x, c), p(x | z, c), and c as predicted of x alone; c has no columns where there is no condition."""

    def __init__(self, side: int, conditions: int, circular: bool) -> None:
        super().__init__()
        layout = convolutional.Layout((side, side), CHANNELS, STEM, circular)
        self.encoder = convolutional.encoder(layout, 2 * LATENT)
        self.posterior = nn.Linear(2 * LATENT + conditions, 2 * LATENT)
        self.decoder = convolutional.decoder(layout, LATENT + conditions)
        self.head = None
        if conditions:
            self.head = nn.Sequential(
                convolutional.encoder(layout, 2 * LATENT), nn.SiLU(), nn.Linear(2 * LATENT, conditions)
            )

    def encode(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """Images (n, side, side) of 0 and 1 -> mean and logarithm of the variance of z, (n, LATENT) each."""
        mean, log = self.posterior(torch.cat([self.encoder(x[:, None] * 2 - 1), c], dim=1)).chunk(2, dim=1)
        return mean, log

    def decode(self, z: Tensor, c: Tensor) -> Tensor:
        """Log odds of label 1, (n, side, side)."""
        logits: Tensor = self.decoder(torch.cat([z, c], dim=1))[:, 0]
        return logits

    def predict(self, x: Tensor) -> Tensor:
        """Conditions of images, (n, conditions)."""
        return x.new_empty(len(x), 0) if self.head is None else self.head(x[:, None] * 2 - 1)


def train_autoencoder(
    images: NDArray[np.integer], conditions: NDArray[np.float64], circular: bool, seed: int, steps: int = STEPS
) -> Autoencoder:
    """Fit one by the evidence lower bound, and its head by squared error, in one descent.

    Args:
        images: (n, side, side) binary.
        conditions: standardised, (n, number of them), which may be 0.
        circular: whether convolutions reach across the edges.
        seed: of weights, batches and noise.
        steps: of Adam, with a rate that falls along a cosine.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Autoencoder(images.shape[1], conditions.shape[1], circular)
        adam = torch.optim.Adam(model.parameters(), lr=RATE)
        falling = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
        every, given = torch.tensor(images).float(), torch.tensor(conditions).float()
        for _ in range(steps):
            rows = torch.randint(len(every), (BATCH,))
            x, c = every[rows], given[rows]
            mean, log = model.encode(x, c)
            logits = model.decode(mean + torch.exp(log / 2) * torch.randn_like(mean), c)
            seen = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(dim=(1, 2))
            divergence = (mean**2 + log.exp() - 1 - log).sum(dim=1) / 2
            loss = (seen + divergence).mean() / x[0].numel() + ((model.predict(x) - c) ** 2).sum(dim=1).mean()
            adam.zero_grad()
            loss.backward()
            adam.step()
            falling.step()
    return model.eval()
