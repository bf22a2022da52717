"""Tuning of the loss weights: deterministic, resumable, judged by simulation."""

import dataclasses
import json
import tomllib

import optuna
import pytest

from janus_al import dataset
from janus_al.fitting import TrainingConfig
from janus_al.network import JanusConfig
from loop import tuning
from loop.config import ConfigError, load_training
from loop.simulate import simulate_samples
from simulators import generate

NETWORK = JanusConfig(size=16, latent=16, channels=4, rank=4)
TRAINING = TrainingConfig(steps=16, batch=8, simulated=4, cycled=2, checks=2)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    images = generate(16, 16, 0)
    parts = simulate_samples(images[:10], (0.1, 1.0), "fipy", 2, lambda *_: None)
    path = tmp_path_factory.mktemp("tuning") / "d.h5"
    dataset.write(path, dataset.concatenate([*parts, dataset.unlabelled(images[10:], (0.1, 1.0))]), "test")
    return path


class Quiet:
    def __call__(self, stage, done, total):
        pass

    def say(self, words):
        pass


def run(data, out, trials, progress=None, training=TRAINING):
    return tuning.tune(data, out, trials, NETWORK, training, 7, 2, "cpu", progress or Quiet())


def trials_of(out):
    backend = optuna.storages.journal.JournalFileBackend(str(out / "study.jsonl"))
    study = optuna.load_study(study_name="loss weights", storage=optuna.storages.JournalStorage(backend))
    return [(t.number, t.state.name, t.params, t.value, t.intermediate_values) for t in study.trials]


def test_an_interrupted_study_ends_as_an_uninterrupted_one(data, monkeypatch):
    monkeypatch.setattr(tuning, "PROBES", 4)
    whole, broken = data.parent / "whole", data.parent / "broken"
    result = run(data, whole, 3)

    class Stopping(Quiet):
        def __call__(self, stage, done, total):
            if stage == "trial 1" and total == TRAINING.steps and done == 9:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(data, broken, 3, Stopping())
    with (broken / "study.jsonl").open("ab") as file:
        file.write(b'{"op_code": 4, "torn')
    assert run(data, broken, 3)["best"] == result["best"]
    assert trials_of(broken) == trials_of(whole)

    first = trials_of(whole)[0]
    assert first[2] == {name: getattr(TRAINING, name) for name in tuning.RANGES}
    assert result["best"]["value"] == min(t[3] for t in trials_of(whole) if t[1] == "COMPLETE")
    weights = whole / "weights.toml"
    assert set(tomllib.loads(weights.read_text())["training"]) == set(tuning.RANGES)
    assert dataclasses.asdict(load_training(weights, [])[1]).items() >= result["best"]["params"].items()
    assert json.loads(json.dumps(result)) == result
    with pytest.raises(ConfigError, match="another training"):
        run(data, whole, 3, training=dataclasses.replace(TRAINING, steps=17))
