"""A campaign that starts from a trained model: whose first proposals are that model's, and which needs it only once."""

import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

from janus_al import checkpoint, dataset
from janus_al.dataset import DatasetError
from janus_al.identity import LeakageError
from loop.campaign.campaign import Campaign
from loop.campaign.config import ConfigError
from loop.campaign.journal import probed, spent_on
from loop.campaign.toml import load_config
from loop.commands.run import run_campaign
from loop.simulation.progress import Progress
from simulators import FipyHomogenizer

CONFIG = """
name = "started"
seed = 5
[microstructure]
size = 16
phase_conductivity = [0.1, 1.0]
[network]
start = {start!r}
[[target]]
name = "value"
designs = 3
kxx = {{ value = 0.3, tolerance = 0.05 }}
[budget]
rounds = 3
simulations = 60
[loop]
candidates = 2
probes = 2
retrain_steps = 20
[inversion]
steps = 20
[execution]
workers = 1
solver = "direct"
"""


@pytest.fixture(scope="session")
def model(folder, tmp_path_factory):
    """The first model of the small campaign, which knows 120 images of 16 x 16 pixels."""
    return shutil.copytree(folder / "models" / "r0000", tmp_path_factory.mktemp("trained") / "model")


def configuration(model, tmp_path, *overrides):
    path = tmp_path / "started.toml"
    path.write_text(CONFIG.format(start=str(model)))
    return load_config(path, overrides=overrides)


@pytest.fixture(scope="session")
def started(model, tmp_path_factory):
    """A campaign from the model, without data of its own, that took more than one round."""
    parent = tmp_path_factory.mktemp("started")
    campaign = run_campaign(parent / "campaign", configuration(model, parent), Progress())
    assert len(campaign.journal.of("round")) > 1
    return campaign


def test_it_designs_larger_images_by_the_model_as_it_is(model, tmp_path):
    """Its network sees them coarsened, and simulation has them as they are."""
    config = configuration(model, tmp_path, "microstructure.size=32", "budget.probes=0")
    campaign = run_campaign(tmp_path / "larger", config, Progress())
    assert (campaign.config.network.coarsen, campaign.journal.end["state"]) == (2, "done")
    assert same_weights(campaign.folder / "models" / "r0000", model)
    images = [np.load(path) for path in campaign.folder.glob("designs/*/image.npy")]
    assert [image.shape for image in images] == [(32, 32)] * 3
    assert [FipyHomogenizer()(image, (0.1, 1.0)).k[0] for image in images] == pytest.approx([0.3] * 3, rel=0.05)


def hashes(campaign):
    return [design["hash"] for design in campaign.designs()]


def same_weights(one, two):
    a, b = (checkpoint.load(folder)[0].state_dict() for folder in (one, two))
    return all(torch.equal(a[name], b[name]) for name in a)


def test_it_proposes_by_the_model_as_it_is(started, model):
    """No training, no simulation before the first candidates, and the same model in every round."""
    campaign = started
    assert campaign.journal.end["state"] == "done"
    assert same_weights(campaign.folder / "models" / "r0000", model)
    assert [e["round"] for e in campaign.journal.of("trained")] == [0]
    assert all("training" not in e["seconds"] for e in campaign.journal.of("round"))
    assert {e["round"] for e in campaign.journal.of("shard")} == {e["round"] for e in campaign.journal.of("round")}
    paid = campaign.ledger.spent + spent_on(probed(campaign.journal.events))
    assert paid == dataset.read(campaign.folder / "dataset.h5").simulated.sum()
    for path in campaign.folder.glob("designs/*/design.json"):
        assert json.loads(path.read_text())["lineage"]["model"] == "models/r0000"


def test_nothing_is_known_before_its_first_round(started):
    """Also when asked once that round has simulated, as refinement does where flips lead nowhere."""
    campaign = Campaign(started.folder)
    assert campaign._known(1).samples is None
    assert len(campaign._known(2).samples) > 0


def test_its_network_is_the_models(started, model):
    config, (network, _) = load_config(started.folder / "campaign.toml"), checkpoint.load(model)
    assert config.network.built == network.config
    assert (config.network.channels, config.loop.retrain) == (8, "never")


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (
            ["network.channels=4"],
            r"network.channels 4: the model to start from, .*, has 8; put that, or start from another",
        ),
        (["network.channels=16"], r"network.channels 16: .* has 8"),
        (
            ["microstructure.size=24"],
            r"microstructure.size 24: .* has 16; put that, or a whole number of times as many",
        ),
        (
            ["microstructure.phase_conductivity=[0.1, 2.0]"],
            r"start from, .*, is of another material: property kxx: .*\(0.1, 1.0\).*\(0.1, 2.0\)",
        ),
        (["microstructure.boundary=periodic"], "of another material: boundary dirichlet and periodic"),
        (["loop.retrain=scratch"], "loop.retrain 'scratch': a round's simulations alone do not train a model"),
        (["network.start=3"], "network.start: must be a path"),
        (["network.begin=3"], "network.begin: unknown key"),
    ],
)
def test_what_contradicts_the_model_is_refused(model, tmp_path, overrides, words):
    with pytest.raises(ConfigError, match=words) as caught:
        run_campaign(tmp_path / "c", configuration(model, tmp_path, *overrides), Progress())
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "c").exists()


def test_a_model_that_is_lost_or_damaged_is_refused(janus, model, tmp_path):
    copy = shutil.copytree(model, tmp_path / "copy")
    path = tmp_path / "started.toml"
    path.write_text(CONFIG.format(start=str(copy)))
    with (copy / checkpoint.WEIGHTS).open("r+b") as file:
        file.seek(-4, os.SEEK_END)
        file.write(b"four")
    code, _, err = janus("campaign", "run", path, "--dir", tmp_path / "c")
    assert (code, err.count("\n")) == (4, 1)
    assert "its checksum is not the one in SHA256SUMS" in err
    shutil.rmtree(copy)
    code, _, err = janus("campaign", "run", path, "--dir", tmp_path / "c")
    assert (code, err.count("\n")) == (2, 1)
    assert "no model here" in err
    assert not (tmp_path / "c").exists()


def test_no_test_image_may_be_one_the_model_was_trained_on(folder, model, tmp_path):
    samples = dataset.read(folder / "dataset.h5")
    dataset.write(tmp_path / "test.h5", samples.take(samples.simulated), "test")
    with pytest.raises(LeakageError, match=r"test images, .* are training images"):
        run_campaign(tmp_path / "c", configuration(model, tmp_path, f"dataset.test={tmp_path / 'test.h5'}"), Progress())
    assert not (tmp_path / "c").exists()


def test_it_goes_on_without_the_model_it_came_from(started, model, tmp_path):
    """Neither the original nor the first round's copy is there any more; the designs are the same."""
    copy, folder = shutil.copytree(model, tmp_path / "copy"), tmp_path / "c"
    run_campaign(folder, configuration(copy, tmp_path, "budget.rounds=2", "budget.simulations=4"), Progress())
    shutil.rmtree(copy)
    shutil.rmtree(folder / "models")
    raised = load_config(folder / "campaign.toml", overrides=["budget.rounds=3", "budget.simulations=60"])
    campaign = run_campaign(folder, raised, Progress())
    assert len(campaign.journal.of("retrained")) == 1
    assert same_weights(folder / "models" / "r0000", model)
    assert len(hashes(campaign)) == 3


def test_a_start_that_is_lost_or_another_is_refused(started, tmp_path):
    folder = shutil.copytree(started.folder, tmp_path / "c")
    shutil.rmtree(folder / "models")
    with (folder / "start" / checkpoint.SUMS).open("ab") as file:
        file.write(b"\n")
    with pytest.raises(DatasetError, match="not the one recorded"):
        Campaign(folder).models.of(0)
    shutil.rmtree(folder / "start")
    with pytest.raises(DatasetError, match="lost; restore a copy"):
        Campaign(folder).models.of(0)


KILLED = """
import os, signal, sys
from pathlib import Path
from loop.campaign.toml import load_config
from loop.commands.run import run_campaign
from loop.simulation.progress import Progress
config, folder, word = sys.argv[1:]

def watch(event, words):
    if event == "os.rename" and word in str(words[1]):
        os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(watch)
run_campaign(Path(folder), load_config(Path(config)), Progress())
"""


@pytest.mark.slow
@pytest.mark.parametrize("word", ["start/model.json", "samples/r0002"])
def test_killed_it_ends_with_the_same_designs(started, model, tmp_path, word):
    """While the model is copied, and while a later round's simulations are committed."""
    config, folder = configuration(model, tmp_path), tmp_path / "c"
    command = [sys.executable, "-P", "-c", KILLED, str(tmp_path / "started.toml"), str(folder), word]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL
    campaign = run_campaign(folder, config, Progress())
    assert hashes(campaign) == hashes(started)
    assert campaign.ledger.spent == started.ledger.spent


def test_with_data_beside_it_learns_from_rounds(folder, model, tmp_path):
    """Round 0 is the model, untrained; later ones go on from it, know all it was trained on, and keep its range."""
    overrides = [f"dataset.source={folder / 'dataset.h5'}", "budget.rounds=2", "training.validation=0.0"]
    overrides += ["loop.retrain_steps=80"]
    config = configuration(model, tmp_path, *overrides)
    campaign = run_campaign(tmp_path / "c", config, Progress())
    assert config.loop.retrain == "warm"
    assert same_weights(campaign.folder / "models" / "r0000", model)
    assert not same_weights(campaign.folder / "models" / "r0001", model)
    (_, before), (_, after) = checkpoint.load(model), checkpoint.load(campaign.folder / "models" / "r0001")
    assert set(before.images) <= set(after.images)
    assert len(after.images) > len(dataset.read(folder / "dataset.h5"))
    assert after.property_range == before.property_range


@pytest.mark.slow
def test_without_data_it_may_learn_beside_what_it_remembers(model, tmp_path):
    """Its own decodes stand for the data that is not there; probes judge instead of teaching."""
    wanted = ["loop.retrain=warm", "loop.retrain_rate=1e-4", "loop.probes=4", "budget.rounds=2"]
    hard = "target=[{name='t', designs=3, kxx={value=0.3, tolerance=0.001}}]"
    campaign = run_campaign(tmp_path / "c", configuration(model, tmp_path, hard, *wanted), Progress())
    guard = campaign.journal.of("trained")[1]["guard"]
    assert guard["test"]["samples"] == 4
    trained = campaign.models._samples(1)
    origins = trained.meta["origin"].tolist()
    assert b"probe" not in origins
    assert guard["proposals"]["samples"] == origins.count(b"candidate") > 0
    assert origins.count(b"remembered") > 100
    _, card = campaign.models._train(1)
    assert (
        card.simulated
        == len(campaign.ledger.samples(through=1))
        == campaign.journal.of("trained")[1]["dataset"]["simulated"]
    )
    assert campaign.journal.of("trained")[1]["dataset"]["digest"] == card.dataset_digest
