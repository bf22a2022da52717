"""Media: an image as learned conductors on a coarse grid, whose effective conductance is solved for exactly.

Currents flow as far as the image is wide and through its narrowest necks, which convolutions alone learn slowly: the
more so, the higher the contrast. Here they only say how well each cell of the grid conducts along either axis; what
then flows from face to face through all cells, with adiabatic sides, is solved for layer by layer:

    A_0 = diag(ends),   A -> (A^-1 + R)^-1 with A the layers' matrix so far and R the resistances to the next layer

as in a transfer matrix (Derrida & Vannimenus 1982). Its derivatives are exact, too, the second included.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

START = 2.3
"""log conductivity of label 1 that a medium begins with unless told; label 0 has the inverse: a contrast of 100"""


class Conducting(nn.Module):
    """An encoder whose latent vectors begin with what `count` media conduct along x, then along y, as logarithms.

    `fine` are the layers of an encoder on the grid of the media, `coarse` those that follow them.
    """

    def __init__(self, fine: nn.Sequential, coarse: nn.Sequential, channels: int, count: int, circular: bool) -> None:
        super().__init__()
        self.fine, self.coarse, self.circular = fine, coarse, circular
        self.local = nn.Conv2d(channels, 2 * count, 3, padding=1, padding_mode="circular" if circular else "zeros")
        self.start = nn.Parameter(torch.full((2 * count, 1, 1), START))

    def begin(self, contrast: float) -> None:
        """Give fresh media the phases' contrast, the log of label 1's conductivity over label 0's; 0 says nothing."""
        if contrast:
            nn.init.constant_(self.start, contrast / 2)

    def forward(self, x: Tensor) -> Tensor:
        """Images (n, 1, ny, nx) of -1..1 -> latent vectors."""
        features = self.fine(x)
        with torch.autocast(x.device.type, enabled=False):
            mean, features = (t.to(self.start.dtype) for t in (F.adaptive_avg_pool2d(x, features.shape[-2:]), features))
            along_x, along_y = (self.local(features) + self.start * mean).exp().chunk(2, dim=1)
            if along_x.shape[-1] == along_x.shape[-2]:
                both = torch.stack([along_x, along_y.mT]), torch.stack([along_y, along_x.mT])
                conducts = conductance(*both, self.circular)
            else:
                ways = (along_x, along_y), (along_y.mT, along_x.mT)
                conducts = torch.stack([conductance(*way, self.circular) for way in ways])
            conducts = conducts.log().movedim(0, 1).flatten(1)
        return torch.cat([conducts, self.coarse(features)], dim=1)


def conductance(along: Tensor, aside: Tensor, circular: bool) -> Tensor:
    """What grids of conductors carry between the faces that their last axis joins, per unit of length and height.

    Args:
        along: (..., rows, columns), conductivity of each cell along the last axis.
        aside: the same, along the one before.
        circular: whether the first row also touches the last.
    """
    rows, columns = along.shape[-2:]
    step = torch.eye(rows, dtype=along.dtype, device=along.device)
    step = step - step.roll(1, dims=1) if circular else (step - step.roll(1, dims=1))[: rows - 1]
    neighbour = aside.roll(-1, dims=-2)[..., : len(step), :]
    between = 2 / (1 / aside[..., : len(step), :] + 1 / neighbour)
    layers = torch.einsum("ei,...ec,ej->c...ij", step, between, step)
    faces = 2 / (1 / along[..., 1:] + 1 / along[..., :-1])
    onward = [*faces.unbind(-1), 2 * along[..., -1]]
    matrix = torch.diag_embed(2 * along[..., 0])
    for layer, face in zip(layers, onward, strict=True):
        grounded = torch.linalg.inv(matrix + layer + torch.diag_embed(face))
        matrix = torch.diag_embed(face) - face[..., :, None] * grounded * face[..., None, :]
    return matrix.sum(dim=(-2, -1)) * columns / rows
