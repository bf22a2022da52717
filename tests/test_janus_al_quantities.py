"""Quantities: a ratio is one linear form of logarithms, in values, sensitivities and predictions alike."""

import math

import numpy as np
import pytest

from janus_al.properties import PropertyError
from janus_al.quantities import quantity
from simulators import SOLVERS


def test_a_ratio_is_a_difference_of_logarithms() -> None:
    ratio = quantity("kxx/kyy")
    values = {"kxx": 0.6, "kyy": 0.2}
    assert ratio.of(values) == pytest.approx(3.0)
    assert ratio.weights(("kyy", "kxx")) @ np.log([0.2, 0.6]) == pytest.approx(ratio.scaled(3.0))
    assert quantity("kxx").of(values) == 0.6
    assert quantity("volume_fraction").lowest == 0.0
    assert math.isnan(ratio.of({"kxx": 0.6}))
    assert ratio.derivative({"kxx": np.ones(3)}) is None


def test_the_derivative_of_a_ratio_is_that_of_physics() -> None:
    image = (np.add.outer(np.arange(16) % 5, np.arange(16) % 3) > 2).astype(int)
    homogenize, warmer = SOLVERS["direct"]("dirichlet"), np.array([0.2, 1.0 * math.exp(1e-5)])
    before, after = homogenize(image, [0.2, 1.0]), homogenize(image, warmer)
    ratio, names = quantity("kxx/kyy"), ("kxx", "kyy")
    slope = ratio.derivative(dict(zip(names, before.sensitivity, strict=True)))
    rise = np.log(ratio.of(dict(zip(names, after.k, strict=True))) / ratio.of(dict(zip(names, before.k, strict=True))))
    assert slope is not None
    assert slope[image == 1].sum() == pytest.approx(rise / 1e-5, rel=1e-3)


@pytest.mark.parametrize("name", ["kxx/kxy", "kxx/kxx", "kxx/kyy/kzz", "kxx/heat", "/kxx"])
def test_what_is_no_ratio_is_refused(name: str) -> None:
    with pytest.raises(PropertyError):
        quantity(name)
