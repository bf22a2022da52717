"""The model that a campaign ended with, as MLflow holds, loads and serves it: figures equal to the head's."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from test_loop_tracking import HOSTILE, runs_of

from janus_al import checkpoint
from janus_al.training import encode
from loop.output.delivery import Run
from loop.output.store import Store
from loop.output.tracking import campaign_runs, sync
from simulators import generate


@pytest.fixture(scope="module")
def shown(folder, tmp_path_factory):
    """A finished campaign in a folder with the worst of names, delivered twice, at first to be registered, too."""
    parent = tmp_path_factory.mktemp("serving") / HOSTILE
    shutil.copytree(folder, parent / "small")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        first, second = (sync(parent / "small", 600.0, name) for name in ("small", None))
    assert [(s.error, s.registered) for s in (first, second)] == [(None, "small/1"), (None, None)]
    client, runs = runs_of(parent, campaign_runs(parent / "small")[0])
    (model,) = client.search_logged_models([runs["campaign", "-"].info.experiment_id])
    assert model.source_run_id == runs["campaign", "-"].info.run_id
    assert runs["campaign", "-"].info.status == "FINISHED"
    (found,) = parent.glob("mlartifacts/models/*/artifacts")
    clean = tmp_path_factory.mktemp("served") / "model"
    shutil.copytree(found, clean)
    return parent / "small", clean


def head(campaign, images):
    """The network's own answers, and their names."""
    model, _ = checkpoint.load(sorted((campaign / "models").iterdir())[-1])
    return model.values(encode(model, images)).detach().double().numpy(), model.config.properties


def test_it_holds_weights_and_nothing_pickled(shown):
    _, served = shown
    names = {path.name for path in served.rglob("*") if path.is_file()}
    assert {"weights.safetensors", "model.json", "SHA256SUMS", "serving.py", "MLmodel", "input_example.json"} <= names
    assert not [name for name in names if name.endswith((".pkl", ".pickle", ".pt", ".pth", ".bin"))]
    pinned = (served / "requirements.txt").read_text()
    assert "cuda" not in pinned
    assert "nvidia" not in pinned
    assert ("torch==" in pinned, "+cpu" in pinned, "janus-al==" in pinned) == (True, sys.platform == "linux", True)


def test_it_answers_as_the_head_does(shown, monkeypatch):
    """By MLflow's own scoring server, in this process; labels that are none are refused in a sentence."""
    import mlflow.pyfunc
    from fastapi.testclient import TestClient
    from mlflow.pyfunc import scoring_server

    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    campaign, served = shown
    images = generate(3, 16, 5)
    values, names = head(campaign, images)
    model = mlflow.pyfunc.load_model(str(served))
    assert model.metadata.signature.inputs.inputs[0].shape == (-1, 16, 16)
    assert model.predict(model.input_example).shape == (1, 2)
    client = TestClient(scoring_server.init(model))
    answer = client.post("/invocations", json={"inputs": images.tolist()})
    assert answer.status_code == 200
    told = [[row[name] for name in names] for row in answer.json()["predictions"]]
    np.testing.assert_allclose(told, values, rtol=1e-6)
    refused = client.post("/invocations", json={"inputs": (images + 1).tolist()})
    assert refused.status_code == 400
    assert "labels from 1 to 2: images hold labels 0 and 1" in refused.text
    assert client.post("/invocations", json={"inputs": images[:, :8].tolist()}).status_code == 400


def test_only_a_finished_campaign_with_a_model_shows_one(folder, tmp_path):
    copy = tmp_path / "small"
    shutil.copytree(folder, copy)
    assert campaign_runs(copy)[1][0].model[0].startswith("models/r")
    lines = [line for line in (copy / "journal.jsonl").read_text().splitlines(True) if '"finished"' not in line]
    (copy / "journal.jsonl").write_text("".join(lines))
    assert campaign_runs(copy)[1][0].model is None
    without = Run("campaign", "-", "small", 0.0, 0.0, "RUNNING", {}, [])
    with pytest.raises(ValueError, match="no model to register: a campaign shows its own once it has ended with one"):
        Store.show_model(None, "key", without, "small")
    assert Store.show_model(None, "key", without, None) is None


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextlib.contextmanager
def server(*command):
    """A process and all it starts; yields a function that asks a URL until it answers, with JSON."""
    binaries = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PYTHONSAFEPATH": "1", "PATH": binaries}
    process = subprocess.Popen(
        [*map(str, command)], env=environment, start_new_session=True, stdout=subprocess.PIPE, text=True
    )

    def ask(url, body=None):
        asked = urllib.request.Request(url, None if body is None else json.dumps(body).encode())
        asked.add_header("Content-Type", "application/json")
        until = time.monotonic() + 300
        while True:
            try:
                with urllib.request.urlopen(asked, timeout=60) as answer:
                    return json.load(answer)
            except OSError:
                assert process.poll() is None
                assert time.monotonic() < until
                time.sleep(1)

    try:
        yield process, ask
    finally:
        os.killpg(process.pid, 15)
        process.wait(30)


@pytest.mark.slow
def test_mlflow_models_serve_answers(shown):
    campaign, served = shown
    images, port = generate(2, 16, 6), free_port()
    values, names = head(campaign, images)
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", served, "--env-manager", "local", "-p", port]
    with server(*command) as (_, ask):
        told = ask(f"http://127.0.0.1:{port}/invocations", {"inputs": images.tolist()})["predictions"]
    np.testing.assert_allclose([[row[name] for name in names] for row in told], values, rtol=1e-6)


@pytest.mark.slow
def test_the_ui_names_the_page_of_the_experiment(shown):
    """What mlflow/ui.sh prints leads to our experiment as training runs, not to MLflow's empty first page."""
    campaign, _ = shown
    port = free_port()
    with server(Path(__file__).parents[1] / "mlflow/ui.sh", campaign.parent / "mlflow.db", port) as (process, ask):
        url = process.stdout.readline().split()[-1]
        number = url.removeprefix(f"http://127.0.0.1:{port}/#/experiments/").split("/")[0]
        assert url.endswith("/runs?workflowType=machine_learning")
        found = ask(f"http://127.0.0.1:{port}/api/2.0/mlflow/experiments/get?experiment_id={number}")["experiment"]
    assert found["name"] == "janus-al"
    kinds = {tag["key"]: tag["value"] for tag in found["tags"]}
    assert kinds["mlflow.experimentKind"] == "custom_model_development"
