"""Trainings of 64 x 64 at full size, contrasts 10, 100 and 1000 side by side: test error against steps and seconds.

    python benchmarks/full_size.py [--device cuda] [--steps 5000] [--only c10 ...] [--out FILE.json] [--smoke]

Each from 4,096 phase-field images of which 512 are simulated, tested on 512 others: the data of `janus-al reproduce
microstructure --count 4096 --simulated 512`. Steps of 96 images, 64 of them simulated. One process a training, all at
once on the one device; models are kept in --cache, and rows are written as they come.
"""

import os

os.environ.update({name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")})

import argparse
import json
import sys
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path
from statistics import mean
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).parent))
from common.header import ROOT, header

RUNS = {
    "c10": (10, {}, {"l_sens": 10.0}),
    "c100": (100, {}, {"l_sens": 1.0}),
    "c1000": (1000, {}, {"l_sens": 1.0}),
    "c1000, four media": (1000, {"media": 4, "channels": 24}, {"l_sens": 0.2}),
}
"""contrast, and what its network and its training have beside `NETWORK` and `TRAINING`"""
NETWORK = {"size": 64, "stem": 4, "channels": 16, "media": 2}
TRAINING = {"batch": 96, "simulated": 64, "cycled": 32, "l_task": 10.0, "l_cyc": 1.0, "checks": 15, "validation": 0.03}
CHECKS = 8
"""of the test error, in a training"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--images", type=int, default=4096)
    parser.add_argument("--only", nargs="*", default=list(RUNS), help=f"of {', '.join(RUNS)}")
    parser.add_argument("--cache", type=Path, default=ROOT / "campaigns" / "full-size", help="for data and models")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results" / "full-size.json")
    parser.add_argument("--smoke", action="store_true", help="two steps, in a temporary folder")
    arguments = parser.parse_args()
    print(header("torch"))
    with tempfile.TemporaryDirectory() as folder:
        if arguments.smoke:
            vars(arguments).update(cache=Path(folder), out=Path(folder) / "out.json", steps=8, images=64, only=["c10"])
        for name in arguments.only:
            data(arguments, name)
        context = get_context("spawn")
        running = [context.Process(target=train, args=(arguments, name)) for name in arguments.only]
        for process in running:
            process.start()
        for process in running:
            process.join()
        rows = [json.loads(path.read_text()) for path in sorted(arguments.cache.glob("*/curve.json"))]
        arguments.out.write_text(json.dumps(rows, indent=1) + "\n")
        print("\n".join(map(line, rows)))
        if any(process.exitcode for process in running):
            sys.exit(1)


def data(arguments, name, test=False):
    """Samples of a run; made once for all runs of its contrast."""
    from loop.simulation.progress import Progress
    from loop.studies.data import Data, samples_at
    from loop.studies.means import Means

    contrast, count = RUNS[name][0], arguments.images
    about = Data(count // 8 if test else count, count // 8, 64, 0, (0.1, 0.1 * contrast))
    arguments.cache.mkdir(parents=True, exist_ok=True)
    path = arguments.cache / f"{'test' if test else 'train'}-{contrast}.h5"
    return samples_at(path, about, Means("cpu", 1, Progress()), test=test)


def train(arguments, name):
    """One training, in a process of its own; a row after each eighth of its steps."""
    import torch

    from janus_al import checkpoint, training
    from janus_al.evaluation import evaluate
    from janus_al.fitting import Run, TrainingConfig
    from janus_al.networks.janus import JanusConfig

    torch.set_num_threads(1)
    samples, test = data(arguments, name), data(arguments, name, test=True)
    _, net, fit = RUNS[name]
    config = TrainingConfig(**{**TRAINING, **fit, "steps": arguments.steps})
    model = training.build(training.suited(samples, JanusConfig(**{**NETWORK, **net}), config), 0)
    folder, curve, began = arguments.cache / name.replace(", ", "-").replace(" ", "-"), [], time.perf_counter()
    folder.mkdir(exist_ok=True)
    where = torch.cuda.get_device_name() if arguments.device == "cuda" else arguments.device
    about = {"run": name, "network": {**NETWORK, **net}, "training": {**TRAINING, **fit, "steps": arguments.steps}}
    about |= {"made": header("torch"), "device": where, "curve": curve}

    def judged(step):
        report = evaluate(model, test)
        error = mean(p["relative_error_mean"] for p in report["properties"].values())
        seconds = round(time.perf_counter() - began, 1)
        curve.append({"step": step, "seconds": seconds, "test_error": error, "pixel_mae": report["pixel_mae"]})
        (folder / "curve.json").write_text(json.dumps(about, indent=1))

    def progress(step, steps):
        if step % max(1, steps // CHECKS) == 0 and step < steps:
            judged(step)
            model.train()

    run = Run(arguments.device, folder / "state.pt", progress)
    with patch("janus_al.training.build", lambda *_: model):
        _, card = training.train(samples, model.config, config, 0, run)
    judged(config.steps)
    checkpoint.save(folder / "model", model, card)


def line(row):
    points = [f"{p['test_error']:.2%} after {p['step']} steps, {p['seconds']:.0f} s" for p in row["curve"]]
    return f"{row['run']}, {row['device']}: {'; '.join(points)}; pixel MAE {row['curve'][-1]['pixel_mae']:.4f}"


if __name__ == "__main__":
    main()
