"""What every homogenizer must satisfy: exact solutions, bounds, symmetries, sensitivities and refusals."""

import multiprocessing
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from tests.problems import checkerboard, direct_conductivity, laminate

from simulators import DirectHomogenizer, FipyHomogenizer, HomogenizationError, generate
from simulators.fipy_homogenizer import solve_fluxes
from simulators.homogenizer import homogenize

HOMOGENIZERS = [FipyHomogenizer(), DirectHomogenizer()]
CONDUCTIVITY = (0.5, 20.0, 3.0)
ASSETS = Path(__file__).parent / "assets"


@pytest.fixture(params=HOMOGENIZERS, ids=lambda h: h.name)
def homogenizer(request):
    return request.param


@cache
def random_image(kind):
    rng = np.random.default_rng(7)
    phase_field = generate(2, 32, seed=3)
    return {
        "phase-field": phase_field[0],
        "white-noise": rng.integers(0, 2, (20, 20)),
        "three-phases": rng.integers(0, 3, (18, 18)),
        "non-square": phase_field[1][:14],
    }[kind]


random_images = pytest.mark.parametrize("kind", ["phase-field", "white-noise", "three-phases", "non-square"])
few_images = pytest.mark.parametrize("kind", ["three-phases", "non-square"])


def agree(actual, exact, rtol):
    np.testing.assert_allclose(actual, exact, rtol=rtol, atol=0)


def brackets(result):
    """k_fv <= lower <= k <= upper for both directions, up to round-off."""
    slack = 1 + 1e-11
    return np.all(
        (result.k_fv <= result.lower * slack) & (result.lower <= result.k * slack) & (result.k <= result.upper * slack)
    )


@pytest.mark.parametrize("contrast", [10.0, 1000.0])
@pytest.mark.parametrize(("along", "across"), [("parallel", "series"), ("series", "parallel")])
def test_laminate(homogenizer, along, across, contrast):
    """Layers conduct their arithmetic mean along and their harmonic mean across, and so does every bound."""
    conductivity = (1.0, contrast)
    image, kxx = laminate(3, conductivity, along)
    _, kyy = laminate(3, conductivity, across)
    mean = {"parallel": (2 + contrast) / 3, "series": 3 / (2 + 1 / contrast)}
    agree([kxx, kyy], [mean[along], mean[across]], 1e-14)
    result = homogenizer(image, conductivity)
    for value in (result.k, result.k_fv, result.lower, result.upper):
        agree(value, [kxx, kyy], 1e-10)


def test_uniform_image(homogenizer):
    """One phase conducts what it conducts; every pixel matters equally."""
    result = homogenizer(np.ones((6, 9), dtype=int), (2.0, 7.0))
    assert result.names == ("kxx", "kyy")
    assert result.volume_fraction == 1.0
    for value in (result.k, result.k_fv, result.lower, result.upper):
        agree(value, [7.0, 7.0], 1e-12)
    agree(result.sensitivity, np.full((2, 6, 9), 1 / 54), 1e-10)


@pytest.mark.parametrize("contrast", [10.0, 1000.0])
@pytest.mark.parametrize(("pixels", "squares"), [(1, 2), (3, 2), (8, 2), (16, 2), (4, 4)])
def test_checkerboard(homogenizer, pixels, squares, contrast):
    """A checkerboard conducts sqrt(k1 k2) (Dykhne 1971); finite volumes alone stay below it."""
    result = homogenizer(checkerboard(pixels, squares), (1.0, contrast))
    exact = np.sqrt(contrast)
    agree(result.k, [exact, exact], 1e-8)
    assert np.all(result.k_fv < 0.97 * exact)
    assert brackets(result)


@random_images
@pytest.mark.parametrize("conductivity", [(1.0, 2.0, 1.5), (1.0, 100.0, 0.1)], ids=["mild", "strong"])
def test_bounds_are_ordered(homogenizer, kind, conductivity):
    """Harmonic mean <= k_fv <= lower <= k <= upper <= arithmetic mean (Wiener, Thomson, Keller)."""
    image = random_image(kind)
    result = homogenizer(image, conductivity)
    kappa = np.asarray(conductivity)[image]
    assert brackets(result)
    assert np.all(1 / np.mean(1 / kappa) < result.k_fv)
    assert np.all(result.upper < np.mean(kappa))
    assert np.all(result.lower < 0.999 * result.upper)
    assert 0 <= result.flux_imbalance <= 1e-9
    assert result.volume_fraction == np.count_nonzero(image == 1) / image.size


@few_images
def test_transposing_swaps_the_directions(homogenizer, kind):
    """Swapping the image's axes swaps kxx with kyy, and turns their maps."""
    image = random_image(kind)
    plain, turned = homogenizer(image, CONDUCTIVITY), homogenizer(image.T, CONDUCTIVITY)
    for name in ("k", "k_fv", "lower", "upper"):
        agree(getattr(turned, name), getattr(plain, name)[::-1], 1e-10)
    for name in ("sensitivity", "sensitivity_fv"):
        maps = getattr(plain, name)[::-1].transpose(0, 2, 1)
        np.testing.assert_allclose(getattr(turned, name), maps, rtol=0, atol=1e-10)


@pytest.mark.parametrize("axis", [0, 1], ids=["upside-down", "mirrored"])
def test_flips_change_nothing(homogenizer, axis):
    """A mirror image conducts the same, with its map mirrored."""
    image = random_image("three-phases")
    plain, flipped = homogenizer(image, CONDUCTIVITY), homogenizer(np.flip(image, axis), CONDUCTIVITY)
    for name in ("k", "k_fv", "lower", "upper"):
        agree(getattr(flipped, name), getattr(plain, name), 1e-10)
    np.testing.assert_allclose(flipped.sensitivity, np.flip(plain.sensitivity, axis + 1), rtol=0, atol=1e-10)


@few_images
def test_duality(homogenizer, kind):
    """With inverted conductivities kxx becomes 1 / kyy (Keller 1964), and the bounds change places."""
    image = random_image(kind)
    plain, inverse = homogenizer(image, CONDUCTIVITY), homogenizer(image, [1 / k for k in CONDUCTIVITY])
    agree(inverse.k * plain.k[::-1], [1.0, 1.0], 1e-10)
    agree(inverse.lower * plain.upper[::-1], [1.0, 1.0], 1e-10)


@random_images
def test_finite_volume_value(homogenizer, kind):
    """k_fv solves the resistor network of the pixel grid, here assembled apart and solved directly."""
    image = random_image(kind)
    kappa = np.asarray(CONDUCTIVITY)[image]
    agree(homogenizer(image, CONDUCTIVITY).k_fv, [direct_conductivity(kappa), direct_conductivity(kappa.T)], 1e-8)


@pytest.mark.parametrize("factor", [1e-6, 7.3, 1e6])
def test_unit_of_the_conductivities(homogenizer, factor):
    """k is homogeneous of degree one in the conductivities; the sensitivities do not change."""
    image = random_image("non-square")
    plain, scaled = homogenizer(image, CONDUCTIVITY), homogenizer(image, [factor * k for k in CONDUCTIVITY])
    for name in ("k", "k_fv", "lower", "upper"):
        agree(getattr(scaled, name), factor * getattr(plain, name), 1e-10)
    np.testing.assert_allclose(scaled.sensitivity, plain.sensitivity, rtol=0, atol=1e-10)


@random_images
def test_sensitivities_share_out_the_conductivity(homogenizer, kind):
    """Each map is non-negative and sums to 1, for k is homogeneous of degree one in the pixels."""
    image = random_image(kind)
    result = homogenizer(image, CONDUCTIVITY)
    for maps in (result.sensitivity, result.sensitivity_fv):
        assert maps.shape == (2, *image.shape)
        assert maps.min() >= 0
        agree(maps.sum(axis=(1, 2)), [1.0, 1.0], 1e-9)


def primal_and_dual(kappa):
    """log sqrt(k_fv(kappa) / k_fv(1/kappa turned)), whose sensitivity a result gives for its best value."""
    return np.log(direct_conductivity(kappa) / direct_conductivity(1 / kappa.T)) / 2


@few_images
@pytest.mark.parametrize("direction", [0, 1], ids=["kxx", "kyy"])
@pytest.mark.parametrize(
    ("name", "log_k"),
    [("sensitivity_fv", lambda kappa: np.log(direct_conductivity(kappa))), ("sensitivity", primal_and_dual)],
    ids=["fv", "best"],
)
def test_sensitivity_is_the_derivative(homogenizer, kind, direction, name, log_k):
    """d log k / d log kappa of a pixel, as central differences of the direct solve give it."""
    image = random_image(kind)
    pixels = np.random.default_rng(1).integers(0, image.shape, (6, 2))
    step = 1e-3
    differences = []
    for y, x in pixels:
        values = []
        for sign in (1, -1):
            kappa = np.asarray(CONDUCTIVITY)[image]
            kappa[y, x] *= np.exp(sign * step)
            values.append(log_k(kappa if direction == 0 else kappa.T))
        differences.append((values[0] - values[1]) / (2 * step))
    maps = getattr(homogenizer(image, CONDUCTIVITY), name)[direction]
    np.testing.assert_allclose(maps[tuple(pixels.T)], differences, rtol=1e-5, atol=1e-9)


@few_images
@pytest.mark.parametrize("factor", [2, 4])
def test_refined_image_stays_within_the_bracket(homogenizer, kind, factor):
    """Smaller pixels leave the medium as it is: the new best value lies between the old bounds."""
    image = random_image(kind)
    coarse = homogenizer(image, CONDUCTIVITY)
    fine = homogenizer(np.kron(image, np.ones((factor, factor), dtype=int)), CONDUCTIVITY)
    assert np.all((coarse.lower < fine.k) & (fine.k < coarse.upper))
    assert np.all((coarse.k_fv < fine.k_fv) & (fine.upper / fine.lower < coarse.upper / coarse.lower))


def test_history_leaves_no_trace(homogenizer):
    """An image solved after one that differs by a pixel, as a new process solves it, bit for bit."""
    before = random_image("phase-field")
    image = before.copy()
    image[5, 5] ^= 1
    for conductivity in [(1.0, 10.0), (1.0, 10.0 * (1 + 1e-9))]:
        homogenizer(before, conductivity)
        homogenizer(image, conductivity)
    used = homogenizer(image, (1.0, 10.0))
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        fresh = pool.apply(homogenizer, (image, (1.0, 10.0)))
    for name in ("k", "k_fv", "lower", "upper", "sensitivity", "sensitivity_fv", "flux_imbalance"):
        np.testing.assert_array_equal(getattr(used, name), getattr(fresh, name))


BAD_INPUT = {
    "label without conductivity": (np.array([[0, 1], [2, 0]]), (1.0, 2.0), r"labels 0\.\.2 but 2 conductivities"),
    "negative label": (np.array([[0, 1], [-1, 0]]), (1.0, 2.0), r"labels -1\.\.1"),
    "no conductivities": (np.eye(4, dtype=int), (), r"conductivities \[\]"),
    "zero conductivity": (np.eye(4, dtype=int), (0.0, 2.0), r"\[0\.0, 2\.0\].*above 0.*small positive"),
    "negative conductivity": (np.eye(4, dtype=int), (1.0, -2.0), r"\[1\.0, -2\.0\].*above 0"),
    "NaN conductivity": (np.eye(4, dtype=int), (1.0, float("nan")), r"\[1\.0, nan\].*finite"),
    "infinite conductivity": (np.eye(4, dtype=int), (1.0, float("inf")), r"\[1\.0, inf\].*finite"),
    "one pixel": (np.zeros((1, 1), dtype=int), (1.0, 2.0), r"shape \(1, 1\)"),
    "one row": (np.zeros((1, 8), dtype=int), (1.0, 2.0), r"shape \(1, 8\)"),
    "empty": (np.zeros((0, 8), dtype=int), (1.0, 2.0), r"shape \(0, 8\)"),
    "a stack": (np.zeros((3, 8, 8), dtype=int), (1.0, 2.0), r"shape \(3, 8, 8\)"),
    "grey levels": (np.eye(4), (1.0, 2.0), r"float64.*threshold"),
    "booleans": (np.eye(4, dtype=bool), (1.0, 2.0), "bool"),
}


@pytest.mark.parametrize(("image", "conductivity", "words"), BAD_INPUT.values(), ids=BAD_INPUT.keys())
def test_bad_input(homogenizer, image, conductivity, words):
    """Refused with the value at fault."""
    with pytest.raises(HomogenizationError, match=words):
        homogenizer(image, conductivity)


def test_hopeless_contrast(homogenizer):
    """No result rather than a wrong one where double precision cannot resolve the fluxes."""
    with pytest.raises(HomogenizationError, match="flux imbalance"):
        homogenizer(random_image("phase-field"), (1.0, 1e15))


@pytest.mark.parametrize("option", ["--cache-dir=x", "--petsc"])
def test_command_line_options_of_others(homogenizer, option):
    """The program's options are its own: a library's import neither fails on them nor obeys or removes them."""
    kind = type(homogenizer)
    code = (
        f"import sys, numpy\nfrom {kind.__module__} import {kind.__name__}\n"
        f"print({kind.__name__}()(numpy.array([[0, 0], [1, 1]]), (1.0, 3.0)).k.tolist(), sys.argv[1:])"
    )
    run = subprocess.run([sys.executable, "-c", code, option], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    values, _, arguments = run.stdout.partition("] ")
    agree([float(v) for v in values.strip("[]").split(",")], [2.0, 1.5], 1e-12)
    assert arguments == f"['{option}']\n"


@pytest.mark.parametrize("name", ["alloy", "carbonate", "ceramics", "composite3phase"])
def test_real_micrographs(homogenizer, name):
    """Micrographs of real materials, contrast 100: bounds in order, and as tight as the structure is coarse."""
    result = homogenizer(np.load(ASSETS / f"{name}_64.npy"), (1.0, 100.0, 10.0))
    assert brackets(result)
    assert np.all(result.upper / result.lower < 1.5)


def break_fluxes(fault, call):
    """The reference's solver with a fault in the given one of its four calls."""
    calls = iter(range(4))

    def solve(kappa):
        qx, qy = solve_fluxes(kappa)
        if next(calls) == call:
            fault(qx, qy)
        return qx, qy

    return solve


def leak(qx, qy):
    qx[:, 3] *= 1 + 1e-8


def lose_x(qx, qy):
    qx[2, 3] = np.nan


def lose_y(qx, qy):
    qy[2, 3] = np.nan


def stir(qx, qy):
    qy[1:-1] += 100


@pytest.mark.parametrize("call", range(4))
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (leak, r"flux imbalance .*e-0[89] exceeds 1e-09"),
        (lose_x, "flux imbalance nan exceeds 1e-09"),
        (lose_y, "Wiener"),
        (stir, "Wiener"),
    ],
    ids=["leak", "nan-x", "nan-y", "whirl"],
)
def test_gates_refuse_broken_fluxes(fault, words, call):
    """One bad solve of the four is enough to refuse the result, also where it is NaN."""
    with pytest.raises(HomogenizationError, match=words):
        homogenize(random_image("non-square"), CONDUCTIVITY, break_fluxes(fault, call), "broken", "0")


def test_gate_refuses_bounds_out_of_order():
    """Fluxes that jump sideways at no cost conduct too well, so that the dual bound falls below the primal."""

    def solve(kappa):
        share = kappa / kappa.sum(axis=0)
        return np.hstack([share, share[:, -1:]]), np.zeros((len(kappa) + 1, kappa.shape[1]))

    with pytest.raises(HomogenizationError, match=r"lower bounds .* exceed upper bounds"):
        homogenize(checkerboard(8), (1.0, 10.0), solve, "broken", "0")


@pytest.mark.parametrize("shape", [(2, 7), (17, 40), (40, 17), (130, 140)], ids=str)
@pytest.mark.parametrize("contrast", [10.0, 1000.0])
def test_direct_agrees_with_fipy(shape, contrast):
    """Banded below 128 pixels, sparse above: every figure and map to 1e-8."""
    image = np.random.default_rng(shape[0]).integers(0, 3, shape)
    conductivity = (1.0, contrast, contrast**0.5)
    fipy, direct = FipyHomogenizer()(image, conductivity), DirectHomogenizer()(image, conductivity)
    for name in ("k", "k_fv", "lower", "upper"):
        np.testing.assert_allclose(getattr(direct, name), getattr(fipy, name), rtol=1e-8)
    for name in ("sensitivity", "sensitivity_fv"):
        np.testing.assert_allclose(getattr(direct, name), getattr(fipy, name), atol=1e-8)
