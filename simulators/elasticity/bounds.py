"""Elementary bounds of the stiffness of composites with isotropic phases.

Voigt (1889) and Reuss (1929): a uniform strain and a uniform stress bound the stiffness in the Loewner order,
<C^-1>^-1 <= C <= <C>, whatever the structure. They bound the moduli between grips, too: frictionless grips and free
sides admit any uniform strain along and across the pull, and the uniform stress along it.

Hashin and Shtrikman (1963; Walpole 1966 for phases of which one has the larger bulk and the other the larger shear
modulus): sharper bounds of the bulk and the shear modulus of an isotropic composite. Of any other composite the lower
ones bound the stiffness averaged over all rotations, since their variational principle may be averaged, too; and the
upper ones bound the inverse of the compliance averaged over all rotations.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simulators.elasticity.stiffness import LABELS, FloatArray, Plane, lame, tensors

Bounds = dict[str, tuple[FloatArray, FloatArray]]
"""by the property's name: the lower and the upper one"""


def voigt_reuss(
    fraction: ArrayLike,
    modulus: Sequence[float],
    poisson: ArrayLike,
    plane: Plane = "strain",
    dim: int = 2,
) -> Bounds:
    """Bounds of every property of two phases at volume fractions of label 1, of any shape: rigorous.

    `modulus` and `poisson` hold Young's modulus and Poisson's ratio of label 0 and of label 1; one ratio will do.
    """
    phases = tensors(lame(modulus, poisson, dim, plane), dim)
    f = np.asarray(fraction, dtype=float)
    return named_bounds(*voigt_reuss_tensors(np.stack([1 - f, f], axis=-1), phases), dim)


def voigt_reuss_tensors(fractions: FloatArray, phases: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Both tensors (..., v, v) of fractions (..., phases) and the phases' tensors (phases, v, v)."""
    voigt = np.tensordot(fractions, phases, axes=1)
    return np.linalg.inv(np.tensordot(fractions, np.linalg.inv(phases), axes=1)), voigt


def named_bounds(reuss: FloatArray, voigt: FloatArray, dim: int) -> Bounds:
    """Bounds of the entries, and of the moduli, of tensors between two others."""
    gap = np.diagonal(voigt - reuss, axis1=-2, axis2=-1).clip(min=0)
    middle, reach = (reuss + voigt) / 2, np.sqrt(gap[..., None] * gap[..., None, :]) / 2
    found = {}
    for i, a in enumerate(LABELS[dim]):
        for j, b in enumerate(LABELS[dim][i:], start=i):
            found[f"C{a}{b}"] = middle[..., i, j] - reach[..., i, j], middle[..., i, j] + reach[..., i, j]
    low, high = (1 / np.diagonal(np.linalg.inv(c), axis1=-2, axis2=-1) for c in (reuss, voigt))
    for i in range(dim):
        found[f"E{i + 1}{i + 1}"] = low[..., i], high[..., i]
    return found


def hashin_shtrikman(
    fraction: ArrayLike,
    modulus: Sequence[float],
    poisson: ArrayLike,
    plane: Plane = "strain",
    dim: int = 2,
) -> Bounds:
    """Bounds of "bulk" and "shear" of an isotropic composite of two phases; see `voigt_reuss` for the arguments.

    In a plane the bulk modulus is that of the plane, lambda + mu.
    """
    f = np.asarray(fraction, dtype=float)
    low, high = isotropic_bounds(np.stack([1 - f, f], axis=-1), lame(modulus, poisson, dim, plane), dim)
    return {"bulk": (low[0], high[0]), "shear": (low[1], high[1])}


def isotropic_bounds(fractions: FloatArray, constants: FloatArray, dim: int) -> list[tuple[FloatArray, FloatArray]]:
    """The lower and the upper bound of the bulk and the shear modulus.

    Of fractions (..., phases) and Lamé's constants (2, phases).
    """
    bulk, shear = constants[0] + 2 / dim * constants[1], constants[1]
    found = []
    for k, g in ((bulk.min(), shear.min()), (bulk.max(), shear.max())):
        about = 2 * (dim - 1) / dim * g
        aside = k * g / (k + 2 * g) if dim == 2 else g * (9 * k + 8 * g) / (6 * (k + 2 * g))
        found.append(tuple(1 / (fractions / (c + d)).sum(-1) - d for c, d in ((bulk, about), (shear, aside))))
    return found


def isotropic_part(stiffness: NDArray[np.floating], dim: int) -> tuple[float, float]:
    """Bulk and shear modulus of a stiffness tensor's average over all rotations."""
    normal = stiffness[:dim, :dim]
    shear = stiffness.trace() - normal.trace()
    across = (normal.sum() - normal.trace()) / 2
    if dim == 2:
        return normal.sum() / 4, (normal.trace() - 2 * across + 4 * shear) / 8
    return normal.sum() / 9, (normal.trace() - across + 3 * shear) / 15


def isotropic_part_of_compliance(compliance: NDArray[np.floating], dim: int) -> tuple[float, float]:
    """Bulk and shear modulus of a compliance tensor's average over all rotations."""
    normal = compliance[:dim, :dim]
    shear = compliance.trace() - normal.trace()
    across = (normal.sum() - normal.trace()) / 2
    if dim == 2:
        return 1 / normal.sum(), 2 / (normal.trace() - 2 * across + shear)
    return 1 / normal.sum(), 15 / (4 * normal.trace() - 4 * across + 3 * shear)
