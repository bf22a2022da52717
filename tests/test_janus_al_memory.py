"""What a model remembers when the samples that it learned from are gone, and how often proposals are replayed."""

import numpy as np
import pytest
import torch

from janus_al.batches import Data, replayed
from janus_al.checkpoint import Card
from janus_al.fitting import TrainingConfig
from janus_al.material import conduction
from janus_al.memory import ORIGIN, remembered
from janus_al.networks.janus import JanusConfig
from janus_al.training import build, train

MATERIAL = conduction((0.1, 1.0))


def model():
    made = build(JanusConfig(size=16, channels=4, latent=8, rank=4), 3)
    made.log_mean[:], made.log_std[:], made.latent_std[:] = -1.2, 0.3, 50.0
    return made


def test_memories_are_what_the_model_says():
    """Values, and sensitivities by differences of the head's own answers; the volume fraction counted."""
    old = model()
    samples = remembered(old, Card(MATERIAL, "", 0, {}), 20, 5)
    assert 10 < len(samples) <= 20
    assert set(samples.meta["origin"]) == {ORIGIN}
    assert samples.simulated.all()
    x, way = torch.tensor(samples.image).float(), torch.randn(16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        said = old.values(old.encode(x)).numpy()
        slope = (old.predict(old.encode(x + 0.05 * way)) - old.predict(old.encode(x - 0.05 * way))).numpy() / 0.1
    assert samples.properties[:, :2] == pytest.approx(said, rel=1e-5)
    assert samples.column("volume_fraction") == pytest.approx(samples.image.mean(axis=(1, 2)))
    # d log k / d pixel = sensitivity * log(contrast) / pixels, and the head's output is log k over 0.3.
    told = (samples.maps("kyy") * way.numpy()).sum(axis=(1, 2)) * np.log(10) / 256 / 0.3
    assert told == pytest.approx(slope[:, 1], abs=0.02 * float(np.abs(slope).max()))
    again = remembered(old, Card(MATERIAL, "", 0, {}), 20, 5)
    assert again.digest() == samples.digest()


def test_a_model_that_rehearses_what_it_knows_stays():
    """Trained on its memories alone, at a low rate, it says the same of other memories; from fresh weights nothing."""
    old = model()
    card = Card(MATERIAL, "", 0, {})
    settings = TrainingConfig(steps=40, rate=1e-4, batch=8, simulated=8, cycled=2)
    samples, others = remembered(old, card, 60, 5), remembered(old, card, 60, 6)
    kept, _ = train(samples, old.config, settings, start=model())
    x = torch.tensor(others.image).float()
    with torch.no_grad():
        before, after = (m.predict(m.encode(x)) for m in (old, kept))
    assert (after - before).abs().mean() < 0.2 * before.std()


def test_proposals_are_replayed():
    """They are the part wanted of all draws, or what they are anyway; where there are none, nothing is weighed."""
    proposed = np.arange(10) < 2
    often = replayed(proposed, 0.5)
    assert often == pytest.approx(np.where(proposed, 0.25, 0.0625))
    assert often.sum() == pytest.approx(1)
    assert replayed(proposed, 0.1) is None
    assert replayed(~proposed, 0.5) is None
    assert replayed(np.zeros(4, dtype=bool), 0.5) is None
    assert replayed(np.ones(4, dtype=bool), 0.5) is None
    samples = remembered(model(), Card(MATERIAL, "", 0, {}), 20, 5)
    samples.meta["round"][:3] = 1
    data = Data(samples, model(), TrainingConfig(validation=0.0, replay=0.6), "cpu", fit_scaling=False)
    assert data.often[:3].sum() == pytest.approx(0.6)
