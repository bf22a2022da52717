"""Tuning of the loss weights: deterministic, resumable, judged by simulation."""

import contextlib
import dataclasses
import datetime
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import optuna
import pytest
from kills import trials_of
from test_loop_tracking import runs_of
from werkzeug.test import Client

from janus_al import dataset
from janus_al.fitting import TrainingConfig
from janus_al.material import conduction
from janus_al.networks.janus import JanusConfig
from janus_al.samples import concatenate, unlabelled
from janus_al.training import train
from loop.campaign.config import ConfigError
from loop.campaign.toml import load_training
from loop.files.lock import locked
from loop.files.outputs import OutputError
from loop.simulation.executors import open_executor
from loop.simulation.rows import simulate_samples
from loop.simulation.simulate import Execution
from loop.studies import tuning
from loop.studies.means import Means
from loop.studies.single import first_shot_errors
from loop.studies.study import NAME, best_of, open_study, summary
from loop.studies.trials import RANGES, Court, draw, read_subject, train_again
from simulators import generate

NETWORK = JanusConfig(size=16, latent=16, channels=4, rank=4)
TRAINING = TrainingConfig(steps=16, batch=8, simulated=4, cycled=2, checks=2)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    images = generate(16, 16, 0)
    with open_executor("process", 2) as executor:
        parts = simulate_samples(images[:10], conduction((0.1, 1.0)), Execution(executor), lambda *_: None)
    path = tmp_path_factory.mktemp("tuning") / "d.h5"
    dataset.write(path, concatenate([*parts, unlabelled(images[10:], conduction((0.1, 1.0)))]), "test")
    return path


def storage(out):
    return optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(out / "study.jsonl")))


class Quiet:
    def __call__(self, stage, done, total):
        pass

    def say(self, words):
        pass


def run(data, out, trials, training=TRAINING, jobs=1):
    return tuning.tune(read_subject(data, NETWORK, training, 7), out, trials, Means("cpu", 1, Quiet()), jobs)


@pytest.fixture
def nowhere(monkeypatch):
    """MLflow is refused at once, so that tests need not wait for it."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "file:///nowhere")


def test_a_study_finds_weights_and_shows_its_trials(data, monkeypatch, janus):
    monkeypatch.setattr(tuning, "PROBES", 4)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    out = data.parent / "study"
    result = run(data, out, 3)
    trials = trials_of(out)
    assert trials[0][2] == {name: getattr(TRAINING, name) for name in RANGES}
    once = {str(t[0]): t[3] for t in trials if t[1] == "COMPLETE"}
    both = {number: (once[number] + again) / 2 for number, again in result["again"].items()}
    assert set(both) == set(once)
    assert len(both) > 1
    best = str(result["best"]["number"])
    assert both[best] == min(both.values())
    assert (result["best"]["value"], result["best"]["again"]) == (once[best], result["again"][best])
    assert result["again"]["0"] not in (None, once["0"])
    weights = out / "weights.toml"
    assert tomllib.loads(weights.read_text())["training"] == result["best"]["params"]
    assert dataclasses.asdict(load_training(weights, [])[1]).items() >= result["best"]["params"].items()
    assert json.loads(json.dumps(result)) == result
    with pytest.raises(ConfigError, match="another training"):
        run(data, out, 3, training=dataclasses.replace(TRAINING, steps=17))

    study = optuna.load_study(study_name="loss weights", storage=storage(out))
    client, runs = runs_of(data.parent, study.user_attrs["id"])
    assert set(runs) == {("study", "-"), *(("trial", str(n)) for n in range(3))}
    top, first = runs["study", "-"].data.metrics, runs["trial", "0"]
    assert top["best.value"] == result["best"]["value"]
    assert top["best.l_rec"] == result["best"]["params"]["l_rec"]
    assert (top["trials"], top["default.value"]) == (3, trials[0][3])
    assert (top["best.again"], top["default.again"]) == (result["best"]["again"], result["again"]["0"])
    assert first.data.metrics["value"] == trials[0][3]
    points = client.get_metric_history(first.info.run_id, "train/loss")
    assert [(p.step, p.value) for p in points] == [(row["step"], row["loss"]) for row in trials[0][5]]
    assert [p.step for p in points] == [8, 16]
    assert first.inputs.dataset_inputs[0].dataset.digest == dataset.read(data).digest()[:36]
    assert (first.data.params["training.steps"], first.data.params["network.latent"]) == ("16", "16")

    with locked(out, "tuning here"):
        code, _, errors = janus("tune", data, "--out", out)
    assert code == 5
    assert errors == f"janus-al: {out}: another process is tuning here; wait for it or stop it\n"


@pytest.mark.slow
def test_trials_side_by_side_are_drawn_from_those_before_all_of_them(data, monkeypatch, nowhere):
    """A study that was stopped between two of them, or stopped and gone on with, is the same."""
    monkeypatch.setattr(tuning, "PROBES", 2)
    whole, parts = data.parent / "beside", data.parent / "beside-again"
    run(data, whole, 2, jobs=2)
    run(data, parts, 1, jobs=2)
    run(data, parts, 2, jobs=2)
    numbers, states, drawn, values, *_ = zip(*trials_of(whole), strict=True)
    assert numbers == (0, 1)
    assert (states, drawn, values) == tuple(zip(*(t[1:4] for t in trials_of(parts)), strict=True))
    _, trial = draw(read_subject(data, NETWORK, TRAINING, 7), 1, [])
    assert drawn[1] == trial.params


def test_weights_that_fail_from_another_seed_do_not_win(data, monkeypatch, nowhere):
    """The best three and the default are trained once more, no other; a study that goes on keeps what it knows."""
    monkeypatch.setattr(tuning, "PROBES", 2)
    out, trained = data.parent / "second", []
    out.mkdir()
    study = open_study(out / "study.jsonl", read_subject(data, NETWORK, TRAINING, 7))
    space = {"l_rec": optuna.distributions.FloatDistribution(1, 9, log=True)}
    for number, value in enumerate((0.5, 0.2, 0.3, 0.4, 0.25)):
        now = datetime.datetime.now()
        trial = optuna.trial.create_trial(params={"l_rec": 2.0 + number}, distributions=space, value=value)
        trial.datetime_start = trial.datetime_complete = now
        study.add_trial(trial)
    errors = {0: 0.5, 1: None, 2: 0.2, 4: 0.3}

    def again(trial, *_):
        trained.append(trial.number)
        return errors[trial.number]

    monkeypatch.setattr(tuning, "train_again", again)
    result = run(data, out, 5)
    assert trained == [0, 1, 2, 4]
    assert result["best"] == {"number": 2, "value": 0.3, "again": 0.2, "params": result["best"]["params"]}
    assert result["best"]["params"]["l_rec"] == 4.0
    assert best_of(open_study(out / "study.jsonl", read_subject(data, NETWORK, TRAINING, 7))).number == 2
    assert run(data, out, 5) == result
    assert trained == [0, 1, 2, 4]


def test_a_second_training_is_from_the_next_seed(data, nowhere):
    subject = read_subject(data, NETWORK, TRAINING, 7)
    with open_executor("process", 1) as executor:
        court = Court(subject, data.parent, 2, "cpu")
        trial = optuna.trial.create_trial(value=1.0)
        found = train_again(trial, court, executor, Quiet())
        model, card = train(subject.samples, NETWORK, subject.training, 8)
        assert found == np.mean(first_shot_errors(model, card, 2, 8, executor))
        wild = dataclasses.replace(subject, training=dataclasses.replace(TRAINING, rate=100.0, clip=1e6))
        assert train_again(trial, dataclasses.replace(court, subject=wild), executor, Quiet()) is None


def test_a_study_says_which_weight_matters():
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(lambda t: t.suggest_float("l_rec", 0, 1) ** 2 + 1e-3 * t.suggest_float("l_task", 0, 1), n_trials=40)
    study.add_trial(optuna.trial.create_trial(state=optuna.trial.TrialState.FAIL))
    found = summary(study)
    assert found["importance.l_rec"] > 0.8
    assert found["importance.l_rec"] + found["importance.l_task"] == pytest.approx(1)
    assert found["best.value"] == study.best_value
    assert found["best.l_rec"] == study.best_params["l_rec"]
    assert (found["trials"], found["failed"], found["pruned"]) == (41, 1, 0)
    assert "importance.l_rec" not in summary(optuna.create_study())


def test_optuna_and_its_dashboard_open_the_study(data, tmp_path):
    """study.jsonl is Optuna's own file; what the dashboard writes into it, a note, does not stop the study."""
    dashboard = pytest.importorskip("optuna_dashboard", reason="optuna-dashboard is not installed")
    subject, path = read_subject(data, NETWORK, TRAINING, 7), tmp_path / "study.jsonl"
    study, space = open_study(path, subject), {"l_rec": optuna.distributions.FloatDistribution(1, 9, log=True)}
    for value in (0.5, 0.25, None):
        state = optuna.trial.TrialState.FAIL if value is None else optuna.trial.TrialState.COMPLETE
        params = {"l_rec": 2.0 + (value or 0)}
        study.add_trial(optuna.trial.create_trial(state=state, params=params, distributions=space, value=value))
    read = optuna.load_study(study_name=NAME, storage=storage(tmp_path))
    assert [(t.value, t.params) for t in read.trials] == [(t.value, t.params) for t in study.trials]
    assert [t.value for t in read.trials] == [0.5, 0.25, None]
    client = Client(dashboard.wsgi(str(path)))
    (shown,) = client.get("/api/studies").get_json()["study_summaries"]
    assert shown["study_name"] == NAME
    number = shown["study_id"]
    trials = client.get(f"/api/studies/{number}").get_json()["trials"]
    assert [t.get("values") for t in trials] == [[0.5], [0.25], None]
    assert [float(t["params"][0]["param_external_value"]) for t in trials] == [2.5, 2.25, 2.0]
    assert client.put(f"/api/studies/{number}/note", json={"body": "a note", "version": 1}).status_code == 204
    assert b"a note" in path.read_bytes()
    assert len(open_study(path, subject).trials) == 3


@pytest.mark.parametrize("seed", range(9))
def test_a_damaged_study_is_refused(data, tmp_path, seed):
    """Whatever a byte or a value is turned into: exit 4 or 2 with a sentence, or what was there is still understood."""
    subject, path = read_subject(data, NETWORK, TRAINING, 7), tmp_path / "study.jsonl"
    study = open_study(path, subject)
    space = {"l_rec": optuna.distributions.FloatDistribution(1, 9, log=True)}
    complete = optuna.trial.TrialState.COMPLETE
    for value in (0.5, 0.25):
        study.add_trial(
            optuna.trial.create_trial(state=complete, params={"l_rec": 2.0}, distributions=space, value=value)
        )
    whole = path.read_bytes()
    assert len(whole.splitlines()) == 5
    open_study(path, subject)
    assert path.read_bytes() == whole
    rng = np.random.default_rng(seed)
    for _ in range(40):
        lines = whole.splitlines()
        number = int(rng.integers(len(lines)))
        if seed % 3 == 0:
            lines[number] = bytes(lines[number][: rng.integers(len(lines[number]))])
        elif seed % 3 == 1:
            line = bytearray(lines[number])
            line[rng.integers(len(line))] = rng.integers(32, 127)
            lines[number] = bytes(line)
        else:
            entry = json.loads(lines[number])
            strange = [None, "x", [], {}, -1, 1e400, True]
            entry[str(rng.choice(list(entry)))] = strange[rng.integers(len(strange))]
            lines[number] = json.dumps(entry).encode()
        path.write_bytes(b"\n".join(lines) + b"\n")
        with contextlib.suppress(dataset.DatasetError, ConfigError, OutputError):
            summary(open_study(path, subject))


def test_a_weight_that_is_off_stays_off(data, monkeypatch, nowhere):
    """And one that lies beyond the usual range widens it."""
    monkeypatch.setattr(tuning, "PROBES", 4)
    training = dataclasses.replace(TRAINING, l_sens=0.0, l_rec=500.0)
    out = data.parent / "off"
    run(data, out, 2, training)
    first, second = trials_of(out)
    assert first[2] == {"l_task": 1.0, "l_rec": 500.0, "l_cyc": 0.1, "l_deep": 0.1}
    assert set(second[2]) == set(first[2])
    assert second[2] != first[2]
    assert load_training(out / "weights.toml", [])[1].l_sens == 0.0


def test_a_study_in_which_all_fails_says_why(data, nowhere):
    wild = dataclasses.replace(TRAINING, rate=100.0, clip=1e6)
    with pytest.raises(ConfigError, match=r"none of 1 trials reached its end; the last one: (training|a pool with)"):
        run(data, data.parent / "wild", 1, wild)
    assert {p.name for p in (data.parent / "wild").iterdir()} <= {".lock", ".mlflow.lock", "study.jsonl"}


def kill(data, out, *numbers):
    """See tests/kills.py; what it printed."""
    command = [sys.executable, "-P", str(Path(__file__).with_name("kills.py")), data, out, *numbers]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.slow
def test_a_killed_study_ends_as_one_that_was_not(data, tmp_path, nowhere):
    """Real kills at file operations, and torn lines; the default for l_sens is 0."""
    kill(data, tmp_path, 2, 2, 1)


@pytest.mark.slow
def test_a_study_killed_forty_times_ends_as_one_that_was_not(data, tmp_path, monkeypatch):
    """Also while it delivers to MLflow, where each trial is then seen once."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert sum(line["status"] == 9 for line in kill(data, tmp_path, 6, 40, 0)[1:]) > 20
    study = optuna.load_study(study_name="loss weights", storage=storage(tmp_path / "killed"))
    _, runs = runs_of(tmp_path, study.user_attrs["id"])
    assert set(runs) == {("study", "-"), *(("trial", str(n)) for n in range(6))}
    assert {r.info.status for r in runs.values()} <= {"FINISHED", "KILLED"}
