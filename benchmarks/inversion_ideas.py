"""What brings the first-shot error down, in inversion: one network, one thing changed.

    OMP_NUM_THREADS=1 python benchmarks/inversion_ideas.py [--model DIR] [--targets 48] [--seeds 2]
        [--out docs/results/inversion.json] [--smoke]

The network is that of `benchmarks/training_ideas.py`, and the ensembles are of its seeds, or it is --model, such as
data/janus-64. First shots as in `common/shots.py`.
"""

import os

os.environ.update({name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")})

import dataclasses
import math
import sys
import time
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))
from common.networks import SEEDS, models
from common.shots import Shots, binarised, head_line, moments, picked, prior, row, run, shoot, straight_through


def ideas(arguments):
    """One row for each way to invert."""
    from janus_al.batches import Symmetry
    from janus_al.inversion import InversionConfig
    from janus_al.training import encode
    from simulators.solvers.layer import log_conductivity

    model, card, samples, ensemble = models(arguments)
    shots, default = Shots(card, arguments), InversionConfig()
    low, high = (math.log(k) for k in card.phase_conductivity)

    def ensembled(penalty):
        def make(model, shots, config):
            wanted = shots.wanted(model)

            def task(z, grey):
                seen = [picked(m, m.encode(binarised(grey)), shots) for m in ensemble]
                # In the scale of the first, which is that of the wanted values.
                logs = torch.stack(
                    [
                        (s * m.log_std[0] + m.log_mean[0] - model.log_mean[0]) / model.log_std[0]
                        for s, m in zip(seen, ensemble, strict=True)
                    ]
                )
                again = (logs.mean(dim=0) - wanted) ** 2 + penalty * logs.var(dim=0)
                return config.l_task * (picked(model, z, shots) - wanted) ** 2 + config.l_binary * again

            return task

        return make

    def stopped_early():
        """Every member keeps the pass at which the ensemble's error and spread, in log k, were smallest together."""
        best = {}

        def make(model, shots, config):
            inner, wanted = straight_through(model, shots, config), shots.wanted(model) * model.log_std[0]
            best.clear()

            def task(z, grey):
                with torch.no_grad():
                    binary = (grey > 0.5).float()
                    logs = torch.stack(
                        [picked(m, m.encode(binary), shots) * m.log_std[0] + m.log_mean[0] for m in ensemble]
                    )
                    score = (logs[0] - model.log_mean[0] - wanted).abs() + logs.std(dim=0)
                    if not best:
                        best.update(score=score, z=z.detach().clone())
                    better = score < best["score"]
                    best["score"] = torch.where(better, score, best["score"])
                    best["z"] = torch.where(better[:, None], z.detach(), best["z"])
                return inner(z, grey)

            return task

        return {"task": make, "finish": lambda z: best["z"]}

    def symmetrised(model, shots, config):
        wanted = shots.wanted(model)

        def task(z, grey):
            binary, seen = binarised(grey), []
            for transposed, *mirrored in np.ndindex(2, 2, 2):
                turn = [np.repeat(bits, len(z), axis=-1) for bits in (np.array(mirrored, bool)[:, None], transposed)]
                copy = Symmetry(model.config.grid, model.config.properties, *turn)
                seen.append(copy.of_properties(model.predict(model.encode(copy.of_images(binary)))))
            k = torch.stack(seen).mean(dim=0).gather(1, shots.column[:, None]).squeeze(1)
            return config.l_task * (picked(model, z, shots) - wanted) ** 2 + config.l_binary * (k - wanted) ** 2

        return task

    def sharpened(model, shots, config):
        wanted = shots.wanted(model)

        def task(z, grey):
            sharp = torch.sigmoid(4 * torch.logit(grey.clamp(1e-4, 1 - 1e-4)))
            again = (picked(model, model.encode(sharp), shots) - wanted) ** 2
            return config.l_task * (picked(model, z, shots) - wanted) ** 2 + config.l_binary * again

        return task

    def encodings(parts, nearest):
        def start(model, shots, noise, seed):
            z = encode(model, samples.image)
            rng = np.random.default_rng([seed, 4])
            if not nearest:
                chosen = z[rng.integers(len(z), size=(len(noise), parts))]
                weight = torch.tensor(rng.dirichlet(np.ones(parts), len(noise)), dtype=torch.float32)
                return (weight[:, :, None] * chosen).sum(dim=1)
            with torch.no_grad():
                k = model.predict(z)[:, shots.column]
            close = (k - shots.wanted(model)).abs().argsort(dim=0)[:20]
            return z[close[torch.tensor(rng.integers(20, size=len(noise))), torch.arange(len(noise))]]

        return start

    def by_physics(steps, rate):
        """Newton steps of least norm on the simulated log k of the decode, through the decoder."""

        def finish(z):
            log = torch.tensor(np.log(shots.value))
            for _ in range(steps):
                z = z.detach().requires_grad_()
                # The cut is passed straight through, so the value is that of the binary image.
                kappa = torch.exp(low + (high - low) * binarised(model.decode(z)).double())
                k = log_conductivity(kappa).gather(1, shots.column[:, None]).squeeze(1)
                (slope,) = torch.autograd.grad(k.sum(), z)
                gap = ((log - k) / (slope.double() ** 2).sum(dim=1)).detach().float()
                z = z + rate * gap[:, None] * slope
            return z.detach()

        return finish

    def weighed(factor):
        return replace(default, l_task=factor * default.l_task, l_binary=factor * default.l_binary)

    replace = dataclasses.replace
    rows = []
    head_line("inversion")
    plan = [
        ("as it is", {}, ""),
        ("head on z alone, no straight-through", {"config": replace(default, l_binary=0.0)}, ""),
        ("straight-through alone, no head on z", {"config": replace(default, l_task=0.0)}, ""),
        ("sharpened decode (4 x logits) instead of the cut", {"task": sharpened}, ""),
        ("no cycle terms", {"config": replace(default, l_cyc=0.0, l_deep=0.0)}, ""),
        ("no alignment", {"config": replace(default, l_align=0.0)}, ""),
        ("alignment 10 times stronger", {"config": replace(default, l_align=1.0)}, ""),
        ("task weights 10 times stronger", {"config": weighed(10)}, ""),
        ("task weights 30 times weaker", {"config": weighed(1 / 30)}, ""),
        ("head averaged over the 8 symmetric copies", {"task": symmetrised}, ""),
        ("1 Newton step by physics through the decoder", {"finish": by_physics(1, 1.0)}, "1 simulation more"),
        ("3 Newton steps by physics through the decoder", {"finish": by_physics(3, 1.0)}, "3 simulations more"),
    ]
    if samples is not None:
        plan += [
            ("from encodings of real samples", {"start": encodings(1, False)}, ""),
            ("from mixtures of 2 encodings", {"start": encodings(2, False)}, ""),
            ("from encodings with nearly the wanted k", {"start": encodings(1, True)}, ""),
        ]
    if len(ensemble) > 1:
        plan += [
            (f"{SEEDS} networks, their mean", {"task": ensembled(0.0)}, f"{SEEDS} trainings"),
            (f"{SEEDS} networks, variance penalty 1", {"task": ensembled(1.0)}, f"{SEEDS} trainings"),
            (f"{SEEDS} networks, variance penalty 10", {"task": ensembled(10.0)}, f"{SEEDS} trainings"),
            (f"stopped where error and spread of {SEEDS} networks are least", stopped_early(), f"{SEEDS} trainings"),
        ]
    for name, change, note in plan:
        rows.append(row(name, shoot(model, shots, arguments, **change), note))
    if len(ensemble) > 1:
        rows.append(
            row("of 4 inversions that on which the networks agree", agreement(model, shots, ensemble, arguments))
        )
    return rows


def agreement(model, shots, ensemble, arguments):
    """Keep, of four inversions of each target, that on whose k the ensemble spreads least."""
    from janus_al.inversion import InversionConfig, descend

    config, wanted, began = InversionConfig(), shots.wanted(model), time.process_time()
    physics, own = [], []
    for seed in range(arguments.seeds):
        greys, spreads, misses = [], [], []
        for member in range(4):
            noise = np.random.default_rng([seed, 3, member]).standard_normal((len(wanted), model.config.latent))
            z = prior(model, shots, torch.tensor(noise, dtype=torch.float32), seed)
            z = descend(model, z, straight_through(model, shots, config), moments(model), config)
            with torch.no_grad():
                grey = model.decode(z)
                seen = [
                    picked(m, m.encode((grey > 0.5).float()), shots) * m.log_std[0] + m.log_mean[0] for m in ensemble
                ]
            greys.append(grey)
            spreads.append(torch.stack(seen).std(dim=0))
            misses.append((seen[0] - model.log_mean[0] - wanted * model.log_std[0]).abs())
        best = torch.stack(spreads).argmin(dim=0)
        rows = torch.arange(len(wanted))
        own.append(torch.stack(misses)[best, rows].numpy())
        physics.append(np.abs(shots.errors(torch.stack(greys)[best, rows])))
    seconds = (time.process_time() - began) / (len(wanted) * arguments.seeds)
    return np.concatenate(physics), seconds, np.concatenate(own)


if __name__ == "__main__":
    run(ideas, __doc__)
