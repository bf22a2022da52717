"""What networks and trainings are where nobody says otherwise: the same for `train`, campaigns and the library."""

import json
from pathlib import Path

import pytest

from janus_al.defaults import defaults
from janus_al.fitting import TrainingConfig
from janus_al.material import conduction
from janus_al.networks.janus import JanusConfig
from loop.campaign.toml import load_config

EXAMPLES = Path(__file__).parents[1] / "examples"
CAMPAIGN = """
name = "c"
[microstructure]
size = {size}
phase_conductivity = {phases}
[dataset.generate]
count = 64
simulated = 8
[[target]]
kxx = {{ min = 0.0 }}
"""
STEEP = {"l_task": 15.0, "l_rec": 12.0, "l_deep": 0.7, "l_sens": 5.0}


@pytest.mark.parametrize(
    ("side", "phases", "network", "training"),
    [
        (32, (0.1, 1.0), {"media": 2, "width": 64, "stem": 2}, {}),
        (48, (1.0, 0.1), {"media": 2, "width": 64, "stem": 2}, {}),
        (56, (0.1, 1.0), {"media": 2, "width": 0, "stem": 4}, {}),
        (32, (0.1, 10.0), {"media": 2, "width": 64, "stem": 2}, STEEP),
        (64, (10.0, 0.1), {"media": 2, "width": 32, "stem": 2}, STEEP),
        (64, (0.1, 2.9), {"media": 2, "width": 0, "stem": 4}, {}),
        (72, (0.1, 10.0), {"media": 2, "width": 0, "stem": 4}, STEEP),
        (16, (0.1, 100.0), {"media": 2, "width": 64, "stem": 2}, STEEP),
    ],
)
def test_planes_have_media_and_high_contrasts_light_sensitivities(tmp_path, side, phases, network, training):
    material = conduction(phases)
    own, fitting = defaults((side, side), material)
    assert own == JanusConfig(**network)
    assert fitting == TrainingConfig(average=50, **training)
    path = tmp_path / "c.toml"
    path.write_text(CAMPAIGN.format(size=side, phases=list(phases)))
    config = load_config(path)
    assert config.network.built == own.suited_to((side, side), "dirichlet", material.simulated)
    assert config.training == fitting
    assert config.warm_training().rate == 3e-3


def test_cells_that_repeat_have_none(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text(
        CAMPAIGN.format(size=32, phases=[0.1, 10.0]).replace("[dataset", 'boundary = "periodic"\n[dataset', 1)
    )
    config = load_config(path)
    assert (config.network.media, config.network.width) == (0, 0)
    assert (config.training, config.loop.retrain_rate) == (TrainingConfig(), 1e-3)
    assert defaults((32, 32), config.material) == (JanusConfig(), TrainingConfig())


def test_two_propose_where_a_plane_is_learned_from_samples(tmp_path):
    """And inversions alone of what repeats, volumes, large planes and a model alone, or where the file says so."""
    path = tmp_path / "c.toml"

    def proposer(words, size=32):
        path.write_text(CAMPAIGN.format(size=size, phases=[0.1, 1.0]).replace("[dataset", f"{words}\n[dataset", 1))
        return load_config(path).loop.generator

    assert proposer("") == "mixed"
    assert proposer('boundary = "periodic"') == proposer("dim = 3", 16) == proposer("", 256) == "janus"
    assert proposer('[loop]\ngenerator = "janus"') == "janus"
    assert proposer('[network]\nstart = "janus-32"') == "mixed"
    assert load_config(EXAMPLES / "quickstart.toml").loop.generator == "janus", "a model alone"


def test_what_a_file_or_a_model_to_start_from_says_holds(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text(CAMPAIGN.format(size=32, phases=[0.1, 10.0]) + "[network]\nmedia = 1\n[training]\nl_sens = 3.0\n")
    config = load_config(path)
    assert (config.network.media, config.network.stem, config.training.l_sens) == (1, 2, 3.0)
    path.write_text(CAMPAIGN.format(size=32, phases=[0.1, 1.0]) + '[network]\nstart = "janus-32"\n')
    config = load_config(path)
    assert (config.network.media, config.network.channels) == (0, 20)
    assert (config.warm_training().average, config.warm_training().rate) == (0, 1e-3), "it forgets in larger steps"


def test_volumes_are_judged_by_their_own_settings(tmp_path):
    """A batch of 12 holds the 6 simulated images of a step of volumes, and not the 16 of a step of planes."""
    path = tmp_path / "c.toml"
    text = CAMPAIGN.format(size=16, phases=[0.1, 1.0]).replace("size", "dim = 3\nsize")
    path.write_text(text + "[training]\nbatch = 12\n")
    training = load_config(path).training
    assert (training.batch, training.simulated, training.pool) == (12, 6, 2)


def test_train_has_them_too(tmp_path, janus):
    data, out = tmp_path / "d.h5", tmp_path / "m"
    words = ["--count", "12", "--size", "16", "--conductivity", "0.1,10", "--solver", "direct"]
    assert janus("generate", *words, "--out", data)[0] == 0
    few = ["training.steps=2", "training.batch=4", "training.simulated=4", "training.cycled=2"]
    code, told, _ = janus("train", data, "--out", out, *(word for key in few for word in ("--set", key)), "--json")
    assert (code, json.loads(told)["training"]["l_sens"]) == (0, 5.0)
    network = json.loads((out / "model.json").read_text())["network"]
    assert (network["media"], network["width"]) == (2, 64)
