"""Spinodoids against Rice's formula for Gaussian fields and against the geometry of their cones."""

import numpy as np
import pytest

from simulators import Spinodoid, generate
from simulators.structures import spinodoid
from simulators.structures.choice import STRUCTURES
from simulators.structures.spinodoid import superposed

BOX = (6, 12, 9)


def crossings(images, axis):
    """Changes of phase along a line, on average."""
    return np.abs(np.diff(images.astype(int), axis=axis)).sum(axis=axis).mean()


@pytest.mark.parametrize("grid", [(7, 5), BOX], ids=str)
def test_waves_add_up(grid):
    """A hundred cosines, more than are summed at a time, at the centres of the pixels."""
    rng = np.random.default_rng(0)
    periods, phase = 3 * rng.standard_normal((100, len(grid))), rng.uniform(0, 6, 100)
    centres = np.stack([(i + 0.5) / side for i, side in zip(np.indices(grid), grid, strict=True)], axis=-1)
    exact = np.cos(2 * np.pi * centres @ periods.T + phase).sum(axis=-1)
    np.testing.assert_allclose(superposed(grid, periods, phase), exact, atol=1e-10)


@pytest.mark.parametrize(
    ("kind", "share"),
    [("isotropic", 1 / 3), ("lamellar", 0.8727), ("columnar", 0.4683)],
)
def test_crossings_are_those_of_gaussian_fields(kind, share):
    """2 w sqrt(share) of a line (Rice 1944) at half a volume, where `share` is the mean square cosine to its axis.

    In a cone of 30 degrees that is (1 + c + c^2) / 3 with c its cosine; of two cones the mean of their own, 0.8727, and
    of what is left across it, (1 - 0.8727) / 2.
    """
    w, side = 3.0, 48
    config = Spinodoid((kind,), (0.5, 0.5), wavelengths=(w, w), angle=(30.0, 30.0))
    images = spinodoid.generate(24, (side,) * 3, 5, config)
    # The axes of a kind are drawn; those with a cone are the ones with the most crossings.
    each = np.array([sorted((crossings(image[None], axis) for axis in (1, 2, 3)), reverse=True) for image in images])
    cones = {"isotropic": 3, "lamellar": 1, "columnar": 2}[kind]
    assert each[:, :cones].mean() == pytest.approx(2 * w * share**0.5 * (side - 1) / side, rel=0.05)
    if kind == "lamellar":
        assert each[:, 1:].mean() == pytest.approx(2 * w * ((1 - share) / 2) ** 0.5 * (side - 1) / side, rel=0.1)


def test_every_axis_is_drawn():
    """Layers lie across x, y and z alike, and so do columns along them."""
    for kind in ("lamellar", "columnar"):
        images = generate(40, (12,) * 3, 3, Spinodoid((kind,)))
        most = [int(np.argmax([crossings(image[None], axis) for axis in (1, 2, 3)])) for image in images]
        assert min(most.count(axis) for axis in range(3)) >= 6


def test_directions_lie_in_their_cones():
    """Within an angle of some axis, uniformly, so that of the 20-degree cone the fraction of a cap is within 10."""
    angles = np.array([20.0, 0.0, 40.0])
    found = spinodoid._directions(angles, 20_000, np.random.default_rng(1))
    off = np.rad2deg(np.arccos(abs(found)))
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1)
    assert np.all((off[:, 0] <= 20) | (off[:, 2] <= 40))
    assert (off[:, 0] <= 20).mean() == pytest.approx(0.0603 / (0.0603 + 0.2340), abs=0.01)
    first = off[off[:, 0] <= 20, 0]
    assert (first <= 10).mean() == pytest.approx(0.01519 / 0.0603, abs=0.02)


def test_periods_that_repeat():
    """The nearest whole numbers of periods, and one along the longest where that is none."""
    given = np.array([[1.6, -0.4, 0.1], [0.3, -0.4, 0.2], [-2.2, 0.6, 1.4]])
    np.testing.assert_array_equal(spinodoid._on_lattice(given.copy())[[0, 2]], [[2, 0, 0], [-2, 1, 1]])
    assert abs(spinodoid._on_lattice(given)[1]).tolist() == [0, 1, 0]


def test_periodic_images_meet_themselves():
    """Across the seam phases change as often as anywhere; without `periodic` they change as if by chance."""

    def seam(periodic):
        images = generate(60, (16,) * 3, 2, Spinodoid(("isotropic",), periodic=periodic))
        within = crossings(images, 1) / 15
        return float((images[:, 0] != images[:, -1]).mean() / within)

    assert seam(True) == pytest.approx(1, abs=0.15)
    assert seam(False) > 2


def test_layers_on_a_lattice_are_whole():
    """Two waves along one axis are layers, twice the same: the last digits of equal heights part neither of them."""
    config = Spinodoid(("lamellar",), wavelengths=(2.0, 2.0), angle=(5.0, 5.0), periodic=True)
    for image in generate(20, (12,) * 3, 0, config):
        layers = [image.min(axis=rest) for rest in ((0, 1), (0, 2), (1, 2)) if not np.ptp(image, axis=rest).any()]
        assert len(layers) == 1
        np.testing.assert_array_equal(layers[0][:6], layers[0][6:])


@pytest.mark.parametrize("size", [16, (6, 9), BOX], ids=str)
def test_image_depends_on_seed_and_number(size):
    """Not on the count; the same again, others from another seed, and the fraction asked for to the nearest pixel."""
    config = Spinodoid(volume_fraction=(0.4, 0.4))
    many = generate(20, size, 4, config)
    np.testing.assert_array_equal(many[:3], generate(3, size, 4, config))
    assert len({image.tobytes() for image in [*many, *generate(20, size, 5, config)]}) == 40
    assert many.dtype == np.uint8
    pixels = many[0].size
    np.testing.assert_array_equal(many.reshape(20, -1).sum(axis=1), round(0.4 * pixels))


def test_by_name():
    """Of the names `phasefield` is the default, and a spinodoid repeats itself where the boundary does."""
    np.testing.assert_array_equal(generate(1, 16, 0, STRUCTURES["phasefield"](True)), generate(1, 16, 0))
    assert STRUCTURES["spinodoid"](True) == Spinodoid(periodic=True)
    assert STRUCTURES["spinodoid"](False) == Spinodoid()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"kinds": ("lamelar",)}, r"kinds \('lamelar',\): give one or more of isotropic, lamellar"),
        ({"kinds": ()}, "kinds"),
        ({"volume_fraction": (0.5, 1.0)}, r"volume_fraction \(0\.5, 1\.0\): keep both ends between 0 and 1"),
        ({"wavelengths": (3.0, 2.0)}, "wavelengths .*smaller first"),
        ({"angle": (1.0, 20.0)}, "angle .*between 5 and 90 degrees"),
        ({"angle": (20.0, 91.0)}, "angle .*between 5 and 90 degrees"),
        ({"waves": 0}, "waves 0: give a number of 1 or more"),
    ],
    ids=str,
)
def test_what_is_refused(given, words):
    """With its value, the rule and the mend."""
    with pytest.raises(ValueError, match=words):
        Spinodoid(**given)
