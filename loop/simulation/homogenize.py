"""Homogenizing a user's images: the backend chosen, the interval refined where asked, a JSON row for each file."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loop.simulation.cache import open_cache
from loop.simulation.executors import outcome
from loop.simulation.progress import Progress
from loop.simulation.simulate import simulate
from loop.simulation.verify import properties_of
from simulators import SOLVERS, Boundary, Certificate, HomogenizationError, Homogenized, certify


def homogenize_files(
    files: Sequence[Path],
    images: Sequence[NDArray[np.uint8]],
    phase_conductivity: tuple[float, ...],
    boundary: Boundary,
    solver: str,
    half_width: float | None,
    executor: Executor,
    progress: Progress,
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Rows as `homogenize --json` prints them, and the files that cannot be homogenized, with the reason."""
    results: Iterator[Homogenized | Certificate | str]
    if half_width is None:
        cache = open_cache(phase_conductivity, solver, boundary)
        results = simulate(images, phase_conductivity, solver, executor, boundary, cache=cache)
    else:
        ask = (phase_conductivity, solver, boundary, half_width)
        tasks = [executor.submit(_certify, image, *ask) for image in images]
        results = (_certificate(task) for task in tasks)
    rows, failed = [], dict[str, str]()
    for number, (path, image, found) in enumerate(zip(files, images, results, strict=True), start=1):
        if isinstance(found, str):
            failed[str(path)] = found
            continue
        progress("simulation", number, len(images))
        certificate = found if isinstance(found, Certificate) else None
        result = found.result if isinstance(found, Certificate) else found
        row: dict[str, Any] = {"file": str(path), "size": list(image.shape), **properties_of(result)}
        row |= {"flux_imbalance": result.flux_imbalance, "boundary": result.boundary}
        if result.bracket is not None:
            row["bracket"] = {"lower": result.bracket[0].tolist(), "upper": result.bracket[1].tolist()}
        row |= {"solver": result.solver, "seconds": result.seconds}
        if certificate is not None:
            row |= {"refinement": certificate.refinement, "half_width": certificate.half_width}
            row |= {"certified": certificate.reached, "reason": certificate.reason}
        rows.append(row)
    return rows, failed


def _certificate(task: Future[Certificate]) -> Certificate | str:
    try:
        return outcome(task)
    except HomogenizationError as error:
        return str(error)


def _certify(
    image: NDArray[np.uint8],
    phase_conductivity: tuple[float, ...],
    solver: str,
    boundary: Boundary,
    half_width: float | Callable[..., bool],
) -> Certificate:
    return certify(image, phase_conductivity, SOLVERS[solver](boundary), half_width)
