"""A study of loss weights on disk: opened and checked, the trial that is best of it, and its figures.

It is an append-only file of Optuna's that gets one line a trial (`loop.studies.trials`) when the trial has ended, and
one for each second training.
"""

import math
import uuid
import warnings
from pathlib import Path
from typing import Any

from janus_al.errors import DatasetError
from loop.campaign.config import ConfigError
from loop.files.outputs import OutputError
from loop.studies.trials import Subject

NAME = "loss weights"


def open_study(path: Path, subject: Subject) -> Any:
    """The study in this file, checked, or a new one.

    Raises:
        ConfigError: it is of other data or settings.
        DatasetError: it is damaged.
        OutputError: the file is no study.
    """
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
        optuna.create_study(directions=study.directions).add_trials(finished_trials(study))  # checks them
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


def finished_trials(study: Any) -> list[Any]:
    """Complete, pruned or failed, in order."""
    return [t for t in study.get_trials(deepcopy=False) if t.state.is_finished()]


def best_of(study: Any) -> Any:
    """The complete trial with the least mean error of both its trainings; of one, while none has had a second."""
    complete, again = [t for t in finished_trials(study) if t.state.name == "COMPLETE"], second_trainings(study)
    judged = [t for t in complete if str(t.number) in again] or complete
    seconds = {t.number: again.get(str(t.number), t.value) for t in judged}
    return min(judged, key=lambda t: math.inf if seconds[t.number] is None else t.value + seconds[t.number])


def second_trainings(study: Any) -> dict[str, float | None]:
    """Errors of second trainings, by the number of the trial; None for one that failed."""
    return {str(int(n)): None if v is None else float(v) for n, v in dict(study.user_attrs.get("again", {})).items()}


def summary(study: Any) -> dict[str, float]:
    """What a study has reached: counts, best values, and how much of the variation each weight explains."""
    import optuna

    trials = finished_trials(study)
    complete = [t for t in trials if t.state.name == "COMPLETE"]
    found: dict[str, float] = {
        "trials": len(trials),
        "pruned": sum(t.state.name == "PRUNED" for t in trials),
        "failed": sum(t.state.name == "FAIL" for t in trials),
    }
    if complete:
        best, again = best_of(study), second_trainings(study)
        found |= {"best.value": best.value, "best.number": best.number}
        found |= {f"best.{name}": value for name, value in best.params.items()}
        if complete[0].number == 0:
            found["default.value"] = complete[0].value
        shown = {"best": str(best.number), "default": "0"}
        found |= {f"{name}.again": e for name, number in shown.items() if (e := again.get(number)) is not None}
    if len({t.value for t in complete}) > 1:
        with warnings.catch_warnings(action="ignore"):
            importances = optuna.importance.get_param_importances(study)
        if sum(importances.values()) > 0:  # of few trials nothing can be said
            found |= {f"importance.{name}": value for name, value in importances.items()}
    return found
