"""Runs the campaigns of an arena: what is finished is skipped, what was cut off goes on.

    DIR/data/KEY.h5            the samples of a track and a seed, shared by tracks that begin alike
    DIR/models/KEY/            a network trained on them, shared by strategies that would train the same
    DIR/runs/TRACK/STRATEGY/SEED/    a campaign
    DIR/scores/TRACK-STRATEGY-SEED.json    what it scored, so that scores of several machines can be put together

Whoever uses a shared network is charged the seconds of its training.
"""

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from janus_al import dataset
from janus_al.files import atomic_path
from janus_al.material import Boundary, conduction
from janus_al.samples import Samples, concatenate, unlabelled
from loop import CREATED_BY
from loop.campaign.campaign import Campaign
from loop.campaign.config import CampaignConfig, ConfigError
from loop.campaign.opening import start
from loop.design.generators import generator, needs_model
from loop.design.likeness import Likeness
from loop.files.lock import locked
from loop.files.outputs import check_folder, claim
from loop.simulation.executors import open_executor
from loop.simulation.progress import Progress
from loop.simulation.rows import simulate_samples
from loop.simulation.simulate import Execution, backend, simulate
from loop.studies.arena.plan import Arena, Data, Strategy, Track
from loop.studies.arena.score import Scored, Step, scored
from loop.studies.means import Means
from loop.studies.trained import trained_at

EXTRA = 4
"""images made for each one kept, at most"""
MADE = ("arena.json", "arena.md", "arena.png")


@dataclass(frozen=True)
class Part:
    """One campaign of an arena, and what it scored."""

    track: Track
    strategy: Strategy
    seed: int
    scored: Scored


def run_arena(
    arena: Arena, out: Path, means: Means, told: Callable[[list[Part]], None], seeds: Sequence[int] = ()
) -> list[Part]:
    """Run all campaigns, one after the other, seed by seed, so that whenever it is cut off seeds are paired.

    Args:
        arena: as `load_arena` checked it.
        out: its folder; `told` is given all that is finished after each track of a seed.
        means: `workers` simulate.
        seeds: those to run; all of the arena's unless given.

    Raises:
        OutputError: the folder holds something else.
        ConfigError: the folder has a campaign with other settings; too few images are left of a track's data.
        LockedError: another process runs it.
    """
    run = {"command": "arena", "name": arena.name}
    check_folder(out, run)
    claim(out, run, MADE)
    parts, seeds = list[Part](), seeds or range(arena.seeds)
    with locked(out, "running this arena"), open_executor("process", means.workers) as executor:
        for seed in seeds:
            for track in arena.track:
                for strategy in arena.strategy:
                    means.progress("campaigns", len(parts), len(seeds) * len(arena.track) * len(arena.strategy))
                    parts.append(_part(arena, track, strategy, seed, out, executor, means))
                told(parts)
    return parts


@lru_cache(maxsize=1)
def _warm(executor: Executor) -> None:
    """Have a worker load FiPy, which takes seconds that no strategy is to be charged."""
    from simulators import generate

    list(simulate(generate(1, 16, 0), conduction((0.1, 1.0)), Execution(executor)))


def _part(
    arena: Arena, track: Track, strategy: Strategy, seed: int, out: Path, executor: Executor, means: Means
) -> Part:
    """One campaign, finished. The parameters name it, and where and with what it runs."""
    data = arena.data_of(track)
    bare = arena.config(track, strategy, seed, Path("data.h5"), None)
    source = _data(data, bare, seed, out.resolve() / "data", executor)
    model, seconds = None, 0.0
    if needs_model(generator(bare.loop.generator)):
        model, seconds = _model(bare, dataset.read(source), seed, out.resolve() / "models", means)
    config = arena.config(track, strategy, seed, source, model)
    folder = out / "runs" / track.name / strategy.name / str(seed)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder, "running this campaign"):
        campaign = start(folder, config)
        if campaign.journal.end is None:
            _warm(executor)
            campaign.run(executor, means.device, Progress(), lambda: None)
    charged = data.simulated if data.charged else 0
    members = _class(data.count, config.microstructure.grid, config.material.boundary, seed)
    part = Part(track, strategy, seed, scored(Campaign(folder), members, charged, seconds))
    path = _score(out, track, strategy, seed)
    path.parent.mkdir(exist_ok=True)
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(dataclasses.asdict(part.scored)))
    return part


def _score(out: Path, track: Track, strategy: Strategy, seed: int) -> Path:
    return out / "scores" / f"{track.name}-{strategy.name}-{seed}.json"


def scores(arena: Arena, out: Path) -> list[Part]:
    """What campaigns of an arena have scored so far, from the files in `out`; nothing is run."""
    parts = []
    for seed, track, strategy in itertools.product(range(arena.seeds), arena.track, arena.strategy):
        if (path := _score(out, track, strategy, seed)).is_file():
            found = json.loads(path.read_text())
            steps = tuple(Step(**step) for step in found["steps"])
            parts.append(Part(track, strategy, seed, Scored(**{**found, "steps": steps})))
    return parts


def _data(data: Data, config: CampaignConfig, seed: int, folder: Path, executor: Executor) -> Path:
    """The samples of a track, made once: its first `simulated` images with their properties, the others without.

    What may be left out has to be simulated to be known; no strategy sees these simulations, or pays for them.
    """
    from simulators import generate

    side, material, grid = config.microstructure.size, config.material, config.microstructure.grid
    solver = backend(config.execution.solver, grid, material.boundary)
    path = folder / f"{_key([data.model_dump(exclude={'charged'}), side, repr(material), solver, seed])}.h5"
    if path.is_file():
        return path
    images = generate(data.count * (EXTRA if data.without else 1), grid, seed)
    asked = images if data.without else images[: data.simulated]
    (known,) = simulate_samples(asked, material, Execution(executor, solver, trusted=True), Progress())
    kept = data.kept(known)
    if len(kept) < (wanted := data.count if data.without else data.simulated):
        raise ConfigError(f"data.without leaves {len(kept)} of {len(images)} images; leave out less, or have {wanted}")
    rest = images[kept[data.simulated : data.count]] if data.without else images[data.simulated :]
    samples = known.take(kept[: data.simulated])
    folder.mkdir(parents=True, exist_ok=True)
    dataset.write(path, concatenate([samples, unlabelled(rest, material)]) if len(rest) else samples, CREATED_BY)
    return path


def _model(config: CampaignConfig, samples: Samples, seed: int, folder: Path, means: Means) -> tuple[Path, float]:
    """The network that a campaign would train first, trained once, and the seconds that this took."""
    network = config.network.built
    path = folder / _key([samples.digest(), repr(network), repr(config.training), seed])
    return path, trained_at(path, samples, network, config.training, seed, means)[1].seconds


@cache
def _class(count: int, grid: tuple[int, ...], boundary: Boundary, seed: int) -> Likeness:
    """The class that designs are to be like: phase fields, none of them left out."""
    from simulators import generate

    return Likeness.of(list(generate(count, grid, seed)), boundary)


def _key(about: Any) -> str:
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()[:12]
