"""What is wanted, what is known, and what a generator proposes: what passes between the parts of a proposal."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from janus_al.aims import aimed_at
from janus_al.inversion import InversionConfig
from janus_al.likeness import Likeness
from janus_al.material import Boundary
from janus_al.properties import FRACTION
from janus_al.quantities import quantity
from janus_al.samples import Samples
from loop.design.bias import Bias
from loop.design.confidence import Past
from loop.design.cut import first_count, fractions
from loop.design.doors import DoorError
from loop.design.feasible import count_range
from loop.design.geometry import shaped
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
        past: first shots that were paid for, which say how far to trust the next.
        bias: what the first shots of each target were all off by.
        brought: by name of a target and source of its candidates (`Pool.source`), their designs and simulations.
        likeness: the class that designs are compared with, where one is known.
    """

    samples: Samples | None = None
    tried: Collection[str] = frozenset()
    designs: Mapping[str, Sequence[Image]] = field(default_factory=dict)
    past: Past = field(default_factory=Past)
    bias: Bias = field(default_factory=Bias)
    brought: Mapping[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    likeness: Likeness | None = None


@dataclass(frozen=True)
class Pool:
    """What a generator proposes, row by row.

    Attributes:
        field: grey images (n, *grid) float32; cut at 0.5 they are binary, and the brightest pixels conduct longest.
        predicted: properties predicted of these cuts, (n, len(names)), physical units; NaN where nothing is known.
        names: of the properties.
        miss: distance of the prediction from the goal, (n,); smaller is better, in any unit.
        target: which of the targets wanted each row is for, (n,).
        latent: vectors of which the fields are decodes, or nearly, (n, any), where the generator has them; NaN of other
            rows.
        source: who proposed each row, (n,), where several did.
        lower: between which and `upper` a property will lie, as `predicted`; the program fills in what follows.
        upper: see `lower`; NaN, as `p_hit`, where the past is too short to say.
        p_hit: chance that the first shot meets the target, (n,).
        like: score of how like the class what will be simulated first is, (n,); None where no class is known.
    """

    field: NDArray[np.float32]
    predicted: NDArray[np.float64]
    names: tuple[str, ...]
    miss: NDArray[np.float64]
    target: NDArray[np.intp]
    latent: NDArray[np.float32] | None = None
    source: NDArray[np.str_] | None = None
    lower: NDArray[np.float64] | None = None
    upper: NDArray[np.float64] | None = None
    p_hit: NDArray[np.float64] | None = None
    like: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.field)

    def take(self, rows: Any) -> "Pool":
        """The rows at an index array, a mask or a slice."""
        arrays: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "names"}
        return replace(self, **{name: array[rows] for name, array in arrays.items() if array is not None})

    def images(self) -> NDArray[np.uint8]:
        """The fields cut at 0.5."""
        return (self.field > 0.5).astype(np.uint8)

    def cuts(self, wanted: Wanted, boundary: Boundary) -> NDArray[np.uint8]:
        """What will be simulated first: the fields cut where each one's target lets them."""
        targets = [wanted[index][0] for index in self.target]
        pairs = zip(self.field, targets, strict=True)
        return np.stack([shaped(f, first_count(f, t), t, boundary) for f, t in pairs])

    def foretold(self, wanted: Wanted, past: Past, boundary: Boundary, likeness: Likeness | None = None) -> "Pool":
        """The same, with what the past says of each row (`loop.design.confidence`), and how like the class it is."""
        if not len(self):
            return self
        predicted, cuts = dict(zip(self.names, self.predicted.T, strict=True)), self.cuts(wanted, boundary)
        told = past.forecast(predicted, fractions(cuts), [target for target, _ in wanted], self.target)
        lower, upper = (np.column_stack([ends[name] for name in self.names]) for ends in (told.lower, told.upper))
        like = None if likeness is None else likeness.scores(cuts)
        return replace(self, lower=lower, upper=upper, p_hit=told.p_hit, like=like)

    def interval(self, row: int) -> dict[str, tuple[float, float]]:
        """Between what each property of a row will lie, as far as that is known."""
        if self.lower is None or self.upper is None:
            return {}
        ends = zip(self.names, self.lower[row].tolist(), self.upper[row].tolist(), strict=True)
        return {name: (low, high) for name, low, high in ends if np.isfinite(high - low)}


@dataclass(frozen=True)
class Shot:
    """What was simulated of a latent vector, and for what.

    Attributes:
        target: that it is to meet.
        latent: the vector, (any,).
        image: that was simulated of it.
        properties: of the image, by simulation.
    """

    target: Target
    latent: NDArray[np.float32]
    image: Image
    properties: Mapping[str, float]


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
    if n and (lacking := {name for target, _ in wanted for name in target.properties} - set(pool.names)):
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
    arrays = {f.name: [getattr(p, f.name) for p in pools] for f in fields(Pool) if f.name != "names"}
    kept: dict[str, Any] = {
        name: None if any(part is None for part in parts) else np.concatenate(parts) for name, parts in arrays.items()
    }
    return replace(pools[0], **kept)


def gaps(target: Target, values: Mapping[str, Any], config: InversionConfig | None) -> dict[str, NDArray[np.float64]]:
    """How far values must rise, or fall if negative, into the part of each interval that is aimed at; None: into all.

    On the scale on which a quantity is a linear form: in logarithms, of what is above 0.
    """
    found = {}
    for name in target.goal:
        low, high = ends_of(name, target, config)
        found[name] = gap_to(quantity(name).scaled(quantity(name).of(values)), low, high)
    return found


def gap_to(value: Any, low: float, high: float) -> Any:
    """How far values must rise, or fall if negative, into an interval."""
    return np.maximum(low - value, 0.0) - np.maximum(value - high, 0.0)


def ends_of(name: str, target: Target, config: InversionConfig | None, pixels: int = 0) -> tuple[float, float]:
    """The part of a quantity's interval that is aimed at, or all of it, on its scale.

    Of the volume fraction, what so many pixels can have.
    """
    if name == FRACTION.name and pixels:
        least, most = count_range(target, pixels)
        return least / pixels, most / pixels
    goal = target.goal[name]
    low, high = quantity(name).scaled(np.array(goal) if config is None else aimed_at(goal, config))
    return float(low), float(high)


def changes(names: Iterable[str], before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """Of quantities, each on its scale."""
    qs = [quantity(name) for name in names]
    return {q.name: float(q.scaled(q.of(after)) - q.scaled(q.of(before))) for q in qs}


def distance(parts: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """Length of gaps."""
    total: NDArray[np.float64] = np.sqrt(np.sum([part**2 for part in parts.values()], axis=0))
    return total
