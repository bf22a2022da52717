"""Elasticity against closed forms, other codes, differences and invariants."""

import itertools
from functools import cache

import numpy as np
import pytest

from simulators.elasticity import Elasticity, hashin_shtrikman, voigt_reuss
from simulators.elasticity.bounds import isotropic_part
from simulators.elasticity.stiffness import LABELS, lame, tensors
from simulators.simulator import SimulationError

MODULUS, POISSON = (1.0, 10.0), (0.3, 0.2)


def picture(shape, seed=0, squares=2):
    """Random squares, so that phases have some inside."""
    small = np.random.default_rng(seed).integers(0, 2, [-(-n // squares) for n in shape])
    return np.kron(small, np.ones([squares] * len(shape), int))[tuple(slice(n) for n in shape)]


def matrix(values, dim):
    labels = LABELS[dim]
    full = np.array([[values[f"C{min(a, b)}{max(a, b)}"] for b in labels] for a in labels])
    return full


def moved(image, axes, flips=()):
    return np.flip(image.transpose(axes), flips)


def backus(modulus, poisson, weights, dim, normal, plane="strain"):
    """A laminate's tensor: strains along the layers and stresses across them are uniform."""
    phases = tensors(lame(modulus, poisson, dim, plane), dim)
    labels = LABELS[dim]
    across = [
        i
        for i, name in enumerate(labels)
        if str(normal + 1) in {"1": "1", "2": "2", "3": "3", "4": "23", "5": "13", "6": "12"}[name]
    ]
    along = [i for i in range(len(labels)) if i not in across]
    mean = lambda parts: sum(w * p for w, p in zip(weights, parts, strict=True))  # noqa: E731
    cut = lambda c, a, b: c[np.ix_(a, b)]  # noqa: E731
    inverse = [np.linalg.inv(cut(c, across, across)) for c in phases]
    nn = np.linalg.inv(mean(inverse))
    nt = nn @ mean([i @ cut(c, across, along) for i, c in zip(inverse, phases, strict=True)])
    tt = mean(
        [
            cut(c, along, along) - cut(c, along, across) @ i @ cut(c, across, along)
            for i, c in zip(inverse, phases, strict=True)
        ]
    )
    tt = tt + nt.T @ np.linalg.inv(nn) @ nt
    found = np.zeros_like(phases[0])
    found[np.ix_(across, across)], found[np.ix_(along, along)] = nn, tt
    found[np.ix_(across, along)], found[np.ix_(along, across)] = nt, nt.T
    return found


@pytest.mark.parametrize("contrast", [0.01, 10, 100, 1000])
@pytest.mark.parametrize(
    ("shape", "normal", "plane"),
    [
        ((17, 24), 0, "strain"),
        ((18, 23), 1, "strain"),
        ((6, 9), 0, "stress"),
        ((6, 6, 8), 2, "strain"),
    ],
)
def test_a_laminate_has_backus_averages(contrast, shape, normal, plane):
    dim = len(shape)
    axis = dim - 1 - normal
    layers = (np.arange(shape[axis]) % 3 == 0).astype(int)
    image = np.broadcast_to(layers.reshape([-1 if i == axis else 1 for i in range(dim)]), shape)
    result = Elasticity("periodic", (1.0, contrast), POISSON, plane)(image)
    weights = (1 - layers.mean(), layers.mean())
    exact = backus((1.0, contrast), POISSON, weights, dim, normal, plane)
    tolerance = 1e-10 * exact.max()
    np.testing.assert_allclose(matrix(result.values, dim), exact, rtol=1e-10, atol=tolerance)
    for name, value in result.lower.items():
        if dim == 2:
            assert value == pytest.approx(result.values[name], rel=1e-8, abs=1e-8 * exact.max())


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("contrast", [10, 1000])
@pytest.mark.parametrize("poisson", [0.0, 0.3])
def test_between_grips_a_laminate_is_in_series_or_parallel(dim, contrast, poisson):
    # Across the layers the free sides would bend each of them in its own way, unless none gets thinner.
    layers = (np.arange(9) % 3 == 0).astype(int)
    image = np.broadcast_to(layers, (6, 5, 9)[3 - dim :])
    result = Elasticity("dirichlet", (1.0, contrast), poisson)(image)
    plain = 1 - poisson**2 if dim == 2 else 1
    for i in range(2, dim + 1):
        assert result.values[f"E{i}{i}"] == pytest.approx((6 + 3 * contrast) / 9 / plain, rel=1e-10)
    series = 1 / np.mean(1 / np.array([1.0, contrast])[layers])
    if poisson == 0:
        assert result.values["E11"] == pytest.approx(series, rel=1e-10)
    else:
        assert result.values["E11"] > series / plain * (1 + 1e-6)


@pytest.mark.parametrize("boundary", ["periodic", "dirichlet"])
def test_a_uniform_image_has_its_phase_s_own_stiffness(boundary):
    for label, (e, nu) in enumerate(zip(MODULUS, POISSON, strict=True)):
        for plane, pull in (("strain", e / (1 - nu**2)), ("stress", e)):
            result = Elasticity(boundary, MODULUS, POISSON, plane)(np.full((3, 5), label))
            assert result.values["E11"] == pytest.approx(pull, rel=1e-12)
            if boundary == "periodic":
                exact = tensors(lame(MODULUS, POISSON, 2, plane), 2)[label]
                np.testing.assert_allclose(matrix(result.values, 2), exact, atol=1e-12 * e)
        result = Elasticity(boundary, MODULUS, POISSON)(np.full((3, 4, 2), label))
        for name in ("E11", "E22", "E33"):
            assert result.values[name] == pytest.approx(e, rel=1e-12)


def assembled_by_hand(image, boundary):
    """Upper bounds by scikit-fem's own dense way, cell by cell: plane strain, full matrix, no band."""
    from skfem import Basis, BilinearForm, ElementQuad1, ElementVector, MeshQuad
    from skfem.helpers import ddot, eye, sym_grad, trace

    ny, nx = image.shape
    mesh = MeshQuad.init_tensor(np.arange(nx + 1.0), np.arange(ny + 1.0))
    basis = Basis(mesh, ElementVector(ElementQuad1()))
    middle = mesh.p[:, mesh.t].mean(axis=1)
    label = image[np.floor(middle[1]).astype(int), np.floor(middle[0]).astype(int)]
    e, nu = np.array(MODULUS)[label][:, None], np.array(POISSON)[label][:, None]

    @BilinearForm
    def stiffness(u, v, _):
        strain = sym_grad(u)
        stress = e / (1 + nu) * (strain + nu / (1 - 2 * nu) * eye(trace(strain), 2))
        return ddot(stress, sym_grad(v))

    k = stiffness.assemble(basis).toarray()
    x, y = basis.doflocs
    component = np.zeros(basis.N, int)
    component[basis.nodal_dofs[1]] = 1
    if boundary == "dirichlet":
        found = {}
        for c, (at, length) in enumerate(((x, nx), (y, ny))):
            u = np.where(component == c, at, 0.0)
            held = (component == c) & ((at == 0) | (at == length))
            held[np.flatnonzero(component != c)[0]] = True
            u[~held] = np.linalg.solve(k[np.ix_(~held, ~held)], -(k[np.ix_(~held, held)] @ u[held]))
            found[f"E{c + 1}{c + 1}"] = u @ k @ u / image.size
        return found
    keys = [tuple(key) for key in np.stack([component, x % nx, y % ny], axis=1)]
    masters = {key: i for i, key in enumerate(dict.fromkeys(keys))}
    tie = np.zeros((basis.N, len(masters)))
    tie[np.arange(basis.N), [masters[key] for key in keys]] = 1
    lifts = np.stack([np.where(component == 0, x, 0), np.where(component == 1, y, 0), np.where(component == 0, y, 0)])
    total = lifts.T - tie @ np.linalg.pinv(tie.T @ k @ tie, rcond=1e-12, hermitian=True) @ (tie.T @ k @ lifts.T)
    c = total.T @ k @ total / image.size
    return {f"C{a}{b}": c[i, j] for i, a in enumerate("126") for j, b in enumerate("126") if j >= i}


@pytest.mark.parametrize("boundary", ["periodic", "dirichlet"])
def test_upper_bounds_are_a_second_code_s_energies(boundary):
    image = picture((7, 9))
    plain = Elasticity(boundary, MODULUS, POISSON)(image).plain
    for name, value in assembled_by_hand(image, boundary).items():
        assert plain[name] == pytest.approx(value, rel=1e-10, abs=1e-11), name


@pytest.mark.parametrize("boundary", ["periodic", "dirichlet"])
def test_a_plane_is_the_volume_that_repeats_it(boundary):
    image = picture((6, 7))
    volume = np.repeat(image[None], 3, axis=0)
    flat, deep = (Elasticity(boundary, MODULUS, 0.0)(i) for i in (image, volume))
    for name, value in flat.plain.items():
        assert deep.values[name] == pytest.approx(value, rel=1e-9, abs=1e-10), name


@pytest.mark.parametrize("boundary", ["periodic", "dirichlet"])
@pytest.mark.parametrize("shape", [(7, 10), (3, 4, 4)])
@pytest.mark.parametrize("modulus", [MODULUS, MODULUS[::-1]])
def test_sensitivities_are_differences_and_add_up(boundary, shape, modulus):
    image, step = picture(shape), 1e-3
    result = Elasticity(boundary, modulus, POISSON)(image)
    for name, slope in result.sensitivity.items():
        value = result.values[name]
        total = 1.0 if name[1] == name[2] else value
        assert slope.shape == shape
        assert slope.sum() == pytest.approx(total, rel=1e-10, abs=1e-9)
    rng = np.random.default_rng(1)
    for _ in range(3):
        at = tuple(rng.integers(n) for n in shape)
        label = image[at]
        marked = image.copy()
        marked[at] = 2
        ends = [
            Elasticity(boundary, (*modulus, modulus[label] * np.exp(h)), (*POISSON, POISSON[label]))(marked).values
            for h in (-step, step)
        ]
        for name, slope in result.sensitivity.items():
            low, high = (np.log(end[name]) if name[1] == name[2] else end[name] for end in ends)
            scale = abs(slope).max()
            assert (high - low) / (2 * step) == pytest.approx(slope[at], rel=1e-5, abs=1e-5 * scale), name


@pytest.mark.parametrize("boundary", ["periodic", "dirichlet"])
@pytest.mark.parametrize("contrast", [10, 100, 1000])
def test_bounds_enclose_those_of_finer_cells(boundary, contrast):
    for shape in ((17, 23), (2, 3), (8, 8)):
        image = picture(shape, seed=contrast)
        simulate = Elasticity(boundary, (1.0, contrast), POISSON)
        coarse, fine = simulate(image), simulate(np.kron(image, np.ones((2, 2), int)))
        for name in (n for n in coarse.values if n[1] == n[2]):
            rising = [coarse.lower[name], fine.lower[name], fine.values[name], fine.upper[name], coarse.upper[name]]
            assert all(a <= b * (1 + 1e-9) for a, b in itertools.pairwise(rising)), (name, rising)


def test_a_turned_image_has_the_turned_tensor():
    image = picture((6, 9), seed=3)
    simulate = Elasticity("periodic", MODULUS, POISSON)
    c = simulate(image).values
    turned, mirrored, both = (simulate(i).values for i in (image.T, image[:, ::-1], image[::-1, ::-1]))
    for name, other in (("C11", "C22"), ("C12", "C12"), ("C16", "C26"), ("C66", "C66"), ("E11", "E22")):
        assert turned[name] == pytest.approx(c[other], abs=1e-11)
        assert both[name] == pytest.approx(c[name], abs=1e-11)
        assert mirrored[name] == pytest.approx(-c[name] if name == "C16" else c[name], abs=1e-11)
    assert abs(c["C16"]) > 1e-3
    grips = Elasticity("dirichlet", MODULUS, POISSON)
    assert grips(image.T).values["E11"] == pytest.approx(grips(image).values["E22"], rel=1e-12)


def test_a_frictionless_grip_is_a_mirror():
    image = picture((7, 6), seed=8)
    simulate = Elasticity("dirichlet", MODULUS, POISSON)
    one, two = simulate(image), simulate(np.hstack([image, image[:, ::-1]]))
    for found in ("lower", "values", "upper"):
        assert getattr(two, found)["E11"] == pytest.approx(getattr(one, found)["E11"], rel=1e-11), found


def test_a_turned_volume_has_the_turned_tensor():
    image = picture((4, 5, 6), seed=4)
    simulate = Elasticity("periodic", MODULUS, POISSON)
    c = matrix(simulate(image).values, 3)
    # x -> y -> z -> x takes xx, yy, zz, yz, xz, xy to yy, zz, xx, xz, xy, yz.
    turned = matrix(simulate(image.transpose(1, 2, 0)).values, 3)
    names = ["xx", "yy", "zz", "yz", "xz", "xy"]
    step = {"x": "z", "y": "x", "z": "y"}
    order = [names.index(n) if (n := "".join(sorted(step[a] for a in name))) in names else 0 for name in names]
    np.testing.assert_allclose(turned, c[np.ix_(order, order)], atol=1e-8)


def test_four_fold_symmetry_leaves_a_square_tensor():
    quarter = picture((5, 5), seed=5)
    image = np.block([[quarter, np.rot90(quarter, -1)], [np.rot90(quarter), np.rot90(quarter, 2)]])
    values = Elasticity("periodic", MODULUS, POISSON)(image).values
    assert values["C11"] == pytest.approx(values["C22"], rel=1e-11)
    assert values["C26"] == pytest.approx(-values["C16"], abs=1e-11)
    board = np.kron(np.indices((2, 2)).sum(axis=0) % 2, np.ones((8, 8), int))
    values = Elasticity("periodic", MODULUS, POISSON)(board).values
    assert values["C11"] == pytest.approx(values["C22"], rel=1e-11)
    assert values["C16"] == pytest.approx(0, abs=1e-11)


def test_stiffening_a_cell_never_softens():
    simulate, rng = Elasticity("periodic", MODULUS, (0.2, 0.3)), np.random.default_rng(6)
    image = picture((6, 8), seed=6)
    grips = Elasticity("dirichlet", MODULUS, (0.2, 0.3))
    before, held = simulate(image), grips(image)
    for flat in rng.choice(np.flatnonzero(image == 0), 8, replace=False):
        stiffer = image.copy()
        stiffer.flat[flat] = 1
        after = simulate(stiffer)
        for a, b in ((before.values, after.values), (before.plain, after.plain)):
            assert np.linalg.eigvalsh(matrix(b, 2) - matrix(a, 2)).min() > -1e-10
        assert all(grips(stiffer).values[n] >= held.values[n] * (1 - 1e-12) for n in ("E11", "E22"))


@cache
def disc(size, fraction):
    at = np.arange(size) - (size - 1) / 2
    return (np.hypot(*np.meshgrid(at, at)) < size * np.sqrt(fraction / np.pi)).astype(int)


@pytest.mark.parametrize("modulus", [(1.0, 10.0), (10.0, 1.0), (100.0, 1.0)])
def test_a_dilute_disc_changes_the_moduli_as_eshelby_says(modulus):
    # A round inclusion in a plane: K = K0 + f (K1 - K0)(K0 + G0)/(K1 + G0), G with zeta = K0 G0/(K0 + 2 G0). Second
    # order in the fraction remains, and a staircase for a circle.
    image = disc(96, 0.02)
    f = image.mean()
    lam, g = lame(modulus, POISSON, 2, "strain")
    k = lam + g
    zeta = k[0] * g[0] / (k[0] + 2 * g[0])
    bulk, shear = isotropic_part(matrix(Elasticity("periodic", modulus, POISSON)(image).values, 2), 2)
    assert (bulk - k[0]) / f == pytest.approx((k[1] - k[0]) * (k[0] + g[0]) / (k[1] + g[0]), rel=0.08)
    assert (shear - g[0]) / f == pytest.approx((g[1] - g[0]) * (g[0] + zeta) / (g[1] + zeta), rel=0.08)


@pytest.mark.parametrize("dim", [2, 3])
def test_elementary_bounds_are_nested_and_end_at_the_phases(dim):
    fraction = np.linspace(0, 1, 11)
    outer = voigt_reuss(fraction, MODULUS, POISSON, dim=dim)
    inner = hashin_shtrikman(fraction, MODULUS, POISSON, dim=dim)
    constants = lame(MODULUS, POISSON, dim, "strain")
    plain = {"bulk": constants[0] + 2 / dim * constants[1], "shear": constants[1]}
    for name, (low, high) in inner.items():
        assert low[[0, -1]] == pytest.approx(plain[name])
        assert high[[0, -1]] == pytest.approx(plain[name])
        mixed = (1 - fraction) * plain[name][0] + fraction * plain[name][1]
        series = 1 / ((1 - fraction) / plain[name][0] + fraction / plain[name][1])
        assert (np.diff([series, low, high, mixed], axis=0)[:, 1:-1] > 0).all()
    for name, (low, high) in outer.items():
        assert (low <= high + 1e-12).all(), name
    sheet = voigt_reuss(0.5, (1.0, 10.0), (0.0, 0.0), plane="stress")
    assert sheet["E11"] == pytest.approx((2 / 1.1, 5.5))


def test_hashin_shtrikman_bound_a_fine_board_between_voigt_and_reuss():
    # Isotropic in bulk by its symmetry, in shear by averaging over all rotations; 0.5 of each phase.
    board = np.kron(np.indices((2, 2)).sum(axis=0) % 2, np.ones((32, 32), int))
    result = Elasticity("periodic", MODULUS, POISSON)(board)
    bounds = hashin_shtrikman(0.5, MODULUS, POISSON)
    for name, value in zip(("bulk", "shear"), isotropic_part(matrix(result.values, 2), 2), strict=True):
        low, high = bounds[name]
        assert low < value < high


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"modulus": (1.0, 0.0)}, "finite and above 0"),
        ({"modulus": (1.0, float("nan"))}, "finite and above 0"),
        ({"modulus": ()}, "finite and above 0"),
        ({"poisson": (0.3, 0.5)}, "below 0.5"),
        ({"poisson": -1.0}, "above -1"),
        ({"poisson": (0.3, 0.3, 0.3)}, "give one for each"),
        ({"modulus": (1.0, 1e9)}, "contrast"),
        ({"poisson": 0.49999999}, "contrast"),
        ({"boundary": "free"}, "must be"),
        ({"plane": "bent"}, "must be"),
    ],
)
def test_bad_constants_are_refused(change, words):
    with pytest.raises(ValueError, match=words):
        Elasticity(**{"boundary": "periodic", "modulus": MODULUS, "poisson": POISSON, **change})


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.full((4, 4), 2), "label i needs entry i"),
        (np.full((4, 4), -1), "label i needs entry i"),
        (np.zeros((4, 4)), "must be integers"),
        (np.zeros((1, 9), int), "2 cells or more"),
        (np.zeros(9, int), "2 cells or more"),
        (np.broadcast_to(np.uint8(0), (10**6, 10**6)), "GiB"),
    ],
)
@pytest.mark.parametrize("boundary", ["periodic", "dirichlet"])
def test_bad_images_are_refused(image, words, boundary):
    with pytest.raises(SimulationError, match=words):
        Elasticity(boundary, MODULUS, POISSON)(image)


def test_names_are_those_of_the_results():
    for boundary in ("periodic", "dirichlet"):
        simulate = Elasticity(boundary, [1, 10], 0.3)
        assert tuple(simulate(picture((3, 3), squares=1)).values) == tuple(simulate.properties)
        assert set(simulate(picture((3, 3, 3), squares=1)).values) == set(simulate.names(3))
    assert simulate == Elasticity("dirichlet", (1.0, 10.0), (0.3, 0.3))
