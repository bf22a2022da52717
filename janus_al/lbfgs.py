"""L-BFGS for many problems at once, each with its own history and step (Nocedal & Wright 2006, algorithm 7.4)."""

from collections.abc import Callable

import torch
from torch import Tensor

HISTORY = 8
"""pairs of steps and changes of the gradient that a direction is made from"""
LONGEST = 4.0
"""a step, at most"""
SHORTER = 0.4
"""of a step that did not lower the loss enough, what is tried next"""


def lbfgs(
    evaluate: Callable[[Tensor], tuple[Tensor, Tensor]],
    start: Tensor,
    passes: int,
    progress: Callable[[int, int], None] = lambda step, steps: None,
) -> Tensor:
    """Points (n, dim) that have lowered their own loss each, by `passes` evaluations of all together.

    Args:
        evaluate: points (n, dim) -> losses (n,) and gradients (n, dim), those of each of its own point alone.
        start: (n, dim).
        passes: evaluations.
        progress: told the pass reached and the number of passes.
    """
    point, (loss, slope) = start, evaluate(start)
    progress(1, passes)
    pairs: list[tuple[Tensor, Tensor, Tensor]] = []
    scale = 1 / slope.norm(dim=1).clamp(min=1e-12)
    way, length = -slope * scale[:, None], torch.ones_like(loss)
    for number in range(1, passes):
        way = way * (LONGEST / way.norm(dim=1, keepdim=True).clamp(min=1e-12)).clamp(max=1)
        tried = point + length[:, None] * way
        found, turned = evaluate(tried)
        lower = found <= loss + 1e-4 * length * (slope * way).sum(dim=1)
        step, change = tried - point, turned - slope
        curve = (step * change).sum(dim=1)
        use = lower & (curve > 1e-8)
        # A member that did not move, or that curves the other way, learns nothing from this pass.
        pairs = [*pairs, (step, change, torch.where(use, 1 / curve.clamp(min=1e-8), 0.0))][-HISTORY:]
        scale = torch.where(use, curve / (change**2).sum(dim=1).clamp(min=1e-12), scale)
        point, slope = (torch.where(lower[:, None], new, old) for new, old in ((tried, point), (turned, slope)))
        loss = torch.where(lower, found, loss)
        length = torch.where(lower, 1.0, SHORTER * length)
        way = torch.where(lower[:, None], _direction(slope, pairs, scale), way)
        progress(number + 1, passes)
    return point.detach()


def _direction(slope: Tensor, pairs: list[tuple[Tensor, Tensor, Tensor]], scale: Tensor) -> Tensor:
    """Minus the gradient times the inverse of the curvature that the pairs have shown."""
    way, parts = slope, []
    for step, change, inverse in reversed(pairs):
        part = inverse * (step * way).sum(dim=1)
        parts.append(part)
        way = way - part[:, None] * change
    way = way * scale[:, None]
    for (step, change, inverse), part in zip(pairs, reversed(parts), strict=True):
        way = way + (part - inverse * (change * way).sum(dim=1))[:, None] * step
    return -way
