"""The quickstart's targets with each generator at equal budget, and what those without a network need alone.

    python benchmarks/generators.py [--seeds 2] [--out docs/results/generators] [--smoke]

Writes OUT.json, going on with what is there, and OUT.md from it. A campaign is that of
examples/from-scratch.toml without probes, which ask the network and not the targets; its generator is all that differs.
`--smoke` runs the tests' campaign of seconds and leaves the files alone.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from common.header import header

ROOT = Path(__file__).resolve().parent.parent
NAMES = ("janus", "phasefield", "lookup", "gradient")
ALONE = ("lookup", "gradient")
WANTED, SAMPLES, SWARM, DISTANCE, REFINE_STEPS = 8, 128, 4, 0.1, 4


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1, help="campaigns of each generator that has a network")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results" / "generators")
    parser.add_argument("--smoke", action="store_true", help="seconds instead of minutes")
    arguments = parser.parse_args()
    os.environ["MLFLOW_TRACKING_URI"] = "file:///nowhere"
    if arguments.smoke:
        print(campaigns_table([campaign(ROOT / "tests" / "small.toml", name, 3) for name in NAMES]))
        print(alone_table([alone(name, 10, size=16, samples=24) for name in ALONE]))
        return
    path = arguments.out.with_suffix(".json")
    found = json.loads(path.read_text()) if path.exists() else {"header": header("torch", "fipy"), "campaigns": []}
    for seed in range(arguments.seeds):
        for name in NAMES if seed == 0 else [n for n in NAMES if n not in ALONE]:
            if not any((c["generator"], c["seed"]) == (name, seed) for c in found["campaigns"]):
                found["campaigns"].append(campaign(ROOT / "examples" / "from-scratch.toml", name, seed))
                path.write_text(json.dumps(found, indent=1) + "\n")
    found["alone"] = [alone(name, contrast) for contrast in (10, 100) for name in ALONE]
    path.write_text(json.dumps(found, indent=1) + "\n")
    page = PAGE.format(
        header=found["header"], campaigns=campaigns_table(found["campaigns"]), alone=alone_table(found["alone"])
    )
    arguments.out.with_suffix(".md").write_text(page)


def campaign(config, name, seed):
    """One campaign: what it reached, with what, and how far its designs are from what was there before."""
    from janus_al import dataset
    from loop.campaign.toml import load_config
    from loop.commands.run import run_campaign
    from loop.design.select import aligned_distance
    from loop.output.projections import designs_of
    from loop.simulation.progress import Progress

    os.chdir(ROOT)
    overrides = [f"loop.generator={name}", f"seed={seed}", "loop.probes=0", "execution.umap=false"]
    with tempfile.TemporaryDirectory() as parent:
        began, used = time.perf_counter(), time.process_time()
        done = run_campaign(Path(parent) / "campaign", load_config(config, overrides=overrides), Progress())
        wall, processor = time.perf_counter() - began, time.process_time() - used
        rounds, designs = done.journal.of("round"), designs_of(done)
        first = next(dataset.read(done.folder / e["file"]) for e in done.journal.of("shard"))
        begun = sum(e["simulated"] for e in done.journal.of("shard") if e["round"] == 0)
    seconds = {"training": sum(e["seconds"] for e in done.journal.of("trained"))}
    for event in rounds:
        for stage in ("inversion", "simulation"):
            seconds[stage] = seconds.get(stage, 0.0) + event["seconds"].get(stage, 0.0)
    return {
        "generator": name,
        "seed": seed,
        "state": done.journal.end["state"],
        "designs": len(designs),
        "wanted": sum(t.designs for t in done.targets),
        "simulations": sum(r["simulations"] for r in rounds),
        "begun_with": begun,
        "rounds": len(rounds),
        "candidates": sum(r["candidates"] for r in rounds),
        "hits": sum(r["hits"] for r in rounds),
        "first_shot_error": median(row["error"] for r in rounds for row in r["candidates_table"]),
        "novelty": median(float(aligned_distance(d["image"], first.image).min()) for d in designs) if designs else None,
        "wall": wall,
        "processor": processor,
        "seconds": seconds,
    }


def alone(name, contrast, size=32, samples=SAMPLES):
    """Eight candidates for each of several targets from so many simulated phase fields, without a campaign."""
    from janus_al.material import conduction
    from loop.design.acquisition import nearest
    from loop.design.candidates import propose
    from loop.design.generators import Tools, fitted, generator
    from loop.design.pool import Known
    from loop.design.refine import Refinement, refine
    from loop.design.select import Rules
    from loop.simulation.rows import to_samples
    from loop.simulation.simulate import limits_of, simulator_of
    from simulators import generate

    material, paid = conduction((1 / contrast, 1.0)), {}
    physics = simulator_of(material.physics[0], material.boundary, "direct")

    def simulate(images):
        for image in images:
            if image.tobytes() not in paid:
                paid[image.tobytes()] = physics(image)
        return [paid[image.tobytes()] for image in images]

    images = list(generate(samples, size, 0))
    known = Known(to_samples(images, [physics(image) for image in images], material))
    rules = Rules(limits_of(material), material.boundary, DISTANCE, nearest)
    rows = []
    for target in targets_within(np.log(known.samples.properties[:, 0])):
        paid.clear()
        tools = Tools((size, size), material, swarm=SWARM, min_distance=DISTANCE, simulate=simulate)
        candidates, _ = propose(fitted(generator(name), tools, known), [(target, WANTED)], known, rules, (0, 1))
        refine(candidates, simulate, Refinement(material, REFINE_STEPS))
        met = sum(c.met for c in candidates)
        rows.append({"target": target.name, "wanted": str(target), "met": met, "simulations": len(paid)})
    return {"generator": name, "contrast": contrast, "rows": rows}


def targets_within(log_k):
    """In range at three quantiles and beyond it, one conductivity; and both at once."""
    from loop.design.targets import Target, interval

    def value(part):
        return float(np.exp(np.quantile(log_k, part)))

    middle = float(np.exp(log_k.mean()))
    values = {"20 %": value(0.2), "50 %": value(0.5), "80 %": value(0.8), "beyond 97 %": 1.05 * value(0.97)}
    one = [Target(name, {"kxx": interval("kxx", k, 0.01)}) for name, k in values.items()]
    both = {name: interval(name, middle * f, 0.02) for name, f in (("kxx", 1.2), ("kyy", 1 / 1.2))}
    alike = {name: interval(name, middle, 0.01) for name in ("kxx", "kyy")}
    return [*one, Target("kxx and kyy apart", both), Target("kxx and kyy alike", alike)]


def campaigns_table(rows):
    """One line a campaign."""
    lines = [
        "| generator | seed | designs | simulations | candidates | met at first shot | first-shot error | "
        "novelty | training s | proposing s | simulating s | all s |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        novelty = "" if r["novelty"] is None else f"{r['novelty']:.1%}"
        lines.append(
            f"| {r['generator']} | {r['seed']} | {r['designs']} of {r['wanted']} | {r['simulations']} | "
            f"{r['candidates']} | {r['hits']} | {r['first_shot_error']:.2%} | {novelty} | "
            + " | ".join(f"{r['seconds'].get(s, 0):.0f}" for s in ("training", "inversion", "simulation"))
            + f" | {r['wall']:.0f} |"
        )
    return "\n".join(lines)


def alone_table(results):
    """Designs met and simulations, one column a target."""
    names = [row["target"] for row in results[0]["rows"]]
    lines = ["| contrast | generator | " + " | ".join(names) + " |", "|---|---|" + "---|" * len(names)]
    for result in results:
        cells = [f"{row['met']} in {row['simulations']}" for row in result["rows"]]
        lines.append(f"| {result['contrast']} | {result['generator']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


PAGE = """# Generators side by side

A first look, no arena: the quickstart's three targets, six designs each, from 2,000 images of which 128 are simulated
(examples/from-scratch.toml), with each generator; budget 400 simulations
and four rounds. Wall seconds, on a machine shared with other work.

    python benchmarks/generators.py

{header}.

{campaigns}

*Simulations* are those of the rounds, the 128 of the first dataset not among them, which all generators start from;
`lookup` and `gradient` use nothing else, and do not depend on the seed. For `gradient` the first shot is the last of
its own steps, which *simulations* count. *Novelty* is the part of the pixels, in the median, by which a design differs
from the nearest image of the first dataset at the best symmetric copy and translation. Probes are off.

With one seed, on targets of which phase fields and the first dataset are full, Janus takes the most simulations for
all designs: fresh random structures screened by the same network take fewer, physics' own gradient from known samples
a simulation a design, without any training. Janus' designs are the farthest from the data. Read novelty beside
simulations: designs of `lookup` and `gradient` are near-copies of samples, changed in a few pixels, and no rule of a
campaign forbids that.

## Without a network, contrast 10 and 100

Eight candidates wanted for each target, from 128 simulated phase fields of 32 x 32 pixels, moved by up to 4 further
cuts; *met in simulations*. Columns: kxx = its 20 %, 50 % and 80 % quantile and 1.05 times the 97 % one, each ± 1 %;
kxx and kyy at 1.2 and 1 / 1.2 of the mean, each ± 2 %; both at the mean, each ± 1 %.

{alone}

A cut has one degree of freedom, so `lookup` meets two conductivities at once only where a sample has their ratio
already; `gradient` moves both. At contrast 100 a pixel that closes a bridge may change k by half, which neither
sensitivities nor cuts foresee.
"""


if __name__ == "__main__":
    main()
