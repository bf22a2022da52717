"""Time of physics in volumes, ours and others', on the same images, and how it grows with the number of voxels.

    python benchmarks/volumes.py [--out docs/results/volumes-physics] [--smoke]

Writes OUT.json, going on with what is there, and OUT.md from it. Process CPU time, medians over repetitions, one
thread. Ours: three directions, both certified bounds, all maps. `torch, double` is the same by the solver that volumes
had before and a GPU still has. Peers: one direction, the bare value. A peer that took a minute does not get the next
larger image; one that is missing (`pip install -r benchmarks/requirements.txt -c constraints.txt`) is left out.
"""

import os

os.environ.update({name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")})

import argparse
import io
import json
import sys
import time
import warnings
from contextlib import redirect_stdout
from functools import partial
from itertools import product
from pathlib import Path
from statistics import median
from unittest.mock import patch

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from common.header import header

from simulators import BatchedHomogenizer
from simulators.algebra.conjugate_gradients import conjugate_gradients
from simulators.conduction import elements
from simulators.conduction.effective import effective
from simulators.conduction.problem import Conduction
from simulators.elasticity import Elasticity
from simulators.solvers.direct import assemble
from simulators.solvers.fipy import solve_by_fipy

ROOT = Path(__file__).resolve().parent.parent
SIDES, CONTRASTS, ELASTIC_SIDES = (16, 24, 32, 48, 64), (10, 100, 1000), (16, 24, 32)
BOUNDARIES = ("dirichlet", "periodic")
ENOUGH = 60.0
"""seconds, after which a method gets no larger image"""


def volume(side):
    """Two phases, half each, of smoothed periodic noise."""
    from scipy.ndimage import gaussian_filter

    noise = gaussian_filter(np.random.default_rng(0).standard_normal((side,) * 3), 2, mode="wrap")
    return (noise > np.median(noise)).astype(np.uint8)


def ours(boundary, image, contrast):
    return BatchedHomogenizer(boundary)(image, (1.0, contrast)).k_fv[0]


def in_double(image, contrast):
    """Ours by torch's conjugate gradients."""
    import torch

    def backend(problem):
        return torch.zeros_like(problem.source()), partial(conjugate_gradients, problem)

    kappa = torch.as_tensor(np.array([1.0, contrast])[image])[None]
    with patch.object(elements, "on_gpu", lambda _: True):
        return float(effective(kappa, False, backend).finite_volume[0].tensor()[0, 0, 0])


def fipy(image, contrast):
    """FiPy's conjugate gradients with smoothed aggregation, to a residual of 1e-12."""
    problem = Conduction(np.array([1.0, contrast])[image][None, None], 3, periodic=False)
    return float(problem.fluxes(solve_by_fipy(problem)[0])[2].mean())


def pyamg(image, contrast):
    """pyamg's classical multigrid with conjugate gradients on our matrix, to a residual of 1e-10."""
    import pyamg

    problem = Conduction(np.array([1.0, contrast])[image][None, None], 3, periodic=False)
    hierarchy = pyamg.ruge_stuben_solver(assemble(problem).tocsr())
    found = hierarchy.solve(problem.source().ravel(), tol=1e-10, accel="cg")
    return float(problem.fluxes(found.reshape(problem.source().shape))[2].mean())


def taufactor(image, contrast):
    """TauFactor's multi-phase solver at its default tolerance, 1e-2, in its own convention of the ends."""
    from taufactor import MultiPhaseSolver

    with redirect_stdout(io.StringIO()):
        solver = MultiPhaseSolver(image.swapaxes(0, 2) + 1, cond={1: 1.0, 2: float(contrast)}, device="cpu")
        solver.solve(verbose=False)
    return float(np.squeeze(np.asarray(solver.D_eff)))


def elastic(boundary, image, contrast):
    return Elasticity(boundary, (1.0, float(contrast)), 0.3)(image).values["E11"]


METHODS = {
    "ours, dirichlet": partial(ours, "dirichlet"),
    "ours, periodic": partial(ours, "periodic"),
    "elasticity, dirichlet": partial(elastic, "dirichlet"),
    "elasticity, periodic": partial(elastic, "periodic"),
    "torch, double": in_double,
    "pyamg": pyamg,
    "FiPy": fipy,
    "TauFactor": taufactor,
}


def measured(method, image, contrast):
    """Median CPU seconds of up to five calls, fewer where they take long, and the value."""
    spent, value = [], None
    while (len(spent) < 5 and sum(spent) < 2) or not spent:
        began = time.process_time()
        value = method(image, contrast)
        spent.append(time.process_time() - began)
    return {"seconds": median(spent), "runs": len(spent), "value": float(value)}


def exponent(rows, method, contrast, least=0):
    """Slope of log time over log voxels, by least squares; NaN from less than two sides."""
    mine = [r for r in rows if (r["method"], r["contrast"]) == (method, contrast) and r["side"] >= least]
    if len(mine) < 2:
        return np.nan
    sides, seconds = zip(*((r["side"], r["seconds"]) for r in mine), strict=True)
    return float(np.polyfit(3 * np.log(sides), np.log(seconds), 1)[0])


def conduction_table(rows):
    names = [n for n in METHODS if "elasticity" not in n and any(r["method"] == n for r in rows)]
    lines = ["| side | contrast | " + " | ".join(names) + " |", "|---" * (len(names) + 2) + "|"]
    for side in sorted({r["side"] for r in rows}):
        for contrast in sorted({r["contrast"] for r in rows}):
            here = {r["method"]: r["seconds"] for r in rows if (r["side"], r["contrast"]) == (side, contrast)}
            cells = [f"{here[n]:.3g}" if n in here else "" for n in names]
            lines.append(f"| {side} | {contrast} | {' | '.join(cells)} |")
    return "\n".join(lines)


def growth_table(rows):
    lines = ["| contrast | boundary | all sides | from 32 on |", "|---|---|---|---|"]
    for contrast in sorted({r["contrast"] for r in rows}):
        for boundary in BOUNDARIES:
            name = f"ours, {boundary}"
            fits = [exponent(rows, name, contrast, least) for least in (0, 32)]
            fits = ["" if np.isnan(fit) else f"{fit:.2f}" for fit in fits]
            lines.append(f"| {contrast} | {boundary} | {' | '.join(fits)} |")
    return "\n".join(lines)


def elasticity_table(rows):
    lines = ["| side | contrast | dirichlet | periodic |", "|---|---|---|---|"]
    for side in sorted({r["side"] for r in rows if "elasticity" in r["method"]}):
        for contrast in sorted({r["contrast"] for r in rows}):
            key = side, contrast
            here = {r["method"]: r["seconds"] for r in rows if (r["side"], r["contrast"]) == key}
            cells = [f"{here.get(f'elasticity, {b}', np.nan):.2f}".replace("nan", "") for b in BOUNDARIES]
            lines.append(f"| {side} | {contrast} | {' | '.join(cells)} |")
    return "\n".join(lines)


PAGE = """# Physics in volumes

Made by `python benchmarks/volumes.py`.

{header}

## Conduction

CPU seconds an image of side^3 voxels, half each of two phases in lumps of about four voxels. Ours: three directions,
both certified bounds and all sensitivity maps (periodic: the tensor, its bracket and six maps), by `batched`, which
`auto` takes for volumes. `torch, double`: the same by the solver that volumes had before, side by side. FiPy, pyamg and
TauFactor: one value along one direction, without bounds or maps. A cell is empty where the smaller image took a minute,
or where nothing was measured yet: the command goes on with what the JSON has. Other work on the cores lengthens CPU
times, too, by what it drives out of the caches.

{conduction}

Exponent p of time ~ voxels^p, by least squares:

{growth}

## Elasticity

CPU seconds: the upper bound of the tensor (periodic) or of three pulls between grips. In volumes no bound from below
but Reuss's is known to the program: the bracket is [Reuss, elements], and the value its upper end.

{elasticity}
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results" / "volumes-physics")
    parser.add_argument("--smoke", action="store_true", help="seconds instead of minutes")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    path = arguments.out.with_suffix(".json")
    kept = json.loads(path.read_text())["rows"] if path.exists() and not arguments.smoke else []
    machine = header("numpy", "scipy", "torch", "fipy", "pyamg", "taufactor")
    load = f"; load {os.getloadavg()[2]:.0f} on {os.cpu_count()} cores as the last rows were added"
    found = {"header": machine + load, "rows": kept}
    rows = found["rows"]
    contrasts = CONTRASTS[:1] if arguments.smoke else CONTRASTS
    for (name, method), contrast in product(METHODS.items(), contrasts):
        last = 0.0
        for side in (8,) if arguments.smoke else ELASTIC_SIDES if "elasticity" in name else SIDES:
            row = {"method": name, "contrast": contrast, "side": side}
            done = [r for r in rows if row.items() <= r.items()]
            if not done and last <= ENOUGH:
                try:
                    done = [row | measured(method, volume(side), contrast)]
                except ImportError as error:
                    print(f"{name} left out: {error}")
                    break
                rows.extend(done)
                print(done[0], flush=True)
                if not arguments.smoke:
                    write(found, arguments.out)
            last = done[0]["seconds"] if done else np.inf
    if arguments.smoke:
        print(page(found))
    else:
        write(found, arguments.out)


def page(found):
    rows = found["rows"]
    tables = {"conduction": conduction_table(rows), "growth": growth_table(rows), "elasticity": elasticity_table(rows)}
    return PAGE.format(header=found["header"], **tables)


def write(found, out):
    out.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n")
    out.with_suffix(".md").write_text(page(found))


if __name__ == "__main__":
    main()
