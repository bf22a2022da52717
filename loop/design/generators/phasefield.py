"""Phase fields: fresh random structures, screened by the network's encoder and head, the best ones cut to fit."""

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from janus_al.properties import FRACTION
from loop.design.cut import cut, fractions
from loop.design.feasible import count_range
from loop.design.generators import Tools
from loop.design.generators.aim import aimed, thoughts
from loop.design.generators.level import level, ranked
from loop.design.pool import Image, Known, Pool, Wanted, distance, gaps, joined
from loop.design.targets import Target
from simulators import Result

FRESH, LEAST, MOST = 32, 512, 2048
"""structures made for each row to propose, and for all of them together; milliseconds each"""
LEAST_VOLUMES, CELLS = 64, 2**21
"""volumes are as many as have so many cells together, at most, but not fewer than that: a tenth of a second each at 24
cells a side, and the network's look at them takes longer"""
KEPT = 8
"""of these whose cut is moved, for each row to propose"""
REACH = 0.08
"""part of the pixels by which a cut moves at most: beyond it structures are no phase fields any more"""
CUTS = 9
"""of a structure within its reach that the head looks at; between two of them it is interpolated"""


def fresh(rows: int, grid: Sequence[int]) -> int:
    """How many structures are made for so many rows to propose."""
    most = MOST if len(grid) == 2 else max(LEAST_VOLUMES, CELLS // math.prod(grid))
    return int(np.clip(FRESH * rows, min(LEAST, most), most))


class PhaseFieldGenerator:
    """Random structures of the kind that the first dataset is made of, others in each round."""

    needs_model: ClassVar[bool] = True

    def __init__(self, tools: Tools) -> None:
        self.tools = tools

    def fit(self, known: Known) -> None:
        """Nothing: the campaign trains its models itself."""

    def propose(self, wanted: Wanted, known: Known, seed: Sequence[int]) -> Pool:
        """`swarm` rows for each candidate wanted."""
        from simulators import generate

        rows = self.tools.swarm * sum(count for _, count in wanted)
        images = generate(fresh(rows, self.tools.grid), self.tools.grid, np.random.SeedSequence([*seed]))
        values = self._predict(images)
        pools = []
        for index, (target, count) in enumerate(wanted):
            rows = self.tools.swarm * count
            far = distance(gaps(target, values, self.tools.inversion))
            best = np.argsort(far, kind="stable")[: KEPT * rows]
            moved = self._moved(target, index, images[best])
            pools.append(moved.take(np.argsort(moved.miss, kind="stable")[:rows]))
        model, _ = self.tools.model()
        return aimed(joined(pools), wanted, model, self.tools, known.likeness)

    def opinion(self, images: Sequence[Image]) -> Sequence[Result | None]:
        """What the network thinks of images, with what flips would bring."""
        return thoughts(self.tools.model()[0], self.tools, images)

    def _moved(self, target: Target, index: int, images: NDArray[np.uint8]) -> Pool:
        """Structures at the cut that the head favours."""
        low, high = count_range(target, images[0].size)
        fields = [level(image, self.tools.boundary) for image in images]
        shifts = np.rint(np.linspace(-REACH, REACH, CUTS) * images[0].size).astype(int)
        ones = images.reshape(len(images), -1).sum(axis=1, dtype=int)
        counts = np.clip(ones[:, None] + shifts, max(low, 1), min(high, images[0].size - 1))
        cuts = [cut(field, count) for field, own in zip(fields, counts, strict=True) for count in own]
        seen = {name: column.reshape(counts.shape) for name, column in self._predict(np.stack(cuts)).items()}
        found, predicted, miss = [], [], []
        for row, field in enumerate(fields):
            every = np.arange(counts[row, 0], counts[row, -1] + 1)
            values = {name: np.interp(every, counts[row], seen[name][row]) for name in seen}
            far = distance(gaps(target, values, self.tools.inversion))
            best = int(np.argmin(far))
            found.append(ranked(field, int(every[best])))
            predicted.append([values[name][best] for name in values])
            miss.append(far[best])
        return Pool(np.stack(found), np.array(predicted), tuple(seen), np.array(miss), np.full(len(found), index))

    def _predict(self, images: NDArray[np.uint8]) -> dict[str, NDArray[np.float64]]:
        """Properties of images by the head, by name."""
        import torch

        from janus_al.training import encode

        model, _ = self.tools.model()
        with torch.no_grad():
            found = model.values(encode(model, images)).double().cpu().numpy()
        values = dict(zip(model.config.properties, found.T, strict=True))
        return {**values, FRACTION.name: fractions(images)}
