"""KHRONOS against a multilayer perceptron of as many parameters on the borehole function, and its inversion timed.

    OMP_NUM_THREADS=1 python benchmarks/khronos.py [--samples 2000] [--steps 4000] [--seeds 3]
        [--rank 25] [--intervals 3] [--smoke]

The borehole function (Morris, Mitchell & Ylvisaker 1993): flow through a borehole, smooth in eight variables, here
scaled to the unit cube. Both learn its standardised logarithm from the same samples with the same optimiser and
number of steps, float64; errors are relative errors of the flow on 5,000 other points. Inversion: Gauss-Newton steps of
least norm on the analytic gradient, from random starts to targets across the 5th to 95th percentile.
"""

import os

os.environ.update({name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")})

import argparse
import sys
import time
from pathlib import Path
from statistics import mean

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parent))
from common.header import header

from janus_al.networks.khronos import Khronos

LOW = torch.tensor([0.05, 100.0, 63070.0, 990.0, 63.1, 700.0, 1120.0, 9855.0], dtype=torch.float64)
HIGH = torch.tensor([0.15, 50000.0, 115600.0, 1110.0, 116.0, 820.0, 1680.0, 12045.0], dtype=torch.float64)


def borehole(u):
    """Flow in m^3 a year for points of the unit cube (n, 8)."""
    rw, r, tu, hu, tl, hl, length, kw = (LOW + u * (HIGH - LOW)).T
    log_ratio = torch.log(r / rw)
    return 2 * torch.pi * tu * (hu - hl) / (log_ratio * (1 + 2 * length * tu / (log_ratio * rw**2 * kw) + tu / tl))


class Perceptron(nn.Module):
    """Two hidden layers as wide as the parameters allow."""

    def __init__(self, parameters):
        super().__init__()
        width = 1
        while 8 * (width + 1) + (width + 1) ** 2 + 4 * (width + 1) + 1 <= parameters:
            width += 1
        self.layers = nn.Sequential(
            nn.Linear(8, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 1)
        )

    def forward(self, z):  # noqa: D102
        return self.layers(2 * torch.sigmoid(z) - 1)


def train(model, z, y, steps):
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=steps)
    for step in range(steps):
        rows = torch.randint(len(z), (256,), generator=torch.Generator().manual_seed(step))
        loss = ((model(z[rows])[:, 0] - y[rows]) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


def invert(model, targets, seed, steps):
    """Latent points (n, 8) whose predictions are the targets, and the seconds it took."""
    torch.manual_seed(seed)
    z = torch.logit(torch.rand(len(targets), 8, dtype=torch.float64).clamp(0.05, 0.95))
    began = time.perf_counter()
    for _ in range(steps):
        z.requires_grad_()
        value = model(z)[:, 0]
        (gradient,) = torch.autograd.grad(value.sum(), z)
        step = ((targets - value) / (gradient**2).sum(dim=1)).unsqueeze(1) * gradient
        # No step longer than a few units of the latent space, where the model says little.
        z = (z + step * (2 / step.norm(dim=1, keepdim=True)).clamp(max=1)).detach()
    return z, time.perf_counter() - began


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rank", type=int, default=25)
    parser.add_argument("--intervals", type=int, default=3)
    parser.add_argument("--smoke", action="store_true", help="seconds instead of minutes")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    samples, steps, seeds = (200, 100, 1) if arguments.smoke else (arguments.samples, arguments.steps, arguments.seeds)
    print(header("torch"), "\n")
    print(f"{samples} samples, {steps} steps, {seeds} seeds\n")
    rows = {"KHRONOS": [], "perceptron": []}
    inversions = []
    for seed in range(seeds):
        torch.manual_seed(seed)
        u, test = (torch.rand(n, 8, dtype=torch.float64) for n in (samples, 5000))
        log = torch.log(borehole(u))
        centre, spread = log.mean(), log.std()
        head = Khronos(8, 1, rank=arguments.rank, intervals=arguments.intervals).double()
        count = sum(p.numel() for p in head.parameters())
        for name, model in (("KHRONOS", head), ("perceptron", Perceptron(count).double())):
            began = time.process_time()
            train(model, torch.logit(u.clamp(1e-6, 1 - 1e-6)), (log - centre) / spread, steps)
            spent = time.process_time() - began
            with torch.no_grad():
                found = torch.exp(model(torch.logit(test.clamp(1e-6, 1 - 1e-6)))[:, 0] * spread + centre)
            error = (found / borehole(test) - 1).abs()
            size = sum(p.numel() for p in model.parameters())
            rows[name].append((size, float(error.mean()), float(error.quantile(0.99)), spent))
        low, high = torch.quantile(log, torch.tensor([0.05, 0.95], dtype=torch.float64))
        targets = torch.linspace(float(low), float(high), 1000, dtype=torch.float64)
        for passes in (3, 5, 10):
            z, seconds = invert(head, (targets - centre) / spread, seed, passes)
            with torch.no_grad():
                own = (torch.exp(head(z)[:, 0] * spread + centre - targets) - 1).abs()
            true = (borehole(torch.sigmoid(z)) / torch.exp(targets) - 1).abs()
            inversions.append((passes, float(own.median()), float(true.median()), 1e6 * seconds / 1000))
    print("| model | parameters | mean error | 99th percentile | CPU s |\n|---|---|---|---|---|")
    for name, found in rows.items():
        size, error, tail, spent = (mean(column) for column in zip(*found, strict=True))
        print(f"| {name} | {size:.0f} | {error:.3%} | {tail:.3%} | {spent:.0f} |")
    print("\nInversion of 1,000 targets at once by KHRONOS\n")
    print("| Gauss-Newton steps | median error by the head | by the function | microseconds each |\n|---|---|---|---|")
    for passes in (3, 5, 10):
        own, true, micro = (mean(c) for c in list(zip(*(r for r in inversions if r[0] == passes), strict=True))[1:])
        print(f"| {passes} | {own:.1e} | {true:.3%} | {micro:.0f} |")


if __name__ == "__main__":
    main()
