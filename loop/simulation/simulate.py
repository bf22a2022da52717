"""Simulation of many images wherever the executor runs them, by every physics of a material."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from janus_al.material import Material, Physics
from janus_al.networks.janus import large
from janus_al.properties import row_of
from janus_al.samples import content_hash
from loop.design.possible import Box, Limits
from loop.simulation.cache import Cache, open_cache
from loop.simulation.executors import Limited, outcome
from simulators import (
    Boundary,
    CatalogueError,
    Failure,
    HomogenizationError,
    Result,
    Simulator,
    choose,
    foreign,
    make,
    run,
)
from simulators.catalogue import limits

Image = NDArray[np.uint8]
FloatArray = NDArray[np.float64]
Found = Result | Failure
TASK_CELLS = 2**14
"""cells of the images that one task simulates: tens of milliseconds, against which its overhead is small"""
BATCH, BATCH_CELLS = 64, 2**18
"""images of one task of the batched solver, and their cells: several volumes, so that all processes have some"""
TIMEOUT = 600.0
"""seconds an image"""
PRUNE_EVERY = 1024
"""results between two looks at the size of the cache"""


@dataclass(frozen=True)
class Execution:
    """How to simulate: where, by which solver of conduction, and for how long at most.

    Attributes:
        executor: where.
        solver: of conduction.
        timeout: seconds an image.
        cached: whether results are looked for, and kept, in the user's cache.
        trusted: whether the material is of the user's own configuration, and not what some file says: a simulator by
            path and a program are code.
    """

    executor: Executor
    solver: str = "fipy"
    timeout: float = TIMEOUT
    cached: bool = False
    trusted: bool = False


def simulator_of(physics: Physics, boundary: Boundary, solver: str = "fipy") -> Simulator:
    """The simulator of one physics.

    Raises:
        CatalogueError: there is none, or not with these constants.
    """
    more: dict[str, object] = {}
    if physics.simulator == "conduction":
        more = {"solver": solver}
    elif physics.simulator == "command":
        more = {"properties": physics.properties}
    return make(physics.simulator, boundary, {**physics.constants, **more})


def backend(name: str, grid: Sequence[int], boundary: Boundary) -> str:
    """The solver of conduction that a name means: `auto` is the fastest."""
    return choose(grid, 1, boundary) if name == "auto" else name


def usual_solver(grid: Sequence[int], boundary: Boundary) -> str:
    """The solver of conduction where none is named: FiPy, or the fastest in volumes and in large planes."""
    return "fipy" if len(grid) == 2 and not large(grid) else choose(grid, 1, boundary)


def limits_of(material: Material, trusted: bool = False) -> Limits:
    """Volume fractions of label 1 -> between what each property must lie, where its simulator knows.

    `trusted` as in `Execution`; what is not is left alone.
    """
    physics = [p for p in material.physics if trusted or not foreign(p.simulator)]
    knowing = [(p.properties, simulator_of(p, material.boundary)) for p in physics]

    def known(fraction: FloatArray, given: Box | None = None) -> Box:
        return {
            n: ends
            for names, simulator in knowing
            for n, ends in limits(simulator, fraction, {n: given[n] for n in names if given and n in given}).items()
            if n in names
        }

    return known


def simulate(
    images: Sequence[Image] | Image,
    material: Material,
    execution: Execution,
) -> Iterator[Found]:
    """Results in the order of the images, each computed once."""
    keys = [content_hash(image) for image in images]
    tasks = simulate_unordered(dict(zip(keys, images, strict=True)), material, execution)
    found: dict[str, Found] = {}
    for key in keys:
        while key not in found:
            found |= next(tasks)
        yield found[key]


def simulate_unordered(
    images: Mapping[str, Image], material: Material, execution: Execution, tick: float | None = None
) -> Iterator[dict[str, Found]]:
    """Results by key as they come, and an empty dictionary where none has come for `tick` seconds.

    What is in the cache is not computed, and what is computed goes there as soon as a worker has it.

    Raises:
        CatalogueError: a file would have code run that nobody installed.
    """
    if strange := [p.simulator for p in material.physics if not execution.trusted and foreign(p.simulator)]:
        raise CatalogueError(
            f"simulator '{strange[0]}': a file asks for it, and files may not say what code is run; simulate in a "
            "campaign whose own [[physics]] names it"
        )
    parts: dict[str, dict[int, Found]] = {key: {} for key in images}
    whole = dict[str, Found]()
    tasks: dict[Future[list[Found]], tuple[int, list[str]]] = {}
    calls: list[tuple[Physics, Boundary, str, Cache | None]] = []

    def take(number: int, found: Mapping[str, Found]) -> None:
        for key, result in found.items():
            parts[key][number] = _in_range(material.physics[number], result)
            if len(parts[key]) == len(material.physics):
                whole[key] = merged(material, [parts[key][i] for i in range(len(material.physics))])

    def start(number: int, keys: list[str]) -> None:
        limited = Limited(_simulate, execution.timeout * len(keys))
        tasks[execution.executor.submit(limited, [images[key] for key in keys], *calls[number])] = (number, keys)

    for number, physics in enumerate(material.physics):
        cache = open_cache(physics, material.boundary, execution.solver) if execution.cached else None
        calls.append((physics, material.boundary, execution.solver, cache))
        if cache is not None:
            if number == 0:  # all physics share the folder
                cache.prune()
            take(number, {key: kept for key, image in images.items() if (kept := cache.get(image)) is not None})
        left = [key for key in images if number not in parts[key]]
        size = _task_size(physics, execution.solver, [images[key] for key in left])
        for first in range(0, len(left), size):
            start(number, left[first : first + size])
    count = 0
    while tasks or whole:
        done, _ = wait(tasks, 0 if whole else tick, FIRST_COMPLETED)
        for task in done:
            number, keys = tasks.pop(task)
            try:
                take(number, dict(zip(keys, outcome(task), strict=True)))
            except HomogenizationError as error:
                if len(keys) == 1:
                    take(number, {keys[0]: Failure(str(error))})
                else:
                    # One image of the task is to blame, the others are not.
                    for key in keys:
                        start(number, [key])
        arrived, whole = whole, {}
        count += len(arrived)
        if execution.cached and count >= PRUNE_EVERY:
            count, cache = 0, calls[0][3]
            if cache is not None:
                cache.prune()
        yield arrived


def _task_size(physics: Physics, solver: str, images: Sequence[Image]) -> int:
    """Images of one task: many where each takes little; a simulator of the user's gets one."""
    if physics.simulator not in {"conduction", "elasticity"}:
        return 1
    cells = max((i.size for i in images), default=1)
    if physics.simulator == "conduction" and solver == "batched":
        return min(BATCH, max(1, BATCH_CELLS // cells))
    return max(1, TASK_CELLS // cells)


def merged(material: Material, found: Sequence[Found]) -> Found:
    """What all physics say of one image as one result; where one failed the others count, and where all did none."""
    good = [result for result in found if isinstance(result, Result)]
    names = [physics.simulator for physics in material.physics]
    bad = dict[str, str]()
    for name, failure in zip(names, found, strict=True):
        if isinstance(failure, Failure):
            # Two programs have one name.
            bad[name] = f"{bad[name]}; {failure.reason}" if name in bad else failure.reason
    if not good:
        return Failure("; ".join(f"{name}: {why}" for name, why in bad.items()) if len(names) > 1 else bad[names[0]])
    if len(found) == 1:
        return good[0]
    balances = [r.imbalance for r in good if not math.isnan(r.imbalance)]
    times = [r.seconds for r in good if not math.isnan(r.seconds)]
    tables = {
        table: {n: v for r in good for n, v in getattr(r, table).items()}
        for table in ("values", "lower", "upper", "plain", "sensitivity")
    }
    return Result(
        **tables,
        solver="+".join(r.solver or name for r, name in zip(found, names, strict=True) if isinstance(r, Result)),
        solver_version="+".join(r.solver_version or "-" for r in good),
        imbalance=max(balances, default=math.nan),
        seconds=sum(times) if times else math.nan,
        bracket=next((r.bracket for r in good if r.bracket is not None), None),
        failures=bad,
    )


def simulate_all(
    images: Sequence[Image] | Image,
    material: Material,
    execution: Execution,
    progress: Callable[[str, int, int], None],
) -> dict[int, Found]:
    """Results by the number of the image, told to `progress` as they come."""
    found: dict[int, Found] = {}
    for number, result in enumerate(simulate(images, material, execution)):
        found[number] = result
        if isinstance(result, Result):
            progress("simulation", number + 1, len(images))
    return found


def _simulate(
    images: list[Image], physics: Physics, boundary: Boundary, solver: str, cache: Cache | None
) -> list[Found]:
    """In a worker."""
    simulator = simulator_of(physics, boundary, solver)
    # A physics says what is asked of planes; of a volume its simulator gives more.
    planes = all(image.ndim == 2 for image in images)
    found = run(simulator, images, physics.properties if planes or foreign(physics.simulator) else ())
    if cache is not None:
        for image, result in zip(images, found, strict=True):
            if isinstance(result, Result):
                cache.put(image, result)
    return found


def _in_range(physics: Physics, found: Found) -> Found:
    """Not in a worker: what the user's properties mean is known to the process that read it."""
    if isinstance(found, Failure):
        return found
    for name in physics.properties:
        if row_of(name).log and found.values[name] <= 0:
            return Failure(
                f"{name} = {found.values[name]:g}, which must be above 0 to be learned on a log scale; "
                "a property that may be 0 or below is declared with log = false"
            )
    return found
