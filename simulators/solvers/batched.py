"""Many images at once in torch, float64, on a GPU or the CPU.

Conjugate gradients with the uniform problem as preconditioner. A CPU does better with another method between fixed
faces in the plane, the red-black elimination of the whole batch, then LAPACK's banded Cholesky image by image; and in
volumes, where NumPy iterates in single precision, one after the other.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from math import prod

import numpy as np
from numpy.typing import NDArray

from simulators.algebra.arrays import Array, namespace, on_gpu
from simulators.algebra.conjugate_gradients import conjugate_gradients
from simulators.algebra.two_precisions import solver
from simulators.conduction.effective import effective
from simulators.conduction.homogenizer import Boundary, Homogenized, Solver, result_of
from simulators.conduction.inputs import HomogenizationError, check_memory, conductivity_field
from simulators.conduction.problem import Conduction, Solve

CPU_CELLS = 2**16
"""cells of a chunk on the CPU: what stays in its caches"""
GPU_BYTES_PER_CELL = 2000
"""of float64 working memory, generously"""


@dataclass(frozen=True)
class BatchedHomogenizer:
    """Homogenizer by torch; `device` "auto" is the GPU where there is one."""

    boundary: Boundary = "dirichlet"
    device: str = "cpu"
    name = "batched"

    def __call__(self, image: NDArray[np.integer], phase_conductivity: Sequence[float]) -> Homogenized:
        """Effective conductivity of labels; see `Homogenizer`."""
        result = self.many([image], phase_conductivity)[0]
        if isinstance(result, HomogenizationError):
            raise result
        return result

    def many(
        self, images: Sequence[NDArray[np.integer]], phase_conductivity: Sequence[float]
    ) -> list[Homogenized | HomogenizationError]:
        """Results in the order of the images, which may have several sizes; an error where there is none."""
        import torch

        device, solver = torch.device(self._device()), Solver(self.name, torch.__version__)
        results: list[Homogenized | HomogenizationError | None] = [None] * len(images)
        fields: dict[tuple[int, ...], list[tuple[int, NDArray[np.float64]]]] = {}
        for number, image in enumerate(images):
            try:
                kappa = conductivity_field(image, phase_conductivity)
                check_memory(kappa.shape, self.boundary, self.name)
                fields.setdefault(kappa.shape, []).append((number, kappa))
            except HomogenizationError as error:
                results[number] = error
        for shape, members in fields.items():
            size = _chunk(shape, device)
            for start in range(0, len(members), size):
                began = time.perf_counter()
                chunk = members[start : start + size]
                kappas = torch.as_tensor(np.stack([kappa for _, kappa in chunk]), device=device)
                found = effective(kappas, self.boundary == "periodic", solve_batch).to_numpy()
                seconds = (time.perf_counter() - began) / len(chunk)
                for row, (number, kappa) in enumerate(chunk):
                    try:
                        # What is no number is refused by a gate.
                        with np.errstate(all="ignore"):
                            results[number] = result_of(found, row, kappa, images[number], solver, seconds)
                    except HomogenizationError as error:
                        results[number] = error
        return [r for r in results if r is not None]

    def _device(self) -> str:
        import torch

        if self.device != "auto":
            return self.device
        return "cuda" if torch.cuda.is_available() else "cpu"


def solve_batch(problem: Conduction) -> tuple[Array, Solve]:
    """Deviations of a batch of problems, and what solves for more; see `Backend`."""
    nothing = namespace(problem.kappa).zeros_like(problem.source())  # `refinement` does the rest
    if problem.dim == 3 and not on_gpu(problem.kappa):
        return nothing, solver(problem, len(problem.kappa))
    if problem.dim == 2 and not problem.periodic and not on_gpu(problem.kappa):
        from simulators.algebra.red_black import BANDED_UP_TO
        from simulators.solvers.direct import factorise_banded

        if min(problem.grid) <= BANDED_UP_TO:
            banded = factorise_banded(problem)
            return banded(problem.source(), problem.least_flux), banded

    return nothing, partial(conjugate_gradients, problem)


def _chunk(shape: tuple[int, ...], device: object) -> int:
    import torch

    cells = prod(shape)
    if torch.device(str(device)).type == "cpu":
        return max(1, CPU_CELLS // cells)
    free, _ = torch.cuda.mem_get_info()
    return max(1, int(free // (GPU_BYTES_PER_CELL * cells)))
