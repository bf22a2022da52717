"""Goals as an inversion aims at them: intervals of linear forms of what a network says, drawn in from their ends."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from janus_al.networks.janus import Janus
from janus_al.properties import FRACTION, PropertyError
from janus_al.quantities import quantity

if TYPE_CHECKING:
    from janus_al.inversion import InversionConfig

Task = Callable[[Tensor, Tensor], Tensor]
"""latent vectors and their grey decodes -> what each member has to lower, (n,)"""
Goal = Mapping[str, tuple[float, float]]
"""Interval wanted for each quantity (a property, or a ratio of two), in its unit; ends may be infinite."""
FRACTION_SPREAD = 0.1
"""what counts for the volume fraction as a standard deviation of the dataset does for properties"""


def aimed_at(interval: tuple[float, float], config: "InversionConfig") -> NDArray[np.float64]:
    """The part of an interval that the inversion aims at, off its ends as the simulation will not agree exactly."""
    low, high = interval
    narrow = (1 - config.focus) * (high - low) / 2
    inward = [0.0 if np.isinf(end) else min(narrow, config.margin * abs(end)) for end in interval]
    return np.array([low + inward[0], high - inward[1]])


@dataclass(frozen=True)
class Aims:
    """Goals as linear forms of (properties on the scale on which they are learned, volume fraction).

    Attributes:
        form: of each quantity that any goal asks for, in standard deviations of the dataset, (quantities, properties).
        low, high: what is aimed at, in the same units, infinite where nothing is asked, (n, quantities).
        shift: added to what the head says of each member, (n, properties).
    """

    form: Tensor
    low: Tensor
    high: Tensor
    shift: Tensor

    @classmethod
    def of(cls, model: Janus, goals: Sequence[Goal], config: "InversionConfig") -> "Aims":
        """What goals ask of a model.

        Raises:
            PropertyError: what it does not predict.
        """
        names = (*model.config.properties, FRACTION.name)
        quantities = [quantity(name) for name in dict.fromkeys(name for goal in goals for name in goal)]
        if strange := [p for q in quantities for p in q.properties if p not in names]:
            raise PropertyError(f"property '{strange[0]}': this model predicts {', '.join(names)}")
        spread = np.array([*model.log_std.tolist(), FRACTION_SPREAD])
        weights = np.array([q.weights(names) for q in quantities]).reshape(len(quantities), len(names))
        unit = np.linalg.norm(weights * spread, axis=1)
        ends = np.full((2, len(goals), len(quantities)), np.inf)
        ends[0] = -np.inf
        for row, goal in enumerate(goals):
            for column, q in enumerate(quantities):
                if q.name in goal:
                    aimed = aimed_at(goal[q.name], config)
                    ends[:, row, column] = q.scaled(np.maximum(aimed, 0) if q.log else aimed) / unit[column]
        form, low, high = (model.log_mean.new_tensor(a) for a in (weights / unit[:, None], *ends))
        return cls(form, low, high, model.log_mean.new_zeros((len(goals), len(names) - 1)))

    def of_rows(self, rows: slice) -> "Aims":
        """Those of some members."""
        return replace(self, low=self.low[rows], high=self.high[rows], shift=self.shift[rows])

    def miss(self, model: Janus, z: Tensor, fraction: Tensor) -> Tensor:
        """Squared distance from the goals, (n,)."""
        values = torch.cat([scaled_values(model, z) + self.shift, fraction[:, None]], dim=1) @ self.form.T
        outside = torch.relu(self.low - values) + torch.relu(values - self.high)
        return outside.square().sum(dim=1)

    def task(self, model: Janus, config: "InversionConfig") -> Task:
        """What `descend` lowers."""

        def task(z: Tensor, grey: Tensor) -> Tensor:
            binary = grey + ((grey > 0.5).float() - grey).detach()
            fraction = binary.flatten(1).mean(dim=1)
            return config.l_task * self.miss(model, z, fraction) + config.l_binary * self.miss(
                model, model.encode(binary), fraction
            )

        return task


def scaled_values(model: Janus, z: Tensor) -> Tensor:
    """Properties by the head on the scale on which they are learned, (n, properties)."""
    return model.predict(z) * model.log_std + model.log_mean
