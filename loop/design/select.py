"""Which candidates to simulate: new, possible, good and different from each other."""

from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from janus_al.identity import canonical_hash, symmetric_copies
from janus_al.material import Boundary
from loop.design.targets import Limits


def aligned_distance(image: NDArray[np.integer], others: NDArray[np.integer]) -> NDArray[np.float64]:
    """Part of the pixels that differ from each of `others` (n, ny, nx) at the best symmetric copy and translation."""
    if not len(others):
        return np.empty(0)
    b, axes = np.asarray(others, dtype=float), tuple(range(-image.ndim, 0))
    copies = np.stack([copy for copy in symmetric_copies(image.astype(float)) if copy.shape == image.shape])
    overlap = np.fft.irfftn(
        np.conj(np.fft.rfftn(copies, axes=axes)) * np.fft.rfftn(b, axes=axes)[:, None], axes=axes, s=image.shape
    )
    differing = image.sum() + b.sum(axis=axes) - 2 * overlap.max(axis=(1, *axes))
    return np.maximum(differing, 0) / image.size


def select(
    images: NDArray[np.uint8],
    predicted: NDArray[np.float64],
    names: Sequence[str],
    miss: NDArray[np.float64],
    wanted: int,
    known: Collection[str],
    chosen: Sequence[NDArray[np.uint8]],
    limits: Limits,
    min_distance: float,
    boundary: Boundary,
    passed_over: Counter[str] | None = None,
) -> list[int]:
    """Rows to simulate, the best first.

    A candidate is passed over if it or a symmetric copy was ever simulated, if the properties predicted for it are
    impossible at its volume fraction, or if it is nearer than `min_distance` to one in `chosen` or
    to a better candidate. Of those left, the ones predicted nearest to their goal are taken.

    Args:
        images: (n, ny, nx).
        predicted: properties (n, len(names)).
        names: of them.
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
        possible = all(
            0.98 * low[0] <= predicted[row, names.index(name)] <= 1.02 * high[0]
            for name, (low, high) in limits(image.mean()[None]).items()
        )
        key = canonical_hash(image, boundary)
        if key in hashes:
            fell["already simulated" if key in known else "the same as a better one"] += 1
            continue
        if not possible:
            fell[
                "predicted outside the elementary bounds" if image.any() and not image.all() else "of one phase only"
            ] += 1
            continue
        if reference and aligned_distance(image, np.stack(reference)).min() < min_distance:
            fell["too much like a better one"] += 1
            continue
        taken.append(int(row))
        reference.append(image)
        hashes.add(key)
    return taken
