"""Temperatures and fluxes of a solve: conservation, the conductivity they stand for, layers, lines of flux."""

import numpy as np
import pytest

from simulators import BatchedHomogenizer, DirectHomogenizer, HomogenizationError
from simulators.solvers.flow import heat_flows

PHASES = (0.05, 1.0)


@pytest.mark.parametrize("boundary", ["dirichlet", "periodic"])
@pytest.mark.parametrize("shape", [(6, 9), (4, 5, 6)])
def test_flows_are_those_of_the_conductivity(boundary, shape):
    """Their mean is the finite-volume value; nothing is lost in a cell; each flux is what its two cells drive."""
    labels = np.random.default_rng(1).integers(0, 2, shape)
    plain = (DirectHomogenizer if len(shape) == 2 else BatchedHomogenizer)(boundary)(labels, PHASES).k_fv
    kappa = np.array(PHASES)[labels]
    flows = heat_flows(labels, PHASES, boundary)
    assert [f.axis for f in flows] == list("xyz"[: len(shape)])
    for flow, value in zip(flows, plain, strict=False):
        assert flow.conductivity == pytest.approx(value, rel=1e-10)
        lost = sum(np.diff(f, axis=axis) for axis, f in enumerate(flow.faces))
        np.testing.assert_allclose(lost, 0, atol=1e-11)
        for axis, faces in enumerate(flow.faces):
            inner = np.moveaxis(faces, axis, 0)[1:-1]
            t, k = (np.moveaxis(a, axis, 0) for a in (flow.temperature, kappa))
            side = shape[len(shape) - 1 - "xyz".index(flow.axis)]
            driven = 2 / (1 / k[1:] + 1 / k[:-1]) * (t[:-1] - t[1:]) * side
            np.testing.assert_allclose(inner, driven, atol=1e-10)


def test_across_layers_the_temperature_falls_as_the_resistance_says():
    labels = np.zeros((5, 4), int)
    labels[:, 2:] = 1
    x, y = heat_flows(labels, (0.25, 1.0))
    np.testing.assert_allclose(x.temperature, np.tile(_falls(), (5, 1)), rtol=1e-12)
    assert x.conductivity == pytest.approx(1 / (0.5 / 0.25 + 0.5 / 1.0))
    np.testing.assert_allclose(y.temperature, np.tile((1 - (np.arange(5) + 0.5) / 5)[:, None], (1, 4)), rtol=1e-12)
    np.testing.assert_allclose(y.flux[0], np.tile([0.25, 0.25, 1.0, 1.0], (5, 1)), rtol=1e-12)


def _falls():
    """Half a cell of the poor layer has 4 times the resistance of one of the good: 4, 12, 17, 19 of 20 halves."""
    return 1 - np.array([4, 12, 17, 19]) / 20


def test_between_lines_of_flux_flows_what_the_stream_function_says():
    labels = np.random.default_rng(2).integers(0, 2, (7, 6))
    for flow in heat_flows(labels, PHASES, "periodic"):
        down, right = flow.faces
        np.testing.assert_allclose(np.diff(flow.stream, axis=0), right, atol=1e-12)
        np.testing.assert_allclose(np.diff(flow.stream, axis=1), -down, atol=1e-12)


def test_what_cannot_be_homogenized_has_no_flow():
    with pytest.raises(HomogenizationError, match="contrast"):
        heat_flows(np.eye(4, dtype=int), (1e-9, 1.0))
