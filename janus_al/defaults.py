"""What networks and trainings are unless somebody says otherwise, where it is not the default of their own classes.

Media know how currents flow before they have learned anything, and the layers that say how well each of their cells
conducts are wide (docs/results/media.md); a high contrast makes sensitivities spiky, so that they weigh less, beside
labels that weigh more (docs/results/tuning.md). Averaged weights let rates stay high, in the first training and after
rounds (docs/results/retraining.md). A voxel of 32^3 costs as much as a pixel and there are 32 times as many: volumes
are trained in fewer and smaller steps, and with amplitudes of waves beside the latent numbers that the head reads: a
decoder that has to learn its own few hundred needs many times as many steps.
"""

import math
from collections.abc import Sequence
from typing import Any

from janus_al.fitting import TrainingConfig
from janus_al.material import Material
from janus_al.networks.janus import JanusConfig

Tables = dict[str, dict[str, Any]]
"""settings by table of a configuration, and key"""

PLANES: Tables = {
    "network": {"media": 2, "width": 64},
    "training": {"average": 50},
    "loop": {"retrain_rate": 3e-3},
}
WIDE, WIDE_PLANES = 48, Tables({"network": {"stem": 4, "width": 0}})
"""pixels a side up to which media on every second pixel take no more than the rest, and what planes of more have"""
HIGH, STEEP = 30.0, Tables({"training": {"l_task": 15.0, "l_rec": 12.0, "l_deep": 0.7, "l_sens": 5.0}})
"""contrast that is high, and what planes have from it on"""
FINEST, FINE_PLANES = 64, Tables({"network": {"stem": 2, "width": 32}})
"""pixels a side up to which wide planes of a high contrast have their media on every second pixel after all, and how:
coarser cells do not see which necks of a few pixels are open"""
STARTED: Tables = {"training": {"average": 0}, "loop": {"retrain_rate": 1e-3}}
"""what goes on from a trained model: the faster it learns, the more it forgets of what samples taught that are gone"""
VOLUMES: Tables = {
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

USUAL = {
    "planes between faces": PLANES,
    f"those of more than {WIDE} pixels a side": WIDE_PLANES,
    f"those of a contrast of {HIGH:g} or more": STEEP,
    f"those of a contrast of {HIGH:g} or more and of {WIDE + 1} to {FINEST} pixels a side": FINE_PLANES,
    "volumes": VOLUMES,
    "campaigns that start from a model": STARTED,
}
"""by what they are for"""


def usual(grid: Sequence[int], material: Material) -> Tables:
    """The settings of images with these sides and constants."""
    if len(grid) == 3:
        return VOLUMES
    if material.boundary == "periodic":  # media join faces, and what repeats has none: no better, at twice the time
        return {}
    contrast = max((abs(material.contrast(name)) for name in material.simulated), default=0.0)
    steep, wide = contrast >= math.log(HIGH), max(grid) > WIDE
    parts = [PLANES, WIDE_PLANES if wide else {}, STEEP if steep else {}]
    parts += [FINE_PLANES] if steep and wide and max(grid) <= FINEST else []
    return {name: {key: part[name][key] for part in parts for key in part.get(name, {})} for name in PLANES}


def defaults(grid: Sequence[int], material: Material) -> tuple[JanusConfig, TrainingConfig]:
    """Network and training with these settings, the network's size left to `suited_to`."""
    tables = usual(grid, material)
    network, training = (tables.get(name, {}) for name in ("network", "training"))
    return JanusConfig(dim=3 if len(grid) == 3 else 2, **network), TrainingConfig(**training)
