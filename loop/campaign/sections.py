"""What a campaign is about, as its TOML file says it: microstructure, physics, targets."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from janus_al.lengths import checked
from janus_al.material import UNIT, Material, Physics, conduction
from janus_al.networks.janus import Size, large
from janus_al.properties import Property, PropertyError, register
from loop.design.measures import AXES, Geometry, least_features, least_likeness
from loop.files.names import file_name

Name = Annotated[str, AfterValidator(file_name)]
Few = Annotated[int, Field(strict=True, ge=1, le=1000)]
Wanted = Annotated[float, Field(strict=True, ge=-1e12, le=1e12)]
Number = Annotated[float, Field(strict=True)]
Conductivity = Annotated[float, Field(strict=True, gt=0, le=1e12)]


class Section(BaseModel):
    """A table of the file: its keys are checked, unknown ones refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Microstructure(Section):
    """What is designed."""

    dim: Literal[2, 3] = 2
    """2: planes, 3: volumes"""
    size: Size = 32
    """pixels a side, or a list of the sides where they differ, [ny, nx] or, of a volume, [nz, ny, nx]"""
    phase_conductivity: tuple[Conductivity, Conductivity] | None = None
    """of label 0 and label 1: short for one [[physics]] that is conduction"""
    boundary: Literal["dirichlet", "periodic"] = "dirichlet"
    """faces held at fixed temperatures, or between grips; or a cell that repeats"""
    pixel: Annotated[str, AfterValidator(checked)] = ""
    """length of a pixel's side, such as 0.5um, so that min_feature may be a length; left out, that of the dataset or of
    the model to start from"""

    @property
    def grid(self) -> tuple[int, ...]:
        """Sides of an image, (ny, nx) or (nz, ny, nx)."""
        return self.size if isinstance(self.size, tuple) else (self.size,) * self.dim

    @model_validator(mode="after")
    def _of_its_axes(self) -> Self:
        if len(self.grid) != self.dim:
            raise ValueError(f"size {list(self.grid)}: {len(self.grid)} sides, but dim is {self.dim}; change either")
        if len(set(self.grid)) == 1:
            object.__setattr__(self, "size", self.grid[0])
        return self

    @model_validator(mode="after")
    def _two_phases(self) -> Self:
        if self.phase_conductivity is not None:
            _check_phases("phase_conductivity", self.phase_conductivity)
        return self


def _check_phases(name: str, values: tuple[float, ...]) -> None:
    from simulators.conduction.inputs import check_contrast

    if values[0] == values[1]:
        raise ValueError(f"{name} {values}: equal, so that every image conducts alike")
    check_contrast(min(values), max(values))


class PropertyRow(Section):
    """A property that Janus-AL does not know; see `janus_al/properties.py`."""

    name: str
    """letters, digits and underscores"""
    log: bool = True
    """it is above 0, learned and asked for on a log scale"""
    trend: Annotated[int, Field(strict=True, ge=-1, le=1)] = 0
    """whether it rises (1) or falls (-1) with the pixels of label 1"""
    driver: str = ""
    """or the constant on which it rises, and to which its sensitivities refer"""
    tensor: str = ""
    """whose entry it is, with `axes`; none: turned images have the same"""
    axes: Annotated[str, Field(pattern="^([xyz]{2}|[xyz]{4})?$")] = ""
    """indices of the entry, such as xx or xxyy"""
    turns: bool = True
    """false where nothing is known of mirrored and turned images"""


class PhysicsSection(BaseModel):
    """A simulator; keys other than these are its constants, and a list has a number for each label."""

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)
    __pydantic_extra__: dict[str, tuple[Number, ...] | Number | bool | str]

    simulator: str = ""
    """conduction, elasticity, the name of an installed one, or the path of your own, package.module:Class"""
    command: str = ""
    """or a program, such as mysolver --in {input} --out {output}: a JSON file that names image and constants, and one
    that it writes, {"PROPERTY": VALUE}"""
    properties: tuple[str | PropertyRow, ...] = ()
    """what a program gives; of a simulator, those to use (all)"""
    unit: str = ""
    """of its values"""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if bool(self.simulator) == bool(self.command):
            raise ValueError("give either 'simulator' or 'command'")
        if self.command and not self.properties:
            raise ValueError("a command needs 'properties', the names of what it gives")
        return self

    def physics(self, boundary: Literal["dirichlet", "periodic"], dim: int) -> Physics:
        """What the rest of the loop asks for; the simulator is made once, to see that it can be.

        Of volumes (`dim` 3) one that has `names(dim)` gives these, and any other its properties.

        Raises:
            CatalogueError, PropertyError: it cannot, or does not give these properties.
        """
        from simulators import make

        constants = dict(self.__pydantic_extra__ or {})
        if self.simulator == "conduction" and "solver" in constants:
            raise ValueError(f"solver {constants['solver']!r}: it stands in [execution], as execution.solver")
        of_labels = [value for value in constants.values() if isinstance(value, tuple)]
        if of_labels and all(len(value) > 1 == len(set(value)) for value in of_labels):
            raise ValueError("constants of label 0 and label 1: all are equal, so that every image is alike")
        rows = [Property(**p.model_dump()) for p in self.properties if isinstance(p, PropertyRow)]
        names = tuple(p.name if isinstance(p, PropertyRow) else p for p in self.properties)
        if self.command:
            make("command", boundary, {**constants, "command": self.command, "properties": names})
            program = Physics("command", {"command": self.command, **constants}, names, self.unit, tuple(rows))
            program.check_constants()
            return program
        if "conductivity" in constants and self.simulator == "conduction":
            values = constants["conductivity"]
            if not isinstance(values, tuple) or len(values) != 2:
                raise ValueError(f"conductivity {values}: give two, of label 0 and label 1")
            if min(values) > 0:
                _check_phases("conductivity", values)
        simulator = make(self.simulator, boundary, constants)
        given = list(simulator.names(dim) if hasattr(simulator, "names") else simulator.properties)
        rows += [p for p in given if isinstance(p, Property)]
        for row in rows:
            register(row)
        all_names = [getattr(p, "name", p) for p in given]
        if strange := [name for name in names if name not in all_names]:
            raise PropertyError(f"property '{strange[0]}': {self.simulator} gives {', '.join(all_names)}")
        kept = names or tuple(all_names)
        unit = self.unit or (UNIT if self.simulator == "conduction" else "")
        physics = Physics(self.simulator, constants, kept, unit, tuple(r for r in rows if r.name in kept))
        physics.check_constants()
        return physics


class Subject(BaseModel):
    """What a file is about, whatever else it says."""

    microstructure: Microstructure
    physics: tuple[PhysicsSection, ...] = ()
    dataset: dict[str, Any] = {}
    network: dict[str, Any] = {}

    @property
    def started(self) -> bool:
        """Whether it goes on from a trained model."""
        return self.network.get("start") is not None

    @property
    def learned(self) -> bool:
        """Whether it is about planes between faces, none of them large, of which a campaign learns from samples."""
        asked = self.microstructure
        plane = asked.dim == 2 and asked.boundary == "dirichlet" and not large(asked.grid)
        return plane and any(self.dataset.get(name) is not None for name in ("source", "generate"))

    @property
    def material(self) -> Material:
        """The physics asked, their constants and boundary."""
        boundary, phases = self.microstructure.boundary, self.microstructure.phase_conductivity
        if phases is not None and not self.physics:
            return conduction(phases, boundary, self.microstructure.dim)
        return Material(tuple(s.physics(boundary, self.microstructure.dim) for s in self.physics), boundary)


class Requirement(Section):
    """A value with a relative tolerance; or min, or max, or both; or the best there is."""

    value: Wanted | None = None
    """what is wanted; kxx = 0.3 is short for it"""
    tolerance: Wanted | None = None
    """of the value, relative: 0.01 is one per cent, and the default"""
    min: Wanted | None = None
    """at least so much, instead of a value"""
    max: Wanted | None = None
    """at most so much, instead of a value"""
    best: Literal["max", "min"] | None = None
    """the most or the least of it, beside min and max; kxx = "max" is short for it"""

    @model_validator(mode="before")
    @classmethod
    def _in_short(cls, given: Any) -> Any:
        if isinstance(given, int | float) and not isinstance(given, bool):
            return {"value": given}
        return {"best": given} if isinstance(given, str) else given


class Feature(Section):
    """The least diameter of a feature of one phase, or of both."""

    value: Number | Annotated[str, Field(strict=True)]
    """of its disc, in pixels, or a length such as 1.5um; rounded up to whole pixels"""
    label: Annotated[int, Field(strict=True, ge=0, le=1)] | None = None
    """of the phase; both where it is left out"""


def _features(given: Any) -> Any:
    found = given if isinstance(given, list | tuple) else [given]
    return [g if isinstance(g, dict | Feature) else {"value": g} for g in found]


def _axes(words: str) -> str:
    if set(words) - set(AXES) or len(set(words)) < len(words):
        raise ValueError(f"{words!r}: must be some of the axes {', '.join(AXES)}, such as x or xy")
    return words


class TargetSection(BaseModel):
    """What one group of designs must meet, all of it at once; keys other than these are properties.

    A property may be the ratio of two, "kxx/kyy" in quotes.
    """

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)
    __pydantic_extra__: dict[str, Requirement]

    name: Name | None = None
    """of its designs' folders; t1, t2 ... where none is given"""
    designs: Few = 1
    """how many different ones are wanted"""
    min_feature: Annotated[tuple[Feature, ...], BeforeValidator(_features)] = ()
    """least diameter of a feature in pixels, or a length: the opening of the phase by that disc leaves it as it is;
    of both phases, or { value = 3, label = 1 }"""
    connected: Annotated[str, AfterValidator(_axes)] = ""
    """axes along which label 1 joins both faces: x, y or xy"""
    like: Annotated[float, Field(strict=True), AfterValidator(least_likeness)] | None = None
    """least score of the likeness to the class of the first dataset, or of the model to start from; 0.95 is what 95 of
    100 images of the class have"""
    periodic: Annotated[bool, Field(strict=True)] = False
    """judge features and connection on the image repeated, as they are anyway where the boundary is periodic"""

    @property
    def wanted(self) -> dict[str, Requirement]:
        """What is asked of each property."""
        return dict(self.__pydantic_extra__ or {})

    def geometry(self, pixel: str) -> Geometry:
        """What is asked of the image itself.

        Raises:
            ValueError: a length, and no length of a pixel.
        """
        found = Geometry(connected=self.connected, periodic=self.periodic, like=self.like)
        for feature in self.min_feature:
            found = found.beside(Geometry(least_features(feature.value, feature.label, pixel)))
        return found
