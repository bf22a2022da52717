"""How fast Janus-C trains and inverts: samples per second of the loop with one thing changed, and a swarm's time.

    OMP_NUM_THREADS=1 python benchmarks/training.py [--device cuda] [--size 64] [--model DIR]
        [--out docs/results/training.json] [--smoke]

The time of a step is the difference of a longer and a shorter run, in turns, medians of `--repeats`; of CPU time on a
CPU, of wall time on a GPU. The swarm is of 64 designs, inverted in one batch with the defaults.
"""

import os

os.environ.update({name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")})

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import torch

from janus_al.material import conduction

sys.path.insert(0, str(Path(__file__).parent))
from common.header import ROOT, header

PHASES = (0.1, 1.0)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--steps", type=int, default=12, help="by which the longer run is longer")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--swarm", type=int, default=64)
    parser.add_argument("--model", type=Path, help="whose swarm is timed; a fresh network takes as long")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results" / "training.json")
    parser.add_argument("--smoke", action="store_true", help="seconds instead of minutes, nothing is written")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.smoke:
        vars(arguments).update(size=16, steps=1, repeats=1, swarm=2)
    rows = training(arguments)
    found = {"made": header("torch"), "device": arguments.device, "training": rows, "swarm": swarm(arguments)}
    if not arguments.smoke:
        arguments.out.write_text(json.dumps(found, indent=1))


def clock(device):
    return time.process_time() if device == "cpu" else time.perf_counter()


def variants(network, config, smoke):
    """Name, configuration, and what is done to the fresh network."""
    from loop.studies.microstructure import TRAINING

    def contiguous(model):
        return model.to(memory_format=torch.contiguous_format)

    def compiled(model):
        # The encoder cannot be: compiled functions have no second derivative.
        model.decoder = torch.compile(model.decoder)
        return model

    def same(model):
        return model

    assert config.batch == TRAINING.batch
    found = [
        ("plain: eager, float32", network, config, contiguous),
        ("as it is: and channels-last", network, config, same),
        ("bfloat16", network, replace(config, precision="bfloat16"), same),
        ("without sensitivities", network, replace(config, l_sens=0.0), same),
        ("stem of 2 pixels", replace(network, stem=2), config, same),
        ("Janus-ViT", replace(network, architecture="vit"), config, same),
    ]
    return found if smoke else [*found, ("decoder compiled", network, config, compiled)]


def training(arguments):
    from janus_al.fitting import Run
    from janus_al.samples import concatenate
    from janus_al.training import build, train
    from loop.simulation.executors import open_executor
    from loop.simulation.rows import simulate_samples
    from loop.simulation.simulate import Execution
    from loop.studies.microstructure import NETWORK, TRAINING
    from simulators import generate

    images = generate(2 * TRAINING.batch, arguments.size, 0)
    with open_executor("process", 1) as executor:
        execution = Execution(executor, "direct", cached=True)
        parts = simulate_samples(images, conduction(PHASES), execution, lambda *_: None, origin=b"generated")
    samples = concatenate(parts)
    network = NETWORK.suited_to((arguments.size,) * 2, "dirichlet")
    plan = variants(network, replace(TRAINING, checks=1, validation=0.0), arguments.smoke)

    def seconds(net, config, change, steps):
        model = change(build(net, 0)).to(arguments.device)
        began = clock(arguments.device)
        train(samples, net, replace(config, steps=steps), 0, Run(arguments.device), start=model)
        return clock(arguments.device) - began

    times = {name: [] for name, *_ in plan}
    short = 1 if arguments.smoke else 3
    for _, *what in plan:
        seconds(*what, 1)
    for _ in range(arguments.repeats):
        for name, *what in plan:
            shorter, longer = seconds(*what, short), seconds(*what, short + arguments.steps)
            times[name].append((longer - shorter) / arguments.steps)
    print(f"{header('torch')}, {arguments.device}")
    print(f"\n| {TRAINING.batch} images of {arguments.size} x {arguments.size} a step | ms a step | images a second |")
    print("|---|---|---|")
    rows = []
    for name, found in times.items():
        step = max(median(found), 1e-9)
        rows.append({"name": name, "ms_a_step": 1000 * step, "images_a_second": TRAINING.batch / step})
        print(f"| {name} | {1000 * step:.0f} | {TRAINING.batch / step:.0f} |")
    return rows


def swarm(arguments):
    from janus_al import checkpoint
    from janus_al.inversion import InversionConfig, invert
    from janus_al.training import build
    from loop.studies.microstructure import NETWORK

    if arguments.model is None:
        model = build(NETWORK.suited_to((arguments.size,) * 2, "dirichlet"), 0).to(arguments.device).eval()
    else:
        model, _ = checkpoint.load(arguments.model, arguments.device)
    goals = [{"kxx": (0.29, 0.31)}] * arguments.swarm
    invert(model, goals[:2], (0,))
    times = []
    for _ in range(arguments.repeats):
        began = time.perf_counter()
        invert(model, goals, (0,))
        times.append(time.perf_counter() - began)
    passes = InversionConfig().steps
    print(
        f"\nswarm of {len(goals)}, {passes} passes: {median(times):.1f} s, {median(times) / len(goals):.3f} s a design"
    )
    return {"designs": len(goals), "passes": passes, "seconds": median(times)}


if __name__ == "__main__":
    main()
