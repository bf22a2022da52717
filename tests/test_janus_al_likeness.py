"""Likeness: statistics with known answers, what leaves the score alone, and whom it takes for a member of a class."""

import json
import math
from dataclasses import asdict, replace

import numpy as np
import pytest

from janus_al import checkpoint
from janus_al.errors import DatasetError
from janus_al.identity import symmetric_copies
from janus_al.likeness import BAND, STATISTICS, Likeness, curves, lineal_path, specific_surface, two_point
from simulators import generate


def stripes(width, side=16):
    """Columns of label 0 and of label 1 in turn, each so many pixels wide."""
    return np.tile((np.arange(side) // width % 2).astype(np.uint8), (side, 1))


def test_statistics_of_stripes_and_of_a_checkerboard():
    r = np.arange(9)
    wave = np.array([0.5, 0.25, 0, 0.25, 0.5, 0.25, 0, 0.25, 0.5])  # a triangle of period 4
    board = np.indices((16, 16)).sum(axis=0) % 2
    both = np.stack([stripes(2), board])
    (along_y, along_x), checked = two_point(both, "periodic")
    np.testing.assert_allclose(along_x, wave)
    np.testing.assert_allclose(along_y, 0.5)
    np.testing.assert_allclose(checked, np.tile((r % 2 == 0) / 2, (2, 1)))
    (path_y, path_x), checked = lineal_path(both, "periodic")
    np.testing.assert_allclose(path_x, np.maximum(2 - r, 0) / 4)
    np.testing.assert_allclose(path_y, 0.5)
    np.testing.assert_allclose(checked, np.tile((r == 0) / 2, (2, 1)))
    np.testing.assert_allclose(specific_surface(both, "periodic"), [[0, 0.5], [1, 1]])
    np.testing.assert_allclose(specific_surface(both, "dirichlet"), [[0, 7 / 15], [1, 1]])


def test_statistics_between_faces_do_not_reach_across_edges():
    half = np.zeros((1, 8, 8), np.uint8)
    half[..., 4:] = 1
    r = np.arange(5)
    np.testing.assert_allclose(two_point(half, "dirichlet")[0, 1], (4 - r) / (8 - r))
    np.testing.assert_allclose(lineal_path(half, "dirichlet", 0)[0, 1], (4 - r) / (8 - r))
    np.testing.assert_allclose(two_point(half, "periodic")[0, 1], (4 - r) / 8)
    volume = np.broadcast_to(half, (1, 8, 8, 8))
    np.testing.assert_allclose(lineal_path(volume, "dirichlet", 1)[0, 2], (4 - r) / (8 - r))
    np.testing.assert_allclose(lineal_path(volume, "dirichlet", 1)[0, 0], 0.5)
    np.testing.assert_allclose(specific_surface(volume, "periodic"), [[0, 0, 2 / 8]])


@pytest.mark.parametrize("fraction", [0.2, 0.5, 0.8])
def test_pixels_strewn_at_random_have_the_same_statistics_at_every_fraction_but_for_paths(fraction):
    strewn = np.random.default_rng(0).random((1, 1024, 1024)) < fraction
    found = curves(strewn.astype(np.uint8), "periodic", lags=6)
    r = np.arange(1, 7)
    np.testing.assert_allclose(found["two_point"][0], 0, atol=0.006)
    np.testing.assert_allclose(found["path_1"][0], [fraction**r] * 2, atol=0.006)
    np.testing.assert_allclose(found["path_0"][0], [(1 - fraction) ** r] * 2, atol=0.006)
    np.testing.assert_allclose(found["surface"], 1, atol=0.006)


@pytest.mark.parametrize("shape", [(16, 16), (12, 12, 12), (8, 12, 12)])
def test_copies_are_as_like_as_the_image(shape):
    """Mirrored and turned ones, as far as they have its shape; what repeats may be moved, too."""
    images = generate(20, shape, 3)
    for boundary in ("dirichlet", "periodic"):
        likeness = Likeness.of(images, boundary)
        image = generate(1, shape, 4)[0]
        copies = [copy for copy in symmetric_copies(image) if copy.shape == shape]
        copies += [np.roll(image, 5, axis) for axis in range(len(shape))] if boundary == "periodic" else []
        assert len(copies) >= 8
        assert likeness.scores(np.stack(copies)) == pytest.approx(likeness.score(image), abs=1e-12)


def test_a_grain_is_not_taken_for_none():
    """Stripes are like turned stripes, and not like their checkerboard, nor this like them."""
    lines = Likeness.of([stripes(2), stripes(2).T, np.roll(stripes(2), 1, 1)], "periodic")
    squares = stripes(2) ^ stripes(2).T
    assert lines.score(stripes(2).T) == 1
    assert lines.score(squares) < 0
    assert Likeness.of([squares, squares], "periodic").score(stripes(2)) < 0


def by_hand(images, boundary):
    """The score's parts for an image and a class that is not cut into folds, value by value."""
    found = curves(images, boundary)
    low, high = ({n: np.percentile(v, q, axis=0) for n, v in found.items()} for q in BAND)

    def distance(image):
        own, means = curves(image[None], boundary), []
        for n in STATISTICS:
            pairs = zip(own[n].ravel(), low[n].ravel(), high[n].ravel(), strict=True)
            means.append(np.mean([((x - (a + b) / 2) / max((b - a) / 2, 0.01)) ** 2 for x, a, b in pairs]))
        return math.sqrt(np.mean(means))

    return distance


def test_the_score_is_as_defined():
    images, other = generate(5, 16, 1), generate(1, 16, 2)[0]
    likeness = Likeness.of(images, "dirichlet")
    each = [by_hand(np.delete(images, row, axis=0), "dirichlet")(images[row]) for row in range(5)]
    assert likeness.far == pytest.approx(np.percentile(each, 95), rel=1e-6)
    expected = 1 - 0.05 * by_hand(images, "dirichlet")(other) / likeness.far
    assert likeness.score(other) == pytest.approx(expected, abs=1e-5)
    twice = 1 - 0.1 * by_hand(images, "dirichlet")(other) / likeness.far
    assert replace(likeness, far=likeness.far / 2).score(other) == pytest.approx(twice, abs=1e-5)


@pytest.mark.parametrize("shape", [(32, 32), (16, 16, 16)])
def test_most_of_a_class_are_like_it_and_others_are_not(shape):
    """Of 60 fresh phase fields; of noise, of coarser and of finer images none."""
    likeness = Likeness.of(generate(200, shape, 1), "dirichlet")
    fresh = generate(60, shape, 2)
    assert 0.88 <= np.mean(likeness.scores(fresh) >= 0.95) <= 1
    noise = (np.random.default_rng(0).random((20, *shape)) < 0.5).astype(np.uint8)
    speckled = np.where(np.random.default_rng(1).random(fresh.shape) < 0.1, 1 - fresh, fresh)
    coarse = fresh[(slice(None), *[slice(0, n // 2) for n in shape])]
    for axis in range(1, coarse.ndim):
        coarse = coarse.repeat(2, axis)
    fine = np.concatenate([fresh[..., ::2], fresh[..., ::2]], axis=-1)
    fine = np.concatenate([fine[..., ::2, :], fine[..., ::2, :]], axis=-2)
    assert (likeness.scores(noise) < 0.8).all()
    assert (likeness.scores(speckled) < 0.95).all()
    assert np.mean(likeness.scores(fine) >= 0.95) <= 0.05
    assert np.mean(likeness.scores(coarse) >= 0.95) < 0.6  # most of a coarse image's curve is in so few pixels
    assert not likeness.realistic(np.ones(shape, np.uint8))
    assert likeness.score(fresh[0]) <= 1


def test_classes_of_one_and_of_two_equal_images():
    with pytest.raises(ValueError, match="a class of 1 images: two at least"):
        Likeness.of([stripes(2)], "periodic")
    same = Likeness.of([stripes(2), stripes(2)], "periodic")
    assert same.score(stripes(2)) == 1
    assert same.score(stripes(4)) < 0


def test_larger_images_are_compared_as_far_as_the_class_knows():
    """What repeats is as like as four of it side by side."""
    likeness = Likeness.of(generate(100, 16, 1), "periodic")
    images = generate(8, 16, 2)
    assert likeness.lags == 8
    assert likeness.scores(np.tile(images, (1, 2, 2))) == pytest.approx(likeness.scores(images).tolist(), abs=1e-9)
    assert likeness.whole((16, 16))
    assert not likeness.whole((32, 32))
    assert not likeness.whole((16, 16, 16))


@pytest.fixture
def model(folder, tmp_path):
    """A model and its card, of the small campaign's first training."""
    network, card = checkpoint.load(folder / "models" / "r0000")
    checkpoint.save(tmp_path / "model", network, card)
    return tmp_path / "model", network, card


def test_a_model_keeps_the_class_of_its_images(model, folder):
    from loop.campaign.campaign import Campaign

    path, _, card = model
    images = Campaign(folder).ledger.samples(through=0).image
    assert card.likeness == Likeness.of(images, "dirichlet")
    assert len(images) == card.likeness.images == 120
    assert len(json.dumps(asdict(card.likeness))) < 5000
    assert checkpoint.load(path)[1] == card


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c["low"].pop("surface"),
        lambda c: c["low"]["path_1"][0].pop(),
        lambda c: c["high"]["two_point"].pop(),
        lambda c: c.update(far=0.0),
        lambda c: c.update(boundary="periodic"),
        lambda c: c.update(far="near"),
    ],
)
def test_a_damaged_class_is_refused(model, change):
    from hashlib import sha256

    path, _, _ = model
    about = json.loads((path / "model.json").read_text())
    change(about["card"]["likeness"])
    text = json.dumps(about).encode()
    (path / "model.json").write_bytes(text)
    sums = (path / "SHA256SUMS").read_text().splitlines()
    (path / "SHA256SUMS").write_text(f"{sums[0]}\n{sha256(text).hexdigest()}  model.json\n")
    with pytest.raises(DatasetError, match="likeness"):
        checkpoint.load(path)
