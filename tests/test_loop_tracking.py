"""MLflow as a projection, in a real store: what is delivered, again and again, and what happens when it fails."""

import json
import time
from pathlib import Path

import pytest

from loop.tracking import log_study, sync

WEIGHTS = {"l_task": 1.0, "l_rec": 20.0, "l_cyc": 0.1, "l_deep": 0.1, "l_sens": 10.0}
ROUND = {
    "event": "round",
    "time": 1200.0,
    "round": 1,
    "candidates": 12,
    "probes": 0,
    "hits": 5,
    "simulations": 14,
    "spent": 18,
    "first_shot_error_median": 0.02,
    "probe_error_median": None,
    "probe_error_mean": None,
    "seconds": {"inversion": 3.5},
    "designs": [],
    "candidates_table": [],
}


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    """A folder of campaigns, whose store is made once."""
    return tmp_path_factory.mktemp("campaigns")


@pytest.fixture
def local(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def write_campaign(folder, name, finished):
    """A campaign as its journal tells it: a first training, one round, perhaps the end."""
    (folder / "models" / "r0000").mkdir(parents=True)
    history = [{"step": s, "loss": 2.0 / s, "task": float("inf") if s == 3 else 1.0 / s} for s in (1, 2, 3)]
    (folder / "models" / "r0000" / "model.json").write_text(json.dumps({"card": {"history": history}}))
    (folder / "campaign.toml").write_text(f'name = "{name}"\n[training]\nl_rec = 20.0\n[[target]]\ndesigns = 2\n')
    source = {"path": "d.h5", "digest": "a" * 64, "samples": 9, "simulated": 4}
    dataset = {"samples": 9, "simulated": 4, "digest": "b" * 64}
    trained = {"round": 0, "model": "models/r0000", "seconds": 7.0, "dataset": dataset, "weights": WEIGHTS}
    shard = {"round": 0, "file": "samples/s.h5", "sha256": "c" * 64, "samples": 9, "simulated": 4, "failed": []}
    events = [
        {"event": "shard", "time": 900.0, **shard},
        {"event": "campaign", "time": 1000.0, "campaign_id": name, "name": name, "seed": 0, "source": source},
        {"event": "trained", "time": 1100.0, **trained, "metrics": {"kxx_r2": 0.99}},
        ROUND,
    ]
    events += [{"event": "finished", "time": 1300.0, "state": "done", "reason": ""}] if finished else []
    (folder / "journal.jsonl").write_text("".join(json.dumps(e) + "\n" for e in events))
    return folder


def runs_of(parent, name):
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{parent / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("janus-al").experiment_id
    found = client.search_runs([experiment], f"tags.campaign_id = '{name}'")
    return client, {(r.data.tags["kind"], r.data.tags["round"]): r for r in found}


def test_the_library_is_not_our_folder():
    import mlflow

    assert "site-packages" in mlflow.__file__
    folder = Path(__file__).parent.parent / "mlflow"
    assert not list(folder.glob("*.py"))


def test_what_is_delivered(parent, local):
    folder = write_campaign(parent / "a", "a", finished=True)
    assert sync(folder).error is None
    client, runs = runs_of(parent, "a")
    assert set(runs) == {("campaign", "-"), ("round", "0"), ("round", "1")}
    top, first, second = runs["campaign", "-"], runs["round", "0"], runs["round", "1"]
    assert {r.info.status for r in runs.values()} == {"FINISHED"}
    assert top.data.params["training.l_rec"] == "20.0"
    assert top.data.params["target.1.designs"] == "2"
    assert top.inputs.dataset_inputs[0].dataset.digest == "a" * 36
    assert first.data.tags["mlflow.parentRunId"] == top.info.run_id
    assert first.data.params["l_sens"] == "10.0"
    assert first.data.metrics["metrics.kxx_r2"] == 0.99
    points = client.get_metric_history(first.info.run_id, "train/loss")
    assert [(p.step, p.value) for p in points] == [(1, 2.0), (2, 1.0), (3, pytest.approx(2 / 3))]
    assert [p.step for p in client.get_metric_history(first.info.run_id, "train/task")] == [1, 2]
    assert second.data.metrics["hits"] == 5
    assert second.data.metrics["seconds.inversion"] == 3.5
    assert "probe_error_median" not in second.data.metrics
    assert [a.path for a in client.list_artifacts(first.info.run_id, "model")] == ["model/model.json"]


def test_delivering_again_changes_nothing(parent, local):
    folder = write_campaign(parent / "b", "b", finished=True)
    assert sync(folder).error is None
    client, runs = runs_of(parent, "b")
    assert sync(folder).error is None
    _, again = runs_of(parent, "b")
    assert {k: r.info.run_id for k, r in runs.items()} == {k: r.info.run_id for k, r in again.items()}
    run = runs["round", "0"].info.run_id
    assert len(client.get_metric_history(run, "train/loss")) == 3


def test_a_delivery_that_was_killed_is_completed(parent, local):
    """A child left under way, with half its points, ends whole."""
    folder = write_campaign(parent / "c", "c", finished=True)
    assert sync(folder, live=True).error is None
    client, runs = runs_of(parent, "c")
    run = runs["round", "0"].info.run_id
    for r in runs.values():
        client.update_run(r.info.run_id, status="RUNNING")
    assert sync(folder).error is None
    _, again = runs_of(parent, "c")
    assert {r.info.status for r in again.values()} == {"FINISHED"}
    assert len(client.get_metric_history(run, "train/loss")) == 3


@pytest.mark.parametrize(("live", "status"), [(True, "RUNNING"), (False, "KILLED")])
def test_a_campaign_under_way(parent, local, live, status):
    folder = write_campaign(parent / status, status, finished=False)
    assert sync(folder, live=live).error is None
    _, runs = runs_of(parent, status)
    assert runs["campaign", "-"].info.status == status
    assert runs["round", "1"].info.status == "FINISHED"


def test_a_server_that_is_not_there_costs_seconds(parent, monkeypatch, local):
    folder = write_campaign(parent / "d", "d", finished=True)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:secret@127.0.0.1:9")
    began = time.monotonic()
    result = sync(folder)
    assert time.monotonic() - began < 15
    assert result.delivered == 0
    assert result.error
    assert "secret" not in str(result)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert sync(folder).delivered == 3


def test_a_damaged_store_is_a_sentence(tmp_path, local):
    folder = write_campaign(tmp_path / "e", "e", finished=True)
    (tmp_path / "mlflow.db").write_bytes(b"not a database at all" * 100)
    result = sync(folder)
    assert result.error
    assert "\n" not in result.error


def test_a_study(parent, local):
    trials = [
        {
            "number": 0,
            "params": {"l_rec": 20.0},
            "value": 0.03,
            "state": "COMPLETE",
            "intermediate": {0: 0.1},
            "time": 5.0,
        },
        {
            "number": 1,
            "params": {"l_rec": 2.0},
            "value": None,
            "state": "PRUNED",
            "intermediate": {0: 0.3},
            "time": 9.0,
        },
    ]
    folder = parent / "tuning"
    for _ in range(2):
        assert log_study(folder, "tuning", trials).error is None
    _, runs = runs_of(parent, f"study {folder.resolve()}")
    assert set(runs) == {("study", "-"), ("trial", "0"), ("trial", "1")}
    assert runs["trial", "0"].data.metrics == {"value": 0.03, "objective": 0.1}
    assert runs["trial", "0"].data.params == {"l_rec": "20.0"}
    assert runs["trial", "1"].info.status == "KILLED"
    assert runs["trial", "1"].data.tags["mlflow.parentRunId"] == runs["study", "-"].info.run_id
