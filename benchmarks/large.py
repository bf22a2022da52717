"""How designs of 256 x 256 pixels are best made: what each way costs, and what simulation says of what it makes.

    OMP_NUM_THREADS=1 python benchmarks/large.py [--seconds 60] [--seed 0] [--cache DIR] [--out docs/results] [--smoke]

Six designs of kxx = 0.30 +- 1 % at contrast 10, each way from what it names to designs that the program's own
refinement and certified intervals have confirmed, at most 8 simulations each after the first. A network is trained on
60 phase fields, 24 of them simulated, for 60 CPU seconds. Realistic are designs that are like their class by
`loop.design.likeness`, distinct those that differ in 5 % of their pixels at the best symmetric copy. CPU seconds are of
one thread, each way in a process of its own. Every finished way is kept in the cache, and not measured again. Data are
drawn and simulated once, which is not counted; what an image takes is told below. A busy machine takes longer.
Writes large.json and large.md.
"""

import os

os.environ.update({name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")})

import argparse
import json
import math
import resource
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from common.data import kept
from common.header import header

ROOT = Path(__file__).resolve().parents[1]
PHASES, VALUE, OVERLAP = (0.1, 1.0), 0.30, 16
NETWORKS = {
    "every pixel, stem 2": {"coarsen": 1},
    "every pixel, stem 4": {"coarsen": 1, "stem": 4},
    "coarsened, stem 2 (default)": {},
    "coarsened, stem 4": {"stem": 4},
    "coarsened by 8, stem 2": {"coarsen": 8},
}
"""of which a step is timed"""
TRAINED = "coarsened, stem 4, trained"
READY = ("small model, decodes enlarged", "small model, coarsened")
TILES = ("tiles of the small model, side by side", "tiles of the small model, blended")
SOLVERS = ("fipy", "direct", "batched")


SEAMS = """A network of every pixel was not trained: its steps, below, are what it takes. Likeness counts pairs and
paths of pixels and does not see the seams of tiles that lie side by side, at which the pattern breaks off for everyone
to see; tiles that overlap by 16 pixels, their log odds added with weights that fall towards the edges, show none. Tiles
are no command yet: for a class of many more features than 64 latent numbers can tell they are what was found here."""
HOW = """## How

    janus-al invert data/janus-64 --size 256 --target kxx=0.30 --count 6

takes a model as it is, and so does a campaign with these lines, whose `size` is a whole multiple of the model's:

    [microstructure]
    size = 256
    phase_conductivity = [0.1, 1.0]

    [network]
    start = "data/janus-64"

Without a model the same campaign, with a `[dataset]`, trains a network that sees its images coarsened: blocks of as
many pixels as leave 64 a side, or of `[network] coarsen`."""


def material():
    from janus_al.material import conduction

    return conduction(PHASES)


def images_of(arguments, fine=False):
    """Phase fields of the default class, or of features a quarter as long."""
    from simulators import PhaseField, generate

    config = None
    if fine:
        config = PhaseField(gradient_energy=(0.8 / 16, 2.0 / 16), time=(40 / 16, 250 / 16), time_step=1 / 16)
    return generate(arguments.images, arguments.side, arguments.seed, config)


def known(arguments, fine):
    """Images of a class and what is like them, made once."""
    from loop.design.likeness import Likeness

    path = arguments.cache / f"{'fine' if fine else 'default'}.npz"
    if not path.exists():
        began = time.process_time()
        images = images_of(arguments, fine)
        drawn = time.process_time() - began
        np.savez(path, images=images, seconds=drawn)
    images = np.load(path)["images"]
    return images, Likeness.of(images, "dirichlet")


def data(arguments):
    path = arguments.cache / "data.h5"
    return kept(path, lambda: known(arguments, False)[0], material(), arguments.seed, arguments.simulated)


def timed(arguments, name):
    """CPU seconds of a training step, without what the first takes, and memory."""
    from janus_al.fitting import TrainingConfig
    from janus_al.networks.janus import JanusConfig, count_weights
    from janus_al.training import suited, train

    samples, ends = data(arguments), list[float]()
    config = TrainingConfig(steps=arguments.timed + 1, checks=1, validation=0.0)
    network = suited(samples, JanusConfig(**NETWORKS[name]), config)
    tell = type("Told", (), {"state": None, "device": "cpu", "progress": lambda *_: ends.append(time.process_time())})
    train(samples, network, config, run=tell)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    step = (ends[-1] - ends[0]) / (len(ends) - 1)
    return {"step": step, "megabytes": memory, "weights": count_weights(network)}


def trained(arguments):
    """A network trained for as many CPU seconds as asked, and what was found of it."""
    from janus_al.fitting import TrainingConfig
    from janus_al.networks.janus import JanusConfig
    from janus_al.training import suited, train

    samples, network = data(arguments), JanusConfig(stem=4)
    step = kept_part(arguments, "coarsened, stem 4", sys.argv[1:])["step"]
    config = TrainingConfig(steps=max(2, round(arguments.seconds / step)), checks=5)
    began = time.process_time()
    model, card = train(samples, suited(samples, network, config), config, arguments.seed)
    return model, card, {"steps": config.steps, "training": time.process_time() - began}


def proposed(arguments, model, card, target):
    """What the program would simulate first."""
    from loop.design.acquisition import nearest
    from loop.design.candidates import propose
    from loop.design.generators.janus import JanusGenerator
    from loop.design.pool import Known
    from loop.design.select import Rules
    from loop.simulation.simulate import limits_of
    from loop.studies.single import MIN_DISTANCE, tools_of

    rules = Rules(limits_of(card.material), card.boundary, MIN_DISTANCE, nearest)
    generator = JanusGenerator(tools_of(model, card, 1))
    return propose(generator, [(target, target.designs)], Known(), rules, (arguments.seed, 0))[0]


def drawn(arguments, small, count):
    """Log odds of as many decodes of the small model for the value, (count, side, side)."""
    from janus_al.inversion import InversionConfig, invert

    goals, quick = [{"kxx": (0.999 * VALUE, 1.001 * VALUE)}] * count, InversionConfig(method="lbfgs", steps=20)
    grey = np.clip(invert(small, goals, arguments.seed, quick).field.astype(float), 1e-6, 1 - 1e-6)
    return np.log(grey / (1 - grey))


def assembled(tiles, side, overlap):
    """One image of tiles that overlap, by weights that fall to nothing at their edges and keep the odds' spread."""
    own = tiles.shape[-1]
    steps = range(0, side - own + 1, own - overlap)
    ramp = np.clip((np.minimum(np.arange(own), np.arange(own)[::-1]) + 0.5) / max(overlap, 0.5), 0, 1)
    weight = np.sin(ramp * np.pi / 2)[:, None] * np.sin(ramp * np.pi / 2)
    total, square = np.zeros((side, side)), np.zeros((side, side))
    for tile, (y, x) in zip(tiles, [(y, x) for y in steps for x in steps], strict=True):
        total[y : y + own, x : x + own] += weight * tile
        square[y : y + own, x : x + own] += weight**2
    return total / np.sqrt(square)


def fields(arguments, way, target):
    """Candidates of a way, and the CPU seconds of its parts."""
    import janus_al
    from loop.design.candidates import Candidate

    began, parts = time.process_time(), {"steps": 0, "training": 0.0}
    if way == TRAINED:
        model, card, parts = trained(arguments)
        began = time.process_time()
        return proposed(arguments, model, card, target), {**parts, "inversion": time.process_time() - began}
    small, card = janus_al.load(ROOT / "data" / "janus-64")
    if way == READY[1]:
        found = proposed(arguments, small.enlarged((arguments.side,) * 2), card, target)
        return found, {**parts, "inversion": time.process_time() - began}
    count, overlap = target.designs, OVERLAP if way == TILES[1] else 0
    if way == READY[0]:
        import scipy.ndimage

        times = arguments.side // small.config.size
        odds = [
            scipy.ndimage.zoom(one, times, order=3, mode="nearest", grid_mode=True)
            for one in drawn(arguments, small, count)
        ]
    else:
        across = (arguments.side - small.config.size) // (small.config.size - overlap) + 1
        tiles = drawn(arguments, small, count * across**2).reshape(count, across**2, *small.config.grid)
        odds = [assembled(own, arguments.side, overlap) for own in tiles]
    grey = [(1 / (1 + np.exp(-one))).astype(np.float32) for one in odds]
    return [Candidate(target, False, one, {}) for one in grey], {**parts, "inversion": time.process_time() - began}


def measure(arguments, way):
    """A way from its beginning to confirmed designs."""
    from loop.design.refine import Refinement, refine
    from loop.design.targets import Target, interval
    from loop.simulation.verify import Check
    from loop.studies.arena.score import counted, judge
    from loop.studies.single import decide
    from simulators import Conductivity, run

    target = Target("t", {"kxx": interval("kxx", VALUE, tolerance=0.01)}, arguments.designs)
    candidates, seconds = fields(arguments, way, target)
    physics, began = Conductivity("dirichlet", PHASES, "direct"), time.process_time()
    refine(candidates, lambda images: run(physics, images), Refinement(material(), arguments.refine_steps))
    seconds["simulation"] = time.process_time() - began
    began, met = time.process_time(), [c for c in candidates if c.met]
    with ThreadPoolExecutor(1) as executor:
        decide(met, Check(material(), "direct", certify=True), executor)
    seconds["verification"] = time.process_time() - began
    confirmed = [c for c in met if c.verdict == "confirmed"]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    judged = judge([("t", c.image) for c in confirmed], *known(arguments, way in TILES))
    np.save(arguments.cache / f"{slug(way)}.npy", np.array([c.image for c in candidates]))
    return {
        "candidates": len(candidates),
        "first_shot_error": float(np.median([c.error for c in candidates])),
        "simulations": sum(len(c.trials) for c in candidates),
        "confirmed": len(confirmed),
        "novel": sum(j.novel for j in judged),
        "realistic": sum(j.realistic for j in judged),
        "counted": sum(counted(judged, 0.05)),
        "seconds": seconds,
        "megabytes": memory,
    }


def solve(arguments, solver):
    """One solve of one image, and the refinement of its interval by 512 x 512 cells."""
    from simulators import SOLVERS as BACKENDS
    from simulators import Conductivity, certify

    image = images_of(argparse.Namespace(**{**vars(arguments), "images": 1}))[0]
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    Conductivity("dirichlet", PHASES, solver)(image)
    found = {"seconds": time.process_time() - began}
    found["megabytes"] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**10
    began = time.process_time()
    certificate = certify(image, PHASES, BACKENDS[solver]("dirichlet"), 1e-9)
    return found | {
        "certified_seconds": time.process_time() - began,
        "half_width": certificate.half_width,
        "refinement": certificate.refinement,
        "certified_megabytes": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**10,
    }


def slug(way):
    return "".join(c if c.isalnum() else "-" for c in way)


def kept_part(arguments, name, words):
    """What a process of its own finds, from the cache if it is there."""
    path = arguments.cache / f"{slug(name)}.json"
    if not path.exists():
        subprocess.run([sys.executable, __file__, *words, "--part", name], check=True)
        print(f"{name}: done", file=sys.stderr, flush=True)
    return json.loads(path.read_text())


def page(found):
    """The tables, from what is in the JSON."""
    about, side = found["about"], found["about"]["side"]
    lines = [f"# Designs of {side} x {side} pixels", "", "    OMP_NUM_THREADS=1 python benchmarks/large.py", ""]
    lines += [
        found["header"],
        "",
        __doc__.split("\n\n")[2].strip().removesuffix("\nWrites large.json and large.md."),
        "",
    ]
    lines += [
        "| way | class | steps | CPU s: training | inversion | simulation | verification | all | first-shot error |"
    ]
    lines[-1] += " simulations | confirmed | novel | realistic | all of it, distinct | MB |"
    lines += ["|---" * 15 + "|"]
    for way, one in found["ways"].items():
        parts = [one["seconds"][name] for name in ("training", "inversion", "simulation", "verification")]
        cells = [way, "fine" if way in TILES else "default", one["seconds"]["steps"] or "none"]
        cells += [f"{s:.0f}" for s in (*parts, math.fsum(parts))]
        cells += [f"{one['first_shot_error']:.1%}", one["simulations"], f"{one['confirmed']} of {about['designs']}"]
        cells += [one["novel"], one["realistic"], one["counted"], f"{one['megabytes']:.0f}"]
        lines += ["| " + " | ".join(map(str, cells)) + " |"]
    lines += ["", "The small model is the shipped `data/janus-64`, which was not trained for this. The fine class has"]
    lines += ["features a quarter as long, those of the small model's own images put side by side; the default class"]
    lines += ["has as many features at every size.", ""]
    lines += [SEAMS, ""]
    lines += ["## A step of training", "", "48 images, 16 of them with sensitivities.", ""]
    lines += ["| network | weights | CPU s | 1,500 steps, CPU minutes | MB |", "|---" * 5 + "|"]
    for name, one in found["networks"].items():
        cells = [name, f"{one['weights']:,}", f"{one['step']:.2f}", f"{25 * one['step']:.0f}"]
        lines += ["| " + " | ".join([*cells, f"{one['megabytes']:.0f}"]) + " |"]
    lines += ["", f"## One image of {side} x {side}", ""]
    lines += [f"A phase field takes {found['drawing']:.2f} CPU s to draw. Solved are both axes, with bounds and"]
    lines += ["sensitivities; then refined as far as the program does.", ""]
    lines += ["| solver | CPU s | MB | refined: CPU s | MB | certified half-width |", "|---" * 6 + "|"]
    for solver, one in found["solvers"].items():
        cells = [f"`{solver}`", f"{one['seconds']:.2f}", f"{one['megabytes']:.0f}", f"{one['certified_seconds']:.1f}"]
        cells += [f"{one['certified_megabytes']:.0f}", f"{one['half_width']:.2%} at {one['refinement']}x"]
        lines += ["| " + " | ".join(cells) + " |"]
    return "\n".join([*lines, "", HOW]) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--simulated", type=int, default=24)
    parser.add_argument("--seconds", type=float, default=60.0, help="CPU seconds of a training")
    parser.add_argument("--designs", type=int, default=6)
    parser.add_argument("--timed", type=int, default=3, help="steps of training that are timed, after one")
    parser.add_argument("--refine-steps", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, default=ROOT / "build" / "large")
    parser.add_argument("--out", type=Path, help="folder of the page and its JSON")
    parser.add_argument("--smoke", action="store_true", help="a minute instead of many")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.smoke:
        few = {"side": 128, "images": 6, "simulated": 4, "seconds": 1.0, "designs": 1, "refine_steps": 1, "timed": 1}
        arguments = argparse.Namespace(**{**vars(arguments), **few, "cache": arguments.cache / "smoke"})
    arguments.cache.mkdir(parents=True, exist_ok=True)
    if arguments.part is not None:
        part = solve if arguments.part in SOLVERS else timed if arguments.part in NETWORKS else measure
        found = part(arguments, arguments.part)
        (arguments.cache / f"{slug(arguments.part)}.json").write_text(json.dumps(found))
        return
    words = sys.argv[1:]
    steps = {name: kept_part(arguments, name, words) for name in reversed(NETWORKS)}
    ways = {name: kept_part(arguments, name, words) for name in (*reversed(READY), TRAINED, *TILES)}
    solvers = {name: kept_part(arguments, name, words) for name in SOLVERS}
    about = {name: getattr(arguments, name) for name in ("side", "images", "simulated", "seconds", "designs", "seed")}
    line = header("numpy", "scipy", "torch") + f"; seed {arguments.seed}."
    drawn = float(np.load(arguments.cache / "default.npz")["seconds"]) / arguments.images
    found = {"header": line, "about": about, "drawing": drawn, "solvers": solvers, "ways": ways, "networks": steps}
    print(page(found))
    if arguments.out is not None:
        (arguments.out / "large.json").write_text(json.dumps(found, indent=1) + "\n")
        (arguments.out / "large.md").write_text(page(found))


if __name__ == "__main__":
    main()
