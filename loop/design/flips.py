"""Which pixels of a binary image to turn over, so that several quantities change as wanted.

Of all sets of flips whose predicted changes add up to the gaps, that which costs least: a flip costs its distance from
the interface, and the more the louder it is, for what a single pixel brings is the least certain. The dual of this
linear program has one price l for each quantity: a pixel conducts where

    level + sum_q l_q s_q > 0

with s_q the map of what it would bring to quantity q; for the volume fraction that is a constant, and the cut moves.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
DEAD = 0.05
"""what every flip costs, in levels (of which a pixel's width has about 0.25)"""
SOFT = 0.02
"""levels over which the decision is softened"""
RIDGE = 1e-3
"""against multipliers without end where a gap cannot be closed"""


@dataclass(frozen=True)
class Wanted:
    """What a step has to bring, quantity by quantity.

    Attributes:
        gap: wanted change, (m,).
        tolerance: how far off it may end, (m,).
        rate: change predicted of making a pixel label 1, or minus that of making it label 0, (m, *grid).
        sure: whether that is exact, (m,).
    """

    gap: Floats
    tolerance: Floats
    rate: Floats
    sure: NDArray[np.bool_]


def flipped(level: Floats, wanted: Wanted, most: int, caution: float) -> tuple[Floats, Floats]:
    """A level (*grid) above 0 where pixels are to conduct, and the change that is predicted of it, (m,).

    Args:
        level: above 0 where pixels conduct now.
        wanted: what the flips have to bring.
        most: pixels to turn over, at most.
        caution: what a pixel costs that brings the largest gap alone; its square counts.
    """
    side = np.where(level.ravel() > 0, -1.0, 1.0)
    gain = side * wanted.rate.reshape(len(wanted.gap), -1) / wanted.tolerance[:, None]
    gap = wanted.gap / wanted.tolerance
    loud = (gain[~wanted.sure] ** 2).sum(axis=0) / max(float((gap[~wanted.sure] ** 2).sum()), 0.1)
    cost = np.abs(level.ravel()) + DEAD + caution * loud
    part = 1.0
    while True:
        flips = gap_closing(gain, cost, part * gap)
        if flips.sum() <= most or part < 1e-3:
            break
        part *= max(0.5, most / flips.sum())
    found = np.where(flips, side, -side).reshape(level.shape) * np.maximum(np.abs(level), 1e-6)
    return found, (gain @ flips) * wanted.tolerance


def gap_closing(gain: Floats, cost: Floats, gap: Floats) -> NDArray[np.bool_]:
    """The cheapest flips (n,) whose gains (m, n) add up to the gap (m,), or come as near as they can."""

    def dual(price: Floats, soft: float) -> tuple[float, Floats, Floats]:
        over = (price @ gain - cost) / soft
        value = 0.5 * RIDGE * (price @ price) - price @ gap + soft * np.logaddexp(0, over).sum()
        chosen = 1 / (1 + np.exp(-np.clip(over, -50, 50)))
        hessian = RIDGE * np.eye(len(gap)) + (gain * (chosen * (1 - chosen) / soft)) @ gain.T
        return value, RIDGE * price - gap + gain @ chosen, hessian

    price = np.zeros(len(gap))
    for soft in (8 * SOFT, 4 * SOFT, 2 * SOFT, SOFT):
        for _ in range(20):
            value, slope, hessian = dual(price, soft)
            way, length = -np.linalg.solve(hessian, slope), 1.0
            while length > 1e-4 and dual(price + length * way, soft)[0] > value + 1e-4 * length * (slope @ way):
                length /= 2
            price = price + length * way
            if np.abs(slope).max() < 1e-3:
                break
    # Softened, they add up; those of the dearest price first, as many as come nearest.
    worth = price @ gain / cost
    order = np.argsort(-worth, kind="stable")[: max(1, int((worth > 0.5).sum()))]
    left = gap[:, None] - np.cumsum(gain[:, order], axis=1)
    chosen = np.zeros(len(cost), dtype=bool)
    chosen[order[: int(np.argmin((left**2).sum(axis=0))) + 1]] = True
    return chosen
