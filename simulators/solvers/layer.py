"""Physics as a differentiable function of torch: conductivity fields in, log of the best conductivities out."""

from typing import Any

import torch

from simulators.conduction.effective import effective
from simulators.conduction.homogenizer import IMBALANCE_LIMIT
from simulators.conduction.inputs import check_contrast
from simulators.solvers.batched import solve_batch


def log_conductivity(kappa: torch.Tensor, boundary: str = "dirichlet") -> torch.Tensor:
    """log k along x, y (and z) of fields (n, *grid), shape (n, 2 or 3), in the dtype of the fields.

    Solved in float64 on the fields' device; the gradient is the exact sensitivity, and costs nothing more. There is
    no second derivative: asking for one is an error. A field that could not be solved gives NaN.

    Raises:
        ValueError: no fields, or fields not positive and finite, of a contrast above 1e6, or of other than 2 or 3 axes.
    """
    if kappa.ndim not in (3, 4) or min(kappa.shape[1:]) < 2 or not len(kappa):
        raise ValueError(f"fields of shape {tuple(kappa.shape)}: need (n, ny, nx) or (n, nz, ny, nx), 2 cells or more")
    if not bool(((kappa > 0) & kappa.isfinite()).all()):
        raise ValueError("conductivities must be finite and above 0; mix the phases so that none vanishes")
    fields = kappa.detach().double().flatten(1)
    least, most = fields.amin(1), fields.amax(1)
    widest = (most / least).argmax()
    check_contrast(float(least[widest]), float(most[widest]))
    if boundary not in ("dirichlet", "periodic"):
        raise ValueError(f"boundary '{boundary}': it must be dirichlet or periodic")
    return _LogConductivity.apply(kappa, boundary == "periodic")


class _LogConductivity(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, kappa: torch.Tensor, periodic: bool) -> torch.Tensor:
        found = effective(kappa.detach().double(), periodic, solve_batch)
        dim = kappa.ndim - 1
        if periodic:
            (best,) = found.best
            k = torch.diagonal(best.tensor(), dim1=-2, dim2=-1)
            slopes = torch.stack([best.tensor_slope(row) for row in range(len(kappa))])
            slope = torch.stack([slopes[:, i, i] for i in range(dim)], 1) / k[(..., *[None] * dim)]
            log_k = torch.log(k)
        else:
            log_k = torch.stack([b.log[:, 0, 0] for b in found.best], 1)
            slope = torch.stack([b.slope[:, 0, 0] for b in found.best], 1)
        log_k = torch.where((found.imbalance <= IMBALANCE_LIMIT)[:, None], log_k, torch.nan)
        ctx.save_for_backward(kappa, slope.to(kappa.dtype))
        return log_k.to(kappa.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        kappa, slope = ctx.saved_tensors
        with torch.no_grad():
            gradient = torch.einsum("nc,nc...->n...", gradients[0], slope) / kappa
        return _Once.apply(gradient, gradients[0], kappa), None


class _Once(torch.autograd.Function):
    """A gradient that is not to be differentiated; torch's `once_differentiable` lets it pass for a constant."""

    @staticmethod
    def forward(ctx: Any, gradient: torch.Tensor, *depends_on: torch.Tensor) -> torch.Tensor:
        return gradient.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> None:
        raise RuntimeError(
            "log_conductivity is once differentiable: it has no second derivatives; use a method of first order, "
            "or differences of its gradients"
        )
