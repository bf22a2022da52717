"""Time and accuracy of elasticity, beside conduction's and other codes, on the same images in one run.

    OMP_NUM_THREADS=1 python benchmarks/elasticity.py [--sizes 32,64,128] [--contrasts 10,100,1000] [--smoke]
        > docs/results/elasticity.md

Process CPU time, medians over images and repetitions, all in turn on each image, after one that is not counted.
Conduction's `direct` and ours give all moduli (between grips) or the whole tensor (periodic), with both bounds and
all sensitivities. felupe gives one modulus along one axis. `pip install -r benchmarks/requirements.txt -c
constraints.txt` gets felupe; left out where it is missing.
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
from common.header import header

from simulators import BatchedHomogenizer, DirectHomogenizer, generate
from simulators.elasticity import Elasticity
from simulators.elasticity.banded import BandedCholesky
from simulators.elasticity.spaces import displacements
from simulators.elasticity.stiffness import element_matrices, lame

POISSON = 0.3
REFINED = 4
"""pixels of the reference for each pixel, along each axis"""


def cpu_ms(call):
    began = time.process_time()
    value = call()
    return 1e3 * (time.process_time() - began), value


def felupe_modulus(image, modulus):
    """The modulus of a pull along x between grips, by felupe: plane strain, one bilinear element a cell."""
    import felupe

    ny, nx = image.shape
    mesh = felupe.Rectangle(b=(nx, ny), n=(nx + 1, ny + 1))
    field = felupe.FieldContainer([felupe.FieldPlaneStrain(felupe.RegionQuad(mesh), dim=2)])
    middle = mesh.points[mesh.cells].mean(axis=1).astype(int)
    e = np.asarray(modulus)[image[middle[:, 1], middle[:, 0]]]
    body = felupe.SolidBody(felupe.LinearElastic(E=e[None], nu=POISSON), field)
    pin = np.arange(mesh.npoints) == 0
    bounds = {
        "left": felupe.Boundary(field[0], fx=0, skip=(0, 1)),
        "right": felupe.Boundary(field[0], fx=nx, skip=(0, 1), value=nx),
        "pin": felupe.Boundary(field[0], mask=pin, skip=(1, 0)),
    }
    fixed, free = felupe.dof.partition(field, bounds)
    prescribed = felupe.dof.apply(field, bounds, fixed)
    matrix, vector = body.assemble.matrix(), body.assemble.vector()
    moved = felupe.solve.solve(*felupe.solve.partition(field, matrix, free, fixed, vector), prescribed).ravel()
    return float(moved @ (matrix @ moved)) / image.size


def factors(image, modulus):
    """CPU ms of one factorisation between grips: banded, and by SuperLU in symmetric mode of the same matrix."""
    from scipy.sparse import coo_array
    from scipy.sparse.linalg import splu

    space, matrices = displacements(image.shape, periodic=False), element_matrices(2)
    constants = lame(modulus, (POISSON, POISSON), 2, "strain")[:, image.ravel()]
    entries = np.tensordot(matrices, constants, axes=(0, 0))
    number = np.full(space.held.size, -1)
    number[space.order] = np.arange(len(space.order))
    rows, columns = np.broadcast_arrays(number[space.cells][:, None], number[space.cells][None])
    keep = (rows >= 0) & (columns >= 0)
    matrix = coo_array((entries[keep], (rows[keep], columns[keep]))).tocsc()
    options = {"permc_spec": "MMD_AT_PLUS_A", "diag_pivot_thresh": 0.0, "options": {"SymmetricMode": True}}
    return cpu_ms(lambda: BandedCholesky(space, constants, matrices))[0], cpu_ms(lambda: splu(matrix, **options))[0]


def print_times(sizes, contrasts, smoke):
    print("## Time\n\nCPU ms an image; x: elasticity's over that of conduction's `direct`, at most 6 wanted at 64.\n")
    print(
        "| size | contrast | boundary | conduction | elasticity | x | felupe, one pull |\n|---|---|---|---|---|---|---|"
    )
    for size in sizes:
        images = list(generate(2 if smoke else 6, size, seed=5))
        for contrast in contrasts:
            phases = (1.0, contrast)
            for boundary in ("dirichlet", "periodic"):
                calls = [
                    lambda i, b=boundary, p=phases: DirectHomogenizer(b)(i, p),
                    lambda i, b=boundary, p=phases: Elasticity(b, p, POISSON)(i),
                ]
                for call in calls:
                    call(images[0])
                spent = [[cpu_ms(lambda c=c, i=i: c(i))[0] for c in calls] for _ in range(3) for i in images]
                heat, stress = (median(s) for s in zip(*spent, strict=True))
                other = ""
                if boundary == "dirichlet":
                    try:
                        felupe_modulus(images[0], phases)
                        other = f"{median(cpu_ms(lambda i=i, p=phases: felupe_modulus(i, p))[0] for i in images):.0f}"
                    except ImportError:
                        other = "not installed"
                ratio = stress / heat
                print(
                    f"| {size} | {contrast:g} | {boundary} | {heat:.1f} | {stress:.1f} | {ratio:.1f} | {other} |",
                    flush=True,
                )
    print("\nOne factorisation of the stiffness matrix between grips, CPU ms.\n")
    print("| size | banded Cholesky | SuperLU |\n|---|---|---|")
    for size in sizes:
        image = generate(1, size, seed=5)[0]
        spent = [factors(image, (1.0, 100.0)) for _ in range(4)][1:]
        print(
            "| " + " | ".join([str(size), *(f"{median(s):.1f}" for s in zip(*spent, strict=True))]) + " |", flush=True
        )


def print_volumes(contrasts, smoke):
    from scipy.ndimage import gaussian_filter

    print("\n## Volumes\n\nSeconds of CPU: conduction by `batched` with bounds, elasticity with its upper bound.\n")
    print("| side | contrast | boundary | conduction | elasticity | imbalance |\n|---|---|---|---|---|---|")
    for side in (6,) if smoke else (16, 32):
        noise = gaussian_filter(np.random.default_rng(0).standard_normal((side,) * 3), 2, mode="wrap")
        image = (noise > np.median(noise)).astype(np.uint8)
        for contrast in contrasts if side < 32 else contrasts[1:2]:
            for boundary in ("dirichlet", "periodic"):
                heat, _ = cpu_ms(lambda b=boundary, c=contrast: BatchedHomogenizer(b)(image, (1.0, c)))  # noqa: B023
                stress, found = cpu_ms(lambda b=boundary, c=contrast: Elasticity(b, (1.0, c), POISSON)(image))  # noqa: B023
                print(
                    f"| {side} | {contrast:g} | {boundary} | {heat / 1e3:.2f} | {stress / 1e3:.2f} | "
                    f"{found.imbalance:.0e} |",
                    flush=True,
                )


def print_accuracy(contrasts, smoke):
    size = 16 if smoke else 32
    print(
        f"\n## Accuracy\n\nE11 of images of {size} x {size}, and its bounds on cells {REFINED} times as fine, between"
    )
    print("which the true one lies. Width: of the bracket, relative. felupe: its value over our upper bound, less 1.\n")
    print("| image | contrast | boundary | lower | value | upper | width | finer | felupe |")
    print("|---|---|---|---|---|---|---|---|---|")
    for number, image in enumerate(generate(1 if smoke else 3, size, seed=5)):
        for contrast in contrasts:
            for boundary in ("dirichlet", "periodic"):
                simulate = Elasticity(boundary, (1.0, contrast), POISSON)
                found, finer = simulate(image), simulate(np.kron(image, np.ones((REFINED, REFINED), int)))
                low, best, high = (v["E11"] for v in (found.lower, found.values, found.upper))
                ends = f"{finer.lower['E11']:.4f} to {finer.upper['E11']:.4f}"
                other = ""
                if boundary == "dirichlet":
                    try:
                        other = f"{felupe_modulus(image, (1.0, contrast)) / high - 1:.0e}"
                    except ImportError:
                        other = "not installed"
                width = f"{100 * (high / low - 1):.1f} %"
                cells = f"{low:.4f} | {best:.4f} | {high:.4f} | {width} | {ends} | {other}"
                print(f"| {number} | {contrast:g} | {boundary} | {cells} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="32,64,128")
    parser.add_argument("--contrasts", default="10,100,1000")
    parser.add_argument("--smoke", action="store_true", help="seconds instead of minutes")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    sizes = [16] if arguments.smoke else [int(s) for s in arguments.sizes.split(",")]
    contrasts = [10.0, 100.0] if arguments.smoke else [float(c) for c in arguments.contrasts.split(",")]
    print("# Elasticity\n\nMade by `python benchmarks/elasticity.py > docs/results/elasticity.md`.\n")
    print(header("scikit-fem", "felupe", "scipy", "pyamg", "numpy"), "\n")
    print_times(sizes, contrasts, arguments.smoke)
    print_accuracy(contrasts, arguments.smoke)
    print_volumes(contrasts, arguments.smoke)


if __name__ == "__main__":
    main()
