"""Phase-field images against a plain double-precision loop over single images, side by side in one run.

    OMP_NUM_THREADS=1 python benchmarks/phasefield.py [--images 64] [--steps 3200] [--smoke]

The plain loop steps one image at a time with complex transforms, the same scheme with everything constant taken
out of the loop; it runs on the first four images, ours on all. Process CPU time, medians of interleaved runs.
Planes of 64 x 64, and an eighth of the images and of the steps for volumes of 32 x 32 x 32 and boxes of 16 x 32 x 32.
"""

import os

os.environ.update({name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")})

import argparse
import math
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from common.header import header

from simulators.structures.phasefield import BATCH_PIXELS, Mixtures, free_energy

GRIDS = ((64, 64), (32, 32, 32), (16, 32, 32))
MODE = 64


def plain(composition, gradient_energy, steps):
    """One image, step by step."""
    k = np.meshgrid(*(2 * np.pi * np.fft.fftfreq(side) for side in composition.shape), indexing="ij")
    k2 = sum(one**2 for one in k)
    implicit = 1 + k2 * (2 + gradient_energy * k2)
    for _ in range(steps):
        explicit = np.fft.fftn(composition**3 - 3 * composition)
        composition = np.fft.ifftn((np.fft.fftn(composition) - k2 * explicit) / implicit).real
    return composition


def ours(composition, gradient_energy, steps):
    """A batch (n, *grid), in parts that fit a core's cache as `generate` makes them."""
    size, parts = max(1, BATCH_PIXELS // math.prod(composition.shape[1:])), []
    for first in range(0, len(composition), size):
        part = slice(first, first + size)
        mixtures = Mixtures(composition[part], gradient_energy[part], 1.0)
        mixtures.advance(steps)
        parts.append(mixtures.composition)
    return np.concatenate(parts)


def cpu_ms(call):
    began = time.process_time()
    value = call()
    return 1e3 * (time.process_time() - began), value


def growth_error():
    """Relative error of the growth rate of one small mode, at a small time step."""
    k2 = (2 * np.pi * 2 / MODE) ** 2
    mode = np.cos(2 * np.pi * 2 * np.arange(MODE) / MODE) * np.ones((MODE, 1))
    mixtures = Mixtures(1e-5 * mode[None], np.array([1.0]), 1e-3)
    mixtures.advance(1)
    rate = np.log((mixtures.composition[0] * mode).sum() / (1e-5 * (mode**2).sum())) / 1e-3
    return abs(rate / (k2 * (1 - k2)) - 1)


def row(grid, images, steps, runs):
    """The table's row of one grid."""
    inside = tuple(range(1, len(grid) + 1))
    noise = 0.1 * np.random.default_rng(0).standard_normal((images, *grid))
    start, gradient_energy = noise - noise.mean(axis=inside, keepdims=True), np.linspace(0.8, 2.0, images)
    alone, together = [], []
    for _ in range(runs):
        spent, single = cpu_ms(lambda: [plain(start[i], gradient_energy[i], steps) for i in range(4)])
        alone.append(spent / 4)
        spent, batch = cpu_ms(lambda: ours(start, gradient_energy, steps))
        together.append(spent / images)
    mixtures, rise, energy = Mixtures(start, gradient_energy, 1.0), 0.0, free_energy(start, gradient_energy)
    for _ in range(steps // 10):
        mixtures.advance(10)
        lower = free_energy(mixtures.composition, gradient_energy)
        rise, energy = max(rise, float(((lower - energy) / energy).max())), lower
    difference = max(np.abs(b - s).max() for b, s in zip(batch, single, strict=False))
    drift = np.abs(batch.mean(axis=inside) - start.mean(axis=inside)).max()
    cells = [f"{images} of {' x '.join(map(str, grid))}", f"{steps}", f"{median(alone):.0f}", f"{median(together):.0f}"]
    return [*cells, f"{median(alone) / median(together):.2f}", f"{difference:.0e}", f"{drift:.0e}", f"{rise:.0e}"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--steps", type=int, default=3200)
    parser.add_argument("--smoke", action="store_true", help="seconds instead of minutes")
    arguments = parser.parse_args()
    images, steps = (8, 50) if arguments.smoke else (arguments.images, arguments.steps)
    print(header("numpy", "scipy"), "\n")
    print(f"Growth rate of one mode of {MODE} x {MODE}: {growth_error():.1e} off.\n")
    print("| images | steps | plain loop, CPU ms each | ours | ratio | largest difference | mass drift | energy rise |")
    print("|---|---|---|---|---|---|---|---|")
    for grid in GRIDS:
        n, m = (images, steps) if len(grid) == 2 else (max(images // 8, 4), max(steps // 8, 10))
        print("|", " | ".join(row(grid, n, m, 1 if arguments.smoke else 3)), "|", flush=True)


if __name__ == "__main__":
    main()
