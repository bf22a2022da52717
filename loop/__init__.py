"""The campaign: joins the network and the physics, keeps the journal, talks to people and to MLflow.

    if __name__ == "__main__":                      # worker processes import the script again
        done = loop.run("quickstart.toml", "campaigns/quickstart")
        for design in done.designs:
            print(design, design.image.shape)

Nothing heavy is imported before a name is asked for.
"""

from typing import TYPE_CHECKING

from janus_al.lazy import attach

if TYPE_CHECKING:
    from loop.campaign.config import CampaignConfig, ConfigError
    from loop.design.doors import DoorError
    from loop.design.generators import Tools
    from loop.design.pool import Known, Pool
    from loop.design.targets import Target, TargetError
    from loop.exports.export import Export
    from loop.interface import Design, Outcome, designs, export, resume, run, status

__all__ = [
    "CampaignConfig",
    "ConfigError",
    "Design",
    "DoorError",
    "Export",
    "Known",
    "Outcome",
    "Pool",
    "Target",
    "TargetError",
    "Tools",
    "UsageError",
    "designs",
    "export",
    "resume",
    "run",
    "status",
]
__getattr__, __dir__ = attach(
    __name__,
    {
        "campaign.config": "CampaignConfig ConfigError",
        "design.doors": "DoorError",
        "design.generators": "Tools",
        "design.pool": "Known Pool",
        "design.targets": "Target TargetError",
        "exports.export": "Export",
        "interface": "Design Outcome designs export resume run status",
    },
    own=("UsageError",),
)

CREATED_BY = "janus-al 0.1.0"
SEED_MAX = 2**63 - 2
"""it and the next one are stored as 64-bit integers"""
WORKERS_MAX = THREADS_MAX = 1024


class UsageError(ValueError):
    """Arguments that do not fit together."""
