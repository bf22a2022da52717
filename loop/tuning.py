"""Loss weights by Optuna, judged by physics: the simulated first-shot error of inversions at fixed targets.

A trial trains for a quarter of the steps first; if the error it reaches is worse than the median of the
earlier trials at that point, it is pruned. The study is an append-only file, and the sampler is rebuilt
for each trial from (seed, trial number), so an interrupted study goes on as if it had not been.
"""

import dataclasses
import json
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import numpy as np

from janus_al import dataset
from janus_al.dataset import Samples, atomic_path, remove_stale
from janus_al.fitting import TrainingConfig, TrainingError
from janus_al.network import JanusConfig
from janus_al.training import suited, train
from loop.config import ConfigError
from loop.executors import open_executor
from loop.invert import first_shot_errors
from loop.outputs import OutputError, check_free
from simulators import HomogenizationError

RANGES = {
    "l_task": (0.1, 10.0),
    "l_rec": (2.0, 200.0),
    "l_cyc": (0.01, 1.0),
    "l_deep": (0.01, 1.0),
    "l_sens": (0.3, 100.0),
}
PROBES = 24
SHORT = 4
"""a trial is first judged after this part of the steps"""


def tune(
    data: Path,
    out: Path,
    trials: int,
    network: JanusConfig,
    training: TrainingConfig,
    seed: int,
    workers: int,
    device: str,
    progress: Callable[[str, int, int], None],
) -> dict[str, Any]:
    """Run a study until it has so many finished trials and write its best weights to `out/weights.toml`.

    Raises:
        ConfigError: `out` holds a study of other data or settings.
        OutputError: it holds something else.
    """
    import optuna
    import tomli_w

    samples = dataset.read(data)
    network = suited(samples, network, training)
    check_free(out, marker="study.jsonl")
    out.mkdir(parents=True, exist_ok=True)
    remove_stale(out)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = _open_study(out / "study.jsonl", samples, network, training, seed)
    with open_executor("process", workers) as executor:
        while len(finished := _finished(study)) < trials:
            progress("trials", len(finished), trials)
            _run_trial(study, out, samples, network, training, seed, device, executor, progress)
            _write_trials(study, out, progress)
    progress("trials", trials, trials)
    best = study.best_trial
    weights = out / "weights.toml"
    with atomic_path(weights) as temporary:
        temporary.write_text(tomli_w.dumps({"training": best.params}))
    states = [t.state.name for t in _finished(study)]
    return {
        "trials": len(states),
        "pruned": states.count("PRUNED"),
        "best": {"number": best.number, "value": best.value, "params": best.params},
        "default": next((t.value for t in study.trials if t.number == 0), None),
        "weights": str(weights),
        "study": str(out / "study.jsonl"),
    }


def _run_trial(
    study: Any,
    out: Path,
    samples: Samples,
    network: JanusConfig,
    training: TrainingConfig,
    seed: int,
    device: str,
    executor: Executor,
    progress: Callable[[str, int, int], None],
) -> None:
    """Run the next trial, or the one that a kill left unfinished."""
    import optuna

    stale = [t for t in study.get_trials(deepcopy=False) if t.state == optuna.trial.TrialState.RUNNING]
    number = stale[0].number if stale else len(study.get_trials(deepcopy=False))
    drawn = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    study.sampler = optuna.samplers.TPESampler(seed=drawn, n_startup_trials=6)
    if not stale and number == 0:
        study.enqueue_trial({name: getattr(training, name) for name in RANGES})
    trial = optuna.trial.Trial(study, stale[0]._trial_id) if stale else study.ask()
    drawn_weights: dict[str, Any] = {
        name: trial.suggest_float(name, low, high, log=True) for name, (low, high) in RANGES.items()
    }
    config = dataclasses.replace(training, **drawn_weights)
    short = dataclasses.replace(config, steps=max(1, config.steps // SHORT))
    try:
        for stage, settings in enumerate((short, config)):
            state = out / f"trial-{number:03d}-{stage}.state"
            model, card = train(
                samples,
                network,
                settings,
                seed,
                device,
                state=state,
                progress=lambda step, steps: progress(f"trial {number}", step, steps),
            )
            error = float(np.mean(first_shot_errors(model, card, PROBES, seed, executor)))
            if stage not in study.get_trials(deepcopy=False)[number].intermediate_values:
                trial.report(error, stage)
            if stage == 0 and trial.should_prune():
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                return
    except (TrainingError, HomogenizationError) as failure:
        trial.set_user_attr("reason", str(failure))
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
        return
    study.tell(trial, error)


def _open_study(path: Path, samples: Samples, network: JanusConfig, training: TrainingConfig, seed: int) -> Any:
    import optuna
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    if path.exists():
        data = path.read_bytes()
        if data and not data.startswith(b'{"op_code"'):
            raise OutputError(f"{path}: is no study of Optuna's; give another --out")
        with path.open("rb+") as file:
            file.truncate(data.rfind(b"\n") + 1)
    name = str(path.resolve())
    backend = JournalFileBackend(name, lock_obj=JournalFileOpenLock(name))
    study = optuna.create_study(
        storage=optuna.storages.JournalStorage(backend),
        study_name="loss weights",
        direction="minimize",
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4),
        load_if_exists=True,
    )
    settings = {
        "dataset": samples.digest(),
        "network": dataclasses.asdict(network) | {"properties": list(network.properties)},
        "training": dataclasses.asdict(training),
        "seed": seed,
    }
    stored = study.user_attrs.get("settings")
    if stored is None:
        study.set_user_attr("settings", settings)
    elif stored != json.loads(json.dumps(settings)):
        differing = [key for key in settings if stored.get(key) != json.loads(json.dumps(settings[key]))]
        raise ConfigError(f"{path}: a study of another {' and '.join(differing)}; give another --out")
    return study


def _finished(study: Any) -> Sequence[Any]:
    return [t for t in study.get_trials(deepcopy=False) if t.state.is_finished()]


def _write_trials(study: Any, out: Path, progress: Any) -> None:
    """Show the trials in MLflow."""
    from loop.tracking import log_study

    trials = [
        {
            "number": t.number,
            "params": t.params,
            "value": t.value if t.state.name == "COMPLETE" else None,
            "state": t.state.name,
            "intermediate": t.intermediate_values,
            "time": t.datetime_start.timestamp(),
        }
        for t in _finished(study)
    ]
    result = log_study(out, out.resolve().name, trials)
    if result.error:
        progress.say(f"MLflow not updated ({result.error}); the next trial tries again")
