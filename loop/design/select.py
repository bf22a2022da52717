"""Which candidates to simulate: new, possible, different from each other, and in the order of an acquisition."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from janus_al.identity import canonical_hash, symmetric_copies
from janus_al.material import Boundary
from loop.design.cut import fractions
from loop.design.doors import DoorError, guarded
from loop.design.pool import Image, Known, Pool, Wanted
from loop.design.possible import Limits
from loop.design.targets import Target

Floats = NDArray[np.float64]
Acquisition = Callable[[Pool, int, Known, np.random.Generator], Sequence[int]]
"""(pool, count, known, rng) -> rows, the best first; see `loop.design.acquisition`"""


@dataclass(frozen=True)
class Rules:
    """What every candidate must obey, and the acquisition that has the order among those that do."""

    limits: Limits
    boundary: Boundary
    min_distance: float
    """part of the pixels in which candidates and designs of a target differ, at least"""
    acquisition: Acquisition


ROOM = 0.02
"""relative error that a prediction may have before it is called impossible"""


def aligned_distance(image: NDArray[np.integer], others: NDArray[np.integer]) -> NDArray[np.float64]:
    """Part of the pixels that differ from each of `others` (n, *grid) at the best symmetric copy and translation."""
    if not len(others):
        return np.empty(0)
    b, axes = np.asarray(others, dtype=float), tuple(range(-image.ndim, 0))
    copies = np.stack([copy for copy in symmetric_copies(image) if copy.shape == image.shape]).astype(float)
    shared = _shared if image.ndim == 2 else _shared_by_volumes
    differing = image.sum() + b.sum(axis=axes) - 2 * shared(copies, b, axes)
    return np.maximum(differing, 0) / image.size


def _shared(copies: Floats, others: Floats, axes: tuple[int, ...]) -> Floats:
    """Pixels of label 1 that each of `others` (n, *grid) has in common with the best copy, at the best translation."""
    spectra = np.conj(np.fft.rfftn(copies, axes=axes)) * np.fft.rfftn(others, axes=axes)[:, None]
    found: Floats = np.fft.irfftn(spectra, axes=axes, s=copies.shape[1:]).max(axis=(1, *axes))
    return found


def _shared_by_volumes(copies: Floats, others: Floats, axes: tuple[int, ...]) -> Floats:
    """The same of 48 copies, one volume after the other in single precision: whole numbers, to which it is rounded."""
    from scipy.fft import irfftn, rfftn

    mirrored = np.conj(rfftn(copies.astype(np.float32), axes=axes))
    spectra = (rfftn(other.astype(np.float32)) for other in others)
    return np.array([np.rint(irfftn(mirrored * s, axes=axes, s=copies.shape[1:]).max()) for s in spectra], dtype=float)


def select(
    pool: Pool, wanted: Wanted, known: Known, rules: Rules, seed: Sequence[int]
) -> tuple[list[int], Counter[str]]:
    """Rows to simulate, target by target, the best first; and by which rule how many fell.

    A candidate is passed over if it or a symmetric copy was ever simulated, if a property predicted for it is
    impossible at its volume fraction, if it is less like the class than its target asks, or if it is nearer than
    `min_distance` to a design of its target or to a candidate taken before it.

    Raises:
        DoorError: the acquisition fails, or names rows that are not in the pool.
    """
    rows, fell = list[int](), Counter[str]()
    if not len(pool):
        return rows, fell
    images = pool.cuts(wanted, rules.boundary)
    for index, (target, count) in enumerate(wanted):
        own = np.flatnonzero(pool.target == index)
        left = _like(pool, _new_and_possible(pool, images, own, known, rules, fell), target, fell)
        taken, hashes = list[int](), set[str]()
        reference = list(known.designs.get(target.name, ()))
        rng = np.random.default_rng([*seed, index])
        while left and len(taken) < count:
            known_now = replace(known, designs={**known.designs, target.name: tuple(reference)})
            with guarded("acquisition", rules.acquisition):
                order = [int(row) for row in rules.acquisition(pool.take(left), count - len(taken), known_now, rng)]
            if strange := [row for row in order if not 0 <= row < len(left)]:
                raise DoorError(f"an acquisition gave row {strange[0]} of a pool of {len(left)}; rows count from 0")
            asked = list(dict.fromkeys(left[row] for row in order))
            if not asked:
                break
            for row in asked:
                if len(taken) == count:
                    break
                left.remove(row)
                key = canonical_hash(images[row], rules.boundary)
                if key in hashes:
                    fell["the same as a better one"] += 1
                elif _too_near(images[row], reference, rules.min_distance):
                    fell["too much like a better one"] += 1
                else:
                    taken.append(row)
                    reference.append(images[row])
                    hashes.add(key)
        rows += taken
    return rows, fell


def _too_near(image: Image, others: Sequence[Image], least: float) -> bool:
    return len(others) > 0 and bool(aligned_distance(image, np.stack(others)).min() < least)


def _new_and_possible(
    pool: Pool, images: NDArray[np.uint8], rows: NDArray[np.intp], known: Known, rules: Rules, fell: Counter[str]
) -> list[int]:
    """Those of the rows that were never simulated and whose prediction physics allows."""
    left, possible = [], _possible(pool.take(rows), fractions(images[rows]), rules.limits)
    for row, may_be in zip(rows.tolist(), possible, strict=True):
        if canonical_hash(images[row], rules.boundary) in known.tried:
            fell["already simulated"] += 1
        elif not may_be:
            mixed = images[row].any() and not images[row].all()
            fell["predicted beyond what is possible" if mixed else "of one phase only"] += 1
        else:
            left.append(row)
    return left


def _like(pool: Pool, rows: Sequence[int], target: Target, fell: Counter[str]) -> list[int]:
    """Those of the rows that are as like the class as their target asks."""
    least = target.geometry.like
    if least is None or not rows:
        return list(rows)
    left = [row for row in rows if pool.like is not None and pool.like[row] >= least]
    if lost := len(rows) - len(left):
        fell[f"less like the class than {least:g}"] += lost
    return left


def _possible(pool: Pool, fraction: NDArray[np.float64], limits: Limits) -> NDArray[np.bool_]:
    """Whether what is predicted, give or take 2 %, may be at all at these volume fractions."""
    given = {}
    for name, value in zip(pool.names, pool.predicted.T, strict=True):
        aside, known = ROOM * np.abs(value), ~np.isnan(value)
        given[name] = np.where(known, value - aside, -np.inf), np.where(known, value + aside, np.inf)
    possible = np.ones(len(fraction), dtype=bool)
    for name, (low, high) in limits(fraction, given).items():
        lowest, highest = given.get(name, (low, high))
        possible &= np.maximum(low, lowest) <= np.minimum(high, highest)
    return possible
