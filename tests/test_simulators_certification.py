"""Certification by refinement, physics as a torch function, the choice of a backend, and the memory estimate."""

import numpy as np
import pytest
import torch
from tests.problems import checkerboard, laminate

from simulators import DirectHomogenizer, HomogenizationError, certify, choose, generate
from simulators.conduction.certification import corner_contacts, half_width
from simulators.conduction.inputs import check_memory
from simulators.solvers.layer import log_conductivity

PHASES = (1.0, 10.0)


@pytest.mark.parametrize("boundary", ["dirichlet", "periodic"])
def test_certified_interval_is_as_narrow_as_asked(boundary):
    """Refined until narrow enough and no further; the interval lies in the first one, the maps fit the image."""
    image, homogenizer = generate(1, 24, seed=5)[0], DirectHomogenizer(boundary)
    first = homogenizer(image, PHASES)
    asked = half_width(first) / 2
    certificate = certify(image, PHASES, homogenizer, asked)
    assert certificate.reached
    assert certificate.reason == ""
    assert certificate.refinement == 2 or certificate.refinement == 4
    coarser = np.kron(image, np.ones([certificate.refinement // 2] * 2, dtype=int))
    assert half_width(homogenizer(coarser, PHASES)) > asked >= certificate.half_width == half_width(certificate.result)
    assert np.all(first.lower < certificate.result.lower)
    assert np.all(certificate.result.upper < first.upper)
    assert certificate.result.sensitivity.shape == first.sensitivity.shape
    np.testing.assert_allclose(certificate.result.sensitivity[:2].sum(axis=(1, 2)), 1, atol=1e-9)
    assert abs(certificate.result.sensitivity - first.sensitivity).max() < 0.1 * first.sensitivity.max()


def test_exact_image_needs_no_refinement():
    image, _ = laminate(3, PHASES, "parallel")
    certificate = certify(image, PHASES, DirectHomogenizer(), 1e-6)
    assert (certificate.reached, certificate.refinement) == (True, 1)


def test_corner_contacts_are_named(monkeypatch):
    """At contrast 1000 a checkerboard's interval hardly narrows, and the reason is told."""
    monkeypatch.setattr("simulators.conduction.certification.MAX_CELLS", {2: 64**2})
    certificate = certify(checkerboard(4), (1.0, 1000.0), DirectHomogenizer(), 0.01)
    assert not certificate.reached
    assert certificate.refinement == 8
    assert certificate.half_width > 0.01
    assert "touch at 1 corners" in certificate.reason
    assert "64x64" in certificate.reason
    np.testing.assert_allclose(certificate.result.k, np.sqrt(1000.0), rtol=1e-8)


@pytest.mark.parametrize("error", [HomogenizationError("flux imbalance 2e-09"), MemoryError("no room"), MemoryError()])
def test_certification_that_cannot_go_on(error):
    """The last refinement that succeeded, with the reason; only an image that fails as it is has no certificate."""
    image, exact = generate(1, 24, seed=5)[0], DirectHomogenizer()

    def limited(fine, phases):
        if fine.shape[0] > cells:
            raise error
        return exact(fine, phases)

    cells = 48
    certificate = certify(image, PHASES, limited, 1e-9)
    assert (certificate.reached, certificate.refinement) == (False, 2)
    assert "48x48" in certificate.reason
    assert (str(error) or "MemoryError") in certificate.reason
    assert certificate.half_width == half_width(certificate.result)
    assert certificate.result.sensitivity.shape == (2, 24, 24)
    cells = 20
    with pytest.raises(type(error)):
        certify(image, PHASES, limited, 1e-9)


def test_counting_corner_contacts():
    """Only where two cells of a phase face two of others across a corner, along every pair of axes."""
    assert corner_contacts(checkerboard(1, 4)) == 9
    assert corner_contacts(np.array([[0, 0], [0, 1]])) == 0
    assert corner_contacts(np.array([[0, 2], [1, 0]])) == 1
    assert corner_contacts(np.array([[[0, 1], [0, 1]], [[1, 0], [1, 0]]])) == 2


@pytest.mark.parametrize(
    ("boundary", "shape"),
    [("dirichlet", (4, 5)), ("periodic", (3, 4)), ("dirichlet", (2, 3, 2)), ("periodic", (2, 3, 2))],
)
def test_layer_is_differentiable(boundary, shape):
    """torch's own check of the gradient, on fields that are no images."""
    kappa = torch.as_tensor(np.random.default_rng(2).uniform(0.5, 5, (1, *shape))).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: log_conductivity(x, boundary), kappa, eps=1e-5, atol=1e-6)


@pytest.mark.parametrize("boundary", ["dirichlet", "periodic"])
def test_layer_gives_the_homogenizers_values(boundary):
    images = generate(3, 16, seed=1)
    kappa = torch.as_tensor(np.asarray(PHASES)[images], dtype=torch.float32)
    exact = [np.log(DirectHomogenizer(boundary)(image, PHASES).k[:2]) for image in images]
    found = log_conductivity(kappa, boundary)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found, exact, atol=1e-6)


def test_layer_descends_to_a_target():
    """Gradients through physics move a grey field to the conductivity asked for."""
    wanted = torch.log(torch.tensor([2.0, 4.0], dtype=torch.float64))
    grey = torch.as_tensor(np.random.default_rng(3).uniform(size=(1, 12, 12))).requires_grad_()
    optimizer = torch.optim.Adam([grey], lr=0.1)
    for _ in range(60):
        optimizer.zero_grad()
        loss = ((log_conductivity(torch.exp(grey * np.log(10))) - wanted) ** 2).sum()
        loss.backward()
        optimizer.step()
    assert loss < 1e-3


@pytest.mark.parametrize(
    "bad",
    [
        torch.zeros(1, 4, 4),
        torch.ones(4, 4),
        torch.ones(0, 4, 4),
        *(torch.full((1, 4, 4), k) for k in (torch.nan, torch.inf)),
        torch.logspace(0, 7, 4).view(1, 2, 2),
    ],
)
def test_layer_refuses(bad):
    with pytest.raises(ValueError, match=r"above 0|of shape|contrast 1e"):
        log_conductivity(bad)


@pytest.mark.parametrize("boundary", ["dirichlet", "periodic"])
def test_layer_has_no_second_derivatives(boundary):
    """Says so, whichever way they are asked for; a first derivative may still be kept in a graph."""
    kappa = torch.as_tensor(np.random.default_rng(2).uniform(0.5, 5, (1, 3, 4))).requires_grad_()
    (gradient,) = torch.autograd.grad(log_conductivity(kappa, boundary).sum(), kappa, create_graph=True)
    (plain,) = torch.autograd.grad(log_conductivity(kappa, boundary).sum(), kappa)
    assert torch.equal(gradient, plain)
    with pytest.raises(RuntimeError, match="once differentiable"):
        ((gradient**2).sum() + kappa.sum()).backward()
    with pytest.raises(RuntimeError, match="once differentiable"):
        torch.autograd.functional.hessian(lambda k: log_conductivity(k, boundary).sum(), kappa.detach())


def test_choice():
    """What is measured to be fastest: direct in the plane, batched for volumes, wide planes and batches."""
    assert choose((64, 64), 1, "dirichlet") == choose((200, 64), 500, "periodic") == "direct"
    assert choose((16, 16, 16), 1, "dirichlet") == choose((600, 600), 1, "dirichlet") == "batched"
    assert choose((32, 32), 100, "dirichlet") == choose((64, 64), 64, "dirichlet", gpu=True) == "batched"


@pytest.mark.parametrize("solver", ["fipy", "direct", "batched"])
def test_too_large_for_memory(solver, monkeypatch):
    """Refused before anything is allocated, with what it would take."""
    check_memory((256, 256), "dirichlet", solver)
    with pytest.raises(HomogenizationError, match=r"100000 x 100000 cells needs about \d+ GiB"):
        check_memory((100_000, 100_000), "periodic", solver)
    monkeypatch.setattr("simulators.conduction.inputs.bytes_present", lambda: 1e5)
    with pytest.raises(HomogenizationError, match="needs about 0 GiB"):
        DirectHomogenizer()(np.eye(64, dtype=int), PHASES)
