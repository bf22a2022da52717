"""Makes docs/validation.md: every homogenizer against exact answers, other discretisations, other codes and itself.

    OMP_NUM_THREADS=1 python benchmarks/validation.py [--agreement 500] [--refinement 200] [--smoke]

Everything is deterministic but the line that says where it ran. `--smoke` goes through tiny versions of all
sections in seconds and writes nothing. Other codes: pip install -r benchmarks/requirements.txt -c constraints.txt
"""

import os

os.environ.update({name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")})

import argparse
import sys
import warnings
from inspect import cleandoc
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

sys.path.insert(0, str(Path(__file__).parent))
from common import peers
from common.header import ROOT, header
from common.perrins import square_array

from simulators import BatchedHomogenizer, DirectHomogenizer, FipyHomogenizer, generate
from simulators.conduction.certification import corner_contacts, half_width
from simulators.conduction.elements import upper_bound

DIRECT = DirectHomogenizer()
BACKENDS = [FipyHomogenizer, DirectHomogenizer, BatchedHomogenizer]


def table(columns, rows):
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def percent(value, exact):
    return f"{100 * (value / exact - 1):+.3f} %"


def smoothed(shape, sigma, seed, fraction=0.5, phases=2):
    """Labels of Gaussian noise smoothed over sigma pixels and cut at quantiles."""
    noise = gaussian_filter(np.random.default_rng(seed).standard_normal(shape), sigma, mode="wrap")
    cuts = [1 - fraction] if phases == 2 else [1 / 3, 2 / 3]
    return np.digitize(noise, np.quantile(noise, cuts)).astype(np.uint8)


def laminates(smoke):
    """Layers, along and across them: the larger relative error of the two."""
    rows = []
    for contrast in (10.0, 1000.0, 1e4):
        layers = np.repeat((np.arange(24) % 3 == 0).astype(np.uint8)[:, None], 16, axis=1)
        exact = np.array([(2 + contrast) / 3, 3 / (2 + 1 / contrast)])
        for kind in BACKENDS:
            for boundary in ("dirichlet", "periodic"):
                result = kind(boundary)(layers, (1.0, contrast))
                worst = [
                    np.abs(getattr(result, name)[:2] / exact - 1).max() for name in ("k", "k_fv", "lower", "upper")
                ]
                rows.append([f"{contrast:g}", kind.name, boundary, *(f"{w:.0e}" for w in worst)])
    columns = ["contrast", "backend", "boundary", *(f"error of {n}" for n in ("k", "k_fv", "lower", "upper"))]
    return table(columns, rows)


def checkerboard(smoke):
    """Two by two squares conduct sqrt(k1 k2) exactly (Dykhne 1971). The flux is singular at the corner, as
    r^(lambda - 1) with lambda = (4/pi) atan(1/sqrt c), so that finite volumes and both bounds converge with
    order 2 lambda once the pixels are small enough to see it; the best value is exact at every resolution.
    """
    rows = []
    for contrast in (10.0, 100.0, 1000.0):
        exact, last = np.sqrt(contrast), None
        order = 4 / np.pi * np.arctan(contrast**-0.5) * 2
        for pixels in (1, 2, 4) if smoke else (1, 2, 4, 8, 16, 32, 64, 128):
            board = np.kron([[0, 1], [1, 0]], np.ones((pixels, pixels), dtype=np.uint8))
            r = DIRECT(board, (1.0, contrast))
            errors = exact - r.k_fv[0], r.upper[0] - r.lower[0]
            seen = ["", ""] if last is None else [f"{np.log2(b / a):.2f}" for a, b in zip(errors, last, strict=True)]
            last = errors
            ends = [percent(v[0], exact) for v in (r.k_fv, r.lower, r.upper)]
            rows.append([f"{contrast:g}", pixels, *ends, f"{abs(r.k[0] / exact - 1):.0e}", *seen, f"{order:.2f}"])
    columns = ["contrast", "pixels a square", "k_fv", "lower", "upper", "error of k"]
    columns += ["order of k_fv", "order of the width", "theory 2 lambda"]
    return table(columns, rows)


def duality(smoke):
    """Keller (1964): the conductivity times that of the inverse medium turned by a quarter is 1, also as
    tensors. The best value keeps it to round-off; to first order, what finite
    volumes lack of it is twice their discretisation error.
    """
    rows = []
    for boundary in ("dirichlet", "periodic"):
        for contrast in (10.0, 1000.0):
            worst, deficit = 0.0, []
            for seed in range(2 if smoke else 20):
                image = smoothed((32, 32), 2, seed)
                one, other = (DirectHomogenizer(boundary)(image, p) for p in ((1.0, contrast), (1.0, 1 / contrast)))
                if boundary == "dirichlet":
                    worst = max(worst, np.abs(one.k * other.k[::-1] - 1).max())
                else:
                    turn = np.array([[0, -1], [1, 0]])
                    k, inverse = (np.array([[r.k[0], r.k[2]], [r.k[2], r.k[1]]]) for r in (one, other))
                    worst = max(worst, np.abs(k @ turn @ inverse @ turn.T - np.eye(2)).max())
                deficit.append(1 - one.k_fv[0] * other.k_fv[1])
            lacks = [f"{np.median(deficit):.2%}", f"{max(deficit):.2%}"] if boundary == "dirichlet" else ["", ""]
            rows.append([boundary, f"{contrast:g}", f"{worst:.0e}", *lacks])
    return table(["boundary", "contrast", "best value", "k_fv lacks, median", "worst"], rows)


def disc(side, fraction):
    """A disc of this area fraction in the middle of a cell, hard pixels."""
    x = (np.arange(side) + 0.5) / side - 0.5
    return (x**2 + x[:, None] ** 2 < fraction / np.pi).astype(np.uint8)


def discs(smoke):
    """Square array of discs against multipoles (`benchmarks/common/perrins.py`), at the area fraction of the
    pixels. The bounds certify the staircase of pixels, not the circle: the best value shows the staircase's own
    error, which is of first order in the pixel, and finite volumes look better than they are because theirs has
    the other sign.
    """
    rows = []
    for contrast in (10.0, 100.0):
        for fraction in (0.2, 0.5, 0.7):
            for side in (16,) if smoke else (32, 64, 128, 256):
                image = disc(side, fraction)
                r, exact = DIRECT(image, (1.0, contrast)), square_array(image.mean(), contrast)
                ends = [percent(v[0], exact) for v in (r.k_fv, r.lower, r.k, r.upper)]
                rows.append([f"{contrast:g}", fraction, side, f"{image.mean():.4f}", f"{exact:.5f}", *ends])
    return table(["contrast", "f", "pixels", "f of the pixels", "exact", "k_fv", "lower", "k", "upper"], rows)


def coated_cylinder(smoke):
    """Hashin's coated cylinder is neutral: three phases, of which the matrix has just the conductivity that the
    cylinder does not disturb. Errors against it, the staircase's included.
    """
    rows = []
    for core, coat in ((100.0, 1.0), (1.0, 100.0), (10.0, 1.0)):
        b, phi = 0.4, 0.5
        matrix = coat * (core + coat + phi * (core - coat)) / (core + coat - phi * (core - coat))
        for side in (16,) if smoke else (32, 64, 128, 256):
            x = (np.arange(side) + 0.5) / side - 0.5
            r2 = x**2 + x[:, None] ** 2
            image = np.where(r2 < phi * b**2, 2, np.where(r2 < b**2, 1, 0)).astype(np.uint8)
            r = DIRECT(image, (matrix, coat, core))
            rows.append(
                [f"{core:g} in {coat:g}", side, *(percent(v[0], matrix) for v in (r.k_fv, r.lower, r.k, r.upper))]
            )
    return table(["core in coat", "pixels", "k_fv", "lower", "k", "upper"], rows)


def pictures(count):
    """Random images of several kinds, all small enough to be refined eightfold."""
    for seed in range(count):
        kind = seed % 4
        if kind == 0:
            yield generate(1, 32, seed=1000 + seed)[0]
        else:
            shape = [(32, 32), (24, 40), (28, 28)][kind - 1]
            yield smoothed(shape, 1.5 + 0.5 * (seed % 3), seed, 0.3 + 0.2 * (seed % 3), phases=3 if kind == 3 else 2)


def refinement(count):
    """Random images of two and three phases (phase field and smoothed noise, 24 x 40 to 32 x 32) against the
    best value of the same image with every pixel cut into 8 x 8. Where phases touch at corners the interval is
    wide, and says so.
    """
    rows = []
    for contrast in (10.0, 100.0):
        contained, groups = 0, {"none": [], "some": []}
        for image in pictures(count):
            phases = (1.0, contrast, contrast**0.5)
            coarse, fine = (DIRECT(i, phases) for i in (image, np.kron(image, np.ones((8, 8), dtype=np.uint8))))
            contained += bool(np.all((coarse.lower <= fine.k) & (fine.k <= coarse.upper)))
            groups["some" if corner_contacts(image) else "none"].append(
                (np.abs(coarse.k / fine.k - 1).max(), half_width(coarse), np.abs(coarse.k_fv / fine.k - 1).max())
            )
        for contacts, values in groups.items():
            if values:
                error, width, fv = np.array(values).T
                cells = [
                    f"{f:.3%}" for f in (np.median(error), error.max(), np.median(width), width.max(), np.median(fv))
                ]
                rows.append([f"{contrast:g}", contacts, len(values), *cells])
        rows.append([f"{contrast:g}", "all", count, f"interval holds it: {contained} of {count}", "", "", "", ""])
    columns = [
        "contrast",
        "corner contacts",
        "images",
        "best: median",
        "worst",
        "half-width: median",
        "worst",
        "k_fv: median",
    ]
    return table(columns, rows)


def agreement(count):
    """Random images of two or three phases, contrast 10 to 1000, sides 17 to 128: largest relative difference
    from FiPy over k, k_fv, lower and upper (kxy relative to sqrt(kxx kyy)), and over all pixels' sensitivities,
    whose mean is 1.
    """
    rng = np.random.default_rng(7)
    worst = {(kind.name, boundary): [0.0, 0.0] for kind in BACKENDS[1:] for boundary in ("dirichlet", "periodic")}
    for seed in range(count):
        shape = tuple(int(n) for n in rng.integers((17, 17), (129, 129))) if seed else (17, 40)
        contrast, phases = 10.0 ** rng.integers(1, 4), int(rng.integers(2, 4))
        image = smoothed(shape, rng.uniform(1, 4), seed, rng.uniform(0.3, 0.7), phases)
        conductivity = (1.0, contrast, contrast**0.5)
        for boundary in ("dirichlet", "periodic"):
            fipy = FipyHomogenizer(boundary)(image, conductivity)
            for kind in BACKENDS[1:]:
                other, entry = kind(boundary)(image, conductivity), worst[kind.name, boundary]
                scale = np.append(fipy.k[:2], np.sqrt(fipy.k[0] * fipy.k[1]))[: len(fipy.k)]
                for name in ("k", "k_fv", "lower", "upper"):
                    entry[0] = max(entry[0], np.max(np.abs(getattr(other, name) - getattr(fipy, name)) / scale))
                entry[1] = max(entry[1], np.abs(other.sensitivity - fipy.sensitivity).max() * image.size)
    rows = [[name, boundary, count, f"{v:.0e}", f"{s:.0e}"] for (name, boundary), (v, s) in worst.items()]
    return table(["backend", "boundary", "images", "values", "sensitivities"], rows)


def sensitivities(smoke):
    """Of the best value, against central differences with steps of 0.1 % on random pixels, contrast 10 and 100:
    largest relative error, and how far the sum is from 1.
    """
    rows = []
    for kind in BACKENDS:
        for boundary in ("dirichlet", "periodic"):
            worst, sums = 0.0, 0.0
            for contrast in (10.0, 100.0):
                image, phases = smoothed((24, 20), 2, 3), (1.0, contrast)
                homogenizer = kind(boundary)
                result = homogenizer(image, phases)
                sums = max(sums, np.abs(result.sensitivity[:2].sum(axis=(1, 2)) - 1).max())
                for y, x in np.random.default_rng(1).integers(0, image.shape, (2 if smoke else 10, 2)):
                    marked = image.copy()
                    marked[y, x] = 2
                    ends = [
                        homogenizer(marked, (*phases, phases[image[y, x]] * np.exp(s))).k[:2] for s in (1e-3, -1e-3)
                    ]
                    difference = np.log(ends[0] / ends[1]) / 2e-3
                    worst = max(worst, np.abs(result.sensitivity[:2, y, x] / difference - 1).max())
            rows.append([kind.name, boundary, f"{worst:.0e}", f"{sums:.0e}"])
    return table(["backend", "boundary", "relative error", "sum - 1"], rows)


def elements(smoke):
    """Bilinear elements, another discretisation, bound from above (Dirichlet's principle): above the lower
    bound and the best value, to which they come down under refinement. Ours, which bound volumes, agree with
    scikit-fem.
    """
    rows = []
    for contrast in (10.0, 100.0):
        image = smoothed((32, 32), 2, 11)
        for factor in (1,) if smoke else (1, 2, 4, 8):
            fine = np.kron(image, np.ones((factor, factor), dtype=np.uint8))
            kappa = np.array([1.0, contrast])[fine]
            r = DIRECT(fine, (1.0, contrast))
            own = float(np.exp(upper_bound(kappa[None], periodic=False).log[0, 0, 0]))
            cells = [f"{v:.5f}" for v in (r.lower[0], r.k[0], r.upper[0], own)]
            try:
                cells.append(f"{peers.scikit_fem(kappa):.5f}")
            except ImportError:
                cells.append("not installed")
            rows.append([f"{contrast:g}", 32 * factor, *cells])
    return table(["contrast", "pixels", "lower", "k", "upper", "Q1, ours", "Q1, scikit-fem"], rows)


def others(smoke):
    """Two other codes for the same finite volumes. Each puts the fixed temperatures elsewhere: TauFactor 1.2.1
    in a cell of its own beyond each end, OpenPNM in the outer layers of pixels. At equal convention (a direct
    solve of that very network) they agree to their tolerance; the convention itself shifts the value.
    """
    rows = []
    for contrast in (10.0, 100.0):
        for side in (16,) if smoke else (32, 64, 128):
            image = generate(1, side, seed=2)[0]
            kappa = np.array([1.0, contrast])[image]
            ours = DIRECT(image, (1.0, contrast)).k_fv[0]
            for name, call, ends in (("TauFactor", peers.taufactor, "ghost"), ("OpenPNM", peers.openpnm, "layer")):
                same = peers.network(kappa, ends)
                try:
                    error = percent(call(kappa), same)
                except ImportError:
                    error = "not installed"
                rows.append([f"{contrast:g}", side, name, error, percent(same, ours)])
    return table(["contrast", "pixels", "code", "against its own convention", "its convention against ours"], rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agreement", type=int, default=500, help="images on which the backends are compared")
    parser.add_argument("--refinement", type=int, default=200, help="images refined eightfold, at each contrast")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "validation.md")
    parser.add_argument("--smoke", action="store_true", help="seconds instead of minutes, and nothing written")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    smoke = arguments.smoke
    counts = {refinement: 4 if smoke else arguments.refinement, agreement: 2 if smoke else arguments.agreement}
    sections = {
        "Laminates": laminates,
        "Checkerboard": checkerboard,
        "Duality": duality,
        "Discs": discs,
        "Coated cylinder": coated_cylinder,
        "Finite elements": elements,
        "Other codes": others,
        "Sensitivities": sensitivities,
        "Refinement inside the interval": refinement,
        "Agreement of the backends": agreement,
    }
    command = f"`python benchmarks/validation.py --agreement {arguments.agreement} --refinement {arguments.refinement}`"
    versions = header("fipy", "scipy", "torch", "pyamg", "taufactor", "openpnm", "scikit-fem")
    page = [f"# Validation\n\nMade by {command}: {versions}.\n"]
    page.append(
        "`k_fv` is the finite-volume value, `lower` and `upper` the certified bounds, `k` the best value. One\n"
        "direction, kxx, and a unit temperature drop between two faces, unless a table says otherwise.\n"
    )
    for title, section in sections.items():
        print(title, file=sys.stderr, flush=True)
        page.append(f"## {title}\n\n{cleandoc(section.__doc__)}\n\n{section(counts.get(section, smoke))}\n")
    if smoke:
        print("\n".join(page))
    else:
        arguments.out.write_text("\n".join(page))


if __name__ == "__main__":
    main()
