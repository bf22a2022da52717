"""Volumes learn, are kept, are judged and are inverted as planes are: a box of 16 x 16 x 24."""

import dataclasses

import numpy as np
import pytest
import torch

from janus_al import checkpoint, losses
from janus_al.defaults import VOLUMES, defaults
from janus_al.evaluation import evaluate
from janus_al.fitting import Run, TrainingConfig, TrainingError
from janus_al.inversion import InversionConfig, correct, invert
from janus_al.material import conduction
from janus_al.memory import remembered
from janus_al.networks.janus import JanusConfig
from janus_al.opinions import mean_opinion, opinions
from janus_al.samples import concatenate, unlabelled
from janus_al.training import encode, suited, train
from simulators import Conductivity, generate, run

GRID = (16, 16, 24)
MATERIAL = conduction((0.1, 1.0), dim=3)
SMALL = JanusConfig(dim=3, size=GRID, latent=12, channels=4, waves=40, media=1, rank=4)
QUICK = TrainingConfig(steps=8, batch=6, simulated=4, cycled=2, checks=4)


@pytest.fixture(scope="module")
def samples():
    from loop.simulation.rows import to_samples

    images = generate(20, GRID, 5)
    results = run(Conductivity("dirichlet", (0.1, 1.0), "direct"), list(images[:16]))
    return concatenate([to_samples(list(images[:16]), results, MATERIAL), unlabelled(images[16:], MATERIAL)])


@pytest.fixture(scope="module")
def trained(samples):
    """A network without media, which know much from the start, trained until it has learned something."""
    config = dataclasses.replace(QUICK, steps=80, checks=80, pool=2, validation=0.0)
    return train(samples, dataclasses.replace(SMALL, media=0), config, seed=0)


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_training_lowers_the_losses_and_learns(samples, trained):
    model, card = trained
    for name, part in (("task", 0.7), ("sens", 0.9), ("rec", 0.9)):
        first, last = (np.mean([row[name] for row in rows]) for rows in (card.history[:5], card.history[-5:]))
        assert last < part * first, name
    report = evaluate(model, samples)
    assert list(report["properties"]) == ["kxx", "kyy", "kzz"]
    assert all(found["r2"] > 0.5 for found in report["properties"].values())
    assert report["pixels_wrong"] < 0.1


def test_interrupted_training_resumes_bit_exactly_and_is_kept(samples, tmp_path):
    whole, card = train(samples, SMALL, QUICK, seed=3)
    state = tmp_path / "state.pt"

    class Killed(Exception):
        pass

    def kill(step, steps):
        if step == 5:
            raise Killed

    with pytest.raises(Killed):
        train(samples, SMALL, QUICK, seed=3, run=Run(state=state, progress=kill))
    resumed, _ = train(samples, SMALL, QUICK, seed=3, run=Run(state=state))
    assert torch.equal(weights(whole), weights(resumed))
    checkpoint.save(tmp_path / "m", whole, card)
    again, card_again = checkpoint.load(tmp_path / "m")
    assert (again.config, card_again) == (SMALL, card)
    z = encode(whole, samples.image)
    assert z.shape == (len(samples), 52)
    assert torch.equal(encode(again, samples.image), z)
    with torch.no_grad():
        assert torch.equal(again.decode(z), whole.decode(z))


def test_inversion_reaches_its_goal_by_the_head_and_is_corrected(trained):
    """The head's own answer for the binary decode is in the interval; then by what a simulation says, near it."""
    model, _ = trained
    goals = [{"kxx": (0.35, 0.37), "volume_fraction": (0.4, 0.6)}] * 3
    found = invert(model, goals, seed=1, config=InversionConfig(steps=40))
    assert found.field.shape == (3, *GRID)
    assert found.names == ("kxx", "kyy", "kzz", "volume_fraction")
    assert np.all((found.predicted[:, 0] > 0.35) & (found.predicted[:, 0] < 0.37))
    images = found.field > 0.5
    np.testing.assert_allclose(images.mean(axis=(1, 2, 3)), found.predicted[:, 3], rtol=1e-6)
    simulated = [{"kxx": 0.9 * value} for value in found.predicted[:, 0]]
    after = correct(model, goals, found.latent, images, simulated)
    assert np.all((after.predicted[:, 0] > 0.35) & (after.predicted[:, 0] < 0.37))
    with torch.no_grad():
        said = model.values(model.encode(torch.tensor(after.field > 0.5).float()))[:, 0]
    np.testing.assert_allclose(0.9 * said, after.predicted[:, 0], rtol=1e-5)


def test_opinions_of_the_copies_of_a_box(samples, trained):
    """Eight of the sixteen that keep its shape, the image itself first; physics would say the same of all."""
    model, _ = trained
    found = opinions(model, samples.image[:4])
    assert found.shape == (8, 4, 3)
    with torch.no_grad():
        said = model.values(model.encode(torch.tensor(samples.image[:4]).float())).numpy()
    np.testing.assert_allclose(np.exp(found[0]), said, rtol=1e-5)
    assert 1e-4 < np.ptp(found, axis=0).max() < 0.5
    np.testing.assert_allclose(mean_opinion(model, samples.image[:4]), np.exp(found.mean(axis=0)), rtol=1e-6)


def test_what_does_not_fit_at_once_is_done_in_parts(samples, trained, monkeypatch):
    """Two volumes at a time give what all do together, and progress counts every pass of every part."""
    model, _ = trained
    goals, passes = [{"kyy": (0.3 + 0.02 * i, 0.31 + 0.02 * i)} for i in range(5)], []
    config = InversionConfig(steps=3)
    whole, report, z = invert(model, goals, 0, config), evaluate(model, samples), encode(model, samples.image)
    monkeypatch.setattr("janus_al.networks.janus.PIXELS", 2 * GRID[0] * GRID[1] * GRID[2])
    assert model.config.together == 2
    parts = invert(model, goals, 0, config, lambda step, steps: passes.append((step, steps)))
    np.testing.assert_allclose(parts.latent, whole.latent, atol=1e-4)
    assert passes == [(step, 9) for step in range(1, 10)]
    torch.testing.assert_close(encode(model, samples.image), z)
    assert evaluate(model, samples)["pixel_mae"] == pytest.approx(report["pixel_mae"], rel=1e-5)


def test_memories_of_volumes(trained):
    model, card = trained
    kept = remembered(model, card, 6, 0)
    assert kept.image.shape[1:] == GRID
    assert kept.sensitivity.shape == (len(kept), 3, *GRID)
    np.testing.assert_allclose(kept.column("volume_fraction"), kept.image.mean(axis=(1, 2, 3)))


def test_sensitivities_are_pooled_in_volumes():
    """For f(x) = sum(a x) the gradient is a; with blocks of 2, differences inside them do not count."""
    a, x = torch.rand(3, 4, 4, 6, dtype=torch.float64), torch.rand(5, 4, 4, 6, dtype=torch.float64, requires_grad=True)
    predicted, weight = torch.einsum("nzyx,pzyx->np", x, a), torch.randn(5, 3, dtype=torch.float64)
    inside = torch.zeros(4, 4, 6, dtype=torch.float64)
    inside[0, 0, 0], inside[1, 1, 1] = 1, -1
    wanted = (a + inside).expand(5, 3, 4, 4, 6)
    assert losses.sensitivity(predicted, x, wanted, weight, 1).item() > 1e-3
    assert losses.sensitivity(predicted, x, wanted, weight, 2).item() == pytest.approx(0, abs=1e-24)


def test_volumes_have_defaults_of_their_own(samples):
    network, training = defaults(GRID, samples.material)
    assert {name: getattr(network, name) for name in VOLUMES["network"]} == VOLUMES["network"]
    assert {name: getattr(training, name) for name in VOLUMES["training"]} == VOLUMES["training"]
    made = suited(samples, network, training)
    assert (made.grid, made.properties, made.padding) == (GRID, ("kxx", "kyy", "kzz"), "zeros")
    with pytest.raises(TrainingError, match="images of 16 x 16 x 24 pixels: this network wants 16 x 16 x 16"):
        train(samples, JanusConfig(dim=3, size=16), QUICK)
    with pytest.raises(TrainingError, match=r"training\.pool 17: larger than the image, 16 x 16 x 24"):
        suited(samples, network, dataclasses.replace(training, pool=17))


def test_a_periodic_volume_is_learned_whole():
    """All six entries of the tensor, of which those off the diagonal change sign."""
    from loop.simulation.rows import to_samples

    images = generate(4, (16,) * 3, 2)
    results = run(Conductivity("periodic", (0.1, 1.0), "batched"), list(images))
    samples = to_samples(list(images), results, conduction((0.1, 1.0), "periodic", 3))
    network = suited(samples, dataclasses.replace(SMALL, size=16), QUICK)
    assert (network.padding, len(network.properties)) == ("circular", 6)
    model, card = train(samples, network, dataclasses.replace(QUICK, steps=4), seed=0)
    assert model.log_mean[3:].abs().max() == 0
    assert np.isfinite([row["sens"] for row in card.history]).all()
