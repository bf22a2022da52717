"""The campaign: propose -> select -> simulate -> move the cut -> append -> retrain -> stop?

The only file that sees everything and the only mutable class. What it has done is in the journal, what it
has simulated in shards, what it has trained in models; everything else it derives from these. A round that
was killed is done again: its proposals are the same, and what it had already simulated is not paid twice.
"""

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from janus_al import checkpoint, dataset
from janus_al.dataset import Samples, content_hash
from janus_al.evaluation import evaluate
from janus_al.network import Janus
from janus_al.training import shrink_and_perturb, train
from loop import CREATED_BY
from loop.candidates import Candidate, Result, probe_targets, propose, row_of, shoot
from loop.config import CampaignConfig, ConfigError, dump_config, load_config
from loop.journal import Journal
from loop.ledger import Ledger
from loop.select import aligned_distance
from loop.targets import Target
from loop.verify import Check, accepts, verify
from simulators import choose

STAGES = {"generate": 0, "train": 1, "invert": 2}

Progress = Callable[[str, int, int], None]


class Campaign:
    """A campaign in its folder; one process at a time may `run` it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not (folder / "campaign.toml").is_file():
            raise ConfigError(
                f"{folder}: no campaign here; start one with `janus-al campaign run CONFIG --dir {folder}`"
            )
        self.config = load_config(folder / "campaign.toml")
        self.journal = Journal(folder / "journal.jsonl")
        self.targets = self.config.targets()
        self.phases = self.config.microstructure.phase_conductivity
        boundary = self.config.microstructure.boundary
        self.ledger = Ledger(folder, self.journal, self.phases, boundary, self.config.budget.simulations)
        self.seconds: dict[str, float] = {}
        side, execution = self.config.microstructure.size, self.config.execution
        self.solver = choose((side, side), 1, boundary) if execution.solver == "auto" else execution.solver
        self.check = Check(self.phases, self.solver, boundary, self.config.certify)

    def run(self, executor: Executor, device: str, progress: Progress, project: Callable[[], None]) -> str:
        """Go on until the targets are met or the budget is spent; returns 'done' or 'stopped'.

        `project` is called after the first training, after every round and at the end.
        """
        self.executor, self.device, self.progress = executor, device, progress
        if finished := self.journal.of("finished"):
            if self.journal.events[-1]["event"] != "projected":
                project()
            return finished[-1]["state"]
        self._begin()
        self._train(0, None)
        project()
        for number in range(1, self.config.budget.rounds + 1):
            if self._unmet() and self.ledger.left:
                self._round(number)
                project()
        unmet = [t.name for t, _ in self._unmet()]
        state = "stopped" if unmet else "done"
        what = "rounds" if self.ledger.left else "simulations"
        reason = f"{what} spent before {', '.join(unmet)}" if unmet else "targets met"
        self.journal.append("finished", state=state, reason=reason)
        project()
        return state

    # --- one round ---------------------------------------------------------------------------------------

    def _round(self, number: int) -> None:
        """One pass of the loop; a round that the journal knows is only replayed in the counts."""
        for event in self.journal.of("round"):
            if event["round"] == number:
                self.ledger.spent = event["spent"]
                return
        began, spent_before, self.seconds = time.perf_counter(), self.ledger.spent, {}
        model, card = checkpoint.load(self._model_folder(number - 1), self.device)
        candidates = self._propose(number, model, card)
        with self._clock("simulation"):
            shoot(
                candidates,
                lambda images: self._simulate(images, number, "candidate"),
                self.phases,
                self.config.loop.cut_steps,
            )
        designs = self._accept(candidates)
        goes_on = len(self._unmet(designs)) > 0 and number < self.config.budget.rounds and self.ledger.left > 0
        if goes_on:
            self._train(number, model)
        first = [c.target.error(c.trials[0].properties) for c in candidates if c.trials and not c.probe]
        probes = [c.target.error(c.trials[0].properties) for c in candidates if c.trials and c.probe]
        self.seconds["other"] = time.perf_counter() - began - sum(self.seconds.values())
        self.journal.append(
            "round",
            round=number,
            candidates=len([c for c in candidates if not c.probe]),
            probes=len(probes),
            first_shot_error_median=median(first) if first else None,
            probe_error_median=median(probes) if probes else None,
            probe_error_mean=sum(probes) / len(probes) if probes else None,
            hits=len([c for c in candidates if c.met and len(c.trials) == 1 and not c.probe]),
            simulations=self.ledger.spent - spent_before,
            spent=self.ledger.spent,
            seconds=self.seconds,
            designs=designs,
            candidates_table=[row_of(c) for c in candidates if c.trials],
        )

    def _propose(self, number: int, model: Janus, card: checkpoint.Card) -> list[Candidate]:
        """Candidates for every unmet target, and the probes."""
        settings, designs = self.config.loop, self.designs()
        with self._clock("inversion"):
            return propose(
                model,
                [(target, min(settings.candidates, missing)) for target, missing in self._unmet()],
                probe_targets(card, settings.probes),
                (self.config.seed, number, STAGES["invert"]),
                self.config.inversion,
                settings.swarm,
                self.ledger.tried_before(number),
                {
                    t.name: [self.ledger.image(d["hash"]) for d in designs if d["target"] == t.name]
                    for t in self.targets
                },
                self.phases,
                2 * settings.min_distance,
                lambda step, steps: self.progress("inversion", step, steps),
            )

    def _accept(self, candidates: Sequence[Candidate]) -> list[dict[str, Any]]:
        """New designs: candidates that meet their target, differ from its other designs, and pass verification."""
        accepted = list[dict[str, Any]]()
        for target, missing in self._unmet():
            have = [self.ledger.image(d["hash"]) for d in self.designs() if d["target"] == target.name]
            for candidate in candidates:
                if candidate.target is not target or not candidate.met or not missing:
                    continue
                image = candidate.image
                if have and aligned_distance(image, np.stack(have)).min() < self.config.loop.min_distance:
                    continue
                verified: dict[str, Any] = {}
                if self.check.needed:
                    with self._clock("verification"):
                        verified = verify(image, target, self.check, self.executor)
                    if not accepts(verified, target, self.check):
                        continue
                have.append(image)
                missing -= 1
                name = f"{target.name}-{len(have):02d}"
                accepted.append({"target": target.name, "name": name, "hash": content_hash(image), **verified})
        return accepted

    # --- samples and models ------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Copy the source, or generate and simulate one, as the shards of round 0."""
        if self.journal.of("campaign"):
            if self.config.dataset.generate is not None:
                shards = [e for e in self.journal.of("shard") if e["round"] == 0]
                self.ledger.spent = sum(e["simulated"] + len(e["failed"]) for e in shards)
            return
        settings, source = self.config.dataset, read_source(self.config)
        if source is None and settings.generate is not None:
            from simulators import generate

            size, seed = self.config.microstructure.size, self.config.seed
            images = generate(settings.generate.count, size, seed)
            with self._clock("simulation"):
                self._simulate(list(images[: settings.generate.simulated]), 0, "generated")
            tried = self.ledger.tried_before(1)
            rest = [image for image in images if content_hash(image) not in tried]
            if rest:
                unlabelled = dataset.unlabelled(
                    np.stack(rest), self.phases, self.ledger.boundary, origin=b"generated", seed=seed
                )
                self.ledger.append(0, unlabelled, [])
        elif source is not None and not self.journal.of("shard"):
            self.ledger.append(0, source, [])
        if settings.test is not None:
            with dataset.atomic_path(self.folder / "test.h5") as temporary:
                shutil.copyfile(settings.test, temporary)
        samples = self.ledger.samples()
        self.journal.append(
            "campaign",
            campaign_id=samples.digest()[:12] + f"-{time.time_ns():x}",
            name=self.config.name,
            seed=self.config.seed,
            source={
                "path": str(settings.source or "generated"),
                "digest": samples.digest(),
                "samples": len(samples),
                "simulated": int(samples.simulated.sum()),
            },
            versions={"janus-al": CREATED_BY},
        )

    def _train(self, number: int, previous: Janus | None) -> None:
        """Train the model of a round, from all samples, unless it exists already."""
        if any(e["round"] == number for e in self.journal.of("trained")):
            return
        folder, samples = self._model_folder(number), self.ledger.samples()
        seed = int(np.random.SeedSequence([self.config.seed, number, STAGES["train"]]).generate_state(1)[0])
        settings, training = self.config.loop, self.config.training
        start = None
        if previous is not None and settings.retrain == "warm":
            start = shrink_and_perturb(previous, seed, settings.shrink, settings.perturb)
            training = self.config.warm_training()
        with self._clock("training"):
            model, card = train(
                samples,
                self.config.network,
                training,
                seed,
                self.device,
                start,
                state=folder.with_suffix(".state"),
                progress=lambda step, steps: self.progress("training", step, steps),
            )
            checkpoint.save(folder, model, card)
        test = self.folder / "test.h5"
        self.journal.append(
            "trained",
            round=number,
            model=str(folder.relative_to(self.folder)),
            seconds=card.seconds,
            dataset={"samples": len(samples), "simulated": card.simulated, "digest": card.dataset_digest},
            weights={k: v for k, v in card.training.items() if k.startswith("l_")},
            metrics=_flat(evaluate(model, dataset.read(test))) if test.exists() else {},
        )

    def _model_folder(self, number: int) -> Path:
        return self.folder / "models" / f"r{number:04d}"

    @contextmanager
    def _clock(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began

    def _simulate(self, images: Sequence[NDArray[np.uint8]], number: int, origin: str) -> list[Result | None]:
        seed, timeout = self.config.seed, self.config.execution.timeout
        return self.ledger.simulate(images, number, origin, seed, self.solver, self.executor, self.progress, timeout)

    # --- what has been reached ---------------------------------------------------------------------------

    def designs(self) -> list[dict[str, Any]]:
        """Target, name, content hash and verification of every design, in order of acceptance."""
        return [d for e in self.journal.of("round") for d in e["designs"]]

    def _unmet(self, more: Sequence[dict[str, Any]] = ()) -> list[tuple[Target, int]]:
        """Targets with the number of designs still missing."""
        have = [d["target"] for d in [*self.designs(), *more]]
        return [(t, t.designs - have.count(t.name)) for t in self.targets if t.designs > have.count(t.name)]


def start(folder: Path, config: CampaignConfig) -> Campaign:
    """The campaign of a folder, made if there is none, refused if there is another.

    Raises:
        ConfigError: the folder's campaign has another configuration, or the source does not fit.
    """
    stored = folder / "campaign.toml"
    if not stored.is_file():
        read_source(config)
    elif load_config(stored).science() != config.science():
        raise ConfigError(f"{folder}: holds a campaign of another configuration; give another --dir, or resume it")
    for part in ("samples", "models"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for stale in [*folder.glob(".*.tmp"), *folder.glob("*/.*.tmp")]:
        stale.unlink()
    with dataset.atomic_path(stored) as temporary:
        temporary.write_text(dump_config(config))
    return Campaign(folder)


def read_source(config: CampaignConfig) -> Samples | None:
    """The source dataset, checked against the configuration; None if it is to be generated."""
    settings, wanted = config.dataset, config.microstructure
    for path in (settings.source, settings.test):
        if path is None:
            continue
        samples = dataset.read(path)
        side = samples.image.shape[1:]
        kind = (side, samples.phase_conductivity, samples.boundary)
        asked = ((wanted.size, wanted.size), wanted.phase_conductivity, wanted.boundary)
        if kind != asked:
            raise ConfigError(
                f"{path}: holds (size, phase_conductivity, boundary) {kind} but the configuration asks {asked}"
            )
    return None if settings.source is None else dataset.read(settings.source)


def _flat(figures: dict[str, Any], prefix: str = "") -> dict[str, float]:
    """Nested figures as one level, `kxx_r2` and so on."""
    flat: dict[str, float] = {}
    for name, value in figures.items():
        if isinstance(value, dict):
            flat |= _flat(value, prefix if name == "properties" else f"{prefix}{name}_")
        elif value is not None:
            flat[prefix + name] = value
    return flat
