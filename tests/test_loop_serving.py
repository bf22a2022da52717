"""The model that a campaign ended with, as MLflow holds, loads and serves it: figures equal to the head's."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

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
        first, second = sync(parent / "small", register="small"), sync(parent / "small")
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


@pytest.mark.slow
def test_mlflow_models_serve_answers(shown):
    campaign, served = shown
    images = generate(2, 16, 6)
    values, names = head(campaign, images)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", served, "--env-manager", "local", "-p", port]
    process = subprocess.Popen([*map(str, command)], env={**os.environ, "PYTHONSAFEPATH": "1"}, start_new_session=True)
    try:
        until = time.monotonic() + 300
        while True:
            body = json.dumps({"inputs": images.tolist()}).encode()
            asked = urllib.request.Request(f"http://127.0.0.1:{port}/invocations", body)
            asked.add_header("Content-Type", "application/json")
            try:
                with urllib.request.urlopen(asked, timeout=60) as answer:
                    told = json.load(answer)["predictions"]
                break
            except OSError:
                assert process.poll() is None
                assert time.monotonic() < until
                time.sleep(1)
    finally:
        os.killpg(process.pid, 15)
        process.wait(30)
    np.testing.assert_allclose([[row[name] for name in names] for row in told], values, rtol=1e-6)
