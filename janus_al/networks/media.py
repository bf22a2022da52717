"""Media: an image as learned conductors on a coarse grid, whose effective conductance is solved for exactly.

Currents flow as far as the image is wide and through its narrowest necks, which convolutions alone learn slowly: the
more so, the higher the contrast. Here they only say how well each cell of the grid conducts along either axis; what
then flows from face to face through all cells, with adiabatic sides, is solved for, column by column. Its derivatives
are exact, too, the second included.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from janus_al.networks.convolutional import Layout

START = 2.3
"""log conductivity of label 1 that a medium begins with unless told; label 0 has the inverse: a contrast of 100"""


class Conducting(nn.Module):
    """An encoder whose latent vectors begin with what `count` media conduct along x, then y (and z), as logarithms.

    `fine` are the layers of an encoder on the grid of the media, `coarse` those that follow them.
    """

    def __init__(self, fine: nn.Sequential, coarse: nn.Sequential, channels: int, count: int, layout: "Layout") -> None:
        super().__init__()
        self.fine, self.coarse, self.circular, self.dim = fine, coarse, layout.circular, layout.dim
        self.layout = layout
        self.local = layout.conv(channels, layout.dim * count)[0]
        if layout.dim == 3:
            nn.init.zeros_(self.local.weight)
        self.start = nn.Parameter(torch.full((layout.dim * count, *[1] * layout.dim), START))

    def begin(self, contrast: float) -> None:
        """Give fresh media the phases' contrast, the log of label 1's conductivity over label 0's; 0 says nothing."""
        if contrast:
            nn.init.constant_(self.start, contrast / 2)

    def forward(self, x: Tensor) -> Tensor:
        """Images (n, 1, *padded) of -1..1 -> latent vectors; media have those cells that are not all padding."""
        features = self.fine(x)
        average = F.adaptive_avg_pool2d if self.dim == 2 else F.adaptive_avg_pool3d
        with torch.autocast(x.device.type, enabled=False):
            mean, features = (t.to(self.start.dtype) for t in (average(x, features.shape[2:]), features))
            every = (self.local(features) + self.start * mean).exp()
            along = every[(..., *self._reached(every.shape[2:]))].chunk(self.dim, dim=1)
            conducts = self._conductances(along).log().movedim(0, 1).flatten(1)
        return torch.cat([conducts, self.coarse(features)], dim=1)

    def _reached(self, cells: Sequence[int]) -> list[slice]:
        """Of the cells of a padded image, those into which the image itself reaches."""
        layout = self.layout
        return [slice(-(-side * n // whole)) for side, n, whole in zip(layout.grid, cells, layout.padded, strict=True)]

    def _conductances(self, along: Sequence[Tensor]) -> Tensor:
        """Of media that conduct so along x, y, (z): along each, (dim, n, count)."""
        axes = range(1, self.dim + 1)

        def seen(axis: int, place: int) -> Tensor:
            """The field of an axis, with this axis and x exchanged."""
            field = along[{1: axis, axis: 1}.get(place, place) - 1]
            return field if axis == 1 else field.transpose(-1, -axis)

        if len(set(along[0].shape[2:])) == 1:
            ways = [torch.stack([seen(axis, place) for axis in axes]) for place in axes]
            return conductance(*ways, circular=self.circular)
        ways = [conductance(*(seen(axis, place) for place in axes), circular=self.circular) for axis in axes]
        return torch.stack(ways)


def conductance(along: Tensor, *aside: Tensor, circular: bool) -> Tensor:
    """What grids of conductors carry between the faces that their last axis joins, per unit of length and section.

    It is the least energy that potentials from 0 to 1 take. These are solved for outside of what is differentiated; one
    step of Newton's method from there, within, leaves them as they are and gives them their derivative.

    Args:
        along: (..., rows, columns) or (..., layers, rows, columns), conductivity of each cell along the last axis.
        aside: the same, along the axis before, then along the one before that.
        circular: whether the first row also touches the last.
    """
    grid = Grid(along, aside, circular)
    with torch.no_grad():
        factors = grid.factors()
        solved = -factors.solve(grid.imbalance(torch.zeros_like(along)))
    potential = solved - Solve.apply(grid.imbalance(solved), factors)
    return grid.energy(potential) * along.shape[-1] / prod(along.shape[-1 - len(aside) : -1])


class Grid:
    """Resistors between neighbouring cells, and from the first and last cells to the faces, held at 0 and 1."""

    def __init__(self, along: Tensor, aside: Sequence[Tensor], circular: bool) -> None:
        self.section, self.circular = along.shape[-1 - len(aside) : -1], circular
        onward = 2 / (1 / along[..., 1:] + 1 / along[..., :-1])
        self.faces = torch.cat([2 * along[..., :1], onward, 2 * along[..., -1:]], dim=-1)
        self.between = []
        for axis, field in enumerate(aside, start=2):
            near, after = self._pairs(field, axis)
            self.between.append(2 / (1 / near + 1 / after))

    def _pairs(self, field: Tensor, axis: int) -> tuple[Tensor, Tensor]:
        """Neighbours along an axis from the last: cells, and those after them."""
        if self.circular:
            return field, field.roll(-1, dims=-axis)
        count = field.shape[-axis] - 1
        return field.narrow(-axis, 0, count), field.narrow(-axis, 1, count)

    def _drops(self, potential: Tensor) -> tuple[Tensor, list[Tensor]]:
        end = potential[..., :1]
        onward = torch.cat([torch.zeros_like(end), potential, torch.ones_like(end)], dim=-1).diff(dim=-1)
        pairs = (self._pairs(potential, axis) for axis, _ in enumerate(self.between, start=2))
        return onward, [after - near for near, after in pairs]

    def energy(self, potential: Tensor) -> Tensor:
        """Of all resistors, (...,)."""
        onward, aside = self._drops(potential)
        own = tuple(range(-1 - len(self.between), 0))
        parts = zip((self.faces, *self.between), (onward, *aside), strict=True)
        return torch.stack([(conducts * drop.square()).sum(dim=own) for conducts, drop in parts]).sum(dim=0)

    def imbalance(self, potential: Tensor) -> Tensor:
        """Of the currents into each cell, half the derivative of the energy to its potential."""
        onward, aside = self._drops(potential)
        found = -(self.faces * onward).diff(dim=-1)
        for axis, (conducts, drop) in enumerate(zip(self.between, aside, strict=True), start=2):
            current = conducts * drop
            if not self.circular:
                edge = torch.zeros_like(potential.narrow(-axis, 0, 1))
                found = found - torch.cat([edge, current, edge], dim=-axis).diff(dim=-axis)
            else:
                found = found - current + current.roll(1, dims=-axis)
        return found

    def factors(self) -> "Factors":
        """Of the derivative of the imbalance."""
        first = -1 - len(self.section)
        faces = self.faces.flatten(first, -2)
        matrix = torch.diag_embed((faces[..., 1:] + faces[..., :-1]).movedim(-1, 0))
        cells = torch.arange(prod(self.section), device=faces.device).view(self.section)
        for axis, between in enumerate(self.between, start=1):
            near, after = (places.flatten() for places in self._pairs(cells, axis))
            conducts = between.flatten(first, -2).movedim(-1, 0)
            for one, other in ((near, after), (after, near)):
                matrix[..., one, one] += conducts
                matrix[..., one, other] -= conducts
        onward = faces[..., 1:-1].unbind(-1)
        inverses = [torch.linalg.inv(matrix[0])]
        for column, face in zip(matrix[1:], onward, strict=True):
            inverses.append(torch.linalg.inv(column - face[..., :, None] * inverses[-1] * face[..., None, :]))
        return Factors(inverses, onward)


@dataclass(frozen=True)
class Factors:
    """Of a grid's matrix, column by column: inverses, (..., cells, cells), and resistors to the next, (..., cells)."""

    inverses: Sequence[Tensor]
    onward: Sequence[Tensor]

    def solve(self, currents: Tensor) -> Tensor:
        """Potentials, (..., rows, columns), that balance these currents into the cells."""
        batch = self.inverses[0].dim() - 2
        columns = currents.flatten(batch, -2)[..., None].unbind(-2)
        found = [columns[0]]
        for inverse, face, column in zip(self.inverses, self.onward, columns[1:], strict=False):
            found.append(column + face[..., None] * (inverse @ found[-1]))
        found[-1] = self.inverses[-1] @ found[-1]
        for place in range(len(self.onward) - 1, -1, -1):
            found[place] = self.inverses[place] @ (found[place] + self.onward[place][..., None] * found[place + 1])
        return torch.cat(found, dim=-1).view(currents.shape)


class Solve(torch.autograd.Function):
    """`Factors.solve`: linear and symmetric, so that it is its own derivative."""

    @staticmethod
    def forward(ctx: Any, currents: Tensor, factors: Factors) -> Tensor:
        """As `Factors.solve`."""
        ctx.factors = factors
        return factors.solve(currents)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        """The same of the derivative; differentiable again."""
        return Solve.apply(grads[0], ctx.factors), None
