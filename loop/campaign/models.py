"""The models of a campaign: each can be had again from shards and seed, so that none is lost for ever."""

import dataclasses
import functools
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from janus_al import checkpoint, dataset
from janus_al.checkpoint import Card
from janus_al.errors import DatasetError
from janus_al.evaluation import evaluate
from janus_al.fitting import Run, StateError
from janus_al.likeness import Likeness
from janus_al.memory import remembered
from janus_al.networks.janus import Janus
from janus_al.samples import Samples, concatenate
from janus_al.training import train
from loop.campaign.config import CampaignConfig
from loop.campaign.guard import PROBE, best_round, compare, grounds, verdict, words
from loop.campaign.journal import Journal
from loop.campaign.ledger import Ledger
from loop.simulation.progress import Progress

STAGE = 1
"""of a round's seeds, that of training"""
MEMORIES = 1000
"""images of a model to start from that stand for those it learned from"""


class Models:
    """A folder a model in `models/`, and an event of the journal for each."""

    def __init__(
        self,
        folder: Path,
        config: CampaignConfig,
        journal: Journal,
        ledger: Ledger,
        clock: Callable[[str], AbstractContextManager[None]],
    ) -> None:
        self.folder, self.config, self.journal, self.ledger, self.clock = folder, config, journal, ledger, clock
        self.device, self.progress = "cpu", Progress()

    def of(self, number: int) -> tuple[Janus, Card]:
        """The model of a round, 0 being the first; one that is lost or damaged is made again from shards and seed."""
        number = 0 if self.config.loop.retrain == "never" else number
        folder = self._folder(number)
        known = [e for kind in ("trained", "retrained") for e in self.journal.of(kind) if e["round"] == number]
        if not known:
            return self._first(number)
        try:
            return checkpoint.load(folder, self.device, known[-1].get("sha256"))
        except (DatasetError, FileNotFoundError) as error:
            stayed = not (known[0].get("guard") or {"accepted": True})["accepted"]
            again = f"training the model of round {number} again, from the shards and the seed"
            again = "taken from start/ again" if number == 0 and self.start is not None else again
            self.progress.say(f"{error}: {f'that of round {number - 1}, which stayed, again' if stayed else again}")
            # Whether it was accepted the journal says: another machine might not judge alike.
            model, card = self.of(number - 1) if stayed else self._new(number)
        self.journal.append("retrained", round=number, sha256=checkpoint.save(folder, model, card))
        return model, card

    def _first(self, number: int) -> tuple[Janus, Card]:
        """Make a round's model, unless the one before it is better, or knows all there is: then that stays."""
        guard: dict[str, Any] | None
        if number > 0 and not self._taught(number):
            (model, card), seconds = self.of(number - 1), 0.0
            guard = {"accepted": False}
        else:
            model, card = self._new(number)
            seconds = card.seconds if number or self.start is None else 0.0
            guard = self._guard(number, model) if number else None
        about: dict[str, Any] = {
            "seconds": seconds,
            "dataset": {"samples": len(card.images), "simulated": card.simulated, "digest": card.dataset_digest},
            "weights": {k: v for k, v in card.training.items() if k.startswith("l_")},
        }
        if guard:
            about["guard"] = guard
            self.progress.say(f"after round {number}: {words(guard)}")
            model, card = (model, card) if guard["accepted"] else self.of(number - 1)
        folder, test = self._folder(number), self._test()
        digest = checkpoint.save(folder, model, card)
        about["metrics"] = {} if test is None else _flat(evaluate(model, test))
        self.journal.append("trained", round=number, model=str(folder.relative_to(self.folder)), sha256=digest, **about)
        return model, card

    def _taught(self, number: int) -> bool:
        """Whether a round brought samples to train on."""
        shards = [e for e in self.journal.of("shard") if e["round"] == number and e["simulated"]]
        return any(self.config.has_samples or not e["probes"] for e in shards)

    def _guard(self, number: int, model: Janus) -> dict[str, Any]:
        """The verdict on a round's new model, as JSON."""
        where = grounds(self.ledger.samples(through=number), self._test(), self.config.training.validation)
        found = compare(self.of(number - 1)[0], model, where)
        if "test" in found and (best := best_round(self.journal.of("trained"))) not in (None, number - 1):
            found["best"] = compare(self.of(best)[0], model, {"test": where["test"]})["test"]
        return verdict(found)

    def _folder(self, number: int) -> Path:
        return self.folder / "models" / f"r{number:04d}"

    def _test(self) -> Samples | None:
        path = self.folder / "test.h5"
        return dataset.read(path) if path.exists() else None

    @property
    def start(self) -> str | None:
        """The SHA-256 of the model that the campaign starts from, if it does; its copy is in `start/`."""
        return next((e.get("start") for e in self.journal.of("campaign")), None)

    def _start(self) -> tuple[Janus, Card]:
        try:
            return checkpoint.load(self.folder / "start", self.device, self.start)
        except FileNotFoundError:
            raise DatasetError(f"{self.folder / 'start'}: the model to start from is lost; restore a copy") from None

    @functools.cached_property
    def likeness(self) -> Likeness | None:
        """The class that designs are compared with, once the campaign has begun.

        That of its first samples, unlabelled ones among them, or of the model to start from, whose card may have none.
        """
        if not self.config.has_samples:
            return self._start()[1].likeness
        return Likeness.of(self.ledger.samples(through=0).image, self.config.material.boundary)

    def _new(self, number: int) -> tuple[Janus, Card]:
        return self._start() if number == 0 and self.start is not None else self._train(number)

    def _samples(self, number: int) -> Samples:
        """What a round's model is trained on.

        Where the campaign has no first samples, what the model to start from remembers stands for them; probes are no
        part of them then: the models are compared on these.
        """
        samples = self.ledger.samples(through=number)
        if self.config.has_samples:
            return samples
        taught = samples.take(samples.meta["origin"] != PROBE)
        return concatenate([remembered(*self._start(), MEMORIES, self.config.seed), taught])

    def _train(self, number: int) -> tuple[Janus, Card]:
        folder = self._folder(number)
        folder.parent.mkdir(exist_ok=True)
        samples = self._samples(number)
        seed = int(np.random.SeedSequence([self.config.seed, number, STAGE]).generate_state(1)[0])
        training, start = self.config.training, None
        if number > 0 and self.config.loop.retrain == "warm":
            start = self.of(number - 1)[0]
            training = self.config.warm_training()
        state = folder.with_suffix(".state")

        def progress(step: int, steps: int) -> None:
            self.progress("training", step, steps)

        network, run = self.config.network.built, Run(self.device, state, progress)
        with self.clock("training"):
            try:
                model, card = train(samples, network, training, seed, run, start)
            except StateError as error:
                self.progress.say(f"{error}: dropped, training begins again")
                state.unlink()
                model, card = train(samples, network, training, seed, run, start)
        card = dataclasses.replace(card, likeness=self.likeness)
        if self.start is not None:
            # It still knows what the first model was trained on, and is probed over the same range; memories are no
            # simulations.
            (_, first), known = self._start(), self.ledger.samples(through=number)
            card = dataclasses.replace(
                card,
                images=[*dict.fromkeys([*first.images, *card.images])],
                property_range=first.property_range,
                simulated=int(known.simulated.sum()),
                dataset_digest=known.digest(),
            )
        return model, card


def _flat(figures: dict[str, Any], prefix: str = "") -> dict[str, float]:
    """Nested figures as one level, `kxx_r2` and so on."""
    flat: dict[str, float] = {}
    for name, value in figures.items():
        if isinstance(value, dict):
            flat |= _flat(value, prefix if name == "properties" else f"{prefix}{name}_")
        elif value is not None:
            flat[prefix + name] = value
    return flat
