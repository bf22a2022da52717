"""Campaigns side by side on one page: what each was asked, reached and cost, and where their settings differ."""

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from janus_al.files import atomic_path
from loop import UsageError
from loop.campaign.journal import charged, read_events, spent_on
from loop.campaign.toml import load_stored
from loop.files.outputs import OutputError
from loop.output.pages import page
from loop.output.pictures import chart
from loop.output.projections import status

MARK = "Janus-AL comparison of campaigns"
"""in the title of such a page"""
PARTS = ("inversion", "simulation", "verification", "training")
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#000000")


def check_comparison(folders: Sequence[Path], out: Path, force: bool) -> None:
    """Refuse what cannot be compared, or written.

    Raises:
        UsageError: a folder is named twice.
        OutputError: the page would replace a file that is no such page, or one that is without `force`.
    """
    for one, other in itertools.combinations(folders, 2):
        if one.resolve() == other.resolve():
            raise UsageError(f"{other}: named twice; name each campaign once")
    if out.is_symlink() or (out.exists() and not out.is_file()):
        raise OutputError(f"{out}: a link or a folder; name a file, such as comparison.html")
    if not out.parent.is_dir():
        raise OutputError(f"{out}: the folder {out.parent} does not exist; make it first")
    if out.exists():
        if MARK not in out.read_text(encoding="utf-8", errors="replace")[:4096]:
            raise OutputError(f"{out}: exists and is no comparison of campaigns; give another --out")
        if not force:
            raise OutputError(f"{out}: exists; give another --out, or --force to replace it")


def write_comparison(folders: Sequence[Path], out: Path) -> dict[str, Any]:
    """Write the page, and return what it shows, as JSON; campaigns may be running.

    Raises:
        ConfigError: a folder holds no campaign.
        DatasetError: a journal is damaged.
    """
    columns = [_column(folder, label) for folder, label in zip(folders, _labels(folders), strict=True)]
    targets = dict.fromkeys(name for c in columns for name in c["targets"])
    settings = [c.pop("settings") for c in columns]
    differ = {
        key: [own.get(key) for own in settings]
        for key in dict.fromkeys(key for own in settings for key in own)
        if any(own.get(key) != settings[0].get(key) for own in settings)
    }
    written = page(
        "comparison.html.j2",
        mark=MARK,
        columns=columns,
        targets=list(targets),
        differ=differ,
        parts=PARTS,
        progress=_progress(columns),
    )
    with atomic_path(out) as temporary:
        temporary.write_text(written, encoding="utf-8")
    return {"comparison": str(out), "campaigns": columns, "settings_that_differ": differ}


def _labels(folders: Sequence[Path]) -> list[str]:
    names = [folder.resolve().name for folder in folders]
    return [str(f) if names.count(n) > 1 else n for f, n in zip(folders, names, strict=True)]


def _column(folder: Path, label: str) -> dict[str, Any]:
    """What is shown of a campaign."""
    report, config, events = status(folder), load_stored(folder), list(read_events(folder / "journal.jsonl"))
    rounds = [e for e in events if e["event"] == "round"]
    first = [e for e in events if e["event"] in ("shard", "trained") and e["round"] == 0]
    seconds = {part: sum(r["seconds"].get(part, 0.0) for r in rounds) for part in PARTS}
    seconds["training"] += sum(e["seconds"] for e in first if e["event"] == "trained")
    seconds["simulation"] += sum(e["seconds"] for e in first if e["event"] == "shard")
    other = sum(r["seconds"].get("other", 0.0) for r in rounds)
    rows = [row for r in rounds for row in r["candidates_table"]]
    errors = {
        kind: [
            row["error"]
            for row in rows
            if (row["target"] == "probe") == (kind == "probes") and row["error"] is not None
        ]
        for kind in ("targets", "probes")
    }
    begun = spent_on([e for e in charged(events, config.dataset.generate is not None) if e["round"] == 0])
    designs = [len(r["designs"]) for r in rounds]
    told = [r["coverage"] for r in rounds if r.get("coverage")]
    return {
        "label": label,
        "folder": str(folder),
        "name": config.name,
        "state": report["state"],
        "reason": report["reason"],
        "designs": sum(t["designs"] for t in report["targets"]),
        "designs_wanted": sum(t["designs_wanted"] for t in report["targets"]),
        "rounds": report["rounds"],
        "simulations": report["simulations"],
        "seconds": {**seconds, "all": sum(seconds.values()) + other},
        "first_shot_error": {kind: median(own) if own else None for kind, own in errors.items()},
        "probe_errors": [r["probe_error_median"] for r in rounds],
        "hits": sum(r["hits"] for r in rounds),
        "candidates": sum(r["candidates"] for r in rounds),
        "held": [sum(c[key] for c in told) for key in ("held", "values")],
        "targets": {t["name"]: t for t in report["targets"]},
        "course": [[begun, 0], *([r["spent"], sum(designs[: n + 1])] for n, r in enumerate(rounds))],
        "settings": _flat(config.model_dump(mode="json", exclude={"name", "target"}, exclude_none=True)),
    }


def _flat(settings: Mapping[str, Any], before: str = "") -> dict[str, str]:
    """Settings by dotted keys, as words."""
    found = dict[str, str]()
    for key, value in settings.items():
        name = f"{before}{key}"
        if isinstance(value, Mapping) and value:
            found |= _flat(value, f"{name}.")
        else:
            found[name] = value if isinstance(value, str) else json.dumps(value)
    return found


def _progress(columns: Sequence[Mapping[str, Any]]) -> str | None:
    """Designs against simulations, and the probes' error round by round; a line each."""
    if not any(c["rounds"] for c in columns):
        return None
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    with plt.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "figure.dpi": 140}):
        figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.0), layout="constrained")
        for number, column in enumerate(columns):
            colour = COLOURS[number % len(COLOURS)]
            axes[0].step(
                *zip(*column["course"], strict=True), "o-", ms=3, where="post", color=colour, label=column["label"]
            )
            known = [(n, 100 * e) for n, e in enumerate(column["probe_errors"], 1) if e is not None]
            if known:
                axes[1].plot(*zip(*known, strict=True), "o-", ms=3, color=colour)
        axes[0].set(title="designs", xlabel="simulations spent", ylim=(0, None))
        axes[1].set(title="first-shot error at the probes, median, %", xlabel="round", ylim=(0, None))
        axes[1].xaxis.get_major_locator().set_params(integer=True)
        figure.legend(frameon=False, loc="outside right upper")
        return chart(figure)
