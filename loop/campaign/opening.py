"""Opening a campaign: what its configuration names is imported, and its folder made or found again."""

from pathlib import Path

from janus_al.files import atomic_path
from janus_al.fitting import sides
from loop.campaign.campaign import Campaign
from loop.campaign.config import CampaignConfig, ConfigError
from loop.campaign.toml import check_unchanged, dump_config, load_stored
from loop.design.acquisition import acquisition
from loop.design.generators import generator


def check_doors(config: CampaignConfig) -> None:
    """Import what a configuration names.

    Raises:
        DoorError: it cannot be imported, or used.
        ConfigError: a generator that moves samples, and no samples; one for squares, and other images.
    """
    made, first = generator(config.loop.generator), config.dataset
    if getattr(made, "needs_samples", False) and first.source is None and first.generate is None:
        raise ConfigError(
            f"loop.generator '{config.loop.generator}': it starts from simulated samples, and there are none; give a "
            "[dataset] with a source or [dataset.generate]"
        )
    grid = config.microstructure.grid
    if getattr(made, "squares_only", False) and (len(grid) > 2 or len(set(grid)) > 1):
        raise ConfigError(
            f"loop.generator '{config.loop.generator}': it is for square images, not for {sides(grid)}; take another"
        )
    acquisition(config.loop.acquisition)


def start(folder: Path, config: CampaignConfig) -> Campaign:
    """The campaign of a folder, made if there is none, refused if there is another.

    Raises:
        ConfigError: the folder's campaign has another configuration, or has spent more than this budget.
    """
    stored = folder / "campaign.toml"
    if stored.is_file():
        before = load_stored(folder)
        check_unchanged(stored, config, [{"event": "begun", "config": before.science()}])
        asked, spent = config.budget.simulations, Campaign(folder).ledger.spent
        if asked < min(spent, before.budget.simulations):
            raise ConfigError(f"budget.simulations {asked}: {spent} are spent already; give so many or more")
    for part in ("samples", "models"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    with atomic_path(stored) as temporary:
        temporary.write_text(dump_config(config), encoding="utf-8")
    return Campaign(folder)
