"""KHRONOS: a separable B-spline regressor (Batley & Saha 2025).

    u = sigmoid(z),   phi_jr(u) = sum_k W_jrk B_k(u),   P_c(z) = b_c + sum_r w_cr prod_j phi_jr(u_j)

with quadratic B-splines B_k on uniform knots of [0, 1], one ghost function beyond either end, so that they
sum to 1 everywhere and a product over many dimensions neither vanishes nor explodes. Dimensions that are nearly the
properties themselves may be added as they are.
"""

import torch
from torch import Tensor, nn


def quadratic_bspline_basis(u: Tensor, intervals: int) -> Tensor:
    """Values of the `intervals + 2` quadratic B-splines at u in [0, 1]; adds a last axis that sums to 1."""
    centres = torch.arange(intervals + 2, dtype=u.dtype, device=u.device) - 0.5
    distance = (u.unsqueeze(-1) * intervals - centres).abs()
    return (torch.relu(1.5 - distance) ** 2 - 3 * torch.relu(0.5 - distance) ** 2) / 2


class Khronos(nn.Module):
    """Vector-valued KHRONOS head: z (n, dims) -> (n, outputs).

    Of the first `linear` dimensions a linear function is added; it is what a fresh head consists of nearly alone.
    """

    def __init__(self, dims: int, outputs: int, rank: int, intervals: int, linear: int = 0) -> None:
        super().__init__()
        self.intervals = intervals
        self.spline = nn.Parameter(torch.empty(dims, rank, intervals + 2))
        self.mix = nn.Parameter(torch.empty(outputs, rank))
        if not self.spline.is_meta:  # or weights are only counted: torch would import its compiler for that, 1.2 s
            self.spline.data = 1 + 0.1 * torch.randn(self.spline.shape)
            self.mix.data = torch.randn(self.mix.shape) / rank**0.5
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.linear = nn.Linear(linear, outputs, bias=False) if linear else None
        if linear:
            self.mix.data *= 0.1

    def forward(self, z: Tensor) -> Tensor:
        """Properties of latent vectors."""
        basis = quadratic_bspline_basis(torch.sigmoid(z), self.intervals)  # (n, dims, k)
        factors = torch.einsum("njk,jrk->jnr", basis, self.spline)  # (dims, n, rank)
        curved = self.bias + product_over_first_axis(factors) @ self.mix.T
        return curved if self.linear is None else curved + self.linear(z[:, : self.linear.in_features])


def product_over_first_axis(x: Tensor) -> Tensor:
    """Product by halving: exact at zeros and signs, and twice differentiable, unlike a sum of logarithms."""
    while len(x) > 1:
        half, odd = divmod(len(x), 2)
        pairs = x[:half] * x[half : 2 * half]
        x = torch.cat([pairs, x[-1:]]) if odd else pairs
    return x[0]
