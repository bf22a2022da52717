"""Encoder and decoder of Janus-C: convolutions from half or a quarter of the image side down to an eighth.

The first layer folds blocks of `stem` x `stem` pixels into channels, and the last unfolds them: at full
resolution a convolution would cost more than all the others. Between, the decoder doubles by linear
interpolation and convolution. The same layers, with one axis more, take volumes. An image whose sides the coarsest
cells do not fit is continued at its far ends as its boundary has it, and its decode is cropped again.
"""

from dataclasses import dataclass
from math import prod
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from janus_al.networks.grids import continued, cropped, enlarged
from janus_al.networks.media import Conducting
from janus_al.networks.waves import Waves

COARSEST = 8
"""pixels a side of the cells of the coarsest grid"""
LEAST = 16
"""pixels a side of what the layers take"""
STEEP = 4.0
"""log odds that a fresh decoder gives waves which add up to 1"""
GAIN = 1.7
"""of activations: by what fresh layers of volumes multiply their weights, so that signals keep their size"""


@dataclass(frozen=True)
class Layout:
    """What encoder and decoder share.

    Attributes:
        grid: sides of an image.
        channels: at half its side; twice and four times as many at a quarter and an eighth.
        stem: side of the blocks of pixels that are folded first.
        circular: whether opposite edges touch.
    """

    grid: tuple[int, ...]
    channels: int
    stem: int
    circular: bool

    @property
    def padded(self) -> tuple[int, ...]:
        """Sides of what the layers take: the next that the coarsest cells fit."""
        return tuple(max(LEAST, -(-side // COARSEST) * COARSEST) for side in self.grid)

    @property
    def coarse(self) -> tuple[int, ...]:
        """The coarsest grid."""
        return tuple(side // COARSEST for side in self.padded)

    @property
    def dim(self) -> int:
        """Axes of an image."""
        return len(self.grid)

    def pad(self, x: Tensor) -> Tensor:
        """Images (n, ..., *grid) -> (n, ..., *padded), see `continued`."""
        return continued(x, self.padded, self.circular)

    def crop(self, x: Tensor) -> Tensor:
        """(n, ..., *padded) -> the images, (n, ..., *grid)."""
        return cropped(x, self.grid)

    def conv(self, inputs: int, outputs: int, blocks: int = 1) -> tuple[nn.Conv2d | nn.Conv3d, nn.SiLU]:
        """A convolution of 3 pixels a side and its activation.

        In volumes it begins with signals as large behind it as before, and blind to how `blocks` of pixels that
        were folded into its inputs differ inside: what it thinks of an image then changes slowly with every pixel.
        """
        mode: Literal["zeros", "circular"] = "circular" if self.circular else "zeros"
        if self.dim == 2:
            return nn.Conv2d(inputs, outputs, 3, padding=1, padding_mode=mode), nn.SiLU()
        made = nn.Conv3d(inputs, outputs, 3, padding=1, padding_mode=mode)
        with torch.no_grad():
            kinds = inputs // blocks
            weight = torch.randn(outputs, kinds, 1, 3, 3, 3) * GAIN / (27 * kinds) ** 0.5 / blocks
            made.weight.copy_(weight.expand(-1, -1, blocks, -1, -1, -1).flatten(1, 2))
            nn.init.zeros_(made.bias)  # type: ignore[arg-type]
        return made, nn.SiLU()


def encoder(layout: Layout, latent: int, media: int = 0, width: int = 0) -> nn.Sequential | Conducting:
    """Images (n, 1, *padded) of -1..1 -> latent vectors (n, latent).

    They begin with the conductances of media, which lie on the grid of the stem, in volumes on a quarter's. The layers
    on that grid before them have `width` channels, or as many as the layout says.
    """
    c, stem, conv, blocks = layout.channels, layout.stem, layout.conv, 2**layout.dim
    on_half = stem == 2 and layout.dim == 2
    width = width or (c if on_half else 2 * c)
    half, quarter = (width, 2 * c) if on_half else (c, width)
    finest = [*conv(blocks, half, blocks), *conv(half, half), Fold(2, layout.dim)] if stem == 2 else []
    folded = blocks if stem == 2 else blocks**2
    features = 4 * c * prod(layout.coarse)
    layers: list[nn.Module] = [
        Fold(stem, layout.dim),
        *finest,
        *conv(blocks * half if stem == 2 else folded, quarter, folded),
        *conv(quarter, quarter),
        Fold(2, layout.dim),
        *conv(blocks * quarter, 4 * c, blocks),
        nn.Flatten(),
        nn.Linear(features, latent - layout.dim * media),
    ]
    if not media:
        return nn.Sequential(*layers)
    split = 5 if stem == 4 or on_half else 10
    fine, rest = layers[:split], layers[split:]
    return Conducting(nn.Sequential(*fine), nn.Sequential(*rest), width, media, layout)


def decoder(layout: Layout, latent: int, waves: Waves | None = None) -> "nn.Sequential | Refining":
    """Latent vectors (n, latent), then amplitudes of waves -> log odds (n, 1, *padded)."""
    c, stem, conv = layout.channels, layout.stem, layout.conv
    folded = stem**layout.dim if waves else 0
    half = [*conv(2 * c + folded, c), *conv(c, c)] if stem == 2 else []
    coarse: list[nn.Module] = [
        nn.Linear(latent, 4 * c * prod(layout.coarse)),
        nn.Unflatten(1, (4 * c, *layout.coarse)),
        *conv(4 * c, 4 * c),
        Double(layout.circular),
        *conv(4 * c, 2 * c),
    ]
    coarse += [*conv(2 * c, 2 * c), Double(layout.circular)] if stem == 2 else []
    fine: list[nn.Module] = [*half] if stem == 2 else [*conv(2 * c + folded, 2 * c)]
    fine += [conv(c if stem == 2 else 2 * c, stem**layout.dim)[0], Unfold(stem, layout.dim)]
    if waves is None:
        return nn.Sequential(*coarse, *fine)
    return Refining(nn.Sequential(*coarse), nn.Sequential(*fine), waves, layout)


class Refining(nn.Module):
    """A decoder that begins with what waves add up to and learns the rest.

    `coarse` are the layers of a decoder up to its finest grid, `fine` those that follow them.
    """

    def __init__(self, coarse: nn.Module, fine: nn.Sequential, waves: Waves, layout: Layout) -> None:
        super().__init__()
        self.coarse, self.fine, self.waves, self.layout = coarse, fine, waves, layout
        self.fold = Fold(layout.stem, layout.dim)
        self.slope = nn.Parameter(torch.tensor(STEEP))
        last = fine[-2]
        assert isinstance(last, nn.Conv2d | nn.Conv3d)
        nn.init.zeros_(last.weight)

    def forward(self, z: Tensor) -> Tensor:
        """Latent vectors -> log odds (n, 1, *padded)."""
        whole, amplitudes = z[:, : -self.waves.count], z[:, -self.waves.count :]
        field = self.layout.pad(self.waves.field(amplitudes).unsqueeze(1))
        return self.slope * field + self.fine(torch.cat([self.coarse(whole), self.fold(field)], dim=1))


class Fold(nn.Module):
    """Blocks of `block` pixels a side into channels, (n, c, *grid) -> (n, c block^dim, *grid / block)."""

    def __init__(self, block: int, dim: int) -> None:
        super().__init__()
        self.block, self.dim = block, dim

    def forward(self, x: Tensor) -> Tensor:
        """Images folded."""
        if self.dim == 2:
            return F.pixel_unshuffle(x, self.block)
        n, c, *grid = x.shape
        d, h, w = (side // self.block for side in grid)
        b = self.block
        return x.reshape(n, c, d, b, h, b, w, b).permute(0, 1, 3, 5, 7, 2, 4, 6).reshape(n, c * b**3, d, h, w)


class Unfold(nn.Module):
    """Channels into blocks of pixels, the inverse of `Fold`."""

    def __init__(self, block: int, dim: int) -> None:
        super().__init__()
        self.block, self.dim = block, dim

    def forward(self, x: Tensor) -> Tensor:
        """Images unfolded."""
        if self.dim == 2:
            return F.pixel_shuffle(x, self.block)
        n, c, d, h, w = x.shape
        b = self.block
        x = x.reshape(n, c // b**3, b, b, b, d, h, w).permute(0, 1, 5, 2, 6, 3, 7, 4)
        return x.reshape(n, c // b**3, d * b, h * b, w * b)


class Double(nn.Module):
    """Twice the resolution by linear interpolation, across the edges where the image is periodic."""

    def __init__(self, circular: bool) -> None:
        super().__init__()
        self.circular = circular

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, *grid) -> (n, c, *2 grid)."""
        return enlarged(x, 2, self.circular)
