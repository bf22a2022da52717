"""Calibration: what is linear in the latent vector of a head's errors is taken off, noise is not, no weight changes."""

import copy

import numpy as np
import pytest
import torch

from janus_al import calibration
from janus_al.batches import held_out
from janus_al.calibration import calibrate
from janus_al.fitting import TrainingConfig
from janus_al.material import conduction
from janus_al.networks.janus import JanusConfig
from janus_al.training import encode, train
from loop.simulation.rows import to_samples
from simulators import Conductivity, generate, run


@pytest.fixture(scope="module")
def samples():
    images = list(generate(160, 16, 5))
    return to_samples(images, run(Conductivity("dirichlet", (0.1, 1.0)), images), conduction((0.1, 1.0)))


@pytest.fixture(scope="module")
def learned(samples):
    config = TrainingConfig(steps=80, batch=16, simulated=16, validation=0.0, calibrate=False)
    return train(samples.take(np.arange(120)), JanusConfig(size=16, latent=16, channels=4, rank=4), config)[0]


@pytest.fixture
def network(learned):
    """A copy of one that has learned a little."""
    return lambda: copy.deepcopy(learned)


def errors(model, samples):
    """Of the logarithms of both conductivities."""
    with torch.no_grad():
        said = model.predict(encode(model, samples.image)) * model.log_std + model.log_mean
    return np.log(samples.properties[:, :2]) - said.double().numpy()


def mean_square(model, samples):
    return float(np.square(errors(model, samples)).mean())


def with_properties(samples, rows, properties):
    """The same with other kxx and kyy in these rows."""
    changed = samples.take(np.arange(len(samples)))
    changed.properties[rows] = properties
    return changed


def test_images_that_it_has_not_seen_are_foretold_better(network, samples, monkeypatch):
    """Its latent vector knows more than a line fitted to what the head says."""
    seen, fresh = samples.take(np.arange(120)), samples.take(np.arange(120, 160))
    tilted, scaled = network(), network()
    calibrate(tilted, seen)
    monkeypatch.setattr(calibration, "_tilt", lambda *_: None)
    calibrate(scaled, seen)
    assert mean_square(tilted, fresh) < 0.6 * mean_square(scaled, fresh)
    assert not scaled.tilt.any()


def test_only_scale_offset_and_tilt_change(network, samples):
    before, after = network(), network()
    calibrate(after, samples)
    changed = {name for name, value in after.state_dict().items() if not torch.equal(value, before.state_dict()[name])}
    assert changed == {"tilt", "head.bias", "log_mean", "log_std"}
    # Of what symmetries exchange, as samples are scaled before they are turned.
    assert len(set(after.log_mean.tolist())) == len(set(after.log_std.tolist())) == 1


def test_the_scale_leaves_neither_slope_nor_offset(network, samples, monkeypatch):
    """Of what is left in the copies that it was fitted to."""
    monkeypatch.setattr(calibration, "_tilt", lambda *_: None)
    plain, scaled = network(), network()
    calibrate(scaled, samples)
    truth, rows = np.log(samples.properties[:, :2]), np.tile(np.arange(len(samples)), calibration.COPIES)
    left = []
    for model in (plain, scaled):
        with torch.no_grad():
            z, true = calibration._copies(model, samples, truth, rows)
            said = (model.predict(z) * model.log_std + model.log_mean).double().numpy()
        left.append(true - said)
        line = np.polyfit(said.ravel(), true.ravel(), 1)
        assert (np.abs(line - (1, 0)).max() > 0.1) == (model is plain)
    np.testing.assert_allclose(line, (1, 0), atol=1e-4)
    assert np.square(left[1]).mean() < np.square(left[0]).mean()


def test_noise_is_left_alone(network, samples):
    """What physics adds to the head's answers at random for each image: what some say hardly foretells the others."""
    kept = 0
    for seed in range(8):
        model = network()
        noise = np.random.default_rng(seed).normal(0, 1, (len(samples), 2))
        changed = samples.properties.copy()
        changed[:, :2] *= np.exp(noise - errors(model, samples))
        calibrate(model, with_properties(samples, slice(None), changed))
        kept += int((model.tilt == 0).all(dim=1).sum())
    assert kept > 12


def test_a_few_give_a_scale_and_no_tilt(network, samples):
    model, before = network(), network()
    calibrate(model, samples.take(np.arange(15)))
    assert not model.tilt.any()
    assert not torch.equal(model.log_std, before.log_std)
    calibrate(before, samples.take(np.arange(7)))
    assert torch.equal(before.log_std, network().log_std)


def test_what_is_held_out_has_no_say(network, samples):
    out = held_out(samples, 0.2)
    assert 10 < out.sum() < 60
    told, other = (network() for _ in range(2))
    calibrate(told, samples, 0.2)
    calibrate(other, with_properties(samples, out, 2 * samples.properties[out]), 0.2)
    assert torch.equal(told.tilt, other.tilt)
    assert torch.equal(told.log_mean, other.log_mean)
    whole = network()
    calibrate(whole, samples)
    assert not torch.equal(told.tilt, whole.tilt)
