"""Encoder and decoder of Janus-C: convolutions from half or a quarter of the image side down to an eighth.

The first layer folds blocks of `stem` x `stem` pixels into channels, and the last unfolds them: at full
resolution a convolution would cost more than all the others. Between, the decoder doubles by bilinear
interpolation and convolution.
"""

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from janus_al.networks.media import Conducting

ON_THE_STEM = 5
"""layers of the encoder on its finest grid: the blocks of pixels, and two convolutions with their activations"""


def encoder(size: int, latent: int, channels: int, stem: int, circular: bool, media: int = 0) -> nn.Module:
    """Images (n, 1, size, size) of -1..1 -> latent vectors (n, latent), which begin with the conductances of media."""
    c, coarse = channels, size // 8
    finest = [*conv(4, c, circular), *conv(c, c, circular), nn.PixelUnshuffle(2)] if stem == 2 else []
    layers: list[nn.Module] = [
        nn.PixelUnshuffle(stem),
        *finest,
        *conv(4 * c if stem == 2 else 16, 2 * c, circular),
        *conv(2 * c, 2 * c, circular),
        nn.PixelUnshuffle(2),
        *conv(8 * c, 4 * c, circular),
        nn.Flatten(),
        nn.Linear(4 * c * coarse**2, latent - 2 * media),
    ]
    if not media:
        return nn.Sequential(*layers)
    fine, rest = layers[:ON_THE_STEM], layers[ON_THE_STEM:]
    width = c if stem == 2 else 2 * c
    return Conducting(nn.Sequential(*fine), nn.Sequential(*rest), width, media, circular)


def decoder(size: int, latent: int, channels: int, stem: int, circular: bool) -> nn.Sequential:
    """Latent vectors -> log odds (n, 1, size, size)."""
    c, coarse = channels, size // 8
    finest = [Double(circular), *conv(2 * c, c, circular), *conv(c, c, circular)] if stem == 2 else []
    return nn.Sequential(
        nn.Linear(latent, 4 * c * coarse**2),
        nn.Unflatten(1, (4 * c, coarse, coarse)),
        *conv(4 * c, 4 * c, circular),
        Double(circular),
        *conv(4 * c, 2 * c, circular),
        *conv(2 * c, 2 * c, circular),
        *finest,
        conv(c if stem == 2 else 2 * c, stem**2, circular)[0],
        nn.PixelShuffle(stem),
    )


def conv(inputs: int, outputs: int, circular: bool) -> tuple[nn.Module, nn.Module]:
    """A 3 x 3 convolution and its activation."""
    mode: Literal["zeros", "circular"] = "circular" if circular else "zeros"
    return nn.Conv2d(inputs, outputs, 3, padding=1, padding_mode=mode), nn.SiLU()


class Double(nn.Module):
    """Twice the resolution by bilinear interpolation, across the edges where the image is periodic."""

    def __init__(self, circular: bool) -> None:
        super().__init__()
        self.circular = circular

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, c, 2 h, 2 w)."""
        if not self.circular:
            return F.interpolate(x, scale_factor=2, mode="bilinear")
        wrapped = F.pad(x, (1, 1, 1, 1), mode="circular")
        return F.interpolate(wrapped, scale_factor=2, mode="bilinear")[:, :, 2:-2, 2:-2]
