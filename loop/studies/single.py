"""One inversion for one target, outside of any campaign: candidates on disk and what physics says of them."""

import dataclasses
import json
import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from janus_al import checkpoint
from janus_al.files import atomic_path
from janus_al.material import Material
from janus_al.networks.janus import Janus
from janus_al.samples import content_hash
from loop import UsageError
from loop.campaign.extremes import aimed, to_limit
from loop.campaign.sources import unlike
from loop.design.acquisition import nearest
from loop.design.candidates import Candidate, answer, prediction, probe_targets, propose, table_row
from loop.design.confidence import past_of
from loop.design.feasible import check_reachable, check_shape, to_limits
from loop.design.generators import Tools
from loop.design.generators.janus import JanusGenerator
from loop.design.pool import Image, Known
from loop.design.refine import Refinement, refine
from loop.design.select import Rules, aligned_distance
from loop.design.shapes import shapes_for
from loop.design.targets import Target, TargetError
from loop.design.thinking import narrow
from loop.files.outputs import check_folder, claim
from loop.output import pictures
from loop.simulation.executors import open_executor
from loop.simulation.simulate import Execution, limits_of, simulate, usual_solver
from loop.simulation.verify import Check, confirmed, judge, verify
from loop.studies.means import Means
from simulators import HomogenizationError, Result

MIN_DISTANCE = 0.1
"""part of the pixels in which first shots differ, at least, at the best symmetric copy; half of it at the end"""


def first_shot_errors(model: Janus, card: checkpoint.Card, count: int, seed: int, executor: Executor) -> list[float]:
    """Relative errors, by simulation, of uncorrected inversions at targets spread over the data's range.

    Raises:
        HomogenizationError: an inversion could not be simulated.
    """
    execution = Execution(executor, usual_solver(model.config.grid, card.boundary), cached=True)
    shots = shots_at(tools_of(model, card), probe_targets(card.property_range, count), seed, execution)
    return [c.target.error(c.trials[0].properties) for c in shots]


def shots_at(
    tools: Tools, targets: Sequence[Target], seed: int, execution: Execution, refine_steps: int = 0
) -> list[Candidate]:
    """One inversion for each target, simulated, then refined in at most `refine_steps` further simulations.

    Raises:
        HomogenizationError: an inversion could not be simulated.
    """
    janus = JanusGenerator(tools)
    candidates = [
        dataclasses.replace(c, probe=False) for c in answer(janus, targets, Known(), tools.boundary, (seed, 0))
    ]
    how = Refinement(tools.material, refine_steps, inversion=tools.inversion, generator=lambda: janus)
    refine(candidates, physics_of(tools.material, execution), how)
    if failed := [c for c in candidates if not c.trials]:
        raise HomogenizationError(f"{len(failed)} inversions of {len(targets)} could not be simulated")
    return candidates


def tools_of(
    model: Janus,
    card: checkpoint.Card,
    swarm: int = 1,
    progress: Callable[[int, int], None] = lambda step, steps: None,
) -> Tools:
    """What a generator is made with where there is a model and no campaign."""
    return Tools(
        grid=model.config.grid,
        material=card.material,
        swarm=swarm,
        model=lambda: (model, card),
        progress=progress,
    )


def physics_of(
    material: Material, execution: Execution, done: Callable[[int, int], None] = lambda number, images: None
) -> Callable[[list[Image]], list[Result | None]]:
    """Simulation of images of a material; None for one that fails."""

    def physics(images: list[Image]) -> list[Result | None]:
        results: list[Result | None] = []
        for found in simulate(images, material, execution):
            results.append(found if isinstance(found, Result) else None)
            done(len(results), len(images))
        return results

    return physics


@dataclass(frozen=True)
class Request:
    """What one inversion is asked for.

    Attributes:
        target: what its designs must meet, and how many are wanted.
        simulated: whether candidates are simulated, and those that miss refined.
        refine_steps: simulations spent on refining one candidate after its first shot, at most.
        swarm: latent vectors inverted for each candidate.
        seed: of the latent vectors.
        size: pixels of the longest side, a whole number of times the model's; None: the model's.
    """

    target: Target
    simulated: bool = True
    refine_steps: int = 8
    swarm: int = 2
    seed: int = 0
    size: int | None = None


def invert_target(model_folder: Path, request: Request, out: Path, means: Means, force: bool = False) -> dict[str, Any]:
    """Invert, simulate unless told not to, refine, and write one image for each candidate.

    Raises:
        TargetError: no mixture of the model's phases reaches the target; nothing was written.
        UsageError: images of another size than the model can draw.
        OutputError: `out` holds something else, or earlier candidates and `force` is not given.
    """
    target, seed = request.target, request.seed
    model, card = checkpoint.load(model_folder, means.device)
    try:
        own = model.config.grid
        grid = tuple(side * (request.size or max(own)) // max(own) for side in own)
        model, card = checkpoint.enlarged(model, card, grid)
    except ValueError as error:
        raise UsageError(f"{model_folder}: {error}") from None
    target = dataclasses.replace(target, geometry=target.geometry.under(card.boundary))
    limits, grid = limits_of(card.material), model.config.grid
    check_shape(target, grid)
    if target.geometry.like is not None and card.likeness is None:
        raise TargetError(f"target {target}: {unlike(target, model_folder)}")
    reach = check_reachable(target, card.material.names, limits, math.prod(grid))
    run: dict[str, Any] = {"command": "invert", "target": target.wanted(), "count": target.designs, "seed": seed}
    run |= {"model": str(model_folder), "size": list(grid)}
    run |= {name: getattr(request, name) for name in ("simulated", "refine_steps", "swarm")}
    names = [f"candidate-{number:03d}" for number in range(1, target.designs + 1)]
    files = ["candidates.json", *(name + suffix for name in names for suffix in (".npy", ".png"))]
    check_folder(out, run, [model_folder], force, "candidates.json", files)
    began = time.perf_counter()
    janus = JanusGenerator(tools_of(model, card, request.swarm, partial(means.progress, "inversion")))
    rules = Rules(limits, card.boundary, MIN_DISTANCE, nearest)
    sought = aimed(target, None, next(iter(reach.best.values()), math.nan))
    known = Known(past=past_of([card.proposals], [False], limits), likeness=card.likeness)
    candidates, passed_over = propose(janus, [(sought, target.designs)], known, rules, (seed, 0))
    candidates = [dataclasses.replace(c, target=target) for c in candidates]
    shapes = shapes_for(target, grid, card.material, limits, card.likeness) if request.simulated else []
    candidates += shapes
    seconds, verified = {"inversion": time.perf_counter() - began, "simulation": 0.0}, dict[str, dict[str, Any]]()
    if request.simulated:
        began = time.perf_counter()
        with open_executor("process", means.workers) as executor:
            execution = Execution(executor, usual_solver(grid, card.boundary), cached=True)
            physics = physics_of(card.material, execution, partial(means.progress, "simulation"))
            steps = request.refine_steps
            how = Refinement(card.material, steps, steps, janus.tools.inversion, lambda: janus, card.likeness)
            refine(candidates, physics, how)
            if target.best:
                candidates = sorted(candidates, key=lambda c: (not c.met, -c.score))
            candidates = _distinct(candidates, passed_over)[: target.designs]
            met = [c for c in candidates if c.met]
            check = Check(card.material, "auto", certify=True, strict=len(grid) == 2)
            verified = decide(met, check, executor)
            if unsure := [c for c in met if c.verdict == "undecided" and not target.best]:
                # Near an end of its interval: a step towards the middle decides more than any finer grid.
                inward = [dataclasses.replace(c, target=narrow(c.target, how.inversion)) for c in unsure]
                refine(inward, physics, how)
                moved = [(c, nearer) for c, nearer in zip(unsure, inward, strict=True) if nearer.best != c.best]
                for candidate, nearer in moved:
                    candidate.best = nearer.best
                verified |= decide([candidate for candidate, _ in moved], check, executor)
        seconds["simulation"] = time.perf_counter() - began
    claim(out, run, files[: 1 + 2 * len(candidates)], finished="candidates.json")
    rows = []
    for name, candidate in zip(names, candidates, strict=False):
        path = out / f"{name}.npy"
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.save(file, candidate.image)
        pictures.write(path.with_suffix(".png"), candidate.image, card.material)
        row: dict[str, Any] = {
            "image": str(path),
            **prediction(candidate),
            "likeness": None if card.likeness is None else card.likeness.score(candidate.image),
            "simulations": 0,
            "met": None,
            "verdict": None,
        }
        if candidate.trials:
            row |= table_row(candidate)
            between = to_limits(row["final"], target.properties, limits)
            row |= {"limits": between, "to_limit": to_limit(target, row["final"], reach, between)}
        key = content_hash(candidate.image)
        row |= {**verified.get(key, {}), "hash": key}
        if candidate.verdict == "confirmed":
            certified = row.get("certificate", {}).get("properties", {})
            row["confirmed"] = confirmed(target.intervals, row["final"], certified, candidate.image.ndim)
        rows.append(row)
    result = {
        "target": target.wanted(),
        "model": str(model_folder),
        "pixel": card.pixel or None,
        "phase_conductivity": list(card.phase_conductivity),
        "boundary": card.boundary,
        "seed": seed,
        "wanted": target.designs,
        "limit": dict(reach.best),
        "warning": reach.warning,
        "calibrated": bool(card.proposals),
        "candidates": rows,
        "inversions": request.swarm * target.designs,
        "shapes": len(shapes),
        "passed_over": dict(passed_over),
        "passes": janus.tools.inversion.steps,
        "seconds": seconds,
    }
    with atomic_path(out / "candidates.json") as temporary:
        temporary.write_text(json.dumps(result, indent=1))
    return result


def decide(candidates: Sequence[Candidate], check: Check, executor: Executor) -> dict[str, dict[str, Any]]:
    """Let intervals decide on candidates whose values meet their target, where physics certifies any.

    Returns:
        what verification found, by content hash.
    """
    found = {}
    for candidate in candidates if check.needed else []:
        verified = verify(candidate.image, candidate.target, check, executor)
        candidate.verdict, candidate.reason = judge(verified, candidate.target, check)
        found[content_hash(candidate.image)] = verified
    return found


def _distinct(candidates: Sequence[Candidate], passed_over: Counter[str]) -> list[Candidate]:
    """Those that, refined or not, differ from each other in the end; of two alike the one that meets the target."""
    kept: list[Candidate] = []
    for candidate in sorted(candidates, key=lambda c: not c.met):
        if kept and aligned_distance(candidate.image, np.stack([k.image for k in kept])).min() < MIN_DISTANCE / 2:
            passed_over["like a better one in the end"] += 1
        else:
            kept.append(candidate)
    return [candidate for candidate in candidates if any(candidate is other for other in kept)]
