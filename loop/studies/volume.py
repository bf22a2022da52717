"""What simulations teach of volumes: errors against their number, and a campaign that begins with a few of them.

OUT/data.h5, test.h5          volumes from a seed, the first ones simulated; others from the stream for tests
OUT/models/WAY-NUMBER/        trained on NUMBER simulated volumes, the rest of the data without simulation
OUT/campaign/                 begins with BASE simulated volumes, and ends with designs
OUT/volume.json, curves.png   all figures
"""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from janus_al import checkpoint, dataset
from janus_al.evaluation import evaluate
from janus_al.files import atomic_path
from janus_al.fitting import TrainingConfig, network_for
from janus_al.networks.janus import Janus, JanusConfig
from janus_al.samples import Samples, concatenate, unlabelled
from loop import CREATED_BY
from loop.campaign.config import CampaignConfig
from loop.campaign.opening import start
from loop.campaign.toml import combined
from loop.design.candidates import probe_targets
from loop.files.lock import locked
from loop.files.outputs import check_folder, claim
from loop.output import pictures
from loop.output.projections import status, write_dataset, write_designs
from loop.output.report import write_report
from loop.simulation.executors import open_executor
from loop.simulation.progress import Progress
from loop.simulation.simulate import Execution
from loop.studies.data import SOLVERS, Data, samples_at
from loop.studies.means import Means
from loop.studies.microstructure import summary
from loop.studies.single import shots_at, tools_of
from loop.studies.trained import trained_at

WAYS = ("sensitivities", "labels")
"""labels: the same training with l_sens = 0"""
AGAIN = 0.25
"""steps of the training after a round, in those of the first"""
SLOWER = 0.6
"""part of the data's median that the campaign's target asks of kzz; x and y ask for more than the median"""


@dataclass(frozen=True)
class Course:
    """What is measured.

    Attributes:
        numbers: of simulated volumes a model is trained on.
        ways: of training, of `WAYS`.
        test: volumes to test on, simulated.
        probes: first shots simulated of each model.
        base: simulated volumes that the campaign begins with.
        refine_steps: simulations after a first shot, at most.
        designs: wanted of the campaign.
        budget: simulations that it may spend beyond those.
    """

    numbers: tuple[int, ...] = (16, 32, 64, 128, 256)
    ways: tuple[str, ...] = WAYS
    test: int = 64
    probes: int = 24
    base: int = 32
    refine_steps: int = 4
    designs: int = 8
    budget: int = 200


def reproduce_volume(
    out: Path, data: Data, course: Course, network: JanusConfig, training: TrainingConfig, means: Means
) -> dict[str, Any]:
    """Measure all of it and write figures as JSON and PNG; what is in `out` already is not made again.

    Raises:
        OutputError: `out` holds a run with other settings, or something else.
        TrainingError: settings that cannot train a network of this size; nothing was made.
    """
    suited = network_for(data.grid, data.material, network, training)
    run = {"command": "reproduce volume", **{n: dataclasses.asdict(o) for n, o in (("data", data), ("course", course))}}
    run |= {"network": dataclasses.asdict(network), "training": dataclasses.asdict(training)}
    check_folder(out, run)
    claim(out, run, [])
    pool = samples_at(out / "data.h5", data, means)
    test = samples_at(out / "test.h5", dataclasses.replace(data, count=course.test, simulated=course.test), means, True)
    report: dict[str, Any] = {**run, "models": []}
    with open_executor("process", means.workers) as executor:
        for number in course.numbers:
            for way in course.ways:
                own = dataclasses.replace(training, l_sens=training.l_sens if way == "sensitivities" else 0.0)
                samples = begun_with(pool, number)
                model, card = trained_at(out / "models" / f"{way}-{number}", samples, suited, own, data.seed, means)
                execution = Execution(executor, SOLVERS[3], cached=True)
                row = judged(model, card, test, course, execution)
                report["models"].append({"way": way, "simulations": number, **row})
                _write(out / "volume.json", report)
        report["campaign"] = _campaign(out, pool, course, suited, training, means)
    _write(out / "volume.json", report)
    pictures.learning(out / "curves.png", report["models"])
    return report


def begun_with(pool: Samples, number: int) -> Samples:
    """The first so many simulated, all others without simulation."""
    rest = pool.image[number:]
    known = pool.take(slice(number))
    return concatenate([known, unlabelled(rest, pool.material)]) if len(rest) else known


def judged(model: Janus, card: checkpoint.Card, test: Samples, course: Course, execution: Execution) -> dict[str, Any]:
    """Errors of a model on the test volumes, and of its first shots by simulation, before and after refinement."""
    found, targets = evaluate(model, test), probe_targets(card.property_range, course.probes)
    shots = shots_at(tools_of(model, card), targets, 0, execution, course.refine_steps)
    spent = [len(c.trials) for c in shots if c.met]
    return {
        "test_error": fmean(p["relative_error_mean"] for p in found["properties"].values()),
        "r2": min(p["r2"] for p in found["properties"].values()),
        "pixel_mae": found["pixel_mae"],
        "wrong_voxels": found["pixels_wrong"],
        "by_head": summary([c.target.error(c.predicted) for c in shots]),
        "first_shot": summary([c.target.error(c.trials[0].properties) for c in shots]),
        "met_after": [sum(n <= steps for n in spent) for steps in range(1, course.refine_steps + 2)],
        "seconds": card.seconds,
    }


def target_of(pool: Samples) -> dict[str, Any]:
    """A joint target that no volume of the data meets: slow along z, fast along x and y."""
    middle = {name: float(np.nanmedian(pool.column(name))) for name in ("kxx", "kyy", "kzz")}
    wanted = {"kxx": 1.1 * middle["kxx"], "kyy": middle["kyy"], "kzz": SLOWER * middle["kzz"]}
    return {name: {"value": float(f"{value:.3g}"), "tolerance": 0.01} for name, value in wanted.items()}


def _campaign(
    out: Path, pool: Samples, course: Course, network: JanusConfig, training: TrainingConfig, means: Means
) -> dict[str, Any]:
    """A campaign from `base` simulations to designs of an anisotropic target."""
    source, folder, begun = out / "begun.h5", out / "campaign", begun_with(pool, course.base)
    if not source.exists():
        dataset.write(source, begun, CREATED_BY)
    sides = {"dim": network.dim, "size": network.size, "phase_conductivity": list(pool.phase_conductivity)}
    table: dict[str, Any] = {
        "name": "volumes",
        "microstructure": sides,
        "dataset": {"source": str(source)},
        "target": [{"name": "anisotropic", "designs": course.designs, **target_of(begun)}],
        "training": dataclasses.asdict(training),
        "network": {k: v for k, v in dataclasses.asdict(network).items() if k not in ("size", "dim", "padding")},
        "budget": {"simulations": course.budget},
        "loop": {"retrain_steps": round(AGAIN * training.steps)},
        "execution": {"solver": SOLVERS[3], "workers": means.workers},
    }
    config = combined(CampaignConfig, Path("the campaign"), [table])
    folder.mkdir(exist_ok=True)
    with locked(folder, "running this campaign"), open_executor("process", means.workers) as executor:
        campaign = start(folder, config)
        campaign.run(executor, means.device, Progress(), lambda: None)
    for write in (write_dataset, write_designs, partial(write_report, umap=False)):
        write(campaign)
    came = {name: value for name, value in status(folder).items() if name not in ("dataset", "report")}
    return {"target": table["target"][0], "status": came}


def _write(path: Path, report: dict[str, Any]) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(report, indent=1))


def rows(models: Sequence[dict[str, Any]]) -> list[list[Any]]:
    """A line for each model."""
    return [
        [
            m["simulations"],
            m["way"],
            *(f"{m[name]:.2%}" for name in ("test_error", "wrong_voxels")),
            *(f"{m[name]['median']:.2%}" for name in ("by_head", "first_shot")),
            " ".join(map(str, m["met_after"])),
            round(m["seconds"]),
        ]
        for m in models
    ]
