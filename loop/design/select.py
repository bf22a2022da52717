"""Which candidates to simulate: new, possible, good and different from each other."""

from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from janus_al.dataset import Boundary
from janus_al.identity import canonical_hash, symmetric_copies
from loop.design.targets import wiener


def aligned_distance(image: NDArray[np.integer], others: NDArray[np.integer]) -> NDArray[np.float64]:
    """Part of the pixels that differ from each of `others` (n, ny, nx) at the best symmetric copy and translation."""
    if not len(others):
        return np.empty(0)
    b = np.asarray(others, dtype=float)
    copies = np.stack([copy for copy in symmetric_copies(image.astype(float)) if copy.shape == image.shape])
    overlap = np.fft.irfft2(np.conj(np.fft.rfft2(copies)) * np.fft.rfft2(b)[:, None], s=image.shape)
    differing = image.sum() + b.sum(axis=(1, 2)) - 2 * overlap.max(axis=(1, 2, 3))
    return np.maximum(differing, 0) / image.size


def select(
    images: NDArray[np.uint8],
    predicted: NDArray[np.float64],
    miss: NDArray[np.float64],
    wanted: int,
    known: Collection[str],
    chosen: Sequence[NDArray[np.uint8]],
    phase_conductivity: Sequence[float],
    min_distance: float,
    boundary: Boundary,
    passed_over: Counter[str] | None = None,
) -> list[int]:
    """Rows to simulate, the best first.

    A candidate is passed over if it or a symmetric copy was ever simulated, if the conductivities predicted for it are
    impossible at its volume fraction (Wiener), or if it is nearer than `min_distance` to one in `chosen` or
    to a better candidate. Of those left, the ones predicted nearest to their goal are taken.

    Args:
        images: (n, ny, nx).
        predicted: conductivities (n, 2) and volume fraction.
        miss: distance of the prediction from the goal.
        wanted: how many at most.
        known: canonical hashes of everything ever simulated.
        chosen: images that the new ones must differ from.
        passed_over: is told by which rule each candidate fell.
    """
    taken: list[int] = []
    fell = Counter[str]() if passed_over is None else passed_over
    reference = list(chosen)
    hashes = set(known)
    for row in np.argsort(miss, kind="stable"):
        if len(taken) == wanted:
            break
        image = images[row]
        harmonic, arithmetic = wiener(image.mean(), phase_conductivity)
        possible = np.all((predicted[row, :-1] >= 0.98 * harmonic) & (predicted[row, :-1] <= 1.02 * arithmetic))
        key = canonical_hash(image, boundary)
        if key in hashes:
            fell["already simulated" if key in known else "the same as a better one"] += 1
            continue
        if not possible:
            fell["predicted outside the Wiener bounds" if image.any() and not image.all() else "of one phase only"] += 1
            continue
        if reference and aligned_distance(image, np.stack(reference)).min() < min_distance:
            fell["too much like a better one"] += 1
            continue
        taken.append(int(row))
        reference.append(image)
        hashes.add(key)
    return taken
