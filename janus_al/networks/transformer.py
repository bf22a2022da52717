"""Encoder and decoder of Janus-ViT: patches as tokens with learned positions and pre-norm transformer blocks.

Attention is written out, because torch's fused kernels have no second derivative and the sensitivity loss
needs one.
"""

from math import prod

import torch
from torch import Tensor, nn

from janus_al.networks.convolutional import Double, Layout

PATCH = 4
"""pixels a side of a token"""
HEADS = 4
"""of attention; the width is a multiple of it"""


def encoder(layout: Layout, latent: int, depth: int) -> nn.Sequential:
    """Padded images (n, 1, ny, nx) -> latent vectors (n, latent); tokens are 4 x channels wide."""
    width, tokens = 4 * layout.channels, prod(layout.padded) // PATCH**2
    return nn.Sequential(
        nn.PixelUnshuffle(PATCH),
        nn.Flatten(2),
        Transpose(),
        nn.Linear(PATCH**2, width),
        Positions(tokens, width),
        *(Block(width) for _ in range(depth)),
        nn.LayerNorm(width),
        nn.Flatten(),
        nn.Linear(tokens * width, latent),
    )


def decoder(layout: Layout, latent: int, depth: int) -> nn.Sequential:
    """Latent vectors -> log odds (n, 1, ny, nx): tokens of a patch, doubled once, then blocks of 2 x 2 pixels."""
    channels, width, tokens = layout.channels, 4 * layout.channels, prod(layout.padded) // PATCH**2
    return nn.Sequential(
        nn.Linear(latent, tokens * width),
        nn.Unflatten(1, (tokens, width)),
        Positions(tokens, width),
        *(Block(width) for _ in range(depth)),
        nn.LayerNorm(width),
        Transpose(),
        nn.Unflatten(2, [side // PATCH for side in layout.padded]),
        Double(layout.circular),
        *layout.conv(width, channels),
        layout.conv(channels, 4)[0],
        nn.PixelShuffle(2),
    )


class Transpose(nn.Module):
    """Exchange channels and tokens."""

    def forward(self, x: Tensor) -> Tensor:
        """(n, a, b) -> (n, b, a)."""
        return x.transpose(1, 2)


class Positions(nn.Module):
    """Adds a learned vector to each token."""

    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.position = nn.Parameter(0.02 * torch.randn(tokens, width))

    def forward(self, x: Tensor) -> Tensor:
        """(n, tokens, width) -> the same."""
        return x + self.position


class Block(nn.Module):
    """Self-attention and a two-layer perceptron, each added to its normalised input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.perceptron = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(n, tokens, width) -> the same."""
        x = x + self.out(self._attention(self.norm(x)))
        return x + self.perceptron(x)

    def _attention(self, x: Tensor) -> Tensor:
        split = self.query_key_value(x).unflatten(2, (3, HEADS, -1))
        query, key, value = split.permute(2, 0, 3, 1, 4)
        weights = torch.softmax(query @ key.transpose(-1, -2) / key.shape[-1] ** 0.5, dim=-1)
        return (weights @ value).transpose(1, 2).flatten(2)
