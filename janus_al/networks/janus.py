"""Janus: an encoder and a decoder that share a latent space with a KHRONOS property head.

    z = E(x),   x^ = D(z),   y^ = P(z)

There are no skip connections: z alone is decoded. E and D are convolutions (Janus-C, `convolutional`) or
transformers (Janus-ViT, `transformer`). The head predicts the properties, standardised, those above 0 on a log scale;
the volume fraction needs no head, it is the mean of the image. Of images with classes the head gives their logits.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from math import prod
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, PlainSerializer, PlainValidator
from torch import Tensor, nn

from janus_al.networks import convolutional, transformer
from janus_al.networks.grids import Coarsening
from janus_al.networks.khronos import Khronos
from janus_al.networks.waves import Waves
from janus_al.properties import AXES, row_of
from janus_al.settings import settings

CONDUCTIVITIES = ("kxx", "kyy")
"""what conduction gives in planes, and so what the head predicts unless told"""
IN_VOLUMES = (*CONDUCTIVITIES, "kzz")
PIXELS = 2**22
"""of all images that are worked on at once: about 600 bytes each where a descent holds all that it computed of them"""
LARGEST = 1_000_000_000
"""weights of a network: 4 GB, and five times that in training"""


SHORTEST, LONGEST = 8, 1024
"""sides of an image"""
FINE = 64
"""pixels a side that planes of more than twice as many are coarsened to, unless told"""


def large(grid: Sequence[int]) -> bool:
    """Whether images are planes of so many pixels that a network sees them coarsened."""
    return len(grid) == 2 and max(grid) > 2 * FINE


def _sides(value: Any) -> int | tuple[int, ...]:
    several = isinstance(value, list | tuple)
    sides: tuple[Any, ...] = tuple(value) if several else (value,)
    if not sides or not all(type(side) is int for side in sides):
        raise ValueError("must be a whole number, or a list of them")
    if max(sides) > LONGEST:
        raise ValueError(f"must be at most {LONGEST}")
    return sides if several else sides[0]


Size = Annotated[int | tuple[int, ...], PlainValidator(_sides), PlainSerializer(lambda size: size)]
"""one side for all axes, or one for each"""


@settings
class JanusConfig:
    """What rebuilds the network."""

    architecture: Literal["conv", "vit"] = "conv"
    """conv (Janus-C) or vit (Janus-ViT)"""
    dim: Literal[2, 3] = 2
    """axes of an image: a plane's or a volume's"""
    size: Size = 32
    """image side, 8 or more; or a list of sides, [ny, nx] or [nz, ny, nx]"""
    coarsen: Annotated[int, Field(strict=True, ge=0, le=64)] = 0
    """pixels a side of blocks that the network sees the means of, and between which it interpolates; left out, as many
    as leave 64 blocks a side of planes of more than 128 pixels a side, and 1 of others"""
    latent: Annotated[int, Field(strict=True, ge=1, le=4096)] = 64
    """latent dimensions that the head reads"""
    waves: Annotated[int, Field(strict=True, ge=0, le=4096)] = 0
    """amplitudes of an image's longest waves beside them, in Janus-C, for the decoder alone"""
    channels: Annotated[int, Field(strict=True, ge=1, le=1024)] = 16
    """at half the image side; twice and four times as many at a quarter and an eighth"""
    stem: Literal[2, 4] = 2
    """side of the blocks of pixels that the first layer of Janus-C takes in and the last puts out: 2 or 4"""
    media: Annotated[int, Field(strict=True, ge=0, le=64)] = 0
    """conductors that Janus-C learns on the grid of its stem and solves for what they carry"""
    width: Annotated[int, Field(strict=True, ge=0, le=4096)] = 0
    """channels of the layers of Janus-C that come before its media, and say how each of their cells conducts; 0: as
    many as `channels` gives that grid"""
    depth: Annotated[int, Field(strict=True, ge=1, le=64)] = 3
    """transformer blocks on either side of Janus-ViT"""
    padding: Literal["zeros", "circular"] = "zeros"
    """of convolutions; circular where images are cells of a periodic boundary"""
    properties: Annotated[tuple[str, ...], Field(min_length=1, max_length=1024)] = CONDUCTIVITIES
    """what the head predicts; left out, all that the data's simulations give"""
    rank: Annotated[int, Field(strict=True, ge=1, le=4096)] = 32
    """terms of the KHRONOS sum"""
    intervals: Annotated[int, Field(strict=True, ge=1, le=256)] = 6
    """knot intervals of its splines"""

    def __post_init__(self) -> None:
        """Take equal sides for one, conductivities for those of a volume in one, and refuse what cannot be built."""
        if isinstance(self.size, tuple):
            if len(self.size) != self.dim:
                raise ValueError(f"size {list(self.size)}: {len(self.size)} sides of an image of dim {self.dim}")
            if len(set(self.size)) == 1:
                object.__setattr__(self, "size", self.size[0])
        if min(self.grid) < SHORTEST:
            raise ValueError(f"size {self.size}: the network wants sides of at least {SHORTEST}")
        if self.dim == 3:
            if self.architecture == "vit":
                raise ValueError("architecture vit is of planes (dim = 2); volumes take conv")
            if self.properties == CONDUCTIVITIES:
                object.__setattr__(self, "properties", IN_VOLUMES)
        if self.dim * self.conducting >= self.latent:
            taken = self.dim * self.media
            raise ValueError(f"latent {self.latent}: {self.media} media take {taken} of them and leave none; raise it")
        if (weights := count_weights(self)) > LARGEST:
            raise ValueError(
                f"a network of {weights:.1e} weights: at most {LARGEST:.0e}; lower size, channels, latent or depth"
            )

    @property
    def grid(self) -> tuple[int, ...]:
        """Sides of an image, (ny, nx) or (nz, ny, nx)."""
        return (self.size,) * self.dim if isinstance(self.size, int) else self.size

    @property
    def block(self) -> int:
        """Pixels a side of the blocks whose means the network sees."""
        return max(1, self.coarsen)

    @property
    def coarsening(self) -> Coarsening:
        """What makes of images what the network sees, and of what it draws images."""
        return Coarsening(self.grid, self.block, self.padding == "circular")

    @property
    def seen(self) -> tuple[int, ...]:
        """Sides of what the network sees."""
        return self.coarsening.coarse

    @property
    def together(self) -> int:
        """How many images are worked on at once, so that they take some gigabytes at most, however large."""
        return max(1, min(256, PIXELS // prod(self.grid)))

    @property
    def latents(self) -> int:
        """Length of a latent vector: what the head reads, then amplitudes of waves."""
        return self.latent + (self.waves if self.architecture == "conv" else 0)

    @property
    def conducting(self) -> int:
        """Media that the network has."""
        return self.media if self.architecture == "conv" else 0

    def suited_to(
        self, grid: tuple[int, ...], boundary: str, properties: Sequence[str] = CONDUCTIVITIES
    ) -> "JanusConfig":
        """The same network for images of this grid and boundary whose simulations give these properties."""
        names = self.properties if self.properties not in (CONDUCTIVITIES, IN_VOLUMES) else tuple(properties)
        if strange := [name for name in names if name not in properties]:
            raise ValueError(f"network.properties: {strange[0]} is none of the data's {', '.join(properties)}")
        padding: Literal["zeros", "circular"] = "circular" if boundary == "periodic" else "zeros"
        dim: Literal[2, 3] = 3 if len(grid) == 3 else 2
        coarsen = self.coarsen or (max(grid) // FINE if large(grid) else 1)
        found = replace(self, dim=dim, size=tuple(grid), coarsen=coarsen, padding=padding, properties=names)
        if min(found.seen) < SHORTEST:
            raise ValueError(f"coarsen {coarsen}: leaves fewer than the {SHORTEST} blocks a side it wants; lower it")
        if self.waves > (most := prod(side // 2 for side in found.seen)):
            raise ValueError(f"waves {self.waves}: at most {most} of them fit; lower it")
        return found


@lru_cache
def count_weights(config: JanusConfig) -> int:
    """How many weights a network has; none is made."""
    with torch.device("meta"):
        return sum(p.numel() for p in Janus(config).parameters())


class Janus(nn.Module):
    """Encoder, decoder and head; the scaling between properties and the head's output is part of its state.

    `log_mean` and `log_std` are those of log p for properties on a log scale, and of p for all others. `tilt` is a
    linear function of the latent vector that calibration adds to what the head says (`janus_al.calibration`).
    """

    def __init__(self, config: JanusConfig) -> None:
        super().__init__()
        self.config = config
        circular, latent = config.padding == "circular", config.latent
        self.coarsening = config.coarsening
        self.layout = layout = convolutional.Layout(config.seen, config.channels, config.stem, circular)
        self.waves = Waves(config.seen, config.waves) if config.latents > latent else None
        if config.architecture == "conv":
            self.encoder = convolutional.encoder(layout, latent, config.media, config.width)
            self.decoder = convolutional.decoder(layout, latent, self.waves)
        else:
            self.encoder = transformer.encoder(layout, latent, config.depth)
            self.decoder = transformer.decoder(layout, latent, config.depth)
        outputs = len(config.properties)
        self.head = Khronos(config.latent, outputs, config.rank, config.intervals, config.dim * config.conducting)
        self.tilt: Tensor
        self.log_mean: Tensor
        self.log_std: Tensor
        self.latent_mean: Tensor
        self.latent_std: Tensor
        self.register_buffer("tilt", torch.zeros(outputs, config.latent))
        self.register_buffer("log_mean", torch.zeros(outputs))
        self.register_buffer("log_std", torch.ones(outputs))
        self.register_buffer("latent_mean", torch.zeros(config.latents))
        self.register_buffer("latent_std", torch.ones(config.latents))
        # Convolutions are never slower on it, and up to a fifth faster (docs/results/training.md).
        if config.dim == 2:
            self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def enlarged(self, grid: tuple[int, ...]) -> "Janus":
        """The same network for images of a whole number of times as many pixels along each axis.

        Raises:
            ValueError: it is no such number.
        """
        own = self.config.grid
        if tuple(grid) == own:
            return self
        times = grid[0] // own[0]
        if times < 1 or tuple(times * side for side in own) != tuple(grid):
            has, asked = (" x ".join(map(str, sides)) for sides in (own, grid))
            raise ValueError(f"size {asked}: this network draws {has}, or whole multiples of it")
        found = Janus(replace(self.config, size=tuple(grid), coarsen=times * self.config.block))
        found.load_state_dict(self.state_dict())
        return found.to(self.log_mean).train(self.training)

    @torch.no_grad()
    def trust_media(self, middle: Sequence[float]) -> None:
        """Let a fresh head of volumes begin with what its media conduct, once the scaling is known.

        Args:
            middle: of each property, the logarithm of the geometric mean of the phases' constants.
        """
        count = self.config.conducting
        if self.head.linear is None or self.config.dim == 2:
            return
        self.head.linear.weight.zero_()
        for row, (name, offset) in enumerate(zip(self.config.properties, middle, strict=True)):
            axes = set(row_of(name).axes)
            if row_of(name).log and len(axes) == 1:
                first = AXES.index(axes.pop()) * count
                self.head.linear.weight[row, first : first + count] = 1 / (count * self.log_std[row])
                self.head.bias[row] = (offset - self.log_mean[row]) / self.log_std[row]

    def encode(self, x: Tensor) -> Tensor:
        """Images (n, *grid) of 0..1 -> latent vectors (n, latent)."""
        signed = self.coarsening.means(x) * 2 - 1
        z: Tensor = self.encoder(self.layout.pad(signed).unsqueeze(1))
        return z if self.waves is None else torch.cat([z, self.waves.amplitudes(signed)], dim=1)

    def decode_logits(self, z: Tensor) -> Tensor:
        """Latent vectors -> log odds of label 1, (n, *grid)."""
        return self.coarsening.between(self.layout.crop(self.decoder(z)).squeeze(1))

    def decode(self, z: Tensor) -> Tensor:
        """Latent vectors -> grey images of 0..1."""
        return torch.sigmoid(self.decode_logits(z))

    def predict(self, z: Tensor) -> Tensor:
        """Latent vectors -> standardised properties, (n, properties), those above 0 as logarithms."""
        read = z[:, : self.config.latent]
        return self.head(read) + read @ self.tilt.T

    def values(self, z: Tensor) -> Tensor:
        """Latent vectors -> properties in their units, (n, properties)."""
        scaled = self.predict(z) * self.log_std + self.log_mean
        log = torch.tensor([row_of(name).log for name in self.config.properties], device=scaled.device)
        return torch.where(log, torch.exp(torch.where(log, scaled, 0.0)), scaled)
