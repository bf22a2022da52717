"""Homogenised linear elasticity of pixel images, as a simulator.

One multilinear element a cell; its energy bounds the true stiffness of the image from above, in the Loewner order
(minimum of the potential energy). Values are energies of whole displacement fields, so that an error of the solve
enters by its square, and so are the derivatives: the problem is self-adjoint and needs no second solve.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from simulators.elasticity.bounds import named_bounds, voigt_reuss_tensors
from simulators.elasticity.energies import Energies, solve
from simulators.elasticity.gates import (
    check_constants,
    check_memory,
    checked_labels,
    gate_balance,
    gate_isotropic,
    gate_moduli,
    gate_tensor,
)
from simulators.elasticity.lattice import Lattice
from simulators.elasticity.stiffness import LABELS, FloatArray, Plane, lame, tensors
from simulators.simulator import Boundary, Result


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
        check_constants(self.boundary, modulus, poisson, self.plane)
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

    def __call__(self, image: NDArray[np.integer]) -> Result:
        """Simulate labels (ny, nx) or (nz, ny, nx), integers or booleans.

        Sensitivities are to the logarithm of each cell's Young's modulus at its Poisson's ratio: of log value for
        the moduli and the tensor's diagonal, where they sum to 1, else of the value, where they sum to it.

        Raises:
            SimulationError: no result can be trusted.
        """
        began = time.perf_counter()
        image = checked_labels(image, len(self.modulus))
        check_memory(image.shape, self.boundary == "periodic")
        dim = image.ndim
        constants = lame(self.modulus, self.poisson, dim, self.plane)  # type: ignore[arg-type]
        fractions = np.bincount(image.ravel(), minlength=len(self.modulus)) / image.size
        reuss, voigt = voigt_reuss_tensors(fractions, tensors(constants, dim))
        pulls = [None] if self.boundary == "periodic" else range(dim)
        # What overflows or is no number on the way is refused by a gate.
        with np.errstate(all="ignore"):
            found = [solve(constants[:, image], Lattice(image.shape, pull)) for pull in pulls]
        imbalance = max(e.imbalance for e in found)
        gate_balance(imbalance)
        if self.boundary == "periodic":
            gate_tensor(found[0].total, reuss, voigt)
            gate_isotropic(found[0].total, fractions, constants, dim)
            values, slopes = _tensor(found[0], dim)
        else:
            values = {f"E{i}{i}": float(e.total[0, 0]) for i, e in enumerate(found, start=1)}
            slopes = {n: e.cells[0, 0] / e.total[0, 0] for n, e in zip(values, found, strict=True)}
        elementary = named_bounds(reuss, voigt, dim)
        bounded = {name: value for name, value in values.items() if name[1] == name[2]}
        gate_moduli(bounded, elementary)
        return Result(
            values=values,
            lower={name: float(elementary[name][0]) for name in bounded},
            upper=bounded,
            sensitivity=slopes,
            solver="elasticity",
            solver_version=version("scipy" if dim == 2 else "pyamg"),
            imbalance=imbalance,
            seconds=time.perf_counter() - began,
        )


def _tensor(energies: Energies, dim: int) -> tuple[dict[str, float], dict[str, FloatArray]]:
    """Entries of the stiffness tensor and moduli along the axes, with derivatives."""
    labels, c = LABELS[dim], energies.total
    values, slopes = {}, {}
    for i, a in enumerate(labels):
        for j, b in enumerate(labels[i:], start=i):
            values[f"C{a}{b}"] = float(c[i, j])
            slopes[f"C{a}{b}"] = energies.cells[i, j] / (c[i, i] if i == j else 1.0)
    compliance = np.linalg.inv(c)
    for i in range(dim):
        # d(C^-1) = -C^-1 dC C^-1
        strain = compliance[i]
        values[f"E{i + 1}{i + 1}"] = float(1 / strain[i])
        slopes[f"E{i + 1}{i + 1}"] = np.einsum("a,b,ab...->...", strain, strain, energies.cells) / strain[i]
    return values, slopes
