"""No round makes a campaign's model worse: what is judged, how, and what stays where the new one is refused."""

import copy
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from janus_al import checkpoint, dataset
from janus_al.batches import held_out
from janus_al.evaluation import evaluate, relative_errors
from loop.campaign.campaign import Campaign
from loop.campaign.guard import Comparison, best_round, compare, grounds, verdict, words
from loop.campaign.toml import load_config
from loop.commands.run import run_campaign
from loop.output.tracking import campaign_runs
from loop.simulation.progress import Progress

CONFIG = Path(__file__).with_name("small.toml")


def test_worse_is_beyond_noise():
    """Hand-made errors: the mean difference against the standard error of the differences, whatever the errors are."""
    old = np.array([0.01, 0.05, 0.01, 0.05])
    found = Comparison.of(old, old + np.array([0.002, 0.004, 0.002, 0.004]))
    assert (found.samples, found.old, found.new) == (4, pytest.approx(0.03), pytest.approx(0.033))
    assert found.noise == pytest.approx(0.001 * np.sqrt(4 / 3) / 2)
    assert found.worse
    assert not Comparison.of(old, old).worse
    assert not Comparison.of(old, old - 0.001).worse
    noisy = Comparison.of(old, old + np.array([0.03, -0.02, 0.02, -0.02]))
    assert noisy.new > noisy.old
    assert not noisy.worse


def test_a_model_is_judged_wherever_physics_has_spoken(folder):
    """A worse head is refused, the same one and a better one accepted, on the test set and on proposals."""
    samples = dataset.read(folder / "dataset.h5")
    model, _ = checkpoint.load(folder / "models" / "r0000")
    worse = copy.deepcopy(model)
    worse.log_mean += 0.5
    where = grounds(samples, None, 0.3)
    assert (where["test"].meta["round"] == 0).all()
    assert held_out(where["test"], 0.3).all()
    assert (where["proposals"].meta["round"] > 0).all()
    assert where["proposals"].simulated.all()
    for new, old, accepted in ((model, model, True), (worse, model, False), (model, worse, True)):
        found = compare(old, new, where)
        assert set(found) == {"test", "proposals"}
        assert verdict(found)["accepted"] == accepted
    one_ground = {"test": where["test"], "proposals": where["proposals"].take(slice(0, 0))}
    assert set(compare(model, worse, one_ground)) == {"test"}
    assert grounds(samples, where["proposals"], 0.3)["test"] is where["proposals"]
    # Where nothing is held out, of first samples known by heart alone nothing follows: all are asked together.
    (name, every), *others = grounds(samples, None, 0.0).items()
    assert (name, others, len(every)) == ("simulated", [], samples.simulated.sum())
    assert 0 < (every.meta["round"] == 0).sum() < len(every)
    errors = relative_errors(model, where["proposals"])
    means = [p["relative_error_mean"] for p in evaluate(model, where["proposals"])["properties"].values()]
    assert errors.mean(axis=0) == pytest.approx(means)


@pytest.fixture(scope="module")
def harmed(tmp_path_factory):
    """A campaign whose later trainings ruin the model: their rate is absurd."""
    folder = tmp_path_factory.mktemp("harmed") / "c"
    overrides = [
        "target=[{name='t', designs=3, kxx={value=0.3, tolerance=0.001}}]",
        "loop.refine_steps=1",
        "budget.rounds=2",
        "training.steps=60",
        "budget.simulations=60",
        "training.validation=0.3",
        *HARM,
    ]
    run_campaign(folder, load_config(CONFIG, overrides=overrides), Progress())
    return folder


HARM = ["loop.retrain_rate=1.0", "loop.retrain_steps=3"]


def weights(folder, number):
    return (folder / "models" / f"r{number:04d}" / "weights.safetensors").read_bytes()


def test_the_old_model_stays_and_everything_says_so(harmed, janus):
    events = Campaign(harmed).journal.of("trained")
    assert [e.get("guard", {}).get("accepted") for e in events] == [None, False]
    assert weights(harmed, 0) == weights(harmed, 1)
    guard = events[1]["guard"]
    assert guard["test"]["new"] > guard["test"]["old"] + guard["test"]["noise"]
    said = f"model after round 1: the old one stays: test {guard['test']['old']:.2%} -> {guard['test']['new']:.2%}"
    code, out, _ = janus("campaign", "status", harmed)
    assert (code, said in out) == (0, True)
    report = (harmed / "report.html").read_text()
    assert all(words in report for words in ("the old one, which errs less", f"{100 * guard['test']['new']:.2f} %"))
    points = [{name: value for name, value, *_ in run.points} for run in campaign_runs(harmed)[1]]
    assert [p["guard.accepted"] for p in points if "guard.accepted" in p] == [0]
    assert points[2]["guard.test.new"] == guard["test"]["new"]


def test_what_stayed_is_had_again_without_training(harmed, tmp_path, capsys):
    """Its models lost: the journal's verdict is kept, the weights are the same."""
    copied = shutil.copytree(harmed, tmp_path / "c")
    shutil.rmtree(copied / "models" / "r0001")
    Campaign(copied).models.of(1)
    assert weights(copied, 1) == weights(harmed, 1)
    assert "that of round 0, which stayed, again" in capsys.readouterr().err


def test_a_refused_model_is_refused_again(harmed, tmp_path):
    """Killed before its verdict was written, a round judges the same model, by the same images, alike."""
    copied = shutil.copytree(harmed, tmp_path / "c")
    lines = (harmed / "journal.jsonl").read_text().splitlines(keepends=True)
    second = [i for i, line in enumerate(lines) if json.loads(line)["event"] == "trained"][1]
    (copied / "journal.jsonl").write_text("".join(lines[:second]))
    shutil.rmtree(copied / "models")
    Campaign(copied).models.of(1)
    before, after = (Campaign(f).journal.of("trained")[1] for f in (harmed, copied))
    assert before["guard"] == after["guard"]
    assert weights(copied, 1) == weights(harmed, 0)


def test_a_round_that_brought_nothing_trains_nothing(harmed, tmp_path):
    copied = shutil.copytree(harmed, tmp_path / "c")
    lines = (harmed / "journal.jsonl").read_text().splitlines(keepends=True)
    first = [json.loads(line)["event"] for line in lines].index("trained")
    (copied / "journal.jsonl").write_text("".join(lines[: first + 1]))
    shutil.rmtree(copied / "models" / "r0001")
    Campaign(copied).models.of(1)
    before, after = Campaign(copied).journal.of("trained")
    assert (after["guard"], after["seconds"]) == ({"accepted": False}, 0.0)
    assert after["dataset"] == before["dataset"]
    assert weights(copied, 1) == weights(harmed, 0)


def test_the_best_model_so_far_is_the_one_to_beat():
    def event(number, old, new, accepted=True):
        return {"round": number, "guard": {"accepted": accepted, "test": {"old": old, "new": new}}}

    assert best_round([{"round": 0}]) is None
    crept = [{"round": 0}, event(1, 0.10, 0.09), event(2, 0.09, 0.095), event(3, 0.095, 0.2, accepted=False)]
    assert best_round(crept) == 1
    assert best_round(crept[:2]) == 1
    assert best_round([event(1, 0.1, 0.2, accepted=False)]) == 1  # whose model is that of round 0
    assert best_round([event(1, 0.1, 0.11)]) == 0


def test_words():
    figures = {"samples": 9, "old": 0.0162, "new": 0.02, "noise": 0.001}
    refused = {"accepted": False, "test": figures, "proposals": None}
    assert words(refused) == "the old one stays: test 1.62% -> 2.00% (noise 0.10%)"
    assert words({"accepted": True}) == "new: nothing to compare on"
    assert words({"accepted": False}) == "the old one stays: nothing new was simulated"
