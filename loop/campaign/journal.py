"""The campaign's journal: one JSON object a line, appended and fsynced; the truth of its progress."""

import hashlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from janus_al.errors import DatasetError
from loop.campaign.events import checked

Event = dict[str, Any]


class Journal:
    """An append-only file of events. Opening it to write cuts off a last line that a crash tore."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.events = list(read_events(path))
        if path.exists():
            data = path.read_bytes()
            whole = data.rfind(b"\n") + 1
            if whole < len(data):
                with path.open("rb+") as file:
                    file.truncate(whole)
                    os.fsync(file.fileno())

    def append(self, event: str, **fields: Any) -> Event:
        """Write one event durably and return it."""
        entry = {"event": event, "time": time.time(), **fields}
        line = json.dumps(entry, allow_nan=False) + "\n"
        size = self.path.stat().st_size if self.path.exists() else 0
        try:
            with self.path.open("ab") as file:
                file.write(line.encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            with self.path.open("rb+") as file:
                file.truncate(size)
            raise
        self.events.append(entry)
        return entry

    def of(self, event: str) -> list[Event]:
        """All events of one kind, in order."""
        return [e for e in self.events if e["event"] == event]

    @property
    def end(self) -> Event | None:
        """See `end_of`."""
        return end_of(self.events)


def end_of(events: Sequence[Event]) -> Event | None:
    """The event that ended a campaign, unless it was extended since."""
    last = next((e for e in reversed(events) if e["event"] in {"finished", "extended"}), None)
    return last if last is not None and last["event"] == "finished" else None


def charged(events: Sequence[Event], generated: bool) -> list[Event]:
    """The shards whose simulations the budget paid for: all, but a source dataset's and the probes'."""
    shards = [e for e in events if e["event"] == "shard" and not e.get("probes")]
    return [e for e in shards if e["round"] > 0 or generated]


def probed(events: Sequence[Event]) -> list[Event]:
    """The shards of probes, which have a budget of their own."""
    return [e for e in events if e["event"] == "shard" and e.get("probes")]


def spent_on(shards: Sequence[Event]) -> int:
    """Simulations in shards, failed ones among them."""
    return sum(shard.get("simulations", shard["simulated"] + len(shard["failed"])) for shard in shards)


def proposed_as(events: Sequence[Event]) -> dict[tuple[str, str], tuple[int, Event]]:
    """Round and row of every simulated candidate by hash and target; a design's round may be later than its own."""
    rounds = [event for event in events if event["event"] == "round"]
    return {(row["hash"], row["target"]): (e["round"], row) for e in rounds for row in e["candidates_table"]}


def given_up(events: Sequence[Event], budget: Event) -> dict[str, str]:
    """Why targets were given up under a budget, by name."""
    found = [e["targets"] for e in events if e["event"] == "given_up" and e["budget"] == budget]
    return {name: reason for targets in found for name, reason in targets.items()}


def committed(folder: Path, event: Event) -> bytes:
    """The bytes of the file that an event vouches for.

    Raises:
        DatasetError: they are not those.
    """
    path = folder / event["file"]
    data = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(data).hexdigest() != event["sha256"]:
        raise DatasetError(
            f"{path}: lost or damaged; its bytes are not those the journal recorded; restore it from a copy"
        )
    return data


def read_events(path: Path) -> Iterator[Event]:
    """Events of a journal; a torn last line does not count, a torn line before it is damage.

    Raises:
        DatasetError: a line is damaged, is missing, or says what no campaign writes; see `loop.campaign.events`.
    """
    if not path.exists():
        return
    if not path.is_file():
        raise DatasetError(f"{path}: no file; restore the journal from a copy")
    try:
        yield from checked(path.read_bytes().split(b"\n")[:-1])
    except DatasetError as error:
        raise DatasetError(f"{path}: {error}") from None
