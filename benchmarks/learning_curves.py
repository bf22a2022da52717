"""What a simulation teaches: test and first-shot error against the number of simulations, in several ways of training.

    OMP_NUM_THREADS=1 python benchmarks/learning_curves.py [--out docs/results/learning-curves] [--steps 1000]
        [--numbers 32,64,...,8192] [--seeds 3] [--ways ...] [--table] [--smoke]

A pool of 8,192 phase-field images of 32 x 32 pixels at contrast 10 is made and simulated from a seed. A run draws its
simulated images from the pool, by seed, and trains for the same number of steps with the same batches, whatever it was
given. The ways:

    sensitivities            the other images of the pool stay without simulation and train the label-free terms
    labels                   the same without sensitivities, the paper's loss
    sensitivities-alone      no other images
    labels-alone             the paper's way
    decodes                  128 images as in `sensitivities`; all further simulations are of its own inversions, in
                             rounds that double their number, each followed by a training from fresh weights

Every model is judged on the same 512 other images, and by its first shots at the same 48 targets, kxx and kyy across
the pool's 5th to 95th percentile: inverted, cut at 0.5, simulated, nothing corrected. Runs are appended to
OUT.jsonl as they finish; those already there are not repeated. `--table` only prints the tables and draws the figure.
"""

import os

os.environ.update({name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")})

import argparse
import dataclasses
import json
import sys
import time
from pathlib import Path
from statistics import mean, median, stdev

import numpy as np
import torch

from janus_al.material import conduction

sys.path.insert(0, str(Path(__file__).parent))
from common.data import kept
from common.header import ROOT, header

PHASES = (0.1, 1.0)
WAYS = ("sensitivities", "labels", "sensitivities-alone", "labels-alone", "decodes")
BASE = 128


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results" / "learning-curves")
    parser.add_argument("--cache", type=Path, default=ROOT / "campaigns" / "learning-curves")
    parser.add_argument("--numbers", default="32,64,128,256,512,1024,2048,4096,8192", help="of simulations")
    parser.add_argument("--pool", type=int, default=8192)
    parser.add_argument("--test", type=int, default=512)
    parser.add_argument("--probes", type=int, default=48)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--table", action="store_true", help="print what there is, run nothing")
    parser.add_argument("--smoke", action="store_true", help="seconds instead of hours, in a temporary folder")
    arguments = parser.parse_args()
    if arguments.smoke:
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            vars(arguments).update(out=Path(folder) / "curves", cache=Path(folder), numbers="8,16", pool=16)
            vars(arguments).update(test=8, probes=2, seeds=1, steps=4)
            run(arguments)
            show(arguments)
        return
    if not arguments.table:
        run(arguments)
    show(arguments)


def run(arguments):
    torch.set_num_threads(1)
    pool = simulated(arguments.cache / f"pool-{arguments.pool}.h5", arguments.pool, 100)
    test = simulated(arguments.cache / f"test-{arguments.test}.h5", arguments.test, 101)
    log = arguments.out.with_suffix(".jsonl")
    log.parent.mkdir(parents=True, exist_ok=True)
    numbers = [int(n) for n in arguments.numbers.split(",")]
    for seed in range(arguments.seeds):
        for way in arguments.ways.split(","):
            for number in numbers:
                # With every image simulated there are no others.
                if (way.endswith("-alone") and number == len(pool)) or way == "decodes":
                    continue
                key = {"way": way, "simulations": number, "seed": seed, "steps": arguments.steps, "pool": len(pool)}
                if not done(log, key):
                    chosen = np.random.default_rng([seed, 7]).permutation(len(pool))
                    finish(log, key, samples_for(pool, chosen, number, way), pool, test, arguments)
        if "decodes" in arguments.ways:
            rounds(log, seed, numbers, pool, test, arguments)


def simulated(path, count, seed):
    """A dataset made from a seed, once."""
    from simulators import generate

    return kept(path, lambda: generate(count, 32, seed), conduction(PHASES), seed)


def samples_for(pool, chosen, number, way):
    from janus_al.samples import concatenate, unlabelled

    parts = [pool.take(np.sort(chosen[:number]))]
    if not way.endswith("-alone") and number < len(pool):
        parts.append(unlabelled(pool.image[np.sort(chosen[number:])], conduction(PHASES)))
    return concatenate(parts)


def settings(way, steps):
    from janus_al.fitting import TrainingConfig

    weight = 0.0 if way.startswith("labels") else TrainingConfig().l_sens
    return TrainingConfig(steps=steps, batch=32, simulated=16, cycled=8, l_sens=weight, checks=10)


def finish(log, key, samples, pool, test, arguments):
    """Train, judge, write one line; returns the model, its card and its shots."""
    from janus_al.evaluation import evaluate
    from janus_al.networks.janus import JanusConfig
    from janus_al.training import property_range, train
    from loop.design.candidates import probe_targets
    from loop.simulation.executors import open_executor
    from loop.simulation.simulate import Execution
    from loop.studies.single import shots_at, tools_of

    began = time.process_time()
    model, card = train(samples, JanusConfig(stem=4), settings(key["way"], key["steps"]), key["seed"])
    seconds = time.process_time() - began
    report = evaluate(model, test)
    card = dataclasses.replace(card, property_range=property_range(pool, model.config.properties))
    targets = probe_targets(card.property_range, arguments.probes)
    with open_executor("process", 1) as executor:
        shots = shots_at(tools_of(model, card), targets, key["seed"], Execution(executor, "direct", cached=True))
    errors = [c.target.error(c.trials[0].properties) for c in shots]
    row = {
        **key,
        "test_error": mean(p["relative_error_mean"] for p in report["properties"].values()),
        "r2": min(p["r2"] for p in report["properties"].values()),
        "pixel_mae": report["pixel_mae"],
        "shot_median": median(errors),
        "shot_mean": mean(errors),
        "head_median": median(c.target.error(c.predicted) for c in shots),
        "cpu_seconds": round(seconds, 1),
        "made": header("torch"),
    }
    with log.open("a") as file:
        file.write(json.dumps(row) + "\n")
    print(f"{ {k: v for k, v in row.items() if k != 'made'} }", file=sys.stderr, flush=True)
    return model, card


def rounds(log, seed, numbers, pool, test, arguments):
    """Double the simulations by inversions of the last model, up to 1,024 or the largest number."""
    from janus_al.samples import concatenate, unlabelled
    from loop.design.candidates import probe_targets
    from loop.simulation.executors import open_executor
    from loop.simulation.rows import to_samples
    from loop.simulation.simulate import Execution, simulate
    from loop.studies.single import shots_at, tools_of

    base = min(BASE, min(numbers) if arguments.smoke else BASE)
    last = min(8 * base, max(numbers))
    wanted = []
    while not wanted or wanted[-1] < last:
        wanted.append(2 * wanted[-1] if wanted else base)
    keys = [
        {"way": "decodes", "simulations": n, "seed": seed, "steps": arguments.steps, "pool": len(pool)} for n in wanted
    ]
    if all(done(log, key) for key in keys):
        return
    chosen = np.random.default_rng([seed, 7]).permutation(len(pool))
    labelled = pool.take(np.sort(chosen[:base]))
    others = unlabelled(pool.image[np.sort(chosen[base:])], conduction(PHASES))
    for key in keys:
        # A round begun again starts from the first, as its images hang on every model before.
        model, card = finish(log, key, concatenate([labelled, others]), pool, test, arguments)
        if key is keys[-1]:
            return
        with open_executor("process", 1) as executor:
            targets = probe_targets(card.property_range, len(labelled))
            shots = shots_at(tools_of(model, card), targets, 1000 + seed, Execution(executor, "direct", cached=True))
            images = [c.image for c in shots]
            more = to_samples(
                images, list(simulate(images, conduction(PHASES), Execution(executor, "direct"))), conduction(PHASES)
            )
        labelled = concatenate([labelled, more])


def done(log, key):
    rows = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    return any(all(row[k] == v for k, v in key.items()) for row in rows)


def show(arguments):
    """Print a table for each figure of merit, mean and standard deviation over the seeds, and draw two of them."""
    rows = [json.loads(line) for line in arguments.out.with_suffix(".jsonl").read_text().splitlines()]
    rows = [r for r in rows if r["steps"] == arguments.steps]
    # Of a run that was repeated the last counts.
    rows = list({(r["way"], r["simulations"], r["seed"]): r for r in rows}.values())
    ways = [way for way in WAYS if any(r["way"] == way for r in rows)]
    numbers = sorted({r["simulations"] for r in rows})
    print(sorted({r["made"] for r in rows})[-1])
    names = {
        "test_error": "Mean relative error of the head on test images, kxx and kyy",
        "shot_median": "First-shot error by simulation, median",
        "shot_mean": "First-shot error by simulation, mean",
        "head_median": "The same shots' error by the head's own opinion, median",
        "pixel_mae": "Pixel MAE on test images",
    }
    for figure, name in names.items():
        percent = figure != "pixel_mae"
        print(f"\n{name}\n\n| simulations | {' | '.join(ways)} |\n|{'---|' * (len(ways) + 1)}")
        for number in numbers:
            cells = []
            for way in ways:
                values = [r[figure] for r in rows if (r["way"], r["simulations"]) == (way, number)]
                spread = f" ± {text(stdev(values), percent)}" if len(values) > 1 else ""
                cells.append(f"{text(mean(values), percent)}{spread} ({len(values)})" if values else "")
            print(f"| {number} | {' | '.join(cells)} |")
    draw(arguments.out.with_suffix(".png"), rows, ways)


def text(value, percent):
    return f"{100 * value:.2f} %" if percent else f"{value:.4f}"


def draw(path, rows, ways):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True)
    for axis, (name, title) in zip(
        axes,
        (("test_error", "error on test images"), ("shot_median", "first-shot error by simulation")),
        strict=True,
    ):
        for way in ways:
            numbers = sorted({r["simulations"] for r in rows if r["way"] == way})
            values = [[100 * r[name] for r in rows if (r["way"], r["simulations"]) == (way, n)] for n in numbers]
            style = "--" if way.endswith("-alone") else "-"
            axis.errorbar(
                numbers,
                [mean(v) for v in values],
                [stdev(v) if len(v) > 1 else 0 for v in values],
                fmt="o" + style,
                markersize=4,
                capsize=3,
                label=way,
            )
        axis.set(xscale="log", yscale="log", xlabel="simulations", title=title)
        axis.set_xticks(sorted({r["simulations"] for r in rows}), sorted({r["simulations"] for r in rows}))
        axis.set_yticks([1, 2, 5, 10, 20], ["1 %", "2 %", "5 %", "10 %", "20 %"])
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main()
