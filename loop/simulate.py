"""Simulation of many images wherever the executor runs them, and what comes back as samples."""

import faulthandler
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from janus_al.dataset import CONDUCTIVITIES, SIMULATED, Samples, content_hash, unlabelled
from loop.executors import PoisonError, open_executor, outcome
from simulators import SOLVERS, BatchedHomogenizer, Boundary, HomogenizationError, Homogenized, Homogenizer

TASK_CELLS = 2**14
"""cells of the images that one task simulates: tens of milliseconds, against which its overhead is small"""
BATCH = 64
"""images of one task of the batched solver"""
TIMEOUT = 600.0
"""seconds an image"""


def simulate(
    images: Sequence[NDArray[np.uint8]],
    phase_conductivity: Sequence[float],
    solver: str,
    executor: Executor,
    boundary: Boundary = "dirichlet",
    timeout: float = TIMEOUT,
) -> Iterator[Homogenized | str]:
    """Results in the order of the images, each computed once; a string is the reason for which there is none."""
    keys = [content_hash(image) for image in images]
    distinct = list(dict(zip(keys, images, strict=True)).items())
    size = BATCH if solver == "batched" else max(1, TASK_CELLS // max((i.size for i in images), default=1))
    call = (tuple(phase_conductivity), solver, boundary, timeout)

    def start(chunk: Sequence[NDArray[np.uint8]]) -> Future[list[Homogenized | str]]:
        return executor.submit(_homogenize, list(chunk), *call)

    def finish(task: Future[list[Homogenized | str]], chunk: Sequence[NDArray[np.uint8]]) -> list[Homogenized | str]:
        try:
            return outcome(task)
        except PoisonError as error:
            if len(chunk) == 1:
                return [f"simulation failed: {error}"]
            # One image of the task is to blame, the others are not.
            return [finish(start([image]), [image])[0] for image in chunk]

    chunks = [distinct[i : i + size] for i in range(0, len(distinct), size)]
    tasks = iter([(start([image for _, image in chunk]), chunk) for chunk in chunks])
    found: dict[str, Homogenized | str] = {}
    for key in keys:
        while key not in found:
            task, chunk = next(tasks)
            found |= zip([k for k, _ in chunk], finish(task, [image for _, image in chunk]), strict=True)
        yield found[key]


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
        sensitivity=np.stack([r.sensitivity[:columns] * r.sensitivity[0].size for r in results]).astype(np.float16),
    )


def simulate_samples(
    images: NDArray[np.uint8],
    phase_conductivity: Sequence[float],
    solver: str,
    workers: int,
    progress: Callable[[str, int, int], None],
    boundary: Boundary = "dirichlet",
    **meta: Any,
) -> list[Samples]:
    """Images as simulated samples, in one part, or none if there is no image.

    Raises:
        HomogenizationError: for the first image that cannot be simulated, by number.
    """
    if not len(images):
        return []
    results: list[Homogenized] = []
    with open_executor("process", workers) as executor:
        for result in simulate(list(images), phase_conductivity, solver, executor, boundary):
            if isinstance(result, str):
                raise HomogenizationError(f"image {len(results)}: {result}")
            results.append(result)
            progress("simulation", len(results), len(images))
    return [to_samples(list(images), results, phase_conductivity, **meta)]


def _homogenize(
    images: list[NDArray[np.uint8]],
    phase_conductivity: tuple[float, ...],
    solver: str,
    boundary: Boundary,
    timeout: float,
) -> list[Homogenized | str]:
    """One task. A worker that takes too long ends itself, even from within a library that never returns."""
    with open(os.devnull, "w") as nowhere:
        faulthandler.dump_traceback_later(timeout * len(images), exit=True, file=nowhere)
        try:
            homogenizer = SOLVERS[solver](boundary)
            if isinstance(homogenizer, BatchedHomogenizer):
                found = homogenizer.many(images, phase_conductivity)
                return [str(r) if isinstance(r, HomogenizationError) else r for r in found]
            return [_one(homogenizer, image, phase_conductivity) for image in images]
        finally:
            faulthandler.cancel_dump_traceback_later()


def _one(homogenizer: Homogenizer, image: NDArray[np.uint8], phases: tuple[float, ...]) -> Homogenized | str:
    try:
        return homogenizer(image, phases)
    except HomogenizationError as error:
        return str(error)
