"""Which class of structures: by its configuration, or by name."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from simulators.structures import phasefield, spinodoid
from simulators.structures.drawing import Seed
from simulators.structures.phasefield import PhaseField
from simulators.structures.spinodoid import Spinodoid

Config = PhaseField | Spinodoid | None
STRUCTURES: dict[str, Callable[[bool], Config]] = {
    "phasefield": lambda periodic: None,
    "spinodoid": lambda periodic: Spinodoid(periodic=periodic),
}
"""name -> configuration of images that repeat themselves or need not; phase fields always do"""


def generate(count: int, size: int | Sequence[int], seed: Seed, config: Config = None) -> NDArray[np.uint8]:
    """Labels 0 and 1, shape (count, *grid), of the class of `config`. Image i depends on (seed, i) and the grid alone.

    Args:
        size: side of a square, or the grid (ny, nx) or (nz, ny, nx).
        config: phase fields, those of planes or of volumes, unless given.

    Raises:
        ValueError: a size that is neither.
    """
    if isinstance(config, Spinodoid):
        return spinodoid.generate(count, size, seed, config)
    return phasefield.generate(count, size, seed, config)
