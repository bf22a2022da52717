"""An arena's results as JSON, as a page and as a picture."""

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

from janus_al.files import atomic_path
from loop.design.targets import describe
from loop.studies.arena.plan import Arena, Track
from loop.studies.arena.runner import Part
from loop.studies.arena.score import Scored, ratio

Report = dict[str, Any]


def summary(arena: Arena, parts: Sequence[Part]) -> Report:
    """Every campaign, means over those seeds that all strategies of a track have finished, and ratios, as JSON.

    A strategy that has finished no seed of a track is left out there.
    """
    found = {(p.track.name, p.strategy.name, p.seed): p.scored for p in parts}
    tracks = []
    for track in arena.track:
        names = [s.name for s in arena.strategy if any((track.name, s.name) == key[:2] for key in found)]
        seeds = [n for n in range(arena.seeds) if all((track.name, name, n) in found for name in names)]
        if names and seeds:
            tracks.append(_track(arena, track, {name: [found[track.name, name, n] for n in seeds] for name in names}))
    return {"name": arena.name, "campaign": arena.campaign, "tracks": tracks}


def _track(arena: Arena, track: Track, scores: dict[str, list[Scored]]) -> Report:
    counts = {name: [s.last.counted for s in own] for name, own in scores.items()}
    strategies = [s for s in arena.strategy if s.name in scores]
    baselines = [s.name for s in strategies if s.baseline]
    best = max(baselines, key=lambda name: mean(counts[name]), default=None)
    config = arena.config(track, arena.strategy[0], 0, Path("data.h5"), None)
    targets, budget = config.targets(), config.budget.simulations
    rows = []
    for strategy in strategies:
        own = scores[strategy.name]
        row: Report = {"name": strategy.name, "what": strategy.what, "baseline": strategy.baseline}
        for figure in ("counted", "hits", "simulations", "seconds"):
            row[figure] = round(mean(getattr(s.last, figure) for s in own), 1)
        for figure in ("novel", "realistic"):
            row[figure] = round(mean(getattr(s, figure) for s in own), 1)
        tens = [s.until_ten for s in own]
        row["until_ten"] = None if None in tens else mean(t for t in tens if t is not None)
        row["per_100_simulations"] = _rate(100, own, "simulations")
        row["per_minute"] = _rate(60, own, "seconds")
        if best is not None and not strategy.baseline:
            row["ratio"] = ratio(counts[strategy.name], counts[best])
        row["runs"] = [[[s.simulations, round(s.seconds, 1), s.hits, s.counted] for s in one.steps] for one in own]
        rows.append(row)
    return {
        "name": track.name,
        "what": track.what,
        "targets": [str(target) for target in targets],
        "data": _data(arena, track, budget),
        "seeds": len(next(iter(scores.values()))),
        "best_baseline": best,
        "strategies": rows,
    }


def _data(arena: Arena, track: Track, budget: int) -> str:
    """What was known, and what could be spent, in words."""
    data = arena.data_of(track)
    out = [describe(name, (ends.min, ends.max)) for name, ends in data.without.items()]
    words = f"{data.simulated} of {data.count} phase fields were simulated before"
    words += f", none has {' or '.join(out)}" if out else ""
    words += f", and these {data.simulated} count" if data.charged else ""
    return f"{words}; {budget} simulations could be spent{' on top' if data.charged else ''}."


def write_page(report: Report, stem: Path, header: str = "") -> None:
    """STEM.json, STEM.png and STEM.md; `header` says where and when the figures were made."""
    with atomic_path(stem.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps({"header": header, **report}, indent=1) + "\n")
    with atomic_path(stem.with_suffix(".png")) as temporary:
        _draw(report, temporary)
    with atomic_path(stem.with_suffix(".md")) as temporary:
        temporary.write_text(page(report, stem.name, header), encoding="utf-8")


def page(report: Report, name: str, header: str = "") -> str:
    """The page: who wins comes first."""
    import tomli_w

    parts = [
        "# The arena",
        "\n".join(verdicts(report)),
        INTRO.format(header=f"{header}\n" if header else "", name=name),
    ]
    for track in report["tracks"]:
        best = f" The best baseline is {track['best_baseline']}." if track["best_baseline"] else ""
        seeds = "One seed" if track["seeds"] == 1 else f"Means over {track['seeds']} paired seeds"
        lines = [
            f"## {track['name']}: {track['what']}",
            "",
            f"{'; '.join(track['targets'])}. {track['data']} {seeds}.{best}",
            "",
            "| strategy | " + " | ".join(COLUMNS) + " |",
            "|---|" + "---|" * len(COLUMNS),
        ]
        for row in track["strategies"]:
            ten = "" if row["until_ten"] is None else f"{row['until_ten']:.0f}"
            lines.append(
                f"| {row['name']} | {row['counted']:g} | {row['hits']:g} | {row['novel']:g} | {row['realistic']:g} | "
                f"{row['simulations']:g} | {row['per_100_simulations']:g} | {ten} | {row['seconds']:.0f} | "
                f"{row['per_minute']:g} | {_ratio(row)} |"
            )
        parts.append("\n".join(lines))
    names = [f"- {row['name']}: {row['what']}" for row in report["tracks"][0]["strategies"]] if report["tracks"] else []
    common = "\n".join(f"    {line}".rstrip() for line in tomli_w.dumps(report["campaign"]).splitlines())
    return "\n\n".join([*parts, "## Strategies", "\n".join(names), "All campaigns have", common]) + "\n"


def verdicts(report: Report) -> list[str]:
    """One line a track: the first of ours, which is the product as it is, beside the best baseline."""
    lines = []
    for track in report["tracks"]:
        ours, theirs = ([r for r in track["strategies"] if r["baseline"] is kind] for kind in (False, True))
        if not ours or not theirs:
            continue
        a, b, best = ours[0], max(theirs, key=_count), max(ours, key=_count)
        if a["counted"] == b["counted"]:
            said = f"no winner, {a['name']} and {b['name']} both give {a['counted']:g} designs that count"
        else:
            first, second = (a, b) if a["counted"] > b["counted"] else (b, a)
            kind = "the baseline " if first is b else ""
            said = f"**{kind}{first['name']} wins**, {first['counted']:g} designs that count against "
            said += f"{second['counted']:g} of {second['name']}"
        said += f" ({best['name']}: {best['counted']:g})" if best["counted"] > a["counted"] else ""
        quick = max(theirs, key=lambda row: row["per_minute"])
        if quick["per_minute"] > a["per_minute"]:
            said += f"; **by time the baseline {quick['name']} wins**, {quick['per_minute']:g} a minute against "
            said += f"{a['per_minute']:g}"
        lines.append(f"- {track['name']}, {track['what']}: {said}.")
    return lines


def _count(row: Report) -> float:
    counted: float = row["counted"]
    return counted


def _rate(unit: float, own: Sequence[Scored], paid: str) -> float:
    """Designs that count for so many simulations, or seconds; 0 where none was spent."""
    return round(unit * sum(s.last.counted for s in own) / max(sum(getattr(s.last, paid) for s in own), 1e-9), 2)


def _ratio(row: Report) -> str:
    if "ratio" not in row:
        return ""
    if row["ratio"] is None:
        return "none to compare" if row["counted"] == 0 else "it has none"
    value, low, high = row["ratio"]
    return f"{value:.2f} ({low:.2f} to {high:.2f})" if len(row["runs"]) > 1 else f"{value:.2f}"


def _draw(report: Report, path: Path) -> None:
    """Designs that count against simulations, above, and seconds, below; a column a track, means over seeds."""
    from matplotlib.figure import Figure

    tracks = report["tracks"]
    figure = Figure(figsize=(2.6 * max(len(tracks), 1) + 1.6, 5.2), layout="constrained")
    axes = figure.subplots(2, max(len(tracks), 1), squeeze=False)
    for column, track in enumerate(tracks):
        for number, row in enumerate(track["strategies"]):
            for line, figure_of in enumerate((0, 1)):
                ends = [run[-1][figure_of] for run in row["runs"]]
                at = np.linspace(0, max(ends), 200)
                curves = [_held(at, [s[figure_of] for s in run], [s[3] for s in run]) for run in row["runs"]]
                style = "--" if row["baseline"] else "-"
                axes[line, column].plot(at, np.mean(curves, axis=0), style, color=f"C{number}", label=row["name"])
        axes[0, column].set(title=track["name"], xlabel="simulations", ylim=(0, None))
        axes[1, column].set(xlabel="seconds", ylim=(0, None), xscale="log", xlim=(1, None))
    for line in axes:
        line[0].set_ylabel("designs that count")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", frameon=False)
    figure.savefig(path, format="png", dpi=110)


def _held(at: Any, x: Sequence[float], y: Sequence[float]) -> Any:
    """A stair: the last value reached."""
    return np.asarray(y)[np.maximum(np.searchsorted(x, at, side="right") - 1, 0)]


COLUMNS = (
    "count",
    "confirmed",
    "novel",
    "realistic",
    "simulations",
    "count per 100 simulations",
    "until ten",
    "seconds",
    "count a minute",
    "times the best baseline",
)

INTRO = """{header}
A strategy is a campaign with other settings: the same targets, simulator, initial data and seeds, and the same budget
of simulations for all. A design *counts* if physics confirmed it and it is *novel* (it differs from every simulated
image of the initial data in 10 % of the pixels or more, at the best symmetric copy and translation), *realistic* (a
likeness of 0.95 or more to phase fields, which 95 of 100 of these have: docs/likeness.md) and *distinct* (from those
of its target that counted before it, as a campaign decides). *Confirmed*, *novel* and *realistic* count designs without
the other rules. *Until ten*: simulations after which ten counted, in all seeds.
*Seconds* are those of the campaign on a machine shared with other work, the first training included, though strategies
that would train the same network shared it. *Times the best baseline*: designs that count by those of the best
baseline of the track, with the 95 % interval of a paired bootstrap over seeds; the best was chosen by the same figures,
which favours it, and few seeds make intervals that say little.

![Designs that count]({name}.png)"""
