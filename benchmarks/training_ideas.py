"""What brings the first-shot error down, in training: networks with one setting changed, inverted with the defaults.

    OMP_NUM_THREADS=1 python benchmarks/training_ideas.py [--targets 48] [--seeds 2] [--out docs/results/inversion.json]
        [--smoke]

2,048 images of 32 x 32 pixels, of which 512 were simulated, unless the row says otherwise; equal steps, unless the row
says otherwise. First shots as in `common/shots.py`.
"""

import os

os.environ.update({name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")})

import dataclasses
import sys
from pathlib import Path
from statistics import mean

import numpy as np
import torch

from janus_al.material import conduction

sys.path.insert(0, str(Path(__file__).parent))
from common.networks import SEEDS, datasets, network
from common.shots import PHASES, Shots, head_line, row, run, shoot


def training(arguments):
    """One row for each network."""
    from janus_al.evaluation import evaluate
    from janus_al.samples import concatenate
    from loop.design.targets import Target, interval
    from loop.simulation.executors import open_executor
    from loop.simulation.rows import to_samples
    from loop.simulation.simulate import Execution, simulate
    from loop.studies.single import shots_at, tools_of
    from simulators import Result

    partial, full, test = datasets(arguments)
    simulated = int(partial.simulated.sum())
    base, base_card = network(arguments, "base", partial, 0, {})

    def decodes(inverted):
        """As many again, from decodes of inversions or of random latent vectors."""
        rng = np.random.default_rng(5)
        if inverted:
            low, high = base_card.property_range["kxx"]
            values = rng.uniform(low, high, simulated)
            goals = [
                Target("t", {("kxx", "kyy")[i % 2]: interval("kxx", v, tolerance=0.01)}) for i, v in enumerate(values)
            ]
            with open_executor("process", 1) as executor:
                execution = Execution(executor, "direct", cached=True)
                images = [c.image for c in shots_at(tools_of(base, base_card), goals, 9, execution)]
        else:
            z = base.latent_mean + base.latent_std * torch.tensor(
                rng.standard_normal((simulated, base.config.latent)), dtype=torch.float32
            )
            with torch.no_grad():
                images = [(g > 0.5).astype(np.uint8) for g in base.decode(z).numpy()]
        with open_executor("process", 1) as executor:
            found = list(simulate(images, conduction(PHASES), Execution(executor, "direct")))
        kept = [(i, r) for i, r in zip(images, found, strict=True) if isinstance(r, Result)]
        return concatenate([partial, to_samples([i for i, _ in kept], [r for _, r in kept], conduction(PHASES))])

    variants = [
        *((f"as it is, {simulated} simulated, seed {seed}", partial, {}) for seed in range(SEEDS)),
        ("labels only", partial, {"l_sens": 0.0}),
        ("l_sens 3", partial, {"l_sens": 3.0}),
        ("l_sens 30", partial, {"l_sens": 30.0}),
        ("sensitivities pooled by 2", partial, {"pool": 2}),
        ("sensitivities pooled by 4", partial, {"pool": 4}),
        ("no symmetries", partial, {"symmetries": False}),
        ("k, not log k", linear(partial), {}),
        ("reconstruction by L1", partial, {"reconstruction": "l1"}),
        ("half the reconstruction weight", partial, {"l_rec": 10.0}),
        ("no cycle terms", partial, {"l_cyc": 0.0, "l_deep": 0.0}),
        ("all images simulated", full, {}),
        ("as many decodes of random latents more", decodes(False), {}),
        ("as many inverted decodes more", decodes(True), {}),
        ("twice the steps", partial, {"steps": 2 * arguments.steps}),
        ("24 channels", partial, {"channels": 24}),
        ("stem of 2 pixels", partial, {"stem": 2}),
        ("Janus-ViT", partial, {"architecture": "vit", "rate": 1e-3}),
    ]
    rows = []
    head_line("training")
    for number, (name, samples, change) in enumerate(variants):
        seed = number if number < SEEDS else 0
        label = "base" if number < SEEDS else name
        model, card = network(arguments, label, samples, seed, change)
        shots = Shots(base_card, arguments)
        report = evaluate(model, test)
        error = mean(p["relative_error_mean"] for p in report["properties"].values())
        if name == "k, not log k":
            shots.scale = np.asarray
            error = linear_error(model, test)
        note = f"test error {error:.2%}, pixel MAE {report['pixel_mae']:.3f}, {card.seconds:.0f} s"
        found = row(name, shoot(model, shots, arguments), note)
        rows.append({**found, "test_error": error, "pixel_mae": report["pixel_mae"], "seconds": card.seconds})
    return rows


def linear(samples):
    """Samples whose log k is the k of these, so that a head trained on them predicts k itself."""
    k = samples.properties[:, :2]
    properties = np.concatenate([np.exp(k), samples.properties[:, 2:]], axis=1)
    slope = samples.sensitivity.astype(float) * k[:, :, None, None]
    return dataclasses.replace(samples, properties=properties, sensitivity=slope.astype(np.float16))


@torch.no_grad()
def linear_error(model, test):
    """Mean relative error of a head that predicts k."""
    seen = model.predict(model.encode(torch.tensor(test.image).float())) * model.log_std + model.log_mean
    return float(np.abs(seen.numpy() / test.properties[:, :2] - 1).mean())


if __name__ == "__main__":
    run(training, __doc__)
