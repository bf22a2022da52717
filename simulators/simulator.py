"""What any physics looks like from outside: material constants when it is made, then images in and results out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import nan
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Boundary = Literal["dirichlet", "periodic"]


class SimulationError(ValueError):
    """An image has no result that can be trusted; the message says why."""


@dataclass(frozen=True)
class Result:
    """What one simulation found of one image.

    Attributes:
        values: best value of each property, by name.
        lower: certified lower bounds of those that have any.
        upper: certified upper bounds of those that have any.
        plain: the plain value of the discretisation, of those where it is not the best value.
        sensitivity: derivative to the logarithm of each cell's material constant, (*grid): of log value for the
            properties learned on a log scale, of the value for all others; of those that have any.
        solver: who solved, and the version of the library behind it.
        imbalance: largest relative violation of the balance that was solved for.
        seconds: wall time.
        bracket: of a tensor, two that bound it in the Loewner order, where the entries' bounds do not say all.
        failures: of several simulators, those that found nothing, and why.
    """

    values: Mapping[str, float]
    lower: Mapping[str, float] = field(default_factory=dict)
    upper: Mapping[str, float] = field(default_factory=dict)
    plain: Mapping[str, float] = field(default_factory=dict)
    sensitivity: Mapping[str, FloatArray] = field(default_factory=dict)
    solver: str = ""
    solver_version: str = ""
    imbalance: float = nan
    seconds: float = nan
    bracket: tuple[FloatArray, FloatArray] | None = None
    failures: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Failure:
    """Why an image has no result."""

    reason: str


class Simulator(Protocol):
    """A physics with its constants; made by `Class(boundary=..., **constants)`.

    One that is faster with many images at once has `many(images) -> list[Result | Failure]`, too, and one that knows
    between what each property must lie `limits(fraction) -> {name: (lowest, highest)}`, for volume fractions (n,) of
    label 1. One that knows more of what is possible at once has `joint_limits(fraction, given)`, which answers the same
    where properties lie in given intervals, {name: (low (n,), high (n,))}, each by itself unless it is given: so
    that the lowest is above the highest where nothing is possible. Both may be wider than the truth, never narrower.
    """

    @property
    def properties(self) -> Sequence[str]:
        """Names of the properties it gives; one that Janus-AL does not know is a `janus_al.properties.Property`."""

    def __call__(self, image: NDArray[np.integer]) -> Result | Mapping[str, float]:
        """Simulate labels (ny, nx) or (nz, ny, nx); values by name are enough.

        Raises:
            SimulationError: no result can be trusted. Any other error of a user's simulator counts as one.
        """
