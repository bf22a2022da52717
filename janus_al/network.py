"""Janus: an encoder and a decoder that share a latent space with a KHRONOS property head.

    z = E(x),   x^ = D(z),   y^ = P(z)

There are no skip connections: z alone is decoded. E and D are convolutions (Janus-C, `convolutional`) or
transformers (Janus-ViT, `transformer`). The head predicts log k of each conductivity, standardised; the volume
fraction needs no head, it is the mean of the image. Of images with classes the head gives the classes' logits.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from janus_al import convolutional, transformer
from janus_al.khronos import Khronos


@dataclass(frozen=True)
class JanusConfig:
    """What rebuilds the network."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012

    architecture: str = "conv"
    """conv (Janus-C) or vit (Janus-ViT)"""
    size: int = 32
    """image side, a multiple of 8"""
    latent: int = 64
    """latent dimensions"""
    channels: int = 16
    """at half the image side; twice and four times as many at a quarter and an eighth"""
    stem: int = 2
    """side of the blocks of pixels that the first layer of Janus-C takes in and the last puts out: 2 or 4"""
    depth: int = 3
    """transformer blocks on either side of Janus-ViT"""
    padding: str = "zeros"
    """of convolutions; circular where images are cells of a periodic boundary"""
    properties: tuple[str, ...] = ("kxx", "kyy")
    """what the head predicts"""
    rank: int = 32
    """terms of the KHRONOS sum"""
    intervals: int = 6
    """knot intervals of its splines"""

    def __post_init__(self) -> None:
        """Refuse what cannot be built."""
        for name, allowed in (
            ("architecture", ("conv", "vit")),
            ("padding", ("zeros", "circular")),
            ("stem", (2, 4)),
        ):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} {getattr(self, name)!r}: it must be {allowed[0]} or {allowed[1]}")
        least = min(("latent", "channels", "depth", "rank", "intervals"), key=lambda name: getattr(self, name))
        if getattr(self, least) < 1 or not self.properties:
            raise ValueError(f"{least} {getattr(self, least)}, properties {self.properties}: at least 1 of each")
        if self.size < 16 or self.size % 8:
            raise ValueError(f"size {self.size}: the network wants a side of at least 16 that 8 divides")

    def suited_to(self, size: int, boundary: str) -> "JanusConfig":
        """The same network for images of this side and boundary."""
        return replace(self, size=size, padding="circular" if boundary == "periodic" else "zeros")


class Janus(nn.Module):
    """Encoder, decoder and head; the scaling between log k and the head's output is part of its state."""

    def __init__(self, config: JanusConfig) -> None:
        super().__init__()
        self.config = config
        circular = config.padding == "circular"
        if config.architecture == "conv":
            shape = (config.size, config.latent, config.channels, config.stem)
            self.encoder = convolutional.encoder(*shape, circular)
            self.decoder = convolutional.decoder(*shape, circular)
        else:
            shape = (config.size, config.latent, config.channels, config.depth)
            self.encoder = transformer.encoder(*shape)
            self.decoder = transformer.decoder(*shape, circular)
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
        # Convolutions are never slower on it, and up to a fifth faster (docs/results/training.md).
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

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
