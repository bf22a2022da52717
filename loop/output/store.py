"""The runs of one campaign or study in an MLflow store, and the sqlite file that is one.

The only file that imports mlflow, beside `serving`, which MLflow runs.
"""

import contextlib
import dataclasses
import glob
import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from janus_al.files import MODEL
from loop import CREATED_BY
from loop.output.delivery import Run

EXPERIMENT = "janus-al"
IDENTITY, DELIVERED, PARENT = "janus_al.identity", "janus_al.delivered", "mlflow.parentRunId"
TRAINING = {"mlflow.experimentKind": "custom_model_development"}
"""what its runs are to MLflow, whose pages are of language models unless told"""
BATCH = 900
"""metrics a request; the store takes 1000"""


class Store:
    """The runs of one identity in an MLflow store."""

    def __init__(self, given: str, folder: Path, identity: str) -> None:
        from mlflow.tracking import MlflowClient

        self.folder, self.name = folder, identity
        self.identity = hashlib.sha256(identity.encode()).hexdigest()[:32]  # safe within any filter
        database, uri, artifacts = _database(given, folder), given, None
        if database is not None:
            uri, artifacts = _open_database(database)
        self.uri, self.client = uri, MlflowClient(tracking_uri=uri)
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
        key = _known(stored.info.run_id)
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

    def show_model(self, key: str, run: Run, register: str | None) -> str | None:
        """Make the store hold the model that a run shows, as one that MLflow serves, once; register it if asked to.

        Returns the name and version it is registered as.

        Raises:
            ValueError: it is to be registered, and there is none.
        """
        import mlflow

        if run.model is None:
            if register:
                raise ValueError("no model to register: a campaign shows its own once it has ended with one")
            return None
        folder, checksum = run.model
        known = self.client.search_logged_models([self.experiment], f"source_run_id = '{key}'")
        uris = [m.model_uri for m in known if m.tags.get("sha256") == checksum and m.status == "READY"]
        if not uris:
            mlflow.set_tracking_uri(self.uri)
            mlflow.set_experiment(experiment_id=self.experiment)
            uris = [_log_model(self.folder / folder, checksum, key)]
        if not register:
            return None
        versions = self.client.search_model_versions(f"run_id = '{key}'")
        found = [v for v in versions if (v.name, v.source) == (register, uris[0])]
        version = found[0] if found else mlflow.register_model(uris[0], register)
        return f"{register}/{version.version}"

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
                return _known(self.client.create_experiment(EXPERIMENT, artifacts, tags=TRAINING))
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
        return _known(found.experiment_id)

    def _runs(self) -> list[Any]:
        ours, runs, token = f"tags.`{IDENTITY}` = '{self.identity}'", list[Any](), None
        while True:
            page = self.client.search_runs([self.experiment], ours, page_token=token)
            runs += page
            if not (token := page.token):
                return runs


class Flavour:
    """MLflow's of Python functions; the example is not tried, which would import torch for it. Tests try it."""

    @staticmethod
    def save_model(validate_serving_input: bool, **settings: Any) -> None:
        """What `Model.log` calls."""
        import mlflow.pyfunc

        mlflow.pyfunc.save_model(**settings)


def _log_model(folder: Path, checksum: str, run: str) -> str:
    """Log a trained model to a run, with signature and example; returns its URI."""
    import numpy as np
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    about = json.loads((folder / MODEL[0]).read_text())
    network, size = about["network"], about["network"]["size"]
    grid = tuple(size) if isinstance(size, list) else (size,) * network["dim"]
    signature = ModelSignature(
        Schema([TensorSpec(np.dtype("uint8"), (-1, *grid))]),
        Schema([ColSpec("double", name) for name in network["properties"]]),
    )
    with tempfile.TemporaryDirectory() as clean:  # mlflow takes a path for a URI in places
        for name in MODEL:
            shutil.copy(folder / name, clean)
        logged = Model.log(
            None,
            Flavour,
            run_id=run,
            name="model",
            python_model=str(Path(__file__).with_name("serving.py")),
            artifacts={"model": clean},
            signature=signature,
            input_example=(np.indices(grid).sum(axis=0) // 4 % 2).astype(np.uint8)[None],
            pip_requirements=_requirements(),
            metadata={"material": about["card"]["material"]},
            tags={"sha256": checksum},
            validate_serving_input=False,
        )
    return str(logged.model_uri)


def _requirements() -> list[str]:
    """What serving needs, pinned as installed; torch without a GPU, which no opinion of a few images is worth."""
    from importlib.metadata import version

    pinned = [f"{name}=={version(name)}" for name in ("numpy", "pandas", "pydantic", "safetensors")]
    torch = version("torch").partition("+")[0]
    cpu = [f"torch=={torch}+cpu" if sys.platform == "linux" else f"torch=={torch}"]
    return ["--extra-index-url https://download.pytorch.org/whl/cpu", *cpu, *pinned, CREATED_BY.replace(" ", "==")]


def _known(key: str) -> str:
    """The id that a server gave.

    Raises:
        ValueError: it gave none, as whatever answers every question with an empty one.
    """
    if not key:
        raise ValueError("the server answers, but not as MLflow does; check MLFLOW_TRACKING_URI")
    return key


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


def _name(words: str) -> str:
    """A name that MLflow takes for a metric or a parameter."""
    return re.sub(r"[^\w\-. :/]", "_", words)[:250]
