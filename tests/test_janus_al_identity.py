"""Which images count as the same: what a test set may not share, a split not tear apart, a design not repeat."""

import dataclasses
import tracemalloc

import numpy as np
import pytest

from janus_al.batches import Data
from janus_al.fitting import TrainingConfig
from janus_al.identity import LeakageError, canonical_hash, check_test, shared, symmetric_copies
from janus_al.material import conduction
from janus_al.networks.janus import JanusConfig
from janus_al.samples import concatenate, unlabelled
from janus_al.training import build
from simulators import generate
from simulators.structures.drawing import stream_for_tests

PHASES = (0.1, 1.0)


def turned(image, rng):
    """A symmetric copy, made apart from the code under test."""
    for _ in range(rng.integers(4)):
        image = np.rot90(image)
    return image[:, ::-1] if rng.integers(2) else image


def test_symmetric_copies_have_one_hash_and_other_images_another():
    rng = np.random.default_rng(0)
    for shape in ((16, 16), (12, 17)):
        for _ in range(20):
            image = (rng.random(shape) < 0.5).astype(np.uint8)
            key = canonical_hash(image, "dirichlet")
            assert canonical_hash(turned(image, rng), "dirichlet") == key
            other = image.copy()
            other[tuple(rng.integers(shape))] ^= 1
            assert canonical_hash(other, "dirichlet") != key
            assert canonical_hash(np.roll(image, 3, axis=1), "dirichlet") != key


def test_a_periodic_cell_may_be_translated_too():
    rng = np.random.default_rng(1)
    i, j = np.indices((16, 16))
    images = [(rng.random((16, 16)) < 0.5).astype(np.uint8) for _ in range(20)]
    images += [((i + j) % 8 < 4).astype(np.uint8), (i % 4 < 2).astype(np.uint8), np.zeros((16, 16), dtype=np.uint8)]
    keys = [canonical_hash(image, "periodic") for image in images]
    assert len(set(keys)) == len(images)
    for image, key in zip(images, keys, strict=True):
        assert canonical_hash(np.roll(turned(image, rng), rng.integers(16, size=2), (0, 1)), "periodic") == key


def test_patterns_that_repeat_cost_no_more_than_others():
    """An image that thousands of translations leave as it is: one of them is looked at, and little memory taken."""
    i, j = np.indices((256, 256))
    tracemalloc.start()
    for image in (0 * i, (i + j) % 2, i % 4 < 2, (i + j) % 8 < 4):
        key = canonical_hash(image.astype(np.uint8), "periodic")
        assert canonical_hash(np.roll(image.T[::-1], (3, 5), (0, 1)).astype(np.uint8), "periodic") == key
    assert tracemalloc.get_traced_memory()[1] < 2**25
    tracemalloc.stop()


def test_copies_are_never_split_between_training_and_validation():
    """Whatever the split, an image and its seven copies stand on one side of it."""
    images = generate(12, 16, 3)
    samples = unlabelled(np.stack([c for image in images for c in symmetric_copies(image)]), conduction(PHASES))
    labelled = dataclasses.replace(samples, properties=np.full((len(samples), 3), 0.3))
    labelled.meta["status"][:] = b"simulated"
    model = build(JanusConfig(size=16, latent=4, channels=4, rank=2), 0)
    held = Data(labelled, model, TrainingConfig(validation=0.4), "cpu", fit_scaling=False).held
    sides = np.isin(np.arange(len(samples)), held).reshape(12, 8)
    assert (sides == sides[:, :1]).all()
    assert 0 < sides[:, 0].sum() < 12


def test_a_test_set_with_training_images_is_refused():
    training = [canonical_hash(image, "dirichlet") for image in generate(8, 16, 0)]
    mirrored = unlabelled(np.rot90(generate(8, 16, 0)[5])[None], conduction(PHASES))
    fresh = unlabelled(generate(8, 16, stream_for_tests(0)), conduction(PHASES))
    assert shared(fresh, training) == []
    check_test(fresh, training, "fresh.h5")
    with pytest.raises(LeakageError, match=r"test\.h5: 1 of 9 test images, the first in row 8, are training images"):
        check_test(concatenate([fresh, mirrored]), training, "test.h5")


def test_tests_have_a_stream_of_their_own():
    """No training seed gives a test image: not the seed itself, not the next, not one made to collide."""
    test = {image.tobytes() for image in generate(4, 16, stream_for_tests(7))}
    for seed in (7, 8, 2**32 - 1, 7 + ((2**32 - 1) << 32)):
        assert not test & {image.tobytes() for image in generate(4, 16, seed)}
