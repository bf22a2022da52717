"""What a network thinks of an image in all its symmetric copies: opinions that cost no simulation.

Physics gives a mirrored or turned image its own properties, turned with it, and a periodic one that is shifted the same
ones. A network that saw every image in every copy knows that nearly: the mean of what it says of the copies is a better
prediction than what it says of one, above all of the one that an inversion has just optimised.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from janus_al.networks.janus import Janus
from janus_al.properties import action, row_of, turns

COPIES = 8
"""of an image that are asked, at most: all of a square's, every sixth of a cube's"""
PARTS = 5, 8, 3
"""of the sides by which periodic copies are shifted along z, y and x"""


def opinions(model: Janus, images: NDArray[np.integer]) -> NDArray[np.float64]:
    """The head's answers for `COPIES` symmetric copies of every image, turned back.

    Args:
        model: a network of properties.
        images: labels (n, *grid).

    Returns:
        (copies, n, properties) on the scale on which properties are learned; the first copy is the image itself.
    """
    with torch.no_grad():
        parts = [_of_copies(model, part) for part in _tensor(model, images).split(model.config.together)]
    return torch.cat(parts, dim=1).double().cpu().numpy()


def opinion_and_slopes(model: Janus, images: NDArray[np.integer]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The mean of the opinions of each image (n, properties), as learned, and its derivative to every pixel's value.

    Returns:
        the mean, and the derivatives (n, properties, *grid).
    """
    told, slopes = [], []
    for part in _tensor(model, images).split(max(1, model.config.together // COPIES)):
        mean = _of_copies(model, part.requires_grad_()).mean(dim=0)
        told.append(mean.detach())
        found = [torch.autograd.grad(column.sum(), part, retain_graph=True)[0] for column in mean.unbind(1)]
        slopes.append(torch.stack(found, dim=1))
    return torch.cat(told).double().cpu().numpy(), torch.cat(slopes).double().cpu().numpy()


def _of_copies(model: Janus, x: Tensor) -> Tensor:
    """The opinions of images (n, *grid) of 0..1, (copies, n, properties)."""
    names, periodic = model.config.properties, model.config.padding == "circular"
    grid = model.config.grid
    own = [(n, turn) for n, turn in enumerate(turns(len(grid))) if tuple(grid[axis] for axis in turn[0]) == grid]
    known = [(number, turn, moved) for number, turn in own if (moved := action(names, turn)) is not None]
    found = []
    for number, (order, mirrored), (index, sign) in known[:: -(-len(known) // COPIES)]:
        copies = x.flip([axis for axis, m in enumerate(mirrored, start=1) if m]).permute(0, *(1 + a for a in order))
        if periodic:
            # By none of the strides' multiples, which a network whose padding is circular does not notice.
            steps = [number * (side // part + 1) for side, part in zip(grid, PARTS[-len(grid) :], strict=True)]
            copies = copies.roll(steps, tuple(range(1, 1 + len(grid))))
        said = model.predict(model.encode(copies.contiguous())) * model.log_std + model.log_mean
        back = np.argsort(index)
        found.append(said[:, back] * torch.tensor(sign[back], dtype=said.dtype, device=said.device))
    return torch.stack(found)


def _tensor(model: Janus, images: NDArray[np.integer]) -> Tensor:
    return torch.tensor(np.ascontiguousarray(images), dtype=model.log_mean.dtype, device=model.log_mean.device)


def mean_opinion(model: Janus, images: NDArray[np.integer]) -> NDArray[np.float64]:
    """The mean of a network's opinions of images, in the properties' units, (n, properties)."""
    return in_units(model, opinions(model, images).mean(axis=0))


def in_units(model: Janus, learned: NDArray[np.float64]) -> NDArray[np.float64]:
    """Properties (..., properties) from the scale on which they are learned in their units."""
    log = np.array([row_of(name).log for name in model.config.properties])
    return np.where(log, np.exp(np.where(log, learned, 0.0)), learned)
