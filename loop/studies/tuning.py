"""Loss weights by Optuna, judged by physics: the simulated first-shot error of inversions at fixed targets.

The study gets a line when a trial has ended (`loop.studies.study`); until then it lives in memory. So a study that is
killed at any moment loses the running trials at most, and draws the very same ones again.
"""

import contextlib
import math
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from janus_al.files import atomic_path, remove_stale
from loop.campaign.config import ConfigError
from loop.campaign.steps import training_words
from loop.files.lock import locked
from loop.files.outputs import check_free
from loop.simulation.executors import open_executor
from loop.studies.means import Means
from loop.studies.study import best_of, finished_trials, open_study, second_trainings, summary
from loop.studies.trials import PROBES, RANGES, Court, Subject, run_trial, side_by_side, train_again

REST = 30.0
"""seconds between two deliveries to MLflow, at least"""
RIVALS = 3
"""best trials that are trained once more, beside the weights that were given"""
Work = Callable[[Callable[..., Any], Sequence[Any]], Iterable[Any]]
"""a part of the study, done for each item in order"""


def tune(
    subject: Subject, out: Path, trials: int, means: Means, jobs: int = 1, foretell: bool = False
) -> dict[str, Any]:
    """Run a study until it has so many finished trials and write its best weights to `out/weights.toml`.

    A loss weight of 0 is off and stays off; every other one is tuned, in a range that holds what was given. Of trials
    that run side by side, `jobs` at a time, none knows of the others. In the end the best trials and the weights that
    were given are trained once more, and the best in the mean of both trainings wins: with some weights a part of all
    trainings fails. With `foretell` it is said first what the trials take.

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
        study = open_study(out / "study.jsonl", subject)
        left = trials - len(finished_trials(study))
        about = subject.samples.material, subject.network, subject.training, means.device
        if foretell and left > 0 and (words := training_words(*about, left)):
            print(f"{words}; then up to {RIVALS + 1} of them once more, from another seed", file=sys.stderr)
        court = Court(subject, out, PROBES, means.device)
        with contextlib.ExitStack() as stack:
            executor = stack.enter_context(open_executor("process", means.workers)) if jobs == 1 else None

            def work(part: Callable[..., Any], items: Sequence[Any]) -> Iterable[Any]:
                if executor is None:
                    return side_by_side(part, items, court, jobs)
                return (part(item, court, executor, means.progress) for item in items)

            _search(study, trials, jobs, work, out, means.progress)
            finished = finished_trials(study)
            if not any(t.state.name == "COMPLETE" for t in finished):
                reason = finished[-1].user_attrs.get("reason", "pruned")
                raise ConfigError(f"{out}: none of {len(finished)} trials reached its end; the last one: {reason}")
            _confirm(study, work, out, means.progress)
        _tidy(out, ())
        best, again = best_of(study), second_trainings(study)
        if again and set(again.values()) == {None}:
            raise ConfigError(f"{out}: from another seed no training of the best trials, {', '.join(again)}, succeeded")
        weights = out / "weights.toml"
        params = {name: best.params.get(name, getattr(subject.training, name)) for name in RANGES}
        with atomic_path(weights) as temporary:
            temporary.write_text(tomli_w.dumps({"training": params}))
        _deliver(study, out, means.progress)
    states = [t.state.name for t in finished]
    return {
        "trials": len(states),
        "pruned": states.count("PRUNED"),
        "failed": states.count("FAIL"),
        "best": {"number": best.number, "value": best.value, "again": again.get(str(best.number)), "params": params},
        "default": finished[0].value if states[0] == "COMPLETE" else None,
        "again": again,
        "weights": str(weights),
        "study": str(out / "study.jsonl"),
    }


def _search(study: Any, trials: int, jobs: int, work: Work, out: Path, progress: Any) -> None:
    """Trials until there are so many."""
    due = 0.0
    while len(finished := finished_trials(study)) < trials:
        progress("trials", len(finished), trials)
        first = len(finished) - len(finished) % jobs
        numbers = range(len(finished), min(first + jobs, trials))
        _tidy(out, numbers)
        for trial in work(partial(run_trial, before=finished[:first]), numbers):
            study.add_trial(trial)
        if numbers.stop < trials and time.monotonic() >= due:
            due = time.monotonic() + REST if _deliver(study, out, progress) else math.inf
    progress("trials", trials, trials)


def _confirm(study: Any, work: Work, out: Path, progress: Any) -> None:
    """Train the best trials, and the weights that were given, once more, where there are two to choose from."""
    complete = [t for t in finished_trials(study) if t.state.name == "COMPLETE"]
    best = sorted(complete, key=lambda t: t.value)[:RIVALS]
    rivals = sorted([t for t in complete if t.number == 0 and t not in best] + best, key=lambda t: t.number)
    left = [t for t in rivals if len(rivals) > 1 and str(t.number) not in second_trainings(study)]
    _tidy(out, [t.number for t in left])
    for done, (trial, error) in enumerate(zip(left, work(train_again, left), strict=True)):
        progress("second trainings", done, len(left))
        study.set_user_attr("again", {**second_trainings(study), str(trial.number): error})


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
        for t in finished_trials(study)
    ]
    result = log_study(out, study.user_attrs["id"], study.user_attrs["settings"], trials, summary(study))
    if result.error:
        progress.say(f"MLflow not updated ({result.error}); later: run the same command again")
    return result.error is None
