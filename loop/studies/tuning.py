"""Loss weights by Optuna, judged by physics: the simulated first-shot error of inversions at fixed targets.

A trial trains for a quarter of the steps first; if the error it reaches is worse than the median of the
earlier trials at that point, it is pruned. The study is an append-only file that gets one line a trial, when
the trial has ended; until then it lives in memory, drawn from (seed, its number, the trials before it). So a
study that is killed at any moment loses the running trial at most, and draws the very same one again.
"""

import contextlib
import dataclasses
import json
import math
import time
import uuid
import warnings
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from janus_al import dataset
from janus_al.errors import DatasetError
from janus_al.files import atomic_path, remove_stale
from janus_al.fitting import Run, TrainingConfig, TrainingError
from janus_al.networks.janus import JanusConfig
from janus_al.samples import Samples
from janus_al.training import suited, train
from loop.campaign.config import ConfigError
from loop.files.lock import locked
from loop.files.outputs import OutputError, check_free
from loop.simulation.executors import open_executor
from loop.studies.means import Means
from loop.studies.single import first_shot_errors
from simulators import HomogenizationError

RANGES = {
    "l_task": (0.1, 10.0),
    "l_rec": (2.0, 200.0),
    "l_cyc": (0.01, 1.0),
    "l_deep": (0.01, 1.0),
    "l_sens": (0.3, 100.0),
}
NAME = "loss weights"
PROBES = 24
SHORT = 4
"""a trial is first judged after this part of the steps"""
REST = 30.0
"""seconds between two deliveries to MLflow, at least"""


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


def tune(subject: Subject, out: Path, trials: int, means: Means) -> dict[str, Any]:
    """Run a study until it has so many finished trials and write its best weights to `out/weights.toml`.

    A loss weight of 0 is off and stays off; every other one is tuned, in a range that holds what was given.

    Raises:
        ConfigError: `out` holds a study of other data or settings; no trial reached its end.
        DatasetError: the study in `out` is damaged.
        LockedError: another process tunes in `out`.
        OutputError: `out` holds something else.
    """
    import optuna
    import tomli_w

    check_free(out, marker="study.jsonl")
    out.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with locked(out, "tuning here"):
        remove_stale(out)
        study = _open_study(out / "study.jsonl", subject)
        due = 0.0
        with contextlib.ExitStack() as stack:
            executor = None
            while len(finished := _finished(study)) < trials:
                means.progress("trials", len(finished), trials)
                executor = executor or stack.enter_context(open_executor("process", means.workers))
                _tidy(out, len(finished))
                study.add_trial(_run_trial(subject, finished, out, executor, means))
                if len(finished) + 1 < trials and time.monotonic() >= due:
                    due = time.monotonic() + REST if _deliver(study, out, means.progress) else math.inf
        means.progress("trials", trials, trials)
        _tidy(out, len(finished))
        if not any(t.state.name == "COMPLETE" for t in finished):
            reason = finished[-1].user_attrs.get("reason", "pruned")
            raise ConfigError(f"{out}: none of {len(finished)} trials reached its end; the last one: {reason}")
        best, weights = study.best_trial, out / "weights.toml"
        params = {name: best.params.get(name, getattr(subject.training, name)) for name in RANGES}
        with atomic_path(weights) as temporary:
            temporary.write_text(tomli_w.dumps({"training": params}))
        _deliver(study, out, means.progress)
    states = [t.state.name for t in finished]
    return {
        "trials": len(states),
        "pruned": states.count("PRUNED"),
        "failed": states.count("FAIL"),
        "best": {"number": best.number, "value": best.value, "params": params},
        "default": finished[0].value if states[0] == "COMPLETE" else None,
        "weights": str(weights),
        "study": str(out / "study.jsonl"),
    }


def _run_trial(subject: Subject, finished: Sequence[Any], out: Path, executor: Executor, means: Means) -> Any:
    """The trial that follows the finished ones, run to its end in a study in memory."""
    import optuna

    number, training, seed = len(finished), subject.training, subject.seed
    drawn = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=drawn, n_startup_trials=6),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4),
    )
    study.add_trials(finished)
    if number == 0:
        study.enqueue_trial({name: getattr(training, name) for name in subject.space})
    trial = study.ask({n: optuna.distributions.FloatDistribution(*ends, log=True) for n, ends in subject.space.items()})
    config = dataclasses.replace(training, **trial.params)
    short = dataclasses.replace(config, steps=max(1, config.steps // SHORT))
    try:
        for stage, settings in enumerate((short, config)):
            state = out / f"trial-{number:03d}-{stage}.state"
            run = Run(means.device, state, partial(means.progress, f"trial {number}"))
            model, card = train(subject.samples, subject.network, settings, seed, run)
            error = float(np.mean(first_shot_errors(model, card, PROBES, seed, executor)))
            trial.report(error, stage)
            trial.set_user_attr("history", card.history)
            trial.set_user_attr("steps", settings.steps)
            if stage == 0 and trial.should_prune():
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                break
        else:
            study.tell(trial, error)
    except (TrainingError, HomogenizationError) as failure:
        trial.set_user_attr("reason", str(failure))
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
    return study.trials[number]


def _open_study(path: Path, subject: Subject) -> Any:
    import optuna
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    class Held(JournalFileOpenLock):
        """The folder's lock is enough; optuna's own outlives a kill, and is waited for half a minute."""

        def acquire(self) -> bool:
            return True

        def release(self) -> None:
            pass

    if path.exists():
        data = path.read_bytes()
        if data and not data.startswith(b'{"op_code"'):
            raise OutputError(f"{path}: is no study of Optuna's; give another --out")
        with path.open("rb+") as file:
            file.truncate(data.rfind(b"\n") + 1)
    try:
        storage = optuna.storages.JournalStorage(JournalFileBackend(str(path.resolve()), lock_obj=Held(str(path))))
        try:
            study = optuna.load_study(study_name=NAME, storage=storage)
        except KeyError:
            study = optuna.create_study(study_name=NAME, storage=storage)
        optuna.create_study(directions=study.directions).add_trials(_finished(study))  # checks them
        summary(study)
        if study.direction != optuna.study.StudyDirection.MINIMIZE:
            raise ValueError("it does not minimise")
        stored, known = dict(study.user_attrs.get("settings", {})), "id" in study.user_attrs
    except OSError:
        raise
    except Exception as error:  # whatever optuna makes of damaged lines
        words = " ".join(str(error).split())[:100]
        raise DatasetError(f"{path}: damaged ({words}); restore it from a copy, or give another --out") from None
    settings = subject.settings
    if differing := [key for key in settings if stored and stored.get(key) != settings[key]]:
        raise ConfigError(f"{path}: a study of another {' and '.join(differing)}; give another --out")
    if not stored:
        study.set_user_attr("settings", settings)
    if not known:
        study.set_user_attr("id", uuid.uuid4().hex)
    return study


def _finished(study: Any) -> list[Any]:
    return [t for t in study.get_trials(deepcopy=False) if t.state.is_finished()]


def _tidy(out: Path, number: int) -> None:
    """Remove what trials before this one, and writing that was killed, left of themselves."""
    for stray in [*out.glob("trial-*.state"), *out.glob(".trial-*.state.*.tmp"), *out.glob(".weights.toml.*.tmp")]:
        if stray.name.startswith(".") or not stray.name.startswith(f"trial-{number:03d}-"):
            stray.unlink()


def _deliver(study: Any, out: Path, progress: Any) -> bool:
    """Show the study in MLflow, or say why not."""
    from loop.output.tracking import Trial, log_study

    trials = [
        Trial(
            number=t.number,
            state=t.state.name,
            start=t.datetime_start.timestamp(),
            end=t.datetime_complete.timestamp(),
            params=t.params,
            value=t.value if t.state.name == "COMPLETE" else None,
            judged=t.intermediate_values,
            history=t.user_attrs.get("history", []),
            steps=t.user_attrs.get("steps", 0),
        )
        for t in _finished(study)
    ]
    result = log_study(out, study.user_attrs["id"], study.user_attrs["settings"], trials, summary(study))
    if result.error:
        progress.say(f"MLflow not updated ({result.error}); later: run the same command again")
    return result.error is None


def summary(study: Any) -> dict[str, float]:
    """What a study has reached: counts, best values, and how much of the variation each weight explains."""
    import optuna

    trials = _finished(study)
    complete = [t for t in trials if t.state.name == "COMPLETE"]
    found: dict[str, float] = {
        "trials": len(trials),
        "pruned": sum(t.state.name == "PRUNED" for t in trials),
        "failed": sum(t.state.name == "FAIL" for t in trials),
    }
    if complete:
        best = min(complete, key=lambda t: t.value)
        found |= {"best.value": best.value, "best.number": best.number}
        found |= {f"best.{name}": value for name, value in best.params.items()}
    if complete and complete[0].number == 0:
        found["default.value"] = complete[0].value
    if len({t.value for t in complete}) > 1:
        with warnings.catch_warnings(action="ignore"):
            importances = optuna.importance.get_param_importances(study)
        if sum(importances.values()) > 0:  # of few trials nothing can be said
            found |= {f"importance.{name}": value for name, value in importances.items()}
    return found
