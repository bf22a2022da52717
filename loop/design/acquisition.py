"""Acquisitions: in which order candidates are taken from a pool.

One is a function (pool, count, known, rng) -> rows, the best first. It is asked for each target by itself, with
only those rows that are new and possible, and asked again, what was taken being among `known.designs`, until there
are `count` that differ from each other. These rules are not its own to change; the order is.
"""

from collections.abc import Sequence

import numpy as np

from loop.design.doors import load
from loop.design.pool import Known, Pool
from loop.design.select import Acquisition, aligned_distance

BUILT_IN = {
    "nearest": "loop.design.acquisition:nearest",
    "diverse": "loop.design.acquisition:diverse",
    "designs": "loop.design.acquisition:designs",
    "like": "loop.design.acquisition:like",
    "random": "loop.design.acquisition:random",
}
"""import paths of those that the program brings, by name"""


def acquisition(name: str) -> Acquisition:
    """An acquisition by name or import path.

    Raises:
        DoorError: there is none of that name.
    """
    return load("acquisition", BUILT_IN, name)


def nearest(pool: Pool, count: int, known: Known, rng: np.random.Generator) -> Sequence[int]:
    """Those predicted nearest to their goal."""
    rows: list[int] = np.argsort(pool.miss, kind="stable").tolist()
    return rows


def diverse(pool: Pool, count: int, known: Known, rng: np.random.Generator) -> Sequence[int]:
    """The best, then again and again the one farthest from all taken, among the better half of the pool.

    From afar is meant at the best symmetric copy and translation. The other half follows, nearest first.
    """
    order = np.argsort(pool.miss, kind="stable")
    good = order[: max(count, len(order) // 2)]
    images = pool.images()[good]
    taken = [0]
    nearness = np.full(len(good), np.inf)
    while len(taken) < min(count, len(good)):
        nearness = np.minimum(nearness, aligned_distance(images[taken[-1]], images))
        nearness[taken] = -1
        taken.append(int(np.argmax(nearness)))
    rest = np.setdiff1d(np.arange(len(order)), taken)
    return [*order[taken].tolist(), *order[rest].tolist()]


def designs(pool: Pool, count: int, known: Known, rng: np.random.Generator) -> Sequence[int]:
    """Those that promise the most new designs: by P(hit), less where one taken, or a design, is near.

    What counts fully is as far from these as rows of the pool are from each other in the median. Where no chance is
    known, or all are alike, the nearest.
    """
    order = np.argsort(pool.miss, kind="stable")
    chance = np.zeros(len(pool)) if pool.p_hit is None else np.nan_to_num(pool.p_hit)
    if np.ptp(chance) == 0:
        return nearest(pool, count, known, rng)
    images = pool.images()
    usual = float(np.median(aligned_distance(images[order[0]], images[order[1:]]))) or 1.0
    farness = np.full(len(pool), np.inf)
    for design in (image for own in known.designs.values() for image in own):
        farness = np.minimum(farness, aligned_distance(design, images))
    taken = list[int]()
    left = order.tolist()
    while left and len(taken) < count:
        value = chance * np.minimum(farness / usual, 1)
        # Of equals the nearest: `left` is in the order of the miss.
        best = max(left, key=lambda row: value[row])
        left.remove(best)
        taken.append(best)
        farness = np.minimum(farness, aligned_distance(images[best], images))
    return [*taken, *left]


def like(pool: Pool, count: int, known: Known, rng: np.random.Generator) -> Sequence[int]:
    """The likest to the class first, among the better half of the pool; the other half follows, nearest first.

    Where no class is known, the nearest.
    """
    order = np.argsort(pool.miss, kind="stable")
    if pool.like is None:
        return nearest(pool, count, known, rng)
    good = order[: max(count, len(order) // 2)]
    return [*good[np.argsort(-pool.like[good], kind="stable")].tolist(), *order[len(good) :].tolist()]


def random(pool: Pool, count: int, known: Known, rng: np.random.Generator) -> Sequence[int]:
    """As they come: what any order has to beat."""
    rows: list[int] = rng.permutation(len(pool)).tolist()
    return rows
