"""The phase field against what the Cahn-Hilliard equation and its discretisation say exactly."""

import numpy as np
import pytest

from simulators import PhaseField, generate
from simulators.structures.phasefield import Mixtures, free_energy


def step_composition(composition, gradient_energy, time_step):
    mixtures = Mixtures(composition, gradient_energy, time_step)
    mixtures.advance(1)
    return mixtures.composition


def noisy(count, side, mean=0.1, noise=0.2, seed=0):
    fluctuation = noise * np.random.default_rng(seed).standard_normal((count, side, side))
    return mean + fluctuation - fluctuation.mean(axis=(1, 2), keepdims=True)


@pytest.mark.parametrize("side", [16, 33])
@pytest.mark.parametrize("time_step", [0.01, 1.0, 100.0])
def test_mass_is_conserved(side, time_step):
    """A step moves the mean composition of no image by more than 1e-12, whatever its length."""
    composition, gradient_energy = noisy(3, side), np.array([0.5, 1.0, 2.0])
    before = composition.mean(axis=(1, 2))
    for _ in range(30):
        composition = step_composition(composition, gradient_energy, time_step)
        after = composition.mean(axis=(1, 2))
        np.testing.assert_allclose(after, before, rtol=0, atol=1e-12)
        before = after
    assert composition.std() > 0.01


@pytest.mark.parametrize("time_step", [0.1, 1.0, 10.0, 1000.0])
def test_free_energy_never_rises(time_step):
    """Over 200 steps of any length, at gradient energies from 0.2 to 8, the free energy only falls."""
    composition, gradient_energy = noisy(5, 24), np.array([0.2, 0.8, 2.0, 4.0, 8.0])
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
    exact = (bulk + gradient_energy * k**2 * amplitude**2 / 4) * side**2
    np.testing.assert_allclose(free_energy(wave, gradient_energy), exact, rtol=1e-13)


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


@pytest.mark.parametrize("size", [16, 21])
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
    composition, gradient_energy = noisy(2, 20), np.array([0.8, 2.0])
    mixtures = Mixtures(composition, gradient_energy, 1.0)
    mixtures.advance(300)
    for _ in range(300):
        composition = step_composition(composition, gradient_energy, 1.0)
    np.testing.assert_allclose(mixtures.composition, composition, atol=1e-9)
    np.testing.assert_allclose(mixtures.composition.mean(axis=(1, 2)), noisy(2, 20).mean(axis=(1, 2)), atol=1e-12)


@pytest.mark.parametrize("size", [32, 64])
def test_features_are_as_many_at_every_size(size):
    """A row crosses from phase to phase 2 to 4 times on average, and so does a column, whatever the pixels."""
    images = generate(24, size, seed=0).astype(int)
    for axis in (1, 2):
        crossings = np.abs(np.diff(images, axis=axis)).sum(axis=axis).mean()
        assert 2 < crossings < 4
