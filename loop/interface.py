"""Campaigns from Python: run or resume one, and read how it stands and its designs as objects with images."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loop import UsageError
from loop.campaign.campaign import Campaign
from loop.campaign.config import CampaignConfig
from loop.campaign.toml import load_config, load_stored, parse_config
from loop.commands.run import locked, run_campaign
from loop.design.targets import Target
from loop.exports.export import Export
from loop.exports.export import export as write
from loop.output import projections
from loop.simulation.progress import Progress


@dataclass(frozen=True, eq=False, repr=False)
class Design:
    """A microstructure that physics has confirmed.

    Attributes:
        name: of its folder in the campaign's designs/.
        target: what it had to meet, and does.
        image: labels (ny, nx), row 0 on top, read-only.
        properties: by name; certified bounds, where there are any, as `kxx_lower` and `kxx_upper`.
        units: of those that have one, by name.
        verdict: on what it rests that the target is met: `confirmed by interval`, or `by value` where physics
            certifies nothing or was not asked to.
        lineage: campaign, round, seed, model, what was predicted, the first shot, and the image's hash.
    """

    name: str
    target: Target
    image: NDArray[np.uint8]
    properties: Mapping[str, float]
    units: Mapping[str, str]
    verdict: str
    lineage: Mapping[str, Any]

    def __repr__(self) -> str:
        parts = [f"{n} {self.properties[n]:.4g} {self.units.get(n, '')}".strip() for n in self.target.properties]
        return f"<design {self.name}: {', '.join(parts)}>"


@dataclass(frozen=True, eq=False, repr=False)
class Outcome:
    """What a campaign has come to.

    Attributes:
        folder: with its dataset.h5, designs/ and report.html.
        state: `done` if all targets are met, `stopped` if the budget was spent before.
        reason: in words.
        designs: in order of acceptance.
        simulations: spent, those of probes not among them.
    """

    folder: Path
    state: str
    reason: str
    designs: tuple[Design, ...]
    simulations: int

    def __repr__(self) -> str:
        found = f"{len(self.designs)} designs, {self.simulations} simulations"
        return f"<campaign {self.folder} {self.state}: {self.reason}; {found}>"


def run(config: CampaignConfig | Path | str, folder: Path | str, settings: Sequence[str] = ()) -> Outcome:
    """Run a campaign until its targets are met or its budget is spent, or go on with the one in the folder.

    A script calls it under `if __name__ == "__main__":`, as worker processes import the script again.

    Args:
        config: a TOML file's path, TOML text (of more than one line), or a configuration. Paths in it are relative to
            the current directory.
        folder: of the campaign; made if there is none.
        settings: "section.key=value", laid over the configuration.

    Raises:
        ConfigError, TargetError, DoorError, UsageError, OutputError: nothing was paid or written.
        LockedError: another process runs it.
    """
    _check_guarded()
    if isinstance(config, CampaignConfig):
        if settings:
            raise UsageError(f"settings {list(settings)}: they are laid over TOML; this configuration is made already")
    elif isinstance(config, str) and "\n" in config:
        config = parse_config(config, settings)
    else:
        config = load_config(Path(config), None, settings)
    return _run(Path(folder), config)


def resume(folder: Path | str, settings: Sequence[str] = ()) -> Outcome:
    """Go on with a campaign that was interrupted, or, its budget raised, with one that has spent it.

        loop.resume("campaigns/mine", ["budget.simulations=800"])

    Raises:
        ConfigError: there is none, or `settings` change more than budget and execution.
        LockedError: another process runs it.
    """
    _check_guarded()
    folder = Path(folder)
    load_stored(folder)
    return _run(folder, load_stored(folder, settings) if settings else None)


def designs(folder: Path | str) -> list[Design]:
    """A campaign's designs, in order of acceptance.

    Raises:
        ConfigError: there is no campaign.
        DatasetError: a file of it is damaged.
        LockedError: another process runs it.
    """
    folder = Path(folder)
    load_stored(folder)
    with locked(folder):
        campaign = Campaign(folder)
    targets = {target.name: target for target in campaign.targets}
    return [
        Design(
            name=entry["name"],
            target=targets[entry["target"]["name"]],
            image=_frozen(entry["image"]),
            properties=entry["properties"],
            units=entry["units"],
            verdict=entry["verdict"],
            lineage=entry["lineage"],
        )
        for entry in projections.designs_of(campaign)
    ]


def status(folder: Path | str) -> dict[str, Any]:
    """How a campaign stands, also while another process runs it: what `janus-al campaign status --json` prints.

    Raises:
        ConfigError: there is no campaign.
    """
    return projections.status(Path(folder))


def export(design: Path | str, out: Path | str, how: Export | None = None, force: bool = False) -> list[dict[str, Any]]:
    """Write a design as geometry for other programs: what `janus-al export` does.

        loop.export("campaigns/mine/designs/value-01", "parts", loop.Export(("stl", "vtk"), size="10mm"))

    Args:
        design: folder of a design, a campaign, or what `invert` wrote; or a file of labels.
        out: folder of the files.
        how: formats, lengths and more; needed, unless the campaign says how long a pixel is.
        force: whether an earlier export there is replaced.

    Raises:
        UsageError, OutputError, ImageError: nothing was written.
        DatasetError: a file of the design is damaged.
    """
    _check_guarded()
    return write(Path(design), Path(out), how or Export(), force)["files"]


def _run(folder: Path, config: CampaignConfig | None) -> Outcome:
    with Progress() as progress:
        run_campaign(folder, config, progress)
    report = status(folder)
    found = tuple(designs(folder))
    return Outcome(folder, report["state"], report["reason"], found, report["simulations"]["spent"])


def _check_guarded() -> None:
    """Refuse a script that every worker process, which imports it again, would run again."""
    main = sys.modules["__main__"]
    path = Path(getattr(main, "__file__", None) or "")
    if main.__spec__ is None and path.is_file() and "__name__" not in path.read_text(errors="replace"):
        raise UsageError(
            f'{path}: worker processes import this script again; put what it runs under if __name__ == "__main__":'
        )


def _frozen(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    own = image.copy()
    own.flags.writeable = False
    return own
