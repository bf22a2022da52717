"""One inversion for one target, outside of any campaign: candidates on disk and what physics says of them."""

import json
import time
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import numpy as np

from janus_al import checkpoint
from janus_al.dataset import atomic_path, content_hash
from janus_al.inversion import InversionConfig
from janus_al.network import Janus
from loop.candidates import Image, Result, probe_targets, propose, result_of, row_of, shoot
from loop.executors import open_executor
from loop.simulate import simulate, to_samples
from loop.targets import Target, check_reachable
from simulators import HomogenizationError, write_png

MIN_DISTANCE = 0.1
"""part of the pixels in which first shots differ, at least, at the best translation"""


def first_shot_errors(model: Janus, card: checkpoint.Card, count: int, seed: int, executor: Executor) -> list[float]:
    """Relative errors, by simulation, of uncorrected inversions at targets spread over the data's range.

    Raises:
        HomogenizationError: an inversion could not be simulated.
    """
    probes, phases = probe_targets(card, count), card.phase_conductivity
    candidates = propose(model, [], probes, (seed, 0), InversionConfig(), 1, (), {}, phases, 0.0)
    errors = []
    results = simulate([c.image for c in candidates], phases, "fipy", executor, card.boundary)
    for candidate, result in zip(candidates, results, strict=True):
        if isinstance(result, str):
            raise HomogenizationError(result)
        errors.append(candidate.target.error(dict(zip(result.names, result.k.tolist(), strict=True))))
    return errors


def invert_target(
    model_folder: Path,
    target: Target,
    out: Path,
    simulated: bool,
    cut_steps: int,
    swarm: int,
    seed: int,
    workers: int,
    device: str,
    progress: Callable[[str, int, int], None],
) -> dict[str, Any]:
    """Invert, simulate unless told not to, move cuts, and write one image for each candidate.

    Raises:
        TargetError: no mixture of the model's phases reaches the target; nothing was written.
    """
    model, card = checkpoint.load(model_folder, device)
    phases = card.phase_conductivity
    check_reachable(target, phases)
    config, began = InversionConfig(), time.perf_counter()
    candidates = propose(
        model,
        [(target, target.designs)],
        [],
        (seed, 0),
        config,
        swarm,
        (),
        {},
        phases,
        MIN_DISTANCE,
        lambda step, steps: progress("inversion", step, steps),
    )
    seconds = {"inversion": time.perf_counter() - began, "simulation": 0.0}
    if simulated:
        began = time.perf_counter()
        with open_executor("process", workers) as executor:

            def physics(images: list[Image]) -> list[Result | None]:
                results: list[Result | None] = []
                for image, found in zip(images, simulate(images, phases, "fipy", executor, card.boundary), strict=True):
                    results.append(
                        None if isinstance(found, str) else result_of(to_samples([image], [found], phases), 0)
                    )
                    progress("simulation", len(results), len(images))
                return results

            shoot(candidates, physics, phases, cut_steps)
        seconds["simulation"] = time.perf_counter() - began
    out.mkdir(parents=True, exist_ok=True)
    rows = []
    for number, candidate in enumerate(candidates, start=1):
        path = out / f"candidate-{number:03d}.npy"
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.save(file, candidate.image)
        write_png(path.with_suffix(".png"), candidate.image)
        row: dict[str, Any] = {
            "image": str(path),
            "predicted": dict(candidate.predicted),
            "simulations": 0,
            "met": None,
        }
        if candidate.trials:
            row |= row_of(candidate)
        rows.append({**row, "hash": content_hash(candidate.image)})
    result = {
        "target": target.wanted(),
        "model": str(model_folder),
        "seed": seed,
        "candidates": rows,
        "passes": config.steps,
        "seconds": seconds,
    }
    with atomic_path(out / "candidates.json") as temporary:
        temporary.write_text(json.dumps(result, indent=1))
    return result
