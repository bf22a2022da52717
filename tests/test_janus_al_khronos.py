"""The head: splines that sum to 1, a product that survives 64 dimensions, exact gradients."""

import pytest
import torch

from janus_al.networks.khronos import Khronos, product_over_first_axis, quadratic_bspline_basis


@pytest.mark.parametrize("intervals", [1, 4, 9])
def test_splines_sum_to_one_up_to_both_ends(intervals):
    u = torch.linspace(0, 1, 101, dtype=torch.float64)
    basis = quadratic_bspline_basis(u, intervals)
    assert basis.shape == (101, intervals + 2)
    assert torch.all(basis >= 0)
    torch.testing.assert_close(basis.sum(dim=-1), torch.ones(101, dtype=torch.float64), rtol=0, atol=1e-14)


def test_spline_values_at_a_knot():
    """At an inner knot the two neighbours are 1/2 each; in mid-interval the values are 1/8, 3/4, 1/8."""
    basis = quadratic_bspline_basis(torch.tensor([0.5, 0.375], dtype=torch.float64), 4)
    torch.testing.assert_close(basis[0], torch.tensor([0, 0, 0.5, 0.5, 0, 0], dtype=torch.float64))
    torch.testing.assert_close(basis[1], torch.tensor([0, 0.125, 0.75, 0.125, 0, 0], dtype=torch.float64))


def test_splines_reproduce_a_linear_function():
    """Coefficients at the functions' centres (Greville points) give u itself."""
    u = torch.linspace(0, 1, 33, dtype=torch.float64)
    centres = (torch.arange(8, dtype=torch.float64) - 0.5) / 6
    torch.testing.assert_close(quadratic_bspline_basis(u, 6) @ centres, u, rtol=0, atol=1e-14)


@pytest.mark.parametrize("n", [1, 2, 7, 64])
def test_product_equals_torch_prod(n):
    x = torch.randn(n, 3, 5, dtype=torch.float64)
    x[0, 0, 0] = 0
    torch.testing.assert_close(product_over_first_axis(x), x.prod(dim=0))


def test_start_is_near_one_in_64_dimensions():
    torch.manual_seed(0)
    head = Khronos(64, 1, 16, 6)
    basis = quadratic_bspline_basis(torch.rand(200, 64), 6)
    products = product_over_first_axis(torch.einsum("njk,jrk->jnr", basis, head.spline))
    assert 0.5 < products.median() < 2
    assert products.abs().max() < 20


def test_gradients_to_second_order():
    torch.manual_seed(1)
    head = Khronos(5, 2, 3, 4).double()
    z = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(head, z)
    assert torch.autograd.gradgradcheck(head, z)
