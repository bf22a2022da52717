"""Conduction in volumes: stencils and two precisions against matrices and direct solvers, and the 48 symmetries."""

from itertools import permutations, product

import numpy as np
import pytest

from simulators import BatchedHomogenizer, DirectHomogenizer, HomogenizationError
from simulators.algebra import stencils, two_precisions
from simulators.conduction.elements import Elements
from simulators.conduction.problem import Conduction

boundaries = pytest.mark.parametrize("boundary", ["dirichlet", "periodic"])
FIGURES = ("k", "k_fv", "lower", "upper")


def blobs(shape, seed=0):
    """Two phases in smooth lumps."""
    from scipy.ndimage import gaussian_filter

    noise = gaussian_filter(np.random.default_rng(seed).standard_normal(shape), 1.5, mode="wrap")
    return (noise > np.median(noise)).astype(np.uint8)


@boundaries
@pytest.mark.parametrize("kind", [Conduction, Elements])
@pytest.mark.parametrize("shape", [(5, 4, 7), (2, 2, 2), (9, 6), (3, 8)], ids=str)
@pytest.mark.parametrize("block", [7, 64, 2**15])
def test_stencil_is_the_operator(kind, boundary, shape, block, monkeypatch):
    """Shifts of flattened grids, in blocks of any size and again and again, do what the matrix does."""
    monkeypatch.setattr(stencils, "BLOCK", block)
    rng = np.random.default_rng(0)
    system = kind(rng.uniform(1, 100, (1, 1, *shape)), len(shape), boundary == "periodic")
    nodes = tuple(len(values) for values, _ in system.modes())
    for dtype, tolerance in ((np.float64, 1e-14), (np.float32, 1e-6)):
        stencil = system.stencil().cast(dtype)
        for x in rng.standard_normal((2, *nodes)):
            whole, out = np.zeros(stencil.shape, dtype), np.full(stencil.shape, np.nan, dtype)
            whole[stencil.free] = x
            stencil.apply(whole, out)
            expected = np.zeros(stencil.shape)
            expected[stencil.free] = system.apply(x[None, None])[0, 0]
            np.testing.assert_allclose(out, expected, rtol=0, atol=tolerance * 600)


@boundaries
@pytest.mark.parametrize("conductivity", [(1.0, 10.0), (1000.0, 1.0), (1.0, 1e6), (1.0, 1e-6), (1e-9, 1e-7)], ids=str)
def test_direct_solves_give_the_same(boundary, conductivity, monkeypatch):
    """Boxes with an odd side at every contrast, either phase the better: values to 1e-9, maps to 1e-8 of a cell's."""
    monkeypatch.setattr(stencils, "BLOCK", 256)
    image = blobs((8, 13, 10))
    exact = DirectHomogenizer(boundary)(image, conductivity)
    found = BatchedHomogenizer(boundary)(image, conductivity)
    for name in FIGURES:
        expected = getattr(exact, name)
        np.testing.assert_allclose(getattr(found, name), expected, rtol=1e-9, atol=1e-9 * max(expected))
    for name in ("sensitivity", "sensitivity_fv"):
        np.testing.assert_allclose(getattr(found, name), getattr(exact, name), rtol=1e-8, atol=1e-8 / image.size)


@boundaries
def test_the_symmetries_of_the_cube(boundary):
    """Turned and mirrored in each of the 48 ways, a box conducts the same, turned and mirrored, and so do its maps."""
    image, conductivity, homogenizer = blobs((3, 4, 5)), (8.0, 1.0), BatchedHomogenizer(boundary)
    plain = homogenizer(image, conductivity)
    pairs = [("zyx".index(a), "zyx".index(b)) for _, a, b in plain.names]
    for order, flips in product(permutations(range(3)), product((1, -1), repeat=3)):
        steps = tuple(slice(None, None, flip) for flip in flips)
        found = homogenizer(image.transpose(order)[steps], conductivity)
        # Axis a of the turned box is axis order[a] of the plain one; a mirror changes the sign of what it crosses.
        rows = [pairs.index(tuple(sorted((order[a], order[b]), reverse=True))) for a, b in pairs]
        signs = np.array([1 if a == b else flips[a] * flips[b] for a, b in pairs])
        for name in ("k", "k_fv"):
            np.testing.assert_allclose(getattr(found, name), signs * getattr(plain, name)[rows], rtol=1e-9, atol=1e-9)
        maps = plain.sensitivity[rows].transpose(0, *(a + 1 for a in order))[(slice(None), *steps)]
        np.testing.assert_allclose(found.sensitivity, signs[:, None, None, None] * maps, rtol=0, atol=1e-10)


@boundaries
def test_volumes_of_a_batch(boundary):
    """Each as if alone, bit for bit, and the bounds in order."""
    images = [blobs((6, 7, 8), seed) for seed in range(3)]
    homogenizer = BatchedHomogenizer(boundary)
    for image, found in zip(images, homogenizer.many(images, (1.0, 100.0)), strict=True):
        alone = homogenizer(image, (1.0, 100.0))
        for name in (*FIGURES, "sensitivity", "flux_imbalance"):
            np.testing.assert_array_equal(getattr(found, name), getattr(alone, name))
        k_fv, lower, k, upper = (getattr(found, name)[:3] for name in ("k_fv", "lower", "k", "upper"))
        assert np.all((k_fv <= lower) & (lower < k) & (k < upper))


@boundaries
def test_iterations_that_run_out_in_a_volume(boundary, monkeypatch):
    """Neither precision gives a number that it did not reach."""
    monkeypatch.setattr(two_precisions, "PATIENCE", 4)
    monkeypatch.setattr(two_precisions, "MAX_ITERATIONS", 4)
    uniform, hard = BatchedHomogenizer(boundary).many([np.ones((6, 6, 6), int), blobs((6, 6, 6))], (1.0, 1e4))
    np.testing.assert_allclose(uniform.k[:3], 1e4, rtol=1e-12)
    assert isinstance(hard, HomogenizationError)
    assert "flux imbalance nan" in str(hard)


@boundaries
@pytest.mark.parametrize("poisson", [0.3, (0.1, 0.45)], ids=str)
@pytest.mark.parametrize("contrast", [30.0, 1e-3, 1e6])
def test_elastic_fields_are_those_of_the_assembled_matrix(boundary, poisson, contrast, monkeypatch):
    """Energies of a box, and what each cell has of them, as from a sparse factorisation of its matrix."""
    from scipy.sparse import coo_array
    from scipy.sparse.linalg import spsolve

    from simulators.elasticity import iterative
    from simulators.elasticity.energies import Problem
    from simulators.elasticity.spaces import displacements
    from simulators.elasticity.stiffness import element_matrices, lame, uniform

    monkeypatch.setattr(iterative, "BLOCK", 50)
    image, periodic = blobs((3, 5, 4)), boundary == "periodic"
    constants = lame((1.0, contrast), np.broadcast_to(poisson, 2), 3, "strain")[:, image].reshape(2, -1)
    problem = Problem(displacements(image.shape, periodic), constants, element_matrices(3))
    strains = uniform(3, range(6) if periodic else [0])[..., None] * np.ones(image.size)
    found = problem.energies(problem.relaxed(strains))

    space = problem.space
    values = np.einsum("tij,tc->ijc", problem.matrices, constants)
    rows, columns = (np.broadcast_to(a, values.shape).ravel() for a in (space.cells[:, None], space.cells[None]))
    matrix = coo_array((values.ravel(), (rows, columns)), shape=(space.held.size,) * 2).tocsr()
    moves = np.flatnonzero(~space.pinned)
    unknowns = np.zeros((len(strains), space.held.size))
    loads = space.scatter(problem.loads(strains))
    unknowns[:, moves] = spsolve(matrix[moves][:, moves].tocsc(), loads[:, moves].T).reshape(-1, len(strains)).T
    exact = problem.energies(strains - space.gather(unknowns))
    np.testing.assert_allclose(found.total, exact.total, rtol=0, atol=1e-10 * exact.total.max())
    np.testing.assert_allclose(found.cells, exact.cells, rtol=0, atol=1e-9 * exact.cells.max())
