"""Runs brought to an MLflow store by a process of their own, which is killed when a delivery takes too long.

The only file that imports mlflow. Delivering is idempotent: a run is found by the identity of what it shows,
points carry the times of what they tell, and a run whose digest the store knows is left alone, so a delivery
that was cut off is gone on with by the next one. Nothing here raises: a store that fails costs at most
`DEADLINE` seconds and a sentence.
"""

import contextlib
import dataclasses
import glob
import hashlib
import importlib.util
import json
import logging
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

DEADLINE = 60.0
"""seconds that one delivery may take, whatever the store does"""
ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}
EXPERIMENT = "janus-al"
IDENTITY, DELIVERED, PARENT = "janus_al.identity", "janus_al.delivered", "mlflow.parentRunId"
BATCH = 900
"""metrics a request; the store takes 1000"""
FORMS = "give http://HOST:PORT of a server or sqlite:////PATH/mlflow.db, or unset it"

Point = tuple[str, float, float, int]
"""name, value, time in seconds, step"""


@dataclass(frozen=True)
class Run:
    """What one run of MLflow shows."""

    kind: str
    number: str
    name: str
    start: float
    end: float
    status: str
    """RUNNING, FINISHED or KILLED"""
    params: Mapping[str, Any]
    points: Sequence[Point]
    tags: Mapping[str, str] = dataclasses.field(default_factory=dict)
    dataset: tuple[str, str] | None = None
    """name and digest"""
    artifacts: Sequence[tuple[str, str, int]] = ()
    """file, relative to the folder; its place in the run; its size"""


@dataclass(frozen=True)
class SyncResult:
    """Where runs were delivered, how many, and why delivery stopped if it did."""

    uri: str
    delivered: int
    error: str | None = None


def deliver(
    folder: Path, describe: Callable[[], tuple[str, Sequence[Run]]], deadline: float | None = None
) -> SyncResult:
    """Bring a folder's runs to the store that MLFLOW_TRACKING_URI names, or to `mlflow.db` beside the folder.

    Args:
        folder: of the campaign or study; one delivery of it at a time.
        describe: the identity of what is shown, and its runs: a parent and its children.
        deadline: seconds until the delivery is given up; `DEADLINE` if None.
    """
    from filelock import FileLock, Timeout

    folder, deadline = folder.resolve(), DEADLINE if deadline is None else deadline
    given = os.environ.get("MLFLOW_TRACKING_URI", "").strip()
    shown = _redact(given, given) or str(folder.parent / "mlflow.db")
    ends = time.monotonic() + deadline
    try:
        if given:
            _check(given)
        with FileLock(folder / ".mlflow.lock", timeout=deadline):
            identity, runs = describe()
            if not runs:
                return SyncResult(shown, 0)
            order = {"folder": str(folder), "given": given, "identity": identity, "parent": os.getpid()}
            answer = _ask({**order, "runs": [dataclasses.asdict(r) for r in runs]}, ends - time.monotonic())
    except (Timeout, subprocess.TimeoutExpired):
        answer = {
            "error": f"no delivery within {deadline:g} s; what arrived stays, and the next one goes on from there"
        }
    except Exception as error:
        answer = {"error": _sentence(error)}
    if "error" in answer:
        return SyncResult(shown, 0, _redact(answer["error"], given)[:300])
    return SyncResult(shown, answer["delivered"])


def _ask(order: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    """Give the order to a fresh process, whose last line is the answer; it dies with its time or with this process."""
    path = [os.path.abspath(p) for p in sys.path]
    code = f"import sys; sys.path[:] = {path!r}; from loop import delivery; delivery.serve()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps(order),
        env={**ENVIRONMENT, **os.environ},
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=max(seconds, 0.0),
    )
    try:
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        last = (done.stderr.strip().splitlines() or ["without a word"])[-1]
        return {"error": f"the delivering process ended with code {done.returncode}: {last}"}
    return answer


def serve() -> None:
    """In the delivering process: read an order, carry it out, print the answer."""
    order = json.load(sys.stdin)
    threading.Thread(target=_die_with, args=(order["parent"],), daemon=True).start()
    try:
        spec = importlib.util.find_spec("mlflow")
        if spec is None or spec.origin is None:  # a folder named mlflow is found without being the library
            raise ModuleNotFoundError("No module named 'mlflow'", name="mlflow")
        logging.getLogger("alembic").setLevel(logging.ERROR)
        logging.getLogger("mlflow").setLevel(logging.ERROR)
        store = _Store(order["given"], Path(order["folder"]), order["identity"])
        parent: str | None = None
        for number, entry in enumerate(order["runs"]):
            run = store.put(Run(**entry), parent)
            parent = run if number == 0 else parent
        answer: dict[str, Any] = {"delivered": len(order["runs"])}
    except Exception as error:
        answer = {"error": _sentence(error)}
    print("\n" + json.dumps(answer), flush=True)
    os._exit(0)  # a library's threads wait for nobody here


def _die_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.1)
    os._exit(1)


class _Store:
    """The runs of one identity in an MLflow store."""

    def __init__(self, given: str, folder: Path, identity: str) -> None:
        from mlflow.tracking import MlflowClient

        self.folder, self.name = folder, identity
        self.identity = hashlib.sha256(identity.encode()).hexdigest()[:32]  # safe within any filter
        database, uri, artifacts = _database(given, folder), given, None
        if database is not None:
            uri, artifacts = _open_database(database)
        self.client = MlflowClient(tracking_uri=uri)
        self.experiment = self._experiment(artifacts)
        self.known = {(r.data.tags.get("kind"), r.data.tags.get("round")): r for r in self._runs()}

    def put(self, run: Run, parent: str | None) -> str:
        """Make the store show this run; returns its id."""
        words = json.dumps([parent, dataclasses.asdict(run)], sort_keys=True)
        digest = hashlib.sha256(words.encode()).hexdigest()
        tags = {**run.tags, "campaign_id": self.name, "kind": run.kind, "round": run.number, IDENTITY: self.identity}
        tags |= {} if parent is None else {PARENT: parent}
        stored = self.known.get((run.kind, run.number))
        if stored is None:
            start = int(run.start * 1000)
            stored = self.client.create_run(self.experiment, start_time=start, tags=tags, run_name=run.name[:200])
        key = stored.info.run_id
        if stored.data.tags.get(DELIVERED) == digest:
            return key
        for name, value in tags.items():
            if stored.data.tags.get(name) != value:
                self.client.set_tag(key, name, value)
        self._fill(stored, run)
        for path, place, _ in run.artifacts:
            self.client.log_artifact(key, str(self.folder / path), place or None)
        if run.status == "RUNNING":
            self.client.update_run(key, status="RUNNING")
        else:
            self.client.set_terminated(key, run.status, int(run.end * 1000))
        self.client.set_tag(key, DELIVERED, digest)
        return key

    def _fill(self, stored: Any, run: Run) -> None:
        from mlflow.entities import Dataset, DatasetInput, Metric, Param

        key = stored.info.run_id
        metrics = [Metric(_name(n), value, int(at * 1000), step) for n, value, at, step in run.points]
        wanted = {_name(n): str(v)[:6000] for n, v in run.params.items()}
        params = [Param(n, v) for n, v in wanted.items() if n not in stored.data.params]
        for start in range(0, len(params), 90):
            self.client.log_batch(key, params=params[start : start + 90])
        for start in range(0, len(metrics), BATCH):
            self.client.log_batch(key, metrics=metrics[start : start + BATCH])
        if run.dataset is not None and not getattr(stored.inputs, "dataset_inputs", None):
            name, digest = run.dataset
            source = json.dumps({"uri": name})
            entry = Dataset(name=Path(name).name[:500], digest=digest[:36], source_type="local", source=source)
            self.client.log_inputs(key, [DatasetInput(entry)])

    def _experiment(self, artifacts: str | None) -> str:
        from mlflow.exceptions import MlflowException

        found = self.client.get_experiment_by_name(EXPERIMENT)
        if found is None:
            try:
                return self.client.create_experiment(EXPERIMENT, artifact_location=artifacts)
            except MlflowException:  # another campaign was faster
                found = self.client.get_experiment_by_name(EXPERIMENT)
                if found is None:
                    raise
        if found.lifecycle_stage == "deleted":
            raise ValueError(
                f"experiment '{EXPERIMENT}' was deleted in MLflow; bring it back with "
                f"`mlflow experiments restore --experiment-id {found.experiment_id}`, or remove it for good "
                f"with `mlflow gc --experiment-ids {found.experiment_id}`"
            )
        return found.experiment_id

    def _runs(self) -> list[Any]:
        token, runs = None, list[Any]()
        while token is not None or not runs:
            page = self.client.search_runs(
                [self.experiment], f"tags.`{IDENTITY}` = '{self.identity}'", page_token=token
            )
            runs, token = runs + list(page), page.token or None
            if token is None:
                break
        return runs


def _check(uri: str) -> None:
    """Refuse what can be no store.

    Raises:
        ValueError: in one sentence.
    """
    if uri.startswith("sqlite") and (uri.endswith(":memory:") or not uri.partition(":")[2].strip("/")):
        raise ValueError(f"MLFLOW_TRACKING_URI '{uri}': a store in memory is gone at once; {FORMS}")
    scheme = urlsplit(uri).scheme
    if scheme == "file" or (len(scheme) < 2 and uri not in {"databricks", "databricks-uc", "uc"}):
        raise ValueError(f"MLFLOW_TRACKING_URI '{uri}': MLflow no longer keeps runs in folders; {FORMS}")


def _database(given: str, folder: Path) -> Path | None:
    """The sqlite file that a URI names, `mlflow.db` beside the folder if there is no URI; None if it names a server."""
    from sqlalchemy.engine import make_url

    if not given:
        return folder.parent / "mlflow.db"
    if not given.startswith("sqlite"):
        return None
    return Path(str(make_url(given).database)).absolute()


def _open_database(path: Path) -> tuple[str, str]:
    """URI of a sqlite store, made if there is none, and of its artifacts, which lie beside it.

    This process goes to the store's folder, so that no URI holds the folder's name: whatever it is, mlflow
    takes a URI for a path in places.
    """
    os.chdir(path.parent)
    artifacts = (path.parent / "mlartifacts").as_uri()
    if url2pathname(urlsplit(artifacts).path) != str(path.parent / "mlartifacts"):
        raise ValueError(f"{path.parent!a}: MLflow keeps nothing in a folder whose name is not UTF-8; rename it")
    _create_database(path.name, artifacts)
    _move_artifacts(path.name, artifacts)
    return _sqlite(path.name), artifacts


def _sqlite(name: str) -> str:
    from sqlalchemy.engine import URL

    return URL.create("sqlite", database=name).render_as_string()


def _create_database(name: str, artifacts: str) -> None:
    """Make the sqlite store whole or not at all: its migrations survive neither a kill nor company."""
    from filelock import FileLock

    path = Path(name)
    if path.exists() and path.stat().st_size:
        return
    with FileLock(f".{name}.lock"):
        if path.exists() and path.stat().st_size:
            return
        for stale in Path().glob(f"{glob.escape(name)}.tmp-*"):
            stale.unlink()
        temporary = Path(f"{name}.tmp-{os.getpid()}")
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        store = SqlAlchemyStore(_sqlite(temporary.name), artifacts)
        store.engine.dispose()
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)


def _move_artifacts(name: str, artifacts: str) -> None:
    """After its folder was moved or copied, let our experiment point to the artifacts beside the store.

    Raises:
        ValueError: the file is no store.
    """
    import sqlite3

    ours = "SELECT experiment_id, artifact_location FROM experiments WHERE name = ?"
    with contextlib.closing(sqlite3.connect(name, timeout=30)) as database:
        try:
            for number, old in database.execute(ours, (EXPERIMENT,)).fetchall():
                if old == artifacts or not (old.startswith("file:") and old.endswith("/mlartifacts")):
                    continue
                move = "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?"
                database.execute(move, (artifacts, number))
                move = "UPDATE runs SET artifact_uri = ? || substr(artifact_uri, ?)"
                move += " WHERE experiment_id = ? AND substr(artifact_uri, 1, ?) = ?"
                database.execute(move, (artifacts, len(old) + 1, number, len(old), old))
            database.commit()
        except sqlite3.Error as error:
            path = Path(name).absolute()
            raise ValueError(
                f"{path}: it cannot be read as MLflow's store ({error}); move it away if it is none"
            ) from None


def _sentence(error: Exception) -> str:
    """What a person must know of a failure, on one line."""
    if isinstance(error, ModuleNotFoundError):
        return f"the Python package {error.name} is not installed; `pip install {error.name}`"
    words = " ".join(str(error).split())
    if type(error).__name__ == "UnsupportedModelRegistryStoreURIException":
        return f"MLFLOW_TRACKING_URI: MLflow knows no such scheme; {FORMS}"
    if "failed with exception" in words:  # mlflow's words around those of requests around those of urllib3
        return f"the server does not answer ({words.split('failed with exception')[1].split('(Caused by')[-1].strip()})"
    if type(error) is ValueError:
        return words
    return f"{type(error).__name__}: {words}"


def _name(words: str) -> str:
    """A name that MLflow takes for a metric or a parameter."""
    return re.sub(r"[^\w\-. :/]", "_", words)[:250]


def _redact(words: str, uri: str) -> str:
    """Words without the secrets that a URI, or anything like one in them, holds."""
    with_secrets = re.sub(r"//\S*@", "//***@", words)
    if "@" in uri:
        user = uri.split("://")[-1].rpartition("@")[0]
        for secret in {user, unquote(user), *user.split(":", 1)[1:], *unquote(user).split(":", 1)[1:]} - {""}:
            with_secrets = with_secrets.replace(secret, "***")
    return re.sub(r"(?i)((?:password|passwd|pwd|token|secret|key)=)[^&\s'\"]+", r"\1***", with_secrets)
