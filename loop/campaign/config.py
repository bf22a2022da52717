"""A campaign's configuration: one TOML file, every key checked, unknown ones refused."""

import dataclasses
import math
import re
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, model_validator

from janus_al.fitting import TrainingConfig, check_settings
from janus_al.inversion import InversionConfig
from janus_al.material import Material
from janus_al.networks.janus import JanusConfig, large
from janus_al.properties import FRACTION, TABLE, meant
from janus_al.settings import Count, Rate, settings
from loop import SEED_MAX, THREADS_MAX, WORKERS_MAX
from loop.campaign.sections import Few, Microstructure, Name, PhysicsSection, Section, Subject, TargetSection
from loop.design.acquisition import BUILT_IN as ACQUISITIONS
from loop.design.doors import check_name
from loop.design.feasible import Reach, check_reachable, check_shape
from loop.design.generators import BUILT_IN as GENERATORS
from loop.design.targets import WAYS, Target, TargetError, check_best, interval
from loop.files.names import same
from loop.simulation.simulate import limits_of
from loop.simulation.verify import conducts

Kind = TypeVar("Kind", bound=BaseModel)


def _executor(words: str) -> str:
    """One of the places where simulations run."""
    address = re.fullmatch(r"dask://[^\s/]+:(\d{1,5})", words)
    if words not in {"process", "dask", "slurm"} and not (address and 0 < int(address[1]) < 65536):
        raise ValueError(f"{words!r}: must be process, dask, slurm or dask://HOST:PORT")
    return words


class ConfigError(ValueError):
    """A configuration that cannot be run."""


class Generate(Section):
    """A phase-field dataset made at the start; its simulations count in the budget."""

    count: Annotated[int, Field(strict=True, ge=2, le=1_000_000)] = 2000
    """phase-field images; left out, 400 volumes or planes of more than 128 pixels a side"""
    simulated: Annotated[int, Field(strict=True, ge=2, le=1_000_000)] = 128
    """of them; the others train the encoder and the decoder alone; left out, 64 of such"""

    @model_validator(mode="after")
    def _of_them(self) -> Self:
        if self.simulated > self.count:
            if "simulated" in self.model_fields_set:
                raise ValueError(f"simulated {self.simulated}: at most the {self.count} images that are generated")
            object.__setattr__(self, "simulated", self.count)
        return self


class Dataset(Section):
    """Where the first samples come from."""

    source: Path | None = None
    """HDF5 file, relative to the current directory"""
    test: Path | None = None
    """HDF5 file of simulated samples on which every model is evaluated, and nothing else"""
    generate: Generate | None = None
    """or phase-field images, made at the start"""


@settings
class Network(JanusConfig):
    """The network that is built, or that of the trained model to start from."""

    start: Path | None = None
    """a shipped model by name, or the folder of your own, relative to the current directory: it makes the first
    proposals, untrained"""

    @property
    def built(self) -> JanusConfig:
        """The network alone."""
        return JanusConfig(**{f.name: getattr(self, f.name) for f in dataclasses.fields(JanusConfig)})


class Budget(Section):
    """When to stop at the latest."""

    rounds: Few = 4
    """at most"""
    simulations: Count = 400
    """for candidates, and for the first dataset where it is generated"""
    probes: Annotated[int, Field(strict=True, ge=0, le=1_000_000)] = 24
    """more simulations, for probes"""
    worth: Annotated[float, Field(strict=True, ge=0, le=1)] = 0.02
    """designs that a target's next candidates have to promise for each simulation; a target that promises less is given
    up, until the budget is changed; 0: none ever is"""


class Loop(Section):
    """How a round is spent."""

    generator: Annotated[str, AfterValidator(partial(check_name, "generator", GENERATORS))] = "janus"
    """who proposes: janus, phasefield, mixed (both, in proportion to what they bring), lookup, gradient, or your own
    class as package.module:Class; left out, mixed for planes between faces, up to 128 pixels a side, where
    there is a dataset"""
    acquisition: Annotated[str, AfterValidator(partial(check_name, "acquisition", ACQUISITIONS))] = "nearest"
    """in which order proposals are taken: nearest, diverse, designs, like, random, or your own function as
    package.module:function"""
    candidates: Few = 6
    """simulated for each unmet target and round, at most, and no more than designs are missing"""
    swarm: Few = 4
    """latent vectors inverted for each candidate wanted"""
    probes: Annotated[int, Field(strict=True, ge=0, le=1000)] = 6
    """inversions a round for values spread over the first dataset's range, the same each round: what a model's first
    shots are worth, measured; they teach as well"""
    refine_steps: Annotated[int, Field(strict=True, ge=0, le=1000)] = 8
    """simulations spent on refining one candidate after its first shot, at most"""
    best_steps: Annotated[int, Field(strict=True, ge=0, le=1000)] = 40
    """the same where the most or the least of a quantity is asked for"""
    improvement: Annotated[float, Field(strict=True, ge=0, lt=1)] = 0.005
    """of a "max" or "min": rounds follow while one betters the best by this part of it"""
    near: Annotated[float, Field(strict=True, ge=0, lt=1)] = 0.01
    """or until the best is within this part of the exact limit"""
    min_distance: Annotated[float, Field(strict=True, ge=0, lt=0.5)] = 0.05
    """part of the pixels in which two designs of a target differ, at least, at the best translation"""
    retrain: Literal["warm", "scratch", "never"] = "warm"
    """how a model learns from a round: from the last one's weights or from new ones; never, unless something else is
    said, if there is no dataset beside the model to start from"""
    retrain_steps: Annotated[int, Field(strict=True, ge=1, le=100_000_000)] = 400
    """training steps after a round, when warm"""
    retrain_rate: Rate = 1e-3
    """highest learning rate after a round, when warm"""

    @model_validator(mode="before")
    @classmethod
    def _renamed(cls, given: Any) -> Any:
        """Read what campaigns stored as cut_steps before refinement did more than move the cut."""
        if isinstance(given, dict) and "cut_steps" in given and "refine_steps" not in given:
            return {"refine_steps" if key == "cut_steps" else key: value for key, value in given.items()}
        return given


class Execution(Section):
    """How it is run; none of it changes what is computed, but `threads` and `device` do in the last digits."""

    solver: Literal["fipy", "direct", "batched", "auto"] = "fipy"
    """with any but fipy, FiPy simulates every design once more before it counts; left out, auto in volumes and in
    planes of more than 128 pixels a side"""
    executor: Annotated[str, AfterValidator(_executor)] = "process"
    """where simulations run: process, dask, dask://HOST:PORT or slurm"""
    timeout: Annotated[float, Field(strict=True, gt=0, le=1e6)] = 600.0
    """seconds a simulation may take"""
    workers: Annotated[int, Field(strict=True, ge=0, le=WORKERS_MAX)] = 0
    """simulation processes; 0: one a core"""
    threads: Annotated[int, Field(strict=True, ge=1, le=THREADS_MAX)] = 1
    """of the network; more than one is slower here unless the machine is idle and the images are large"""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """of the network; auto: cuda where there is one"""
    umap: bool = True
    """show the latent space in the report, which takes half a minute where there are 500 images or more"""


def _given_by(name: str) -> str:
    """Which physics gives a known property, in words to append."""
    tensor = TABLE[name].tensor if name in TABLE else ""
    if tensor in {"E", "C"}:
        only = ' under boundary = "periodic"' if tensor == "C" else ""
        return f'; {name} is given by a [[physics]] with simulator = "elasticity"{only}'
    return f'; {name} is given by conduction under boundary = "periodic"' if tensor == "k" else ""


def _listed(targets: object) -> object:
    return [targets] if isinstance(targets, dict) else targets


class CampaignConfig(Section):
    """The whole file."""

    name: Name
    """of the campaign, in MLflow and in the report"""
    seed: Annotated[int, Field(strict=True, ge=0, le=SEED_MAX)] = 0
    """of everything random"""
    certify: bool | None = None
    """whether designs are decided by their certified intervals, refined until these decide, instead of by the best
    value; left out, where physics has them, which conduction has, but that volumes which intervals leave undecided are
    decided by value, as there they hardly become narrow enough"""
    microstructure: Microstructure
    """what is designed"""
    physics: tuple[PhysicsSection, ...] = ()
    """[[physics]] as often as there are simulators; a design is confirmed when all agree"""
    dataset: Dataset = Dataset()
    """where the first samples come from; may be left out where network.start is given"""
    target: Annotated[list[TargetSection], Field(min_length=1), BeforeValidator(_listed)]
    """[[target]] as often as there are targets, or one [target]"""
    budget: Budget = Budget()
    """when to stop at the latest"""
    loop: Loop = Loop()
    """how a round is spent"""
    network: Network = Network()
    """what is trained"""
    training: TrainingConfig = TrainingConfig()
    """how it is trained"""
    inversion: InversionConfig = InversionConfig()
    """how it is inverted"""
    execution: Execution = Execution()
    """where and how it is run"""

    @cached_property
    def material(self) -> Material:
        """The physics asked, their constants and boundary."""
        return Subject(microstructure=self.microstructure, physics=self.physics).material

    @property
    def by_interval(self) -> bool:
        """Whether nothing is a design that certified intervals leave undecided."""
        return self.microstructure.dim == 2 if self.certify is None else self.certify

    @cached_property
    def reach(self) -> dict[str, Reach]:
        """What physics leaves to each target, by its name.

        Raises:
            TargetError: nothing.
        """
        limits, names = limits_of(self.material, trusted=True), self.material.names
        pixels = math.prod(self.microstructure.grid)
        return {target.name: check_reachable(target, names, limits, pixels) for target in self.targets()}

    @property
    def has_samples(self) -> bool:
        """Whether it begins with samples, and not with a model alone."""
        return self.dataset.source is not None or self.dataset.generate is not None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.microstructure.phase_conductivity is None) == (not self.physics):
            raise ValueError("give either microstructure.phase_conductivity or [[physics]] sections")
        if self.microstructure.dim == 3 or large(self.microstructure.grid):
            self._suit_large()
        if self.material.phases != 2:
            raise ValueError(f"physics: constants of {self.material.phases} labels; give two numbers, of label 0 and 1")
        for name in ("dim", "size"):
            if getattr(self.network, name) not in {getattr(JanusConfig(), name), getattr(self.microstructure, name)}:
                raise ValueError(f"network.{name} follows microstructure.{name}; leave it out")
        given = [self.dataset.source, self.dataset.generate, self.network.start]
        if given.count(None) == 3 or None not in given[:2]:
            raise ValueError(
                "dataset: give either 'source' or a [dataset.generate] section, or a model in network.start"
            )
        if not self.has_samples and "retrain" not in self.loop.model_fields_set:
            object.__setattr__(self, "loop", self.loop.model_copy(update={"retrain": "never"}))
        if not self.has_samples and self.loop.retrain == "scratch":
            raise ValueError(
                "loop.retrain 'scratch': a round's simulations alone do not train a model; give a [dataset] beside the "
                "one to start from, or say 'warm' or 'never'"
            )
        object.__setattr__(
            self,
            "network",
            self.network.suited_to(self.microstructure.grid, self.microstructure.boundary, self.material.simulated),
        )
        check_settings(self.network, self.training)
        targets = [t.name for t in self.targets()]
        if len({same(n) for n in targets}) < len(targets):
            raise ValueError(f"target names {targets}: each must be given once, capitals or not")
        if "probe" in (t.name for t in self.targets()):
            raise ValueError("target name 'probe': that is what a round's probes are called; give another")
        names = self.material.names
        self.reach.keys()  # refuses what is out of reach
        for target in self.targets():
            check_shape(target, self.microstructure.grid)
            predicted = (*self.network.properties, FRACTION.name)
            if lost := [n for n in target.properties if n not in predicted]:
                raise TargetError(
                    f"target {target.name}: network.properties {list(self.network.properties)} are without {lost[0]}; "
                    "add it, or leave network.properties out"
                )
            certified = [n for n in names if conducts(self.material, n)]
            if self.certify and (bare := [n for n in target.properties if n not in certified]):
                raise TargetError(
                    f"target {target.name}: {bare[0]} has no certified interval, as {', '.join(certified)} of "
                    "conduction have; leave it, or certify, out"
                )
        self._affordable()
        return self

    def _suit_large(self) -> None:
        """What volumes and large planes, of which each costs as much as many small ones, have unless the file says."""
        if "solver" not in self.execution.model_fields_set:
            object.__setattr__(self, "execution", self.execution.model_copy(update={"solver": "auto"}))
        generate = self.dataset.generate
        if generate is not None:
            given = {name: getattr(generate, name) for name in generate.model_fields_set}
            fewer = Generate(**{"count": max(400, given.get("simulated", 0)), **given})
            fewer = fewer if "simulated" in given else Generate(count=fewer.count, simulated=min(64, fewer.count))
            object.__setattr__(self, "dataset", self.dataset.model_copy(update={"generate": fewer}))

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
        targets, boundary = [], self.microstructure.boundary
        for number, section in enumerate(self.target, start=1):
            if not section.wanted:
                raise TargetError(f"target {number}: give at least one of {', '.join(self.material.names)}")
            asked = [part for name in section.wanted for part in name.split("/")]
            if strange := [name for name in asked if name not in self.material.names]:
                keys, given = [*TargetSection.model_fields], self.material.names
                raise TargetError(
                    f"target {number}: unknown key {strange[0]}; {meant(strange[0], [*keys, *given])}a target has "
                    f"{', '.join(keys)}, and the properties that the physics here gives, {', '.join(given)}"
                    f"{_given_by(strange[0])}"
                )
            best = {p: WAYS[r.best] for p, r in section.wanted.items() if r.best}
            check_best(best)
            bounded = {p: r for p, r in section.wanted.items() if not r.best or r.model_fields_set > {"best"}}
            intervals = {p: interval(p, r.value, r.tolerance, r.min, r.max) for p, r in bounded.items()}
            geometry = section.geometry(self.microstructure.pixel).under(boundary)
            targets.append(Target(section.name or f"t{number}", intervals, section.designs, best, geometry))
        return targets

    def warm_training(self) -> TrainingConfig:
        """Settings of the training that follows a round and starts from the last model."""
        return dataclasses.replace(self.training, steps=self.loop.retrain_steps, rate=self.loop.retrain_rate)

    def science(self) -> dict[str, Any]:
        """Everything that decides the result and stays as the campaign began; the budget may be raised."""
        return self.model_dump(mode="json", exclude={"execution", "budget"}, exclude_none=True)
