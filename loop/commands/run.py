"""Running a campaign for a person: the lock, the device, the processes, and the projections after each round."""

import contextlib
import math
import shlex
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from pathlib import Path

from janus_al.device import prepare
from janus_al.errors import LockedError as LockedError
from janus_al.files import remove_stale
from loop.campaign.campaign import Campaign
from loop.campaign.config import CampaignConfig
from loop.campaign.journal import read_events
from loop.campaign.opening import check_doors, start
from loop.campaign.plan import plan, remaining
from loop.campaign.sources import check_source
from loop.campaign.toml import dump_config, load_stored
from loop.files import lock
from loop.files.outputs import check_free
from loop.output.dossier import unmade
from loop.output.projections import write_dataset, write_designs
from loop.simulation.executors import open_executor
from loop.simulation.progress import Progress

REST = {"tracking": 30.0}
"""seconds after which a projection that a round need not wait for is written again"""


def run_campaign(folder: Path, config: CampaignConfig | None, progress: Progress, foretell: bool = False) -> Campaign:
    """Start or go on with a campaign until its targets are met or its budget is spent.

    Projections (dataset.h5, designs, MLflow, the report) follow every round; one that fails is named and
    the campaign goes on. With `foretell` it is said first what a campaign will take, see `loop.campaign.plan`.

    Raises:
        ConfigError, TargetError, DoorError, ExecutorError: bad configuration, or no such generator or executor; nothing
            was written.
        OutputError: the folder holds something else; nothing was written.
        LockedError: another process runs it.
    """
    check_doors(config or load_stored(folder))
    if config is not None and not _is_campaign(folder):
        check_free(folder)
        check_source(config)
    execution = (config or load_stored(folder)).execution
    device = prepare(execution.device, execution.threads)
    with open_executor(execution.executor, execution.workers) as executor:
        if foretell:
            _foretell(folder, config or load_stored(folder), device, executor, progress)
        if config is not None:
            folder.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            campaign = Campaign(folder) if config is None else start(folder, config)
            due: dict[str, float] = {}
            campaign.run(executor, device, progress, lambda: _project(campaign, progress, due))
    return campaign


def _foretell(folder: Path, config: CampaignConfig, device: str, executor: Executor, progress: Progress) -> None:
    """Say what a campaign will take, or, once rounds have told, what is left of it."""
    rounds = [e for e in read_events(folder / "journal.jsonl") if e["event"] == "round"]
    if rounds:
        progress.say(remaining(config, rounds))
        return
    try:
        # What a cluster takes is for its queue to say.
        found = plan(config, device, executor if config.execution.executor == "process" else None)
    except Exception as error:  # a plan is for people: the campaign needs none
        progress.say(f"no plan ({error})")
        return
    for line in found.words():
        progress.say(line)


def _is_campaign(folder: Path) -> bool:
    """Whether a folder's campaign.toml was written by a campaign: it has a journal, or is as campaigns write it."""
    stored = folder / "campaign.toml"
    if not stored.is_file():
        return False
    return (folder / "journal.jsonl").exists() or stored.read_text() == dump_config(load_stored(folder))


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the campaign's lock.

    Raises:
        LockedError: another process holds it.
    """
    with lock.locked(folder, "running this campaign"):
        remove_stale(folder)
        yield


def _project(campaign: Campaign, progress: Progress, due: dict[str, float]) -> None:
    """Bring everything derived up to date; the report, which takes longest, only at the end.

    `due` says from which moment on a projection is written again before the end. What failed is not, so that a
    bad MLflow server costs a campaign two deadlines (`delivery.DEADLINE`) at most; what takes long rests a while.
    """
    finished = campaign.journal.end is not None
    seconds: dict[str, float] = {}
    stages: dict[str, Callable[[Campaign], object]] = {
        "dataset": write_dataset,
        "designs": lambda c: _designs(c, progress),
    }
    if finished:
        from loop.output.report import write_report

        stages["report"] = lambda c: write_report(c, umap=c.config.execution.umap)
    stages["tracking"] = _track
    for name, write in stages.items():
        if not finished and time.monotonic() < due.get(name, 0.0):
            continue
        began = time.perf_counter()
        try:
            write(campaign)
            due[name] = time.monotonic() + REST.get(name, 0.0)
        except Exception as error:
            due[name] = math.inf
            again = "sync" if name == "tracking" else "report"
            progress.say(
                f"{name} not written ({error}); later: janus-al campaign {again} {shlex.quote(str(campaign.folder))}"
            )
        seconds[name] = time.perf_counter() - began
    campaign.journal.append("projected", seconds=seconds)


def _designs(campaign: Campaign, progress: Progress) -> None:
    for words in unmade(write_designs(campaign)):
        progress.say(words)


def _track(campaign: Campaign) -> None:
    from loop.output.tracking import sync

    result = sync(campaign.folder)
    if result.error:
        raise RuntimeError(f"MLflow: {result.error}")
