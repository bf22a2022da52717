"""The phase field against what the Cahn-Hilliard equation and its discretisation say exactly."""

import hashlib

import numpy as np
import pytest

from simulators import PhaseField, generate
from simulators.structures.phasefield import VOLUMES, Mixtures, free_energy

PLANE, BOX = (20, 20), (6, 12, 9)


def step_composition(composition, gradient_energy, time_step):
    mixtures = Mixtures(composition, gradient_energy, time_step)
    mixtures.advance(1)
    return mixtures.composition


def noisy(count, grid, mean=0.1, noise=0.2, seed=0):
    fluctuation = noise * np.random.default_rng(seed).standard_normal((count, *grid))
    return mean + fluctuation - means(fluctuation).reshape(-1, *(1,) * len(grid))


def means(images):
    return images.reshape(len(images), -1).mean(axis=1)


@pytest.mark.parametrize("grid", [(16, 16), (33, 33), (12, 20), BOX], ids=str)
@pytest.mark.parametrize("time_step", [0.01, 1.0, 100.0])
def test_mass_is_conserved(grid, time_step):
    """A step moves the mean composition of no image by more than 1e-12, whatever its length."""
    composition, gradient_energy = noisy(3, grid), np.array([0.5, 1.0, 2.0])
    before = means(composition)
    for _ in range(30):
        composition = step_composition(composition, gradient_energy, time_step)
        after = means(composition)
        np.testing.assert_allclose(after, before, rtol=0, atol=1e-12)
        before = after
    assert composition.std() > 0.01


@pytest.mark.parametrize("time_step", [0.1, 1.0, 10.0, 1000.0])
@pytest.mark.parametrize("grid", [(24, 24), BOX], ids=str)
def test_free_energy_never_rises(grid, time_step):
    """Over 200 steps of any length, at gradient energies from 0.2 to 8, the free energy only falls."""
    composition, gradient_energy = noisy(5, grid), np.array([0.2, 0.8, 2.0, 4.0, 8.0])
    energy = free_energy(composition, gradient_energy)
    first = energy
    for _ in range(200):
        composition = step_composition(composition, gradient_energy, time_step)
        lower = free_energy(composition, gradient_energy)
        assert np.all(lower <= energy * (1 + 1e-13))
        energy = lower
    assert np.all(energy < first)


def test_free_energy_of_a_cosine():
    """a cos(k x) has the mean energy 1/4 - a^2/4 + 3 a^4/32 + g k^2 a^2/4."""
    side, amplitude, gradient_energy = 32, 0.7, np.array([0.8, 3.0])
    k = 2 * np.pi * 3 / side
    wave = np.broadcast_to(amplitude * np.cos(k * np.arange(side)), (2, side, side))
    bulk = 1 / 4 - amplitude**2 / 4 + 3 * amplitude**4 / 32
    exact = bulk + gradient_energy * k**2 * amplitude**2 / 4
    np.testing.assert_allclose(free_energy(wave, gradient_energy), exact * side**2, rtol=1e-13)
    volume = np.broadcast_to(wave[:, None], (2, 5, side, side))
    np.testing.assert_allclose(free_energy(volume, gradient_energy), exact * 5 * side**2, rtol=1e-13)


def growth(mean, gradient_energy, waves, side, time_step):
    """Factor by which one step multiplies a small cosine with `waves` = (x, y) periods on the mean composition."""
    y, x = np.indices((side, side))
    mode = np.cos(2 * np.pi * (waves[0] * x + waves[1] * y) / side)
    after = step_composition(mean + 1e-5 * mode[None], np.array([gradient_energy]), time_step)[0]
    return ((after - mean) * mode).sum() / (1e-5 * (mode**2).sum())


modes = pytest.mark.parametrize(
    ("mean", "gradient_energy", "waves", "side"),
    [(0.0, 1.0, (2, 0), 32), (0.3, 0.8, (1, 3), 32), (-0.4, 2.0, (0, 4), 33), (0.1, 1.0, (6, 6), 24)],
    ids=["x", "oblique", "odd side", "decaying"],
)


@modes
@pytest.mark.parametrize("time_step", [0.1, 1.0, 20.0])
def test_growth_of_one_mode(mean, gradient_energy, waves, side, time_step):
    """(1 + 3 dt k^2 (1 - c^2)) / (1 + dt k^2 (2 + g k^2)) a step: the scheme linearised about the mean c."""
    k2 = (2 * np.pi / side) ** 2 * (waves[0] ** 2 + waves[1] ** 2)
    exact = (1 + 3 * time_step * k2 * (1 - mean**2)) / (1 + time_step * k2 * (2 + gradient_energy * k2))
    assert growth(mean, gradient_energy, waves, side, time_step) == pytest.approx(exact, rel=1e-8)


@modes
def test_growth_rate_of_the_equation(mean, gradient_energy, waves, side):
    """For small steps a mode grows at k^2 (1 - g k^2 - 3 c^2), the rate of Cahn and Hilliard, within 1 %."""
    k2 = (2 * np.pi / side) ** 2 * (waves[0] ** 2 + waves[1] ** 2)
    rate = np.log(growth(mean, gradient_energy, waves, side, time_step=1e-4)) / 1e-4
    assert rate == pytest.approx(k2 * (1 - gradient_energy * k2 - 3 * mean**2), rel=0.01)


@pytest.mark.parametrize("time_step", [0.1, 20.0])
def test_growth_of_one_mode_in_a_box(time_step):
    """The same in a volume, of a wave that is oblique to all axes; lengths are in pixels along each of them."""
    z, y, x = np.indices(BOX)
    phase = 2 * np.pi * (z / BOX[0] + 2 * y / BOX[1] - x / BOX[2])
    k2 = (2 * np.pi) ** 2 * (1 / BOX[0] ** 2 + 4 / BOX[1] ** 2 + 1 / BOX[2] ** 2)
    after = step_composition(0.3 + 1e-5 * np.cos(phase)[None], np.array([0.8]), time_step)[0]
    exact = (1 + 3 * time_step * k2 * (1 - 0.3**2)) / (1 + time_step * k2 * (2 + 0.8 * k2))
    np.testing.assert_allclose(after, 0.3 + 1e-5 * exact * np.cos(phase), atol=1e-9)


def test_squares_are_what_they_were():
    """Bit for bit, so that a seed's dataset has the same digest in every version."""
    digest = hashlib.sha256()
    for size in (16, 21, 32, 64):
        square = generate(5, size, 3)
        np.testing.assert_array_equal(square[:2], generate(2, (size, size), 3))
        digest.update(square.tobytes())
    assert digest.hexdigest() == "2ab7d16dc7fa71912c3d509452e9c5b7dbae92c7c03465ec37f5b9c2a2967b24"


@pytest.mark.parametrize("size", [16, 21, (12, 20), BOX], ids=str)
def test_image_does_not_depend_on_the_count(size):
    """Image i of a long series, longer than a batch, is image i of a short one."""
    config = PhaseField(time=(5.0, 20.0))
    many = generate(70, size, seed=4, config=config)
    for count in (1, 5, 65):
        np.testing.assert_array_equal(many[:count], generate(count, size, seed=4, config=config))
    assert len({image.tobytes() for image in many}) == 70


def test_seeds():
    """The same seed gives the same images, another seed gives others."""
    first, again, other = (generate(4, 16, seed) for seed in (8, 8, 9))
    np.testing.assert_array_equal(first, again)
    assert not {image.tobytes() for image in first} & {image.tobytes() for image in other}


@pytest.mark.parametrize("fraction", [0.22, 0.3, 0.5, 0.625, 0.78])
def test_volume_fraction(fraction):
    """The fraction of label 1 is the one asked for, to the nearest pixel, even where separation is unfinished."""
    config = PhaseField(volume_fraction=(fraction, fraction), time=(1.0, 40.0))
    images = generate(6, 20, seed=2, config=config)
    assert images.dtype == np.uint8
    assert images.shape == (6, 20, 20)
    np.testing.assert_array_equal(images.sum(axis=(1, 2)), np.full(6, round(fraction * 400)))
    box = generate(2, BOX, seed=2, config=config)
    assert box.shape == (2, *BOX)
    np.testing.assert_array_equal(box.sum(axis=(1, 2, 3)), np.full(2, round(fraction * 648)))


@pytest.mark.parametrize("fractions", [(0.1, 0.5), (0.5, 0.9)], ids=str)
def test_ranges_that_do_not_decompose(fractions):
    """Refused: outside 0.22 to 0.78 a mixture is stable against small fluctuations, 3 c^2 > 1."""
    with pytest.raises(ValueError, match=r"volume_fraction \(.*between 0\.22 and 0\.78"):
        PhaseField(volume_fraction=fractions)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"volume_fraction": (0.6, 0.4)}, r"volume_fraction \(0\.6, 0\.4\).*smaller first"),
        ({"volume_fraction": (float("nan"), 0.5)}, r"volume_fraction \(nan"),
        ({"gradient_energy": (0.0, 1.0)}, r"gradient_energy \(0\.0, 1\.0\): give two positive"),
        ({"noise": (0.1, float("inf"))}, "noise .*finite"),
        ({"time": (-1.0, 5.0)}, "time .*positive"),
        ({"time": (0.5, 5.0)}, "at least one time_step"),
        ({"time_step": 0.0}, r"time_step 0\.0: give a positive"),
    ],
    ids=str,
)
def test_ranges_that_are_none(given, words):
    """Every field is checked, with its value, the rule and the mend."""
    with pytest.raises(ValueError, match=words):
        PhaseField(**given)


def test_many_steps_at_once_are_many_steps():
    """The spectrum that is carried on stays that of the composition: 300 steps in one go or one by one."""
    composition, gradient_energy = noisy(2, PLANE), np.array([0.8, 2.0])
    mixtures = Mixtures(composition, gradient_energy, 1.0)
    mixtures.advance(300)
    for _ in range(300):
        composition = step_composition(composition, gradient_energy, 1.0)
    np.testing.assert_allclose(mixtures.composition, composition, atol=1e-9)
    np.testing.assert_allclose(means(mixtures.composition), means(noisy(2, PLANE)), atol=1e-12)


@pytest.mark.parametrize("size", [32, 64])
def test_features_are_as_many_at_every_size(size):
    """A row crosses from phase to phase 2 to 4 times on average, and so does a column, whatever the pixels."""
    images = generate(24, size, seed=0).astype(int)
    for axis in (1, 2):
        crossings = np.abs(np.diff(images, axis=axis)).sum(axis=axis).mean()
        assert 2 < crossings < 4


@pytest.mark.parametrize("grid", [(16,) * 3, (32,) * 3, (16, 32, 32)], ids=str)
def test_features_of_volumes_are_coarse(grid):
    """A line crosses 1.4 to 2.4 times on average along every axis as long as the longest; half of that along half."""
    images = generate(8, grid, seed=0).astype(int)
    for axis, side in enumerate(grid, 1):
        crossings = np.abs(np.diff(images, axis=axis)).sum(axis=axis).mean() * max(grid) / side
        assert 1.4 < crossings < 2.4


def test_defaults():
    """In the plane as ever, in space coarser; what is given holds in both."""
    np.testing.assert_array_equal(generate(1, PLANE, 0), generate(1, PLANE, 0, PhaseField()))
    np.testing.assert_array_equal(generate(1, BOX, 0), generate(1, BOX, 0, VOLUMES))
    assert (generate(1, BOX, 0, PhaseField()) != generate(1, BOX, 0)).any()


@pytest.mark.parametrize("size", [1, (8,), (8, 8, 8, 8), (8, 1, 8), ()], ids=str)
def test_sizes_that_are_none(size):
    """Refused with the size, and what it may be."""
    with pytest.raises(ValueError, match=r"size .*\(ny, nx\) or \(nz, ny, nx\)"):
        generate(1, size, 0)
