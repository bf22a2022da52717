"""Homogenizing a user's images: the backend chosen, the interval refined where asked, a JSON row for each file."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from janus_al.material import Material
from loop.design.measures import properties_of
from loop.simulation.executors import outcome
from loop.simulation.progress import Progress
from loop.simulation.simulate import Execution, simulate
from simulators import SOLVERS, Boundary, Certificate, Failure, HomogenizationError, Result, certify
from simulators.solvers.conductivity import result_of


def homogenize_files(
    files: Sequence[Path],
    images: Sequence[NDArray[np.uint8]],
    material: Material,
    execution: Execution,
    half_width: float | None,
    progress: Progress,
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Rows as `homogenize --json` prints them, and the files that cannot be homogenized, with the reason."""
    results: Iterator[Result | Certificate | Failure]
    if half_width is None:
        results = simulate(images, material, execution)
    else:
        ask = (material.phase_conductivity, execution.solver, material.boundary, half_width)
        tasks = [execution.executor.submit(_certify, image, *ask) for image in images]
        results = (_certificate(task) for task in tasks)
    rows, failed = [], dict[str, str]()
    for number, (path, image, found) in enumerate(zip(files, images, results, strict=True), start=1):
        if isinstance(found, Failure):
            failed[str(path)] = found.reason
            continue
        progress("simulation", number, len(images))
        result = result_of(found.result) if isinstance(found, Certificate) else found
        row: dict[str, Any] = {"file": str(path), "size": list(image.shape), **properties_of(result, image)}
        row |= {"flux_imbalance": result.imbalance, "boundary": material.boundary}
        if result.bracket is not None:
            row["bracket"] = {"lower": result.bracket[0].tolist(), "upper": result.bracket[1].tolist()}
        row |= {"solver": result.solver, "seconds": result.seconds}
        if isinstance(found, Certificate):
            row |= {"refinement": found.refinement, "half_width": found.half_width}
            row |= {"certified": found.reached, "reason": found.reason}
        rows.append(row)
    return rows, failed


def _certificate(task: Future[Certificate]) -> Certificate | Failure:
    try:
        return outcome(task)
    except HomogenizationError as error:
        return Failure(str(error))


def _certify(
    image: NDArray[np.uint8],
    phase_conductivity: tuple[float, ...],
    solver: str,
    boundary: Boundary,
    half_width: float | Callable[..., bool],
) -> Certificate:
    return certify(image, phase_conductivity, SOLVERS[solver](boundary), half_width)
