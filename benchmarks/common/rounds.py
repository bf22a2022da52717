"""Rounds of first shots at joint pairs, simulated in this process, and what a model is worth before and after them."""

import dataclasses
from statistics import mean

import numpy as np

from common.data import kept
from janus_al.material import conduction

MIDDLE = {10.0: (0.2, 0.5), 100.0: (0.03, 0.4), 1000.0: (0.003, 0.4)}
"""by contrast: where the geometric mean of kxx and kyy lies, about the 10th and 90th percentile of phase fields"""


def phases(contrast):
    return (1 / contrast, 1.0)


def simulated(arguments, name, count, seed):
    """Simulated phase-field images, made once."""
    from simulators import generate

    count = min(count, 8) if arguments.smoke else count
    material = conduction(phases(arguments.contrast))
    return kept(arguments.cache / f"{name}-{count}.h5", lambda: generate(count, arguments.size, seed), material, seed)


def pairs(count, seed, contrast):
    """Targets of kxx and kyy together, of ratio 1 to 3, that some volume fraction allows with 3 % to spare."""
    from loop.design.targets import Target, interval

    rng, found = np.random.default_rng([seed, 11]), []
    while len(found) < count:
        middle, ratio = np.exp(rng.uniform(*np.log(MIDDLE[contrast]))), rng.uniform(1, 3) ** rng.choice([-1, 1])
        x, y = middle * ratio**0.5, middle * ratio**-0.5
        spare = 1.03 if x > y else 1 / 1.03
        if possible(x * spare, y / spare, phases(contrast)):
            found.append(Target("pair", {"kxx": interval("kxx", x, 0.01), "kyy": interval("kyy", y, 0.01)}))
    return found


def possible(x, y, constants):
    """Whether two-phase conductors of some volume fraction reach both (Lurie and Cherkaev; Tartar)."""
    low, high = constants
    f = np.linspace(0.2, 0.8, 601)
    a, h = low + f * (high - low), 1 / ((1 - f) / low + f / high)
    inside = (h <= min(x, y)) & (max(x, y) <= a)
    inside &= 1 / (x - low) + 1 / (y - low) <= 1 / (h - low) + 1 / (a - low)
    inside &= 1 / (high - x) + 1 / (high - y) <= 1 / (high - h) + 1 / (high - a)
    return bool(inside.any())


def shots(model, targets, seed, contrast, steps=0):
    """The best of four inversions for each target, refined; and all images that were simulated, with their results."""
    from loop.design.candidates import answer
    from loop.design.generators import Tools
    from loop.design.generators.janus import JanusGenerator
    from loop.design.pool import Known
    from loop.design.refine import Refinement, refine
    from simulators import make, run

    images, results, material = [], [], conduction(phases(contrast))
    simulator = make("conduction", "dirichlet", {"conductivity": phases(contrast), "solver": "direct"})

    def simulate(asked):
        images.extend(asked)
        results.extend(found := run(simulator, asked))
        return found

    janus = JanusGenerator(Tools(grid=model.config.grid, material=material, swarm=4, model=lambda: (model, None)))
    candidates = answer(janus, targets, Known(), material.boundary, seed)
    candidates = [dataclasses.replace(c, probe=False) for c in candidates]
    refine(candidates, simulate, Refinement(material, steps, generator=lambda: janus))
    return candidates, images, results


def extremes(found, end):
    """The largest ratio, and the largest kxx with no more than 30 % of label 1, or none."""
    thrifty = [x for x, _, fraction in found if fraction <= 0.3]
    return {f"ratio{end}": max(x / y for x, y, _ in found), f"kxx{end}": max(thrifty, default=None)}


def first_shots(model, arguments, seed):
    """Errors of the first shots at fresh pairs."""
    asked = pairs(arguments.pairs, 10_000 + seed, arguments.contrast)
    candidates, _, _ = shots(model, asked, [seed, 0], arguments.contrast)
    errors = np.array([c.error for c in candidates])
    return {
        "shot_median": float(np.median(errors)),
        "shot_mean": float(errors.mean()),
        "hits": float((errors <= 0.01).mean()),
    }


def figures(model, test):
    from janus_al.evaluation import evaluate

    report = evaluate(model, test)
    return {
        "test_error": mean(p["relative_error_mean"] for p in report["properties"].values()),
        "pixel_mae": report["pixel_mae"],
    }
