"""The table of properties: what symmetries do to each entry is what physics says of the turned image."""

import numpy as np
import pytest

from janus_al.batches import Data, fit_scale
from janus_al.fitting import TrainingConfig
from janus_al.identity import canonical_hash, symmetric_copies
from janus_al.material import Material, Physics, conduction, joined
from janus_al.networks.janus import Janus, JanusConfig
from janus_al.properties import TABLE, Property, PropertyError, action, orbits, register, row_of, turned, turns
from janus_al.samples import unlabelled
from janus_al.training import train
from loop.simulation.rows import to_samples
from simulators import Conductivity, Elasticity, Result, generate, run

CONDUCT = Conductivity("periodic", (0.1, 1.0), solver="direct")
STIFF = Elasticity("periodic", (1.0, 10.0), (0.2, 0.3))


@pytest.mark.parametrize(
    ("simulator", "shape", "every"),
    [(CONDUCT, (9, 9), 1), (STIFF, (8, 8), 1), (CONDUCT, (4, 4, 4), 1), (STIFF, (4, 4, 4), 6)],
    ids=["k, plane", "C and E, plane", "k, all 48 of a volume", "C and E, volume"],
)
def test_symmetries_of_properties_are_those_of_physics(simulator, shape, every):
    image = np.random.default_rng(1).integers(0, 2, shape)
    names = tuple(simulator(image).values)
    original = np.array([simulator(image).values[name] for name in names])
    found = set()
    for turn in turns(image.ndim)[::every]:
        copy = simulator(turned(image, turn)).values
        index, sign = action(names, turn)
        np.testing.assert_allclose([copy[n] for n in names], sign * original[index], rtol=1e-6, atol=1e-9)
        found.add((tuple(index), tuple(sign)))
    assert len(found) > 1


def test_copies_of_a_volume():
    """48 copies with one canonical hash, and with the same under a translation of a periodic cell."""
    volume = np.random.default_rng(2).integers(0, 2, (4, 4, 4)).astype(np.uint8)
    copies = symmetric_copies(volume)
    assert len({c.tobytes() for c in copies}) == 48
    assert len({canonical_hash(c, "dirichlet") for c in copies}) == 1
    moved = np.roll(copies[17], (1, 2, 3), axis=(0, 1, 2))
    assert canonical_hash(moved, "periodic") == canonical_hash(volume, "periodic")
    assert canonical_hash(moved, "dirichlet") != canonical_hash(volume, "dirichlet")


def test_what_turns_into_each_other():
    assert orbits(("kxx", "kyy", "kxy", "volume_fraction"), 2) == [([0, 1], False), ([2], True), ([3], False)]
    assert orbits(("C11", "C22", "C12", "C66", "C16", "C26"), 2)[-1] == ([4, 5], True)
    assert action(("kxx",), turns(2)[0]) is not None
    assert action(("kxx",), ((1, 0), (False, False))) is None


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"name": "2k"}, "property '2k': a name has letters"),
        ({"name": "k" * 65}, "at most 64"),
        ({"name": "k", "axes": "xx"}, "of a tensor that has a name"),
        ({"name": "k", "tensor": "k", "axes": "qq"}, "axes 'qq'"),
        ({"name": "k", "trend": 7}, "trend 7"),
    ],
)
def test_rows_that_are_none(row, words):
    with pytest.raises(PropertyError, match=words):
        Property(**row)


def test_a_row_of_the_users():
    row = Property("roughness", log=False, trend=-1)
    register(row)
    assert row_of("roughness") == row
    physics = Physics("command", {"command": "a {image} {output}"}, ("roughness",), rows=(row,))
    assert physics.trend("roughness") == -1
    assert physics.contrast("roughness") == 0
    with pytest.raises(PropertyError, match=r"property roughness: .* is not what it means here"):
        register(Property("roughness"))
    with pytest.raises(PropertyError, match="property 'smoothness': known here are volume_fraction, kxx"):
        row_of("smoothness")
    assert "smoothness" not in TABLE


def test_trend_and_contrast_follow_the_constants():
    """Conductivity rises with label 1 where that conducts better, and falls where it does not; kxy does neither."""
    rising, falling = conduction((0.1, 1.0), "periodic"), conduction((1.0, 0.1))
    assert [rising.trend(n) for n in ("kxx", "kyy", "kxy", "volume_fraction")] == [1, 1, 0, 1]
    assert falling.trend("kxx") == -1
    assert [rising.contrast("kxx"), -falling.contrast("kxx")] == pytest.approx([np.log(10)] * 2)
    assert joined(conduction((0.1, 1.0)), conduction((0.1, 1.0))) == conduction((0.1, 1.0))
    with pytest.raises(PropertyError, match="boundary dirichlet and periodic"):
        joined(falling, rising)


@pytest.fixture(scope="module")
def partly():
    """24 images: 8 with conductivities, 8 with moduli, 4 with both, 4 with nothing; no maps of the moduli."""
    both = Material(
        (
            *conduction((0.1, 1.0)).physics,
            Physics("elasticity", {"modulus": (10.0, 1.0), "poisson": 0.3}, ("E11", "E22"), "GPa"),
        ),
        "dirichlet",
    )
    images = generate(24, 16, 5)
    heat = run(Conductivity("dirichlet", (0.1, 1.0), solver="direct"), list(images))
    stiff = [r.values for r in run(Elasticity("dirichlet", (10.0, 1.0), 0.3), list(images))]
    results = [Result(h.values, sensitivity=h.sensitivity) for h in heat[:8]]
    results += [Result(s) for s in stiff[8:16]]
    results += [
        Result({**h.values, **s}, sensitivity=h.sensitivity) for h, s in zip(heat[16:20], stiff[16:20], strict=True)
    ]
    return to_samples(list(images[:20]), results, both), unlabelled(images[20:], both)


def test_a_head_learns_from_what_each_sample_has(partly):
    """What is not known counts for nothing: neither in the scaling nor as a label or a map."""
    samples, _ = partly
    network = JanusConfig(size=16, latent=16, channels=4, rank=4, properties=("kxx", "kyy", "E11", "E22"))
    model = Janus(network)
    data = Data(samples, model, TrainingConfig(validation=0.0), "cpu", fit_scaling=True)
    assert data.known.sum(dim=0).tolist() == [12, 12, 12, 12]
    assert data.steep.sum(dim=0).tolist() == [12, 12, 0, 0]
    assert bool((data.slope[:, 2:] == 0).all())
    k = np.log(np.concatenate([samples.column("kxx"), samples.column("kyy")]))
    assert model.log_mean[0] == model.log_mean[1] == pytest.approx(np.nanmean(k), rel=1e-6)
    assert model.log_std[0] == pytest.approx(np.nanstd(k), rel=1e-6)
    e = np.log(np.concatenate([samples.column("E11"), samples.column("E22")]))
    assert model.log_mean[2] == model.log_mean[3] == pytest.approx(np.nanmean(e), rel=1e-6)


def test_training_with_all_some_or_none(partly):
    from janus_al.evaluation import evaluate
    from janus_al.samples import concatenate

    network = JanusConfig(size=16, latent=16, channels=8, rank=8, properties=("kxx", "kyy", "E11", "E22"))
    config = TrainingConfig(steps=250, batch=12, simulated=8, cycled=2, checks=2, l_sens=1.0)
    model, card = train(concatenate(partly), network, config, seed=0)
    assert set(card.property_range) == {"kxx", "kyy", "E11", "E22"}
    found = evaluate(model, concatenate(partly))["properties"]
    assert all(found[name]["r2"] > 0.5 for name in found), found


def test_scale_of_signed_properties_is_about_zero():
    model = Janus(JanusConfig(size=16, latent=16, channels=4, rank=4, properties=("kxx", "kyy", "kxy")))
    y = np.array([[0.0, 2.0, 0.3], [1.0, 1.0, 0.4], [np.nan, np.nan, 0.5]])
    fit_scale(model, y, ("kxx", "kyy", "kxy"))
    np.testing.assert_allclose(model.log_mean, [1.0, 1.0, 0.0])
    np.testing.assert_allclose(model.log_std, [np.sqrt(0.5), np.sqrt(0.5), np.sqrt(0.5 / 3)], rtol=1e-6)


@pytest.mark.parametrize("name", ["kxx_lower", "kxx_upper", "sigma_fv"])
def test_a_name_that_a_bound_has_is_refused(name):
    with pytest.raises(PropertyError, match="stand for bounds and plain values; rename it"):
        Property(name)


def test_a_physics_that_gives_the_volume_fraction_is_refused():
    """It would stand twice in every table."""
    with pytest.raises(PropertyError, match="volume_fraction: every image has it without physics; leave it out"):
        Material((Physics("own:V", {}, ("volume_fraction",)),), "dirichlet")
