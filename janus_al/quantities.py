"""Quantities: what a target asks of, a property or the ratio of two, as one linear form of what is learned.

The logarithm of a ratio is a difference of two logarithms; so a network's outputs, simulated values and sensitivities
give a ratio as they give a property: q = sum_i w_i p_i, on the scale on which properties are learned.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from janus_al.properties import FRACTION, PropertyError, row_of


@dataclass(frozen=True)
class Quantity:
    """A property, or "kxx/kyy".

    Attributes:
        name: as it stands in targets and tables.
        terms: properties, and the weight of each, on the scale on which they are learned.
        log: whether that scale is the logarithm.
    """

    name: str
    terms: tuple[tuple[str, float], ...]
    log: bool

    @property
    def properties(self) -> tuple[str, ...]:
        """Names of the properties it is made of."""
        return tuple(name for name, _ in self.terms)

    @property
    def lowest(self) -> float:
        """What it is above, or not below, anyway."""
        return 0.0 if self.log or self.name == FRACTION.name else -np.inf

    def of(self, values: Mapping[str, Any]) -> Any:
        """Its value, or values, from those of properties; NaN where one is not known."""
        if len(self.terms) == 1:
            return values.get(self.name, np.nan)
        over, under = (np.asarray(values.get(name, np.nan), dtype=float) for name in self.properties)
        ratio = over / under
        return ratio if ratio.ndim else float(ratio)

    def scaled(self, value: Any) -> Any:
        """Values of it on the scale on which it is a linear form; 0 and infinity go to infinity there."""
        with np.errstate(divide="ignore"):
            return np.log(value) if self.log else np.asarray(value, dtype=float)

    def derivative(self, maps: Mapping[str, NDArray[np.floating]]) -> NDArray[np.float64] | None:
        """Its sensitivity from those of properties, (*grid); None where one is not known."""
        if not set(self.properties) <= set(maps):
            return None
        total: NDArray[np.float64] = np.sum([weight * maps[name].astype(float) for name, weight in self.terms], axis=0)
        return total

    def weights(self, names: Sequence[str]) -> NDArray[np.float64]:
        """Its weights in an order of properties, (len(names),)."""
        found = np.zeros(len(names))
        for name, weight in self.terms:
            found[list(names).index(name)] = weight
        return found


@lru_cache
def quantity(name: str) -> Quantity:
    """The quantity of a name.

    Raises:
        PropertyError: a property that is not known, or a ratio of others than two that are above 0.
    """
    parts = name.split("/")
    if len(parts) == 1:
        return Quantity(name, ((name, 1.0),), row_of(name).log)
    if len(parts) != 2 or len(set(parts)) == 1 or not all(row_of(part).log for part in parts):
        raise PropertyError(f"quantity '{name}': a ratio is of two different properties that are above 0, as kxx/kyy")
    return Quantity(name, ((parts[0], 1.0), (parts[1], -1.0)), True)
