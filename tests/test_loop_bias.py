"""What first shots were all off by is taken off the next: how much of it is believed, and what is asked then."""

import numpy as np
import pytest

from loop.design.bias import Bias, believed, bias_of
from loop.design.targets import Target, interval


def test_of_a_mean_what_noise_explains_is_not_believed():
    assert believed([0.03] * 4) == pytest.approx(0.03)
    assert believed([0.03, -0.03, 0.03, -0.03]) == believed([0.04, -0.02, 0.04, -0.02]) == 0
    # Mean 0.02, variance of the mean 0.0001 / 3: a twelfth of its square.
    assert believed([0.01, 0.03, 0.01, 0.03]) == pytest.approx(0.02 * 11 / 12)
    assert believed([0.03]) == believed([]) == 0


def row(target, predicted, value, bias=None):
    shot = {"target": target, "predicted": {"kxx": predicted, "volume_fraction": 0.4}}
    shot["first_shot"] = {"kxx": value, "volume_fraction": 0.5}
    return shot | ({"bias": {"kxx": bias}} if bias else {})


def test_the_bias_is_that_of_the_generator_whatever_was_added_before():
    """A head that says 5 % too little, always: found in the first round, and found again once it is put right."""
    first = [row("a", 0.3, 0.3 * np.exp(0.05)), row("a", 0.31, 0.31 * np.exp(0.05)), row("b", 0.3, 0.3)]
    bias = bias_of([first], [False])
    assert bias.shifts == {"a": {"kxx": pytest.approx(0.05)}}
    second = [row("a", 0.3, 0.3, 0.05)] * 2
    assert bias_of([first, second], [False, False]).shifts["a"]["kxx"] == pytest.approx(0.05)
    # A model that has learned since is another one.
    assert bias_of([first], [True]).shifts == bias_of([first, second], [False, True]).shifts == {}
    assert bias_of([second, first], [True, False]).shifts == bias.shifts


def test_a_target_is_asked_for_as_the_generator_would_say_it():
    target = Target("a", {"kxx": interval("kxx", 0.3, 0.01), "kxx/kyy": (2.0, np.inf), "volume_fraction": (0.2, 0.5)})
    bias = Bias({"a": {"kxx": 0.05, "kyy": -0.02}})
    aimed = bias.aimed(target).intervals
    assert aimed["kxx"] == pytest.approx([0.297 * np.exp(-0.05), 0.303 * np.exp(-0.05)])
    assert aimed["kxx/kyy"] == (pytest.approx(2 * np.exp(-0.07)), np.inf)
    assert aimed["volume_fraction"] == (0.2, 0.5)
    assert bias.aimed(Target("b", target.intervals)).intervals == target.intervals
    predicted = np.array([[0.297, 0.4], [0.3, 0.4]])
    found = bias.corrected(predicted, ("kxx", "volume_fraction"), ["a", "b"])
    np.testing.assert_allclose(found, [[0.297 * np.exp(0.05), 0.4], [0.3, 0.4]])
