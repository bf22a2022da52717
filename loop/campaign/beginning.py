"""How a campaign begins: its first samples as the shards of round 0, the model to start from, the test set."""

import shutil
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from janus_al import checkpoint
from janus_al.files import atomic_path
from janus_al.identity import canonical_hash
from janus_al.samples import unlabelled
from janus_al.shipped import shipped
from janus_al.training import property_range
from loop import CREATED_BY
from loop.campaign.config import CampaignConfig, ConfigError, Generate
from loop.campaign.ledger import Ledger
from loop.campaign.proposals import Proposals
from loop.campaign.sources import read_source, read_start
from simulators import Result

Simulate = Callable[[Sequence[NDArray[np.uint8]]], list[Result | None]]


def begin(config: CampaignConfig, ledger: Ledger, proposals: Proposals, simulate: Simulate) -> None:
    """Copy the source, or generate and simulate one; copy the model to start from. Once begun it does nothing."""
    journal, folder = ledger.journal, ledger.folder
    if journal.of("campaign"):
        return
    if not journal.of("begun"):
        journal.append("begun", config=config.science())
    settings, source = config.dataset, read_source(config)
    if source is None and settings.generate is not None:
        _generate(settings.generate, config, ledger, proposals, simulate)
    elif source is not None and not journal.of("shard"):
        ledger.append(0, source, [])
    if settings.test is not None:
        with atomic_path(folder / "test.h5") as temporary:
            shutil.copyfile(shipped(settings.test), temporary)
    start = read_start(config)
    digest = None if start is None else checkpoint.save(folder / "start", *start)
    ranges = {} if start is None else start[1].property_range
    first: dict[str, Any] = {"path": str(config.network.start), "digest": digest, "samples": 0, "simulated": 0}
    if source is not None or settings.generate is not None:
        samples = ledger.samples()
        ranges = ranges or property_range(samples, ledger.material.simulated)
        first = {
            "path": str(settings.source or "generated"),
            "digest": samples.digest(),
            "samples": len(samples),
            "simulated": int(samples.simulated.sum()),
        }
    journal.append(
        "campaign",
        campaign_id=f"{first['digest']:.12}-{time.time_ns():x}",
        name=config.name,
        seed=config.seed,
        source=first,
        start=digest,
        probe_range=ranges,
        versions={"janus-al": CREATED_BY},
    )


def _generate(
    settings: Generate, config: CampaignConfig, ledger: Ledger, proposals: Proposals, simulate: Simulate
) -> None:
    """Make images, simulate some of them, and commit the others without simulation."""
    from simulators import generate

    images = proposals.images(0)
    if images is None:
        images = generate(settings.count, config.microstructure.grid, config.seed)
        proposals.commit_images(0, images)
    results = simulate(list(images[: settings.simulated]))
    shards = ledger.journal.of("shard")
    for name in ledger.material.simulated:
        missing = sum(result is None or name not in result.values for result in results)
        if len(results) - missing < 2:
            reasons = [failure["reason"] for shard in shards for failure in shard["failed"]]
            raise ConfigError(
                f"{missing} of the first {len(results)} simulations failed ({reasons[0]}), so that {name} is not "
                "known, and training needs 2; see to that, and begin in another --dir"
            )
    rest = [image for image in images if canonical_hash(image, ledger.material.boundary) not in ledger.tried]
    if rest and not any(e["samples"] > e["simulated"] for e in shards):
        others = unlabelled(np.stack(rest), ledger.material, origin=b"generated", seed=config.seed)
        ledger.append(0, others, [])
