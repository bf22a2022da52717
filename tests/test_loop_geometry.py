"""Features and connection of images, by definition, and images that obey them by construction."""

import numpy as np
import pytest
from scipy.ndimage import binary_opening, gaussian_filter, label

from loop.design.cut import cut
from loop.design.geometry import cheapest_path, shaped
from loop.design.measures import Geometry, disc, joins, opened, smallest_feature
from loop.design.targets import Target


def endless(image, periodic):
    """The image in the middle of copies of itself, mirrored ones unless it repeats."""
    for axis in range(image.ndim):
        other = image if periodic else np.flip(image, axis)
        image = np.concatenate([other, image, other], axis)
    return image


def middle(large, shape):
    return large[tuple(slice(n, 2 * n) for n in shape)]


def by_definition(image, geometry):
    """Opened by the disc among copies of itself, each phase stays; a component of label 1 reaches from face to face."""
    for phase, diameter in zip((0, 1), geometry.features, strict=True):
        centre = np.stack(np.meshgrid(*[np.arange(diameter) - (diameter - 1) / 2] * image.ndim, indexing="ij"))
        large = endless(image == phase, geometry.periodic)
        kept = binary_opening(np.pad(large, diameter, "edge"), (centre**2).sum(0) <= diameter**2 / 4)
        kept = kept[(slice(diameter, -diameter),) * image.ndim]
        if not np.array_equal(middle(kept, image.shape), image == phase):
            return False
    for axis in geometry.connected:
        along = image.ndim - 1 - "xyz".index(axis)
        # A component that goes on without end passes through all copies, and may wind about the other axes meanwhile.
        turns = [5 if a == along else (25 if image.ndim == 2 else 7) for a in range(image.ndim)]
        copies = np.tile(image, turns) if geometry.periodic else image
        labels = np.moveaxis(label(copies == 1)[0], along, 0)
        if not np.intersect1d(labels[0][labels[0] > 0], labels[-1]).any():
            return False
    return True


def random_case(number):
    rng = np.random.default_rng([7, number])
    volume = number % 5 == 4
    shape = (int(rng.integers(8, 12)),) * 3 if volume else tuple(rng.integers(16, 40, 2))
    field = gaussian_filter(rng.random(shape), rng.choice([0, 0.7, 1.5, 3]), mode="wrap")
    features = tuple(int(d) for d in rng.integers(1, 4 if volume else 6, 2))
    geometry = Geometry(features, str(rng.choice(["", "x", "y", "xy"])), bool(rng.integers(2)))
    return field, int(rng.uniform(0.3, 0.7) * field.size), geometry, str(rng.choice(["dirichlet", "periodic"]))


@pytest.mark.parametrize("first", [0, 20])
def test_images_obey_by_definition(first):
    """Forty random fields, planes and volumes, under both boundaries."""
    off = []
    for number in range(first, first + 20):
        field, count, geometry, boundary = random_case(number)
        target = Target("t", {"kxx": (0.0, 1.0)}, geometry=geometry)
        image = shaped(field, count, target, boundary)
        judged = geometry.under(boundary)
        assert by_definition(image, judged), (number, judged)
        assert judged.obeyed(image)
        np.testing.assert_array_equal(image, shaped(field, count, target, boundary))
        off.append(abs(int(image.sum()) - count) / image.size)
    assert np.median(off) < 0.005


@pytest.mark.parametrize("number", range(40))
def test_measures_are_what_the_definition_says(number):
    """Of images that were made with no regard to it, also where they obey by chance."""
    rng = np.random.default_rng([8, number])
    image = cut(gaussian_filter(rng.random((14, 11)), rng.choice([0.5, 1, 2]), mode="wrap"), int(rng.integers(20, 130)))
    for periodic in (False, True):
        for diameter in (2, 3, 4):
            geometry = Geometry((1, diameter), "", periodic)
            assert geometry.obeyed(image) == by_definition(image, geometry)
        for axis in "xy":
            geometry = Geometry((1, 1), axis, periodic)
            assert geometry.obeyed(image) == by_definition(image, geometry)


def test_discs():
    assert [int(disc(d, 2).sum()) for d in range(1, 8)] == [1, 4, 9, 12, 21, 32, 37]
    assert [int(disc(d, 3).sum()) for d in range(1, 5)] == [1, 8, 19, 32]


def test_a_stripe_is_as_wide_as_it_is():
    image = np.zeros((12, 12), np.uint8)
    image[:, 4:7] = 1
    assert smallest_feature(image, 1, 9, periodic=False) == 3
    assert smallest_feature(image, 0, 9, periodic=False) == 8  # its four columns at the edge, mirrored
    assert smallest_feature(image, 0, 12, periodic=True) == 9  # all that is left of twelve
    image = np.roll(image, -5, 1)  # two columns on one side of the seam, one on the other
    assert smallest_feature(image, 1, 9, periodic=True) == 3
    assert smallest_feature(image, 1, 9, periodic=False) == 2
    assert np.array_equal(opened(image == 1, 3, periodic=True), image == 1)


def test_a_spiral_goes_on_and_a_dead_end_does_not():
    spiral = np.eye(6, dtype=bool) | np.roll(np.eye(6, dtype=bool), 1, 1)
    assert joins(spiral, "x", periodic=True)
    assert joins(spiral, "y", periodic=True)
    dead = spiral.copy()
    dead[3, 3] = False
    assert not joins(dead, "x", periodic=True)
    shifted = np.zeros((6, 6), bool)
    shifted[1, :3] = shifted[4, 3:] = shifted[1:5, 2] = True
    assert joins(shifted, "x", periodic=False)
    assert not joins(shifted, "x", periodic=True)  # row 4 on the right does not meet row 1 on the left


def test_the_path_takes_what_there_is():
    """Two bars with a gap between: the path runs along both, and its length is that of the image."""
    field = np.zeros((9, 20))
    field[3, :8] = field[3, 11:] = 1
    path = cheapest_path(field, 17, "x", periodic=False)
    np.testing.assert_array_equal(np.argwhere(path), [[3, x] for x in range(20)])


def test_without_geometry_it_is_the_cut():
    field = np.random.default_rng(0).random((16, 16))
    np.testing.assert_array_equal(shaped(field, 100, Target("t", {}), "dirichlet"), cut(field, 100))


def test_the_volume_fraction_allowed_is_kept():
    field = gaussian_filter(np.random.default_rng(3).random((32, 32)), 2, mode="wrap")
    target = Target("t", {"volume_fraction": (0.0, 0.4)}, geometry=Geometry((4, 4), "x"))
    assert 0.35 < shaped(field, 409, target, "dirichlet").mean() <= 0.4
