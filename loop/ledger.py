"""The samples of a campaign: each image simulated once, paid for once, and committed before it is used."""

import hashlib
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from janus_al import dataset
from janus_al.dataset import DatasetError, Samples, content_hash
from janus_al.identity import canonical_hash
from loop import CREATED_BY
from loop.candidates import Result, result_of
from loop.journal import Event, Journal
from loop.simulate import TIMEOUT, simulate, to_samples
from simulators import Boundary

CHUNK = 16
"""simulations between two commits; a kill loses no more"""


class Ledger:
    """Shards, what they hold, and what of the budget is spent; opened from the journal."""

    def __init__(
        self,
        folder: Path,
        journal: Journal,
        phase_conductivity: Sequence[float],
        boundary: Boundary,
        budget: int,
        generated: bool,
    ) -> None:
        self.folder, self.journal = folder, journal
        self.phases, self.boundary = phase_conductivity, boundary
        self.budget, self.generated = budget, generated
        self._shards: list[tuple[int, Samples]] = []
        self._known: dict[str, tuple[Samples, int]] = {}
        self._failed: set[str] = set()
        self.tried: set[str] = set()
        """canonical hashes of all images whose simulation was tried"""
        for event in journal.of("shard"):
            self._remember(event["round"], _read_shard(folder, event), event["failed"])

    @property
    def spent(self) -> int:
        """Simulations paid for, failed ones among them."""
        return sum(paid(event, self.generated) for event in self.journal.of("shard"))

    def spent_in(self, number: int) -> int:
        """Simulations that a round paid for."""
        return sum(paid(e, self.generated) for e in self.journal.of("shard") if e["round"] == number)

    @property
    def left(self) -> int:
        """Simulations left."""
        return max(self.budget - self.spent, 0)

    def simulate(
        self,
        images: Sequence[NDArray[np.uint8]],
        number: int,
        origin: str,
        seed: int,
        solver: str,
        executor: Executor,
        progress: Callable[[str, int, int], None],
        timeout: float = TIMEOUT,
    ) -> list[Result | None]:
        """Properties and sensitivities of images, in order; None where the budget or the physics refused.

        An image costs once, whoever paid for it: an earlier round, or a killed attempt at this one.
        """
        hashes, new, left = [content_hash(i) for i in images], dict[str, NDArray[np.uint8]](), self.left
        for key, image in zip(hashes, images, strict=True):
            if key not in self._known and key not in self._failed and len(new) < left:
                new[key] = image
        todo = list(new.values())
        for start in range(0, len(todo), CHUNK):
            chunk, began = todo[start : start + CHUNK], time.perf_counter()
            good, bad = [], []
            for count, result in enumerate(simulate(chunk, self.phases, solver, executor, self.boundary, timeout)):
                if isinstance(result, str):
                    keys = {"hash": content_hash(chunk[count]), "canonical": self._canonical(chunk[count])}
                    bad.append({**keys, "reason": result})
                else:
                    good.append((chunk[count], result))
                progress("simulation", start + count + 1, len(todo))
            samples = None
            if good:
                simulated, results = [i for i, _ in good], [r for _, r in good]
                meta = {"origin": origin.encode(), "round": number, "seed": seed}
                samples = to_samples(simulated, results, self.phases, **meta)
            self.append(number, samples, bad, time.perf_counter() - began)
        return [self.result(key) if key in self._known else None for key in hashes]

    def append(self, number: int, samples: Samples | None, failed: list[dict[str, str]], seconds: float = 0) -> None:
        """Commit samples as an immutable shard, then in the journal."""
        name, digest = None, None
        if samples is not None:
            name = f"samples/r{number:04d}-{samples.digest()[:12]}.h5"
            dataset.write(self.folder / name, samples, CREATED_BY)
            digest = hashlib.sha256((self.folder / name).read_bytes()).hexdigest()
        self.journal.append(
            "shard",
            round=number,
            file=name,
            sha256=digest,
            samples=0 if samples is None else len(samples),
            simulated=0 if samples is None else int(samples.simulated.sum()),
            failed=failed,
            seconds=seconds,
        )
        self._remember(number, samples, failed)

    def samples(self, through: float = math.inf) -> Samples:
        """All samples, or those of the rounds `through` one; an image both unlabelled and simulated is simulated."""
        everything = dataset.concatenate([samples for number, samples in self._shards if number <= through])
        rows: dict[bytes, int] = {}
        for row, key in enumerate(everything.hashes):
            if key not in rows or (everything.simulated[row] and not everything.simulated[rows[key]]):
                rows[key] = row
        return everything.take(np.array(sorted(rows.values())))

    def row(self, key: str) -> tuple[Samples, int]:
        """A simulated image's shard and its row there."""
        return self._known[key]

    def result(self, key: str) -> Result:
        """A simulated image's properties and sensitivities."""
        return result_of(*self.row(key))

    def image(self, key: str) -> NDArray[np.uint8]:
        """A simulated image."""
        samples, row = self.row(key)
        return samples.image[row]

    def _canonical(self, image: NDArray[np.uint8]) -> str:
        return canonical_hash(image, self.boundary)

    def _remember(self, number: int, samples: Samples | None, failed: list[dict[str, str]]) -> None:
        for entry in failed:
            self._failed.add(entry["hash"])
            self.tried.add(entry.get("canonical", entry["hash"]))
        if samples is not None:
            self._shards.append((number, samples))
            for row in np.flatnonzero(samples.simulated):
                self._known.setdefault(samples.hashes[row].decode(), (samples, int(row)))
                self.tried.add(self._canonical(samples.image[row]))


def paid(shard: Event, generated: bool) -> int:
    """What a shard was charged: its simulations and failures, unless they are a source dataset's."""
    return int(shard["simulated"]) + len(shard["failed"]) if shard["round"] > 0 or generated else 0


def _read_shard(folder: Path, event: Event) -> Samples | None:
    if event["file"] is None:
        return None
    path = folder / event["file"]
    if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() != event["sha256"]:
        raise DatasetError(f"{path}: damaged; its bytes are not those the journal recorded; restore it from a copy")
    return dataset.read(path)
