"""What the classes of volumes are: how coarse, how connected, how they conduct, and how few numbers tell them.

    OMP_NUM_THREADS=1 python benchmarks/structures.py [--images 64] [--seed 0] [--out docs/results] [--smoke]

For phase fields, and a quarter as many spinodoids of each kind, of 24^3 and 32^3 voxels: phase changes along a row,
volume fraction, in how many volumes each phase joins all opposite faces (six neighbours), the conductivity along the
three axes between phases of 0.1 and 1.0 by the batched backend, the largest of the three over the least, and the voxels
that are wrong after a cut of the volume's best Fourier modes at its own fraction.
Writes structures.json and structures.md.
"""

import os

os.environ.update({name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")})

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import scipy.ndimage

sys.path.insert(0, str(Path(__file__).parent))
from common.header import header

from simulators import BatchedHomogenizer, Spinodoid, generate
from simulators.structures.spinodoid import KINDS

PHASES = (0.1, 1.0)
MODES = (64, 128, 256)
CLASSES = {"phase field": (None, 1)} | {f"spinodoid, {kind}": (Spinodoid((kind,)), len(KINDS)) for kind in KINDS}
"""name -> configuration, and of how many of its classes"""


def crossings(volume):
    """Changes of phase along a row, mean of all rows of all axes."""
    return np.mean([(np.diff(volume, axis=axis) != 0).sum(axis=axis).mean() for axis in range(3)])


def joined(volume, phase):
    """Along how many of the axes a phase joins the faces."""
    clusters, _ = scipy.ndimage.label(volume == phase)
    ends = [(np.take(clusters, 0, axis), np.take(clusters, -1, axis)) for axis in range(3)]
    return sum(bool(set(np.unique(first)) & set(np.unique(last)) - {0}) for first, last in ends)


def wrong(volume, modes):
    """Share of voxels that differ in the cut of the `modes` largest Fourier coefficients, two real numbers a pair."""
    spectrum = np.fft.fftn(volume.astype(float))
    power = np.abs(spectrum.ravel())
    power[0] = np.inf
    kept = np.zeros(power.size, dtype=complex)
    best = np.argsort(-power, kind="stable")[: modes + 1]
    kept[best] = spectrum.ravel()[best]
    field = np.fft.ifftn(kept.reshape(spectrum.shape)).real.ravel()
    cut = np.zeros(volume.size, dtype=int)
    cut[np.argsort(field, kind="stable")[volume.size - volume.sum(dtype=int) :]] = 1
    return (cut != volume.ravel()).mean()


def measure(config, side, images, seed):
    """Figures of one class."""
    began = time.process_time()
    volumes = generate(images, (side,) * 3, seed, config)
    drawn = (time.process_time() - began) / images
    k = np.array([BatchedHomogenizer()(volume, PHASES).k for volume in volumes])
    ratio = k.max(axis=1) / k.min(axis=1)
    faces = {phase: [joined(volume, phase) for volume in volumes] for phase in (0, 1)}
    return {
        "side": side,
        "images": images,
        "seconds_to_draw": drawn,
        "crossings": quantiles([crossings(volume) for volume in volumes]),
        "volume_fraction": quantiles(volumes.mean(axis=(1, 2, 3))),
        "joined_along_all": {phase: float(np.mean(np.array(axes) == 3)) for phase, axes in faces.items()},
        "k": quantiles(k),
        "largest_over_least_k": quantiles(ratio),
        "wrong_after_modes": {modes: float(np.mean([wrong(volume, modes) for volume in volumes])) for modes in MODES},
    }


def quantiles(values):
    """Lowest, median and highest."""
    return [float(v) for v in np.quantile(values, (0, 0.5, 1))]


def page(found):
    """The tables, from what is in the JSON."""
    lines = [
        "# Classes of volumes",
        "",
        "    python benchmarks/structures.py --out docs/results",
        "",
        found["header"],
        "",
    ]
    lines += [__doc__.split("\n\n")[2].strip().removesuffix("\nWrites structures.json and structures.md."), ""]
    lines += ["Lowest, median and highest of each class; wrong voxels and time to draw are means. Spinodoids need not"]
    lines += ["repeat themselves here, so that Fourier modes are also spent on the step from face to face.", ""]
    for side in sorted({one["side"] for one in found["classes"].values()}):
        lines += [f"## {side} x {side} x {side}", ""]
        lines += ["| class | volumes | crossings a row | volume fraction | label 1, label 0 join all faces | k |"]
        lines[-1] += " largest / least k | wrong voxels, 64, 128, 256 modes | ms to draw |"
        lines += ["|---" * 9 + "|"]
        for name, one in found["classes"].items():
            if one["side"] == side:
                share = [f"{100 * one['joined_along_all'][phase]:.0f} %" for phase in ("1", "0")]
                modes = [f"{100 * one['wrong_after_modes'][str(m)]:.1f} %" for m in MODES]
                cells = [name.rsplit(" of ", 1)[0], f"{one['images']}", three(one["crossings"])]
                cells += [three(one["volume_fraction"]), ", ".join(share), three(one["k"])]
                cells += [three(one["largest_over_least_k"]), ", ".join(modes), f"{1e3 * one['seconds_to_draw']:.0f}"]
                lines += ["| " + " | ".join(cells) + " |"]
        lines += [""]
    return "\n".join(lines)


def three(values):
    return " / ".join(f"{value:.2f}" for value in values)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="folder of the page and its JSON")
    parser.add_argument("--smoke", action="store_true", help="seconds instead of minutes")
    arguments = parser.parse_args()
    images, sides = (2, (8,)) if arguments.smoke else (arguments.images, (24, 32))
    classes = {}
    for side in sides:
        for name, (config, share) in CLASSES.items():
            classes[f"{name} of {side}"] = measure(config, side, max(images // share, 1), arguments.seed)
            print(f"{name} of {side}: done", file=sys.stderr, flush=True)
    words = header("numpy", "scipy", "torch") + f"; seed {arguments.seed}."
    stored = json.dumps({"header": words, "classes": classes}, indent=1) + "\n"
    print(page(json.loads(stored)))
    if arguments.out is not None:
        (arguments.out / "structures.json").write_text(stored)
        (arguments.out / "structures.md").write_text(page(json.loads(stored)))


if __name__ == "__main__":
    main()
