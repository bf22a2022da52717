"""Homogenised linear elasticity of images of isotropic phases, as a simulator.

Displacements in multilinear elements, one a cell, bound the true stiffness of the image from above (least potential
energy), in the plane stresses in equilibrium bound it from below (`stresses`), both in the Loewner order, and the
best value is their geometric mean. In volumes it is the upper bound. All are energies of whole fields, so that an
error of the solve enters by its square, and the derivatives need no second solve.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from simulators.elasticity import gates
from simulators.elasticity.bounds import isotropic_bounds, named_bounds, voigt_reuss, voigt_reuss_tensors
from simulators.elasticity.bracket import Bracket, bracket
from simulators.elasticity.stiffness import LABELS, Plane, lame, tensors
from simulators.elasticity.tensor import derivatives, properties
from simulators.simulator import Boundary, FloatArray, Result


@dataclass(frozen=True)
class Elasticity:
    """Homogenised stiffness of images of isotropic phases, in the unit of their moduli.

    Attributes:
        boundary: "periodic" gives the stiffness tensor in Voigt's notation, C11 ... (1 is x, along the last axis
            of the image, 2 is y, down its rows, 3 is z), and Young's moduli E11 = 1 / (C^-1)_11 .... "dirichlet"
            gives the moduli alone, of pulls between two rigid frictionless grips with free sides.
        modulus: Young's modulus of each label.
        poisson: Poisson's ratio of each label, or one for all.
        plane: what an image is: a section of columns ("strain"), the same as the volume that repeats it, where a
            uniform image pulls with E / (1 - nu^2); or a thin sheet ("stress"), where it pulls with E.
    """

    boundary: Boundary
    modulus: tuple[float, ...]
    poisson: tuple[float, ...] | float
    plane: Plane = "strain"

    def __post_init__(self) -> None:
        modulus, poisson = np.array(self.modulus, dtype=float), np.array(self.poisson, dtype=float)
        if poisson.ndim == 0:
            poisson = np.full(modulus.size, poisson)
        gates.check_constants(self.boundary, modulus, poisson, self.plane)
        object.__setattr__(self, "modulus", tuple(modulus.tolist()))
        object.__setattr__(self, "poisson", tuple(poisson.tolist()))

    @property
    def properties(self) -> Sequence[str]:
        """Names of the properties of images; volumes have those of `names(3)`."""
        return self.names(2)

    def names(self, dim: int) -> tuple[str, ...]:
        """Names of the properties of images (2) or volumes (3)."""
        moduli = tuple(f"E{i}{i}" for i in range(1, dim + 1))
        if self.boundary == "dirichlet":
            return moduli
        labels = LABELS[dim]
        return (*(f"C{a}{b}" for i, a in enumerate(labels) for b in labels[i:]), *moduli)

    def limits(self, fraction: FloatArray) -> dict[str, tuple[FloatArray, FloatArray]]:
        """Between what each property of a plane must lie at volume fractions of label 1 (Voigt, Reuss)."""
        if len(self.modulus) != 2:
            return {}
        found = voigt_reuss(fraction, self.modulus, self.poisson, self.plane)
        return {name: found[name] for name in self.properties if name in found}

    def __call__(self, image: NDArray[np.integer]) -> Result:
        """Simulate labels (ny, nx) or (nz, ny, nx), integers or booleans.

        Sensitivities are to the logarithm of each cell's Young's modulus at its Poisson's ratio: of log value for
        the moduli and the tensor's diagonal, where they sum to 1, else of the value, where they sum to it.

        Raises:
            SimulationError: no result can be trusted.
        """
        began = time.perf_counter()
        periodic = self.boundary == "periodic"
        image = gates.checked_labels(image, len(self.modulus), periodic)
        dim = image.ndim
        constants = lame(self.modulus, self.poisson, dim, self.plane)
        fractions = np.bincount(image.ravel(), minlength=len(self.modulus)) / image.size
        reuss, voigt = voigt_reuss_tensors(fractions, tensors(constants, dim))
        cells = constants[:, image]
        # What overflows or is no number on the way is refused by a gate.
        with np.errstate(all="ignore"):
            if periodic:
                found = [bracket(cells, reuss, periodic=True)]
                result = _of_tensor(found[0])
            else:
                least = 1 / np.linalg.inv(reuss)[:1, :1]
                found = [bracket(cells.swapaxes(-1 - i, -1), least, periodic=False) for i in range(dim)]
                result = _of_pulls(found)
        imbalance = max(b.imbalance for b in found)
        gates.gate_balance(imbalance)
        gates.gate_moduli(result, named_bounds(reuss, voigt, dim))
        if periodic:
            gates.gate_tensors([reuss, found[0].lower, found[0].best.value, found[0].upper, voigt])
            gates.gate_isotropic(found[0].lower, found[0].upper, isotropic_bounds(fractions, constants, dim), dim)
        return replace(
            result,
            solver="banded Cholesky" if dim == 2 else "conjugate gradients",
            solver_version=_version("scipy" if dim == 2 else "numpy"),
            imbalance=imbalance,
            seconds=time.perf_counter() - began,
        )


@cache
def _version(library: str) -> str:
    return version(library)


def _of_tensor(found: Bracket) -> Result:
    """Every entry and every modulus of a periodic image."""
    dim = len(found.grid)
    bounds = named_bounds(found.lower, found.upper, dim)
    return Result(
        values=properties(found.best.value, dim),
        lower={name: float(low) for name, (low, _) in bounds.items()},
        upper={name: float(high) for name, (_, high) in bounds.items()},
        plain=properties(found.upper, dim),
        sensitivity={name: slope.reshape(found.grid) for name, slope in derivatives(found.best, dim).items()},
    )


def _of_pulls(found: Sequence[Bracket]) -> Result:
    """Moduli of pulls along each axis, each of which was the last one when it was pulled."""
    by_name = {f"E{i}{i}": bracket for i, bracket in enumerate(found, start=1)}
    upper = {name: float(b.upper[0, 0]) for name, b in by_name.items()}
    slopes = {name: (b.best.slope / b.best.value)[0, 0].reshape(b.grid) for name, b in by_name.items()}
    return Result(
        values={name: float(b.best.value[0, 0]) for name, b in by_name.items()},
        lower={name: float(b.lower[0, 0]) for name, b in by_name.items()},
        upper=upper,
        plain=upper,
        sensitivity={name: s.swapaxes(-1 - i, -1) for i, (name, s) in enumerate(slopes.items())},
    )
