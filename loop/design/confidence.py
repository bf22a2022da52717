"""Knowing before paying: what the first shots of the past say of the next, as intervals and as a chance to hit.

Between the limits that physics gives at a volume fraction there is room for an error, and near either of them little
(`room`). What a prediction was off by in units of that room is its residual. Proposals are made and chosen in the
same way round after round, so that the next one's residuals are drawn as those of the past were, all properties of an
image together: conformal prediction, weighted for what changed meanwhile (Vovk et al. 2005, Barber et al. 2023).
Nothing is assumed of how residuals are distributed, or of how good a model is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from janus_al.properties import FRACTION
from janus_al.quantities import quantity
from loop.design.possible import Limits
from loop.design.targets import Target

LEVEL = 0.9
"""part of the proposals whose interval shall hold the simulated value"""
FADING = 0.5
"""what a first shot counts for every training since"""
FLOOR = 0.05
"""of the room that a prediction on a limit has left, as part of all there is between the limits"""

Shot = Mapping[str, Mapping[str, float]]
"""A first shot: properties `predicted` and of the `first_shot` by simulation, volume fraction among these, by name."""
Values = Mapping[str, NDArray[np.float64]]


def _none(fraction: NDArray[np.float64], given: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return {}


def room(predicted: Values, fraction: NDArray[np.float64], limits: Limits) -> dict[str, NDArray[np.float64]]:
    """How far predictions lie from the nearer limit of physics, on the scale on which properties are learned.

    Of all that was tried this ranks errors best, above all at high contrast: better than the spread of a network's
    answers for mirrored and turned copies, its disagreement with itself or distances to the data
    (docs/results/confidence.md). 1 where physics gives no limits.
    """
    ends, found = limits(fraction), {}
    for name, value in predicted.items():
        found[name] = np.ones(len(fraction))
        if name in ends:
            low, high = (quantity(name).scaled(end) for end in ends[name])
            inside = np.minimum(quantity(name).scaled(value) - low, high - quantity(name).scaled(value))
            found[name] = np.maximum(inside, 0) + FLOOR * np.maximum(high - low, 1e-9)
    return found


@dataclass(frozen=True)
class Forecast:
    """What is known of proposals before they are paid for.

    Attributes:
        lower: below which a property lies in (1 - `LEVEL`) / 2 of the cases or so, by name, (n,); NaN where unknown.
        upper: the other end.
        p_hit: chance that the first shot meets the target, (n,); NaN where unknown, or where the best of something is
            wanted, which no first shot is.
    """

    lower: Values
    upper: Values
    p_hit: NDArray[np.float64]


@dataclass(frozen=True)
class Past:
    """First shots that were paid for.

    Attributes:
        residual: (simulated - predicted) / room by property, (m,); NaN where a shot lacks one.
        weight: how much each shot counts, (m,).
        limits: of the physics.
    """

    residual: Values = field(default_factory=dict)
    weight: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    limits: Limits = _none

    def forecast(
        self, predicted: Values, fraction: NDArray[np.float64], targets: Sequence[Target], target: NDArray[np.intp]
    ) -> Forecast:
        """Intervals and chances of proposals.

        Args:
            predicted: by property, (n,); NaN where nothing is known.
            fraction: volume fraction of each image, (n,), which is known.
            targets: what is wanted.
            target: which of these each proposal is for, (n,).
        """
        spaces = room(predicted, fraction, self.limits)
        lower, upper = dict[str, NDArray[np.float64]](), dict[str, NDArray[np.float64]]()
        for name, value in predicted.items():
            reach = self._reach(name) * spaces[name]
            middle = quantity(name).scaled(value)
            lower[name], upper[name] = (_unscaled(name, middle + sign * reach) for sign in (-1, 1))
        lower[FRACTION.name] = upper[FRACTION.name] = fraction
        chances = np.full(len(fraction), np.nan)
        for index, asked in enumerate(targets):
            if asked.best:
                continue
            own = target == index
            known = {n: (predicted[n][own], spaces[n][own]) for n in asked.properties if n in predicted}
            chances[own] = self._chances(asked, known, fraction[own])
        return Forecast(lower, upper, chances)

    def _reach(self, name: str) -> float:
        """The residual's size that `LEVEL` of the shots to come stay below; NaN where the past is too short to say."""
        size = np.abs(self.residual.get(name, np.empty(0)))
        order = np.argsort(size)
        order = order[np.isfinite(size[order])]
        weight = np.cumsum(self.weight[order])
        if not len(order) or (part := weight / (weight[-1] + 1))[-1] < LEVEL:
            return float("nan")
        return float(np.interp(LEVEL, part, size[order]))

    def _chances(
        self, target: Target, known: Mapping[str, tuple[Any, Any]], fraction: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Part of the past residuals, all properties together, that would land in every interval of the target."""
        names = [n for n in target.properties if n != FRACTION.name]
        if not set(names) <= set(known) & set(self.residual):
            return np.full(len(fraction), np.nan)
        table = np.array([self.residual[n] for n in names]).reshape(len(names), len(self.weight))
        whole = np.isfinite(table).all(axis=0)
        weight = self.weight[whole]
        if not weight.sum():
            return np.full(len(fraction), np.nan)
        values: dict[str, Any] = {FRACTION.name: fraction[:, None]}
        for name, residual in zip(names, table[:, whole], strict=True):
            value, space = known[name]
            middle = quantity(name).scaled(value)[:, None]
            values[name] = _unscaled(name, middle + space[:, None] * residual)
        hit = np.ones((len(fraction), len(weight)), dtype=bool)
        for name, (low, high) in target.intervals.items():
            hit &= (quantity(name).of(values) >= low) & (quantity(name).of(values) <= high)
        return (hit @ weight + 0.5) / (weight.sum() + 1)


def past_of(rounds: Sequence[Sequence[Shot]], learned: Sequence[bool], limits: Limits) -> Past:
    """The past of a campaign, or of a model.

    Args:
        rounds: first shots of each round, in order.
        learned: whether the model did after each of them, so that it says less of the next.
        limits: of the physics.
    """
    # Of the last round's model all of its own shots count, though it has learned from them since.
    ages = [max(sum(learned[index:]) - 1, 0) for index in range(len(rounds))]
    weight = [FADING**age for age, shots in zip(ages, rounds, strict=True) for _ in shots]
    every = [shot for shots in rounds for shot in shots]
    names = dict.fromkeys(n for shot in every for n in shot["predicted"] if n != FRACTION.name)

    def column(table: str, name: str) -> NDArray[np.float64]:
        return np.array([shot[table].get(name, np.nan) for shot in every], dtype=float)

    predicted = {name: column("predicted", name) for name in names}
    spaces = room(predicted, column("first_shot", FRACTION.name), limits)
    residual = {}
    for name in names:
        with np.errstate(invalid="ignore"):
            off = quantity(name).scaled(column("first_shot", name)) - quantity(name).scaled(predicted[name])
            residual[name] = off / spaces[name]
    return Past(residual, np.array(weight), limits)


def coverage(rows: Sequence[Mapping[str, Any]]) -> dict[str, float] | None:
    """How what was forecast came out, of simulated candidates as JSON; None if nothing was forecast.

    Returns:
        values that had an interval and how many it held; shots that had a chance, how many hits these promised and how
        many there were.
    """
    held = [
        low * (1 - 1e-9) - 1e-12 <= row["first_shot"][name] <= high * (1 + 1e-9) + 1e-12
        for row in rows
        for name, (low, high) in row.get("interval", {}).items()
        if name in row["first_shot"] and name != FRACTION.name
    ]
    told = [row for row in rows if row.get("p_hit") is not None]
    if not held and not told:
        return None
    return {
        "level": LEVEL,
        "values": len(held),
        "held": sum(held),
        "shots": len(told),
        "hits_expected": float(sum(row["p_hit"] for row in told)),
        "hits": sum(Target.of(row["target"], row["wanted"]).met(row["first_shot"]) for row in told),
    }


def _unscaled(name: str, value: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(over="ignore"):
        return np.exp(value) if quantity(name).log else value
