"""The paper's second result: Janus on phase-field microstructures, and what physics says of its inversions."""

import dataclasses
import hashlib
import json
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from janus_al import checkpoint
from janus_al.evaluation import evaluate
from janus_al.files import atomic_path
from janus_al.fitting import Run, TrainingConfig, TrainingError, network_for
from janus_al.identity import check_test
from janus_al.networks.janus import JanusConfig
from janus_al.samples import Samples
from janus_al.shipped import shipped
from janus_al.training import encode, train
from loop.design.candidates import Candidate, probe_targets
from loop.design.generators import Tools
from loop.design.select import aligned_distance
from loop.design.targets import Target, interval
from loop.files.outputs import check_folder, claim
from loop.output import pictures
from loop.output.latent_map import plane
from loop.simulation.executors import open_executor
from loop.simulation.simulate import Execution
from loop.studies.data import SOLVERS, Data, samples_at
from loop.studies.means import Means, Say
from loop.studies.single import physics_of, shots_at, tools_of

TEST = 512
NETWORK = JanusConfig(size=64, stem=4, channels=24)
TRAINING = TrainingConfig(steps=12000, batch=40, simulated=28, cycled=10, l_cyc=1.0, l_sens=20.0, validation=0.03)
PROBES, EACH, DIVERSE = 48, 4, 16
COMPONENT = np.linspace(-2.0, 2.0, 9)
"""steps of the traversal, in standard deviations along the first principal component"""


def reproduce_microstructure(
    out: Path,
    data: Data,
    network: JanusConfig,
    training: TrainingConfig,
    model: Path | None,
    means: Means,
) -> dict[str, Any]:
    """Make the data, train unless a model is given, and write figures as JSON and PNG.

    Data and model stay in `out`: what is there already is not made again.

    Raises:
        OutputError: `out` holds a run with other settings, or something else.
        TrainingError: settings that cannot train a network of this size; nothing was made.
    """
    run: dict[str, Any] = {"command": "reproduce microstructure", "seed": data.seed}
    if model is None:
        suited = network_for(data.grid, data.material, network, training)
        run |= {"data": dataclasses.asdict(data), "network": dataclasses.asdict(network)}
        run |= {"training": dataclasses.asdict(training)}
    else:
        model = shipped(model)
        if checkpoint.load(model)[0].config.dim != 2:
            raise TrainingError(f"{model}: a model of volumes; `janus-al reproduce volume` judges what they learn")
        run |= {"model": hashlib.sha256((model / "model.json").read_bytes()).hexdigest()}
    check_folder(out, run, () if model is None else [model], force=None)
    claim(out, run, [])
    if model is None:
        model = out / "model"
        if not (model / "model.json").exists():
            samples = samples_at(out / "data.h5", data, means)
            kept = Run(means.device, out / "state.pt", partial(means.progress, "training"))
            trained, card = train(samples, suited, training, data.seed, kept)
            checkpoint.save(model, trained, card)
    network_, card = checkpoint.load(model, means.device)
    phases = card.phase_conductivity
    like = Data(TEST, TEST, network_.config.size, data.seed, (phases[0], phases[1]))
    test = samples_at(out / "test.h5", like, means, test=True)
    check_test(test, card.images, "the test set")
    report: dict[str, Any] = {
        "model": dataclasses.asdict(network_.config),
        "parameters": sum(p.numel() for p in network_.parameters()),
        "trained": {"simulations": card.simulated, "seconds": card.seconds, "settings": card.training},
        "test": evaluate(network_, test),
    }
    with open_executor("process", means.workers) as executor:
        tools, execution = tools_of(network_, card), Execution(executor, SOLVERS[2], cached=True)
        report["in_range"] = in_range(tools, execution, means.progress)
        report["sweep"], sweep = property_sweep(tools, test, execution)
        report["diversity"], diverse = diversity_sweep(tools, test, execution)
        report["traversal"], traversal = latent_traversal(tools, test, execution)
    pictures.curves(out / "curves.png", card.history)
    pictures.grid(out / "sweep.png", *sweep)
    pictures.grid(out / "diversity.png", *diverse)
    pictures.grid(out / "traversal.png", *traversal)
    pictures.latent(out / "latent.png", plane(encode(network_, test.image).cpu().numpy()), test.properties[:, 0])
    with atomic_path(out / "microstructure.json") as temporary:
        temporary.write_text(json.dumps(report, indent=1))
    return report


def in_range(tools: Tools, execution: Execution, progress: Say) -> dict[str, Any]:
    """First shots across the data's 5th to 95th percentile, and the same candidates refined."""
    targets, began = probe_targets(tools.model()[1].property_range, PROBES), time.perf_counter()
    shots = shots_at(dataclasses.replace(tools, progress=partial(progress, "inversion")), targets, 0, execution)
    report: dict[str, Any] = {
        "shots": len(shots),
        "passes": tools.inversion.steps,
        "seconds": time.perf_counter() - began,
        "by_head": summary([c.target.error(c.predicted) for c in shots]),
        "first_shot": summary([c.target.error(c.trials[0].properties) for c in shots]),
    }
    for tolerance in (0.01, 0.002):
        exact = [_with_tolerance(t, tolerance) for t in targets]
        refined = shots_at(tools, exact, 0, execution, refine_steps=6)
        report[f"refined_to_{tolerance:g}"] = {
            **summary([c.target.error(c.trials[c.best].properties) for c in refined]),
            "met": sum(c.met for c in refined),
            "simulations_mean": float(np.mean([len(c.trials) for c in refined])),
            "simulations_median": float(np.median([len(c.trials) for c in refined])),
        }
    return report


def property_sweep(tools: Tools, test: Samples, execution: Execution) -> tuple[list[dict[str, Any]], pictures.Grid]:
    """Five values of kxx in the data's range and two beyond all of it, four inversions each."""
    k = test.properties[:, 0]
    inside = np.percentile(k, [10, 30, 50, 70, 90])
    values = [0.85 * k.min(), *inside, 1.2 * k.max()]
    targets = [Target("sweep", {"kxx": interval("kxx", float(v), tolerance=0.01)}) for v in values for _ in range(EACH)]
    shots = shots_at(tools, targets, 1, execution, refine_steps=4)
    rows = []
    for number, value in enumerate(values):
        own = shots[number * EACH : (number + 1) * EACH]
        rows.append({"kxx": float(value), "in_range": 0 < number < len(values) - 1, **_of_shots(own)})
    titles = [f"{c.trials[0].properties['kxx']:.3f}" for c in shots]
    return rows, (np.stack([(c.field > 0.5).astype(np.uint8) for c in shots]), titles, EACH)


def diversity_sweep(tools: Tools, test: Samples, execution: Execution) -> tuple[dict[str, Any], pictures.Grid]:
    """One target, many seeds: how different the inversions are, beside test images of nearly the same kxx."""
    k = test.properties[:, 0]
    value = float(np.median(k))
    target = Target("diversity", {"kxx": interval("kxx", value, tolerance=0.01)})
    shots = shots_at(tools, [target] * DIVERSE, 2, execution, refine_steps=4)
    images = np.stack([c.image for c in shots])
    alike = test.image[np.argsort(np.abs(k - value))[:DIVERSE]]
    report = {
        "kxx": value,
        **_of_shots(shots),
        "distance": summary(_distances(images)),
        "distance_of_data": summary(_distances(alike)),
    }
    return report, (images, [f"{c.trials[c.best].properties['kxx']:.3f}" for c in shots], 8)


def latent_traversal(tools: Tools, test: Samples, execution: Execution) -> tuple[list[dict[str, float]], pictures.Grid]:
    """One test image moved along the first principal component of all, above the images nearest to each step."""
    model, _ = tools.model()
    z = encode(model, test.image)
    mean = z.mean(dim=0)
    _, spread, axes = torch.linalg.svd(z - mean, full_matrices=False)
    sigma = float(spread[0]) / len(z) ** 0.5
    along = ((z - mean) @ axes[0] / sigma).cpu().numpy()
    # From an image: the mean of all is none, and decodes to none.
    start = int(np.abs(along).argmin())
    points = z[start] + sigma * torch.tensor(COMPONENT, dtype=z.dtype, device=z.device)[:, None] * axes[0]
    with torch.no_grad():
        images = (model.decode(points) > 0.5).cpu().numpy().astype(np.uint8)
        predicted = model.values(points)[:, 0].cpu().tolist()
    results = physics_of(tools.material, execution)(list(images))
    nearest = [int(np.abs(along - t).argmin()) for t in COMPONENT]
    rows = [
        {
            "step": float(t),
            "kxx_head": p,
            "kxx": r.values["kxx"] if r else float("nan"),
            "kxx_image": test.properties[n, 0],
        }
        for t, p, r, n in zip(COMPONENT, predicted, results, nearest, strict=True)
    ]
    titles = [f"{r['kxx']:.3f}" for r in rows] + [f"{r['kxx_image']:.3f}" for r in rows]
    return rows, (np.concatenate([images, test.image[nearest]]), titles, len(COMPONENT))


def _of_shots(shots: Sequence[Candidate]) -> dict[str, Any]:
    return {
        "by_head": summary([c.target.error(c.predicted) for c in shots]),
        "first_shot": summary([c.target.error(c.trials[0].properties) for c in shots]),
        "refined": summary([c.target.error(c.trials[c.best].properties) for c in shots]),
        "met": sum(c.met for c in shots),
        "simulations_mean": float(np.mean([len(c.trials) for c in shots])),
    }


def summary(values: Sequence[float] | NDArray[np.floating]) -> dict[str, float]:
    """Mean, median, 90th percentile and largest."""
    found = np.asarray(values)
    quantiles = {"median": 0.5, "percentile_90": 0.9, "max": 1.0}
    return {"mean": float(found.mean()), **{n: float(np.quantile(found, q)) for n, q in quantiles.items()}}


def _distances(images: NDArray[np.uint8]) -> list[float]:
    """Part of the pixels in which each image differs from each later one, at the best translation."""
    return [float(d) for i, image in enumerate(images[:-1]) for d in aligned_distance(image, images[i + 1 :])]


def _with_tolerance(target: Target, tolerance: float) -> Target:
    middle = {name: sum(ends) / 2 for name, ends in target.intervals.items()}
    return Target(target.name, {name: interval(name, v, tolerance=tolerance) for name, v in middle.items()})
