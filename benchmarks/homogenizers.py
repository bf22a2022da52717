"""Time and error of every homogenizer, ours and others', on the same images side by side in one run.

    OMP_NUM_THREADS=1 python benchmarks/homogenizers.py [--sizes 32,64,128,256] [--contrasts 10,100,1000]
        [--parts planes,periodic,volumes] [--smoke]

Process CPU time, medians over images and repetitions, all methods in turn on each image. Ours give kxx and kyy
with both bounds and both sensitivity maps; the table shows half of that, to stand beside peers that give one
number along one direction. Errors are against a direct solve of the same network in the method's own convention
(`benchmarks/common/peers.py`): solver errors, not discretisation errors. `pip install -r benchmarks/requirements.txt
-c constraints.txt` gets the peers; one that is missing is left out, and said so.
"""

import os

os.environ.update({name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")})

import argparse
import sys
import time
import warnings
from pathlib import Path
from statistics import median

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from common import peers
from common.header import header

from simulators import BatchedHomogenizer, DirectHomogenizer, FipyHomogenizer, generate
from simulators.conduction.bounds import LogTensor
from simulators.conduction.elements import upper_bound
from simulators.conduction.problem import Conduction, both_sides
from simulators.solvers.direct import solve_directly
from simulators.solvers.fipy import solve_by_fipy

PEERS = {
    "naive FiPy": (peers.naive_fipy, "half"),
    "TauFactor": (peers.taufactor, "ghost"),
    "OpenPNM": (peers.openpnm, "layer"),
    "scikit-fem Q1": (peers.scikit_fem, "Q1"),
}


def cpu_ms(call):
    began = time.process_time()
    value = call()
    return 1e3 * (time.process_time() - began), value


def exact(kappa, convention):
    if convention == "Q1":
        bound: LogTensor = upper_bound(kappa[None], periodic=False)
        return float(np.exp(bound.log[0, 0, 0]))
    return peers.network(kappa, convention)


def values_only(kappa):
    """The certified bounds of kxx and kyy without any derivative: what the maps come on top of."""
    found = []
    for field in (kappa, kappa.T, 1 / kappa.T, 1 / kappa):
        problem = Conduction(field[None, None], 2, periodic=False)
        deviation, _ = solve_directly(problem)
        sides = both_sides(problem.fluxes(deviation), problem.axes)
        flux = (sides[1][0] + sides[1][1]).mean() / 2
        energy = sum((low * low + low * high + high * high) / 3 for low, high in sides) * problem.resistivity
        found.append((flux, flux**2 / energy.mean()))
    return found


def one_fipy_solve(kappa):
    """What the straightforward script computes, by our FiPy backend: k_fv along x from one solve."""
    problem = Conduction(kappa[None, None], 2, periodic=False)
    deviation, _ = solve_by_fipy(problem)
    return float(problem.fluxes(deviation)[1].mean())


def available(names):
    image = np.array([[1.0, 2.0, 1.0], [2.0, 1.0, 2.0], [1.0, 1.0, 2.0]])
    kept = []
    for name in names:
        try:
            PEERS[name][0](image)
            kept.append(name)
        except ImportError as error:
            print(f"{name} left out: {error}; pip install -r benchmarks/requirements.txt -c constraints.txt\n")
    return kept


def plane(size, contrast, images, repeats, names):
    """Rows (method, ms, error, imbalance) for one size and contrast."""
    phases = (1.0, contrast)
    ours = {"fipy": FipyHomogenizer(), "direct": DirectHomogenizer()}
    batched = BatchedHomogenizer()
    seconds = {name: [] for name in [*names, "fipy, one solve", *ours, "batched", "direct, bounds only"]}
    errors = {name: [0.0] for name in seconds}
    imbalance = {name: [] for name in seconds}
    for repeat in range(repeats):
        for image in images:
            kappa = np.asarray(phases)[image]
            for name in names:
                spent, value = cpu_ms(lambda call=PEERS[name][0], kappa=kappa: call(kappa))
                seconds[name].append(spent)
                if repeat == 0:
                    errors[name].append(abs(value / exact(kappa, PEERS[name][1]) - 1))
            for name, homogenizer in ours.items():
                spent, result = cpu_ms(lambda call=homogenizer, image=image: call(image, phases))
                seconds[name].append(spent / 2)
                imbalance[name].append(result.flux_imbalance)
                if repeat == 0:
                    errors[name].append(abs(result.k_fv[0] / exact(kappa, "half") - 1))
            spent, value = cpu_ms(lambda kappa=kappa: one_fipy_solve(kappa))
            seconds["fipy, one solve"].append(spent)
            if repeat == 0:
                errors["fipy, one solve"].append(abs(value / exact(kappa, "half") - 1))
            seconds["direct, bounds only"].append(cpu_ms(lambda kappa=kappa: values_only(kappa))[0] / 2)
        spent, results = cpu_ms(lambda: batched.many(images, phases))
        seconds["batched"].append(spent / len(images) / 2)
        for image, result in zip(images, results, strict=True):
            imbalance["batched"].append(result.flux_imbalance)
            errors["batched"].append(abs(result.k_fv[0] / exact(np.asarray(phases)[image], "half") - 1))
    return [(n, median(seconds[n]), max(errors[n]), max(imbalance[n], default=None)) for n in seconds]


def periodic(size, contrast, images, repeats):
    """The full tensor with its bracket and three maps."""
    rows = []
    kinds = {"fipy": FipyHomogenizer, "direct": DirectHomogenizer, "batched": BatchedHomogenizer}
    for name, kind in kinds.items():
        homogenizer, spent = kind("periodic"), []
        for _ in range(repeats):
            spent += [cpu_ms(lambda h=homogenizer, i=image: h(i, (1.0, contrast)))[0] for image in images]
        rows.append((name, median(spent)))
    return rows


def volume(side, contrast, repeats):
    """One volume, three directions with bounds and maps."""
    from scipy.ndimage import gaussian_filter

    noise = gaussian_filter(np.random.default_rng(0).standard_normal((side,) * 3), 2, mode="wrap")
    image = (noise > np.median(noise)).astype(np.uint8)
    rows = []
    for name, homogenizer in (("fipy", FipyHomogenizer()), ("batched", BatchedHomogenizer())):
        found = [cpu_ms(lambda h=homogenizer: h(image, (1.0, contrast))) for _ in range(repeats)]
        rows.append((name, median(t for t, _ in found), found[0][1]))
    return rows


def print_planes(sizes, contrasts, names, smoke):
    print("CPU ms an image and direction; ours with both bounds and sensitivities. x: naive FiPy's over it\n")
    print("| size | contrast | method | CPU ms | x | worst error | worst imbalance |\n|---|---|---|---|---|---|---|")
    for size in sizes:
        count, repeats = (2, 1) if smoke else (64 if size <= 64 else 6 if size <= 128 else 2, 3)
        pictures = generate(count, size, seed=5)
        for contrast in contrasts:
            some = pictures if size > 64 else pictures[:64]
            subset = some if smoke or size > 64 else some[:6]
            rows = plane(size, contrast, list(subset), repeats, names)
            reference = next(ms for name, ms, *_ in rows if name == "naive FiPy")
            if len(some) > len(subset):
                # The batched backend is made for many images: its time is that of a batch of 64.
                spent = [cpu_ms(lambda: BatchedHomogenizer().many(list(some), (1.0, contrast)))[0] for _ in range(3)]  # noqa: B023
                rows = [(n, median(spent) / len(some) / 2 if n == "batched" else ms, *rest) for n, ms, *rest in rows]
            for name, ms, error, imbalance in rows:
                tail = "" if imbalance is None else f"{imbalance:.0e}"
                wrong = "" if name == "direct, bounds only" else f"{error:.0e}"
                print(
                    f"| {size} | {contrast:g} | {name} | {ms:.2f} | {reference / ms:.1f} | {wrong} | {tail} |",
                    flush=True,
                )


def print_periodic(sizes, contrasts, names, smoke):
    print("\nPeriodic: the full tensor, bracket and three maps, CPU ms an image\n")
    print("| size | contrast | " + " | ".join(("fipy", "direct", "batched")) + " |\n|---|---|---|---|---|")
    for size in sizes[:3]:
        for contrast in contrasts:
            pictures = list(generate(2, size, seed=5))
            cells = [f"{ms:.0f}" for _, ms in periodic(size, contrast, pictures, 1 if smoke else 3)]
            print(f"| {size} | {contrast:g} | {' | '.join(cells)} |", flush=True)


def print_volumes(sizes, contrasts, names, smoke):
    side = 8 if smoke else 32
    print(f"\nVolume of {side}^3: three directions, bounds and maps\n")
    print("| contrast | method | CPU ms | kxx | lower | upper |\n|---|---|---|---|---|---|")
    for contrast in contrasts:
        for name, ms, result in volume(side, contrast, 1 if smoke else 3):
            ends = f"{result.k[0]:.5f} | {result.lower[0]:.5f} | {result.upper[0]:.5f}"
            print(f"| {contrast:g} | {name} | {ms:.0f} | {ends} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="32,64,128,256")
    parser.add_argument("--contrasts", default="10,100,1000")
    parser.add_argument("--smoke", action="store_true", help="seconds instead of minutes")
    parser.add_argument("--parts", default="planes,periodic,volumes")
    arguments = parser.parse_args()
    smoke = arguments.smoke
    warnings.simplefilter("ignore")
    sizes = [16] if smoke else [int(s) for s in arguments.sizes.split(",")]
    contrasts = [10.0] if smoke else [float(c) for c in arguments.contrasts.split(",")]
    print(header("fipy", "scipy", "torch", "pypardiso", "taufactor", "openpnm", "scikit-fem"), "\n")
    names = available(PEERS)
    for part in arguments.parts.split(","):
        {"planes": print_planes, "periodic": print_periodic, "volumes": print_volumes}[part](
            sizes, contrasts, names, smoke
        )


if __name__ == "__main__":
    main()
