"""What people read, derived from a campaign's journal, shards and models: dataset.h5, designs/ and the status."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from janus_al import dataset
from loop import CREATED_BY
from loop.campaign import Campaign
from loop.candidates import result_of
from loop.journal import end_of, read_events
from loop.verify import verdict


def write_dataset(campaign: Campaign) -> Path:
    """All samples in one file."""
    path = campaign.folder / "dataset.h5"
    dataset.write(path, campaign.ledger.samples(), CREATED_BY)
    return path


def write_designs(campaign: Campaign) -> list[Path]:
    """One folder a design: image.npy, image.png and design.json; folders of no design are removed."""
    from simulators import write_png

    root = campaign.folder / "designs"
    root.mkdir(exist_ok=True)
    designs = designs_of(campaign)
    for stray in set(root.iterdir()) - {root / d["name"] for d in designs}:
        shutil.rmtree(stray)
    for design in designs:
        folder = root / design["name"]
        folder.mkdir(exist_ok=True)
        with dataset.atomic_path(folder / "image.npy") as temporary, temporary.open("wb") as file:
            np.save(file, design["image"])
        with dataset.atomic_path(folder / "image.png") as temporary:
            write_png(temporary, design["image"])
        description = {k: v for k, v in design.items() if k != "image"}
        with dataset.atomic_path(folder / "design.json") as temporary:
            temporary.write_text(json.dumps(description, indent=1))
    return [root / d["name"] for d in designs]


def designs_of(campaign: Campaign) -> list[dict[str, Any]]:
    """Every design with its image, properties with bounds, and lineage."""
    targets = {t.name: t for t in campaign.targets}
    designs = []
    for event in campaign.journal.of("round"):
        table = {row["hash"]: row for row in event["candidates_table"]}
        for entry in event["designs"]:
            samples, row = campaign.ledger.row(entry["hash"])
            properties, _ = result_of(samples, row)
            proposed = table[entry["hash"]]
            designs.append(
                {
                    "name": entry["name"],
                    "target": {"name": entry["target"], **targets[entry["target"]].wanted()},
                    "properties": properties,
                    "solver": {
                        "name": samples.meta["solver"][row].decode(),
                        "version": samples.meta["solver_version"][row].decode(),
                        "flux_imbalance": float(samples.meta["flux_imbalance"][row]),
                        "boundary": samples.boundary,
                    },
                    "verdict": verdict(targets[entry["target"]].intervals, properties),
                    **{part: entry[part] for part in ("reference", "certificate") if part in entry},
                    "lineage": {
                        "round": event["round"],
                        "seed": campaign.config.seed,
                        "model": f"models/r{event['round'] - 1:04d}",
                        "predicted": proposed["predicted"],
                        "first_shot": proposed["first_shot"],
                        "simulations": proposed["simulations"],
                        "hash": entry["hash"],
                    },
                    "image": samples.image[row],
                }
            )
    return designs


def status(folder: Path) -> dict[str, Any]:
    """How a campaign stands, from its configuration and journal alone; works while another process runs it."""
    from loop.config import ConfigError, load_config

    if not (folder / "campaign.toml").is_file():
        raise ConfigError(f"{folder}: no campaign here; start one with `janus-al campaign run CONFIG --dir {folder}`")
    config, events = load_config(folder / "campaign.toml"), list(read_events(folder / "journal.jsonl"))
    rounds = [e for e in events if e["event"] == "round"]
    shards = [e for e in events if e["event"] == "shard"]
    end = end_of(events)
    paid = [s for s in shards if s["round"] > 0 or config.dataset.generate is not None]
    names = [d["target"] for e in rounds for d in e["designs"]]
    columns = ["round", "candidates", "probes", "first_shot_error_median", "probe_error_median"]
    columns += ["probe_error_mean", "hits", "simulations", "seconds"]
    return {
        "state": end["state"] if end else "running",
        "reason": end["reason"] if end else None,
        "rounds": len(rounds),
        "simulations": {
            "done": sum(s["simulated"] for s in paid),
            "failed": sum(len(s["failed"]) for s in paid),
            "budget": config.budget.simulations,
        },
        "samples": sum(s["samples"] for s in shards),
        "targets": [
            {
                "name": t.name,
                "wanted": t.wanted(),
                "words": str(t),
                "designs": names.count(t.name),
                "designs_wanted": t.designs,
            }
            for t in config.targets()
        ],
        "rounds_table": [{c: e[c] for c in columns} for e in rounds],
        "dataset": str(folder / "dataset.h5"),
        "report": str(folder / "report.html"),
    }
