"""Phase-field images against a plain double-precision loop over single images, side by side in one run.

    OMP_NUM_THREADS=1 python benchmarks/phasefield.py [--images 64] [--steps 3200] [--smoke]

The plain loop steps one image at a time with complex transforms, the same scheme with everything constant taken
out of the loop; it runs on the first four images, ours on all. Process CPU time, medians of interleaved runs.
"""

import os

os.environ.update({name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")})

import argparse
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from common.header import header

from simulators.structures.phasefield import BATCH_PIXELS, Mixtures, free_energy

SIDE = 64


def plain(composition, gradient_energy, steps):
    """One image (side, side), step by step."""
    k = 2 * np.pi * np.fft.fftfreq(len(composition))
    k2 = k**2 + k[:, None] ** 2
    implicit = 1 + k2 * (2 + gradient_energy * k2)
    for _ in range(steps):
        explicit = np.fft.fft2(composition**3 - 3 * composition)
        composition = np.fft.ifft2((np.fft.fft2(composition) - k2 * explicit) / implicit).real
    return composition


def ours(composition, gradient_energy, steps):
    """A batch (n, side, side), in parts that fit a core's cache as `generate` makes them."""
    size, parts = max(1, BATCH_PIXELS // SIDE**2), []
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
    k2 = (2 * np.pi * 2 / SIDE) ** 2
    mode = np.cos(2 * np.pi * 2 * np.arange(SIDE) / SIDE) * np.ones((SIDE, 1))
    mixtures = Mixtures(1e-5 * mode[None], np.array([1.0]), 1e-3)
    mixtures.advance(1)
    rate = np.log((mixtures.composition[0] * mode).sum() / (1e-5 * (mode**2).sum())) / 1e-3
    return abs(rate / (k2 * (1 - k2)) - 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--steps", type=int, default=3200)
    parser.add_argument("--smoke", action="store_true", help="seconds instead of minutes")
    arguments = parser.parse_args()
    images, steps = (8, 50) if arguments.smoke else (arguments.images, arguments.steps)
    noise = 0.1 * np.random.default_rng(0).standard_normal((images, SIDE, SIDE))
    start, gradient_energy = noise - noise.mean(axis=(1, 2), keepdims=True), np.linspace(0.8, 2.0, images)
    alone, together = [], []
    for _ in range(1 if arguments.smoke else 3):
        spent, single = cpu_ms(lambda: [plain(start[i], gradient_energy[i], steps) for i in range(4)])
        alone.append(spent / 4)
        spent, batch = cpu_ms(lambda: ours(start, gradient_energy, steps))
        together.append(spent / images)
    mixtures, rise, energy = Mixtures(start, gradient_energy, 1.0), 0.0, free_energy(start, gradient_energy)
    for _ in range(steps // 10):
        mixtures.advance(10)
        lower = free_energy(mixtures.composition, gradient_energy)
        rise, energy = max(rise, float(((lower - energy) / energy).max())), lower
    print(header("numpy", "scipy"), "\n")
    print(f"{images} images of {SIDE} x {SIDE}, {steps} steps\n")
    print(
        "| plain loop, CPU ms an image | ours | ratio | largest difference | mass drift | energy rise | growth rate |"
    )
    print("|---|---|---|---|---|---|---|")
    difference = max(np.abs(b - s).max() for b, s in zip(batch, single, strict=False))
    drift = np.abs(batch.mean(axis=(1, 2)) - start.mean(axis=(1, 2))).max()
    cells = [f"{median(alone):.0f}", f"{median(together):.0f}", f"{median(alone) / median(together):.2f}"]
    print("|", " | ".join([*cells, f"{difference:.0e}", f"{drift:.0e}", f"{rise:.0e}", f"{growth_error():.1e}"]), "|")


if __name__ == "__main__":
    main()
