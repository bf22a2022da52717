"""What a network thinks of an image in all its symmetric copies: opinions that cost no simulation.

Physics gives a mirrored or turned image its own properties, turned with it, and a periodic one that is shifted the same
ones. A network that saw every image in every copy knows that nearly: the mean of what it says of the copies is a better
prediction than what it says of one, above all of the one that an inversion has just optimised.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from janus_al.networks.janus import Janus
from janus_al.properties import action, row_of, turned, turns

COPIES = 8
"""of an image that are asked, at most: all of a square's, every sixth of a cube's"""
PARTS = 5, 8, 3
"""of the sides by which periodic copies are shifted along z, y and x"""


@torch.no_grad()
def opinions(model: Janus, images: NDArray[np.integer]) -> NDArray[np.float64]:
    """The head's answers for `COPIES` symmetric copies of every image, turned back.

    Args:
        model: a network of properties.
        images: labels (n, *grid).

    Returns:
        (copies, n, properties) on the scale on which properties are learned; the first copy is the image itself.
    """
    names, periodic = model.config.properties, model.config.padding == "circular"
    grid, device = model.config.grid, model.log_mean.device
    axes = tuple(range(1, 1 + len(grid)))
    own = [(n, turn) for n, turn in enumerate(turns(len(grid))) if tuple(grid[axis] for axis in turn[0]) == grid]
    known = [(number, turn, moved) for number, turn in own if (moved := action(names, turn)) is not None]
    found = []
    for number, turn, (index, sign) in known[:: -(-len(known) // COPIES)]:
        copies = np.stack([turned(image, turn) for image in images]) if len(images) else images
        if periodic:
            # By none of the strides' multiples, which a network whose padding is circular does not notice.
            steps = [number * (side // part + 1) for side, part in zip(grid, PARTS[-len(grid) :], strict=True)]
            copies = np.roll(copies, steps, axis=axes)
        x = torch.tensor(np.ascontiguousarray(copies), device=device).float()
        said = [
            model.predict(model.encode(part)) * model.log_std + model.log_mean
            for part in x.split(model.config.together)
        ]
        original = np.empty((len(images), len(names)))
        original[:, index] = torch.cat(said).double().cpu().numpy() * sign
        found.append(original)
    return np.stack(found)


def mean_opinion(model: Janus, images: NDArray[np.integer]) -> NDArray[np.float64]:
    """The mean of a network's opinions of images, in the properties' units, (n, properties)."""
    log = np.array([row_of(name).log for name in model.config.properties])
    values = opinions(model, images).mean(axis=0)
    return np.where(log, np.exp(np.where(log, values, 0.0)), values)
