"""Knowing before paying: what ranks errors, what intervals cover, what acquisitions find, what certificates cost.

    OMP_NUM_THREADS=1 python benchmarks/confidence.py [PART ...] [--cache campaigns/confidence]
        [--out docs/results/confidence] [--smoke]

Parts: opinions, acquisitions, certificates, coverage (all). Writes OUT.json, part by part, and OUT.md from it. Models
of 32 x 32 pixels are trained on 1,500 phase fields of which 128 (contrast 10) or 256 (contrast 100) are simulated, in
1,200 steps, and kept in the cache.
"""

import os

os.environ.update({name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")})
os.environ["MLFLOW_TRACKING_URI"] = "file:///nowhere"

import argparse
import dataclasses
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))
from common.confidence_page import page
from common.header import ROOT, header

CONTRASTS = {10: 128, 100: 256}
"""and the images simulated for a model of each"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help="opinions, coverage, acquisitions, certificates")
    parser.add_argument("--cache", type=Path, default=ROOT / "campaigns" / "confidence")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results" / "confidence")
    parser.add_argument("--images", type=int, default=1500)
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--proposals", type=int, default=250, help="of each kind, to rank errors of")
    parser.add_argument("--seeds", type=int, default=2, help="of campaigns and pools")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--smoke", action="store_true", help="a minute, in a temporary folder")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        arguments.work = Path(folder)
        if arguments.smoke:
            vars(arguments).update(cache=Path(folder), out=Path(folder) / "out", images=40, steps=10, proposals=6)
            vars(arguments).update(seeds=1, rounds=2)
        path = arguments.out.with_suffix(".json")
        for part in (opinions, acquisitions, certificates, coverage):
            if not arguments.parts or part.__name__ in arguments.parts:
                found = json.loads(path.read_text()) if path.exists() else {}
                found[part.__name__] = {"made": header("torch", "fipy"), "rows": (rows := [])}
                path.parent.mkdir(parents=True, exist_ok=True)
                for row in part(arguments):
                    print({name: value for name, value in row.items() if name not in ("chances", "hit")}, flush=True)
                    rows.append(row)
                    path.write_text(json.dumps(found, indent=1) + "\n")
        text = page(json.loads(path.read_text()))
        print(text)
        arguments.out.with_suffix(".md").write_text(text)


def trained(arguments, contrast, seed=0):
    """A model, its card and the samples it was trained on."""
    from janus_al import checkpoint, dataset
    from janus_al.defaults import defaults
    from janus_al.samples import concatenate, unlabelled
    from janus_al.training import suited, train
    from loop.simulation.rows import to_samples
    from simulators import generate

    data, folder = arguments.cache / f"d{contrast}-0.h5", arguments.cache / f"m{contrast}-{seed}"
    if not data.exists():
        arguments.cache.mkdir(parents=True, exist_ok=True)
        material, physics = physics_of(contrast)
        count = min(CONTRASTS[contrast], arguments.images // 2)
        images = generate(arguments.images, 32, 900)
        simulated = to_samples(list(images[:count]), [physics(image) for image in images[:count]], material)
        dataset.write(data, concatenate([simulated, unlabelled(images[count:], material)]), "confidence.py")
    samples = dataset.read(data)
    if not (folder / "model.json").exists():
        network, training = defaults(samples.image.shape[1:], samples.material)
        training = dataclasses.replace(training, steps=arguments.steps)
        checkpoint.save(folder, *train(samples, suited(samples, network, training), training, seed))
    return *checkpoint.load(folder), samples


def physics_of(contrast):
    from janus_al.material import conduction
    from loop.simulation.simulate import simulator_of

    material = conduction((1 / contrast, 1.0))
    return material, simulator_of(material.physics[0], material.boundary, "direct")


def goals(samples, count, kind, tolerance, rng):
    """Targets: one conductivity within the data's range, or both with ratios up to 2.5."""
    from loop.design.targets import Target, interval

    logs = np.log(samples.properties[samples.simulated][:, :2])
    low, high = np.quantile(logs, 0.05), np.quantile(logs, 0.95)
    found = []
    for number in range(count):
        names = ("kxx", "kyy") if number % 2 == 0 else ("kyy", "kxx")
        if kind == "one":
            values = {names[0]: rng.uniform(low, high)}
        else:
            middle, half = rng.uniform(low + 0.2, high - 0.2), rng.uniform(0, np.log(2.5) / 2)
            values = {names[0]: middle + half, names[1]: middle - half}
        found.append(Target("t", {n: interval(n, float(np.exp(v)), tolerance) for n, v in values.items()}))
    return found


def opinions(arguments):
    """Spearman's rank correlation of free opinions with true errors, by contrast and kind of target."""
    from scipy.stats import spearmanr

    from janus_al.inversion import invert
    from janus_al.opinions import opinions as copies
    from loop.design.confidence import room
    from loop.simulation.simulate import limits_of

    for contrast in CONTRASTS:
        model, card, samples = trained(arguments, contrast)
        other, _, _ = trained(arguments, contrast, seed=1)
        _, physics = physics_of(contrast)
        rng = np.random.default_rng(5)
        for kind in ("one", "pair"):
            targets = goals(samples, arguments.proposals, kind, 0.01, rng)
            found = invert(model, [t.intervals for t in targets], 3)
            images = (found.field > 0.5).astype(np.uint8)
            truth = np.log([[physics(image).values[n] for n in ("kxx", "kyy")] for image in images])
            said = copies(model, images)
            single, mean, both = said[0], said.mean(axis=0), copies(other, images).mean(axis=0)
            with torch.no_grad():
                seen = model.encode(torch.tensor(images).float())
                data = model.encode(torch.tensor(samples.image).float())
                near = torch.cdist(seen / model.latent_std, data / model.latent_std).min(dim=1).values.numpy()
                again = (model.decode(seen) > 0.5).numpy().astype(np.uint8)
            ends = room(
                dict(zip(("kxx", "kyy"), np.exp(mean).T, strict=True)),
                images.mean(axis=(1, 2)),
                limits_of(card.material),
            )
            signals = {
                "spread of the 8 copies": said.std(axis=0),
                "one copy against the mean": np.abs(single - mean),
                "P(E(b)) against P(E(D(E(b))))": np.abs(copies(model, again)[0] - single),
                "distance to the encoded data": np.repeat(near[:, None], 2, axis=1),
                "two networks (twice the training)": np.abs(both - mean),
                "room to the nearer limit": np.column_stack([ends["kxx"], ends["kyy"]]),
            }
            error = np.abs(mean - truth)
            row = {
                "contrast": contrast,
                "targets": kind,
                "proposals": len(images),
                "error_one": [float(np.median(np.abs(single - truth))), float(rms(single - truth))],
                "error_mean": [float(np.median(error)), float(rms(mean - truth))],
                "error_two_networks": [
                    float(np.median(np.abs((mean + both) / 2 - truth))),
                    float(rms((mean + both) / 2 - truth)),
                ],
                "spearman": {n: float(spearmanr(s.ravel(), error.ravel())[0]) for n, s in signals.items()},
            }
            yield row


def rms(values):
    return np.sqrt(np.mean(np.square(values)))


def acquisitions(arguments):
    """First-shot hits of what each acquisition takes from the same pools, of which every row is simulated."""
    from janus_al.inversion import InversionConfig
    from loop.design.acquisition import BUILT_IN, acquisition
    from loop.design.confidence import past_of
    from loop.design.generators.janus import JanusGenerator
    from loop.design.pool import Known
    from loop.design.select import Rules, select
    from loop.simulation.simulate import limits_of
    from loop.studies.single import tools_of

    wanted, swarm, asked_before = (2, 2, 12) if arguments.smoke else (6, 4, 24)
    inversion = InversionConfig(steps=5) if arguments.smoke else InversionConfig()
    for contrast in CONTRASTS:
        model, card, samples = trained(arguments, contrast)
        _, physics = physics_of(contrast)
        limits = limits_of(card.material)
        for seed in range(arguments.seeds):
            rng = np.random.default_rng([7, seed])
            tools = dataclasses.replace(tools_of(model, card, swarm), inversion=inversion)
            janus, once = JanusGenerator(tools), JanusGenerator(dataclasses.replace(tools, swarm=1))
            past = []
            for kind in ("one", "pair"):
                asked = [(target, 1) for target in goals(samples, asked_before, kind, 0.02, rng)]
                proposed = once.propose(asked, Known(), (seed, 0))
                for row, image in enumerate(proposed.cuts(asked, card.boundary)):
                    guess = dict(zip(proposed.names, proposed.predicted[row].tolist(), strict=True))
                    past.append({"predicted": guess, "first_shot": values_of(physics(image), image)})
            known = Known(past=past_of([past], [False], limits))
            for kind, tolerance in (("one", 0.02), ("pair", 0.02), ("pair", 0.1)):
                asked = [
                    (dataclasses.replace(t, name=f"t{i}"), wanted)
                    for i, t in enumerate(goals(samples, 4, kind, tolerance, rng))
                ]
                pool = janus.propose(asked, known, (seed, 1)).foretold(asked, known.past, card.boundary)
                shots = [values_of(physics(image), image) for image in pool.cuts(asked, card.boundary)]
                hit = np.array([asked[i][0].met(shot) for i, shot in zip(pool.target, shots, strict=True)])
                row = {"contrast": contrast, "seed": seed, "targets": kind, "tolerance": tolerance, "pool": len(pool)}
                row |= {"hits_in_pool": int(hit.sum()), "expected_in_pool": float(pool.p_hit.sum())}
                row["chances"], row["hit"] = pool.p_hit.tolist(), hit.tolist()
                for name in BUILT_IN:
                    rules = Rules(limits, card.boundary, 0.1, acquisition(name))
                    taken = [
                        select(pool, asked, known, rules, (draw,))[0] for draw in range(10 if name == "random" else 1)
                    ]
                    row[name] = [float(np.mean([hit[t].sum() for t in taken])), float(np.mean([len(t) for t in taken]))]
                yield row


def values_of(result, image):
    return {**result.values, "volume_fraction": float(image.mean())}


def certificates(arguments):
    """CPU seconds, refinement and verdict for decoded images and targets of 1 % whose middle they nearly meet."""
    from janus_al import checkpoint
    from loop.design.measures import properties_of
    from loop.simulation.verify import verdict
    from simulators import SOLVERS, certify
    from simulators.solvers.conductivity import result_of

    for name, size in (("janus-32", 32), ("janus-64", 64)):
        model, _ = checkpoint.load(ROOT / "data" / name)
        noise = torch.tensor(np.random.default_rng(1).standard_normal((3, model.config.latent)), dtype=torch.float32)
        with torch.no_grad():
            images = (model.decode(model.latent_mean + model.latent_std * noise) > 0.5).numpy().astype(np.uint8)
        for contrast in (10, 100, 1000):
            for solver in ("direct", "fipy"):
                row = {
                    "size": size,
                    "contrast": contrast,
                    "solver": solver,
                    "verdicts": [],
                    "refinements": [],
                    "seconds": [],
                }
                for number, image in enumerate(images[: 1 if arguments.smoke or solver == "fipy" else 3]):
                    homogenizer, phases = SOLVERS[solver]("dirichlet"), (1 / contrast, 1.0)
                    rng = np.random.default_rng(number)
                    middles = {
                        n: v / (1 + rng.uniform(-0.0075, 0.0075))
                        for n, v in result_of(homogenizer(image, phases)).values.items()
                    }
                    wanted = {n: (0.99 * v, 1.01 * v) for n, v in middles.items()}
                    began = time.process_time()
                    made = certify(
                        image,
                        phases,
                        homogenizer,
                        lambda r, w=wanted, i=image: verdict(w, properties_of(result_of(r), i)) != "undecided",
                    )
                    row["seconds"].append(time.process_time() - began)
                    row["refinements"].append(made.refinement)
                    row["verdicts"].append(verdict(wanted, properties_of(result_of(made.result), image)))
                yield row


CAMPAIGN = """
name = "coverage"
certify = false
[microstructure]
size = 32
phase_conductivity = [{low}, 1.0]
[network]
start = "{model}"
[dataset]
source = "{data}"
[budget]
rounds = {rounds}
simulations = 10000
probes = 1000
worth = 0.0
[loop]
swarm = 2
refine_steps = 0
retrain_steps = {steps}
[execution]
solver = "direct"
workers = 1
umap = false
"""
TARGET = '[[target]]\nname = "{name}"\ndesigns = {designs}\n{conditions}\n'


def coverage(arguments):
    """Campaigns that learn after every round: what intervals made before a round hold of it."""
    from loop.campaign.toml import load_config
    from loop.commands.run import run_campaign
    from loop.simulation.progress import Progress

    for seed in range(arguments.seeds):
        for contrast in CONTRASTS:
            _, _, samples = trained(arguments, contrast)
            rng = np.random.default_rng([11, seed])
            asked = [*goals(samples, 1, "one", 0.02, rng), *goals(samples, 2, "pair", 0.02, rng)]
            text = CAMPAIGN.format(
                low=1 / contrast,
                model=arguments.cache.resolve() / f"m{contrast}-0",
                data=arguments.cache.resolve() / f"d{contrast}-0.h5",
                rounds=arguments.rounds,
                steps=2 if arguments.smoke else 30,
            )
            for number, target in enumerate(asked):
                conditions = "\n".join(
                    f"{n} = {{ min = {low}, max = {high} }}" for n, (low, high) in target.intervals.items()
                )
                text += TARGET.format(name=f"t{number}", designs=6 * arguments.rounds, conditions=conditions)
            folder = arguments.work / f"coverage-{contrast}-{seed}"
            (file := folder.with_suffix(".toml")).write_text(text)
            with Progress() as progress:
                campaign = run_campaign(folder, load_config(file, overrides=[f"seed={seed}"]), progress)
            for event in campaign.journal.of("round"):
                table = event["candidates_table"]
                told = [(row["p_hit"], campaign_hit(row)) for row in table if row["p_hit"] is not None]
                row = {"contrast": contrast, "seed": seed, "round": event["round"], "coverage": event["coverage"]}
                row |= {"first_shot": event["first_shot_error_median"], "probes": event["probe_error_median"]}
                for kind, names in (("one", ("probe", "t0")), ("pair", ("t1", "t2"))):
                    inside = [
                        row_["interval"][n][0] <= row_["first_shot"][n] <= row_["interval"][n][1]
                        for row_ in table
                        for n in ("kxx", "kyy")
                        if row_["target"] in names and n in row_["interval"]
                    ]
                    row[kind] = [sum(inside), len(inside)]
                widths = [
                    np.log(high / low) / 2 for r in table for n, (low, high) in r["interval"].items() if n[0] == "k"
                ]
                row["half_width"] = float(np.median(widths)) if widths else None
                row["chances"], row["hit"] = [p for p, _ in told], [h for _, h in told]
                yield row


def campaign_hit(row):
    from loop.design.targets import Target

    return Target.of(row["target"], row["wanted"]).met(row["first_shot"])


if __name__ == "__main__":
    main()
