"""Images with classes: what a network learns of them, and whether another classifier agrees with its inversions."""

import numpy as np
import pytest
import torch

from janus_al.digits.classes import (
    SHIFT,
    Labelled,
    class_moments,
    evaluate_classes,
    invert_classes,
    pixels,
    train_classes,
)
from janus_al.digits.judge import judged, train_judge
from janus_al.fitting import TrainingConfig
from janus_al.inversion import InversionConfig
from janus_al.networks.janus import JanusConfig
from janus_al.training import build

SIDE = 12
NETWORK = JanusConfig(size=SIDE + 2 * SHIFT, latent=12, channels=8, stem=4, properties=("left", "right", "both"))


def bars(n, seed):
    """A bright bar on the left, on the right, or both, on dim noise."""
    rng = np.random.default_rng(seed)
    label = rng.integers(3, size=n).astype(np.uint8)
    image = rng.integers(30, size=(n, SIDE, SIDE)).astype(np.uint8)
    image[label != 1, 2:-2, 3:5] = 255
    image[label != 0, 2:-2, -5:-3] = 255
    return Labelled(image, label)


@pytest.fixture(scope="module")
def learned():
    data = bars(240, 0)
    model = build(NETWORK, 0)
    config = TrainingConfig(steps=400, batch=24, simulated=24, cycled=8, l_sens=0.0)
    train_classes(model, data, config, seed=0)
    return model, data


def test_pixels_are_scaled_and_framed():
    x = pixels(np.full((1, 3, 3), 255, np.uint8))
    assert x.shape == (1, 3 + 2 * SHIFT, 3 + 2 * SHIFT)
    assert float(x.sum()) == 9


def test_learns_bars(learned):
    model, _ = learned
    report = evaluate_classes(model, bars(100, 1))
    assert report["accuracy"] > 0.97
    assert report["pixel_mae"] < 0.1
    fresh = evaluate_classes(build(NETWORK, 0), bars(100, 1))
    assert fresh["accuracy"] < 0.8
    assert fresh["pixel_mae"] > 0.3


def test_moments_are_those_of_each_class(learned):
    model, data = learned
    mean, std = class_moments(model, data)
    with torch.no_grad():
        z = model.encode(pixels(data.image[data.label == 2]))
    torch.testing.assert_close(mean[2], z.mean(dim=0), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(std[2], z.std(dim=0) + 1e-6, atol=1e-5, rtol=1e-4)


def test_inversions_are_recognised_by_another_classifier(learned):
    model, data = learned
    wanted = np.array([0, 1, 2] * 3)
    images, confidence = invert_classes(model, wanted, class_moments(model, data), 0, InversionConfig(steps=20))
    assert images.shape == (9, SIDE, SIDE)
    assert confidence.min() > 0.8
    judge = train_judge(data, 3, seed=1, batch=24)
    verdict = judged(judge, images)
    np.testing.assert_allclose(verdict.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(verdict.argmax(axis=1), wanted)
    again, _ = invert_classes(model, wanted[:2], class_moments(model, data), 0, InversionConfig(steps=20))
    np.testing.assert_allclose(again, images[:2], atol=1e-4)


def test_judge_is_right_about_data():
    judge = train_judge(bars(240, 0), 3, seed=1, batch=24)
    test = bars(60, 2)
    assert (judged(judge, test.image / 255).argmax(axis=1) == test.label).mean() > 0.97
