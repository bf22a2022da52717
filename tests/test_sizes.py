"""Sides that 8 does not divide, and many pixels: a network learns them as others, and a campaign designs them."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from janus_al import checkpoint
from janus_al.batches import Data
from janus_al.evaluation import evaluate
from janus_al.fitting import TrainingConfig
from janus_al.inversion import invert
from janus_al.material import conduction
from janus_al.networks.janus import JanusConfig
from janus_al.training import _losses, build, suited, train
from loop.campaign.toml import parse_config
from loop.simulation.rows import to_samples
from simulators import Conductivity, FipyHomogenizer, generate, run

CONFIG = """
name = "odd"
seed = 1
[microstructure]
size = [18, 21]
phase_conductivity = [0.1, 1.0]
[dataset.generate]
count = 40
simulated = 16
[[target]]
name = "value"
designs = 1
kxx = { value = 0.3, tolerance = 0.05 }
[budget]
rounds = 2
simulations = 60
probes = 0
[loop]
candidates = 1
probes = 0
swarm = 2
[network]
channels = 4
latent = 16
rank = 8
waves = 60
[training]
steps = 40
batch = 8
simulated = 8
cycled = 2
checks = 2
[inversion]
steps = 15
[execution]
workers = 1
umap = false
"""
SMALL = {"latent": 16, "channels": 4, "rank": 8, "waves": 60}
GRIDS = {
    "plane": ((20, 28), "dirichlet", {"media": 2}),
    "repeated": ((18, 21), "periodic", {}),
    "coarse": ((34, 40), "dirichlet", {"coarsen": 2}),
    "volume": ((18, 18, 18), "dirichlet", {"media": 1}),
}


@pytest.mark.parametrize(("grid", "boundary", "network"), GRIDS.values(), ids=GRIDS.keys())
def test_a_network_learns_sides_that_8_does_not_divide(grid, boundary, network):
    """Properties of images it saw, and what it aims at is what its head says of the images it makes."""
    material = conduction((0.1, 1.0), boundary, len(grid))
    images = list(generate(24 if len(grid) == 2 else 4, grid, 3))
    samples = to_samples(images, run(Conductivity(boundary, (0.1, 1.0), "direct"), images), material)
    config = TrainingConfig(
        steps=40 if len(grid) == 2 else 6,
        batch=8,
        simulated=4,
        cycled=2,
        checks=2,
        l_sens=1.0,
        validation=0.0,
        pool=len(grid) - 1,
    )
    names = ("kxx", "kyy", "kzz")[: len(grid)]
    network = suited(samples, JanusConfig(dim=len(grid), **SMALL, **network, properties=names), config)
    model, _ = train(samples, network, config)
    found = evaluate(model, samples)
    assert all(found["properties"][name]["r2"] > 0.6 for name in names)
    assert found["pixels_wrong"] < 0.2
    goal = float(np.median(samples.column("kxx")))
    made = invert(model, [{"kxx": (goal, goal)}] * 2, seed=0)
    assert made.field.shape == (2, *grid)
    assert made.predicted[:, 0] == pytest.approx(goal, rel=0.05)


@pytest.mark.parametrize("block", [1, 2])
def test_sensitivities_are_compared_as_coarsely_as_the_network_sees(block):
    """What differs within the blocks whose means it sees it cannot follow, and is not asked to."""
    images = list(generate(4, 16, 3))
    samples = to_samples(images, run(Conductivity("dirichlet", (0.1, 1.0), "direct"), images), conduction((0.1, 1.0)))
    config = TrainingConfig(steps=1, batch=4, simulated=4, cycled=2, validation=0.0)
    model = build(suited(samples, JanusConfig(coarsen=block, latent=8, channels=4, rank=4), config), 0)
    data, found = Data(samples, model, config, "cpu", fit_scaling=True), []
    data.slope = data.slope * 1e-3  # of the order of what a fresh network says
    inside = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(8, 8) * data.slope.abs().mean()
    for more in (0, inside):
        data.slope = data.slope + more
        found.append(_losses(model, data, config, np.random.default_rng(0))["sens"].item())
    assert (abs(found[1] / found[0] - 1) < 1e-4) == (block == 2)


@pytest.mark.slow
def test_a_campaign_designs_sides_that_8_does_not_divide(janus, tmp_path):
    parse_config(CONFIG)
    (tmp_path / "c.toml").write_text(CONFIG)
    code, out, _ = janus("campaign", "run", tmp_path / "c.toml", "--dir", tmp_path / "c")
    assert code == 0, out
    designs = sorted((tmp_path / "c" / "designs").glob("value-*"))
    assert len(designs) == 1
    for folder in designs:
        image = np.load(folder / "image.npy")
        assert image.shape == (18, 21)
        said = json.loads((folder / "design.json").read_text())["properties"]["kxx"]
        assert said == pytest.approx(FipyHomogenizer()(image, (0.1, 1.0)).k[0], rel=1e-9)
        assert said == pytest.approx(0.3, rel=0.05)


@pytest.mark.parametrize(
    ("size", "found"), [(256, (400, 64, "auto", 4, (64, 64))), (128, (2000, 128, "fipy", 1, (128, 128)))]
)
def test_large_planes_have_defaults_of_their_own(size, found):
    text = CONFIG.replace("[18, 21]", str(size)).replace("count = 40\nsimulated = 16\n", "")
    config = parse_config(text, ["budget.simulations=200"])
    generate, network = config.dataset.generate, config.network
    assert (generate.count, generate.simulated, config.execution.solver, network.coarsen, network.seen) == found
    assert parse_config(text, ["network.coarsen=2", "budget.simulations=200"]).network.coarsen == 2


def test_a_model_of_larger_images_has_shorter_pixels(tmp_path):
    """The same sample in more pixels: 32 of half a micrometre, or 128 of an eighth."""
    network, card = checkpoint.load(Path(__file__).parents[1] / "data" / "janus-32")
    card = dataclasses.replace(card, pixel="0.5 um")
    model, found = checkpoint.enlarged(network, card, (128, 128))
    assert (model.config.grid, found.pixel, found.likeness) == ((128, 128), "0.125um", None)
    assert checkpoint.enlarged(network, card, (32, 32)) == (network, card)
    with pytest.raises(ValueError, match="whole multiples"):
        checkpoint.enlarged(network, card, (48, 48))
