"""Samples as tensors for training: what is held out, how targets are scaled, and the exact symmetries.

A mirrored image conducts alike, and a transposed one has kxx and kyy exchanged: eight labels for one simulation. What
a symmetry does to each property the table says (`janus_al.properties`). Under a periodic boundary every translation
conducts alike, too.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from janus_al.fitting import TrainingConfig
from janus_al.identity import canonical_hashes
from janus_al.networks.janus import Janus
from janus_al.properties import action, orbits, row_of
from janus_al.samples import Samples


class Data:
    """Samples as tensors on the device, symmetric copies on one side of the split, with targets standardised."""

    def __init__(self, samples: Samples, model: Janus, config: TrainingConfig, device: str, fit_scaling: bool) -> None:
        held = held_out(samples, config.validation)
        names = model.config.properties
        y = learned(samples, names)
        simulated = np.isfinite(y).any(axis=1)
        if not (simulated & ~held).any():
            held[:] = False
        if fit_scaling:
            fit_scale(model, y[simulated & ~held], names)
        mean, std = (scale.double().cpu().numpy() for scale in (model.log_mean, model.log_std))
        contrast = np.array([samples.material.contrast(name) for name in names])
        maps = np.stack([samples.maps(name) for name in names], axis=1)
        steep = np.isfinite(maps).all(axis=(2, 3)) & (contrast != 0)
        self.x = torch.tensor(samples.image, device=device)
        self.y = torch.tensor(np.nan_to_num((y - mean) / std), dtype=torch.float32, device=device)
        self.known = torch.tensor(np.isfinite(y), device=device)
        self.slope = torch.tensor(np.where(steep[..., None, None], maps, 0), device=device)
        self.steep = torch.tensor(steep, device=device)
        scale = contrast / samples.image[0].size / std
        self.scale = torch.tensor(scale[:, None, None], dtype=torch.float32, device=device)
        self.names = names
        self.periodic = samples.boundary == "periodic"
        self.train = np.flatnonzero(~held)
        self.simulated = np.flatnonzero(simulated & ~held)
        self.held = np.flatnonzero(held)
        self.held_simulated = np.flatnonzero(held & simulated)
        self.often = replayed(samples.meta["round"][self.simulated] > 0, config.replay)


def held_out(samples: Samples, part: float) -> NDArray[np.bool_]:
    """Which samples are held out of training, by content: the same in every training, symmetric copies alike."""
    return np.array([int(h[:8], 16) < part * 2**32 for h in canonical_hashes(samples)], dtype=bool)


def replayed(proposed: NDArray[np.bool_], part: float) -> NDArray[np.float64] | None:
    """How probable each sample is drawn, so that proposals are `part` of all draws, or more; None if all are alike."""
    count = int(proposed.sum())
    if count in (0, len(proposed)) or count >= part * len(proposed):
        return None
    return np.where(proposed, part / count, (1 - part) / (len(proposed) - count))


def learned(samples: Samples, names: Sequence[str]) -> NDArray[np.float64]:
    """What is learned of properties, (n, names): log p of those on a log scale, p of all others; NaN if not known."""
    columns = [samples.column(name) for name in names]
    return np.stack([np.log(c) if row_of(n).log else c for n, c in zip(names, columns, strict=True)], axis=1)


def fit_scale(model: Janus, y: NDArray[np.float64], names: Sequence[str]) -> None:
    """Mean and spread of the learned values (n, names), one for all that symmetries exchange: they are alike then."""
    for group, signed in orbits(names, 2):
        fit = y[:, group]
        mean = 0.0 if signed else float(np.nanmean(fit)) if np.isfinite(fit).any() else 0.0
        spread = float(np.sqrt(np.nanmean((fit - mean) ** 2))) if np.isfinite(fit).any() else 1.0
        model.log_mean[group] = mean
        model.log_std[group] = max(spread, 1e-3 if row_of(names[group[0]]).log else 1e-3 * abs(mean) + 1e-12)


class Symmetry:
    """One symmetry for each of n images, drawn at random among those that take the properties to each other."""

    def __init__(self, n: int, side: int, names: tuple[str, ...], periodic: bool, rng: np.random.Generator) -> None:
        self.turn = rng.random((3, n)) < 0.5
        self.action, allowed = actions(names)
        self.turn &= np.array(allowed)[:, None]
        self.shift = rng.integers(side, size=(2, n)) if periodic else None

    def of_images(self, x: Tensor) -> Tensor:
        """Images or maps (n, ..., side, side), turned and shifted."""
        x = symmetry(x, self.turn)
        return x if self.shift is None else translate(x, self.shift)

    def of_properties(self, y: Tensor) -> Tensor:
        """(n, properties, ...), those of the turned images."""
        return turn_properties(y, self.turn, self.action)


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


Action = tuple[NDArray[np.intp], NDArray[np.float64]]


@lru_cache
def actions(names: tuple[str, ...]) -> tuple[Action, tuple[bool, bool, bool]]:
    """For every turn by its number (bits: left-right, up-down, transposed) the index and sign of each property.

    And which of the three turns the properties allow: one that takes a property to none of them is left out.
    """
    index, sign = np.tile(np.arange(len(names)), (8, 1)), np.ones((8, len(names)))
    single = [action(names, ((0, 1), (False, True))), action(names, ((0, 1), (True, False)))]
    single.append(action(names, ((1, 0), (False, False))))
    allowed = tuple(found is not None for found in single)
    for number in range(8):
        right, down, transposed = (bool(number >> bit & 1) and allowed[bit] for bit in range(3))
        found = action(names, ((1, 0) if transposed else (0, 1), (down, right)))
        if found is not None:
            index[number], sign[number] = found
    return (index, sign), (allowed[0], allowed[1], allowed[2])


def turn_properties(y: Tensor, turn: NDArray[np.bool_], action: Action) -> Tensor:
    """Properties (n, properties, ...) of images turned by the three rows of `turn`; flags (bool) have no sign."""
    number = turn[0] + 2 * turn[1] + 4 * turn[2]
    index, sign = (torch.tensor(table[number], device=y.device) for table in action)
    moved = y[torch.arange(len(y), device=y.device)[:, None], index]
    return moved if y.dtype == torch.bool else moved * sign.to(y.dtype).reshape(*sign.shape, *[1] * (y.dim() - 2))
