"""How all campaigns of a folder stand: read when files have changed, and told from memory to however many ask."""

import contextlib
import hashlib
import json
import math
import threading
import time
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_core import from_json

from loop.campaign.journal import read_events
from loop.output.projections import status
from loop.serve import shelf
from loop.serve.jobs import Job, Jobs, held
from loop.serve.trust import check_code

REST = 0.5
"""seconds for which what was seen is told"""
SHARE = 20
"""a campaign that took long to read rests so many times as long"""
TRUTH = ("campaign.toml", "journal.jsonl")
WATCHED = (*TRUTH, "report.html", "designs")
LEFT_OUT = ("dataset", "report", "samples")
"""of a status: paths of this machine, and what nobody asks"""
KEPT = 200
"""pages that are kept while nothing changes"""
OURS, STOPPED = "janus-al: ", "janus-al: interrupted"
"""how a command's last word begins"""
EMPTY = {"reason": None, "simulations": None, "rounds": 0, "rounds_budget": None, "has_report": False}
LISTS = ("targets", "designs", "rounds_table", "unconfirmed", "models", "can")
"""what is told of a campaign of which nothing is known yet"""


class Described(BaseModel):
    """What is told of a design's file; one of another shape is taken for one that is not written yet."""

    target: dict[str, Any]
    properties: dict[str, float]
    units: dict[str, str] = {}
    verdict: str = ""
    certificate: dict[str, Any] | None = None
    likeness: float | None = None
    to_limit: float | None = None
    features: dict[str, float | str] = {}
    lineage: dict[str, Any] = {}
    solver: dict[str, Any] = {}
    files: dict[str, dict[str, str]] = {}


@dataclass(frozen=True)
class Seen:
    """All campaigns at one moment.

    Attributes:
        campaigns: what is told of each, by name; those that changed last come first.
        mark: changes when anything does.
        kept: what was made of it, by whatever it is, so that it is made once.
    """

    campaigns: Mapping[str, dict[str, Any]]
    mark: str
    kept: dict[str, bytes] = field(default_factory=dict)

    def once(self, key: str, make: Callable[[], bytes]) -> bytes:
        """What `make` makes, made the first time it is asked for."""
        found = self.kept.get(key)
        if found is None:
            found = make()
            if len(self.kept) >= KEPT:
                self.kept.clear()
            self.kept[key] = found
        return found


class Board:
    """The campaigns of a folder."""

    def __init__(self, root: Path, jobs: Jobs, trust: bool = False) -> None:
        self.root, self.jobs, self.trust = root, jobs, trust
        self.turn = threading.Lock()
        self.known: dict[str, tuple[object, float, dict[str, Any]]] = {}
        self.seen, self.at = Seen({}, ""), -math.inf

    def fresh(self) -> Seen | None:
        """What was seen just now, if it was."""
        return self.seen if time.monotonic() - self.at < REST else None

    def look(self, again: bool = False) -> Seen:
        """What is to be seen; `again` where something was just changed."""
        with self.turn:
            if again or (seen := self.fresh()) is None:
                found = {name: self._campaign(name, again) for name in self._names()}
                self.known = {name: self.known[name] for name in found}
                ordered = dict(sorted(found.items(), key=lambda item: (-item[1]["changed"], item[0])))
                mark = hashlib.sha256(json.dumps(ordered).encode()).hexdigest()[:24]
                seen = self.seen if mark == self.seen.mark else Seen(ordered, mark)
                self.seen, self.at = seen, time.monotonic()
            return seen

    def _names(self) -> set[str]:
        found = {path.name for path in self.root.iterdir() if (path / TRUTH[0]).is_file()}
        return {n for n in found | set(self.jobs.names()) if _fine(n) and not (self.root / n).is_symlink()}

    def _campaign(self, name: str, again: bool) -> dict[str, Any]:
        job, stats = self.jobs.alive(name), []
        for file in WATCHED:
            try:
                stat = (self.root / name / file).lstat()
                stats.append((stat.st_mtime_ns, stat.st_size, stat.st_ino))
            except OSError:
                stats.append((0, 0, 0))
        key = (stats, job, held(self.root / name), self.jobs.said(name)[-1:])
        before, rested, told = self.known.get(name, (None, 0.0, {}))
        if key != before and (again or before is None or time.monotonic() >= rested):
            began = time.monotonic()
            told = {"name": name, "changed": max(s[0] for s in stats[: len(TRUTH)]) / 1e9, **self._told(name, job)}
            ended = time.monotonic()
            self.known[name] = key, ended + SHARE * (ended - began), told
        return told

    def _told(self, name: str, job: Job | None) -> dict[str, Any]:
        folder, said = self.root / name, self.jobs.said(name)
        doing = {"started_here": job is not None, "stopping": bool(job and job.told), "said": said}
        empty: dict[str, Any] = {**EMPTY, **{key: [] for key in LISTS}}
        if not (folder / TRUTH[0]).is_file():
            if job:
                return {**empty, **doing, "state": "starting", "can": ["stop"]}
            why = next((line for line in reversed(said) if line.startswith(OURS)), STOPPED)
            if why.startswith(STOPPED):
                return {**empty, **doing, "state": "interrupted", "can": ["resume"]}
            return {**empty, **doing, "state": "refused", "reason": why.removeprefix(OURS)}
        try:
            table = tomllib.loads(shelf.read(self.root, name, TRUTH[0]).decode())
            if not self.trust:
                check_code(table)
            if (folder / TRUTH[1]).exists():
                shelf.opened(self.root, name, TRUTH[1]).close()
            found = status(folder)
            rounds = [e for e in read_events(folder / TRUTH[1]) if e["event"] == "round"]
        except Exception as error:  # a folder of which nothing is known may hold anything; its page says what
            why = " ".join(str(error).replace(f"{self.root}/", "").split())[:500]
            return {**empty, **doing, "state": "unreadable", "reason": why or type(error).__name__}
        state = "starting" if job and found["state"] == "interrupted" else found["state"]
        reason = None if state in {"interrupted", "starting"} else found["reason"]
        designs = [{**self._design(name, d["name"]), "target": d["target"]} for e in rounds for d in e["designs"]]
        can = [] if state in {"done", "stopped"} else ["stop"] if job else ["resume"] if state == "interrupted" else []
        kept = {key: value for key, value in found.items() if key not in LEFT_OUT}
        whole = {"rounds_budget": table["budget"]["rounds"], "has_report": (folder / "report.html").is_file()}
        return {**kept, **whole, **doing, "state": state, "reason": reason, "designs": designs, "can": can}

    def _design(self, name: str, design: str) -> dict[str, Any]:
        """What a design's own file says, once all it vouches for is written, and the names of all its files."""
        found: dict[str, Any] = {"name": design, "files": []}
        with contextlib.suppress(OSError, ValueError):
            data = from_json(shelf.read(self.root, name, "designs", design, "design.json"), allow_inf_nan=False)
            told = Described.model_validate(data).model_dump()
            if not all(about.get("sha256") for about in told["files"].values()):
                return found  # its folder is claimed, its files are being written
            found |= {**told, "files": ["/".join(way) for way in shelf.files(self.root, name, "designs", design)]}
            found |= {
                "asked": told["target"],
                "holds": {n: about.get("holds", "") for n, about in told["files"].items()},
            }
        return found


def _fine(name: str) -> bool:
    try:
        return bool(shelf.campaign_name(name))
    except ValueError:
        return False
