"""Effective conductivity of an image: the protocol, the result, and what every backend shares.

A backend solves discrete problems (`simulators.conduction.problem`); from their fluxes follow lower bounds of the true
conductivity of the pixel image, with derivatives (`simulators.conduction.bounds`). Upper bounds are, in the plane, the
lower ones of the dual problem, and in a volume the energy of trilinear elements (`simulators.conduction.elements`).
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from simulators.conduction.bounds import LogTensor
from simulators.conduction.effective import Effective, effective
from simulators.conduction.inputs import AXIS_NAMES, HomogenizationError, check_memory, conductivity_field
from simulators.conduction.problem import Backend
from simulators.simulator import Boundary, FloatArray

IMBALANCE_LIMIT = 1e-9


@dataclass(frozen=True)
class Homogenized:
    """Effective conductivity of one image, in the unit of the phase conductivities.

    x runs along the last axis of the image, to the right, y down from its row 0 on top, z from layer to layer: a
    positive kxy means that heat driven to the right drifts down, as along stripes from top left to bottom right.

    Attributes:
        names: the conductivities, ("kxx", "kyy"), with "kzz" for a volume, and for a periodic boundary the
            off-diagonal ones, "kxy"...; every array below has them along its first axis.
        k: best value, the log-Euclidean mean of the bounds known (of numbers: the geometric mean).
        k_fv: the plain finite-volume value, a lower bound of the diagonal ones.
        lower: certified lower bound.
        upper: certified upper bound.
        sensitivity: exact derivative of the best value to log kappa of each cell, (names, *grid): of log k for
            the diagonal names, where it sums to 1; of kxy / sqrt(kxx kyy) at fixed denominator for the others,
            where it sums to that ratio.
        sensitivity_fv: the same for k_fv; non-negative for the diagonal names.
        volume_fraction: of label 1.
        flux_imbalance: largest relative difference of the total flux between two planes, over all solves.
        boundary: "dirichlet" or "periodic".
        seconds: wall time.
        bracket: under a periodic boundary the two tensors that bound in the Loewner order: the true one minus
            the first, and the second minus the true one, have no negative eigenvalue.
    """

    names: tuple[str, ...]
    k: FloatArray
    k_fv: FloatArray
    lower: FloatArray
    upper: FloatArray
    sensitivity: FloatArray
    sensitivity_fv: FloatArray
    volume_fraction: float
    flux_imbalance: float
    boundary: Boundary
    solver: str
    solver_version: str
    seconds: float
    bracket: tuple[FloatArray, FloatArray] | None = None


class Homogenizer(Protocol):
    """What turns images into their effective conductivity; one frozen object a backend and boundary."""

    @property
    def name(self) -> str:
        """The backend's name, as stored with each sample."""

    def __call__(self, image: NDArray[np.integer], phase_conductivity: Sequence[float]) -> Homogenized:
        """Homogenize labels (ny, nx) or (nz, ny, nx), integers or booleans.

        Raises:
            HomogenizationError: no result can be trusted.
        """


def homogenize(
    image: NDArray[np.integer],
    phase_conductivity: Sequence[float],
    backend: Backend,
    boundary: Boundary,
    solver: str,
    solver_version: str,
) -> Homogenized:
    """One image by a backend of NumPy arrays.

    Raises:
        HomogenizationError: on bad input, or if a gate refuses the result.
    """
    start = time.perf_counter()
    kappa = conductivity_field(image, phase_conductivity)
    check_memory(kappa.shape, boundary, solver)
    # What overflows or is no number on the way is refused by a gate at the end.
    with np.errstate(all="ignore"):
        field = effective(kappa[None], boundary == "periodic", backend)
    return result_of(field, 0, kappa, image, Solver(solver, solver_version), time.perf_counter() - start)


@dataclass(frozen=True)
class Solver:
    """Who solved: the backend's name and the version of the library behind it."""

    name: str
    version: str


def result_of(
    field: Effective, row: int, kappa: FloatArray, image: NDArray[np.integer], solver: Solver, seconds: float
) -> Homogenized:
    """One row of a batch as the world sees it, once it has passed the gates.

    Raises:
        HomogenizationError: a gate refuses it.
    """
    dim = kappa.ndim
    pairs = [(i, i) for i in range(dim)]
    if field.periodic:
        pairs += [(i, j) for i in range(dim) for j in range(i + 1, dim)]
    rows, columns = (list(indices) for indices in zip(*pairs, strict=True))

    def entries(tensors: list[LogTensor]) -> FloatArray:
        """The tensor's named entries, or of each axis its one number."""
        if field.periodic:
            return tensors[0].tensor()[row][rows, columns]
        return np.array([t.tensor()[row, 0, 0] for t in tensors])

    def slopes(tensors: list[LogTensor], values: FloatArray) -> FloatArray:
        if not field.periodic:
            return np.stack([t.slope[row, 0, 0] for t in tensors])
        scale = np.sqrt(values[rows] * values[columns])
        return tensors[0].tensor_slope(row)[rows, columns] / scale[(..., *[None] * dim)]

    k, k_fv, lower, upper = (entries(t) for t in (field.best, field.finite_volume, field.lower, field.upper))
    bracket = None
    if field.periodic:
        bracket = field.lower[0].tensor()[row], field.upper[0].tensor()[row]
        lower, upper = (bound[rows, columns] for bound in _entrywise(*bracket))
    result = Homogenized(
        names=tuple(f"k{AXIS_NAMES[i]}{AXIS_NAMES[j]}" for i, j in pairs),
        k=k,
        k_fv=k_fv,
        lower=lower,
        upper=upper,
        sensitivity=slopes(field.best, k),
        sensitivity_fv=slopes(field.finite_volume, k_fv),
        volume_fraction=float(np.mean(np.asarray(image) == 1)),
        flux_imbalance=float(field.imbalance[row]),
        boundary="periodic" if field.periodic else "dirichlet",
        solver=solver.name,
        solver_version=solver.version,
        seconds=seconds,
        bracket=bracket,
    )
    gate(result, kappa)
    return result


def _entrywise(lower: FloatArray, upper: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Bounds of each entry that follow from a Loewner bracket."""
    gap = np.diag(upper - lower).clip(min=0)
    middle, reach = (lower + upper) / 2, np.sqrt(np.outer(gap, gap)) / 2
    return middle - reach, middle + reach


def gate(result: Homogenized, kappa: FloatArray) -> None:
    """What every result must pass.

    Raises:
        HomogenizationError: flux imbalance above 1e-9, a sensitivity that is no number, bounds out of order or
            outside the Wiener bounds.
    """
    if not result.flux_imbalance <= IMBALANCE_LIMIT:
        raise HomogenizationError(
            f"flux imbalance {result.flux_imbalance:.1e} exceeds {IMBALANCE_LIMIT:.0e}: the solve is not accurate "
            "enough; lower the contrast, or try another solver"
        )
    if not (np.isfinite(result.sensitivity).all() and np.isfinite(result.sensitivity_fv).all()):
        raise HomogenizationError("the sensitivities are not finite: the adjoint solve failed; lower the contrast")
    harmonic, arithmetic = 1 / np.mean(1 / kappa), np.mean(kappa)
    slack = 1e-9
    if result.bracket is None:
        lower, upper = result.lower, result.upper
        ordered = bool(np.all(lower <= upper * (1 + slack)))
    else:
        lower, upper = (np.asarray(np.linalg.eigvalsh(bound), dtype=float) for bound in result.bracket)
        ordered = bool(np.linalg.eigvalsh(result.bracket[1] - result.bracket[0])[0] >= -slack * arithmetic)
    # Each rule is asked in the affirmative, because every comparison with NaN is false.
    if not (np.all(lower >= harmonic * (1 - slack)) and np.all(upper <= arithmetic * (1 + slack))):
        raise HomogenizationError(
            f"bounds {lower} .. {upper} leave the Wiener interval [{harmonic:.6g}, {arithmetic:.6g}]"
        )
    if not ordered:
        raise HomogenizationError(f"lower bounds {result.lower} exceed upper bounds {result.upper}")
