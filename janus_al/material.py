"""What the material is: the physics asked of it, the constants of its phases, and the boundary they are asked under."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from pydantic import Field

from janus_al.properties import FRACTION, Property, PropertyError, register, row_of

Boundary = Literal["dirichlet", "periodic"]
BOUNDARIES: tuple[Boundary, ...] = ("dirichlet", "periodic")
Finite = Annotated[float, Field(allow_inf_nan=False)]
Constant = tuple[Finite, ...] | Finite | bool | str
"""a number for each label, or one thing for all"""


@dataclass(frozen=True)
class Physics:
    """One simulator with its constants.

    Attributes:
        simulator: name, import path "package.module:Class", or "command".
        constants: what the simulator is made with; a tuple has a number for each label.
        properties: names of what it gives.
        unit: of its values; those of its constants, for conductivities and moduli.
        rows: of properties that the table does not have.
    """

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012

    simulator: str
    constants: dict[str, Constant]
    properties: tuple[str, ...]
    unit: str = ""
    rows: tuple[Property, ...] = ()

    def __post_init__(self) -> None:
        """Take its rows into the table, and refuse names that are none."""
        for row in self.rows:
            register(row)
        for name in self.properties:
            row_of(name)
        for name, value in self.constants.items():
            if isinstance(value, list):
                self.constants[name] = tuple(value)

    def check_constants(self) -> None:
        """Refuse constants on which its properties cannot rise.

        Raises:
            PropertyError: a driver that is missing, or not a positive number for each label.
        """
        for name in self.properties:
            driver = row_of(name).driver
            value = self.constants.get(driver)
            if driver and (not isinstance(value, tuple) or not value or not all(0 < c < math.inf for c in value)):
                raise PropertyError(f"{self.simulator[:60]}: {driver} {value}: give a number above 0 for each label")

    def contrast(self, name: str) -> float:
        """log of label 1's constant over label 0's, of the constant that drives a property; 0 where none does."""
        driver = self.constants.get(row_of(name).driver)
        if not isinstance(driver, tuple) or len(driver) < 2 or min(driver[:2]) <= 0:
            return 0.0
        return math.log(driver[1] / driver[0])

    def middle(self, name: str) -> float:
        """log of the geometric mean of both labels' constants, of the constant that drives a property; 0 as above."""
        driver = self.constants.get(row_of(name).driver)
        return (
            math.log(driver[0]) + self.contrast(name) / 2 if self.contrast(name) and isinstance(driver, tuple) else 0.0
        )

    def trend(self, name: str) -> int:
        """1 if a property rises with the pixels of label 1, -1 if it falls, 0 if neither is known."""
        row = row_of(name)
        if not row.driver:
            return row.trend
        contrast = self.contrast(name)
        return (contrast > 0) - (contrast < 0)


@dataclass(frozen=True)
class Material:
    """All physics of one material, and the boundary condition that they share."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012

    physics: Annotated[tuple[Physics, ...], Field(min_length=1)]
    boundary: Boundary

    def __post_init__(self) -> None:
        """Refuse a property that two physics give, or none need."""
        names = [name for physics in self.physics for name in physics.properties]
        if twice := sorted({n for n in names if names.count(n) > 1}):
            raise PropertyError(f"property {twice[0]}: two physics give it; leave one out")
        if FRACTION.name in names:
            raise PropertyError(f"property {FRACTION.name}: every image has it without physics; leave it out")

    def check_constants(self) -> None:
        """See `Physics.check_constants`."""
        for physics in self.physics:
            physics.check_constants()

    @property
    def simulated(self) -> tuple[str, ...]:
        """Names of the properties that simulations give."""
        return tuple(name for physics in self.physics for name in physics.properties)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all properties of a sample."""
        return (*self.simulated, FRACTION.name)

    @property
    def phases(self) -> int:
        """How many labels there are."""
        counts = [len(c) for p in self.physics for c in p.constants.values() if isinstance(c, tuple)]
        return min(counts, default=2)

    @property
    def phase_conductivity(self) -> tuple[float, ...]:
        """Conductivity of label i; empty where conduction is not asked."""
        found = self._first("conduction").get("conductivity", ())
        return found if isinstance(found, tuple) else ()

    def _first(self, simulator: str) -> Mapping[str, Constant]:
        return next((p.constants for p in self.physics if p.simulator == simulator), {})

    def of(self, name: str) -> Physics:
        """The physics that gives a property.

        Raises:
            PropertyError: none does.
        """
        for physics in self.physics:
            if name in physics.properties:
                return physics
        raise PropertyError(f"property '{name}': this material has {', '.join(self.names)}")

    def contrast(self, name: str) -> float:
        """See `Physics.contrast`."""
        return 0.0 if name == FRACTION.name else self.of(name).contrast(name)

    def middle(self, name: str) -> float:
        """See `Physics.middle`."""
        return 0.0 if name == FRACTION.name else self.of(name).middle(name)

    def trend(self, name: str) -> int:
        """See `Physics.trend`."""
        return FRACTION.trend if name == FRACTION.name else self.of(name).trend(name)

    def unit(self, name: str) -> str:
        """Of a property's values."""
        return "" if name == FRACTION.name else self.of(name).unit


def _words(physics: Physics) -> str:
    constants = ", ".join(f"{name} {value}" for name, value in physics.constants.items())
    return " ".join(f"{physics.simulator} of {constants} {physics.unit}".split())


def joined(one: Material, other: Material) -> Material:
    """The material of samples of both, some of which lack properties of the other.

    Raises:
        PropertyError: they contradict each other.
    """
    if one.boundary != other.boundary:
        raise PropertyError(f"boundary {one.boundary} and {other.boundary}: samples of two kinds")
    physics = list(one.physics)
    for new in other.physics:
        for name in (n for n in one.simulated if n in new.properties):
            old = one.of(name)
            if (old.simulator, old.constants, old.unit) != (new.simulator, new.constants, new.unit):
                raise PropertyError(f"property {name}: samples of two kinds, {_words(old)} and {_words(new)}")
        same = [i for i, p in enumerate(physics) if (p.simulator, p.constants) == (new.simulator, new.constants)]
        more = tuple(name for name in new.properties if name not in one.simulated)
        if same:
            physics[same[0]] = replace(physics[same[0]], properties=physics[same[0]].properties + more)
        else:
            physics.append(new)
    return Material(tuple(physics), one.boundary)


UNIT = "W/(m K)"


def conduction(
    phase_conductivity: tuple[float, ...] | list[float],
    boundary: Boundary = "dirichlet",
    dim: int = 2,
    unit: str = UNIT,
) -> Material:
    """The material of which only conduction is asked: of the tensor what a boundary gives."""
    letters = "xyz"[:dim]
    names = [f"k{a}{a}" for a in letters]
    if boundary == "periodic":
        names += [f"k{a}{b}" for i, a in enumerate(letters) for b in letters[i + 1 :]]
    constants: dict[str, Constant] = {"conductivity": tuple(float(k) for k in phase_conductivity)}
    return Material((Physics("conduction", constants, tuple(names), unit),), boundary)
