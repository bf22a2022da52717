"""What is refused before a solve, and what no result may be."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import prod
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from simulators.algebra.memory import bytes_present
from simulators.elasticity.bounds import isotropic_part, isotropic_part_of_compliance
from simulators.elasticity.stiffness import FloatArray, Plane, lame, tensors
from simulators.simulator import Boundary, Result, SimulationError

IMBALANCE_LIMIT = 1e-6
ROUNDING = 1e-9
"""by which bounds may cross, relative to the larger of both"""
MAX_CONTRAST = 1e7
"""between the largest and the smallest principal stiffness of all phases; values keep 12 digits, sensitivities 7"""


def check_constants(boundary: str, modulus: FloatArray, poisson: FloatArray, plane: str) -> None:
    """Refuse constants that no isotropic material has, or that lie too far apart.

    Raises:
        ValueError: with the value at fault, the rule and the mend.
    """
    for name, value, allowed in (("boundary", boundary, get_args(Boundary)), ("plane", plane, get_args(Plane))):
        if value not in allowed:
            raise ValueError(f'{name} {value!r}: must be "{allowed[0]}" or "{allowed[1]}"')
    if modulus.ndim != 1 or modulus.size == 0 or not np.all(np.isfinite(modulus)) or np.any(modulus <= 0):
        raise ValueError(
            f"Young's moduli {modulus.tolist()}: each must be finite and above 0; "
            "give a void a small positive one, such as 1e-4 of the other"
        )
    if poisson.shape != modulus.shape:
        raise ValueError(
            f"{poisson.size} Poisson's ratios for {modulus.size} Young's moduli: give one for each, or one number"
        )
    if not np.all((poisson > -1) & (poisson < 0.5)):
        raise ValueError(
            f"Poisson's ratios {poisson.tolist()}: an isotropic material's lies above -1 and below 0.5; "
            "for an incompressible phase give 0.49"
        )
    principal = np.linalg.eigvalsh(tensors(lame(modulus, poisson, 3, "strain"), 3))
    contrast = principal.max() / principal.min()
    if not contrast <= MAX_CONTRAST * (1 + 1e-9):
        raise ValueError(
            f"contrast {contrast:.3g} between the largest and the smallest principal stiffness of "
            f"moduli {modulus.tolist()} with Poisson's ratios {poisson.tolist()}: double precision carries "
            f"{MAX_CONTRAST:.0e}; bring the moduli closer together, or the ratios away from -1 and 0.5"
        )


def checked_labels(image: NDArray[Any], phases: int, periodic: bool) -> NDArray[Any]:
    """The image, if it fits and each of its labels has constants.

    Raises:
        SimulationError: with the value at fault, the rule and the mend.
    """
    image = np.asarray(image)
    if image.ndim not in (2, 3) or min(image.shape) < 2:
        raise SimulationError(
            f"image of shape {image.shape}: need two or three axes of 2 cells or more; repeat a single row or layer"
        )
    if image.dtype != bool and not np.issubdtype(image.dtype, np.integer):
        raise SimulationError(f"image of {image.dtype}: labels must be integers; threshold or round it first")
    check_memory(image.shape, periodic)
    if image.min() < 0 or image.max() >= phases:
        raise SimulationError(
            f"labels {int(image.min())}..{int(image.max())} but {phases} Young's moduli: label i needs entry i; "
            "give one for each label"
        )
    return image.astype(np.intp)


def check_memory(grid: tuple[int, ...], periodic: bool) -> None:
    """Refuse an image that would not fit.

    Raises:
        SimulationError: with what it would take.
    """
    in_plane = 2500.0 + (72.0 if periodic else 36.0) * min(grid)
    per_cell = in_plane if len(grid) == 2 else 7000.0 if periodic else 2000.0
    needed, present = per_cell * prod(grid), bytes_present()
    if needed > present:
        size = " x ".join(map(str, grid))
        raise SimulationError(
            f"an image of {size} cells needs about {needed / 2**30:.0f} GiB, and this machine has "
            f"{present / 2**30:.0f}; crop it, or merge cells"
        )


def gate_balance(imbalance: float) -> None:
    """Refuse forces that do not balance.

    Raises:
        SimulationError: with their size.
    """
    if not imbalance <= IMBALANCE_LIMIT:
        raise SimulationError(
            f"forces out of balance by {imbalance:.1e}, more than {IMBALANCE_LIMIT:.0e}; "
            "the contrast is too high for this structure, so bring the moduli closer together"
        )


def gate_moduli(result: Result, elementary: Mapping[str, tuple[Any, Any]]) -> None:
    """Refuse what is not in order: elementary bound, lower bound, value, upper bound, elementary bound.

    Raises:
        SimulationError: with the first property that is not.
    """
    for name, value in result.values.items():
        if name[1] != name[2]:
            # What lies off the diagonal is bounded by the tensors' order.
            continue
        (least, most), low, high = elementary[name], result.lower[name], result.upper[name]
        slack = ROUNDING * most
        for below, above in pairwise((float(least), low, value, high, float(most))):
            if not below <= above + slack:
                raise SimulationError(
                    f"{name} = {value:.10g} in {low:.10g}..{high:.10g} contradicts the elementary bounds "
                    f"{least:.10g}..{most:.10g}; the contrast is too high for this structure"
                )


def gate_tensors(rising: Sequence[FloatArray]) -> None:
    """Refuse tensors that do not rise in the Loewner order.

    Raises:
        SimulationError: with by how much they do not.
    """
    slack = ROUNDING * np.linalg.eigvalsh(rising[-1]).max()
    for below, above in pairwise(rising):
        gap = above - below
        least = np.linalg.eigvalsh(gap).min() if np.isfinite(gap).all() else np.nan
        if not least >= -slack:
            raise SimulationError(
                f"bounds of the stiffness tensor cross by {-least:.1e}; the contrast is too high for this structure"
            )


def gate_isotropic(
    lower: FloatArray, upper: FloatArray, bounds: Sequence[tuple[FloatArray, FloatArray]], dim: int
) -> None:
    """Refuse tensors whose isotropic part contradicts Hashin and Shtrikman's bounds.

    Rigorous for every periodic structure: the average of the true stiffness over all rotations is above the lower
    bounds, and the upper tensor is stiffer; the average of the true compliance is above the upper bounds' inverse,
    and that of the lower tensor larger.

    Raises:
        SimulationError: with the first modulus that does.
    """
    stiff, soft = isotropic_part(upper, dim), isotropic_part_of_compliance(np.linalg.inv(lower), dim)
    for name, least, most, high, low in zip(("bulk", "shear"), *bounds, stiff, soft, strict=True):
        if not (high >= least * (1 - ROUNDING) and low <= most * (1 + ROUNDING)):
            raise SimulationError(
                f"mean {name} modulus between {low:.10g} and {high:.10g}, beyond Hashin and Shtrikman's bounds "
                f"{least:.10g}..{most:.10g}; the contrast is too high for this structure"
            )
