"""The samples of a campaign: each image simulated once, paid for once, and committed before it is used."""

import hashlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from janus_al import dataset
from janus_al.errors import DatasetError
from janus_al.identity import canonical_hash
from janus_al.material import Material
from janus_al.samples import Samples, concatenate, content_hash
from loop import CREATED_BY
from loop.campaign.config import Budget
from loop.campaign.journal import Event, Journal, charged, committed, probed, spent_on
from loop.simulation.rows import result_at, to_samples
from loop.simulation.simulate import Execution, simulate_unordered
from simulators import Failure, Result

COMMIT = 2.0
"""seconds between two commits; a kill loses no more than these and what is in flight"""


class Ledger:
    """Shards, what they hold, and what of the budget is spent; opened from the journal."""

    def __init__(
        self,
        folder: Path,
        journal: Journal,
        material: Material,
        budget: Budget,
        generated: bool,
        seed: int = 0,
        pixel: str = "",
    ) -> None:
        """Its parameters are what a campaign's configuration says of its samples; `pixel` goes into every shard."""
        self.folder, self.journal, self.material = folder, journal, material
        self.price = len(material.physics)
        self.budget, self.generated, self.seed, self.pixel = budget, generated, seed, pixel
        self._shards: list[tuple[int, bool, Samples]] = []
        self._known: dict[str, tuple[Samples, int]] = {}
        self._failed: set[str] = set()
        self.tried: dict[str, int] = {}
        """canonical hashes of all images whose simulation was tried, and in which round first"""
        for event in journal.of("shard"):
            self._remember(event["round"], _read_shard(folder, event), event["failed"], event["seconds"])

    def tried_before(self, number: int) -> frozenset[str]:
        """Those of them tried before a round."""
        return frozenset(key for key, first in self.tried.items() if first < number)

    @property
    def spent(self) -> int:
        """Simulations paid for, failed ones among them."""
        return spent_on(charged(self.journal.events, self.generated))

    def spent_in(self, number: int) -> int:
        """Simulations that a round paid for."""
        return spent_on([e for e in charged(self.journal.events, self.generated) if e["round"] == number])

    @property
    def left(self) -> int:
        """Simulations left, for whole images."""
        return self._whole(self.budget.simulations - self.spent)

    @property
    def probes_left(self) -> int:
        """Simulations left for probes."""
        return self._whole(self.budget.probes - spent_on(probed(self.journal.events)))

    def _whole(self, simulations: int) -> int:
        return max(simulations // self.price * self.price, 0)

    def simulate(
        self,
        images: Sequence[NDArray[np.uint8]],
        number: int,
        origin: str,
        keep: int,
        execution: Execution,
        progress: Callable[[str, int, int], None],
    ) -> list[Result | None]:
        """Results of images, in order; None where the budget, of which `keep` is to be left, or every physics refused.

        An image costs a simulation for each physics, once, whoever paid for it: an earlier round, or a killed attempt
        at this one.
        """
        hashes, new, probes = [content_hash(i) for i in images], dict[str, NDArray[np.uint8]](), origin == "probe"
        left = self.probes_left if probes else self.left - keep
        for key, image in zip(hashes, images, strict=True):
            if key not in self._known and key not in self._failed and (len(new) + 1) * self.price <= left:
                new[key] = image
        arrived: dict[str, Result | Failure] = {}
        count, began = 0, time.perf_counter()

        def commit() -> None:
            nonlocal began
            good = {key: result for key, result in arrived.items() if isinstance(result, Result)}
            bad = [
                {"hash": key, "canonical": self._canonical(new[key]), "reason": why}
                for key, result in arrived.items()
                for why in ([result.reason] if isinstance(result, Failure) else result.failures.values())
            ]
            samples = None
            if good:
                meta = {"origin": origin.encode(), "round": number, "seed": self.seed}
                samples = to_samples([new[key] for key in good], list(good.values()), self.material, **meta)
            if arrived:
                cost = len(arrived) * self.price
                self.append(number, samples, bad, time.perf_counter() - began, cost, probes)
            arrived.clear()
            began = time.perf_counter()

        try:
            for results in simulate_unordered(new, self.material, execution, COMMIT):
                arrived |= results
                count += len(results)
                if results:
                    progress("simulation", count, len(new))
                if time.perf_counter() - began >= COMMIT:
                    commit()
        finally:
            commit()
        return [self.result(key) if key in self._known else None for key in hashes]

    def append(
        self,
        number: int,
        samples: Samples | None,
        failed: list[dict[str, str]],
        seconds: float = 0,
        simulations: int = 0,
        probes: bool = False,
    ) -> None:
        """Commit samples as an immutable shard, then in the journal; `simulations` is what they cost, `probes` whom."""
        name, digest = None, None
        if samples is not None:
            samples = replace(samples, pixel=samples.pixel or self.pixel)
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
            simulations=simulations,
            probes=probes,
            failed=failed,
            seconds=seconds,
        )
        self._remember(number, samples, failed, seconds)

    def samples(self, through: float = math.inf) -> Samples:
        """All samples, or those of the rounds `through` one; an image both unlabelled and simulated is simulated.

        What a round simulated here stands in the order of its hashes: that in which it came back says nothing.
        """
        shards = [shard for shard in self._shards if shard[0] <= through]
        everything = concatenate([samples for _, _, samples in shards])
        place = [(number, not here) for number, here, samples in shards for _ in range(len(samples))]
        rows: dict[bytes, int] = {}
        for row, key in enumerate(everything.hashes):
            if key not in rows or (everything.simulated[row] and not everything.simulated[rows[key]]):
                rows[key] = row
        # Python's sort is stable: rows that were not simulated here keep their order.
        order = sorted(rows.values(), key=lambda r: (*place[r], b"" if place[r][1] else everything.hashes[r]))
        return everything.take(np.array(order))

    def row(self, key: str) -> tuple[Samples, int]:
        """A simulated image's shard and its row there.

        Raises:
            DatasetError: no shard has it, so that the journal, which names it, is damaged.
        """
        if key not in self._known:
            raise DatasetError(
                f"{self.journal.path}: damaged; it names the image {key:.12}..., which no shard has; restore it "
                "from a copy"
            )
        return self._known[key]

    def result(self, key: str) -> Result:
        """What is known of a simulated image."""
        return result_at(*self.row(key))

    def image(self, key: str) -> NDArray[np.uint8]:
        """A simulated image."""
        samples, row = self.row(key)
        return samples.image[row]

    def _canonical(self, image: NDArray[np.uint8]) -> str:
        return canonical_hash(image, self.material.boundary)

    def _remember(self, number: int, samples: Samples | None, failed: list[dict[str, str]], seconds: float) -> None:
        for entry in failed:
            self._failed.add(entry["hash"])
            self.tried.setdefault(entry.get("canonical") or entry["hash"], number)
        if samples is not None:
            self._shards.append((number, seconds > 0, samples))
            for row in np.flatnonzero(samples.simulated):
                self._known.setdefault(samples.hashes[row].decode(), (samples, int(row)))
                self.tried.setdefault(self._canonical(samples.image[row]), number)


def _read_shard(folder: Path, event: Event) -> Samples | None:
    if event["file"] is None:
        return None
    committed(folder, event)
    return dataset.read(folder / event["file"])
