"""An arena's configuration: one TOML file, from which the campaign of each track, strategy and seed follows."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, model_validator

from janus_al.samples import Samples
from loop.campaign.config import CampaignConfig, ConfigError
from loop.campaign.opening import check_doors
from loop.campaign.sections import Name, Section
from loop.campaign.toml import combined, load_as, overlaid
from loop.files.names import same

Table = dict[str, Any]
FIXED = ("certify", "dataset", "microstructure", "name", "physics", "seed", "target")
"""tables of a campaign that are the same for all strategies of a track"""
SHARED = {
    "budget": ("simulations", "probes"),
    "loop": ("min_distance", "probes"),
    "execution": ("solver",),
    "network": ("start",),
}
"""and keys of others"""


class Range(Section):
    """Values of a property."""

    model_config = ConfigDict(allow_inf_nan=True)

    min: float = -math.inf
    """at least"""
    max: float = math.inf
    """at most"""


class Data(Section):
    """What every strategy knows at the start: phase fields, made from the seed."""

    count: Annotated[int, Field(strict=True, ge=2, le=100_000)] = 512
    """images"""
    simulated: Annotated[int, Field(strict=True, ge=2, le=100_000)] = 128
    """of them; the others are known without properties"""
    without: dict[str, Range] = Field(default_factory=dict)
    """images with a property within its range are left out, simulated or not"""
    charged: bool = False
    """whether the simulations of the data count in the budget, of all strategies alike"""

    @model_validator(mode="after")
    def _of_them(self) -> Self:
        if self.simulated > self.count:
            raise ValueError(f"simulated {self.simulated}: at most the {self.count} images that there are")
        return self

    def kept(self, samples: Samples) -> NDArray[np.intp]:
        """Rows of simulated samples that are not left out."""
        out = np.zeros(len(samples), bool)
        for name, ends in self.without.items():
            if name not in samples.names:
                raise ConfigError(f"data.without: {name} is none of {', '.join(samples.names)}")
            out |= (samples.column(name) >= ends.min) & (samples.column(name) <= ends.max)
        return np.flatnonzero(~out)


class Strategy(Section):
    """Who takes part."""

    name: Name
    what: str = ""
    """in words, for the page"""
    baseline: bool = False
    """one that ours are measured against"""
    campaign: Table = Field(default_factory=dict)
    """what its campaigns have otherwise"""


class Track(Section):
    """What is asked of all."""

    name: Name
    what: str = ""
    """in words, for the page"""
    target: Annotated[list[Table], Field(min_length=1)]
    """as in a campaign, without `designs`: as many are wanted as the budget has simulations"""
    data: Table = Field(default_factory=dict)
    """what its data have otherwise"""
    campaign: Table = Field(default_factory=dict)
    """what its campaigns have otherwise"""


class Arena(Section):
    """The whole file."""

    name: Name
    seeds: Annotated[int, Field(strict=True, ge=1, le=1000)] = 10
    """paired: of data, networks and campaigns, from 0"""
    campaign: Table
    """what all campaigns have in common"""
    data: Data = Data()
    """of every track that says nothing else"""
    strategy: Annotated[list[Strategy], Field(min_length=1)]
    """[[strategy]] as often as there are strategies"""
    track: Annotated[list[Track], Field(min_length=1)]
    """[[track]] as often as there are tracks"""

    @model_validator(mode="after")
    def _fair(self) -> Self:
        for kind, names in (("strategy", [s.name for s in self.strategy]), ("track", [t.name for t in self.track])):
            if len({same(name) for name in names}) < len(names):
                raise ValueError(f"{kind} names {names}: each must be given once, capitals or not")
        for one in self.strategy:
            unfair = [key for key in FIXED if key in one.campaign]
            unfair += [
                f"{table}.{key}" for table, keys in SHARED.items() for key in keys if key in one.campaign.get(table, {})
            ]
            if unfair:
                raise ValueError(
                    f"strategy {one.name}: {unfair[0]} is the same for all strategies; put it in [campaign] or a track"
                )
        return self

    def data_of(self, track: Track) -> Data:
        """What is known at the start of a track."""
        return combined(Data, Path(f"track {track.name}, data"), [self.data.model_dump(exclude_unset=True), track.data])

    def config(self, track: Track, strategy: Strategy, seed: int, source: Path, start: Path | None) -> CampaignConfig:
        """One campaign, its data in `source`, and the model to start from in `start`, if it has any.

        Raises:
            ConfigError: settings that no campaign has, a budget that the track's data use up.
        """
        where = Path(f"track {track.name}, strategy {strategy.name}")
        own = overlaid([self.campaign, track.campaign, strategy.campaign])
        data, budget = self.data_of(track), own.get("budget", {}).get("simulations", 400)
        left = budget - data.simulated if data.charged else budget
        if left < len(track.target):
            raise ConfigError(
                f"{where}: budget.simulations {budget}: its data take {data.simulated} of them, which leaves less than "
                f"one for each target; raise it to {data.simulated + len(track.target)} or more"
            )
        given: Table = {
            "name": f"{self.name} {track.name} {strategy.name}",
            "seed": seed,
            "dataset": {"source": str(source)},
            "target": [{**target, "designs": left // len(track.target)} for target in track.target],
            "budget": {"simulations": left},
        }
        if start is not None:
            given["network"] = {"start": str(start)}
        return combined(CampaignConfig, where, [own, given])


def load_arena(path: Path, overrides: Sequence[str] = ()) -> Arena:
    """Read and check an arena, all of its campaigns included; nothing is made.

    Raises:
        ConfigError, TargetError, DoorError: in one sentence.
    """
    arena = load_as(Arena, path, overrides)
    for track in arena.track:
        arena.data_of(track)
        for strategy in arena.strategy:
            check_doors(arena.config(track, strategy, 0, Path("data.h5"), None))
    return arena
