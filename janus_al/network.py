"""Janus-C: a convolutional encoder and decoder that share a latent space with a KHRONOS property head.

    z = E(x),   x^ = D(z),   y^ = P(z)

U-net style without skip connections, so that z alone is decoded. The decoder doubles by bilinear
interpolation and convolution, but for the last time, which inverts the encoder's first: pixel-unshuffle
there, pixel-shuffle here; at full resolution a convolution would cost more than all the others.
The head predicts log k of each conductivity, standardised; the volume fraction needs no head, it is the
mean of the image.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from janus_al.khronos import Khronos


@dataclass(frozen=True)
class JanusConfig:
    """What rebuilds the network."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012

    size: int = 32
    """image side, a multiple of 8"""
    latent: int = 64
    """latent dimensions"""
    channels: int = 16
    """at half the image side; twice and four times as many at a quarter and an eighth"""
    properties: tuple[str, ...] = ("kxx", "kyy")
    """what the head predicts"""
    rank: int = 32
    """terms of the KHRONOS sum"""
    intervals: int = 6
    """knot intervals of its splines"""

    def __post_init__(self) -> None:
        """Refuse sizes the network cannot halve three times."""
        if self.size < 16 or self.size % 8:
            raise ValueError(f"size {self.size}: the network wants a side of at least 16 that 8 divides")

    def of_size(self, size: int) -> "JanusConfig":
        """The same network for images of another side."""
        return replace(self, size=size)


class Janus(nn.Module):
    """Encoder, decoder and head; the scaling between log k and the head's output is part of its state."""

    def __init__(self, config: JanusConfig) -> None:
        super().__init__()
        self.config = config
        c, coarse = config.channels, config.size // 8
        self.encoder = nn.Sequential(
            nn.PixelUnshuffle(2),
            *_conv(4, c),
            *_conv(c, c),
            nn.PixelUnshuffle(2),
            *_conv(4 * c, 2 * c),
            *_conv(2 * c, 2 * c),
            nn.PixelUnshuffle(2),
            *_conv(8 * c, 4 * c),
            nn.Flatten(),
            nn.Linear(4 * c * coarse**2, config.latent),
        )
        self.decoder = nn.Sequential(
            nn.Linear(config.latent, 4 * c * coarse**2),
            nn.Unflatten(1, (4 * c, coarse, coarse)),
            *_conv(4 * c, 4 * c),
            _double(),
            *_conv(4 * c, 2 * c),
            *_conv(2 * c, 2 * c),
            _double(),
            *_conv(2 * c, c),
            *_conv(c, c),
            nn.Conv2d(c, 4, 3, padding=1),
            nn.PixelShuffle(2),
        )
        outputs = len(config.properties)
        self.head = Khronos(config.latent, outputs, config.rank, config.intervals)
        self.log_mean: Tensor
        self.log_std: Tensor
        self.latent_mean: Tensor
        self.latent_std: Tensor
        self.register_buffer("log_mean", torch.zeros(outputs))
        self.register_buffer("log_std", torch.ones(outputs))
        self.register_buffer("latent_mean", torch.zeros(config.latent))
        self.register_buffer("latent_std", torch.ones(config.latent))

    def encode(self, x: Tensor) -> Tensor:
        """Images (n, side, side) of 0..1 -> latent vectors (n, latent)."""
        return self.encoder(x.unsqueeze(1) * 2 - 1)

    def decode_logits(self, z: Tensor) -> Tensor:
        """Latent vectors -> log odds of label 1, (n, side, side)."""
        return self.decoder(z).squeeze(1)

    def decode(self, z: Tensor) -> Tensor:
        """Latent vectors -> grey images of 0..1."""
        return torch.sigmoid(self.decode_logits(z))

    def predict(self, z: Tensor) -> Tensor:
        """Latent vectors -> standardised log k, (n, properties)."""
        return self.head(z)


def _conv(inputs: int, outputs: int) -> tuple[nn.Module, nn.Module]:
    return nn.Conv2d(inputs, outputs, 3, padding=1), nn.SiLU()


def _double() -> nn.Module:
    return nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
