"""Trials of a study: loss weights drawn by Optuna, a network trained with them, its inversions judged by physics.

A trial trains for a quarter of the steps first; if the error it reaches is worse than the median of the earlier trials
at that point, it is pruned. It is drawn from (seed, its number, the trials before it), so that one that was killed is
drawn again as it was; several that run side by side are drawn from the trials before all of them. The best are trained
once more from another seed: one training says little of weights with which another one may fail.
"""

import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from janus_al import dataset
from janus_al.fitting import Run, TrainingConfig, TrainingError
from janus_al.networks.janus import JanusConfig
from janus_al.samples import Samples
from janus_al.training import suited, train
from loop.design.doors import DoorError
from loop.simulation.executors import open_executor
from loop.studies.means import Say
from loop.studies.single import first_shot_errors
from simulators import HomogenizationError

RANGES = {
    "l_task": (0.1, 100.0),
    "l_rec": (2.0, 200.0),
    "l_cyc": (0.01, 1.0),
    "l_deep": (0.01, 1.0),
    "l_sens": (0.3, 100.0),
}
PROBES = 24
SHORT = 4
"""a trial is first judged after this part of the steps"""
FAILURES = (TrainingError, HomogenizationError, DoorError)


@dataclass(frozen=True)
class Subject:
    """What is tuned: the weights of this training, of this network on these samples. A folder holds one's study."""

    samples: Samples
    network: JanusConfig
    training: TrainingConfig
    seed: int

    @property
    def space(self) -> dict[str, tuple[float, float]]:
        """The weights to tune, with their ranges; at least one, for a `TrainingConfig` is none with all at 0."""
        given = {name: getattr(self.training, name) for name in RANGES}
        return {n: (min(RANGES[n][0], value), max(RANGES[n][1], value)) for n, value in given.items() if value > 0}

    @property
    def settings(self) -> dict[str, Any]:
        """What tells it from others, as JSON returns it."""
        settings = {
            "dataset": self.samples.digest(),
            "network": dataclasses.asdict(self.network),
            "training": dataclasses.asdict(self.training),
            "seed": self.seed,
        }
        return dict(json.loads(json.dumps(settings)))


def read_subject(data: Path, network: JanusConfig, training: TrainingConfig, seed: int) -> Subject:
    """The subject of a dataset.

    Raises:
        TrainingError: the samples or the settings cannot train the network.
    """
    samples = dataset.read(data)
    return Subject(samples, suited(samples, network, training), training, seed)


@dataclass(frozen=True)
class Court:
    """Where trials are judged: their subject, the folder of their states, the number of inversions, the device."""

    subject: Subject
    out: Path
    probes: int
    device: str


def draw(subject: Subject, number: int, before: Sequence[Any]) -> tuple[Any, Any]:
    """A study in memory, and its trial that follows the finished ones; trial 0 has the weights that were given."""
    import optuna

    drawn = int(np.random.SeedSequence([subject.seed, number]).generate_state(1)[0])
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=drawn, n_startup_trials=6),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4),
    )
    study.add_trials(before)
    if number == 0:
        study.enqueue_trial({name: getattr(subject.training, name) for name in subject.space})
    floats = {n: optuna.distributions.FloatDistribution(*ends, log=True) for n, ends in subject.space.items()}
    return study, study.ask({**floats})


def run_trial(number: int, court: Court, executor: Executor, progress: Say, before: Sequence[Any]) -> Any:
    """One trial, run to its end: trained for a part of the steps, judged, and if promising for all of them."""
    import optuna

    study, trial = draw(court.subject, number, before)
    config = dataclasses.replace(court.subject.training, **trial.params)
    short = dataclasses.replace(config, steps=max(1, config.steps // SHORT))
    try:
        for stage, settings in enumerate((short, config)):
            error, history = _judged(f"{number:03d}-{stage}", settings, court.subject.seed, court, executor, progress)
            trial.report(error, stage)
            trial.set_user_attr("history", history)
            trial.set_user_attr("steps", settings.steps)
            if stage == 0 and trial.should_prune():
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                break
        else:
            study.tell(trial, error)
    except FAILURES as failure:
        trial.set_user_attr("reason", str(failure))
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
    return study.trials[len(before)]


def train_again(trial: Any, court: Court, executor: Executor, progress: Say) -> float | None:
    """First-shot error of a trial's weights in a training from the next seed; None where that training failed."""
    config = dataclasses.replace(court.subject.training, **trial.params)
    try:
        seed = court.subject.seed + 1
        return _judged(f"{trial.number:03d}-again", config, seed, court, executor, progress)[0]
    except FAILURES:
        return None


def _judged(
    name: str, config: TrainingConfig, seed: int, court: Court, executor: Executor, progress: Say
) -> tuple[float, list[dict[str, float]]]:
    """Mean first-shot error of a network trained so, and the training's losses."""
    subject = court.subject
    run = Run(court.device, court.out / f"trial-{name}.state", partial(progress, f"trial {name}"))
    model, card = train(subject.samples, subject.network, config, seed, run)
    return float(np.mean(first_shot_errors(model, card, court.probes, seed, executor))), card.history


def side_by_side(work: Callable[..., Any], items: Sequence[Any], court: Court, jobs: int) -> Iterator[Any]:
    """`work(item, court, executor, progress)` of each, in a process of its own with one thread; in order."""
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        yield from pool.map(partial(_in_process, work, court), items)


def _in_process(work: Callable[..., Any], court: Court, item: Any) -> Any:
    import optuna
    import torch

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    torch.set_num_threads(1)
    with open_executor("process", 1) as executor:
        return work(item, court, executor, lambda stage, done, total: None)
