"""Media: an image as learned conductors on a coarse grid, whose effective conductance is solved for exactly.

Currents flow as far as the image is wide and through its narrowest necks, which convolutions alone learn slowly: the
more so, the higher the contrast. Here they only say how well each cell of the grid conducts along either axis; what
then flows from face to face through all cells, with adiabatic sides, is solved for layer by layer:

    A_0 = diag(ends),   A -> (A^-1 + R)^-1 with A the layers' matrix so far and R the resistances to the next layer

as in a transfer matrix (Derrida & Vannimenus 1982). Its derivatives are exact, too, the second included.
"""

from collections.abc import Sequence
from functools import reduce
from math import prod
from typing import TYPE_CHECKING

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

    Args:
        along: (..., rows, columns) or (..., layers, rows, columns), conductivity of each cell along the last axis.
        aside: the same, along the axis before, then along the one before that.
        circular: whether the first row also touches the last.
    """
    section, columns = along.shape[-1 - len(aside) : -1], along.shape[-1]
    ones = [torch.eye(side, dtype=along.dtype, device=along.device) for side in section]
    layers: list[Tensor] = []
    for axis, field in enumerate(aside, start=2):
        step = ones[1 - axis] - ones[1 - axis].roll(1, dims=1)
        step = step if circular else step[: len(step) - 1]
        after = field.roll(-1, dims=-axis).narrow(-axis, 0, len(step))
        near = field.narrow(-axis, 0, len(step))
        between = (2 / (1 / near + 1 / after)).flatten(-1 - len(aside), -2)
        step = reduce(torch.kron, [step if one is ones[1 - axis] else one for one in ones])
        layers.append(torch.einsum("ei,...ec,ej->c...ij", step, between, step))
    along = along.flatten(-1 - len(aside), -2)
    faces = 2 / (1 / along[..., 1:] + 1 / along[..., :-1])
    onward = [*faces.unbind(-1), 2 * along[..., -1]]
    matrix = torch.diag_embed(2 * along[..., 0])
    for layer, face in zip(sum(layers[1:], layers[0]), onward, strict=True):
        grounded = torch.linalg.inv(matrix + layer + torch.diag_embed(face))
        matrix = torch.diag_embed(face) - face[..., :, None] * grounded * face[..., None, :]
    return matrix.sum(dim=(-2, -1)) * columns / prod(section)
