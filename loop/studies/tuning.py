"""Loss weights by Optuna, judged by physics: the simulated first-shot error of inversions at fixed targets.

The study is an append-only file of Optuna's that gets one line a trial (`loop.studies.trials`) when the trial has
ended; until then it lives in memory. So a study that is killed at any moment loses the running trials at most, and
draws the very same ones again.
"""

import contextlib
import math
import sys
import time
import uuid
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from janus_al.errors import DatasetError
from janus_al.files import atomic_path, remove_stale
from loop.campaign.config import ConfigError
from loop.campaign.steps import training_words
from loop.files.lock import locked
from loop.files.outputs import OutputError, check_free
from loop.simulation.executors import open_executor
from loop.studies.means import Means
from loop.studies.trials import PROBES, RANGES, Court, Subject, run_beside, run_trial

NAME = "loss weights"
REST = 30.0
"""seconds between two deliveries to MLflow, at least"""


def tune(
    subject: Subject, out: Path, trials: int, means: Means, jobs: int = 1, foretell: bool = False
) -> dict[str, Any]:
    """Run a study until it has so many finished trials and write its best weights to `out/weights.toml`.

    A loss weight of 0 is off and stays off; every other one is tuned, in a range that holds what was given. Of trials
    that run side by side, `jobs` at a time, none knows of the others. With `foretell` it is said first what they take.

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
        left = trials - len(_finished(study))
        about = subject.samples.material, subject.network, subject.training, means.device
        if foretell and left > 0 and (words := training_words(*about, left)):
            print(words, file=sys.stderr)
        due, court = 0.0, Court(subject, out, PROBES, means.device)
        with contextlib.ExitStack() as stack:
            executor = None
            while len(finished := _finished(study)) < trials:
                means.progress("trials", len(finished), trials)
                first = len(finished) - len(finished) % jobs
                numbers = range(len(finished), min(first + jobs, trials))
                _tidy(out, numbers)
                if jobs > 1:
                    for trial in run_beside(numbers, finished[:first], court):
                        study.add_trial(trial)
                else:
                    executor = executor or stack.enter_context(open_executor("process", means.workers))
                    study.add_trial(run_trial(len(finished), finished, court, executor, means.progress))
                if numbers.stop < trials and time.monotonic() >= due:
                    due = time.monotonic() + REST if _deliver(study, out, means.progress) else math.inf
        means.progress("trials", trials, trials)
        _tidy(out, ())
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


def _tidy(out: Path, running: Sequence[int]) -> None:
    """Remove what trials that are not running, and writing that was killed, left of themselves."""
    own = tuple(f"trial-{number:03d}-" for number in running)
    for stray in [*out.glob("trial-*.state"), *out.glob(".trial-*.state.*.tmp"), *out.glob(".weights.toml.*.tmp")]:
        if stray.name.startswith(".") or not stray.name.startswith(own):
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
