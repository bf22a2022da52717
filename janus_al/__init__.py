"""The network: images and properties -> checkpoint; checkpoint and goals -> candidates.

    model, card = janus_al.load("janus-64")
    found = janus_al.invert(model, [{"kxx": (0.29, 0.31)}] * 4, seed=0)
    images = found.field > 0.5                                             # (4, 64, 64)

Nothing heavy is imported before a name is asked for.
"""

from typing import TYPE_CHECKING

from janus_al.lazy import attach

if TYPE_CHECKING:
    from janus_al.checkpoint import Card, load, save
    from janus_al.dataset import read
    from janus_al.errors import DatasetError
    from janus_al.evaluation import evaluate
    from janus_al.fitting import TrainingConfig, TrainingError
    from janus_al.inversion import Candidates, InversionConfig, invert
    from janus_al.likeness import Likeness
    from janus_al.networks.janus import Janus, JanusConfig
    from janus_al.properties import Property
    from janus_al.samples import Samples
    from janus_al.training import train

__all__ = [
    "Candidates",
    "Card",
    "DatasetError",
    "InversionConfig",
    "Janus",
    "JanusConfig",
    "Likeness",
    "Property",
    "Samples",
    "TrainingConfig",
    "TrainingError",
    "evaluate",
    "invert",
    "load",
    "read",
    "save",
    "train",
]
__getattr__, __dir__ = attach(
    __name__,
    {
        "checkpoint": "Card load save",
        "dataset": "read",
        "errors": "DatasetError",
        "evaluation": "evaluate",
        "fitting": "TrainingConfig TrainingError",
        "inversion": "Candidates InversionConfig invert",
        "likeness": "Likeness",
        "networks.janus": "Janus JanusConfig",
        "properties": "Property",
        "samples": "Samples",
        "training": "train",
    },
)
