"""What a target's first shots were all off by, in one direction, is taken off its next: space mapping (Bandler 1994).

A network errs alike where it is asked alike. So the generator is asked for what it would have to say for physics to say
what is wanted, and what it then predicts is put right by as much. Of the mean of the errors only what noise does not
explain is believed (James & Stein 1961, the positive part).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from janus_al.properties import FRACTION
from janus_al.quantities import quantity
from loop.design.confidence import ages
from loop.design.targets import Interval, Target

FADING = 0.5
"""what a first shot counts for every training since"""


@dataclass(frozen=True)
class Bias:
    """By name of a target and property, how far physics lay above predictions, on the scale on which it is learned."""

    shifts: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def aimed(self, target: Target) -> Target:
        """What a generator has to be asked for, so that physics says what the target wants."""
        shifts = self.shifts.get(target.name, {})

        def moved(name: str, ends: Interval) -> Interval:
            shift = sum(weight * shifts.get(part, 0.0) for part, weight in quantity(name).terms)
            return float(_moved(name, ends[0], -shift)), float(_moved(name, ends[1], -shift))

        return replace(
            target,
            intervals={name: moved(name, ends) for name, ends in target.intervals.items()},
            aims={name: moved(name, ends) for name, ends in target.aims.items()},
        )

    def corrected(self, predicted: NDArray[np.float64], names: Sequence[str], targets: Sequence[str]) -> Any:
        """Predictions (n, names), each for the target of a name, put right."""
        found = predicted.copy()
        for column, name in enumerate(names):
            shift = np.array([self.shifts.get(target, {}).get(name, 0.0) for target in targets])
            found[:, column] = _moved(name, predicted[:, column], shift)
        return found


def bias_of(rounds: Sequence[Sequence[Mapping[str, Any]]], learned: Sequence[bool]) -> Bias:
    """The bias of a campaign's past.

    Args:
        rounds: first shots of each round, as rows of its table.
        learned: whether the model did after each of them.
    """
    errors = dict[tuple[str, str], list[tuple[float, float]]]()
    for shots, age in zip(rounds, ages(learned), strict=True):
        for shot in shots:
            for name, value in shot["predicted"].items():
                if name != FRACTION.name and name in shot["first_shot"]:
                    ends = (quantity(name).scaled(v) for v in (shot["first_shot"][name], value))
                    error = next(ends) - next(ends) + shot.get("bias", {}).get(name, 0.0)
                    errors.setdefault((shot["target"], name), []).append((float(error), FADING**age))
    shifts = dict[str, dict[str, float]]()
    for (target, name), found in errors.items():
        if shift := believed(*np.array([pair for pair in found if np.isfinite(pair[0])]).reshape(-1, 2).T):
            shifts.setdefault(target, {})[name] = shift
    return Bias(shifts)


def believed(errors: Any, weights: Any) -> float:
    """Of the weighted mean of errors the part that their noise does not explain; 0 of fewer than two."""
    if len(errors) < 2:
        return 0.0
    mean = np.average(errors, weights=weights)
    many = weights.sum() ** 2 / (weights**2).sum()
    if many <= 1 or not mean:
        return 0.0
    noise = np.average((errors - mean) ** 2, weights=weights) / (many - 1)
    return float(mean * max(0.0, 1 - noise / mean**2))


def _moved(name: str, value: Any, shift: Any) -> Any:
    return value * np.exp(shift) if quantity(name).log else value + shift
