"""What a target can say, and what physics allows of it before anything is paid."""

import math
from pathlib import Path

import numpy as np
import pytest

from janus_al.material import conduction
from loop.campaign.config import ConfigError
from loop.campaign.toml import dump_config, parse_config
from loop.design.feasible import check_reachable, distance_to_limit, to_limits
from loop.design.measures import Geometry
from loop.design.targets import Target, TargetError
from loop.design.words import parse_targets
from loop.simulation.simulate import limits_of
from simulators import SOLVERS, generate
from simulators.catalogue import limits
from simulators.conduction.limits import narrowed, wiener
from simulators.solvers.conductivity import Conductivity

SMALL = Path(__file__).with_name("small.toml").read_text()
PHASES = (1.0, 100.0)
MATERIAL, LIMITS = conduction(PHASES), limits_of(conduction(PHASES))


def of(*words):
    return parse_targets(words, 0.01)


def reached(target, pixels=4096, limits=LIMITS):
    return check_reachable(target, MATERIAL.names, limits, pixels)


# --- in words and in files


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["max kxx", "volume_fraction<=0.3"], Target("target", {"volume_fraction": (0.0, 0.3)}, best={"kxx": 1})),
        (["kxx/kyy = min"], Target("target", {}, best={"kxx/kyy": -1})),
        (["kxx/kyy>=3"], Target("target", {"kxx/kyy": (3.0, math.inf)})),
        (["kxx/kyy in 2 .. 3"], Target("target", {"kxx/kyy": (2.0, 3.0)})),
        (
            ["kxx>=2", "min_feature>=2.1", "connected=yx", "periodic"],
            Target("target", {"kxx": (2.0, math.inf)}, geometry=Geometry((3, 3), "xy", True)),
        ),
        (["kxx>=2", "min_feature_1=4"], Target("target", {"kxx": (2.0, math.inf)}, geometry=Geometry((1, 4)))),
        (["kxx>=2", "like = 0.95"], Target("target", {"kxx": (2.0, math.inf)}, geometry=Geometry(like=0.95))),
        (["kxx>=2", "like>=0.9", "like=0.8"], Target("target", {"kxx": (2.0, math.inf)}, geometry=Geometry(like=0.9))),
    ],
)
def test_words_and_json_say_the_same(words, expected):
    target = of(*words)
    assert target == expected
    assert of(*str(target).split(", ")) == target
    assert Target.of("target", target.wanted()) == target


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        (["max kxx", "min kxx"], "exclude each other"),
        (["max kxx", "max kyy"], "best of kxx and kyy at once is not one"),
        (["max kuu"], "target property 'kuu'"),
        (["kxx/kxx>=2"], "two different properties"),
        (["kxx>=2", "min_feature=1.5um"], "a number of pixels; or a length, where microstructure.pixel or"),
        (["kxx>=2", "min_feature=0"], "from 1 to 1024"),
        (["kxx>=2", "connected=q"], "axes x, y, z"),
        (["min_feature>=3"], "asks of no property"),
        (["kxx>=2", "min_feature<=3"], "write min_feature>=PIXELS"),
        (["kxx>=2", "connected>=1"], "write .* connected=AXES"),
        (["kxx>=2", "like=95"], "like 95: it must be a number above 0 and below 1; 0.95 is what 95 of 100 images"),
        (["kxx>=2", "like>=nan"], "like nan: it must be a number above 0"),
        (["kxx>=2", "like=alloy"], "like alloy: it must be a number above 0"),
        (["kxx>=2", "like<=0.9"], "write .* like>=SCORE"),
        (["like>=0.9"], "asks of no property"),
    ],
)
def test_words_that_cannot_be(words, rule):
    with pytest.raises(TargetError, match=rule):
        of(*words)


def in_file(target, pixel=""):
    text = SMALL.replace("kxx = { value = 0.3, tolerance = 0.05 }", target)
    return parse_config(text.replace("[microstructure]", f"[microstructure]\npixel = '{pixel}'"))


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ('kxx = "max"\nvolume_fraction = { max = 0.3 }', "max kxx, volume_fraction <= 0.3"),
        ('kxx = { best = "max", min = 0.2 }', "max kxx, kxx >= 0.2"),
        ('"kxx/kyy" = { min = 1.5 }', "kxx/kyy >= 1.5"),
        ("kxx = 0.3", "kxx = 0.3 ± 1 %"),
        ('kxx = { min = 0.2 }\nmin_feature = 3\nconnected = "x"', "kxx >= 0.2, min_feature >= 3, connected = x"),
        ("kxx = { min = 0.2 }\nlike = 0.95", "kxx >= 0.2, like >= 0.95"),
        ("kxx = { min = 0.2 }\nmin_feature = '1.6 um'", "kxx >= 0.2, min_feature >= 4"),
        (
            "kxx = { min = 0.2 }\nmin_feature = [{ value = 3, label = 1 }, { value = '1000nm', label = 0 }]",
            "kxx >= 0.2, min_feature_0 >= 2, min_feature_1 >= 3",
        ),
    ],
)
def test_files_say_it_and_are_stored(target, words):
    config = in_file(target, "0.5um")
    assert str(config.targets()[0]) == words
    assert parse_config(dump_config(config)) == config


def test_an_image_that_repeats_is_judged_so():
    text = SMALL.replace("size = 16", "size = 16\nboundary = 'periodic'").replace("designs = 2", "connected = 'x'", 1)
    assert next(t.geometry for t in parse_config(text).targets()) == Geometry((1, 1), "x", True)


@pytest.mark.parametrize(
    ("target", "rule"),
    [
        ('kxx = "most"', "must be max or min"),
        ("kxx = true", "must be a section with keys of its own"),
        ("kxx = { min = 0.2 }\nmin_feature = '1um'", "microstructure.pixel or the model says"),
        ("kxx = { min = 0.2 }\nmin_feature = true", "must be a number"),
        ("kxx = { min = 0.2 }\nmin_feature = 17", "features of 17 pixels in images of 16"),
        ("kxx = { min = 0.2 }\nlike = 1", "like 1.0: it must be a number above 0 and below 1"),
        ("kxx = { min = 0.2 }\nlike = 'alloy'", "like: must be a number"),
        ("kxx = { min = 0.2 }\nconnected = 'z'", "images here have the axes x, y"),
        ('"kxx/kzz" = { min = 2 }', "unknown key kzz"),
        ('"kxx/kyy" = { min = 9 }', "out of reach"),
        ("kxx = { min = 0.5 }\nkyy = { min = 0.5 }\nvolume_fraction = { max = 0.5 }", "nearest to it kxx = 0.4"),
    ],
)
def test_files_that_cannot_be(target, rule):
    with pytest.raises(ConfigError, match=rule):
        in_file(target)


# --- joint bounds


@pytest.mark.parametrize("phases", [(1.0, 10.0), (1.0, 100.0), (1.0, 1000.0), (100.0, 1.0)])
@pytest.mark.parametrize("boundary", ["dirichlet", "periodic"])
def test_images_obey_the_joint_bounds(phases, boundary):
    """Two hundred in all: phase fields, and shapes that are anything but random."""
    images = [*generate(16, 24, 5), *shapes(24)]
    found = SOLVERS["batched"](boundary).many(images, phases)
    fraction = np.array([image.mean() for image in images])
    k = np.array([result.k[:2] for result in found])
    if boundary == "periodic":
        k = np.array([np.linalg.eigvalsh([[a, c], [c, b]]) for a, b, c in (result.k for result in found)])
    low, high = narrowed(k, k, fraction, phases)
    assert (low <= k * (1 + 1e-9)).all()
    assert (high >= k * (1 - 1e-9)).all()
    assert (k < low * 1.2).any()  # they say something


def shapes(n):
    """Discs, frames, a checkerboard, a cross, stripes."""
    y, x = np.mgrid[:n, :n] - (n - 1) / 2
    discs = [x**2 + y**2 < r**2 for r in (3, 7, 11)]
    frames = [np.maximum(abs(x), abs(y)) > r for r in (5, 9)]
    return [s.astype(np.uint8) for s in [*discs, *frames, (x > 0) ^ (y > 0), abs(x * y) < 9, x > 3, y > 7]]


@pytest.mark.parametrize("phases", [(1.0, 10.0), (1.0, 1000.0), (25.0, 0.25)])
def test_laminates_reach_the_edge(phases):
    image = np.zeros((32, 32), np.uint8)
    image[:9] = 1
    result = Conductivity("dirichlet", phases, "direct")(image)
    fraction, k = np.array([image.mean()]), np.array([[result.values["kxx"], result.values["kyy"]]])
    h, a = wiener(fraction, phases)
    np.testing.assert_allclose(k[0], [a[0], h[0]], rtol=1e-11)
    free = np.full((1, 1), np.inf)
    low, high = narrowed(np.hstack([-free, k[:, 1:]]), np.hstack([free, k[:, 1:]]), fraction, phases)
    np.testing.assert_allclose([low[0, 0], high[0, 0]], a[0], rtol=1e-9)


def test_isotropic_ends_are_those_of_hashin_and_shtrikman():
    """Where all entries are the same, the edges are (k1 f1 + ...): an independent formula, in planes and volumes."""
    k0, k1 = PHASES
    f = np.linspace(0.1, 0.9, 9)
    for dim in (2, 3):
        ends = [k0 + f / (1 / (k1 - k0) + (1 - f) / (dim * k0)), k1 + (1 - f) / (1 / (k0 - k1) + f / (dim * k1))]
        for k in ends:
            equal = np.repeat(k[:, None], dim, 1)
            low, high = narrowed(equal, equal, f, PHASES)
            np.testing.assert_allclose(np.where(k == ends[0], low[:, 0], high[:, 0]), k, rtol=1e-9)


def test_volumes_obey_theirs():
    images = [(generate(12, 12, seed) > 0).astype(np.uint8) for seed in range(3)]
    images.append(np.random.default_rng(0).integers(0, 2, (8, 8, 8)).astype(np.uint8))
    rod = np.zeros((8, 8, 8), np.uint8)
    rod[2:6, 2:6] = 1
    for image in [*images, rod]:
        result = Conductivity("dirichlet", (1.0, 50.0), "direct")(image)
        k = np.array([[result.values[n] for n in ("kxx", "kyy", "kzz")]])
        low, high = narrowed(k, k, np.array([image.mean()]), (1.0, 50.0))
        slack = 1 + 1e-9
        assert (low <= np.array([[result.upper[n] for n in ("kxx", "kyy", "kzz")]]) * slack).all()
        assert (high * slack >= np.array([[result.lower[n] for n in ("kxx", "kyy", "kzz")]])).all()


# --- feasibility


def test_what_is_impossible_is_refused_before_anything_is_written(janus, tmp_path):
    """Each conductivity of it is possible, both together are not."""
    both = ["--target", "kxx=0.5", "--target", "kyy=0.5", "--target", "volume_fraction<=0.5"]
    model = Path(__file__).parents[1] / "data" / "janus-32"
    code, out, err = janus("invert", model, *both, "--out", tmp_path / "out")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "reach kxx 0.1..0.55, kyy 0.1..0.55 each by itself, and nearest to it kxx = 0.4194 and kyy = 0.4194" in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "possible"),
    [
        (["kxx=34", "kyy=34", "volume_fraction=0.5+-0.1%"], True),
        (["kxx=35", "kyy=35", "volume_fraction=0.5+-0.1%"], False),
        (["kxx/kyy>=25.4"], True),
        (["kxx/kyy>=25.6"], False),
        (["kyy/kxx<=0.0394"], True),
        (["kxx/kyy>=10", "kxx>=80"], True),
        (["kxx/kyy=2..4", "kyy/kxx=0.3..0.4"], True),
        (["kxx/kyy=2..4", "kyy/kxx=2..4"], False),
    ],
)
def test_the_joint_bounds_decide(words, possible):
    """At f = 1/2 the isotropic limit is 34.22; the largest ratio is that of the stripe of 1/2, 50.5 / 1.9802."""
    if possible:
        reached(of(*words))
    else:
        with pytest.raises(TargetError, match=r"out of reach; .* and nearest to it"):
            reached(of(*words))


def test_what_only_laminates_reach_is_told():
    assert reached(of("kxx=34", "kyy=34", "volume_fraction<=0.5")).warning.endswith("only laminates come near")
    assert reached(of("kxx=30", "kyy=30", "volume_fraction<=0.5")).warning == ""
    assert "within 3 %" in reached(of("kxx/kyy>=25")).warning
    assert reached(of("kxx/kyy=0.9..20")).warning == ""


@pytest.mark.parametrize(
    ("words", "name", "limit"),
    [
        (["max kxx", "volume_fraction<=0.25"], "kxx", 25.75),
        (["min kxx", "volume_fraction>=0.25"], "kxx", 1 / (0.75 + 0.0025)),
        (["max kxx/kyy"], "kxx/kyy", 50.5 / (1 / 0.505)),
        (["min volume_fraction", "kxx>=25.75"], "volume_fraction", 0.25),
        (["max kyy", "kxx/kyy=0.99999..1.00001", "volume_fraction=0.5..0.5"], "kyy", 34.2222),
    ],
)
def test_limits_of_extremes(words, name, limit):
    """Of laminates, in closed form; and of the isotropic composite."""
    assert reached(of(*words)).best == {name: pytest.approx(limit, rel=1e-4)}


def test_the_distance_of_a_design_to_its_limits():
    values = {"volume_fraction": 0.5, "kxx": 30.0, "kyy": 30.0}
    found = to_limits(values, ("kxx", "kyy"), LIMITS)
    assert distance_to_limit(values, found) == pytest.approx(found["kxx"][1] / 30 - 1)
    _, high = narrowed(np.array([[-np.inf, 30.0]]), np.array([[np.inf, 30.0]]), np.array([0.5]), PHASES)
    assert found["kxx"][1] == pytest.approx(high[0, 0])
    h, a = wiener(np.array([0.5]), PHASES)
    laminate = {"volume_fraction": 0.5, "kxx": a[0], "kyy": h[0]}
    assert distance_to_limit(laminate, to_limits(laminate, ("kxx",), LIMITS)) == pytest.approx(0, abs=1e-9)


def test_a_user_may_know_more():
    class Knowing(Conductivity):
        def joint_limits(self, fraction, given):
            return {"kxx": (given["kyy"][0] * 0, given["kyy"][1] / 2)}

    fraction, one = np.array([0.5]), np.ones(1)
    found = limits(Knowing("dirichlet", PHASES), fraction, {"kyy": (3 * one, 4 * one)})
    assert found["kxx"] == (pytest.approx(1 / 0.505), 2.0)
