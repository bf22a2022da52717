"""Runs a small `tune` in forks that are killed at file operations and at moments, until one reaches its end.

    python -P tests/kills.py DATA OUT TRIALS KILLS SEED

The first line printed says how many file operations and seconds the study takes; each following one what the
fork was to be killed at, how many trials it had announced as finished, and how many the file then held.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import optuna
import torch._dynamo  # noqa: F401 - or each fork would, on its own

from janus_al.fitting import TrainingConfig
from janus_al.networks.janus import JanusConfig
from loop.studies import tuning
from loop.studies.means import Means
from loop.studies.study import NAME, second_trainings
from loop.studies.trials import read_subject

NETWORK = JanusConfig(size=16, latent=16, channels=4, rank=4)
TRAINING = TrainingConfig(steps=16, batch=8, simulated=4, cycled=2, checks=2, l_sens=0.0)
OPERATIONS = {"open", "os.rename", "os.remove", "os.truncate", "os.mkdir"}


def run(data, out, trials, pipe, operation=None):
    """In a fork: the study, killed before a file operation; tells the pipe what is finished, and the operations."""
    count = 0

    def watch(event, words):
        nonlocal count
        if event in OPERATIONS and str(words[0]).startswith(str(out)):
            count += 1
            if count == operation:
                os.kill(os.getpid(), signal.SIGKILL)

    class Telling:
        def __call__(self, stage, done, total):
            if stage == "trials":
                os.write(pipe, bytes([done]))

        def say(self, words):
            pass

    sys.addaudithook(watch)
    tuning.PROBES = 4
    tuning.REST = 0.0
    tuning.tune(read_subject(data, NETWORK, TRAINING, 7), out, trials, Means("cpu", 1, Telling()))
    os.write(pipe, b"\xff" + count.to_bytes(4, "big"))
    os._exit(0)


def attempt(data, out, trials, operation=None, moment=None):
    """Fork, perhaps kill, and wait; what the fork told, and its exit status."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            run(data, out, trials, writing, operation)
        finally:
            os._exit(1)
    os.close(writing)
    if moment is not None:
        time.sleep(moment)
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    told = os.read(reading, 4096)
    os.close(reading)
    return told, status


def study_of(out):
    """The study in the file, as Optuna reads it."""
    backend = optuna.storages.journal.JournalFileBackend(str(out / "study.jsonl"))
    return optuna.load_study(study_name=NAME, storage=optuna.storages.JournalStorage(backend))


def trials_of(out):
    """Number, state, figures and losses of every trial in the file."""
    if not (out / "study.jsonl").exists() or b"\n" not in (out / "study.jsonl").read_bytes():
        return []
    return [
        (t.number, t.state.name, t.params, t.value, t.intermediate_values, t.user_attrs.get("history"))
        for t in study_of(out).trials
    ]


def again_of(out):
    """Errors of second trainings."""
    return second_trainings(study_of(out))


def main(data, out, trials, kills, seed):
    """The study whole, in OUT/whole, then killed, in OUT/killed; both must end the same."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    rng = np.random.default_rng(seed)
    whole, killed = out / "whole", out / "killed"
    began = time.monotonic()
    told, status = attempt(data, whole, trials)
    assert status == 0
    operations, seconds = int.from_bytes(told[-4:], "big"), time.monotonic() - began
    last = operations * 5 // (4 * trials)
    print(json.dumps({"operations": operations, "seconds": seconds}), flush=True)
    for number in range(kills):
        at = {"operation": int(rng.integers(1, last))}
        if number % 3 == 2:
            at = {"moment": rng.uniform(0.1, 0.9) * seconds / max(1, trials - 1)}
        told, status = attempt(data, killed, trials, **at)
        kept = trials_of(killed)
        announced = max([b for b in told if b <= trials], default=0)
        print(json.dumps({**at, "status": status, "announced": announced, "kept": len(kept)}), flush=True)
        assert len(kept) >= announced
        assert kept == trials_of(whole)[: len(kept)]
        with (killed / "study.jsonl").open("ab") as file:
            file.write(b'{"op_code": 4, "torn' * int(rng.integers(2)))
    assert attempt(data, killed, trials)[1] == 0
    assert trials_of(killed) == trials_of(whole)
    assert len(trials_of(whole)) == trials
    assert again_of(killed) == again_of(whole) != {}
    assert (killed / "weights.toml").read_bytes() == (whole / "weights.toml").read_bytes()
    assert {p.name for p in killed.iterdir()} == {p.name for p in whole.iterdir()}
    assert {p.name for p in whole.iterdir()} <= {"study.jsonl", "weights.toml", ".lock", ".mlflow.lock"}


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]).resolve(), *map(int, sys.argv[3:]))
