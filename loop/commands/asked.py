"""What the options of the commands on images say, checked, and what it will cost."""

import math
import sys
from typing import Literal

from loop import UsageError

SIDES = (8, 1024)
SECONDS = {"fipy": (2e-5, 7e-5), "direct": (7e-6, 2.5e-4), "batched": (8e-6, 9e-6)}
"""of one core for a cell of a plane of 64 x 64 and of a volume of 32^3, about (benchmarks/homogenizers.py)"""
BYTES = 24
"""of memory for a cell's sensitivity of one property, from its simulation to the file"""
DRAWING = 2.5e-6
"""seconds for a cell of a phase field, about (benchmarks/phasefield.py)"""
LONG, LARGE = 60.0, 2**30
"""seconds and bytes that are told beforehand"""


def grid_of(words: str, dim: int | None) -> tuple[int, ...]:
    """The grid of a side or of two or three of them, separated by commas.

    Raises:
        UsageError: not that, sides that are none, too many cells, or another number of them than `dim`.
    """
    from simulators.structures.rasters import MAX_CELLS

    try:
        sides = tuple(int(word) for word in words.split(","))
    except ValueError:
        raise UsageError(f"size '{words}': give a side, as in 32, or all, as in 16,32,32") from None
    grid = sides * (dim or 2) if len(sides) == 1 else sides
    if len(grid) not in (2, 3) or (dim is not None and len(grid) != dim):
        raise UsageError(f"size '{words}': {len(sides)} sides; give one, or {'two or three' if dim is None else dim}")
    if min(grid) < SIDES[0] or max(grid) > SIDES[1]:
        raise UsageError(f"size '{words}': each side must be from {SIDES[0]} to {SIDES[1]} pixels")
    if math.prod(grid) > MAX_CELLS:
        raise UsageError(
            f"size '{words}': {math.prod(grid)} cells an image; {MAX_CELLS} at most, so take shorter sides"
        )
    return grid


def boundary_of(name: str) -> Literal["dirichlet", "periodic"]:
    """The boundary of a name; raises UsageError."""
    if name == "dirichlet":
        return "dirichlet"
    if name == "periodic":
        return "periodic"
    raise UsageError(f"boundary '{name}': it must be dirichlet or periodic")


def solver_of(name: str, shape: tuple[int, ...], count: int, boundary: Literal["dirichlet", "periodic"]) -> str:
    """The backend's name, that which `auto` picks included, and said; raises UsageError."""
    from simulators import SOLVERS, choose

    if name not in (*SOLVERS, "auto"):
        raise UsageError(f"solver '{name}': it must be one of {', '.join(SOLVERS)} or auto")
    if name != "auto":
        return name
    picked = choose(shape, count, boundary)
    print(f"solver auto: {picked}", file=sys.stderr)
    return picked


def conductivities_of(words: str, count: int | None = None, positive: bool = True) -> tuple[float, ...]:
    """Conductivities, `count` different ones where that is given; raises UsageError."""
    from simulators.conduction.inputs import check_contrast

    try:
        values = tuple(float(word) for word in words.split(","))
    except ValueError:
        raise UsageError(f"conductivity '{words}': give numbers separated by commas, as in 0.1,1.0") from None
    if positive and not all(math.isfinite(v) and v > 0 for v in values):
        raise UsageError(
            f"conductivity '{words}': each must be finite and above 0; give an insulator a small value, such as 1e-4"
        )
    if count is not None and len(values) != count:
        raise UsageError(f"conductivity '{words}': {count} phases need {count} values")
    if count is not None and len(set(values)) < count:
        raise UsageError(f"conductivity '{words}': equal phases make all images conduct alike; give different values")
    if count is not None:
        check_contrast(min(values), max(values))
    return values


def foretell(grid: tuple[int, ...], count: int, simulated: int, solver: str, workers: int, drawn: bool = False) -> None:
    """Say on stderr how long, and in how much memory, images are drawn and simulated, where that is long or large.

    Raises:
        UsageError: more memory than this machine has.
    """
    from loop.simulation.executors import cores
    from simulators.algebra.memory import bytes_present

    cells, dim, processes = math.prod(grid), len(grid), workers or cores()
    seconds = simulated * cells * SECONDS[solver][dim - 2] / min(processes, cores(), max(simulated, 1))
    seconds += drawn * count * cells * DRAWING
    needed, present = cells * (2 * count + simulated * dim * BYTES), bytes_present()
    what = f"{count} images of {' x '.join(map(str, grid))}, {simulated} simulated"
    if needed > present:
        raise UsageError(
            f"{what}: about {needed / 2**30:.0f} GiB of memory, and this machine has {present / 2**30:.0f}; "
            "take fewer or smaller images, or a larger machine"
        )
    told = [f"about {needed / 2**30:.1f} GiB of memory"] if needed > LARGE else []
    if seconds > LONG:
        span = f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.0f} hours"
        told.append(f"up to about {span}" + (f" with solver {solver}" if simulated else ""))
    if told:
        print(f"{what}: {', '.join(told)}", file=sys.stderr)
