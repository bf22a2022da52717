"""What can be homogenized: labels with conductivities that double precision resolves and the memory holds."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from simulators.algebra.memory import bytes_present
from simulators.conduction.memory import bytes_needed
from simulators.conduction.refinement import MAX_CONTRAST
from simulators.simulator import Boundary, FloatArray, SimulationError

AXIS_NAMES = "xyz"


class HomogenizationError(SimulationError):
    """The image cannot be homogenized, or the result failed a physical gate."""


def conductivity_field(image: NDArray[np.integer], phase_conductivity: Sequence[float]) -> FloatArray:
    """Conductivity of every cell, after checking that each label has one.

    Raises:
        HomogenizationError: with the value at fault, the rule and the mend.
    """
    image = np.asarray(image)
    if image.dtype == bool:
        image = image.astype(np.uint8)
    if image.ndim not in (2, 3) or min(image.shape) < 2:
        raise HomogenizationError(
            f"image of shape {image.shape}: need two or three axes of 2 cells or more; repeat a single row or layer"
        )
    if not np.issubdtype(image.dtype, np.integer):
        raise HomogenizationError(f"image of {image.dtype}: labels must be integers; threshold or round it first")
    kappa = np.asarray(phase_conductivity, dtype=float)
    if kappa.ndim != 1 or kappa.size == 0 or not np.all(np.isfinite(kappa)) or np.any(kappa <= 0):
        raise HomogenizationError(
            f"phase conductivities {list(phase_conductivity)}: each must be finite and above 0; "
            "give an insulating phase a small positive value, such as 1e-4 of the other" + _blocked(image, kappa)
        )
    if image.min() < 0 or image.max() >= kappa.size:
        raise HomogenizationError(
            f"labels {int(image.min())}..{int(image.max())} but {kappa.size} conductivities: label i needs "
            "entry i; give one conductivity per label"
        )
    field = kappa[image]
    check_contrast(field.min(), field.max())
    return field


def check_contrast(least: float, most: float) -> None:
    """Refuse conductivities too far apart.

    Raises:
        HomogenizationError: with their contrast and what would do.
    """
    if not most / least <= MAX_CONTRAST * (1 + 1e-9):
        raise HomogenizationError(
            f"contrast {most / least:.3g} between {least:g} and {most:g}: double precision resolves heat fluxes up "
            f"to a contrast of {MAX_CONTRAST:.0e}; raise the smallest conductivity to {most / MAX_CONTRAST:.3g}"
        )


def _blocked(image: NDArray[np.integer], kappa: FloatArray) -> str:
    """Along which axes nothing conducts at infinite contrast, in words to append."""
    from scipy.ndimage import label

    if kappa.ndim != 1 or image.min() < 0 or image.max() >= kappa.size or not (kappa == 0).any():
        return ""
    clusters, _ = label(np.nan_to_num(kappa, nan=0.0)[image] > 0)
    axes = [image.ndim - 1 - i for i in range(image.ndim)]
    closed = [
        AXIS_NAMES[i]
        for i, axis in enumerate(axes)
        if not np.intersect1d(np.take(clusters, 0, axis), np.take(clusters, -1, axis), assume_unique=False).any()
    ]
    if not closed:
        return ""
    return f" (the conducting phases do not percolate along {' and '.join(closed)}: there the conductivity would be 0)"


def check_memory(grid: Sequence[int], boundary: Boundary, solver: str) -> None:
    """Refuse an image that would not fit.

    Raises:
        HomogenizationError: with what it would take.
    """
    needed, present = bytes_needed(grid, boundary == "periodic", solver), bytes_present()
    if needed > present:
        size = " x ".join(map(str, grid))
        raise HomogenizationError(
            f"an image of {size} cells needs about {needed / 2**30:.0f} GiB with solver {solver}, "
            f"and this machine has {present / 2**30:.0f}; crop it, or merge cells"
        )
