"""MLflow as a projection: what a campaign's journal, or a tuning study, says is brought to the store.

The only file that imports mlflow. Delivering is idempotent: runs are found again by their tags, metrics
carry the journal's timestamps. Nothing here raises: a store that fails costs seconds and a sentence.
"""

import importlib.util
import json
import logging
import math
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loop.journal import Event, end_of, read_events

ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}
BATCH = 900
"""metrics a request; the store takes 1000"""


@dataclass(frozen=True)
class SyncResult:
    """Where runs were delivered, how many, and why delivery stopped if it did."""

    uri: str
    delivered: int
    error: str | None = None


def sync(folder: Path, live: bool = False) -> SyncResult:
    """Bring MLflow up to date with a campaign; `live` says that it is still under way.

    A parent run stands for the campaign, a child for each round with a model (round 0: the first training).
    """

    def deliver(store: _Store) -> int:
        events = list(read_events(folder / "journal.jsonl"))
        begun = next((e for e in events if e["event"] == "campaign"), None)
        if begun is None:
            return 0
        config = tomllib.loads((folder / "campaign.toml").read_text(encoding="utf-8"))
        finished = end_of(events) is not None
        key = {"campaign_id": begun["campaign_id"]}
        parent = store.run(begun["name"], {**key, "kind": "campaign", "round": "-"}, begun["time"])
        store.fill(
            parent,
            params=_flat(config),
            metrics={},
            time=begun["time"],
            dataset=(begun["source"]["path"], begun["source"]["digest"]),
        )
        rounds = {e["round"]: e for e in events if e["event"] == "round"}
        trained = {e["round"]: e for e in events if e["event"] == "trained"}
        delivered = 1
        for number in sorted({*rounds, *(trained if 0 in trained else ())}):
            if number > 0 and number not in rounds:
                continue
            delivered += 1
            tags = {**key, "kind": "round", "round": str(number)}
            ended = rounds.get(number, trained.get(number, begun))["time"]
            child = store.run(f"round {number}", tags, ended, parent)
            if store.is_finished(child):
                continue
            _deliver_round(store, child, folder, rounds.get(number), trained.get(number))
            store.end(child, "FINISHED", ended)
        pictures = [p for p in sorted(folder.glob("designs/*/image.png")) if finished]
        documents = [folder / "campaign.toml", *([folder / "report.html"] if finished else [])]
        store.artifacts(parent, [(p, "") for p in documents] + [(p, f"designs/{p.parent.name}") for p in pictures])
        if finished:
            store.end(parent, "FINISHED", events[-1]["time"])
        else:
            store.end(parent, "RUNNING" if live else "KILLED", events[-1]["time"])
        return delivered

    return _deliver(folder, deliver)


def log_study(folder: Path, name: str, trials: list[dict[str, Any]]) -> SyncResult:
    """Bring MLflow up to date with a tuning study: a parent run, a child for each finished trial.

    Args:
        folder: of the study.
        name: of its parent run.
        trials: number, params, value, state (COMPLETE, PRUNED or FAIL), intermediate values, time.
    """

    def deliver(store: _Store) -> int:
        key = {"campaign_id": f"study {folder.resolve()}"}
        start = min((t["time"] for t in trials), default=0.0)
        parent = store.run(name, {**key, "kind": "study", "round": "-"}, start)
        for trial in trials:
            tags = {**key, "kind": "trial", "round": str(trial["number"])}
            child = store.run(f"trial {trial['number']}", tags, trial["time"], parent)
            if store.is_finished(child):
                continue
            steps = [("objective", float(v), trial["time"], int(s)) for s, v in trial["intermediate"].items()]
            final = {} if trial["value"] is None else {"value": trial["value"]}
            store.fill(child, trial["params"], final, trial["time"], steps)
            store.end(child, "FINISHED" if trial["state"] == "COMPLETE" else "KILLED", trial["time"])
        store.end(parent, "FINISHED", max((t["time"] for t in trials), default=0.0))
        return 1 + len(trials)

    return _deliver(folder, deliver)


def _deliver_round(store: "_Store", run: str, folder: Path, outcome: Event | None, trained: Event | None) -> None:
    metrics: dict[str, float] = {}
    params: dict[str, Any] = {}
    series: list[tuple[str, float, float, int]] = []
    dataset = None
    for event in (outcome, trained):
        if event is not None:
            skipped = {"round", "time", "weights", "dataset", "designs", "candidates_table"}
            kept = {k: v for k, v in event.items() if k not in skipped}
            metrics |= {k: v for k, v in _flat(kept).items() if isinstance(v, int | float)}
    when = (outcome or trained or {})["time"]
    if trained is not None:
        params = {**trained["weights"], "model": trained["model"]}
        dataset = ("samples", trained["dataset"]["digest"])
        metrics |= {f"dataset_{k}": trained["dataset"][k] for k in ("samples", "simulated")}
        model = folder / trained["model"]
        if (model / "model.json").exists():
            for row in json.loads((model / "model.json").read_text())["card"]["history"]:
                series += [(f"train/{k}", v, trained["time"], int(row["step"])) for k, v in row.items() if k != "step"]
            store.artifacts(run, [(model / f, "model") for f in ("model.json", "weights.safetensors")])
    store.fill(run, params, metrics, when, series, dataset)


class _Store:
    """The few calls on an MLflow store that a projection needs."""

    def __init__(self, uri: str, artifacts: str | None) -> None:
        from mlflow.tracking import MlflowClient

        self.client = MlflowClient(tracking_uri=uri)
        experiment = self.client.get_experiment_by_name("janus-al")
        if experiment is not None:
            self.experiment = experiment.experiment_id
        else:
            self.experiment = self.client.create_experiment("janus-al", artifact_location=artifacts)

    def run(self, name: str, tags: Mapping[str, str], time: float, parent: str | None = None) -> str:
        """Id of the run with these tags, made if there is none."""
        wanted = " and ".join(f"tags.`{k}` = '{v}'" for k, v in tags.items())
        found = self.client.search_runs([self.experiment], wanted)
        if found:
            return found[0].info.run_id
        more = {} if parent is None else {"mlflow.parentRunId": parent}
        run = self.client.create_run(
            self.experiment, start_time=int(time * 1000), tags={**tags, **more}, run_name=name[:200]
        )
        return run.info.run_id

    def is_finished(self, run: str) -> bool:
        return self.client.get_run(run).info.status != "RUNNING"

    def fill(
        self,
        run: str,
        params: Mapping[str, Any],
        metrics: Mapping[str, float],
        time: float,
        series: list[tuple[str, float, float, int]] | None = None,
        dataset: tuple[str, str] | None = None,
    ) -> None:
        """Log parameters, metrics at a fixed time, series of (name, value, time, step), and the dataset."""
        from mlflow.entities import Metric, Param

        points = [(k, v, time, 0) for k, v in metrics.items()] + (series or [])
        entities = [
            Metric(re.sub(r"[^\w\-. :/]", "_", k), float(v), int(t * 1000), s)
            for k, v, t, s in points
            if v is not None and math.isfinite(v)
        ]
        known = self.client.get_run(run).data.params
        fresh = [Param(k, str(v)[:6000]) for k, v in params.items() if k not in known]
        for start in range(0, len(fresh), 90):
            self.client.log_batch(run, params=fresh[start : start + 90])
        for start in range(0, len(entities), BATCH):
            self.client.log_batch(run, metrics=entities[start : start + BATCH])
        if dataset is not None and not getattr(self.client.get_run(run).inputs, "dataset_inputs", None):
            from mlflow.entities import Dataset, DatasetInput

            name, digest = dataset
            entry = Dataset(
                name=Path(name).name[:500], digest=digest[:36], source_type="local", source=json.dumps({"uri": name})
            )
            self.client.log_inputs(run, [DatasetInput(entry)])

    def artifacts(self, run: str, files: list[tuple[Path, str]]) -> None:
        for path, place in files:
            if path.exists():
                self.client.log_artifact(run, str(path), place or None)

    def end(self, run: str, status: str, time: float) -> None:
        """Set a run's status, and its end if it has one."""
        if self.client.get_run(run).info.status == status:
            return
        if status == "RUNNING":
            self.client.update_run(run, status="RUNNING")
        else:
            self.client.set_terminated(run, status, int(time * 1000))


def _deliver(folder: Path, deliver: Any) -> SyncResult:
    """Open the store and deliver; every failure becomes a sentence."""
    for variable, value in ENVIRONMENT.items():
        os.environ.setdefault(variable, value)
    uri, artifacts = os.environ.get("MLFLOW_TRACKING_URI", ""), None
    try:
        spec = importlib.util.find_spec("mlflow")
        if spec is None or spec.origin is None:  # a folder named mlflow is found without being the library
            raise ModuleNotFoundError("mlflow is not installed; `pip install mlflow`")
        logging.getLogger("alembic").setLevel(logging.ERROR)
        logging.getLogger("mlflow").setLevel(logging.ERROR)
        if not uri:
            parent = folder.resolve().parent
            uri, artifacts = f"sqlite:///{parent / 'mlflow.db'}", (parent / "mlartifacts").as_uri()
            _create_database(parent / "mlflow.db")
        return SyncResult(_redact(uri), deliver(_Store(uri, artifacts)))
    except Exception as error:
        first = str(error).strip().splitlines()[:1]
        reason = f"{type(error).__name__}: {first[0] if first else ''}"
        return SyncResult(_redact(uri), 0, _redact(reason.split("(Caused")[0])[:200])


def _create_database(path: Path) -> None:
    """Make the sqlite store whole or not at all: its migrations survive neither a kill nor company."""
    if path.exists():
        return
    from filelock import FileLock

    with FileLock(path.with_name(".mlflow.db.lock"), timeout=60):
        if path.exists():
            return
        for stale in path.parent.glob("mlflow.db.tmp-*"):
            stale.unlink()
        temporary = path.with_name(f"mlflow.db.tmp-{os.getpid()}")
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        store = SqlAlchemyStore(f"sqlite:///{temporary}", (path.parent / "mlartifacts").as_uri())
        store.engine.dispose()
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)


def _redact(words: str) -> str:
    return re.sub(r"//[^/@\s]+@", "//***@", words)


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables as one level, keys joined by dots; lists of tables are numbered."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            for number, entry in enumerate(value, start=1):
                flat |= _flat(entry, f"{prefix}{key}.{number}.")
        elif value is not None:
            flat[prefix + key] = value
    return flat
