"""Whether `tune` beats the default loss weights where it did not look: other seeds of training, other conductivities.

    python benchmarks/tuning.py [--trials 12] [--jobs 2] [--seeds 3] [--contrasts 10,100] [--smoke]

For each contrast: 2,000 images of 32 x 32 pixels, 128 of them simulated (seed 0), a study of so many trials, the first
of them with the defaults. Then defaults and winner are each trained again from other seeds, and judged on 512 other
images and by the simulated first shots of 48 conductivities that no trial was asked for (those of `probe_targets`,
moved by half a step). Writes docs/results/tuning.json and .md; studies are kept in --cache and gone on with.
"""

import argparse
import dataclasses
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean, median

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))
from common.data import kept
from common.header import ROOT, header


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=3, help="trainings of the defaults, and of the winner")
    parser.add_argument("--contrasts", default="10,100")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--cache", type=Path, default=ROOT / "campaigns" / "tuning", help="where studies are kept")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results" / "tuning")
    parser.add_argument("--smoke", action="store_true", help="seconds instead of hours, in a temporary folder")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    os.environ["MLFLOW_TRACKING_URI"] = "file:///nowhere"
    with tempfile.TemporaryDirectory() as folder:
        if arguments.smoke:
            small = {"trials": 2, "jobs": 1, "seeds": 1, "contrasts": "10", "steps": 4}
            vars(arguments).update(small, cache=Path(folder), out=Path(folder) / "tuning")
        rows = []
        for contrast in arguments.contrasts.split(","):
            rows.append(study(float(contrast), arguments))
            publish({"made": header("torch", "optuna"), "rows": rows}, arguments.out)


def publish(found, out):
    """Write what there is so far, beside OUT.json the page of it."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n")
    page = PAGE.format(**found, table=table(found["rows"]), trials=trials(found["rows"]))
    out.with_suffix(".md").write_text(page)
    print(page, flush=True)


def study(contrast, arguments):
    """Tune at a contrast, then train defaults and winner again and judge both where no trial was judged."""
    from janus_al.defaults import defaults
    from janus_al.fitting import TrainingConfig
    from loop.campaign.toml import load_training
    from loop.studies.means import Means
    from loop.studies.trials import read_subject
    from loop.studies.tuning import tune

    few, many, tested = (8, 24, 16) if arguments.smoke else (128, 2000, 512)
    data = arguments.cache / f"data-{contrast:g}.h5"
    known = samples(data, many, few, 0, contrast)
    test = samples(arguments.cache / f"test-{contrast:g}.h5", tested, tested, 1, contrast)
    usual = defaults(known.image.shape[1:], known.material)
    network, training = load_training(None, [f"training.steps={arguments.steps}"], *usual)
    subject, out = read_subject(data, network, training, 0), arguments.cache / f"study-{contrast:g}"
    began = time.perf_counter()
    result = tune(subject, out, arguments.trials, Means("cpu", 1, Quiet()), arguments.jobs)
    seconds = time.perf_counter() - began
    ways = {
        "defaults": training,
        "tuned": TrainingConfig(**{**dataclasses.asdict(training), **result["best"]["params"]}),
    }
    judged = {
        name: [judge(subject, config, 100 + seed, test) for seed in range(arguments.seeds)]
        for name, config in ways.items()
    }
    told = {name: value for name, value in result.items() if name not in ("study", "weights")}
    return {"contrast": contrast, "seconds": seconds, "tune": told, "judged": judged}


def judge(subject, config, seed, test):
    """One training from a seed: its error on the test images, and at first shots between those of the trials."""
    from janus_al.evaluation import evaluate
    from janus_al.training import train
    from loop.design.candidates import probe_targets
    from loop.simulation.executors import open_executor
    from loop.simulation.simulate import Execution
    from loop.studies.single import shots_at, tools_of

    model, card = train(subject.samples, subject.network, config, seed)
    targets = probe_targets(card.property_range, 96)[1::2]
    with open_executor("process", 1) as executor:
        shots = shots_at(tools_of(model, card), targets, seed, Execution(executor, "direct", cached=True))
    errors = [c.target.error(c.trials[0].properties) for c in shots]
    report = evaluate(model, test)
    return {
        "seed": seed,
        "test": mean(p["relative_error_mean"] for p in report["properties"].values()),
        "pixel_mae": report["pixel_mae"],
        "first_shot_median": median(errors),
        "first_shot_mean": mean(errors),
    }


def samples(path, count, simulated, seed, contrast):
    """Phase fields of which the first so many are simulated."""
    from janus_al.material import conduction
    from simulators import generate

    return kept(path, lambda: generate(count, 32, seed), conduction((1 / contrast, 1.0)), seed, simulated)


class Quiet:
    """Says what a study says, and no progress."""

    def __call__(self, stage, done, total):
        """Nothing."""

    def say(self, words):
        """A line."""
        print(words)


def table(rows):
    """Defaults and winner at each contrast, mean and range over the seeds."""
    lines = [
        "| contrast | weights | first shot, median | first shot, mean | test images | pixel MAE |",
        "|---|" + 5 * "---|",
    ]
    for row in rows:
        for name, judged in row["judged"].items():
            cells = [spread([j[key] for j in judged]) for key in ("first_shot_median", "first_shot_mean", "test")]
            pixels = f"{mean(j['pixel_mae'] for j in judged):.4f}"
            lines.append(f"| {row['contrast']:g} | {name} | {' | '.join(cells)} | {pixels} |")
    return "\n".join(lines)


def spread(values):
    """Mean (smallest to largest)."""
    return f"{np.mean(values):.2%} ({min(values):.2%} to {max(values):.2%})"


def trials(rows):
    """What each study did, and the weights that it found."""
    lines = []
    for row in rows:
        tuned, params = row["tune"], row["tune"]["best"]["params"]
        weights = ", ".join(f"{name} = {value:.3g}" for name, value in params.items())
        default = "none" if tuned["default"] is None else f"{tuned['default']:.2%}"
        told = [f"{n} to {'no end' if error is None else f'{error:.2%}'}" for n, error in tuned["again"].items()]
        again = f" Trained once more, trials came: {', '.join(told)}." if told else ""
        lines.append(
            f"- Contrast {row['contrast']:g}: {tuned['trials']} trials, {tuned['pruned']} of them pruned; mean "
            f"first-shot error of the study's own probes {default} with the defaults, {tuned['best']['value']:.2%} "
            f"with trial {tuned['best']['number']}: {weights}.{again}"
        )
    return "\n".join(lines)


PAGE = """# Does tuning help?

    OMP_NUM_THREADS=1 python benchmarks/tuning.py

{made}

32 x 32 pixels, 2,000 images of which 128 are simulated. `tune` judges a trial by 24 simulated first shots of one
training seed; here its winner and the defaults are trained from other seeds and asked for 48 other conductivities.
Mean over these seeds, and the range.

{table}

{trials}
"""


if __name__ == "__main__":
    main()
