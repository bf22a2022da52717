"""The pure rules of the loop: targets, cuts, selection, journal and configuration."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from janus_al.errors import DatasetError
from janus_al.identity import canonical_hash
from janus_al.material import conduction
from loop.campaign.config import ConfigError
from loop.campaign.journal import Journal, read_events
from loop.campaign.toml import dump_config, load_config
from loop.design.acquisition import nearest
from loop.design.cut import cut, first_count
from loop.design.feasible import check_reachable, count_range
from loop.design.pool import Known, Pool
from loop.design.select import Rules, aligned_distance, select
from loop.design.targets import Target, TargetError, interval
from loop.design.words import parse_targets
from loop.simulation.simulate import limits_of
from simulators import generate
from simulators.solvers.conductivity import wiener

PHASES = (0.1, 1.0)
MATERIAL, LIMITS = conduction(PHASES), limits_of(conduction(PHASES))
NAMES = MATERIAL.names


# --- targets


def test_words_become_intervals():
    target = parse_targets(["kxx=0.3", "kyy>=0.2", "kyy<=0.4", "volume_fraction<=0.5"], 0.01)
    assert target.intervals["kxx"] == pytest.approx((0.297, 0.303))
    assert target.intervals["kyy"] == (0.2, 0.4)
    assert target.intervals["volume_fraction"] == (0.0, 0.5)
    assert target.met({"kxx": 0.302, "kyy": 0.3, "volume_fraction": 0.5})
    assert not target.met({"kxx": 0.3031, "kyy": 0.3, "volume_fraction": 0.5})
    assert str(target) == "kxx = 0.3 ± 1 %, kyy in 0.2..0.4, volume_fraction <= 0.5"


@pytest.mark.parametrize(
    ("word", "rule"),
    [
        ("kuu=1", "target property 'kuu': known here are volume_fraction, kxx, kyy"),
        ("kx=1", r"target property 'kx': did you mean kxx\? known here are volume_fraction, kxx, kyy"),
        ("kxx=-1", "must be 0 or more"),
        ("kxx=0.9..0.5", "min 0.9 is above max 0.5"),
        ("kxx=1e999", "finite"),
        *[
            (word, r"write PROPERTY=VALUE, PROPERTY=VALUE\+-PERCENT%, PROPERTY=MIN..MAX, PROPERTY>MIN, .* or periodic")
            for word in ("kxx", "kxx=nan", "kxx=0,3", "kxx=0.3+-0.01", "kxx==0.3", "kxx=", "=0.3", "kxx=0.1...0.3", "")
        ],
    ],
)
def test_bad_words(word, rule):
    with pytest.raises(TargetError, match=rule) as caught:
        parse_targets([word], 0.01)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("word", "low", "high"),
    [
        ("kxx=0.9..1.1", 0.9, 1.1),
        ("kxx = .9 .. 1.1e0", 0.9, 1.1),
        ("kxx in 0.9..1.1", 0.9, 1.1),
        ("kxx = 0.3 +- 2 %", 0.294, 0.306),
        ("kxx=0.3±2%", 0.294, 0.306),
        ("kxx=3e-1", 0.297, 0.303),
        ("kxx >= 0.2", 0.2, math.inf),
        ("kxx≤0.2", 0.0, 0.2),
        ("kxx<=0.2", 0.0, 0.2),
        ("kxx>1", math.nextafter(1, 2), math.inf),
        ("kxx < 1", 0.0, math.nextafter(1, 0)),
    ],
)
def test_words_that_are_understood(word, low, high):
    target = parse_targets([word], 0.01)
    assert target.intervals == {"kxx": (pytest.approx(low, rel=1e-12), pytest.approx(high, rel=1e-12))}
    if word == "kxx>1":
        assert not target.met({"kxx": 1.0})
    # What is printed is understood, too.
    again = parse_targets([str(target)], 0.01)
    assert again.intervals["kxx"] == pytest.approx(target.intervals["kxx"], rel=1e-3)


@pytest.mark.parametrize("word", ["volume_fraction>0.5", "volume_fraction=0.07..0.07", "volume_fraction<0.29"])
def test_pixels_allowed_are_those_that_meet(word):
    """The counts that a cut may have are exactly those whose volume fraction meets the target."""
    target = parse_targets([word], 0.01)
    for pixels in (100, 1000, 1024):
        low, high = count_range(target, pixels)
        meet = [n for n in range(pixels + 1) if target.met({"volume_fraction": n / pixels})]
        assert meet == list(range(low, high + 1))


def test_contradiction_is_refused():
    with pytest.raises(TargetError, match="exclude each other"):
        parse_targets(["kxx>=0.4", "kxx<=0.3"], 0.01)


@pytest.mark.parametrize(
    ("words", "reachable"),
    [
        (["kxx=0.999"], True),
        (["kxx=1.02"], False),
        (["kxx=0.05"], False),
        (["kxx=0.6", "volume_fraction<=0.5"], False),
        (["kxx=0.5", "volume_fraction<=0.5"], True),
        (["kxx=0.15", "volume_fraction>=0.5"], False),
        (["volume_fraction>=1.5"], False),
    ],
)
def test_wiener_decides_what_is_reachable(words, reachable):
    """At a volume fraction of 1/2 the bounds are 2 / 11 and 0.55."""
    target = parse_targets(words, 0.01)
    if reachable:
        check_reachable(target, MATERIAL.names, LIMITS)
    else:
        with pytest.raises(TargetError):
            check_reachable(target, MATERIAL.names, LIMITS)


def test_the_reachable_range_is_named():
    with pytest.raises(TargetError, match=r"reach kxx 0\.1\.\.1, and nearest to it kxx = 1;"):
        check_reachable(parse_targets(["kxx=3"], 0.01), MATERIAL.names, LIMITS)


def test_a_property_that_the_physics_does_not_give_is_named():
    with pytest.raises(TargetError, match=r"target property 'kzz': the physics asked here gives kxx, kyy, volume_fra"):
        check_reachable(parse_targets(["kzz=0.3"], 0.01), MATERIAL.names, LIMITS)


def test_error_of_values_and_bounds():
    target = Target("t", {"kxx": interval("kxx", 0.3, 0.01), "kyy": interval("kyy", low=0.2)})
    assert target.error({"kxx": 0.33, "kyy": 0.5}) == pytest.approx(0.1)
    assert target.error({"kxx": 0.3, "kyy": 0.1}) == pytest.approx(0.5)


# --- cuts


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 64))
def test_cut_has_the_count_and_is_nested(seed, count):
    field = np.random.default_rng(seed).random((8, 8)).round(1)
    image = cut(field, count)
    assert image.sum() == count
    assert np.all(cut(field, max(count - 1, 0)) <= image)


def test_first_count_obeys_the_volume_fraction():
    field = np.linspace(0, 1, 100).reshape(10, 10)
    assert first_count(field, Target("t", {"volume_fraction": (0.0, 0.3)})) == 30
    assert first_count(field, Target("t", {"volume_fraction": (0.6, 1.0)})) == 60
    assert first_count(field, Target("t", {"kxx": (0.1, 1.0)})) == 50


# --- selection


def test_aligned_distance_knows_translations_and_mirror_images():
    image = generate(1, 32, 4)[0]
    other = generate(1, 32, 5)[0]
    moved = np.roll(image, (5, 11), (0, 1))
    flipped = moved.copy()
    flipped[0, :7] ^= 1
    distances = aligned_distance(image, np.stack([image, moved, flipped, other]))
    np.testing.assert_allclose(distances[:3], [0, 0, 7 / 1024], atol=1e-12)
    copies = [c for turned in (image, image.T) for c in (turned, turned[::-1], turned[:, ::-1], turned[::-1, ::-1])]
    shifts = [(i, j) for i in range(32) for j in range(32)]
    brute = min((np.roll(copy, shift, (0, 1)) != other).mean() for copy in copies for shift in shifts)
    assert distances[3] == pytest.approx(brute)
    np.testing.assert_allclose(aligned_distance(image, np.stack(copies)), 0, atol=1e-12)


def test_selection_is_new_possible_best_and_diverse():
    images = generate(6, 32, 8)
    images[1] = np.roll(images[0], 3, axis=0)
    fraction = images.mean(axis=(1, 2))
    predicted = np.stack([0.4 * np.ones(6), 0.4 * np.ones(6), fraction], axis=1)
    for row, f in enumerate(fraction):
        low, high = wiener(f, PHASES)
        predicted[row, :2] = math.sqrt(low * high)
    predicted[3, 0] = 1.2
    miss = np.array([0.2, 0.1, 0.0, 0.0, 0.3, 0.4])
    tried = {canonical_hash(images[2].T[::-1], "dirichlet")}
    assert chosen(images, predicted, miss, 3, Known(tried=tried))[0] == [1, 4, 5]
    known = Known(tried=tried, designs={"t": [images[1][::-1]]})
    assert chosen(images, predicted, miss, 3, known)[0] == [4, 5]


def chosen(images, predicted, miss, count, known, acquisition=nearest):
    """Rows and what fell, of a pool for one target whose fields are the images themselves."""
    pool = Pool(images.astype(np.float32), predicted, NAMES, miss, np.zeros(len(images), int))
    rules = Rules(LIMITS, "dirichlet", 0.05, acquisition)
    return select(pool, [(Target("t", {"kxx": (0, math.inf)}), count)], known, rules, (0,))


def test_selection_counts_what_fell_by_which_rule():
    images = generate(6, 32, 8)
    images[1], images[2], images[3] = images[0], np.roll(images[0], 3, axis=0), 0
    fraction = images.mean(axis=(1, 2))
    predicted = np.stack([*(np.sqrt(np.prod(wiener(fraction, PHASES), axis=0)),) * 2, fraction], axis=1)
    predicted[3:5, 0] = 1.2
    known = Known(tried={canonical_hash(images[5], "dirichlet")})
    rows, passed_over = chosen(images, predicted, np.arange(6.0), 6, known)
    assert rows == [0]
    assert passed_over == {
        "the same as a better one": 1,
        "too much like a better one": 1,
        "of one phase only": 1,
        "predicted beyond what is possible": 1,
        "already simulated": 1,
    }


# --- journal


def test_journal_survives_a_torn_line(tmp_path):
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.append("one", round=1)
    journal.append("two", round=1)
    path.write_bytes(path.read_bytes() + b'{"event": "tor')
    again = Journal(path)
    assert [e["event"] for e in again.events] == ["one", "two"]
    again.append("three", state="done")
    assert [e["event"] for e in read_events(path)] == ["one", "two", "three"]
    assert all(json.loads(line) for line in path.read_text().splitlines())


def test_damage_in_the_middle_is_refused(tmp_path):
    path = tmp_path / "journal.jsonl"
    path.write_text('{"event": "a", "time": 0}\n{"even\n{"event": "b", "time": 1}\n')
    with pytest.raises(DatasetError, match="line 2 is damaged"):
        Journal(path)


# --- configuration

CONFIG = """
name = "c"
[microstructure]
phase_conductivity = [0.1, 1.0]
[dataset.generate]
count = 10
[[target]]
kxx = { value = 0.3 }
"""


def test_configuration_round_trip(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text(CONFIG)
    config = load_config(path, overrides=["training.l_sens=0", "name=other"])
    assert config.training.l_sens == 0
    assert config.name == "other"
    assert config.targets()[0].intervals["kxx"] == pytest.approx((0.297, 0.303))
    path.write_text(dump_config(config))
    assert load_config(path) == config


def test_weights_file_is_laid_over(tmp_path):
    path, weights = tmp_path / "c.toml", tmp_path / "w.toml"
    path.write_text(CONFIG)
    weights.write_text("[training]\nl_rec = 7.5\n")
    assert load_config(path, weights).training.l_rec == 7.5


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            CONFIG.replace("kxx", "kzz"),
            "target 1: unknown key kzz; .* the physics here gives, kxx, kyy, volume_fraction",
        ),
        (CONFIG + "[training]\nstep = 3", "training.step: unknown key"),
        (CONFIG + "[training]\nsteps = 'many'", "training.steps"),
        (CONFIG + "[training]\nl_rec = -1", "training.l_rec: must be at least 0"),
        (CONFIG.replace("0.1, 1.0", "0.0, 1.0"), "phase_conductivity.0: must be above 0"),
        (CONFIG.replace("0.1, 1.0", "0.1, -1.0"), "phase_conductivity.1"),
        (CONFIG.replace("0.1, 1.0", "1.0"), "phase_conductivity"),
        (CONFIG.replace("0.1, 1.0", "1e-8, 1.0"), r"microstructure: contrast 1e\+08 .* up to a contrast of 1e\+06"),
        (CONFIG.replace("value = 0.3", "value = 3"), "out of reach"),
        (CONFIG.replace("value = 0.3", "value = 0.3, max = 0.5"), "either a value"),
        (CONFIG.replace("[dataset.generate]\ncount = 10", "[dataset]"), "give either 'source' or"),
        (CONFIG.replace('"c"', '"../c"'), "name"),
        (CONFIG + "[microstructure", "not valid TOML"),
        (CONFIG.replace("count = 10", "count = " + "9" * 5000), "not valid TOML .*4300 digits"),
        (CONFIG.replace("count = 10", "count = " + "[" * 3000), "not valid TOML .*recursion"),
        (CONFIG.replace("phase", "size = 7\nphase"), "sides of at least 8"),
    ],
)
def test_bad_configuration_in_one_sentence(tmp_path, text, words):
    path = tmp_path / "c.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words) as caught:
        load_config(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("scale", [1e-320, 1e300])
def test_wiener_bounds_of_extreme_conductivities(scale):
    with np.errstate(all="raise", under="ignore"):
        harmonic, arithmetic = wiener(np.array([0.0, 0.5, 1.0]), (scale, 1e6 * scale))
    assert np.allclose(harmonic / scale, [1, 2, 1e6], rtol=1e-3)
    assert np.allclose(arithmetic / scale, [1, 5e5, 1e6], rtol=1e-3)
