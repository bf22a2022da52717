"""MLflow as a projection, in a real store: what is delivered, again and again, and what happens when it fails."""

import contextlib
import http.server
import json
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pytest

from janus_al.checkpoint import load
from loop.campaign.campaign import Campaign
from loop.commands.run import _project
from loop.files.lock import LockedError, is_locked, locked
from loop.output.delivery import _redact
from loop.output.tracking import Trial, campaign_runs, log_study, sync
from loop.simulation.progress import Progress

HOSTILE = "a%41 b#c?d'e\"f;ü\ng"
K = {"kxx": 0.3, "kyy": 0.3}
WEIGHTS = {"l_task": 1.0, "l_rec": 20.0, "l_cyc": 0.1, "l_deep": 0.1, "l_sens": 10.0}
CONFIG = """
name = "{name}"
[microstructure]
size = 16
phase_conductivity = [0.1, 1.0]
[dataset.generate]
count = 9
simulated = 4
[[target]]
name = "low"
designs = 2
kxx = {{ value = 0.3, tolerance = 0.05 }}
[[target]]
kyy = {{ min = 0.2 }}
[training]
l_rec = 20.0
"""


def round_event(number, first, probe, designs):
    return {
        "event": "round",
        "time": 1100.0 + 100 * number,
        "round": number,
        "candidates": 12,
        "probes": 24,
        "hits": 5,
        "simulations": 7,
        "probe_error_mean": probe,
        "first_shot_error_median": first,
        "probe_error_median": probe,
        "spent": 4 + 7 * number,
        "seconds": {"inversion": 3.5, "training": 1.5},
        "designs": [{"target": t, "name": f"{t}-{number}", "hash": 64 * "a"} for t in designs],
        "candidates_table": [
            {
                "target": t,
                "hash": 64 * "a",
                "predicted": K,
                "first_shot": K,
                "final": {"kxx": number + 0.25, "kxx_lower": number + 0.125},
                "error": 1.0,
                "simulations": 1,
                "met": True,
            }
            for t in designs
        ],
    }


def write_campaign(folder, name, finished, campaign_id=None):
    """A campaign as its journal tells it: a first training, two rounds, perhaps the end."""
    (folder / "models" / "r0000").mkdir(parents=True)
    history = [{"step": s, "loss": 2.0 / s, "task": float("inf") if s == 3 else 1.0 / s} for s in (1, 2, 3)]
    (folder / "models" / "r0000" / "model.json").write_text(json.dumps({"card": {"history": history}}))
    (folder / "campaign.toml").write_text(CONFIG.format(name=name))
    source = {"path": "d.h5", "digest": "a" * 64, "samples": 9, "simulated": 4}
    dataset = {"samples": 9, "simulated": 4, "digest": "b" * 64}
    trained = {"model": "models/r0000", "seconds": 7.0, "dataset": dataset, "weights": WEIGHTS}
    begun = {"campaign_id": campaign_id or name, "name": name, "seed": 0, "source": source}
    shard = {
        "event": "shard",
        "time": 1010.0,
        "seconds": 3.0,
        "samples": 7,
        "simulated": 6,
        "file": "samples/a.h5",
        "sha256": 64 * "a",
    }
    failed = [{"hash": 64 * "b", "reason": "x"}]
    events = [
        {
            "event": "shard",
            "time": 900.0,
            "round": 0,
            "simulated": 4,
            "failed": [],
            "samples": 9,
            "seconds": 2.0,
            "file": "samples/b.h5",
            "sha256": 64 * "b",
        },
        {"event": "campaign", "time": 1000.0, **begun},
        {"event": "trained", "time": 1100.0, "round": 0, **trained, "metrics": {"kxx_r2": 0.9, "kxx_error": 0.02}},
        {**shard, "round": 1, "failed": failed},
        {"event": "trained", "time": 1190.0, "round": 1, **trained, "metrics": {"kxx_r2": 0.99, "kxx_error": 0.01}},
        round_event(1, 0.02, None, ["low"]),
        {**shard, "round": 2, "failed": failed},
        round_event(2, 0.01, 0.03, ["low", "t2"]),
    ]
    events += [{"event": "finished", "time": 1400.0, "state": "done", "reason": "targets met"}] if finished else []
    (folder / "journal.jsonl").write_text("".join(json.dumps(e) + "\n" for e in events))
    return folder


def runs_of(parent, identity):
    """The runs of one campaign or study, read as another program would, standing in the store's folder."""
    from mlflow.tracking import MlflowClient
    from sqlalchemy.engine import URL

    link = parent.parent / f"{parent.name.encode().hex()}.link"  # mlflow would make folders for a path with a %
    if not link.exists():
        link.symlink_to(parent)
    client = MlflowClient(URL.create("sqlite", database=str(link / "mlflow.db")).render_as_string())
    experiment = client.get_experiment_by_name("janus-al").experiment_id
    found = [r for r in client.search_runs([experiment]) if r.data.tags["campaign_id"] == identity]
    runs = {(r.data.tags["kind"], r.data.tags["round"]): r for r in found}
    assert len(runs) == len(found)
    return client, runs


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    """A folder of campaigns with a store; its name is as bad as names can be."""
    parent = tmp_path_factory.mktemp("tracking") / HOSTILE
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        assert sync(write_campaign(parent / HOSTILE, "whole", finished=True)).error is None
    return parent


@pytest.fixture
def local(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def test_the_library_is_not_our_folder():
    import mlflow

    assert "site-packages" in mlflow.__file__
    folder = Path(__file__).parent.parent / "mlflow"
    assert not list(folder.glob("*.py"))


def test_what_is_delivered(parent):
    client, runs = runs_of(parent, "whole")
    assert set(runs) == {("campaign", "-"), ("round", "0"), ("round", "1"), ("round", "2")}
    top, first, second = runs["campaign", "-"], runs["round", "0"], runs["round", "1"]
    assert {r.info.status for r in runs.values()} == {"FINISHED"}
    assert top.inputs.dataset_inputs[0].dataset.digest == "a" * 36
    assert first.data.tags["mlflow.parentRunId"] == top.info.run_id
    assert first.data.params["l_sens"] == "10.0"
    assert first.data.metrics["metrics.kxx_r2"] == 0.9
    points = client.get_metric_history(first.info.run_id, "train/loss")
    assert [(p.step, p.value) for p in points] == [(1, 2.0), (2, 1.0), (3, pytest.approx(2 / 3))]
    assert [p.step for p in client.get_metric_history(first.info.run_id, "train/task")] == [1, 2]
    assert second.data.metrics["hits"] == 5
    assert second.data.metrics["seconds.inversion"] == 3.5
    assert "probe_error_median" not in second.data.metrics
    assert [a.path for a in client.list_artifacts(first.info.run_id, "model")] == ["model/model.json"]
    assert {p.name for p in parent.iterdir()} == {HOSTILE, "mlflow.db", "mlartifacts", ".mlflow.db.lock"}
    assert {p.name for p in parent.parent.iterdir() if not p.is_symlink()} == {HOSTILE}


def test_campaigns_compare_in_the_table(parent):
    client, runs = runs_of(parent, "whole")
    top = runs["campaign", "-"]
    assert top.data.metrics == {
        "designs": 3,
        "designs_wanted": 3,
        "simulations": 18,
        "simulations_budget": 400,
        "failures": 2,
        "seconds": 19.0,
        "first_shot_error.first": 0.02,
        "first_shot_error.last": 0.01,
        "probe_error.first": 0.03,
        "probe_error.last": 0.03,
        "test.kxx_r2.first": 0.9,
        "test.kxx_r2.last": 0.99,
        "test.kxx_error.first": 0.02,
        "test.kxx_error.last": 0.01,
        "design.kxx": 2.25,
        "design.kxx_lower": 2.125,
    }
    values = client.get_metric_history(top.info.run_id, "design.kxx")
    assert [(p.step, p.value) for p in values] == [(1, 1.25), (2, 2.25), (3, 2.25)]
    assert top.data.params["unit.kxx"] == "W/(m K)"
    designs = client.get_metric_history(top.info.run_id, "designs")
    assert [(p.step, p.value) for p in designs] == [(0, 0), (1, 1), (2, 3)]
    assert top.data.params["targets"] == "low: kxx = 0.3 ± 5 %, 2 designs; t2: kyy >= 0.2, 1 designs"
    assert top.data.params["microstructure.phase_conductivity"] == "[0.1, 1.0]"
    assert top.data.params["microstructure.size"] == "16"
    assert top.data.params["execution.solver"] == "fipy"
    assert top.data.params["training.l_rec"] == "20.0"
    assert (top.data.tags["state"], top.data.tags["reason"]) == ("done", "targets met")


def test_a_copy_keeps_its_runs_and_what_was_cut_off_is_completed(parent, local):
    """Copied with its store, half delivered: the same runs, nothing doubled, and the original stays as it was."""
    copy = parent.parent / "copy"
    shutil.copytree(parent, copy)
    (copy / HOSTILE).rename(copy / "renamed")
    client, runs = runs_of(copy, "whole")
    for run in runs.values():
        client.update_run(run.info.run_id, status="RUNNING")
        client.delete_tag(run.info.run_id, "janus_al.delivered")
    shutil.rmtree(copy / "mlartifacts")
    before = {p: p.stat().st_mtime_ns for p in parent.rglob("*")}
    assert sync(copy / "renamed").delivered == 4
    _, again = runs_of(copy, "whole")
    assert {k: r.info.run_id for k, r in again.items()} == {k: r.info.run_id for k, r in runs.items()}
    assert {r.info.status for r in again.values()} == {"FINISHED"}
    assert len(client.get_metric_history(runs["round", "0"].info.run_id, "train/loss")) == 3
    assert {p: p.stat().st_mtime_ns for p in parent.rglob("*")} == before
    assert len(list((copy / "mlartifacts").rglob("campaign.toml"))) == 1
    place = urlsplit(again["round", "0"].info.artifact_uri).path
    assert url2pathname(place).startswith(str(copy / "mlartifacts"))


def test_a_campaign_that_runs_is_running(parent, local):
    """While a process holds its lock, and the lock is none the worse for it; then it was killed. Any id will do."""
    identity = "x' OR tags.kind = 'campaign"
    folder = write_campaign(parent / "under way", "under way", finished=False, campaign_id=identity)
    assert not is_locked(folder)
    code = "import sys; from pathlib import Path; from loop.files.lock import locked\n"
    code += f"with locked(Path({str(folder)!r}), 'x'): print('held', flush=True); sys.stdin.read()"
    command = [sys.executable, "-P", "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        assert is_locked(folder)
        assert sync(folder).error is None
        with pytest.raises(LockedError, match="another process is looking"), locked(folder, "looking"):
            pass
        holder.kill()
    assert not is_locked(folder)
    _, runs = runs_of(parent, identity)
    assert runs["campaign", "-"].info.status == "RUNNING"
    assert runs["round", "1"].info.status == "FINISHED"
    assert sync(folder).error is None
    _, runs = runs_of(parent, identity)
    assert runs["campaign", "-"].info.status == "KILLED"
    assert len(runs_of(parent, "whole")[1]) == 4


def test_looking_at_a_lock_disturbs_nobody(tmp_path):
    """A process may take the lock in the very moment in which another looks at it."""
    stop = threading.Event()

    def look():
        while not stop.is_set():
            is_locked(tmp_path)

    with locked(tmp_path, "x"):
        pass
    looking = threading.Thread(target=look)
    looking.start()
    for _ in range(200):
        with locked(tmp_path, "x"):
            pass
    stop.set()
    looking.join()


def answers(status, body=b"", **headers):
    def behave(handler):
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return behave


def drips(handler):
    handler.wfile.write(b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n")
    with contextlib.suppress(OSError):
        for _ in range(600):
            handler.wfile.write(b" ")
            time.sleep(0.2)


def never_ends(handler):
    handler.wfile.write(b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n")
    with contextlib.suppress(OSError):
        while True:
            handler.wfile.write(b" " * 2**22)


SERVERS = {
    "says come back in an hour": (answers(503, Retry_After="3600"), "503"),
    "drips a byte at a time": (drips, "no delivery within"),
    "agrees to all": (answers(200, b"{}"), "not as MLflow does"),
}
MORE = {
    "fails in HTML": (answers(500, b"<html>\n<h1>Oops</h1></html>"), "500"),
    "sends one around": (answers(302, Location="/api"), "redirects"),
    "has too many guests": (answers(429, Retry_After="3600"), "429"),
    "is something else": (answers(200, b"<html>\n<h1>Hello</h1></html>"), ""),
    "refuses": (answers(403, b"\x1b[2Jno"), "403"),
    "never ends": (never_ends, "more than there is memory for"),
    "says nothing": (answers(200), "not as MLflow does"),
    "makes no run": (
        answers(200, b'{"experiment": {"experiment_id": "1", "name": "janus-al"}, "runs": [{"info": null}]}'),
        "not as MLflow does",
    ),
    "never answers": (lambda handler: time.sleep(60), "timed out"),
    "hangs up": (lambda handler: None, "does not answer"),
}


@contextlib.contextmanager
def serving(behave):
    """A server that behaves like this; gives its port and what was asked of it."""
    seen = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append(self.path)
            behave(self)

        do_POST = do_GET

        def log_message(self, *words):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads, server.block_on_close = True, False
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port, seen
    server.shutdown()


def check_server(behave, words, monkeypatch, folder):
    write_campaign(folder, "x", finished=True)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    with serving(behave) as (port, seen):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:sec%2Fr%40et@127.0.0.1:{port}")
        for deadline in (5, 25):  # on a busy machine the first may pass before the server is asked
            began = time.monotonic()
            result = sync(folder, deadline if behave is drips else 60)
            assert time.monotonic() - began < (deadline + 2 if behave is drips else 60)
            if seen:
                break
    assert seen
    assert result.delivered == 0
    assert result.uri == f"http://***@127.0.0.1:{port}"
    assert words in result.error
    assert result.error.isprintable()
    assert [secret for secret in ("sec%2F", "sec/", "r@et", "r%40et") if secret in result.error] == []


@pytest.mark.parametrize("name", SERVERS)
def test_a_bad_server_costs_a_deadline_and_a_sentence(monkeypatch, tmp_path, name):
    check_server(*SERVERS[name], monkeypatch, tmp_path / "x")


@pytest.mark.slow
@pytest.mark.parametrize("name", MORE)
def test_other_bad_servers(monkeypatch, tmp_path, name):
    check_server(*MORE[name], monkeypatch, tmp_path / "x")


@pytest.mark.slow
def test_a_server_may_ask_for_an_hour_where_the_environment_grants_it(monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER", "true")
    folder = write_campaign(tmp_path / "x", "x", finished=True)
    with serving(answers(503, Retry_After="3600")) as (port, seen):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
        assert "no delivery within 20 s" in sync(folder, 20).error
    assert seen


def test_secrets_are_kept():
    for uri in ("http://u:SEC/RET@x@host/", "postgresql://u:SECRET@host/x?password=OTHER&a=b", "mysql://u:SEC%2FRET@h"):
        words = _redact(f"no {uri} nor {uri[6:]}", uri)
        assert [s for s in ("SECRET", "SEC/RET", "SEC%2FRET", "OTHER") if s in words] == []


def test_no_server_is_a_sentence(monkeypatch, tmp_path):
    folder = write_campaign(tmp_path / "d", "d", finished=True)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:secret@127.0.0.1:9")
    result = sync(folder)
    assert (result.delivered, result.uri) == (0, "http://***@127.0.0.1:9")
    assert "the server does not answer" in result.error
    assert "secret" not in str(result)


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("mlruns", "no longer keeps runs in folders"),
        ("/data/ml runs", "no longer keeps runs in folders"),
        ("file:///data/mlruns", "no longer keeps runs in folders"),
        ("http://[::1", "Invalid IPv6"),
        pytest.param("http://a host:5000", "no such scheme or address; give", marks=pytest.mark.slow),
        pytest.param("gopher://user:secret@host/x", "MLflow knows no such scheme", marks=pytest.mark.slow),
        ("postgresql://user:secret@host/x", "not installed; `pip install psycopg"),
        ("sqlite://", "in memory"),
    ],
)
def test_a_uri_that_names_no_store_is_a_sentence(tmp_path, monkeypatch, uri, words):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.chdir(tmp_path)
    folder = write_campaign(tmp_path / "x", "x", finished=True)
    result = sync(folder)
    assert words in result.error
    assert "\n" not in result.error
    assert "secret" not in str(result)
    assert list(tmp_path.iterdir()) == [folder]


def test_a_damaged_store_is_a_sentence(tmp_path, local):
    folder = write_campaign(tmp_path / "e", "e", finished=True)
    (tmp_path / "mlflow.db").write_bytes(b"not a database at all" * 100)
    result = sync(folder)
    assert result.error.startswith(
        f"{tmp_path / 'mlflow.db'}: it cannot be read as MLflow's store (file is not a database)"
    )
    assert "\n" not in result.error


def test_a_deleted_experiment_is_a_sentence_with_its_mend(parent, local, tmp_path):
    shutil.copy(parent / "mlflow.db", tmp_path)
    folder = write_campaign(tmp_path / "x", "x", finished=True)
    client, _ = runs_of(tmp_path, "whole")
    number = client.get_experiment_by_name("janus-al").experiment_id
    client.delete_experiment(number)
    error = sync(folder).error
    assert error.startswith("experiment 'janus-al' was deleted in MLflow; bring it back with")
    assert f"mlflow experiments restore --experiment-id {number}" in error


def test_a_store_of_ones_own(parent, monkeypatch, tmp_path):
    """A relative URI with characters that mean something in URIs: one file, artifacts beside it, no stray folder."""
    from sqlalchemy.engine import URL

    name = "own%41 #?.db"
    shutil.copy(parent / "mlflow.db", tmp_path / name)
    (tmp_path / "campaigns").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", URL.create("sqlite", database=name).render_as_string())
    assert sync(write_campaign(tmp_path / "campaigns" / "x", "x", finished=True)).delivered == 4
    assert {p.name for p in tmp_path.iterdir()} <= {name, f".{name}.lock", "campaigns", "mlartifacts"}
    assert [p.name for p in (tmp_path / "campaigns").iterdir()] == ["x"]
    assert list(tmp_path.glob("mlartifacts/*/artifacts/campaign.toml"))


def test_a_campaign_goes_on_without_mlflow(folder, tmp_path, monkeypatch, capsys):
    """It says once how to show itself later, does not try again before the end, and then once more."""
    copy = tmp_path / "a copy"
    shutil.copytree(folder, copy)
    lines = (copy / "journal.jsonl").read_text().splitlines(keepends=True)
    ended = next(i for i, line in enumerate(lines) if json.loads(line)["event"] == "finished")
    (copy / "journal.jsonl").write_text("".join(lines[:ended]))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "file:///nowhere")
    campaign, due = Campaign(copy), {}
    for _ in range(2):
        _project(campaign, Progress(), due)
    said = capsys.readouterr().err
    assert said.startswith(
        "tracking not written (MLflow: MLFLOW_TRACKING_URI 'file:///nowhere': MLflow no longer keeps"
    )
    assert said.endswith(f"later: janus-al campaign sync '{copy}'\n")
    assert said.count("\n") == 1
    campaign.journal.append("finished", state="done", reason="targets met")
    _project(campaign, Progress(), due)
    assert capsys.readouterr().err == said
    assert (copy / "report.html").exists()


def test_a_study(parent, local):
    """Its trials with losses and settings; a study done again in the same folder shows none of the old figures."""
    folder = parent / "tuning"
    folder.mkdir()
    settings = {"dataset": "c" * 64, "network": {"size": 16}, "training": {"steps": 8, "l_rec": 20.0}, "seed": 7}
    losses = [{"step": 2, "loss": 3.0}, {"step": 8, "loss": 1.0}]
    trials = [
        Trial(0, "COMPLETE", 5.0, 6.0, {"l_rec": 30.0}, 0.03, {0: 0.1, 1: 0.03}, losses, 8),
        Trial(1, "PRUNED", 9.0, 9.5, {"l_rec": 2.0}, None, {0: 0.3}, losses[:1], 2),
    ]
    assert log_study(folder, "first", settings, trials, {"best.value": 0.03, "importance.l_rec": 1.0}).delivered == 3
    assert log_study(folder, "again", settings, trials[1:], {"pruned": 1}).delivered == 2
    client, runs = runs_of(parent, "first")
    assert set(runs) == {("study", "-"), ("trial", "0"), ("trial", "1")}
    top, trial = runs["study", "-"], runs["trial", "0"]
    assert top.data.metrics == {"best.value": 0.03, "importance.l_rec": 1.0}
    assert trial.data.metrics == {"value": 0.03, "objective": 0.03, "train/loss": 1.0}
    assert [p.step for p in client.get_metric_history(trial.info.run_id, "train/loss")] == [2, 8]
    assert trial.data.params == {"training.l_rec": "30.0", "network.size": "16", "training.steps": "8", "seed": "7"}
    assert runs["trial", "1"].data.params["training.steps"] == "2"
    assert (trial.data.tags["state"], runs["trial", "1"].data.tags["state"]) == ("COMPLETE", "PRUNED")
    assert trial.inputs.dataset_inputs[0].dataset.digest == "c" * 36
    assert runs["trial", "1"].info.status == "KILLED"
    assert runs["trial", "1"].data.tags["mlflow.parentRunId"] == top.info.run_id
    _, again = runs_of(parent, "again")
    assert set(again) == {("study", "-"), ("trial", "1")}
    assert again["study", "-"].data.metrics == {"pruned": 1}


def test_a_delivered_model_is_whole(folder, tmp_path):
    """What a round's run shows as its model can be loaded from there."""
    _, runs = campaign_runs(folder)
    delivered = next(run.artifacts for run in runs if run.kind == "round" and run.artifacts)
    for path, place, _ in delivered:
        (tmp_path / place).mkdir(exist_ok=True)
        shutil.copy(folder / path, tmp_path / place)
    assert load(tmp_path / "model")[1] == load((folder / delivered[0][0]).parent)[1]
