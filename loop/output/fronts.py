"""Pareto fronts of two properties that physics ties together: what a campaign found against their common trend."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from janus_al.samples import Samples

Points = NDArray[np.float64]


def front(points: Points, senses: tuple[int, int]) -> NDArray[np.intp]:
    """Rows of points (n, 2) that no other surpasses in both, along the first; sense 1 is more, -1 less, is better."""
    better = points * np.array(senses)
    best, rows = -np.inf, []
    for row in np.lexsort((-better[:, 1], -better[:, 0])):
        if better[row, 1] > best:
            best = better[row, 1]
            rows.append(row)
    return np.array(rows, dtype=int)


def senses(points: Points) -> list[tuple[int, int]]:
    """The two ways against the points' common trend: both more and both less where one falls as the other rises."""
    across = points - points.mean(axis=0)
    falls = bool(across[:, 0] @ across[:, 1] <= 0)
    return [(1, 1), (-1, -1)] if falls else [(1, -1), (-1, 1)]


def pairs(samples: Samples, wanted: set[str]) -> list[tuple[str, str]]:
    """Pairs of properties of different physics, those that targets ask for where there are any."""
    physics = samples.material.physics
    names = [[n for n in p.properties if n in wanted] or list(p.properties[:1]) for p in physics]
    return [(a, b) for i, first in enumerate(names) for second in names[i + 1 :] for a in first for b in second]


def figure(samples: Samples, designs: list[tuple[str, dict[str, float]]], wanted: set[str]) -> Any:
    """Every simulated sample by round, the fronts before the campaign and after it, and the designs by target.

    None where there is one physics only.
    """
    import matplotlib.pyplot as plt

    chosen = pairs(samples, wanted)
    if not chosen:
        return None
    drawing, axes = plt.subplots(1, len(chosen), figsize=(5.2 * len(chosen), 4.4), squeeze=False)
    for axis, (a, b) in zip(axes[0], chosen, strict=True):
        points = np.stack([samples.column(a), samples.column(b)], axis=1)
        known = np.isfinite(points).all(axis=1)
        points, rounds = points[known], samples.meta["round"][known]
        first = rounds == 0
        axis.plot(*points[first].T, "o", ms=3, color="0.75", mec="none", label="first dataset")
        axis.plot(*points[~first].T, "o", ms=3, color="#0072b2", mec="none", label="simulated since")
        for style, group, words in ((":", first, "front before"), ("-", np.ones(len(points), bool), "front now")):
            for number, ways in enumerate(senses(points)):
                line = points[group][front(points[group], ways)]
                axis.plot(*line.T, style, lw=1, color="0.3", label=words if number == 0 else None)
        for number, target in enumerate(dict.fromkeys(name for name, _ in designs)):
            own = np.array([[d[a], d[b]] for name, d in designs if name == target])
            axis.plot(*own.T, "*", ms=10, mfc="none", mec=f"C{number + 1}", label=f"designs: {target}")
        units = [f"{n} ({unit})" if (unit := samples.material.unit(n)) else n for n in (a, b)]
        axis.set(xlabel=units[0], ylabel=units[1])
        axis.legend(frameon=False, fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2)
    return drawing
