"""First-shot error and time against the number of passes, for three ways to descend.

    OMP_NUM_THREADS=1 python benchmarks/passes.py [--model DIR] [--targets 48] [--seeds 2]
        [--out docs/results/inversion.json] [--smoke]

A pass is one evaluation of the inversion's loss and its gradient. The network is that of `benchmarks/training_ideas.py`
or --model, such as data/janus-64. First shots as in `common/shots.py`.
"""

import os

os.environ.update({name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")})

import dataclasses
import sys
import time
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))
from common.networks import models
from common.shots import Shots, binarised, head_line, moments, picked, prior, row, run, shoot


def passes(arguments):
    """Adam, with and without a Gauss-Newton start, and L-BFGS, each with several numbers of passes."""
    from janus_al.inversion import InversionConfig

    model, card, _, _ = models(arguments)
    shots, default, rows = Shots(card, arguments), InversionConfig(), []

    def newton(model, shots, noise, seed):
        """Least-norm Gauss-Newton steps of the head alone, which need no decode."""
        z, wanted = prior(model, shots, noise, seed), shots.wanted(model)
        for _ in range(5):
            z = z.detach().requires_grad_()
            k = picked(model, z, shots)
            (slope,) = torch.autograd.grad(k.sum(), z)
            step = ((wanted - k) / (slope**2).sum(dim=1))[:, None] * slope
            z = z + step * (2 / step.norm(dim=1, keepdim=True)).clamp(max=1)
        return z.detach()

    head_line("descent")
    counts = (2,) if arguments.smoke else (5, 10, 20, 40, 60, 80, 160)
    rates = (0.05,) if arguments.smoke else (0.05, 0.1, 0.2)
    for count in counts:
        tried = []
        for rate in rates:
            config = dataclasses.replace(default, steps=count, rate=rate)
            tried.append((shoot(model, shots, arguments, config=config), rate))
        best, rate = min(tried, key=lambda t: np.median(t[0][0]))
        rows.append({**row(f"Adam, {count} passes, rate {rate}", best), "passes": count, "rate": rate})
        config = dataclasses.replace(default, steps=count, rate=rate)
        found = shoot(model, shots, arguments, start=newton, config=config)
        name = f"Gauss-Newton start, then Adam, {count} passes, rate {rate}"
        rows.append({**row(name, found), "passes": count, "rate": rate})
        found = lbfgs(model, shots, arguments, count)
        rows.append({**row(f"L-BFGS, {count} passes", found), "passes": count})
    return rows


def lbfgs(model, shots, arguments, count):
    """The default's loss by L-BFGS, one member at a time as its line search wants, at most `count` evaluations."""
    from janus_al.inversion import InversionConfig

    config, wanted, began = InversionConfig(), shots.wanted(model), time.process_time()
    mean_, std = moments(model)
    physics, own = [], []
    for seed in range(arguments.seeds):
        noise = np.random.default_rng([seed, 3]).standard_normal((len(wanted), model.config.latent))
        z = prior(model, shots, torch.tensor(noise, dtype=torch.float32), seed)
        for member in range(len(z)):
            one = z[member : member + 1].detach().clone().requires_grad_()
            optimizer = torch.optim.LBFGS([one], max_iter=count, max_eval=count, line_search_fn="strong_wolfe")
            column, goal = shots.column[member], wanted[member]

            def closure(one=one, column=column, goal=goal, optimizer=optimizer):
                grey = model.decode(one)
                again = model.encode(grey)
                loss = (
                    config.l_task * (model.predict(one)[0, column] - goal) ** 2
                    + config.l_binary * (model.predict(model.encode(binarised(grey)))[0, column] - goal) ** 2
                    + config.l_cyc * ((one - again) / std).abs().mean()
                    + config.l_deep * (grey - model.decode(again)).abs().mean()
                    + config.l_align * (((one - mean_) / std) ** 2).mean()
                )
                optimizer.zero_grad()
                (one.grad,) = torch.autograd.grad(loss, one)
                return loss

            optimizer.step(closure)
            with torch.no_grad():
                z[member] = one[0]
        with torch.no_grad():
            grey = model.decode(z)
            seen = picked(model, model.encode((grey > 0.5).float()), shots)
        own.append(((seen - wanted).abs() * model.log_std[0]).numpy())
        physics.append(np.abs(shots.errors(grey)))
    seconds = (time.process_time() - began) / (len(wanted) * arguments.seeds)
    return np.concatenate(physics), seconds, np.concatenate(own)


if __name__ == "__main__":
    run(passes, __doc__)
