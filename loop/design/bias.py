"""What a target's first shots were all off by, in one direction, is taken off its next: space mapping (Bandler 1994).

A network errs alike where it is asked alike. So the generator is asked for what it would have to say for physics to say
what is wanted, and what it then predicts is put right by as much. Of the mean of the errors only what noise does not
explain is believed (James & Stein 1961, the positive part), and only the errors of the present model count: what it has
learned from it errs in no more, or the other way.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean, variance
from typing import Any

import numpy as np
from numpy.typing import NDArray

from janus_al.properties import FRACTION
from janus_al.quantities import quantity
from loop.design.targets import Interval, Target


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
    errors = dict[tuple[str, str], list[float]]()
    for index, shots in enumerate(rounds):
        for shot in [] if any(learned[index:]) else shots:
            for name, value in shot["predicted"].items():
                if name != FRACTION.name and name in shot["first_shot"]:
                    ends = (quantity(name).scaled(v) for v in (shot["first_shot"][name], value))
                    error = next(ends) - next(ends) + shot.get("bias", {}).get(name, 0.0)
                    errors.setdefault((shot["target"], name), []).append(float(error))
    shifts = dict[str, dict[str, float]]()
    for (target, name), found in errors.items():
        if shift := believed([error for error in found if math.isfinite(error)]):
            shifts.setdefault(target, {})[name] = shift
    return Bias(shifts)


def believed(errors: Sequence[float]) -> float:
    """Of the mean of errors the part that their noise does not explain; 0 of fewer than two."""
    if len(errors) < 2 or not (mean := fmean(errors)):
        return 0.0
    return mean * max(0.0, 1 - variance(errors) / len(errors) / mean**2)


def _moved(name: str, value: Any, shift: Any) -> Any:
    return value * np.exp(shift) if quantity(name).log else value + shift
