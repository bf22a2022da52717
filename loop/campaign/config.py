"""A campaign's configuration: one TOML file, every key checked, unknown ones refused."""

import dataclasses
import re
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from janus_al.fitting import TrainingConfig, check_settings
from janus_al.inversion import InversionConfig
from janus_al.material import UNIT, Material, Physics, conduction
from janus_al.networks.janus import JanusConfig
from janus_al.properties import Property, PropertyError, register
from janus_al.settings import Count, Part
from loop import SEED_MAX, THREADS_MAX, WORKERS_MAX
from loop.design.targets import Target, TargetError, check_reachable, interval
from loop.files.names import file_name, same
from loop.simulation.simulate import limits_of

Kind = TypeVar("Kind", bound=BaseModel)


def _executor(words: str) -> str:
    """One of the places where simulations run."""
    address = re.fullmatch(r"dask://[^\s/]+:(\d{1,5})", words)
    if words not in {"process", "dask", "slurm"} and not (address and 0 < int(address[1]) < 65536):
        raise ValueError(f"{words!r}: must be process, dask, slurm or dask://HOST:PORT")
    return words


Name = Annotated[str, AfterValidator(file_name)]
Few = Annotated[int, Field(strict=True, ge=1, le=1000)]
Wanted = Annotated[float, Field(strict=True, ge=-1e12, le=1e12)]
Conductivity = Annotated[float, Field(strict=True, gt=0, le=1e12)]


CERTIFIED = ("kxx", "kyy", "kzz", "kxy", "kxz", "kyz", "volume_fraction")


class ConfigError(ValueError):
    """A configuration that cannot be run."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Microstructure(_Section):
    """What is designed."""

    size: Annotated[int, Field(strict=True, ge=1, le=1024)] = 32
    """pixels a side"""
    phase_conductivity: tuple[Conductivity, Conductivity] | None = None
    """of label 0 and label 1: short for one [[physics]] that is conduction"""
    boundary: Literal["dirichlet", "periodic"] = "dirichlet"
    """faces held at fixed temperatures, or between grips; or a cell that repeats"""

    @model_validator(mode="after")
    def _two_phases(self) -> Self:
        if self.phase_conductivity is not None:
            _check_phases("phase_conductivity", self.phase_conductivity)
        return self


def _check_phases(name: str, values: tuple[float, ...]) -> None:
    from simulators import check_contrast

    if values[0] == values[1]:
        raise ValueError(f"{name} {values}: equal, so that every image conducts alike")
    check_contrast(min(values), max(values))


class PropertyRow(_Section):
    """A property that Janus-AL does not know."""

    name: str
    log: bool = True
    """it is above 0, learned and asked for on a log scale"""
    trend: Literal[-1, 0, 1] = 0
    """whether it rises (1) or falls (-1) with the pixels of label 1"""
    driver: str = ""
    """or the constant on which it rises, and to which its sensitivities refer"""
    tensor: str = ""
    """whose entry it is, with `axes`, such as "xx"; none: turned images have the same"""
    axes: Annotated[str, Field(pattern="^([xyz]{2}|[xyz]{4})?$")] = ""
    turns: bool = True
    """false where nothing is known of mirrored and turned images"""


class PhysicsSection(BaseModel):
    """A simulator; keys other than these are its constants, and a list has a number for each label."""

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)
    __pydantic_extra__: dict[str, tuple[float, ...] | float | bool | str]

    simulator: str = ""
    """conduction, elasticity, the name of an installed one, or the path of your own, package.module:Class"""
    command: str = ""
    """or a program, such as mysolver --in {input} --out {output}"""
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

    def physics(self, boundary: Literal["dirichlet", "periodic"]) -> Physics:
        """What the rest of the loop asks for; the simulator is made once, to see that it can be.

        Raises:
            CatalogueError, PropertyError: it cannot, or does not give these properties.
        """
        from simulators import make

        constants = dict(self.__pydantic_extra__ or {})
        rows = [Property(**p.model_dump()) for p in self.properties if isinstance(p, PropertyRow)]
        names = tuple(p.name if isinstance(p, PropertyRow) else p for p in self.properties)
        if self.command:
            make("command", boundary, {**constants, "command": self.command, "properties": names})
            return Physics("command", {"command": self.command, **constants}, names, self.unit, tuple(rows))
        if "conductivity" in constants and self.simulator == "conduction":
            values = constants["conductivity"]
            if not isinstance(values, tuple) or len(values) != 2:
                raise ValueError(f"conductivity {values}: give two, of label 0 and label 1")
            _check_phases("conductivity", values)
        given = list(make(self.simulator, boundary, constants).properties)
        rows += [p for p in given if isinstance(p, Property)]
        for row in rows:
            register(row)
        all_names = [getattr(p, "name", p) for p in given]
        if strange := [name for name in names if name not in all_names]:
            raise PropertyError(f"property '{strange[0]}': {self.simulator} gives {', '.join(all_names)}")
        kept = names or tuple(all_names)
        unit = self.unit or (UNIT if self.simulator == "conduction" else "")
        return Physics(self.simulator, constants, kept, unit, tuple(r for r in rows if r.name in kept))


class Generate(_Section):
    """A phase-field dataset made at the start; its simulations count in the budget."""

    count: Annotated[int, Field(strict=True, ge=2, le=1_000_000)] = 2000
    simulated: Annotated[int, Field(strict=True, ge=2, le=1_000_000)] = 128

    @model_validator(mode="after")
    def _of_them(self) -> Self:
        if self.simulated > self.count:
            if "simulated" in self.model_fields_set:
                raise ValueError(f"simulated {self.simulated}: at most the {self.count} images that are generated")
            object.__setattr__(self, "simulated", self.count)
        return self


class Dataset(_Section):
    """Where the first samples come from."""

    source: Path | None = None
    """HDF5 file, relative to the current directory"""
    test: Path | None = None
    """HDF5 file of simulated samples on which every model is evaluated, and nothing else"""
    generate: Generate | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.source is None) == (self.generate is None):
            raise ValueError("give either 'source' or a [dataset.generate] section")
        return self


class Requirement(_Section):
    """A value with a relative tolerance, or min, or max, or both."""

    value: Wanted | None = None
    tolerance: Wanted | None = None
    min: Wanted | None = None
    max: Wanted | None = None


class TargetSection(BaseModel):
    """What one group of designs must meet, all of it at once; keys other than these are properties."""

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)
    __pydantic_extra__: dict[str, Requirement]

    name: Name | None = None
    designs: Few = 1

    @property
    def wanted(self) -> dict[str, Requirement]:
        """What is asked of each property."""
        return dict(self.__pydantic_extra__ or {})


class Budget(_Section):
    """When to stop at the latest."""

    rounds: Few = 4
    simulations: Count = 400
    """for candidates, and for the first dataset where it is generated"""
    probes: Annotated[int, Field(strict=True, ge=0, le=1_000_000)] = 24
    """more simulations, for probes"""


class Loop(_Section):
    """How a round is spent."""

    candidates: Few = 6
    """simulated for each unmet target and round, at most"""
    swarm: Few = 4
    """latent vectors inverted for each candidate wanted"""
    probes: Annotated[int, Field(strict=True, ge=0, le=1000)] = 6
    """inversions a round for values spread over the first dataset's range, the same each round: what a model's first
    shots are worth, measured; they teach as well"""
    cut_steps: Annotated[int, Field(strict=True, ge=0, le=1000)] = 4
    """simulations spent on moving the cut of one candidate, at most"""
    min_distance: Annotated[float, Field(strict=True, ge=0, lt=0.5)] = 0.05
    """part of the pixels in which two designs of a target differ, at least, at the best translation"""
    retrain: Literal["warm", "scratch"] = "warm"
    retrain_steps: Annotated[int, Field(strict=True, ge=1, le=100_000_000)] = 400
    """training steps after a round, when warm"""
    shrink: Part = 0.9
    perturb: Part = 0.05


class Execution(_Section):
    """How it is run; none of it changes what is computed, but `threads` and `device` do in the last digits."""

    solver: Literal["fipy", "direct", "batched", "auto"] = "fipy"
    """with any but fipy, FiPy simulates every design once more before it counts"""
    executor: Annotated[str, AfterValidator(_executor)] = "process"
    """where simulations run: process, dask, dask://HOST:PORT or slurm"""
    timeout: Annotated[float, Field(strict=True, gt=0, le=1e6)] = 600.0
    """seconds a simulation may take"""
    workers: Annotated[int, Field(strict=True, ge=0, le=WORKERS_MAX)] = 0
    """simulation processes; 0: one a core"""
    threads: Annotated[int, Field(strict=True, ge=1, le=THREADS_MAX)] = 1
    """of the network; more than one is slower here unless the machine is idle and the images are large"""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    umap: bool = True
    """show the latent space in the report, which takes half a minute"""


def _listed(targets: object) -> object:
    return [targets] if isinstance(targets, dict) else targets


class CampaignConfig(_Section):
    """The whole file."""

    name: Name
    seed: Annotated[int, Field(strict=True, ge=0, le=SEED_MAX)] = 0
    certify: bool = False
    """decide by the certified interval, refined until it decides, instead of by the best value"""
    microstructure: Microstructure
    physics: tuple[PhysicsSection, ...] = ()
    """[[physics]] as often as there are simulators; a design is confirmed when all agree"""
    dataset: Dataset
    target: Annotated[list[TargetSection], Field(min_length=1), BeforeValidator(_listed)]
    """[[target]] as often as there are targets, or one [target]"""
    budget: Budget = Budget()
    loop: Loop = Loop()
    network: JanusConfig = JanusConfig()
    training: TrainingConfig = TrainingConfig()
    inversion: InversionConfig = InversionConfig()
    execution: Execution = Execution()

    @cached_property
    def material(self) -> Material:
        """The physics asked, their constants and boundary."""
        boundary, phases = self.microstructure.boundary, self.microstructure.phase_conductivity
        if phases is not None and not self.physics:
            return conduction(phases, boundary)
        return Material(tuple(section.physics(boundary) for section in self.physics), boundary)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.microstructure.phase_conductivity is None) == (not self.physics):
            raise ValueError("give either microstructure.phase_conductivity or [[physics]] sections")
        if self.network.size not in {JanusConfig().size, self.microstructure.size}:
            raise ValueError("network.size follows microstructure.size; leave it out")
        object.__setattr__(
            self,
            "network",
            self.network.suited_to(self.microstructure.size, self.microstructure.boundary, self.material.simulated),
        )
        check_settings(self.network, self.training)
        targets = [t.name for t in self.targets()]
        if len({same(n) for n in targets}) < len(targets):
            raise ValueError(f"target names {targets}: each must be given once, capitals or not")
        limits, names = limits_of(self.material), self.material.names
        for target in self.targets():
            check_reachable(target, names, limits, self.microstructure.size**2)
            if self.certify and (bare := [n for n in target.intervals if n not in CERTIFIED]):
                raise TargetError(
                    f"target {target.name}: {bare[0]} has no certified interval, as {', '.join(CERTIFIED)} have; "
                    "leave it, or certify, out"
                )
        self._affordable()
        return self

    def _affordable(self) -> None:
        """Refuse a budget that cannot hold the designs wanted: each takes a candidate and a simulation at least."""
        most = self.budget.rounds * self.loop.candidates
        for target in self.targets():
            if target.designs > most:
                raise ValueError(
                    f"target {target.name}: {target.designs} designs, but {self.budget.rounds} rounds of "
                    f"{self.loop.candidates} candidates give at most {most} of them; raise budget.rounds or "
                    "loop.candidates"
                )
        price = len(self.material.physics)
        begun = 0 if self.dataset.generate is None else self.dataset.generate.simulated * price
        wanted, left = sum(t.designs for t in self.targets()) * price, self.budget.simulations - begun
        if left < wanted:
            raise ValueError(
                f"budget.simulations {self.budget.simulations}: after {begun} for the first dataset they leave "
                f"{max(left, 0)} for {wanted // price} designs; raise them to {begun + wanted} or more"
            )

    def targets(self) -> list[Target]:
        """The targets, named t1, t2... where the file gives no name."""
        targets = []
        for number, section in enumerate(self.target, start=1):
            if not section.wanted:
                raise TargetError(f"target {number}: give at least one of {', '.join(self.material.names)}")
            if strange := [name for name in section.wanted if name not in self.material.names]:
                raise TargetError(
                    f"target {number}: unknown key {strange[0]}; a target has name, designs, and the properties "
                    f"that the physics here gives, {', '.join(self.material.names)}"
                )
            intervals = {p: interval(p, r.value, r.tolerance, r.min, r.max) for p, r in section.wanted.items()}
            targets.append(Target(section.name or f"t{number}", intervals, section.designs))
        return targets

    def warm_training(self) -> TrainingConfig:
        """Settings of the training that follows a round and starts from the last model."""
        return dataclasses.replace(self.training, steps=self.loop.retrain_steps)

    def science(self) -> dict[str, Any]:
        """Everything that decides the result and stays as the campaign began; the budget may be raised."""
        return self.model_dump(mode="json", exclude={"execution", "budget"}, exclude_none=True)
