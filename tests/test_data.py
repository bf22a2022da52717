"""The shipped data is what its card says."""

from pathlib import Path

import numpy as np
import pytest

from janus_al import dataset
from simulators import FipyHomogenizer, generate

DATA = Path(__file__).parent.parent / "data"
FILES = {"quickstart.h5": (2000, 128, 0), "quickstart-test.h5": (256, 256, 1)}


@pytest.mark.parametrize("name", FILES)
def test_card(name):
    count, simulated, _ = FILES[name]
    samples = dataset.read(DATA / name)
    assert samples.image.shape == (count, 32, 32)
    assert samples.simulated[:simulated].all()
    assert samples.simulated.sum() == simulated
    assert samples.phase_conductivity == (0.1, 1.0)
    k = samples.properties[:simulated, :2]
    assert np.all(samples.properties_lower[:simulated, :2] <= k)
    assert np.all(k <= samples.properties_upper[:simulated, :2])
    sums = samples.sensitivity[:simulated].astype(float).mean(axis=(2, 3))
    np.testing.assert_allclose(sums, 1, atol=2e-4)


def test_training_and_test_images_differ():
    one, two = (dataset.read(DATA / name) for name in FILES)
    assert not set(one.hashes) & set(two.hashes)


@pytest.mark.parametrize("name", FILES)
def test_rebuilds_to_the_same_hashes(name):
    """The first 64 images and the first simulation, from the seed."""
    samples = dataset.read(DATA / name)
    images = generate(64, 32, FILES[name][2])
    assert [dataset.content_hash(i) for i in images] == samples.hashes[:64].astype(str).tolist()
    result = FipyHomogenizer()(images[0], (0.1, 1.0))
    np.testing.assert_allclose(result.k, samples.properties[0, :2], rtol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_rebuilds_whole(name):
    count, _, seed = FILES[name]
    assert np.array_equal(generate(count, 32, seed), dataset.read(DATA / name).image)
