"""Samples as tensors for training: what is held out, how targets are scaled, and the exact symmetries.

Mirror images conduct alike, and a transposed image has kxx and kyy exchanged: eight labels for one simulation.
Under a periodic boundary every translation conducts alike, too.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from janus_al.dataset import CONDUCTIVITIES, Samples
from janus_al.identity import canonical_hashes
from janus_al.networks.janus import Janus


class Data:
    """Samples as tensors on the device, symmetric copies on one side of the split, with targets standardised."""

    def __init__(self, samples: Samples, model: Janus, validation: float, device: str, fit_scaling: bool) -> None:
        held = np.array([int(h[:8], 16) < validation * 2**32 for h in canonical_hashes(samples)])
        simulated = samples.simulated
        if not (simulated & ~held).any():
            held[:] = False
        log_k = np.log(samples.properties[:, : len(CONDUCTIVITIES)])
        if fit_scaling:
            # One scale for all conductivities: a quarter turn swaps them.
            fit = log_k[simulated & ~held]
            model.log_mean.fill_(float(fit.mean()))
            model.log_std.fill_(max(float(fit.std()), 1e-3))
        mean, std = float(model.log_mean[0]), float(model.log_std[0])
        k0, k1 = samples.phase_conductivity
        scale = math.log(k1 / k0) / samples.image[0].size / std
        self.x = torch.tensor(samples.image, device=device)
        self.y = torch.tensor((log_k - mean) / std, dtype=torch.float32, device=device)
        self.slope = torch.tensor(samples.sensitivity, device=device)
        self.scale = scale
        self.periodic = samples.boundary == "periodic"
        self.train = np.flatnonzero(~held)
        self.simulated = np.flatnonzero(simulated & ~held)
        self.held = np.flatnonzero(held)
        self.held_simulated = np.flatnonzero(held & simulated)


class Symmetry:
    """One symmetry for each of n images, drawn at random."""

    def __init__(self, n: int, side: int, periodic: bool, rng: np.random.Generator) -> None:
        self.turn = rng.random((3, n)) < 0.5
        self.shift = rng.integers(side, size=(2, n)) if periodic else None

    def of_images(self, x: Tensor) -> Tensor:
        """Images or maps (n, ..., side, side), turned and shifted."""
        x = symmetry(x, self.turn)
        return x if self.shift is None else translate(x, self.shift)

    def of_properties(self, y: Tensor) -> Tensor:
        """(n, 2, ...), kxx and kyy along axis 1."""
        return swap(y, self.turn)


def translate(x: Tensor, shift: NDArray[np.integer]) -> Tensor:
    """Images (n, ..., side, side) rolled by shift[0] down and shift[1] to the right, each by its own."""
    n, side = len(x), x.shape[-1]
    pixel = torch.arange(side, device=x.device)
    row, column = ((pixel - torch.tensor(s, device=x.device)[:, None]) % side for s in shift)
    image = torch.arange(n, device=x.device)[:, None, None]
    return x.reshape(n, -1, side, side)[image, :, row[:, :, None], column[:, None, :]].movedim(-1, 1).reshape(x.shape)


def symmetry(x: Tensor, turn: NDArray[np.bool_]) -> Tensor:
    """Mirror left-right, mirror up-down and transpose the images that the three rows of `turn` name."""
    masks = torch.tensor(turn, device=x.device).reshape(3, -1, *[1] * (x.dim() - 1))
    x = torch.where(masks[0], x.flip(-1), x)
    x = torch.where(masks[1], x.flip(-2), x)
    return torch.where(masks[2], x.transpose(-1, -2), x)


def swap(y: Tensor, turn: NDArray[np.bool_]) -> Tensor:
    """Exchange kxx and kyy, along axis 1, of the transposed images."""
    mask = torch.tensor(turn[2], device=y.device).reshape(-1, *[1] * (y.dim() - 1))
    return torch.where(mask, y.flip(1), y)
