"""What is wanted, what is known, and what a generator proposes: what passes between the parts of a proposal."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from janus_al.inversion import InversionConfig, aimed_at
from janus_al.properties import row_of
from janus_al.samples import Samples
from loop.design.cut import cut, first_count
from loop.design.doors import DoorError
from loop.design.targets import Target

Image = NDArray[np.uint8]
Wanted = Sequence[tuple[Target, int]]
"""targets, with the number of candidates for each, at most"""


@dataclass(frozen=True)
class Known:
    """What is known before a round.

    Attributes:
        samples: images and what physics says of those that were simulated; None if there are none.
        tried: canonical hashes of everything ever simulated.
        designs: by target name, images from which new ones must differ.
    """

    samples: Samples | None = None
    tried: Collection[str] = frozenset()
    designs: Mapping[str, Sequence[Image]] = field(default_factory=dict)


@dataclass(frozen=True)
class Pool:
    """What a generator proposes, row by row.

    Attributes:
        field: grey images (n, *grid) float32; cut at 0.5 they are binary, and the brightest pixels conduct longest.
        predicted: properties predicted of these cuts, (n, len(names)), physical units; NaN where nothing is known.
        names: of the properties.
        miss: distance of the prediction from the goal, (n,); smaller is better, in any unit.
        target: which of the targets wanted each row is for, (n,).
    """

    field: NDArray[np.float32]
    predicted: NDArray[np.float64]
    names: tuple[str, ...]
    miss: NDArray[np.float64]
    target: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.field)

    def take(self, rows: Any) -> "Pool":
        """The rows at an index array, a mask or a slice."""
        arrays: dict[str, Any] = {f.name: getattr(self, f.name)[rows] for f in fields(self) if f.name != "names"}
        return replace(self, **arrays)

    def images(self) -> NDArray[np.uint8]:
        """The fields cut at 0.5."""
        return (self.field > 0.5).astype(np.uint8)

    def cuts(self, wanted: Wanted) -> NDArray[np.uint8]:
        """What will be simulated first: the fields cut where each one's target lets them."""
        targets = [wanted[index][0] for index in self.target]
        return np.stack([cut(f, first_count(f, t)) for f, t in zip(self.field, targets, strict=True)])


EMPTY = Pool(np.empty((0, 0, 0), np.float32), np.empty((0, 0)), (), np.empty(0), np.empty(0, np.intp))


def check_pool(pool: Pool, wanted: Wanted) -> None:
    """Refuse a pool that cannot be chosen from.

    Raises:
        DoorError: columns of different lengths, a wanted property without prediction, values that are not finite.
    """
    n = len(pool.field)
    if pool.predicted.shape != (n, len(pool.names)) or pool.miss.shape != (n,) or pool.target.shape != (n,):
        raise DoorError(
            f"a pool of {n} fields with predicted {pool.predicted.shape}, miss {pool.miss.shape} and target "
            f"{pool.target.shape}: they must be ({n}, {len(pool.names)}), ({n},) and ({n},)"
        )
    if n and (lacking := {name for target, _ in wanted for name in target.intervals} - set(pool.names)):
        raise DoorError(
            f"a pool that predicts {', '.join(pool.names)}: it must predict {', '.join(sorted(lacking))}, too"
        )
    if n and not (pool.target.min() >= 0 and pool.target.max() < len(wanted)):
        raise DoorError(f"a pool for target {pool.target.max()}: it must be one of the {len(wanted)} wanted, from 0")
    for name in ("field", "miss"):
        if not np.isfinite(getattr(pool, name)).all():
            raise DoorError(f"a pool with '{name}' that is not finite; propose what has a prediction only")


def joined(pools: Sequence[Pool]) -> Pool:
    """All rows of several pools of the same properties, in order."""
    arrays: dict[str, Any] = {
        f.name: np.concatenate([getattr(p, f.name) for p in pools]) for f in fields(Pool) if f.name != "names"
    }
    return replace(pools[0], **arrays)


def gaps(target: Target, values: Mapping[str, Any], config: InversionConfig) -> dict[str, NDArray[np.float64]]:
    """How far values must rise, or fall if negative, into the part of each interval that is aimed at.

    In logarithms where a property is asked for on a log scale.
    """
    found = {}
    for name, interval in target.intervals.items():
        ends, value = aimed_at(interval, config), np.asarray(values[name], dtype=float)
        if row_of(name).log:
            with np.errstate(divide="ignore"):
                ends, value = np.log(ends), np.log(value)
        found[name] = np.maximum(ends[0] - value, 0) - np.maximum(value - ends[1], 0)
    return found


def distance(parts: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """Length of gaps."""
    total: NDArray[np.float64] = np.sqrt(np.sum([gap**2 for gap in parts.values()], axis=0))
    return total
