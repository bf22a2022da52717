"""A campaign's configuration: one TOML file, every key checked, unknown ones refused."""

import dataclasses
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from janus_al.fitting import TrainingConfig, check_settings
from janus_al.inversion import InversionConfig
from janus_al.networks.janus import JanusConfig
from janus_al.settings import Count, Part
from loop import SEED_MAX, THREADS_MAX, WORKERS_MAX
from loop.design.targets import PROPERTIES, Target, TargetError, check_reachable, interval
from loop.files.names import file_name, same

Kind = TypeVar("Kind", bound=BaseModel)


def _executor(words: str) -> str:
    """One of the places where simulations run."""
    address = re.fullmatch(r"dask://[^\s/]+:(\d{1,5})", words)
    if words not in {"process", "dask", "slurm"} and not (address and 0 < int(address[1]) < 65536):
        raise ValueError(f"{words!r}: must be process, dask, slurm or dask://HOST:PORT")
    return words


Name = Annotated[str, AfterValidator(file_name)]
Few = Annotated[int, Field(strict=True, ge=1, le=1000)]
Wanted = Annotated[float, Field(strict=True, ge=0, le=1e12)]
Conductivity = Annotated[float, Field(strict=True, gt=0, le=1e12)]


class ConfigError(ValueError):
    """A configuration that cannot be run."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Microstructure(_Section):
    """What is designed."""

    size: Annotated[int, Field(strict=True, ge=1, le=1024)] = 32
    """pixels a side"""
    phase_conductivity: tuple[Conductivity, Conductivity]
    """of label 0 and label 1"""
    boundary: Literal["dirichlet", "periodic"] = "dirichlet"

    @model_validator(mode="after")
    def _two_phases(self) -> Self:
        from simulators import check_contrast

        if self.phase_conductivity[0] == self.phase_conductivity[1]:
            raise ValueError(f"phase_conductivity {self.phase_conductivity}: equal, so that every image conducts alike")
        check_contrast(min(self.phase_conductivity), max(self.phase_conductivity))
        return self


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


class TargetSection(_Section):
    """What one group of designs must meet, all of it at once."""

    name: Name | None = None
    designs: Few = 1
    kxx: Requirement | None = None
    kyy: Requirement | None = None
    volume_fraction: Requirement | None = None


class Budget(_Section):
    """When to stop at the latest."""

    rounds: Few = 4
    simulations: Count = 400


class Loop(_Section):
    """How a round is spent."""

    candidates: Few = 6
    """simulated for each unmet target and round, at most"""
    swarm: Few = 4
    """latent vectors inverted for each candidate wanted"""
    probes: Annotated[int, Field(strict=True, ge=0, le=1000)] = 24
    """candidates a round for conductivities spread over the dataset's range: they teach, and they measure"""
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
    dataset: Dataset
    target: Annotated[list[TargetSection], Field(min_length=1), BeforeValidator(_listed)]
    """[[target]] as often as there are targets, or one [target]"""
    budget: Budget = Budget()
    loop: Loop = Loop()
    network: JanusConfig = JanusConfig()
    training: TrainingConfig = TrainingConfig()
    inversion: InversionConfig = InversionConfig()
    execution: Execution = Execution()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.network.size not in {JanusConfig().size, self.microstructure.size}:
            raise ValueError("network.size follows microstructure.size; leave it out")
        object.__setattr__(
            self, "network", self.network.suited_to(self.microstructure.size, self.microstructure.boundary)
        )
        check_settings(self.network, self.training)
        names = [t.name for t in self.targets()]
        if len({same(n) for n in names}) < len(names):
            raise ValueError(f"target names {names}: each must be given once, capitals or not")
        for target in self.targets():
            check_reachable(target, self.microstructure.phase_conductivity, self.microstructure.size**2)
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
        begun = 0 if self.dataset.generate is None else self.dataset.generate.simulated
        wanted, left = sum(t.designs for t in self.targets()), self.budget.simulations - begun
        if left < wanted:
            raise ValueError(
                f"budget.simulations {self.budget.simulations}: after {begun} for the first dataset they leave "
                f"{max(left, 0)} for {wanted} designs; raise them to {begun + wanted} or more"
            )

    def targets(self) -> list[Target]:
        """The targets, named t1, t2... where the file gives no name."""
        targets = []
        for number, section in enumerate(self.target, start=1):
            wanted = {p: getattr(section, p) for p in PROPERTIES if getattr(section, p) is not None}
            if not wanted:
                raise TargetError(f"target {number}: give at least one of {', '.join(PROPERTIES)}")
            intervals = {p: interval(p, r.value, r.tolerance, r.min, r.max) for p, r in wanted.items()}
            targets.append(Target(section.name or f"t{number}", intervals, section.designs))
        return targets

    def warm_training(self) -> TrainingConfig:
        """Settings of the training that follows a round and starts from the last model."""
        return dataclasses.replace(self.training, steps=self.loop.retrain_steps)

    def science(self) -> dict[str, Any]:
        """Everything that decides the result and stays as the campaign began; the budget may be raised."""
        return self.model_dump(mode="json", exclude={"execution", "budget"}, exclude_none=True)
