"""Samples as tensors for training: what is held out, how targets are scaled, and the exact symmetries.

A mirrored image conducts alike, and a transposed one has kxx and kyy exchanged: eight labels for one simulation, 48 for
that of a cube. What a symmetry does to each property the table says (`janus_al.properties`). Under a periodic boundary
every translation conducts alike, too.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import permutations

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
        steep = np.isfinite(maps).reshape(*y.shape, -1).all(axis=2) & (contrast != 0)
        cells = (..., *(None,) * len(model.config.grid))
        self.x = torch.tensor(samples.image, device=device)
        self.y = torch.tensor(np.nan_to_num((y - mean) / std), dtype=torch.float32, device=device)
        self.known = torch.tensor(np.isfinite(y), device=device)
        self.slope = torch.tensor(np.where(steep[cells], maps, 0), device=device)
        self.steep = torch.tensor(steep, device=device)
        scale = contrast / samples.image[0].size / std
        self.scale = torch.tensor(scale[cells], dtype=torch.float32, device=device)
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
    for group, signed in orbits(names, model.config.dim):
        fit = y[:, group]
        mean = 0.0 if signed else float(np.nanmean(fit)) if np.isfinite(fit).any() else 0.0
        spread = float(np.sqrt(np.nanmean((fit - mean) ** 2))) if np.isfinite(fit).any() else 1.0
        model.log_mean[group] = mean
        model.log_std[group] = max(spread, 1e-3 if row_of(names[group[0]]).log else 1e-3 * abs(mean) + 1e-12)


@dataclass(frozen=True)
class Symmetry:
    """One symmetry for each of n images, of those that `allowed` names.

    Attributes:
        grid, names: of the images and their properties.
        mirrored: whether an axis is mirrored, (dim, n).
        order: number of the order in which axes are taken then, (n,).
        shift: by how much each axis is rolled then, (dim, n); None: not at all.
    """

    grid: tuple[int, ...]
    names: tuple[str, ...]
    mirrored: NDArray[np.bool_]
    order: NDArray[np.integer]
    shift: NDArray[np.integer] | None = None

    @classmethod
    def drawn(
        cls, n: int, grid: tuple[int, ...], names: tuple[str, ...], periodic: bool, rng: np.random.Generator
    ) -> "Symmetry":
        """At random among those that take the properties to each other."""
        orders, mirrors = allowed(grid, names)
        *coins, choice = rng.random((len(grid) + 1, n))
        mirrored = (np.stack(coins[::-1]) < 0.5) & np.array(mirrors)[:, None]
        order = np.ceil((1 - choice) * len(orders)).astype(int) - 1
        shift = rng.integers(np.reshape(grid, (-1, 1)), size=mirrored.shape) if periodic else None
        return cls(grid, names, mirrored, order, shift)

    def part(self, rows: slice) -> "Symmetry":
        """Those of some of the images."""
        shift = None if self.shift is None else self.shift[:, rows]
        return replace(self, mirrored=self.mirrored[:, rows], order=self.order[rows], shift=shift)

    def of_images(self, x: Tensor) -> Tensor:
        """Images or maps (n, ..., *grid), turned and shifted."""
        for axis, mirrored in enumerate(self.mirrored, start=-len(self.mirrored)):
            x = torch.where(_for_each(mirrored, x), x.flip(axis), x)
        moved = x
        for number, order in enumerate(allowed(self.grid, self.names)[0][1:], start=1):
            moved = torch.where(_for_each(self.order == number, x), _reordered(x, order), moved)
        return moved if self.shift is None else translate(moved, self.shift)

    def of_properties(self, y: Tensor) -> Tensor:
        """(n, properties, ...), those of the turned images; flags (bool) have no sign."""
        number = self.order, *self.mirrored.astype(int)
        tables = actions(self.names, allowed(self.grid, self.names)[0])
        index, sign = (torch.tensor(table[number], device=y.device) for table in tables)
        moved = y[torch.arange(len(y), device=y.device)[:, None], index]
        return moved if y.dtype == torch.bool else moved * sign.to(y.dtype).reshape(*sign.shape, *[1] * (y.dim() - 2))


def _for_each(mask: NDArray[np.bool_], x: Tensor) -> Tensor:
    return torch.tensor(mask, device=x.device).reshape(-1, *[1] * (x.dim() - 1))


def _reordered(x: Tensor, order: tuple[int, ...]) -> Tensor:
    first = x.dim() - len(order)
    return x.permute(*range(first), *(first + axis for axis in order))


def translate(x: Tensor, shift: NDArray[np.integer]) -> Tensor:
    """Images (n, ..., *grid) rolled by shift[i] along axis i of the grid, each by its own."""
    n, grid = len(x), x.shape[-len(shift) :]
    index = [torch.arange(n, device=x.device).reshape(n, *[1] * len(grid))]
    for axis, (side, way) in enumerate(zip(grid, shift, strict=True)):
        place = (torch.arange(side, device=x.device) - torch.tensor(way, device=x.device)[:, None]) % side
        index.append(place.reshape(n, *(side if other == axis else 1 for other in range(len(grid)))))
    return x.reshape(n, -1, *grid).movedim(1, -1)[tuple(index)].movedim(-1, 1).reshape(x.shape)


Orders = tuple[tuple[int, ...], ...]


@lru_cache
def allowed(grid: tuple[int, ...], names: tuple[str, ...]) -> tuple[Orders, tuple[bool, ...]]:
    """The orders of axes, the given one first, and the axes to mirror, that keep the grid and have all properties."""
    plain, straight = tuple(range(len(grid))), (False,) * len(grid)
    orders = [
        order
        for order in permutations(plain)
        if tuple(grid[axis] for axis in order) == grid and action(names, (order, straight)) is not None
    ]
    mirrors = [tuple(axis == mirrored for axis in plain) for mirrored in plain]
    return tuple(orders), tuple(action(names, (plain, mirror)) is not None for mirror in mirrors)


@lru_cache
def actions(names: tuple[str, ...], orders: Orders) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Index and sign of each property under every turn, (orders, 2, 2, ..., names): which order, which axes mirrored.

    Turns that the properties do not allow change nothing.
    """
    shape = (len(orders), *[2] * len(orders[0]), len(names))
    index, sign = np.broadcast_to(np.arange(len(names)), shape).copy(), np.ones(shape)
    for place in np.ndindex(shape[:-1]):
        found = action(names, (orders[place[0]], tuple(bool(bit) for bit in place[1:])))
        if found is not None:
            index[place], sign[place] = found
    return index, sign
