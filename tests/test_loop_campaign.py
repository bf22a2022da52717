"""A whole campaign on 16 x 16 pixels: what it hands over, what it counts, and that it survives being killed."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from problems import direct_conductivity

from janus_al import dataset
from janus_al.samples import content_hash
from loop.campaign.campaign import Campaign
from loop.campaign.journal import Journal, read_events
from loop.campaign.toml import load_config
from loop.commands.run import LockedError, locked, run_campaign
from loop.design.candidates import Candidate
from loop.design.select import aligned_distance
from loop.output.projections import designs_of, status, write_dataset, write_designs
from loop.simulation.progress import Progress

CONFIG = Path(__file__).with_name("small.toml")


KILLED = """
import os, signal, sys
folder, left = sys.argv[1], int(sys.argv[2])
del sys.argv[1:3]

def watch(event, words):
    global left
    operations = {"open", "os.rename", "os.remove", "os.mkdir", "os.truncate", "os.chmod"}
    if event in operations and str(words[0]).startswith(folder):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(watch)
from loop.commands.main import main
main()
"""


def run_command(folder, operation=0, **environment):
    """The small campaign by the command, killed before its N-th operation on a file of the folder, if N is not 0."""
    words = [str(folder), str(operation), "campaign", "run", str(CONFIG), "--dir", str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    command = [sys.executable, "-P", "-c", KILLED, *words]
    return subprocess.Popen(command, env=environment, start_new_session=True, text=True, **pipes)


def test_designs_are_what_physics_says(folder):
    """Every figure of design.json, recomputed from image.npy by a solve of our own, and against the target."""
    targets = {t.name: t for t in load_config(CONFIG).targets()}
    paths = sorted(folder.glob("designs/*/design.json"))
    assert len(paths) == sum(t["designs"] for t in status(folder)["targets"])
    assert paths
    for path in paths:
        design = json.loads(path.read_text())
        image = np.load(path.with_name("image.npy"))
        kappa = np.array([0.1, 1.0])[image]
        got = design["properties"]
        assert got["kxx_fv"] == pytest.approx(direct_conductivity(kappa), rel=1e-8)
        assert got["kyy_fv"] == pytest.approx(direct_conductivity(kappa.T), rel=1e-8)
        assert got["kxx_fv"] <= got["kxx_lower"] <= got["kxx"] <= got["kxx_upper"]
        assert got["kxx_upper"] <= 1 / direct_conductivity(1 / kappa.T) * (1 + 1e-9)
        assert got["volume_fraction"] == image.mean()
        assert targets[design["target"]["name"]].met(got)
        assert design["lineage"]["hash"] == content_hash(image)


def test_designs_of_a_target_differ(folder):
    campaign = Campaign(folder)
    for target in campaign.targets:
        images = [d["image"] for d in designs_of(campaign) if d["target"]["name"] == target.name]
        for i, image in enumerate(images[1:], start=1):
            assert aligned_distance(image, np.stack(images[:i])).min() >= 0.05


def test_every_simulation_is_counted_and_kept(folder):
    report, campaign = status(folder), Campaign(folder)
    events = campaign.journal.events
    paid = sum(e["simulated"] + len(e["failed"]) for e in events if e["event"] == "shard")
    spent = report["simulations"]
    assert spent["done"] + spent["failed"] + spent["probes"]["spent"] == paid
    assert spent["probes"]["spent"] > 0
    assert [e["spent"] for e in events if e["event"] == "round"][-1] == paid - spent["probes"]["spent"]
    samples = dataset.read(folder / "dataset.h5")
    assert samples.simulated.sum() == spent["done"] + spent["probes"]["spent"]
    assert len(set(samples.hashes)) == len(samples)
    assert report["simulations"]["done"] <= report["simulations"]["budget"]


def test_projections_are_rebuilt(folder):
    campaign = Campaign(folder)
    before = (folder / "dataset.h5").read_bytes()
    designs = {p: p.read_bytes() for p in folder.glob("designs/*/*")}
    (folder / "dataset.h5").unlink()
    for path in designs:
        path.unlink()
    write_dataset(campaign)
    write_designs(campaign)
    assert (folder / "dataset.h5").read_bytes() == before
    assert {p: p.read_bytes() for p in folder.glob("designs/*/*")} == designs


def test_a_finished_campaign_is_left_alone(folder):
    journal = (folder / "journal.jsonl").read_bytes()
    run_campaign(folder, load_config(CONFIG), Progress())
    assert (folder / "journal.jsonl").read_bytes() == journal


def test_killed_at_the_very_end(folder, tmp_path):
    """Done but not shown: going on writes the designs and the report, and spends nothing."""
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    lines = (copy / "journal.jsonl").read_text().splitlines(keepends=True)
    (copy / "journal.jsonl").write_text("".join(lines[:-1]))
    (copy / "report.html").unlink()
    shutil.rmtree(copy / "designs")
    run_campaign(copy, load_config(CONFIG), Progress())
    assert (copy / "report.html").exists()
    assert len(list((copy / "designs").iterdir())) == len(Campaign(copy).designs())
    assert status(copy)["simulations"] == status(folder)["simulations"]


def test_another_configuration_is_refused(folder):
    from loop.campaign.config import ConfigError

    with pytest.raises(ConfigError, match="another configuration"):
        run_campaign(folder, load_config(CONFIG, overrides=["seed=4"]), Progress())


def test_one_process_at_a_time(folder):
    code = "import sys; from loop.commands.run import locked; from pathlib import Path\n"
    code += f"with locked(Path({str(folder)!r})):\n"
    code += " print('held', flush=True); sys.stdin.read()"
    holder = subprocess.Popen(
        [sys.executable, "-P", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(LockedError, match="another process"), locked(folder):
        pass
    holder.kill()
    holder.wait()
    with locked(folder):
        pass


def test_budget_is_a_limit(tmp_path, folder):
    """With 25 simulations, 20 of them for the data, five are left for the rounds."""
    campaign = run_campaign(
        tmp_path / "c", load_config(CONFIG, overrides=["budget.simulations=25", "training.steps=40"]), Progress()
    )
    report = status(tmp_path / "c")
    assert report["state"] == "stopped"
    assert report["simulations"]["done"] == campaign.ledger.spent == 25
    assert "simulations spent before" in report["reason"]


def test_no_more_is_begun_than_the_budget_is_expected_to_end(folder, monkeypatch):
    """Of each target in turn the first ones, at what its candidates took and two images once; all in the last round."""
    campaign = Campaign(folder)
    standing, (one, other) = campaign.standing, campaign.targets[:2]
    tables = [event["candidates_table"] for event in campaign.journal.of("round")]
    took = [row["simulations"] for table in tables for row in table if row["target"] == one.name]
    assert standing._takes(one) == pytest.approx((sum(took) + 2) / (len(took) + 1))
    assert standing._takes(dataclasses.replace(one, name="new")) == 2
    monkeypatch.setattr(standing, "_takes", lambda target: {one.name: 1.5, other.name: 2.5}[target.name])
    field = np.zeros((16, 16), np.float32)
    a, b, _, d, e = every = [Candidate(target, False, field, {}) for target in (one, one, one, other, other)]
    for left, kept in ((1, [a]), (4, [a, d]), (5.4, [a, d]), (5.5, [a, b, d]), (8, [a, b, d, e]), (9.5, every)):
        monkeypatch.setattr(type(campaign.ledger), "left", left)
        assert list(map(id, standing.affordable(every, 1))) == list(map(id, kept))
    monkeypatch.setattr(type(campaign.ledger), "left", 1)
    assert standing.affordable(every, campaign.config.budget.rounds) == every


def test_a_full_disk_loses_nothing(tmp_path):
    """A journal that cannot grow keeps its lines and takes the next one when there is room again."""
    code = """
import resource, signal, sys
from pathlib import Path
from loop.campaign.journal import Journal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
journal = Journal(Path(sys.argv[1]))
journal.append("note", number=1)
resource.setrlimit(resource.RLIMIT_FSIZE, (journal.path.stat().st_size + 10, resource.RLIM_INFINITY))
try:
    journal.append("note", number=2)
except OSError:
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    journal.append("note", number=3)
"""
    path = tmp_path / "journal.jsonl"
    subprocess.run([sys.executable, "-P", "-c", code, str(path)], check=True)
    assert [e["number"] for e in read_events(path)] == [1, 3]
    assert [e["number"] for e in Journal(path).events] == [1, 3]


def kill_and_resume(folder, reference, kills, seed, **environment):
    """Kill a campaign, before a file operation or at a moment, until it was killed so often, then let it end."""
    rng = np.random.default_rng(seed)
    kept: set[str] = set()
    for kill in range(kills):
        process = run_command(folder, 0 if kill % 3 == 2 else int(rng.integers(1, 150)), **environment)
        if kill % 3 == 2:
            time.sleep(rng.uniform(1, 9))
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        for event in read_events(folder / "journal.jsonl"):
            if event["event"] == "shard" and event["file"]:
                assert (folder / event["file"]).exists()
                kept |= set(dataset.read(folder / event["file"]).hashes.tolist())
    process = run_command(folder, **environment)
    _, errors = process.communicate()
    assert process.returncode == (0 if status(reference)["state"] == "done" else 3), errors
    assert not list(folder.rglob("*.tmp"))
    samples = dataset.read(folder / "dataset.h5")
    assert kept <= set(samples.hashes.tolist())
    assert Campaign(folder).designs() == Campaign(reference).designs()
    assert samples.digest() == dataset.read(reference / "dataset.h5").digest()
    assert Campaign(folder).journal.of("round")[-1]["spent"] == Campaign(reference).journal.of("round")[-1]["spent"]


def test_killed_ends_the_same(folder):
    """Once, late in its first round; sixty times below."""
    kill_and_resume(folder.parent / "killed", folder, kills=1, seed=0)


def variant(folder, name, *overrides):
    """The small campaign again with other settings; its folder and its designs' hashes."""
    out = folder.parent / name
    run_campaign(out, load_config(CONFIG, overrides=overrides), Progress())
    return Campaign(out), [d["hash"] for d in Campaign(out).designs()]


def test_fast_backend_gives_fipys_designs_and_stores_both(folder):
    """A campaign run on `direct` ends with the same designs, each simulated once more by FiPy before it counted."""
    campaign, hashes = variant(folder, "direct", "execution.solver=auto")
    assert hashes == [d["hash"] for d in Campaign(folder).designs()]
    assert campaign.solver == "direct"
    for path in write_designs(campaign):
        design = json.loads((path / "design.json").read_text())
        assert design["solver"]["name"] == "direct"
        assert design["reference"]["solver"] == "fipy"
        for name in ("kxx", "kyy", "kxx_lower", "kyy_upper"):
            assert design["reference"]["properties"][name] == pytest.approx(design["properties"][name], rel=1e-8)


def test_certified_designs_are_inside_by_interval(folder):
    """With `certify = true` the whole certified interval lies in the one wanted, refined as far as that takes."""
    campaign, hashes = variant(
        folder, "certified", "certify=true", "execution.solver=direct", "budget.rounds=1", "loop.probes=0"
    )
    targets = {t.name: t for t in campaign.targets}
    assert hashes
    for design in designs_of(campaign):
        certificate = design["certificate"]
        assert certificate["verdict"] == "confirmed"
        for name, (low, high) in targets[design["target"]["name"]].intervals.items():
            ends = [
                certificate["properties"].get(name + end, design["properties"][name]) for end in ("_lower", "_upper")
            ]
            assert low <= ends[0] <= ends[1] <= high


@pytest.mark.slow
def test_dask_cluster_gives_the_same_designs(folder):
    _, hashes = variant(folder, "dask", "execution.executor=dask", "execution.solver=direct")
    assert hashes == [d["hash"] for d in Campaign(folder).designs()]


@pytest.mark.slow
def test_killed_sixty_times_ends_the_same(folder):
    """20 kills at moments, 40 at file operations; MLflow, delivered to for real, is left with no run under way."""
    for index in range(6):
        store = {"MLFLOW_TRACKING_URI": f"sqlite:///{folder.parent / 'mlflow.db'}"}
        kill_and_resume(folder.parent / f"killed-{index}", folder, kills=10, seed=index, **store)
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{folder.parent / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("janus-al").experiment_id
    assert client.search_runs([experiment], "attributes.status = 'RUNNING'") == []
    assert len(client.search_runs([experiment], "tags.kind = 'campaign'")) >= 6


def children(pid):
    """Processes started by any thread of a process; none where it is gone."""
    try:
        return [int(word) for path in Path(f"/proc/{pid}/task").glob("*/children") for word in path.read_text().split()]
    except OSError:
        return []


@pytest.mark.slow
def test_thirty_kills_of_workers_in_one_run_end_the_same(folder):
    """Starting, busy or idle, as they come: no image is blamed, and nothing else changes."""
    copy, random, killed = folder.parent / "workers-killed", np.random.default_rng(0), 0
    process = run_command(copy)
    while process.poll() is None and killed < 30:
        time.sleep(random.uniform(0, 0.2))
        servers = [pid for pid in children(process.pid) if b"forkserver" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        if workers := [pid for server in servers for pid in children(server)]:
            os.kill(random.choice(workers), signal.SIGKILL)
            killed += 1
    _, errors = process.communicate()
    assert process.returncode == (0 if status(folder)["state"] == "done" else 3), errors
    assert killed == 30
    assert Campaign(copy).designs() == Campaign(folder).designs()
    assert status(copy)["simulations"] == status(folder)["simulations"]
    assert dataset.read(copy / "dataset.h5").digest() == dataset.read(folder / "dataset.h5").digest()
