"""Janus: an encoder and a decoder that share a latent space with a KHRONOS property head.

    z = E(x),   x^ = D(z),   y^ = P(z)

There are no skip connections: z alone is decoded. E and D are convolutions (Janus-C, `convolutional`) or
transformers (Janus-ViT, `transformer`). The head predicts log k of each conductivity, standardised; the volume
fraction needs no head, it is the mean of the image. Of images with classes the head gives the classes' logits.
"""

from dataclasses import replace
from functools import lru_cache
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from janus_al.networks import convolutional, transformer
from janus_al.networks.khronos import Khronos
from janus_al.settings import settings

LARGEST = 1_000_000_000
"""weights of a network: 4 GB, and five times that in training"""


@settings
class JanusConfig:
    """What rebuilds the network."""

    architecture: Literal["conv", "vit"] = "conv"
    """conv (Janus-C) or vit (Janus-ViT)"""
    size: Annotated[int, Field(strict=True, le=1024)] = 32
    """image side, a multiple of 8"""
    latent: Annotated[int, Field(strict=True, ge=1, le=4096)] = 64
    """latent dimensions"""
    channels: Annotated[int, Field(strict=True, ge=1, le=1024)] = 16
    """at half the image side; twice and four times as many at a quarter and an eighth"""
    stem: Literal[2, 4] = 2
    """side of the blocks of pixels that the first layer of Janus-C takes in and the last puts out: 2 or 4"""
    depth: Annotated[int, Field(strict=True, ge=1, le=64)] = 3
    """transformer blocks on either side of Janus-ViT"""
    padding: Literal["zeros", "circular"] = "zeros"
    """of convolutions; circular where images are cells of a periodic boundary"""
    properties: Annotated[tuple[str, ...], Field(min_length=1, max_length=1024)] = ("kxx", "kyy")
    """what the head predicts"""
    rank: Annotated[int, Field(strict=True, ge=1, le=4096)] = 32
    """terms of the KHRONOS sum"""
    intervals: Annotated[int, Field(strict=True, ge=1, le=256)] = 6
    """knot intervals of its splines"""

    def __post_init__(self) -> None:
        """Refuse what cannot be built."""
        if self.size < 16 or self.size % 8:
            raise ValueError(f"size {self.size}: the network wants a side of at least 16 that 8 divides")
        if (weights := count_weights(self)) > LARGEST:
            raise ValueError(
                f"a network of {weights:.1e} weights: at most {LARGEST:.0e}; lower size, channels, latent or depth"
            )

    def suited_to(self, size: int, boundary: str) -> "JanusConfig":
        """The same network for images of this side and boundary."""
        return replace(self, size=size, padding="circular" if boundary == "periodic" else "zeros")


@lru_cache
def count_weights(config: JanusConfig) -> int:
    """How many weights a network has; none is made."""
    with torch.device("meta"):
        return sum(p.numel() for p in Janus(config).parameters())


class Janus(nn.Module):
    """Encoder, decoder and head; the scaling between log k and the head's output is part of its state."""

    def __init__(self, config: JanusConfig) -> None:
        super().__init__()
        self.config = config
        circular = config.padding == "circular"
        shape = (config.size, config.latent, config.channels)
        if config.architecture == "conv":
            self.encoder = convolutional.encoder(*shape, config.stem, circular)
            self.decoder = convolutional.decoder(*shape, config.stem, circular)
        else:
            self.encoder = transformer.encoder(*shape, config.depth)
            self.decoder = transformer.decoder(*shape, config.depth, circular)
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
