"""Settings for volumes, where they are to differ from the defaults that each class has, those of planes.

A voxel of 32^3 costs as much as a pixel and there are 32 times as many: volumes are trained in fewer and smaller steps,
on media from the start, which need the fewest simulations, and with amplitudes of waves beside the latent numbers that
the head reads: a decoder that has to learn its own few hundred needs many times as many steps.
"""

from typing import Any

from janus_al.fitting import TrainingConfig
from janus_al.networks.janus import JanusConfig

VOLUMES: dict[str, dict[str, Any]] = {
    "network": {"waves": 192, "media": 1},
    "training": {
        "steps": 600,
        "batch": 8,
        "simulated": 6,
        "cycled": 2,
        "rate": 1.5e-3,
        "l_task": 10.0,
        "l_sens": 30.0,
        "pool": 2,
    },
}
"""by table of a configuration, and key"""


def defaults(dim: int) -> tuple[JanusConfig, TrainingConfig]:
    """Network and training of images with so many axes, where nobody says otherwise."""
    if dim == 2:
        return JanusConfig(), TrainingConfig()
    return JanusConfig(dim=3, **VOLUMES["network"]), TrainingConfig(**VOLUMES["training"])
