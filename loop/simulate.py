"""Simulation of many images in worker processes, and what comes back as samples."""

import contextlib
import ctypes
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from janus_al.dataset import SIMULATED, Samples, unlabelled
from simulators import DirectHomogenizer, FipyHomogenizer, HomogenizationError, Homogenized, Homogenizer

HOMOGENIZERS: dict[str, type[Homogenizer]] = {"fipy": FipyHomogenizer, "direct": DirectHomogenizer}


@contextlib.contextmanager
def process_pool(workers: int = 0) -> Iterator[Executor]:
    """Worker processes with one thread each that die with this one; 0 workers means one a core."""
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    executor = ProcessPoolExecutor(
        workers or os.cpu_count(), multiprocessing.get_context("forkserver"), initializer=_begin_worker
    )
    try:
        yield executor
    finally:
        executor.shutdown(cancel_futures=True)


def simulate(
    images: Sequence[NDArray[np.uint8]], phase_conductivity: Sequence[float], solver: str, executor: Executor
) -> Iterator[Homogenized | str]:
    """Results in the order of the images; a string is the reason for which there is none."""
    futures = [executor.submit(_homogenize, image, tuple(phase_conductivity), solver) for image in images]
    for future in futures:
        yield future.result()


def to_samples(
    images: Sequence[NDArray[np.uint8]],
    results: Sequence[Homogenized],
    phase_conductivity: Sequence[float],
    **meta: Any,
) -> Samples:
    """Simulated samples; `meta` fills columns such as origin and round."""
    if not len(images):
        raise ValueError("no image was simulated")
    rows = unlabelled(
        np.stack(images),
        phase_conductivity,
        status=SIMULATED,
        solver=[r.solver.encode() for r in results],
        solver_version=[r.solver_version.encode() for r in results],
        flux_imbalance=[r.flux_imbalance for r in results],
        seconds=[r.seconds for r in results],
        **meta,
    )

    def table(name: str) -> NDArray[np.float64]:
        return np.array([[*getattr(r, name), r.volume_fraction] for r in results])

    return replace(
        rows,
        properties=table("k"),
        properties_fv=table("k_fv"),
        properties_lower=table("lower"),
        properties_upper=table("upper"),
        sensitivity=np.stack([r.sensitivity * r.sensitivity[0].size for r in results]).astype(np.float16),
    )


def simulate_samples(
    images: NDArray[np.uint8],
    phase_conductivity: Sequence[float],
    solver: str,
    workers: int,
    progress: Callable[[str, int, int], None],
    **meta: Any,
) -> list[Samples]:
    """Images as simulated samples, in one part, or none if there is no image.

    Raises:
        HomogenizationError: for the first image that cannot be simulated, by number.
    """
    if not len(images):
        return []
    results: list[Homogenized] = []
    with process_pool(workers) as executor:
        for result in simulate(list(images), phase_conductivity, solver, executor):
            if isinstance(result, str):
                raise HomogenizationError(f"image {len(results)}: {result}")
            results.append(result)
            progress("simulation", len(results), len(images))
    return [to_samples(list(images), results, phase_conductivity, **meta)]


def _begin_worker() -> None:
    """One thread, deaf to Ctrl-C (the driver decides), and dead as soon as its parent is."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def _homogenize(image: NDArray[np.uint8], phase_conductivity: tuple[float, ...], solver: str) -> Homogenized | str:
    try:
        return HOMOGENIZERS[solver]()(image, phase_conductivity)
    except HomogenizationError as error:
        return str(error)
