"""What people read, derived from a campaign's journal, shards and models: dataset.h5, designs/ and the status."""

import contextlib
import json
import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from janus_al import dataset
from janus_al.samples import content_hash
from loop import CREATED_BY
from loop.campaign.campaign import Campaign
from loop.campaign.extremes import best_of, distance, to_limit
from loop.campaign.journal import charged, end_of, given_up, probed, proposed_as, read_events, spent_on
from loop.campaign.toml import check_unchanged, load_stored
from loop.design.feasible import Reach, to_limits
from loop.design.measures import properties_of
from loop.design.targets import Target
from loop.files.lock import is_locked
from loop.files.outputs import OutputError, inside
from loop.output.dossier import FILES, own_files, write_dossier
from loop.simulation.rows import result_at
from loop.simulation.simulate import limits_of
from loop.simulation.verify import confirmed

FORETOLD = ("predicted", "interval", "p_hit")


def write_dataset(campaign: Campaign) -> Path:
    """All samples in one file, once there are any: a campaign that starts from a model has none at first."""
    path = campaign.folder / "dataset.h5"
    if campaign.journal.of("shard"):
        dataset.write(path, campaign.ledger.samples(), CREATED_BY)
    return path


def write_designs(campaign: Campaign) -> list[Path]:
    """One folder a design, its dossier (`loop.output.dossier`); those of designs that are no more are removed.

    A folder is the campaign's if its design.json says so. Nothing else in designs/ is touched.

    Raises:
        OutputError: something else stands where a design belongs; all others have been written.
    """
    root, designs = campaign.folder / "designs", designs_of(campaign)
    if root.is_symlink() or (root.exists() and not root.is_dir()):
        raise OutputError(f"{root}: a link or a file where the campaign's folder belongs; move it away")
    root.mkdir(exist_ok=True)
    folders = {inside(root, d["name"], campaign.journal.path): d for d in designs}
    for folder in sorted(set(root.iterdir()) - set(folders)):
        if _is_ours(folder, campaign.identity):
            for path in own_files(folder):
                path.unlink()
            if not any(folder.iterdir()):
                folder.rmdir()
    taken = []
    for folder, design in folders.items():
        if not folder.exists() and not folder.is_symlink():
            folder.mkdir()
        elif _holds_files(folder) and not _is_ours(folder, campaign.identity, design["lineage"]["hash"]):
            taken.append(folder)
            continue
        write_dossier(folder, design, campaign.material)
    if taken:
        raise OutputError(f"{taken[0]}: not made by this campaign, which has a design of that name; move it away")
    return list(folders)


def _is_ours(folder: Path, identity: str, key: str = "") -> bool:
    """Whether a campaign wrote a design into a folder: its design.json says so, or its image has that hash."""
    files = [folder / name for name in FILES]
    if folder.is_symlink() or not folder.is_dir() or any(path.is_symlink() for path in files):
        return False
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        found = json.loads((folder / "design.json").read_text())
        if found["name"] == folder.name and found["lineage"]["campaign"] == identity:
            return True
    with contextlib.suppress(OSError, ValueError):
        return content_hash(np.load(folder / "image.npy", allow_pickle=False)) == key
    return False


def _holds_files(folder: Path) -> bool:
    return folder.is_symlink() or not folder.is_dir() or any(not p.name.startswith(".") for p in folder.iterdir())


def designs_of(campaign: Campaign) -> list[dict[str, Any]]:
    """Every design with its image, properties with bounds, and lineage."""
    targets, learns = {t.name: t for t in campaign.targets}, campaign.config.loop.retrain != "never"
    modelled = bool(campaign.journal.of("trained"))
    begun = next((e for e in campaign.journal.of("campaign")), {})
    limits, table = limits_of(campaign.material, trusted=True), proposed_as(campaign.journal.events)
    designs = []
    for event in campaign.journal.of("round"):
        for entry in event["designs"]:
            samples, row = campaign.ledger.row(entry["hash"])
            target = targets[entry["target"]]
            image, likeness = samples.image[row], campaign.models.likeness
            properties = properties_of(result_at(samples, row), image, target.geometry, likeness)
            number, proposed = table[entry["hash"], target.name]
            certified: dict[str, Any] = entry.get("certificate", {}).get("properties", {})
            verdict = confirmed(target.intervals, properties, certified, samples.image.ndim - 1)
            between = to_limits(properties, target.properties, limits)
            designs.append(
                {
                    "name": entry["name"],
                    "target": {"name": target.name, **target.wanted()},
                    "properties": properties,
                    "likeness": None if likeness is None else likeness.score(image),
                    "limits": between,
                    "to_limit": to_limit(target, properties, campaign.config.reach[target.name], between),
                    "pixel": campaign.config.microstructure.pixel,
                    "conductivity": list(campaign.material.phase_conductivity),
                    "units": {n: unit for n in samples.material.simulated if (unit := samples.material.unit(n))},
                    "solver": {
                        "name": samples.meta["solver"][row].decode(),
                        "version": samples.meta["solver_version"][row].decode(),
                        "flux_imbalance": _or_none(float(samples.meta["flux_imbalance"][row])),
                        "boundary": samples.boundary,
                    },
                    "verdict": verdict,
                    **{part: entry[part] for part in ("reference", "certificate") if part in entry},
                    "lineage": {
                        "campaign": campaign.identity,
                        "name": campaign.config.name,
                        "versions": sorted(begun.get("versions", {}).values()),
                        "generator": campaign.config.loop.generator,
                        **({"source": proposed["source"]} if proposed.get("source") else {}),
                        "round": number,
                        "seed": campaign.config.seed,
                        "model": f"models/r{number - 1 if learns else 0:04d}" if modelled else None,
                        "model_sha256": _digest(campaign, number - 1 if learns else 0),
                        **{part: proposed[part] for part in FORETOLD if part in proposed},
                        "first_shot": proposed["first_shot"],
                        "steps": _steps(campaign, proposed, target),
                        "simulations": proposed["simulations"],
                        "hash": entry["hash"],
                    },
                    "image": image,
                }
            )
    return designs


def _digest(campaign: Campaign, number: int) -> str | None:
    """Of the model of a round; None where the journal names none."""
    known = [e for kind in ("trained", "retrained") for e in campaign.journal.of(kind) if e["round"] == number]
    start = next((e.get("start") for e in campaign.journal.of("campaign")), None)
    return next((e["sha256"] for e in reversed(known) if e.get("sha256")), start if number == 0 else None)


def _steps(campaign: Campaign, proposed: dict[str, Any], target: Target) -> list[dict[str, Any]]:
    """What was simulated on the way from a candidate to a design; of old campaigns the first and the last are known."""
    found = []
    for key in proposed.get("trials", []):
        samples, row = campaign.ledger.row(key)
        result, image = result_at(samples, row), samples.image[row]
        found.append(
            {"hash": key, "properties": properties_of(result, image, target.geometry, campaign.models.likeness)}
        )
    if not found and proposed["simulations"] > 1:
        found = [
            {"hash": "", "properties": proposed["first_shot"]},
            {"hash": proposed["hash"], "properties": proposed["final"]},
        ]
    return found or [{"hash": proposed["hash"], "properties": proposed["first_shot"]}]


def _best(target: Target, rounds: Sequence[dict[str, Any]], reach: Reach) -> dict[str, Any] | None:
    """Of a target for the most or the least of a quantity: its limit, the best so far, and how far that is from it."""
    for name in target.best:
        limit = reach.best.get(name, math.nan)
        value = best_of(target, [row for event in rounds for row in event["candidates_table"]])
        found = {"value": value, "limit": _or_none(limit), "to_limit": _or_none(distance(value, limit))}
        return {"quantity": name, **found}
    return None


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None


def status(folder: Path, running: bool | None = None) -> dict[str, Any]:
    """How a campaign stands, from its configuration and journal alone; works while another process runs it.

    A campaign that is not finished is `running` or, if no process runs it, `interrupted`; `running` says which where
    the caller holds the lock itself.

    Raises:
        ConfigError: there is no campaign, or its configuration was changed by hand.
    """
    config, events = load_stored(folder), list(read_events(folder / "journal.jsonl"))
    check_unchanged(folder / "campaign.toml", config, events)
    rounds = [e for e in events if e["event"] == "round"]
    shards = [e for e in events if e["event"] == "shard"]
    end = end_of(events)
    paid = charged(events, config.dataset.generate is not None)
    spent, failed = spent_on(paid), sum(len(s["failed"]) for s in paid)
    names = [d["target"] for e in rounds for d in e["designs"]]
    if end is not None:
        state, reason = end["state"], end["reason"]
    elif is_locked(folder) if running is None else running:
        state, reason = "running", None
    else:
        state, reason = "interrupted", f"go on with `janus-al campaign resume {shlex.quote(str(folder))}`"
    given = given_up(events, config.budget.model_dump(mode="json"))
    columns = ["round", "candidates", "probes", "first_shot_error_median", "probe_error_median"]
    columns += ["probe_error_mean", "hits", "simulations", "seconds"]
    return {
        "state": state,
        "reason": reason,
        "rounds": len(rounds),
        "simulations": {
            "done": spent - failed,
            "failed": failed,
            "spent": spent,
            "budget": config.budget.simulations,
            "probes": {"spent": spent_on(probed(events)), "budget": config.budget.probes},
        },
        "samples": sum(s["samples"] for s in shards),
        "targets": [
            {
                "name": t.name,
                "wanted": t.wanted(),
                "words": str(t),
                "designs": names.count(t.name),
                "designs_wanted": t.designs,
                "best": _best(t, rounds, config.reach[t.name]),
                "warning": config.reach[t.name].warning,
                "given_up": given.get(t.name),
            }
            for t in config.targets()
        ],
        "designs": [
            {"name": d["name"], "target": d["target"], "likeness": d.get("likeness")}
            for e in rounds
            for d in e["designs"]
        ],
        "passed_over": {
            e["round"]: e["passed_over"] for e in events if e["event"] == "proposed" and e.get("passed_over")
        },
        "unconfirmed": [
            {"round": e["round"], **{c: row[c] for c in ("target", "hash", "verdict", "reason")}}
            for e in rounds
            for row in e["candidates_table"]
            if row.get("verdict") in ("refuted", "undecided")
        ],
        "models": [{"round": e["round"], **e["guard"]} for e in events if e["event"] == "trained" and e.get("guard")],
        "rounds_table": [{**{c: e[c] for c in columns}, "coverage": e.get("coverage")} for e in rounds],
        "dataset": str(folder / "dataset.h5"),
        "report": str(folder / "report.html"),
    }
