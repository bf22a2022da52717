"""Encoder and decoder of Janus-C: convolutions from half or a quarter of the image side down to an eighth.

The first layer folds blocks of `stem` x `stem` pixels into channels, and the last unfolds them: at full
resolution a convolution would cost more than all the others. Between, the decoder doubles by linear
interpolation and convolution. The same layers, with one axis more, take volumes.
"""

from math import prod
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from janus_al.networks.media import Conducting

ON_THE_STEM = 5
"""layers of the encoder on its finest grid: the blocks of pixels, and two convolutions with their activations"""


def encoder(
    grid: tuple[int, ...], latent: int, channels: int, stem: int, circular: bool, media: int = 0
) -> nn.Sequential | Conducting:
    """Images (n, 1, *grid) of -1..1 -> latent vectors (n, latent), which begin with the conductances of media."""
    c, dim = channels, len(grid)
    finest = [*conv(2**dim, c, circular, dim), *conv(c, c, circular, dim), Fold(2, dim)] if stem == 2 else []
    layers: list[nn.Module] = [
        Fold(stem, dim),
        *finest,
        *conv(2**dim * c if stem == 2 else 4**dim, 2 * c, circular, dim),
        *conv(2 * c, 2 * c, circular, dim),
        Fold(2, dim),
        *conv(2**dim * 2 * c, 4 * c, circular, dim),
        nn.Flatten(),
        nn.Linear(4 * c * prod(grid) // 8**dim, latent - 2 * media),
    ]
    if not media:
        return nn.Sequential(*layers)
    fine, rest = layers[:ON_THE_STEM], layers[ON_THE_STEM:]
    width = c if stem == 2 else 2 * c
    return Conducting(nn.Sequential(*fine), nn.Sequential(*rest), width, media, circular)


def decoder(grid: tuple[int, ...], latent: int, channels: int, stem: int, circular: bool) -> nn.Sequential:
    """Latent vectors -> log odds (n, 1, *grid)."""
    c, dim = channels, len(grid)
    coarse = [side // 8 for side in grid]
    finest = [Double(circular), *conv(2 * c, c, circular, dim), *conv(c, c, circular, dim)] if stem == 2 else []
    return nn.Sequential(
        nn.Linear(latent, 4 * c * prod(coarse)),
        nn.Unflatten(1, (4 * c, *coarse)),
        *conv(4 * c, 4 * c, circular, dim),
        Double(circular),
        *conv(4 * c, 2 * c, circular, dim),
        *conv(2 * c, 2 * c, circular, dim),
        *finest,
        conv(c if stem == 2 else 2 * c, stem**dim, circular, dim)[0],
        Unfold(stem, dim),
    )


def conv(inputs: int, outputs: int, circular: bool, dim: int = 2) -> tuple[nn.Module, nn.Module]:
    """A convolution of 3 pixels a side and its activation."""
    mode: Literal["zeros", "circular"] = "circular" if circular else "zeros"
    kind = nn.Conv2d if dim == 2 else nn.Conv3d
    return kind(inputs, outputs, 3, padding=1, padding_mode=mode), nn.SiLU()


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
        dim = x.dim() - 2
        mode = "bilinear" if dim == 2 else "trilinear"
        if not self.circular:
            return F.interpolate(x, scale_factor=2, mode=mode)
        wrapped = F.pad(x, (1, 1) * dim, mode="circular")
        return F.pad(F.interpolate(wrapped, scale_factor=2, mode=mode), (-2, -2) * dim)
