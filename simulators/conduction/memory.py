"""How much memory a solve takes, estimated before it starts: measured bytes a cell, rounded up."""

import math
from collections.abc import Sequence

from simulators.algebra.red_black import BANDED_UP_TO


def bytes_needed(grid: Sequence[int], periodic: bool, solver: str) -> float:
    """Peak memory of homogenizing one image of this many cells a side."""
    cells, dim = math.prod(grid), len(grid)
    if solver == "fipy":
        per_cell = 7000.0 if periodic else 3500.0
    elif solver == "batched":
        per_cell = 2500.0 if periodic and dim == 3 else 2000.0 if periodic or dim == 3 else 1500.0
    elif dim == 3:
        # The fill of a sparse factor grows with the side of a volume, and with the logarithm of a plane's.
        per_cell = 2000.0 + 200.0 * cells ** (1 / 3)
    else:
        banded = not periodic and min(grid) <= BANDED_UP_TO
        per_cell = 500.0 + 4 * (min(grid) + 2) if banded else 130.0 * math.log2(cells)
    return cells * per_cell
