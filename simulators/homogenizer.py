"""Effective conductivity of a pixel image: the protocol, the result, and what every backend shares.

A backend solves one discrete problem: div(kappa grad T) = 0 on the pixel grid, T = 1 on the left face and
0 on the right, adiabatic top and bottom, harmonic mean at interior faces, half a cell to the outer faces.
From the face fluxes of four such solves follow kxx and kyy, certified bounds of both, and sensitivities.

Thomson's principle makes the lowest Raviart-Thomas energy of the finite-volume flux a lower bound of the
true conductivity; the duality k_x(kappa) k_y(1/kappa) = 1 of plane conduction (Keller 1964, Dykhne 1971)
turns the lower bound of the dual problem into an upper bound of this one.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
FluxSolver = Callable[[Array], tuple[Array, Array]]
"""kappa (ny, nx) -> heat flux through the vertical faces (ny, nx + 1) and the horizontal ones (ny + 1, nx)."""

IMBALANCE_LIMIT = 1e-9


class HomogenizationError(ValueError):
    """The image cannot be homogenized, or the result failed a physical gate."""


@dataclass(frozen=True)
class Homogenized:
    """Effective conductivity of one image, in the unit of the phase conductivities.

    Attributes:
        names: the conductivities, ("kxx", "kyy"); every array below has them along its first axis.
        k: best value, the geometric mean of the four bounds known (shape (2,)).
        k_fv: the plain finite-volume value, a lower bound.
        lower: certified lower bound (Raviart-Thomas energy of the finite-volume flux).
        upper: certified upper bound (the same for the dual problem).
        sensitivity: d log k / d log kappa of each pixel for the best value, the mean of the exact maps of
            the primal and the dual solve, shape (2, ny, nx); non-negative, sums to 1.
        sensitivity_fv: the same for k_fv, exact.
        volume_fraction: of label 1.
        flux_imbalance: largest relative difference of the total flux between two planes, over all solves.
    """

    names: tuple[str, ...]
    k: Array
    k_fv: Array
    lower: Array
    upper: Array
    sensitivity: Array
    sensitivity_fv: Array
    volume_fraction: float
    flux_imbalance: float
    solver: str
    solver_version: str
    seconds: float


class Homogenizer(Protocol):
    """What turns an image into its effective conductivity; one frozen object a backend."""

    @property
    def name(self) -> str:
        """The backend's name, as stored with each sample."""

    def __call__(self, image: NDArray[np.integer], phase_conductivity: Sequence[float]) -> Homogenized:
        """Homogenize labels (ny, nx); raises HomogenizationError where no result can be trusted."""


def conductivity_field(image: NDArray[np.integer], phase_conductivity: Sequence[float]) -> Array:
    """Conductivity of every pixel, after checking that each label has one.

    Raises:
        HomogenizationError: with the value at fault, the rule and the mend.
    """
    kappa = np.asarray(phase_conductivity, dtype=float)
    if kappa.ndim != 1 or kappa.size == 0 or not np.all(np.isfinite(kappa)) or np.any(kappa <= 0):
        raise HomogenizationError(
            f"phase conductivities {list(phase_conductivity)}: each must be finite and above 0; "
            "give an insulating phase a small positive value, such as 1e-4 of the other"
        )
    image = np.asarray(image)
    if image.ndim != 2 or min(image.shape) < 2:
        raise HomogenizationError(f"image of shape {image.shape}: need two axes of at least 2 pixels each")
    if not np.issubdtype(image.dtype, np.integer):
        raise HomogenizationError(f"image of {image.dtype}: labels must be integers; threshold or round it first")
    if image.min() < 0 or image.max() >= kappa.size:
        raise HomogenizationError(
            f"labels {int(image.min())}..{int(image.max())} but {kappa.size} conductivities: label i needs "
            "entry i; give one conductivity per label"
        )
    return kappa[image]


def homogenize(
    image: NDArray[np.integer],
    phase_conductivity: Sequence[float],
    solve: FluxSolver,
    solver: str,
    solver_version: str,
) -> Homogenized:
    """kxx and kyy of an image with bounds and sensitivities, from four solves by one backend.

    Raises:
        HomogenizationError: on bad input, or if a gate refuses the result: flux imbalance above 1e-9,
            bounds out of order, or a value outside the Wiener bounds.
    """
    kappa = conductivity_field(image, phase_conductivity)
    start = time.perf_counter()
    primal = [_analyse(kappa, solve), _analyse(kappa.T, solve)]
    dual = [_analyse(1 / kappa.T, solve), _analyse(1 / kappa, solve)]
    k_fv, lower = np.array([p.k_fv for p in primal]), np.array([p.k_rt for p in primal])
    upper_fv, upper = np.array([1 / d.k_fv for d in dual]), np.array([1 / d.k_rt for d in dual])
    # The second problem of each pair is solved on the transposed grid.
    fv_maps = np.stack([primal[0].sensitivity, primal[1].sensitivity.T])
    dual_maps = np.stack([dual[0].sensitivity.T, dual[1].sensitivity])
    result = Homogenized(
        names=("kxx", "kyy"),
        k=(k_fv * lower * upper_fv * upper) ** 0.25,
        k_fv=k_fv,
        lower=lower,
        upper=upper,
        sensitivity=(fv_maps + dual_maps) / 2,
        sensitivity_fv=fv_maps,
        volume_fraction=float(np.mean(np.asarray(image) == 1)),
        flux_imbalance=float(np.max([a.imbalance for a in primal + dual])),
        solver=solver,
        solver_version=solver_version,
        seconds=time.perf_counter() - start,
    )
    _gate(result, kappa)
    return result


@dataclass(frozen=True)
class _Analysis:
    k_fv: float
    k_rt: float
    sensitivity: Array
    imbalance: float


def _analyse(kappa: Array, solve: FluxSolver) -> _Analysis:
    ny, nx = kappa.shape
    qx, qy = solve(kappa)
    planes = qx.sum(axis=0)
    total = planes.mean()
    west, east, top, bottom = qx[:, :-1], qx[:, 1:], qy[:-1], qy[1:]
    energy = (west**2 + west * east + east**2 + top**2 + top * bottom + bottom**2) / (3 * kappa)
    # Each face's resistance is the sum of two half cells, so a pixel dissipates q^2 / (2 kappa) a face.
    sensitivity = (west**2 + east**2 + top**2 + bottom**2) / (2 * kappa * total)
    return _Analysis(
        k_fv=total * nx / ny,
        k_rt=total**2 / energy.sum() * nx / ny,
        sensitivity=sensitivity,
        imbalance=float(np.ptp(planes) / abs(total)),
    )


def _gate(result: Homogenized, kappa: Array) -> None:
    if not result.flux_imbalance <= IMBALANCE_LIMIT:
        raise HomogenizationError(
            f"flux imbalance {result.flux_imbalance:.1e} exceeds {IMBALANCE_LIMIT:.0e}: the solve is not accurate "
            "enough; lower the contrast"
        )
    harmonic, arithmetic = 1 / np.mean(1 / kappa), np.mean(kappa)
    slack = 1e-9
    # Each rule is asked in the affirmative, because every comparison with NaN is false.
    if not (np.all(result.lower >= harmonic * (1 - slack)) and np.all(result.upper <= arithmetic * (1 + slack))):
        raise HomogenizationError(
            f"bounds {result.lower} .. {result.upper} leave the Wiener interval [{harmonic:.6g}, {arithmetic:.6g}]"
        )
    if not np.all(result.lower <= result.upper * (1 + slack)):
        raise HomogenizationError(f"lower bounds {result.lower} exceed upper bounds {result.upper}")
