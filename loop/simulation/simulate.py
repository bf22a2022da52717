"""Simulation of many images wherever the executor runs them, and what comes back as samples."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from janus_al.dataset import CONDUCTIVITIES, SIMULATED, Samples, content_hash, unlabelled
from loop.simulation.cache import Cache, open_cache
from loop.simulation.executors import Limited, open_executor, outcome
from simulators import SOLVERS, BatchedHomogenizer, Boundary, HomogenizationError, Homogenized, Homogenizer

TASK_CELLS = 2**14
"""cells of the images that one task simulates: tens of milliseconds, against which its overhead is small"""
BATCH = 64
"""images of one task of the batched solver"""
TIMEOUT = 600.0
"""seconds an image"""
PRUNE_EVERY = 1024
"""results between two looks at the size of the cache"""


def simulate(
    images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8],
    phase_conductivity: Sequence[float],
    solver: str,
    executor: Executor,
    boundary: Boundary = "dirichlet",
    timeout: float = TIMEOUT,
    cache: Cache | None = None,
) -> Iterator[Homogenized | str]:
    """Results in the order of the images, each computed once; a string is the reason for which there is none.

    What is in the cache is not computed, and what is computed goes there as soon as a worker has it.
    """
    keys = [content_hash(image) for image in images]
    distinct = dict(zip(keys, images, strict=True))
    found: dict[str, Homogenized | str] = {}
    if cache is not None:
        cache.prune()
        found |= {key: kept for key, image in distinct.items() if (kept := cache.get(image)) is not None}
        distinct = {key: image for key, image in distinct.items() if key not in found}
    tasks = simulate_unordered(distinct, phase_conductivity, solver, executor, boundary, timeout, cache=cache)
    for number, key in enumerate(keys, start=1):
        while key not in found:
            found |= next(tasks)
        if cache is not None and number % PRUNE_EVERY == 0:
            cache.prune()
        yield found[key]


def simulate_unordered(
    images: Mapping[str, NDArray[np.uint8]],
    phase_conductivity: Sequence[float],
    solver: str,
    executor: Executor,
    boundary: Boundary = "dirichlet",
    timeout: float = TIMEOUT,
    tick: float | None = None,
    cache: Cache | None = None,
) -> Iterator[dict[str, Homogenized | str]]:
    """Results by key as they come, and an empty dictionary where none has come for `tick` seconds."""
    size = BATCH if solver == "batched" else max(1, TASK_CELLS // max((i.size for i in images.values()), default=1))
    call = (tuple(phase_conductivity), solver, boundary, cache)

    def start(keys: Sequence[str]) -> Future[list[Homogenized | str]]:
        limited = Limited(_homogenize, timeout * len(keys))
        return executor.submit(limited, [images[key] for key in keys], *call)

    everything = list(images)
    chunks = [everything[i : i + size] for i in range(0, len(everything), size)]
    tasks = {start(chunk): chunk for chunk in chunks}
    while tasks:
        done, _ = wait(tasks, tick, FIRST_COMPLETED)
        found: dict[str, Homogenized | str] = {}
        for task in done:
            chunk = tasks.pop(task)
            try:
                found |= zip(chunk, outcome(task), strict=True)
            except HomogenizationError as error:
                if len(chunk) == 1:
                    found[chunk[0]] = str(error)
                else:
                    # One image of the task is to blame, the others are not.
                    tasks |= {start([key]): [key] for key in chunk}
        yield found


def to_samples(
    images: Sequence[NDArray[np.uint8]],
    results: Sequence[Homogenized],
    phase_conductivity: Sequence[float],
    **meta: Any,
) -> Samples:
    """Simulated samples; `meta` fills columns such as origin and round."""
    if not len(images):
        raise ValueError("no image was simulated")
    columns = len(CONDUCTIVITIES)
    rows = unlabelled(
        np.stack(images),
        phase_conductivity,
        results[0].boundary,
        status=SIMULATED,
        solver=[r.solver.encode() for r in results],
        solver_version=[r.solver_version.encode() for r in results],
        flux_imbalance=[r.flux_imbalance for r in results],
        seconds=[r.seconds for r in results],
        **meta,
    )

    def table(name: str) -> NDArray[np.float64]:
        return np.array([[*getattr(r, name)[:columns], r.volume_fraction] for r in results])

    return replace(
        rows,
        properties=table("k"),
        properties_fv=table("k_fv"),
        properties_lower=table("lower"),
        properties_upper=table("upper"),
        # One pixel that carries the heat of a large image has more than float16 holds.
        sensitivity=np.stack([r.sensitivity[:columns] * r.sensitivity[0].size for r in results])
        .clip(max=np.finfo(np.float16).max)
        .astype(np.float16),
    )


def simulate_samples(
    images: NDArray[np.uint8],
    phase_conductivity: Sequence[float],
    solver: str,
    workers: int,
    progress: Callable[[str, int, int], None],
    boundary: Boundary = "dirichlet",
    failed: dict[int, str] | None = None,
    **meta: Any,
) -> list[Samples]:
    """Images as simulated samples, in one part, or none if there is no image.

    Args:
        failed: takes the numbers of the images that cannot be simulated, and why; all others become samples.

    Raises:
        HomogenizationError: for the first image that cannot be simulated, by number, if there is no `failed`; what
            was simulated is in the user's cache.
    """
    if not len(images):
        return []
    cache, reasons = open_cache(phase_conductivity, solver, boundary), dict[int, str]()
    results: list[Homogenized] = []
    with open_executor("process", workers) as executor:
        for number, result in enumerate(simulate(images, phase_conductivity, solver, executor, boundary, cache=cache)):
            if isinstance(result, str):
                reasons[number] = result
                continue
            results.append(result)
            progress("simulation", number + 1, len(images))
    if failed is None and reasons:
        number = min(reasons)
        raise HomogenizationError(f"image {number}: {reasons[number]}")
    if failed is not None:
        failed |= reasons
    good = [image for number, image in enumerate(images) if number not in reasons]
    return [to_samples(good, results, phase_conductivity, **meta)] if good else []


def _homogenize(
    images: list[NDArray[np.uint8]],
    phase_conductivity: tuple[float, ...],
    solver: str,
    boundary: Boundary,
    cache: Cache | None,
) -> list[Homogenized | str]:
    homogenizer = SOLVERS[solver](boundary)
    if isinstance(homogenizer, BatchedHomogenizer):
        batch = homogenizer.many(images, phase_conductivity)
        found = [str(r) if isinstance(r, HomogenizationError) else r for r in batch]
    else:
        found = [_one(homogenizer, image, phase_conductivity) for image in images]
    if cache is not None:
        for image, result in zip(images, found, strict=True):
            if not isinstance(result, str):
                cache.put(image, result)
    return found


def _one(homogenizer: Homogenizer, image: NDArray[np.uint8], phases: tuple[float, ...]) -> Homogenized | str:
    try:
        return homogenizer(image, phases)
    except HomogenizationError as error:
        return str(error)
