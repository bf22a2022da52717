"""What every homogenizer must satisfy: exact solutions, bounds, symmetries, sensitivities and refusals."""

import multiprocessing
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from tests.problems import checkerboard, direct_conductivity, laminate, network_conductivity, periodic_tensor

from simulators import BatchedHomogenizer, DirectHomogenizer, FipyHomogenizer, HomogenizationError, certify, generate
from simulators.conduction.homogenizer import gate, homogenize
from simulators.solvers.direct import solve_directly

KINDS = [FipyHomogenizer, DirectHomogenizer, BatchedHomogenizer]
HOMOGENIZERS = [kind(boundary) for boundary in ("dirichlet", "periodic") for kind in KINDS]
CONDUCTIVITY = (0.5, 20.0, 3.0)
ASSETS = Path(__file__).parent / "assets"


@pytest.fixture(params=HOMOGENIZERS, ids=lambda h: f"{h.name}-{h.boundary}")
def homogenizer(request):
    return request.param


@pytest.fixture(params=KINDS, ids=lambda kind: kind.name)
def dirichlet(request):
    return request.param()


@cache
def random_image(kind):
    rng = np.random.default_rng(7)
    phase_field = generate(2, 32, seed=3)
    return {
        "phase-field": phase_field[0],
        "white-noise": rng.integers(0, 2, (20, 20)),
        "three-phases": rng.integers(0, 3, (18, 18)),
        "non-square": phase_field[1][:14],
        "volume": rng.integers(0, 3, (6, 5, 7)),
    }[kind]


random_images = pytest.mark.parametrize("kind", ["phase-field", "white-noise", "three-phases", "non-square", "volume"])
few_images = pytest.mark.parametrize("kind", ["three-phases", "non-square", "volume"])
PLANE = ["three-phases", "non-square"]


def agree(actual, exact, rtol):
    np.testing.assert_allclose(actual, exact, rtol=rtol, atol=0)


def diagonal(result, name="k"):
    """Of one figure: kxx, kyy and, in a volume, kzz."""
    return getattr(result, name)[: result.sensitivity.ndim - 1]


def brackets(result):
    """k_fv <= lower <= k <= upper for every axis, up to round-off."""
    slack = 1 + 1e-11
    k, k_fv, lower, upper = (diagonal(result, name) for name in ("k", "k_fv", "lower", "upper"))
    return np.all((k_fv <= lower * slack) & (lower <= k * slack) & (k <= upper * slack))


def matrix(result, name="k"):
    """The tensor of a periodic result."""
    values = dict(zip(result.names, getattr(result, name), strict=True))
    axes = "xyz"[: result.sensitivity.ndim - 1]
    return np.array([[values["k" + min(a, b) + max(a, b)] for a in axes] for b in axes])


@pytest.mark.parametrize("contrast", [10.0, 1e4])
@pytest.mark.parametrize(("along", "across"), [("parallel", "series"), ("series", "parallel")])
def test_laminate(homogenizer, along, across, contrast):
    """Layers conduct their arithmetic mean along and their harmonic mean across, and so does every bound."""
    conductivity = (1.0, contrast)
    image, kxx = laminate(3, conductivity, along)
    _, kyy = laminate(3, conductivity, across)
    mean = {"parallel": (2 + contrast) / 3, "series": 3 / (2 + 1 / contrast)}
    agree([kxx, kyy], [mean[along], mean[across]], 1e-14)
    result = homogenizer(image, conductivity)
    for name in ("k", "k_fv", "lower", "upper"):
        agree(diagonal(result, name), [kxx, kyy], 1e-9)
    for number in range(2, len(result.names)):
        assert abs(result.k[number]) < 1e-9 * kyy


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_laminate_in_a_volume(homogenizer, axis):
    """The same for layers of voxels across each axis in turn; nothing couples the axes."""
    image = np.broadcast_to((np.arange(6) % 3 == 0).reshape([-1 if a == axis else 1 for a in range(3)]), (6, 6, 6))
    result = homogenizer(image.astype(int), (1.0, 50.0))
    exact = np.full(3, 52 / 3)
    exact[2 - axis] = 3 / (2 + 1 / 50)
    for name in ("k", "k_fv", "lower", "upper"):
        agree(diagonal(result, name), exact, 1e-8)
    np.testing.assert_allclose(result.k[3:], 0, atol=1e-8)


@pytest.mark.parametrize("shape", [(6, 9), (4, 3, 5)])
@pytest.mark.parametrize("k", [7.0, 1.0])
def test_uniform_image(homogenizer, shape, k):
    """One phase conducts what it conducts; every cell matters equally, also where log k is 0."""
    result = homogenizer(np.ones(shape, dtype=int), (2.0, k))
    axes = "xyz"[: len(shape)]
    assert result.names[: len(shape)] == tuple("k" + a + a for a in axes)
    assert len(result.names) == (len(shape) if result.boundary == "dirichlet" else len(shape) * (len(shape) + 1) // 2)
    assert result.volume_fraction == 1.0
    for name in ("k", "k_fv", "lower", "upper"):
        agree(diagonal(result, name), np.full(len(shape), k), 1e-12)
    agree(result.sensitivity[: len(shape)], np.full((len(shape), *shape), 1 / np.prod(shape)), 1e-10)


@pytest.mark.parametrize("dtype", [bool, np.uint64, ">i4"])
def test_type_of_the_labels(homogenizer, dtype):
    """Labels are labels, booleans and lists included."""
    image = random_image("phase-field")[:12, :12]
    expected = homogenizer(image, (1.0, 10.0))
    for labels in (image.astype(dtype), image.astype(dtype).tolist()):
        found = homogenizer(labels, (1.0, 10.0))
        np.testing.assert_array_equal(found.k, expected.k)
        assert found.volume_fraction == expected.volume_fraction
    certificate = certify(image.astype(dtype), (1.0, 10.0), homogenizer, 1.0)
    np.testing.assert_array_equal(certificate.result.k, expected.k)


def test_more_labels_than_a_byte_holds(homogenizer):
    """324 layers conduct their mean along and their harmonic mean across, whatever the type of the labels."""
    kappa = 1 + np.arange(324) / 100
    result = homogenizer(np.repeat(np.arange(324, dtype=np.uint16)[:, None], 2, axis=1), kappa)
    agree(result.k[:2], [kappa.mean(), 1 / (1 / kappa).mean()], 1e-8)


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.name)
@pytest.mark.parametrize(("step", "sign"), [(1, -1), (-1, 1)], ids=["/", chr(92)])
def test_sign_of_kxy(kind, step, sign):
    """x runs right and y down: stripes that run from the top left to the bottom right give a positive kxy."""
    row, column = np.indices((16, 16))
    image = (row + step * column) % 8 < 4
    image[3, 5] ^= True
    result = kind("periodic")(image, (0.1, 1.0))
    assert result.names[2] == "kxy"
    assert result.k[2] == pytest.approx(sign * 0.157, abs=0.02)


@pytest.mark.parametrize("contrast", [10.0, 1000.0])
@pytest.mark.parametrize(("pixels", "squares"), [(1, 2), (3, 2), (8, 2), (16, 2), (4, 4)])
def test_checkerboard(homogenizer, pixels, squares, contrast):
    """A checkerboard conducts sqrt(k1 k2) (Dykhne 1971); finite volumes alone stay below it."""
    result = homogenizer(checkerboard(pixels, squares), (1.0, contrast))
    exact = np.sqrt(contrast)
    agree(diagonal(result), [exact, exact], 1e-8)
    assert np.all(diagonal(result, "k_fv") < 0.97 * exact)
    assert brackets(result)


@random_images
@pytest.mark.parametrize("conductivity", [(1.0, 2.0, 1.5), (1.0, 100.0, 0.01)], ids=["mild", "strong"])
def test_bounds_are_ordered(homogenizer, kind, conductivity):
    """Harmonic mean <= k_fv <= lower <= k <= upper <= arithmetic mean (Wiener, Thomson, Keller, Dirichlet)."""
    image = random_image(kind)
    result = homogenizer(image, conductivity)
    kappa = np.asarray(conductivity)[image]
    assert brackets(result)
    assert np.all(1 / np.mean(1 / kappa) < diagonal(result, "k_fv"))
    assert np.all(diagonal(result, "upper") < np.mean(kappa))
    assert np.all(diagonal(result, "lower") < 0.999 * diagonal(result, "upper"))
    assert np.all((result.lower <= result.k) & (result.k <= result.upper))
    assert 0 <= result.flux_imbalance <= 1e-9
    assert result.volume_fraction == np.count_nonzero(image == 1) / image.size


@few_images
@pytest.mark.parametrize("kind_of", KINDS, ids=lambda k: k.name)
def test_loewner_bracket(kind_of, kind):
    """The periodic tensor lies between the two of its bracket, and the best one is symmetric and positive."""
    result = kind_of("periodic")(random_image(kind), CONDUCTIVITY)
    best, (lower, upper) = matrix(result), result.bracket
    for gap in (best - lower, upper - best, lower - matrix(result, "k_fv"), best):
        assert np.linalg.eigvalsh(gap)[0] > 0
    for bound in (lower, upper):
        np.testing.assert_allclose(bound, bound.T, rtol=1e-9)


@few_images
def test_transposing_swaps_the_directions(homogenizer, kind):
    """Swapping the image's axes x and y swaps kxx with kyy, and turns their maps."""
    image = random_image(kind)
    plain, turned = homogenizer(image, CONDUCTIVITY), homogenizer(image.swapaxes(-1, -2), CONDUCTIVITY)
    swap = str.maketrans("xy", "yx")
    order = [plain.names.index("k" + "".join(sorted(name[1:].translate(swap)))) for name in plain.names]
    for name in ("k", "k_fv", "lower", "upper"):
        agree(getattr(turned, name), getattr(plain, name)[order], 1e-8)
    for name in ("sensitivity", "sensitivity_fv"):
        maps = getattr(plain, name)[order].swapaxes(-1, -2)
        np.testing.assert_allclose(getattr(turned, name), maps, rtol=0, atol=1e-10)


@pytest.mark.parametrize("axis", [0, 1], ids=["upside-down", "mirrored"])
def test_flips_change_signs_at_most(homogenizer, axis):
    """A mirror image conducts the same, with its map mirrored; kxy changes its sign."""
    image = random_image("three-phases")
    plain, flipped = homogenizer(image, CONDUCTIVITY), homogenizer(np.flip(image, axis), CONDUCTIVITY)
    signs = np.array([1, 1, -1])[: len(plain.names)]
    for name in ("k", "k_fv"):
        agree(getattr(flipped, name), signs * getattr(plain, name), 1e-8)
    maps = signs[:, None, None] * np.flip(plain.sensitivity, axis + 1)
    np.testing.assert_allclose(flipped.sensitivity, maps, rtol=0, atol=1e-10)


@few_images
@pytest.mark.parametrize("kind_of", KINDS, ids=lambda k: k.name)
def test_translations_change_nothing_where_periodic(kind_of, kind):
    """A periodic medium has no edge: rolled, it conducts the same, with its map rolled."""
    image, homogenizer = random_image(kind), kind_of("periodic")
    axes = tuple(range(image.ndim))
    plain, rolled = (
        homogenizer(image, CONDUCTIVITY),
        homogenizer(np.roll(image, (3, 2, 1)[: image.ndim], axes), CONDUCTIVITY),
    )
    np.testing.assert_allclose(rolled.k, plain.k, rtol=1e-8, atol=1e-10)
    maps = np.roll(plain.sensitivity, (3, 2, 1)[: image.ndim], tuple(a + 1 for a in axes))
    np.testing.assert_allclose(rolled.sensitivity, maps, rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", PLANE)
def test_duality(homogenizer, kind):
    """With inverted conductivities the tensor is inverted and turned (Keller 1964), and the bounds change places."""
    image = random_image(kind)
    plain, inverse = homogenizer(image, CONDUCTIVITY), homogenizer(image, [1 / k for k in CONDUCTIVITY])
    if homogenizer.boundary == "dirichlet":
        agree(inverse.k * plain.k[::-1], [1.0, 1.0], 1e-10)
        agree(inverse.lower * plain.upper[::-1], [1.0, 1.0], 1e-10)
    else:
        turn = np.array([[0, -1], [1, 0]])
        agree(matrix(inverse), turn @ np.linalg.inv(matrix(plain)) @ turn.T, 1e-8)
        agree(inverse.bracket[0], turn @ np.linalg.inv(plain.bracket[1]) @ turn.T, 1e-8)


@pytest.mark.parametrize("kind", ["phase-field", "white-noise", *PLANE])
def test_finite_volume_value(homogenizer, kind):
    """k_fv solves the resistor network of the pixel grid, here assembled apart and solved directly."""
    image = random_image(kind)
    kappa = np.asarray(CONDUCTIVITY)[image]
    k_fv = homogenizer(image, CONDUCTIVITY).k_fv
    if homogenizer.boundary == "dirichlet":
        agree(k_fv, [direct_conductivity(kappa), direct_conductivity(kappa.T)], 1e-8)
    else:
        exact = periodic_tensor(kappa)
        np.testing.assert_allclose(k_fv, [exact[0, 0], exact[1, 1], exact[0, 1]], rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("factor", [1e-6, 7.3e5])
@pytest.mark.parametrize("kind", ["non-square", "volume"])
def test_unit_of_the_conductivities(homogenizer, kind, factor):
    """k is homogeneous of degree one in the conductivities; the sensitivities do not change."""
    image = random_image(kind)
    plain, scaled = homogenizer(image, CONDUCTIVITY), homogenizer(image, [factor * k for k in CONDUCTIVITY])
    for name in ("k", "k_fv", "lower", "upper"):
        agree(getattr(scaled, name), factor * getattr(plain, name), 1e-8)
    np.testing.assert_allclose(scaled.sensitivity, plain.sensitivity, rtol=0, atol=1e-10)


@random_images
def test_sensitivities_share_out_the_conductivity(homogenizer, kind):
    """Each map sums to 1, for k is homogeneous of degree one in the cells; that of kxy to kxy / sqrt(kxx kyy)."""
    image = random_image(kind)
    result = homogenizer(image, CONDUCTIVITY)
    pairs = [("xyz".index(name[1]), "xyz".index(name[2])) for name in result.names]
    for maps, k in ((result.sensitivity, result.k), (result.sensitivity_fv, result.k_fv)):
        assert maps.shape == (len(result.names), *image.shape)
        ratios = [k[n] / np.sqrt(k[i] * k[j]) for n, (i, j) in enumerate(pairs)]
        np.testing.assert_allclose(maps.sum(axis=tuple(range(1, maps.ndim))), ratios, rtol=0, atol=1e-9)
    assert result.sensitivity_fv[: image.ndim].min() >= 0


@few_images
@pytest.mark.parametrize("name", ["k", "k_fv"])
def test_sensitivity_is_the_derivative(homogenizer, kind, name):
    """What central differences give when one cell becomes a phase of its own."""
    image = random_image(kind)
    result = homogenizer(image, CONDUCTIVITY)
    maps = result.sensitivity if name == "k" else result.sensitivity_fv
    value, step, phases = getattr(result, name), 1e-3, len(CONDUCTIVITY)
    pairs = [("xyz".index(n[1]), "xyz".index(n[2])) for n in result.names]
    scale = np.array([np.sqrt(value[i] * value[j]) for i, j in pairs])
    for cell in np.random.default_rng(1).integers(0, image.shape, (2, image.ndim)):
        marked = image.copy()
        marked[tuple(cell)] = phases
        kappa = CONDUCTIVITY[image[tuple(cell)]]
        up, down = (getattr(homogenizer(marked, (*CONDUCTIVITY, kappa * np.exp(s))), name) for s in (step, -step))
        np.testing.assert_allclose(maps[(..., *cell)], (up - down) / (2 * step) / scale, rtol=1e-5, atol=1e-8)


@few_images
def test_refined_image_stays_within_the_bracket(homogenizer, kind):
    """Smaller cells leave the medium as it is: the new best value lies between the old bounds."""
    image = random_image(kind)
    coarse = homogenizer(image, CONDUCTIVITY)
    fine = homogenizer(np.kron(image, np.ones([2] * image.ndim, dtype=int)), CONDUCTIVITY)
    assert np.all((coarse.lower < fine.k) & (fine.k < coarse.upper))
    assert np.all(diagonal(coarse, "k_fv") < diagonal(fine, "k_fv"))
    assert np.all(fine.upper - fine.lower < coarse.upper - coarse.lower)


def test_history_leaves_no_trace(dirichlet):
    """An image solved after one that differs by a pixel, as a new process solves it, bit for bit."""
    before = random_image("phase-field")
    image = before.copy()
    image[5, 5] ^= 1
    for conductivity in [(1.0, 10.0), (1.0, 10.0 * (1 + 1e-9))]:
        dirichlet(before, conductivity)
        dirichlet(image, conductivity)
    used = dirichlet(image, (1.0, 10.0))
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        fresh = pool.apply(dirichlet, (image, (1.0, 10.0)))
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
    "a thin stack": (np.zeros((1, 8, 8), dtype=int), (1.0, 2.0), r"shape \(1, 8, 8\)"),
    "four axes": (np.zeros((2, 2, 2, 2), dtype=int), (1.0, 2.0), r"shape \(2, 2, 2, 2\)"),
    "insulator that cuts": (np.eye(4, dtype=int), (0.0, 2.0), "do not percolate along x and y"),
    "insulating layer": (np.arange(16).reshape(4, 4) // 8, (0.0, 2.0), r"percolate along y:"),
    "image with NaN": (np.full((4, 4), np.nan), (1.0, 2.0), "float64"),
    "grey levels": (np.eye(4), (1.0, 2.0), r"float64.*threshold"),
}


@pytest.mark.parametrize(("image", "conductivity", "words"), BAD_INPUT.values(), ids=BAD_INPUT.keys())
def test_bad_input(homogenizer, image, conductivity, words):
    """Refused with the value at fault."""
    with pytest.raises(HomogenizationError, match=words):
        homogenizer(image, conductivity)


@cache
def hard_images():
    """Where solvers lose digits: ends that do not meet, corners, channels, stripes, degenerate symmetries."""
    y, x = np.indices((16, 16))
    rng = np.random.default_rng(4)
    images = {
        "phase field": generate(1, 16, seed=3)[0],
        "noise": rng.integers(0, 2, (16, 16)),
        "threshold": rng.random((16, 16)) < 0.59,
        "pixels": x + y & 1,
        "board": checkerboard(8),
        "stripes": (x + y) % 8 < 4,
        "falling stripes": (x - y) % 8 < 4,
        "steep stripes": (x + 2 * y) % 8 < 4,
        "layers": x % 4 < 2,
        "uniform": 0 * x + 1,
        "pixel": (x == 8) & (y == 8),
        "channel": y == 8,
        "diagonal": x == y,
        "inclusions": (x % 8 < 3) & (y % 8 < 3),
        "meander": (y % 4 == 0) | ((y % 8 < 4) & (x == 0)) | ((y % 8 >= 4) & (x == 15)),
    }
    return {name: image.astype(np.uint8) for name, image in images.items()}


@pytest.mark.parametrize("name", hard_images())
def test_highest_contrast(homogenizer, name):
    """Contrast 1e6: duality, shares that sum to 1, and a total flux that is the same through every plane."""
    image, conductivity = hard_images()[name], (1.0, 1e6)
    result, inverse = homogenizer(image, conductivity), homogenizer(image, [1 / k for k in conductivity])
    assert result.flux_imbalance < 1e-10
    np.testing.assert_allclose(result.sensitivity[:2].sum(axis=(1, 2)), 1, rtol=0, atol=1e-8)
    if homogenizer.boundary == "dirichlet":
        agree(inverse.k * result.k[::-1], [1.0, 1.0], 1e-10)
        agree(inverse.lower * result.upper[::-1], [1.0, 1.0], 1e-10)
    else:
        turn = np.array([[0, -1], [1, 0]])
        exact = turn @ np.linalg.inv(matrix(inverse)) @ turn.T
        np.testing.assert_allclose(matrix(result), exact, rtol=1e-8, atol=1e-9 * result.k[:2].max())


@pytest.mark.parametrize("name", ["noise", "threshold", "meander", "pixel", "diagonal", "phase field"])
@pytest.mark.parametrize("conductivity", [(1.0, 1e6), (1.0, 1e-6)], ids=["conductor", "insulator"])
def test_highest_contrast_against_forty_digits(dirichlet, name, conductivity):
    """k_fv keeps ten digits where its conductances differ by a million."""
    image = hard_images()[name]
    kappa = np.asarray(conductivity)[image]
    agree(dirichlet(image, conductivity).k_fv, [network_conductivity(kappa), network_conductivity(kappa.T)], 1e-10)


@pytest.mark.parametrize("conductivity", [(1.0, 1e6), (1e3, 1e-3)], ids=["conductor", "insulator"])
@pytest.mark.parametrize("boundary", ["dirichlet", "periodic"])
def test_backends_agree_at_the_highest_contrast(conductivity, boundary):
    """On every hard image and a volume, values and maps as FiPy gives them."""
    for name, image in {**hard_images(), "volume": random_image("volume") % 2}.items():
        fipy = FipyHomogenizer(boundary)(image, conductivity)
        for kind in (DirectHomogenizer, BatchedHomogenizer):
            other = kind(boundary)(image, conductivity)
            for figure in ("k", "k_fv", "lower", "upper"):
                expected = getattr(fipy, figure)
                scale = 1e-9 * max(abs(expected))
                np.testing.assert_allclose(getattr(other, figure), expected, rtol=1e-9, atol=scale, err_msg=name)
            atol = 1e-8 / image.size
            np.testing.assert_allclose(other.sensitivity, fipy.sensitivity, rtol=1e-8, atol=atol, err_msg=name)


def test_contrast_beyond_double_precision(homogenizer):
    """Refused by name before anything is solved; a phase that is not in the image does not count."""
    image = random_image("phase-field")
    with pytest.raises(
        HomogenizationError, match=r"contrast 1e\+07 between 0\.001 and 10000: .*1e\+06; raise .* to 0\.01"
    ):
        homogenizer(image, (1e-3, 1e4))
    assert homogenizer(np.minimum(image, 0), (1.0, 1e9)).k[0] == pytest.approx(1.0)


@pytest.mark.parametrize("contrast", [10.0, 1e3, 1e6])
def test_stripes_in_a_periodic_batch(contrast):
    """Where the flux is the same in every pixel the adjoint has nothing to solve but rounding: not a failure."""
    exact = DirectHomogenizer("periodic")
    images = list(hard_images().values())[3:13]
    for image, result in zip(images, BatchedHomogenizer("periodic").many(images, (1.0, contrast)), strict=True):
        scale = 1e-9 * result.k.max()
        np.testing.assert_allclose(result.k, exact(image, (1.0, contrast)).k, rtol=1e-9, atol=scale)
    y, x = np.indices((32, 32))
    result = BatchedHomogenizer("periodic")(((x + y) % 8 < 4).astype(int), (0.1, 1.0))
    np.testing.assert_allclose(result.k, [0.35324, 0.35324, -0.15741], atol=5e-6)


@pytest.mark.parametrize("shape", [(2, 3), (3, 2), (5, 24)], ids=str)
def test_rounding_that_iterations_gather(shape):
    """Small and slender cells at contrast 1e6: heat that only rounding put there keeps no image from its end."""
    rng = np.random.default_rng(0)
    images = [(rng.random(shape) < part).astype(int) for part in (0.05, 0.5, 0.5, 0.95)]
    y, x = np.indices(shape)
    images += [((y - x) % 4 < 2).astype(int), x // 2 % 2]
    for conductivity in ((1.0, 1e6), (1.0, 1e-6), (1e5, 1.0)):
        for image, found in zip(images, BatchedHomogenizer("periodic").many(images, conductivity), strict=True):
            expected = DirectHomogenizer("periodic")(image, conductivity).k
            np.testing.assert_allclose(found.k, expected, rtol=1e-9, atol=1e-9 * max(expected))


@pytest.mark.parametrize("boundary", ["dirichlet", "periodic"])
@pytest.mark.parametrize("contrast", [10.0, 1e6])
def test_a_batch_leaves_no_trace(boundary, contrast):
    """Whatever the neighbours and the place in the batch: the same result, bit for bit."""
    homogenizer, images = BatchedHomogenizer(boundary), list(hard_images().values())
    alone = [homogenizer(image, (1.0, contrast)) for image in images]
    for order in (range(15), range(14, -1, -1), range(0, 15, 2)):
        for number, result in zip(order, homogenizer.many([images[i] for i in order], (1.0, contrast)), strict=True):
            for name in ("k", "k_fv", "lower", "upper", "sensitivity", "sensitivity_fv", "flux_imbalance"):
                np.testing.assert_array_equal(getattr(result, name), getattr(alone[number], name))


@pytest.mark.parametrize("option", ["--cache-dir=x", "--petsc"])
def test_command_line_options_of_others(option):
    """The program's options are its own: a library's import neither fails on them nor obeys or removes them."""
    kind = FipyHomogenizer
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
    assert np.all(diagonal(result, "upper") / diagonal(result, "lower") < 1.5)


def broken_backend(fault, call):
    """The direct backend with a fault in the given one of its four solves."""
    calls = iter(range(4))

    def solve(problem):
        deviation, again = solve_directly(problem)
        return fault(deviation, again) if next(calls) == call else (deviation, again)

    return solve


def leak(deviation, again):
    deviation[..., 3:] += 1e-8
    return deviation, lambda rhs, limit: 0 * rhs


def lose(deviation, again):
    deviation[..., 2, 3] = np.nan
    return deviation, again


def lose_adjoint(deviation, again):
    return deviation, lambda rhs, limit: again(rhs, limit) * np.nan


def blur_adjoint(deviation, again):
    return deviation, lambda rhs, limit: again(rhs, limit) * (1 - np.eye(1, rhs.size).reshape(rhs.shape))


@pytest.mark.parametrize("call", range(4))
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (leak, "flux imbalance nan exceeds 1e-09"),
        (lose, "flux imbalance nan exceeds 1e-09"),
        (lose_adjoint, "sensitivities are not finite"),
        (blur_adjoint, "sensitivities are not finite"),
    ],
    ids=["leak", "nan", "adjoint", "blurred adjoint"],
)
def test_gates_refuse_a_broken_solve(fault, words, call):
    """One bad solve of the four is enough to refuse the result, also where it is NaN."""
    with pytest.raises(HomogenizationError, match=words):
        homogenize(random_image("non-square"), CONDUCTIVITY, broken_backend(fault, call), "dirichlet", "broken", "0")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"lower": 1.1, "upper": 0.9}, r"lower bounds .* exceed upper bounds"),
        ({"lower": 0.2}, "Wiener"),
        ({"upper": 5.0}, "Wiener"),
        ({"upper": np.nan}, "Wiener"),
    ],
    ids=["order", "below", "above", "nan"],
)
@pytest.mark.parametrize("boundary", ["dirichlet", "periodic"])
def test_gates_on_bounds(boundary, change, words):
    """Bounds out of order or outside the Wiener bounds are refused, as numbers and as tensors."""
    image = random_image("phase-field")
    result = DirectHomogenizer(boundary)(image, (1.0, 10.0))
    changed = {name: getattr(result, name) * factor for name, factor in change.items()}
    if boundary == "periodic":
        factors = change.get("lower", 1.0), change.get("upper", 1.0)
        changed = {"bracket": tuple(t * f for t, f in zip(result.bracket, factors, strict=True))}
    with pytest.raises(HomogenizationError, match=words):
        gate(replace(result, **changed), np.array([1.0, 10.0])[image])


@pytest.mark.parametrize("boundary", ["dirichlet", "periodic"])
@pytest.mark.parametrize("shape", [(2, 7), (17, 40), (40, 17), (65, 80), (9, 6, 7)], ids=str)
@pytest.mark.parametrize("contrast", [10.0, 1000.0])
def test_backends_agree_with_fipy(shape, contrast, boundary):
    """Every figure and map to 1e-8."""
    image = np.random.default_rng(shape[0]).integers(0, 3, shape)
    conductivity = (1.0, contrast, contrast**0.5)
    fipy = FipyHomogenizer(boundary)(image, conductivity)
    for kind in (DirectHomogenizer, BatchedHomogenizer):
        other = kind(boundary)(image, conductivity)
        for name in ("k", "k_fv", "lower", "upper"):
            scale = 1e-8 * fipy.k[0]
            np.testing.assert_allclose(getattr(other, name), getattr(fipy, name), rtol=1e-8, atol=scale)
        for name in ("sensitivity", "sensitivity_fv"):
            np.testing.assert_allclose(getattr(other, name), getattr(fipy, name), atol=1e-8)


def test_sparse_and_banded_factors_agree(monkeypatch):
    """Where the direct backend changes its method it does not change its answer."""
    image = random_image("three-phases")
    banded = DirectHomogenizer()(image, CONDUCTIVITY)
    monkeypatch.setattr("simulators.solvers.direct.BANDED_UP_TO", 8)
    sparse = DirectHomogenizer()(image, CONDUCTIVITY)
    monkeypatch.setattr("simulators.solvers.direct._pardiso_solver", lambda: None)
    for other in (sparse, DirectHomogenizer()(image, CONDUCTIVITY)):
        agree(other.k, banded.k, 1e-11)
        np.testing.assert_allclose(other.sensitivity, banded.sensitivity, atol=1e-11)


@pytest.mark.parametrize("boundary", ["dirichlet", "periodic"])
def test_batch_is_as_its_members(boundary, monkeypatch):
    """Images of several sizes, a bad one and chunks smaller than the batch: in order, each as if alone."""
    monkeypatch.setattr("simulators.solvers.batched.CPU_CELLS", 700)
    images = [random_image(k) for k in ("three-phases", "volume", "non-square", "white-noise", "three-phases")]
    images[3:3] = [np.full((9, 9), 7), np.flip(random_image("three-phases"), 0)]
    homogenizer = BatchedHomogenizer(boundary)
    results = homogenizer.many(images, CONDUCTIVITY)
    assert [isinstance(r, HomogenizationError) for r in results] == [n == 3 for n in range(7)]
    for image, result in zip(images, results, strict=True):
        if not isinstance(result, HomogenizationError):
            alone = homogenizer(image, CONDUCTIVITY)
            np.testing.assert_allclose(result.k, alone.k, rtol=1e-9)
            np.testing.assert_allclose(result.sensitivity, alone.sensitivity, atol=1e-10)


def test_iterations_that_run_out_are_told(monkeypatch):
    """The batched solver gives no number that it did not reach; the others of the batch keep theirs."""
    monkeypatch.setattr("simulators.algebra.conjugate_gradients.MAX_ITERATIONS", 30)
    images = [np.ones((12, 12), dtype=int), np.random.default_rng(0).integers(0, 2, (12, 12))]
    easy, hard = BatchedHomogenizer("periodic").many(images, (1.0, 1e4))
    agree(easy.k[:2], [1e4, 1e4], 1e-12)
    assert "flux imbalance nan" in str(hard)
