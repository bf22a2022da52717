"""The terms of Janus's training loss, pure functions of tensors; x are images of 0..1, n of them."""

import torch
import torch.nn.functional as F
from torch import Tensor


def reconstruction(logits: Tensor, x: Tensor, norm: str) -> Tensor:
    """Distance of a decode from its image: binary cross-entropy, mean absolute or mean squared difference."""
    if norm == "bce":
        return F.binary_cross_entropy_with_logits(logits, x)
    return F.l1_loss(torch.sigmoid(logits), x) if norm == "l1" else F.mse_loss(torch.sigmoid(logits), x)


def sensitivity(predicted: Tensor, x: Tensor, wanted: Tensor, weights: Tensor, pool: int) -> Tensor:
    """Mismatch of d(prediction)/dx with the simulated sensitivities, relative to their mean square.

    One backward pass serves all properties: it takes a random unit combination of them for each image.

    Args:
        predicted: (n, properties), computed from x, which requires a gradient.
        wanted: (n, properties, *grid), the derivative that physics gives.
        weights: (n, properties), the combinations.
        pool: side of the blocks over which both are averaged before they are compared; the last may be cut off.
    """
    (gradient,) = torch.autograd.grad((predicted * weights).sum(), x, create_graph=True)
    truth = torch.einsum("np,np...->n...", weights, wanted)
    if pool > 1:
        average = F.avg_pool2d if x.dim() == 3 else F.avg_pool3d
        gradient, truth = (average(g.unsqueeze(1), pool, ceil_mode=True).squeeze(1) for g in (gradient, truth))
    return (gradient - truth).square().mean() / truth.square().mean()


def cycle(z: Tensor, again: Tensor) -> Tensor:
    """|z - E(D(z))|, mean."""
    return (z - again).abs().mean()


def deep_cycle(decoded: Tensor, decoded_again: Tensor) -> Tensor:
    """|D(z) - D(E(D(z)))|, mean."""
    return (decoded - decoded_again).abs().mean()
