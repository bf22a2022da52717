"""Where heat goes in an image: temperatures and fluxes of the solve that its conductivity was found from."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulators.algebra.arrays import Array
from simulators.conduction.inputs import AXIS_NAMES, check_memory, conductivity_field
from simulators.conduction.problem import Backend, Conduction, divergence
from simulators.conduction.refinement import TOLERANCE, divergence_free
from simulators.simulator import Boundary, FloatArray
from simulators.solvers.batched import solve_batch
from simulators.solvers.choice import choose
from simulators.solvers.direct import solve_directly


@dataclass(frozen=True, eq=False)
class HeatFlow:
    """Heat driven along one axis by a drop of temperature from 1 to 0 across the image.

    Attributes:
        axis: x, y or z.
        temperature: of the cells, (*grid). Of an image that repeats, it drops by 1 from each copy to the next.
        faces: flux through the faces normal to each grid axis, one entry longer than the grid along it; its mean along
            the driven axis is the finite-volume conductivity, `k_fv` of a `Homogenized`.
    """

    axis: str
    temperature: FloatArray
    faces: tuple[FloatArray, ...]

    @property
    def flux(self) -> FloatArray:
        """In the middle of the cells, (dim, *grid): along the first grid axis first."""
        dim = self.temperature.ndim
        return np.stack([(_part(f, a, 0) + _part(f, a, 1)) / 2 for a, f in zip(range(dim), self.faces, strict=True)])

    @property
    def conductivity(self) -> float:
        """The mean flux along the driven axis."""
        return float(self.faces[self.temperature.ndim - 1 - AXIS_NAMES.index(self.axis)].mean())

    @property
    def stream(self) -> FloatArray:
        """Of a plane, at the pixels' corners (ny + 1, nx + 1): heat that flows between two of them is their difference.

        It is constant along every line of flux.
        """
        down, right = self.faces
        top = np.concatenate([[0.0], -np.cumsum(down[0])])
        return np.concatenate([top[None], top + np.cumsum(right, axis=0)])


def heat_flows(
    image: NDArray[np.integer], phase_conductivity: Sequence[float], boundary: Boundary = "dirichlet"
) -> list[HeatFlow]:
    """Heat flows along every axis of labels (ny, nx) or (nz, ny, nx), x first, by the fastest backend.

    Raises:
        HomogenizationError: the image cannot be homogenized.
    """
    kappa, name = conductivity_field(image, phase_conductivity), choose(image.shape, 1, boundary)
    check_memory(kappa.shape, boundary, name)
    backend = solve_directly if name == "direct" else solve_batch
    axes = range(-1, -kappa.ndim - 1, -1)
    if boundary == "periodic":
        return [_flow(axis, *solved) for axis, solved in zip(axes, _solved(kappa, True, backend), strict=True)]
    found = []
    for axis in axes:
        temperature, faces = _solved(np.ascontiguousarray(kappa.swapaxes(axis, -1)), False, backend)[0]
        faces[axis], faces[-1] = faces[-1], faces[axis]
        found.append(_flow(axis, temperature.swapaxes(axis, -1), [f.swapaxes(axis, -1) for f in faces]))
    return found


def _solved(kappa: FloatArray, periodic: bool, backend: Backend) -> list[tuple[FloatArray, list[FloatArray]]]:
    """Deviation from the linear profile, and fluxes, of each drive."""
    problem = Conduction(_for(backend, kappa)[None, None], kappa.ndim, periodic)
    deviation, solve = backend(problem)
    limit = TOLERANCE * problem.least_flux * (kappa.size / max(kappa.shape))
    deviation = deviation - solve(divergence(problem.fluxes(deviation), problem.axes), limit)
    faces = [np.asarray(f) for f in divergence_free(problem, problem.fluxes(deviation), solve, limit)]
    return [(np.asarray(deviation)[0, row], [f[0, row] for f in faces]) for row in range(len(problem.drives))]


def _for(backend: Backend, kappa: FloatArray) -> Array:
    if backend is not solve_batch:
        return kappa
    import torch

    return torch.as_tensor(kappa)


def _flow(axis: int, deviation: FloatArray, faces: list[FloatArray]) -> HeatFlow:
    n, dim = deviation.shape[axis], deviation.ndim
    place = (np.arange(n) + 0.5).reshape([-1 if a == dim + axis else 1 for a in range(dim)])
    return HeatFlow(AXIS_NAMES[-axis - 1], 1 + (deviation - place) / n, tuple(faces))


def _part(field: FloatArray, axis: int, first: int) -> FloatArray:
    return field[(*[slice(None)] * axis, slice(first, field.shape[axis] - 1 + first))]
