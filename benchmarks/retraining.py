"""How a model learns from a campaign's rounds: the same first model and the same shards, several ways of retraining.

    OMP_NUM_THREADS=1 python benchmarks/retraining.py [--seeds 5] [--ways "kept;..."] [--rounds 8] [--contrast 10]
        [--size 32] [--simulated 128] [--plain] [--set SECTION.KEY=VALUE] [--out docs/results/retraining.json]
        [--cache campaigns/retraining] [--table] [--smoke]

Network and training are those that planes have by default; `--plain`: half of them, without media, for which --out is
docs/results/retraining-plain.json; at contrast 100 it is docs/results/retraining-contrast100.json. 2,000 images of 32
x 32 pixels, of which 128 were simulated (or as --size and --simulated say), and a model trained on them. Each round
brings 24 simulated first shots at kxx and kyy wanted together, of ratio 1 to 3 within the joint bounds of the plane;
who proposes them is the model of the way `REFERENCE`, so that every way gets the same shards. Judged on 512 other
images, and by the first shots at 60 pairs that no round asked for, four latent vectors each. What is done is kept and
not repeated; `--table` prints what is done.
"""

import os

os.environ.update({name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")})

import argparse
import dataclasses
import json
import sys
import tempfile
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path
from statistics import mean, stdev
from unittest.mock import patch

import numpy as np
import torch

from janus_al import checkpoint, dataset
from janus_al.defaults import defaults
from janus_al.fitting import Fit, TrainingConfig
from janus_al.material import conduction
from janus_al.networks.janus import JanusConfig
from janus_al.training import build, calibrate, suited, train

sys.path.insert(0, str(Path(__file__).parent))
from common.header import ROOT, header
from common.rounds import MIDDLE, extremes, figures, first_shots, pairs, phases, shots, simulated

REFERENCE = "averaged, replay"
SHOTS = ("shot_median", "shot_mean", "hits")


@dataclasses.dataclass(frozen=True)
class Way:
    """A way of retraining: what it starts from, and how it goes on."""

    shrink: float | None = 1.0
    """what old weights are multiplied by; None: new weights"""
    perturb: float = 0.0
    """what new random weights are multiplied by and added"""
    rate: float = 1e-3
    steps: float = 400 / 1500
    """of those of the first training"""
    replay: float = 0.0
    average: int = 0
    """of `TrainingConfig`"""
    weights: tuple[float, ...] = ()
    """l_task, l_rec, l_deep and l_sens of the trainings after rounds; as the first one's"""
    level: bool = False
    """a level rate that decays over the last fifth of a round, with the optimiser's state kept"""
    calibrate: bool = True
    """fit the head's scale at the end of every training, the first one's, too"""
    shown: bool = True
    """what rounds bring; otherwise it goes on with its first samples"""
    guarded: bool = False
    """a campaign's guard is asked, without a test set, and the old model stays where it refuses the new one"""
    only: tuple[int, ...] = ()
    """rounds after which it is trained; all"""
    memories: int | None = None
    """begins with `data/janus-32` and no samples, but so many of its own decodes with its own opinion of them"""


WAYS = {
    "shrunk, not calibrated": Way(shrink=0.9, perturb=0.05, rate=3e-3, calibrate=False),
    "shrunk": Way(shrink=0.9, perturb=0.05, rate=3e-3),
    "kept, not calibrated": Way(calibrate=False),
    "kept": Way(),
    "kept, rate 3e-3": Way(rate=3e-3),
    "kept, rate 3e-4": Way(rate=3e-4),
    "kept, replay": Way(replay=0.5),
    "kept, nothing new": Way(shown=False),
    "averaged, replay, guarded": Way(rate=3e-3, replay=0.5, average=50, guarded=True),
    "kept, rate 3e-3, replay": Way(rate=3e-3, replay=0.5),
    "averaged, replay": Way(rate=3e-3, replay=0.5, average=50),
    "averaged, nothing new": Way(rate=3e-3, average=50, shown=False),
    "averaged, replay, lighter": Way(rate=3e-3, replay=0.5, average=50, weights=(10.0, 20.0, 0.1, 1.0)),
    "level, replay": Way(replay=0.5, level=True),
    "scratch, replay": Way(shrink=None, rate=3e-3, steps=1.0, replay=0.5, only=(8,)),
    "scratch, all steps": Way(shrink=None, rate=3e-3, steps=1 + 8 * 400 / 1500, replay=0.5, only=(8,)),
    "shipped, alone": Way(memories=0),
    "shipped, remembering": Way(memories=1000, replay=0.5),
    "shipped, remembering, replay 0.2": Way(memories=1000, replay=0.2),
    "shipped, remembering, rate 3e-4": Way(memories=1000, replay=0.5, rate=3e-4),
    "shipped, remembering, rate 1e-4": Way(memories=1000, replay=0.5, rate=1e-4),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--contrast", type=float, default=10.0, choices=list(MIDDLE))
    parser.add_argument("--plain", action="store_true", help="a network without media, trained by half as much")
    parser.add_argument("--out", type=Path, help="JSON file that it goes on with")
    parser.add_argument("--cache", type=Path, help="folder of models and shards")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--ways", default=";".join(WAYS), help="separated by ; those of janus-32 are of contrast 10")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--size", type=int, default=32, help="side of the images")
    parser.add_argument("--simulated", type=int, default=128, help="of the first 2,000 images")
    parser.add_argument("--new", type=int, default=24, help="simulations a round")
    parser.add_argument("--pairs", type=int, default=60)
    parser.add_argument("--steps", type=int, help="of the first training; those after rounds follow")
    parser.add_argument("--set", action="append", default=[], help="of [training] or [network]; in an --out of its own")
    parser.add_argument("--reach", action="store_true", help="measure how far first shots reach instead")
    parser.add_argument("--guard", action="store_true", help="ask of models that are there which the guard refuses")
    parser.add_argument("--calibration", action="store_true", help="fit the scale of models that were not calibrated")
    parser.add_argument("--table", action="store_true", help="print what there is, run nothing")
    parser.add_argument("--smoke", action="store_true", help="seconds instead of hours, in a temporary folder")
    arguments = parser.parse_args()
    shipped = any(WAYS[way].memories is not None for way in arguments.ways.split(";"))
    if arguments.contrast != 10 and not arguments.smoke and shipped:
        parser.error("the ways of the shipped model are of contrast 10; name others in --ways")
    torch.set_num_threads(1)
    name = "retraining" + ("" if arguments.contrast == 10 else f"-contrast{arguments.contrast:g}")
    name += ("-plain" if arguments.plain else "") + (f"-{arguments.size}" if arguments.size != 32 else "")
    arguments.out = arguments.out or ROOT / "docs" / "results" / f"{name}.json"
    arguments.cache = arguments.cache or ROOT / "campaigns" / name
    arguments.steps = arguments.steps or (750 if arguments.plain else TrainingConfig().steps)
    with tempfile.TemporaryDirectory() as folder:
        if arguments.smoke:
            vars(arguments).update(cache=Path(folder), out=Path(folder) / "out.json", seeds=1, rounds=2, new=3)
            shipped = ";shipped, remembering" if arguments.contrast == 10 else ""
            ways = f"shrunk;averaged, replay;level, replay;averaged, replay, guarded{shipped}"
            vars(arguments).update(pairs=3, steps=4, ways=ways)
            for name in WAYS:
                WAYS[name] = dataclasses.replace(WAYS[name], steps=1.0)
        if not arguments.table:
            for seed in range(arguments.seeds):
                for name in arguments.ways.split(";"):
                    part = reach if arguments.reach else judge if arguments.guard else retrain
                    (calibration if arguments.calibration else part)(arguments, name, seed)
        show(arguments)


def retrain(arguments, name, seed):
    """One way, one seed, all rounds; a row after each."""
    way, test = WAYS[name], simulated(arguments, "test", 512, 101)
    rows, begun = [], ("shipped" if way.memories is not None else "calibrated" if way.calibrate else "not calibrated")
    if any((r["way"], r["seed"], r["round"]) == (name, seed, arguments.rounds) for r in kept(arguments, "rows")):
        return
    for number in range(arguments.rounds + 1):
        if way.only and number not in (0, *way.only):
            continue
        model, card = model_after(arguments, name, seed, number)
        row = {"way": name, "seed": seed, "round": number, "first": begun, "seconds": round(card.seconds, 1)}
        row |= figures(model, test)
        if number in (0, arguments.rounds):
            # The first model is the same for all ways.
            same = [r for r in kept(arguments, "rows") if (r["seed"], r["round"], r["first"]) == (seed, number, begun)]
            known = same and not number
            row |= {k: v for k, v in same[0].items() if k in SHOTS} if known else first_shots(model, arguments, seed)
        print(row, file=sys.stderr, flush=True)
        rows.append(row)
    keep(arguments, "rows", rows)


def calibration(arguments, name, seed):
    """What calibrating a way's first and last models brings, which were trained without."""
    rows, test = [], simulated(arguments, "test", 512, 101)
    for number in sorted({0, arguments.rounds}):
        model, _ = model_after(arguments, name, seed, number)
        row = {"way": name, "seed": seed, "round": number, "trained": figures(model, test)["test_error"]}
        calibrate(model, shards(arguments, WAYS[name], seed, number), settings(arguments).validation)
        rows.append({**row, "calibrated": figures(model, test)["test_error"]})
        print(rows[-1], file=sys.stderr, flush=True)
    keep(arguments, "calibration", rows)


def judge(arguments, name, seed):
    """What the guard says of each round's model, with 512 test images and as without any."""
    rows, test, way = [], simulated(arguments, "test", 512, 101), WAYS[name]
    for number in range(1, arguments.rounds + 1):
        samples = shards(arguments, way, seed, number)
        old, new = (model_after(arguments, name, seed, n)[0] for n in (number - 1, number))
        row = {"way": name, "seed": seed, "round": number}
        for words, given in (("with test", test), ("without test", None)):
            row[words] = asked(arguments, old, new, samples, given)
        rows.append(row)
    keep(arguments, "guard", rows)


def kept(arguments, part):
    return json.loads(arguments.out.read_text()).get(part, []) if arguments.out.exists() else []


def keep(arguments, part, rows):
    """Add rows to a part of the JSON, in place of those of the same way and seed."""
    done = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    old = [r for r in done.get(part, []) if (r["way"], r["seed"]) != (rows[0]["way"], rows[0]["seed"])]
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps({**done, "made": header("torch"), part: [*old, *rows]}, indent=1))


def model_after(arguments, name, seed, number):
    """The model of a way after a round, made once; that of round 0 is the same for all, or the shipped one."""
    way, shipped = WAYS[name], WAYS[name].memories is not None
    folder = arguments.cache / (f"{name}-{seed}-{number}" if number else f"first-{seed}")
    folder = ROOT / "data" / "janus-32" if shipped and number == 0 else folder
    if not (folder / "model.json").exists():
        checkpoint.save(folder, *trained(arguments, name, seed, number))
    model, card = checkpoint.load(folder)
    if number == 0 and way.calibrate and not shipped:
        calibrate(model, first_samples(arguments, way, seed), settings(arguments).validation)
    return model, card


def trained(arguments, name, seed, number):
    """Train the model of a way after a round; the first one is not calibrated."""
    way, (network, config) = WAYS[name], told(arguments)
    if number == 0:
        samples = first_samples(arguments, way, seed)
        return train(samples, suited(samples, network, config), config, seed)
    start = None if way.shrink is None else shrunk(model_after(arguments, name, seed, number - 1)[0], way, number)
    state = arguments.cache / f"{name}-{seed}.pt"
    own = patch("janus_al.training.fit", lambda *a: level_fit(state, *a))
    with own if way.level else nullcontext():
        samples = shards(arguments, way, seed, number if way.shown else 0)
        config = again(arguments, way)
        new = train(samples, suited(samples, network, config), config, 100 * seed + number, start=start)
    if way.guarded:
        old = model_after(arguments, name, seed, number - 1)
        return new if asked(arguments, old[0], new[0], samples)["accepted"] else old
    return new


def asked(arguments, old, new, samples, test=None):
    """What the guard says of a new model."""
    from loop.campaign.guard import compare, grounds, verdict

    return verdict(compare(old, new, grounds(samples, test, settings(arguments).validation)))


def shrunk(model, way, seed):
    """Old weights, shrunk and perturbed as the way says (Ash & Adams 2020), in place."""
    fresh = build(model.config, seed)
    with torch.no_grad():
        for weight, random in zip(model.parameters(), fresh.parameters(), strict=True):
            weight.mul_(way.shrink).add_(way.perturb * random)
    return model


def level_fit(state, model, terms, validate, config, identity, run):
    """In place of `janus_al.fitting.fit`: a level rate, with the optimiser's state kept."""
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), config.rate, (0.9, 0.98), weight_decay=config.weight_decay)
    if state.exists():
        optimizer.load_state_dict(torch.load(state))
    for step in range(config.steps):
        for group in optimizer.param_groups:
            group["lr"] = config.rate * min(1.0, (config.steps - step) / (0.2 * config.steps))
        loss = sum(getattr(config, f"l_{name}") * value for name, value in terms(step).items())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
        optimizer.step()
    torch.save(optimizer.state_dict(), state)
    model.eval()
    return Fit([], 0.0)


def told(arguments):
    """Network and settings of the first training."""
    from loop.campaign.toml import load_training

    network, usual = defaults((arguments.size,) * 2, material(arguments))
    if arguments.plain:
        network, usual = JanusConfig(stem=4, channels=8), TrainingConfig(batch=32, cycled=8)
    network, config = load_training(None, arguments.set, network, usual)
    return network, dataclasses.replace(config, steps=arguments.steps, checks=5, replay=0.0, calibrate=False)


def settings(arguments):
    return told(arguments)[1]


def again(arguments, way):
    """Settings of a training after a round."""
    changed = {"rate": way.rate, "average": way.average, "replay": way.replay, "calibrate": way.calibrate}
    changed |= dict(zip(("l_task", "l_rec", "l_deep", "l_sens"), way.weights, strict=False))
    return dataclasses.replace(settings(arguments), steps=round(way.steps * arguments.steps), **changed)


def material(arguments):
    return conduction(phases(arguments.contrast))


def first_samples(arguments, way, seed):
    """2,000 images, other ones for each seed, some of them simulated; or what the shipped model remembers."""
    from janus_al.memory import remembered
    from janus_al.samples import concatenate, unlabelled
    from simulators import generate

    if way.memories is not None:
        return remembered(*checkpoint.load(ROOT / "data" / "janus-32"), way.memories, seed) if way.memories else None
    known = simulated(arguments, f"first-{seed}", arguments.simulated, 200 + seed)
    others = generate(40 if arguments.smoke else 2000 - arguments.simulated, arguments.size, 300 + seed)
    return concatenate([known, unlabelled(others, material(arguments))])


def shards(arguments, way, seed, number):
    """All samples through a round, made once: first shots of the way `REFERENCE`, or of the shipped model."""
    from janus_al.samples import concatenate
    from loop.simulation.rows import to_samples

    parts, shipped = [first_samples(arguments, way, seed)], way.memories is not None
    for n in range(1, number + 1):
        path = arguments.cache / f"{'shipped' if shipped else 'shard'}-{seed}-{n}.h5"
        if not path.exists():
            by = (next(w for w in WAYS if WAYS[w].memories is not None), 0) if shipped else (REFERENCE, n - 1)
            model, _ = model_after(arguments, by[0], seed, by[1])
            asked = pairs(arguments.new, 1000 * seed + n, arguments.contrast)
            _, images, results = shots(model, asked, [seed, n], arguments.contrast)
            meta = {"origin": b"candidate", "round": n, "seed": seed}
            dataset.write(path, to_samples(images, results, material(arguments), **meta), "retraining.py")
        parts.append(dataset.read(path))
    return concatenate([part for part in parts if part is not None])


def reach(arguments, name, seed):
    """How far first shots reach when refinement goes beyond the decoder, and is trained on: a row after each round.

    Wanted are eight ratios kxx/kyy, from about half to nearly all (as logarithms) of the largest that any mixture has,
    a laminate's, and eight kxx at 30 % of label 1 or less, from half to nine tenths of the arithmetic mean there.
    """
    from janus_al.samples import concatenate
    from loop.design.targets import Target, interval
    from loop.simulation.rows import to_samples

    low, high = phases(arguments.contrast)
    middle, most = (low * high) ** 0.5, (low + high) ** 2 / (4 * low * high)
    steep = [
        Target("ratio", {"kxx": interval("kxx", low=middle * r**0.5), "kyy": interval("kyy", high=middle * r**-0.5)})
        for r in most ** np.linspace(0.53, 0.96, 8)
    ]
    little = {"volume_fraction": interval("volume_fraction", high=0.3)}
    thrifty = [
        Target("kxx", {"kxx": interval("kxx", low=k), **little})
        for k in (0.7 * low + 0.3 * high) * np.linspace(0.54, 0.92, 8)
    ]
    way, rows, parts = WAYS[name], [], [first_samples(arguments, WAYS[name], seed)]
    model, _ = model_after(arguments, name, seed, 0)
    for number in range(arguments.rounds // 2 + 1):
        candidates, images, results = shots(model, [*steep, *thrifty], [seed, number, 9], arguments.contrast, steps=4)
        first = [c.trials[0] for c in candidates]
        row = {"way": name, "seed": seed, "round": number, "simulations": len(images)}
        row |= extremes([(t.properties["kxx"], t.properties["kyy"], t.image.mean()) for t in first], "")
        told = [(r.values["kxx"], r.values["kyy"], i.mean()) for r, i in zip(results, images, strict=True)]
        row |= extremes(told, "_refined")
        print(row, file=sys.stderr, flush=True)
        rows.append(row)
        meta = {"origin": b"candidate", "round": number + 1, "seed": seed}
        parts.append(to_samples(images, results, material(arguments), **meta))
        model, _ = train(concatenate(parts), model.config, again(arguments, way), 100 * seed + number, start=model)
    keep(arguments, "reach", rows)


def show(arguments):
    """Mean and spread over the seeds, each against its own first model."""
    rows = kept(arguments, "rows")
    print(f"{header('torch')}\n")
    columns = ("test error", "change", "worst round", "first shot, median", "change", "mean", "change", "within 1 %")
    print(f"| way | seeds | {' | '.join(columns)} |\n|{'---|' * (len(columns) + 2)}")
    for name in [w for w in WAYS if any(r["way"] == w for r in rows)]:
        courses = [[r for r in rows if (r["way"], r["seed"]) == (name, s)] for s in sorted({r["seed"] for r in rows})]
        courses = [c for c in courses if c]
        ends = {k: [(c[0][k], c[-1][k]) for c in courses] for k in ("test_error", "shot_median", "shot_mean", "hits")}
        worst = max((b["test_error"] / a["test_error"] - 1 for c in courses for a, b in pairwise(c)), default=0.0)
        cells = [course(ends["test_error"]), change(ends["test_error"]), f"{worst:+.0%}"]
        cells += [cell for k in ("shot_median", "shot_mean") for cell in (course(ends[k]), change(ends[k]))]
        print(f"| {name} | {len(courses)} | {' | '.join(cells)} | {course(ends['hits'])} |")
    for name in [w for w in WAYS if any(r["way"] == w for r in kept(arguments, "guard"))]:
        rows = [r for r in kept(arguments, "guard") if r["way"] == name]
        refused = [sum(not r[words]["accepted"] for r in rows) for words in ("with test", "without test")]
        print(f"\n{name}: {refused[0]} of {len(rows)} models refused with a test set, {refused[1]} without")
    rows = kept(arguments, "reach")
    names = [w for w in WAYS if any(r["way"] == w for r in rows)]
    for figure, words in (("ratio", "largest kxx/kyy"), ("kxx", "largest kxx at 30 %")) if rows else ():
        print(f"\n| {words}, first shots (refined) after round | {' | '.join(names)} |")
        print(f"|{'---|' * (len(names) + 1)}")
        for number in sorted({r["round"] for r in rows}):
            cells = [[r for r in rows if (r["way"], r["round"]) == (name, number)] for name in names]
            told = [f"{most(c, figure)} ({most(c, f'{figure}_refined')})" for c in cells]
            print(f"| {number} | {' | '.join(told)} |")


def most(rows, figure):
    found = [r[figure] for r in rows if r[figure] is not None]
    return f"{mean(found):.3f}" if found else "none"


def course(ends):
    return f"{mean(a for a, _ in ends):.2%} -> {mean(b for _, b in ends):.2%}"


def change(ends):
    found = [b / a - 1 for a, b in ends]
    return f"{mean(found):+.0%}" + (f" ± {stdev(found):.0%}" if len(found) > 1 else "")


if __name__ == "__main__":
    main()
