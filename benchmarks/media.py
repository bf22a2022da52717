"""What the network's media are worth, over seeds: error on a test set, at first shot, of pixels, in seconds.

    OMP_NUM_THREADS=1 python benchmarks/media.py [--size 32] [--contrasts 10,100,1000] [--steps 1000] [--seeds 3]
        [--out docs/results/media.json] [--table] [--smoke]

512 phase fields, 128 of them simulated, others for each seed; 256 others to test on; 48 values, kxx and kyy in turn, to
invert for. `media` is a training as by default; `plain` is the same without media, its sensitivities weighed as at
contrast 10, as was the default before. Rows that the file has already are not run again; --table prints the page's.
"""

import os

os.environ.update({name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")})

import argparse
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import mean, median

import torch

from janus_al.material import conduction

sys.path.insert(0, str(Path(__file__).parent))
from common.data import kept
from common.header import ROOT
from common.rows import resumed

WAYS = ("plain", "media")
TOLD = ("test_error", "first_shot_median", "first_shot_mean", "within", "pixel_mae", "seconds")
NAMES = ("test error", "first shot, median", "mean", "within 1 %", "pixel MAE", "CPU s")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--contrasts", default="10,100,1000")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--probes", type=int, default=48)
    parser.add_argument("--cache", type=Path, default=ROOT / "campaigns" / "media", help="where data are kept")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results" / "media.json")
    parser.add_argument("--table", action="store_true", help="print the table of what there is, run nothing")
    parser.add_argument("--smoke", action="store_true", help="seconds instead of an hour, in a temporary folder")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        if arguments.smoke:
            vars(arguments).update(cache=Path(folder), out=Path(folder) / "out.json", size=16, contrasts="100")
            vars(arguments).update(steps=2, seeds=1, images=32, probes=2)
        keys = [] if arguments.table else wanted(arguments)
        rows = resumed(arguments.out, keys, lambda key: measured(arguments, key), line)
        print("\n".join(table(rows)))


def wanted(arguments):
    for seed in range(arguments.seeds):
        for contrast in map(float, arguments.contrasts.split(",")):
            for way in WAYS:
                key = {"size": arguments.size, "contrast": contrast, "way": way, "seed": seed}
                yield {**key, "steps": arguments.steps}


def measured(arguments, key):
    from janus_al import training
    from janus_al.defaults import defaults
    from janus_al.evaluation import evaluate
    from janus_al.fitting import TrainingConfig
    from loop.simulation.executors import open_executor
    from loop.studies.single import first_shot_errors

    train, test = (datasets(arguments, key, name) for name in ("train", "test"))
    network, config = defaults(train.image.shape[1:], train.material)
    if key["way"] == "plain":
        network, config = replace(network, media=0), TrainingConfig()
    config = replace(config, steps=key["steps"])
    began = time.process_time()
    model, card = training.train(train, training.suited(train, network, config), config, key["seed"])
    seconds, report = time.process_time() - began, evaluate(model, test)
    with open_executor("process", 1) as executor:
        errors = first_shot_errors(model, card, arguments.probes, key["seed"], executor)
    return {
        "test_error": mean(p["relative_error_mean"] for p in report["properties"].values()),
        "first_shot_median": median(errors),
        "first_shot_mean": mean(errors),
        "within": mean(error <= 0.01 for error in errors),
        "pixel_mae": report["pixel_mae"],
        "seconds": seconds,
    }


def datasets(arguments, key, name):
    """Samples of which a quarter were simulated, or half as many others, all simulated."""
    from simulators import generate
    from simulators.structures.drawing import stream_for_tests

    seed, size, contrast = 50 + key["seed"], key["size"], key["contrast"]
    test = name == "test"
    count = arguments.images // 2 if test else arguments.images
    path = arguments.cache / f"{name}-{size}-{contrast:g}-{count}-{seed}.h5"
    stream, few = stream_for_tests(seed) if test else seed, None if test else arguments.images // 4
    return kept(path, lambda: generate(count, size, stream), conduction((0.1, 0.1 * contrast)), seed, few)


def line(row):
    own = ", ".join(f"{name} {figure(key, row[key])}" for name, key in zip(NAMES, TOLD, strict=True))
    return f"{row['size']}^2, contrast {row['contrast']:g}, {row['way']}, seed {row['seed']}: {own}"


def table(rows):
    """Means over the seeds, the range in brackets, as Markdown."""
    lines = [f"| contrast | way | seeds | {' | '.join(NAMES)} |", "|---" * (3 + len(NAMES)) + "|"]
    for size, contrast, way, steps in dict.fromkeys((r["size"], r["contrast"], r["way"], r["steps"]) for r in rows):
        own = [r for r in rows if (r["size"], r["contrast"], r["way"], r["steps"]) == (size, contrast, way, steps)]
        cells = []
        for key in TOLD:
            found = [r[key] for r in own]
            span = f" ({figure(key, min(found))} to {figure(key, max(found))})" if len(own) > 1 else ""
            cells.append(figure(key, mean(found)) + span)
        name = f"{contrast:g}, {size} x {size}, {steps} steps"
        lines.append(f"| {name} | {way} | {len(own)} | {' | '.join(cells)} |")
    return lines


def figure(key, value):
    if key == "seconds":
        return f"{value:.0f}"
    return f"{value:.0%}" if key == "within" else f"{value:.3f}" if key == "pixel_mae" else f"{value:.2%}"


if __name__ == "__main__":
    main()
