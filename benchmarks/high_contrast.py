"""What the head's error costs at contrasts 10, 100 and 1000: against steps and seconds, with media and without.

    OMP_NUM_THREADS=1 python benchmarks/high_contrast.py [--sizes 32,64] [--contrasts 10,100,1000] [--steps 600]
        [--ways plain,media] [--seeds 1] [--out docs/results/high-contrast.json] [--smoke]

4,096 phase-field images, 512 of them simulated, 512 others to test on. Steps of 24 images, 16 of them simulated. A way
changes one thing; `untrained` is a linear fit of log k to what media conduct whose cells are the mean of their pixels'
log conductivities. Rows that the file has already are not run again. Seconds are of CPU, evaluations left out.
"""

import os

os.environ.update({name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")})

import argparse
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import mean
from unittest.mock import patch

import numpy as np
import torch

from janus_al.material import conduction

sys.path.insert(0, str(Path(__file__).parent))
from common.data import kept
from common.header import ROOT, header
from common.rows import resumed

WAYS = {
    "plain": {"media": 0, "l_task": 1.0},
    "plain, balanced": {"media": 0},
    "media": {},
    "media, unbalanced": {"l_task": 1.0},
    "media, l_sens 1": {"l_sens": 1.0},
    "one medium": {"media": 1},
    "four media": {"media": 4},
    "untrained": None,
}
SEED = 40
"""of all images; the tests have a stream of their own"""
CHECKS = 6
"""of the test error, in a training"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="32,64")
    parser.add_argument("--contrasts", default="10,100,1000")
    parser.add_argument("--ways", default="plain;media;untrained", help=f"of {'; '.join(WAYS)}")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--images", type=int, default=4096)
    parser.add_argument("--cache", type=Path, default=ROOT / "campaigns" / "high-contrast", help="where data are kept")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results" / "high-contrast.json")
    parser.add_argument("--smoke", action="store_true", help="seconds instead of hours, in a temporary folder")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(header("torch"))
    with tempfile.TemporaryDirectory() as folder:
        if arguments.smoke:
            vars(arguments).update(cache=Path(folder), out=Path(folder) / "out.json", sizes="16", contrasts="100")
            vars(arguments).update(ways="plain;media;untrained", steps=2, images=64)
        resumed(arguments.out, wanted(arguments), lambda key: measured(arguments, key), line)


def wanted(arguments):
    for size in map(int, arguments.sizes.split(",")):
        for way in arguments.ways.split(";"):
            for contrast in map(float, arguments.contrasts.split(",")):
                for seed in range(arguments.seeds):
                    steps = arguments.steps if WAYS[way] is not None else 0
                    yield {"size": size, "way": way, "contrast": contrast, "steps": steps, "seed": seed}


def measured(arguments, key):
    train, test = (datasets(arguments, key["size"], key["contrast"], name) for name in ("train", "test"))
    if WAYS[key["way"]] is None:
        return {"curve": [{"step": 0, "seconds": 0.0, "test_error": untrained(train, test, key["contrast"])}]}
    return curve(train, test, key, WAYS[key["way"]])


def datasets(arguments, size, contrast, name):
    """Samples of which an eighth were simulated, or an eighth as many others, all simulated."""
    from simulators import generate
    from simulators.structures.drawing import stream_for_tests

    few = arguments.images // 8
    count, stream = (few, stream_for_tests(SEED)) if name == "test" else (arguments.images, SEED)
    path = arguments.cache / f"{name}-{size}-{contrast:g}-{arguments.images}.h5"
    return kept(path, lambda: generate(count, size, stream), conduction((0.1, 0.1 * contrast)), SEED, few)


def curve(train, test, key, change):
    """Test and pixel error at equal distances of one training; and at its end, calibrated."""
    from janus_al import training
    from janus_al.evaluation import evaluate
    from janus_al.fitting import Run, TrainingConfig
    from janus_al.networks.janus import JanusConfig

    steps, size = key["steps"], key["size"]
    net = {name: value for name, value in change.items() if name in JanusConfig.__dataclass_fields__}
    fit = {name: value for name, value in change.items() if name in TrainingConfig.__dataclass_fields__}
    network = JanusConfig(**{"size": size, "stem": 4 if size > 32 else 2, "media": 2, **net})
    config = replace(TrainingConfig(steps=steps, batch=24, simulated=16, cycled=8, l_task=10.0), **fit)
    model = training.build(network, key["seed"])
    found, spent, began = [], 0.0, time.process_time()

    def check(step, _):
        nonlocal spent
        if step % max(1, steps // CHECKS) == 0:
            paused = time.process_time()
            report = evaluate(model, test)
            model.train()
            error = mean(p["relative_error_mean"] for p in report["properties"].values())
            row = {"step": step, "seconds": paused - began - spent, "test_error": error}
            found.append({**row, "pixel_mae": report["pixel_mae"]})
            spent += time.process_time() - paused

    with patch("janus_al.training.build", lambda *_: model):
        training.train(train, network, config, key["seed"], Run(progress=check))
    report = evaluate(model, test)
    error = mean(p["relative_error_mean"] for p in report["properties"].values())
    return {"curve": found, "calibrated_test_error": error}


def untrained(train, test, contrast):
    """Mean relative error of one slope and offset between log k and what the plainest medium conducts."""
    from janus_al.networks.media import conductance

    def seen(samples):
        x = torch.tensor(samples.image).double()[:, None] - 0.5
        mean_log = torch.nn.functional.avg_pool2d(x, samples.image.shape[1] // 16)[:, 0] * np.log(contrast)
        k = mean_log.exp()
        return torch.stack([conductance(a, a, circular=False) for a in (k, k.mT)], dim=1).log().numpy().ravel()

    labelled = train.take(np.flatnonzero(train.simulated))
    slope, offset = np.polyfit(seen(labelled), np.log(labelled.properties[:, :2]).ravel(), 1)
    return float(np.abs(np.exp(slope * seen(test) + offset) / test.properties[:, :2].ravel() - 1).mean())


def line(row):
    name = f"{row['size']}^2, contrast {row['contrast']:g}, {row['way']}, seed {row['seed']}"
    points = [f"{p['test_error']:.2%} after {p['step']} steps, {p['seconds']:.0f} s" for p in row["curve"]]
    if "calibrated_test_error" in row:
        points += [f"{row['calibrated_test_error']:.2%} calibrated", f"pixel MAE {row['curve'][-1]['pixel_mae']:.4f}"]
    return f"{name}: {'; '.join(points)}"


if __name__ == "__main__":
    main()
