"""MLflow as a projection: what a campaign's journal, or a tuning study, says, as the runs that show it."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from janus_al.files import MODEL
from loop.campaign.journal import Event, charged, end_of, read_events, spent_on
from loop.files.lock import is_locked
from loop.output.delivery import Point, Run, SyncResult, deliver


def sync(folder: Path, deadline: float | None = None, register: str | None = None) -> SyncResult:
    """Bring MLflow up to date with a campaign, which is under way while a process holds its lock.

    A parent run stands for the campaign, a child for each round with a model (round 0: the first training). The model
    that a finished campaign ended with is shown as one that MLflow serves, and registered by the name of `register`.
    """
    return deliver(folder, lambda: campaign_runs(folder), deadline, register)


def campaign_runs(folder: Path) -> tuple[str, list[Run]]:
    """A campaign's identity and the runs that show it."""
    from loop.campaign.toml import load_stored

    events = list(read_events(folder / "journal.jsonl"))
    begun = next((e for e in events if e["event"] == "campaign"), None)
    if begun is None:
        return "", []
    config, key = load_stored(folder), str(begun["campaign_id"])
    end = end_of(events)
    finished = end is not None
    status = "FINISHED" if finished else "RUNNING" if is_locked(folder) else "KILLED"
    rounds = {e["round"]: e for e in events if e["event"] == "round"}
    trained = {e["round"]: e for e in events if e["event"] == "trained"}
    words = "; ".join(f"{t.name}: {t}, {t.designs} designs" for t in config.targets())
    wanted = {"designs_wanted": sum(t.designs for t in config.targets())}
    paid = charged(events, config.dataset.generate is not None)
    documents = ["campaign.toml", *(["report.html"] if finished else [])]
    pictures = [
        str(path.relative_to(folder))
        for kind in ("image.png", "design.png", "slices.png", "design.json")
        for path in sorted(folder.glob(f"designs/*/{kind}"))
        if finished
    ]
    units = {f"unit.{n}": unit for n in config.material.simulated if (unit := config.material.unit(n))}
    parent = Run(
        kind="campaign",
        number="-",
        name=str(begun["name"]),
        start=begun["time"],
        end=events[-1]["time"],
        status=status,
        params={**_flat(config.model_dump(mode="json", exclude={"target"})), "targets": words, **units},
        points=[
            *_points({**wanted, "simulations_budget": config.budget.simulations}, begun["time"]),
            *_course(begun, rounds, trained, paid),
            *_designs(rounds),
        ],
        tags={"state": end["state"], "reason": end["reason"]} if end else {"state": status.lower(), "reason": "-"},
        dataset=(str(begun["source"]["path"]), str(begun["source"]["digest"])),
        artifacts=_files(folder, [(d, "") for d in documents] + [(p, str(Path(p).parent)) for p in pictures]),
        model=_last_model(folder, events) if finished else None,
    )
    numbers = sorted({*rounds, *({0} & set(trained))})
    return key, [parent, *(_round_run(folder, n, rounds.get(n), trained.get(n)) for n in numbers)]


def _last_model(folder: Path, events: Sequence[Event]) -> tuple[str, str] | None:
    """The model that a campaign ended with: of all, as worse ones are not used, none the worse."""
    last = next((e for e in reversed(events) if e["event"] == "trained"), None)
    if last is None or not all((folder / last["model"] / name).is_file() for name in MODEL):
        return None
    made = [e["sha256"] for e in events if e["event"] in ("trained", "retrained") and e["round"] == last["round"]]
    return last["model"], made[-1]


def _course(
    begun: Event, rounds: Mapping[int, Event], trained: Mapping[int, Event], paid: Sequence[Event]
) -> list[Point]:
    """How a campaign went: a step a round, so that the last value is what it has reached."""
    points, designs, seconds = list[Point](), 0, 0.0
    for number in sorted({0, *rounds}):
        outcome, training = rounds.get(number), trained.get(number)
        at = (outcome or training or begun)["time"]
        until = [e for e in paid if e["round"] <= number]
        designs += len(outcome["designs"]) if outcome else 0
        begins = [e["seconds"] for e in (*until, training) if e]
        seconds += sum(outcome["seconds"].values() if outcome else begins)
        reached = {
            "designs": designs,
            "simulations": spent_on(until),
            "failures": sum(len(e["failed"]) for e in until),
            "seconds": seconds,
        }
        points += _points(reached, at, number)
    errors: dict[str, list[tuple[float, float, int]]] = {}
    for number, event in [*sorted(trained.items()), *sorted(rounds.items())]:
        told = {f"test.{k}": v for k, v in event.get("metrics", {}).items()}
        told |= {k: event[f"{k}_median"] for k in ("first_shot_error", "probe_error") if event["event"] == "round"}
        for name, value in told.items():
            if value is not None:
                errors.setdefault(name, []).append((value, event["time"], number))
    for name, course in errors.items():
        points += _points({f"{name}.first": course[0][0]}, course[0][1], course[0][2])
        points += [p for value, at, number in course for p in _points({f"{name}.last": value}, at, number)]
    return points


def _designs(rounds: Mapping[int, Event]) -> list[Point]:
    """Every property of every design, with bounds: a step a design, in order of acceptance."""
    points, step = list[Point](), 0
    table: dict[tuple[str, str], Any] = {}
    for _, event in sorted(rounds.items()):
        table |= {(row["hash"], row["target"]): row for row in event["candidates_table"]}
        for design in event["designs"]:
            step += 1
            found = table[design["hash"], design["target"]].get("final", {})
            points += _points({f"design.{name}": value for name, value in found.items()}, event["time"], step)
    return points


def _round_run(folder: Path, number: int, outcome: Event | None, trained: Event | None) -> Run:
    metrics: dict[str, Any] = {}
    params: dict[str, Any] = {}
    points = list[Point]()
    dataset, artifacts = None, list[tuple[str, str]]()
    ended = (outcome or trained or {})["time"]
    skipped = {"event", "round", "time", "weights", "dataset", "designs", "candidates_table"}
    for event in (outcome, trained):
        metrics |= _flat({k: v for k, v in (event or {}).items() if k not in skipped})
    if outcome is not None:
        metrics["designs"] = len(outcome["designs"])
    if trained is not None:
        params = {**trained["weights"], "model": trained["model"]}
        dataset = ("samples", trained["dataset"]["digest"])
        metrics |= {f"dataset_{k}": trained["dataset"][k] for k in ("samples", "simulated")}
        card = folder / trained["model"] / "model.json"
        if card.exists() and (trained.get("guard") or {"accepted": True})["accepted"]:
            points += losses(json.loads(card.read_text())["card"]["history"], trained["time"])
        artifacts = [(f"{trained['model']}/{f}", "model") for f in MODEL]
    return Run(
        kind="round",
        number=str(number),
        name=f"round {number}",
        start=ended,
        end=ended,
        status="FINISHED",
        params=params,
        points=[*_points(metrics, ended), *points],
        dataset=dataset,
        artifacts=_files(folder, artifacts),
    )


@dataclass(frozen=True)
class Trial:
    """A finished trial of a study."""

    number: int
    state: str
    """COMPLETE, PRUNED or FAIL"""
    start: float
    end: float
    params: Mapping[str, float]
    value: float | None
    judged: Mapping[int, float]
    """error by simulation, by stage"""
    history: Sequence[Mapping[str, float]]
    """losses by step"""
    steps: int
    """it was trained for"""


def log_study(
    folder: Path,
    key: str,
    settings: Mapping[str, Any],
    trials: Sequence[Trial],
    summary: Mapping[str, float],
    deadline: float | None = None,
) -> SyncResult:
    """Bring MLflow up to date with a tuning study: a parent run, a child for each finished trial.

    Args:
        folder: of the study.
        key: its identity, which a study done again does not share.
        settings: dataset (its digest), network, training, seed.
        trials: the finished ones, in order.
        summary: what the study has reached: best values, importances.
        deadline: see `deliver`.
    """
    return deliver(folder, lambda: (key, study_runs(folder.resolve().name, settings, trials, summary)), deadline)


def study_runs(
    name: str, settings: Mapping[str, Any], trials: Sequence[Trial], summary: Mapping[str, float]
) -> list[Run]:
    """The runs that show a study."""
    if not trials:
        return []
    dataset = ("samples", str(settings["dataset"]))
    common = _flat({k: v for k, v in settings.items() if k != "dataset"})
    ended = max(t.end for t in trials)
    parent = Run(
        kind="study",
        number="-",
        name=name,
        start=min(t.start for t in trials),
        end=ended,
        status="FINISHED",
        params=common,
        points=_points(summary, ended, len(trials)),
        dataset=dataset,
    )
    children = [
        Run(
            kind="trial",
            number=str(t.number),
            name=f"trial {t.number}",
            start=t.start,
            end=t.end,
            status="FINISHED" if t.state == "COMPLETE" else "KILLED",
            params={**common, **{f"training.{k}": v for k, v in t.params.items()}, "training.steps": t.steps},
            points=[
                *_points({} if t.value is None else {"value": t.value}, t.end),
                *(p for step, error in t.judged.items() for p in _points({"objective": error}, t.end, step)),
                *losses(t.history, t.end),
            ],
            tags={"state": t.state},
            dataset=dataset,
        )
        for t in trials
    ]
    return [parent, *children]


def losses(history: Sequence[Mapping[str, float]], at: float) -> list[Point]:
    """A training's losses at each check."""
    return [
        point
        for row in history
        for point in _points({f"train/{k}": v for k, v in row.items() if k != "step"}, at, int(row["step"]))
    ]


def _points(figures: Mapping[str, Any], at: float, step: int = 0) -> list[Point]:
    """Numbers as points; what is none, or not finite, is left out."""
    return [(k, float(v), at, step) for k, v in figures.items() if isinstance(v, int | float) and math.isfinite(v)]


def _files(folder: Path, wanted: Sequence[tuple[str, str]]) -> list[tuple[str, str, int]]:
    return [(path, place, (folder / path).stat().st_size) for path, place in wanted if (folder / path).is_file()]


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables as one level, keys joined by dots."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        elif value is not None:
            flat[prefix + key] = value
    return flat
