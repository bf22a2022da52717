"""Knowing before paying: intervals and chances against counting by hand, acquisitions, targets given up, verdicts."""

import dataclasses
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from janus_al.material import conduction
from janus_al.networks.janus import Janus, JanusConfig
from janus_al.opinions import in_units, mean_opinion, opinion_and_slopes, opinions
from janus_al.properties import action, turned, turns
from loop.campaign.campaign import Campaign
from loop.campaign.opening import start
from loop.campaign.toml import load_config
from loop.campaign.worth import Tried, promise
from loop.design.acquisition import designs, nearest, random
from loop.design.candidates import Candidate
from loop.design.confidence import FLOOR, LEVEL, Past, coverage, past_of, room
from loop.design.pool import Known, Pool
from loop.design.targets import Target
from loop.output.projections import status
from loop.simulation.progress import Progress
from loop.simulation.simulate import limits_of
from loop.simulation.verify import confirmed
from simulators import generate

CONFIG = Path(__file__).with_name("small.toml")
LIMITS = limits_of(conduction((0.1, 1.0)))
PAIR = Target("pair", {"kxx": (0.29, 0.31), "kyy": (0.38, 0.42)})


def shots(residuals, fraction=0.5, kxx=0.3, kyy=0.4):
    """First shots whose logarithms were off by so much."""
    guess = {"kxx": kxx, "kyy": kyy, "volume_fraction": fraction}
    return [
        {"predicted": guess, "first_shot": {**guess, "kxx": kxx * np.exp(a), "kyy": kyy * np.exp(b)}}
        for a, b in residuals
    ]


def told(past, targets, kxx=0.3, kyy=0.4, fraction=0.5, count=1):
    """What a past says of so many equal proposals for each target."""
    table = {name: np.full(len(targets) * count, value) for name, value in (("kxx", kxx), ("kyy", kyy))}
    rows = np.repeat(np.arange(len(targets)), count)
    return past.forecast(table, np.full(len(rows), fraction), targets, rows)


def test_room_is_the_distance_to_the_nearer_limit():
    """At half of 0.1 and 1 Wiener's bounds are 2/11 and 0.55; where there are none, all have the same."""
    predicted = {"kxx": np.array([0.3, 0.5, 0.55, 0.9]), "kxy": np.zeros(4)}
    found = room(predicted, np.full(4, 0.5), LIMITS)
    width = np.log(0.55 * 11 / 2)
    expected = np.array([min(np.log(0.3 * 5.5), np.log(0.55 / 0.3)), np.log(0.55 / 0.5), 0, 0]) + FLOOR * width
    np.testing.assert_allclose(found["kxx"], expected, atol=1e-12)
    np.testing.assert_array_equal(found["kxy"], 1.0)


@pytest.mark.parametrize("law", ["normal", "cauchy"])
def test_intervals_cover_what_they_promise(law):
    """Nine in ten, whatever the law of the errors, and not much more with thirty shots behind them."""
    rng, held = np.random.default_rng(0), []
    for _ in range(400):
        errors = 0.02 * (rng.standard_normal((31, 2)) if law == "normal" else rng.standard_cauchy((31, 2)))
        found = told(past_of([shots(errors[:-1])], [False], LIMITS), [PAIR])
        truth = 0.3 * np.exp(errors[-1, 0])
        held.append(found.lower["kxx"][0] <= truth <= found.upper["kxx"][0])
    assert np.mean(held) == pytest.approx(LEVEL, abs=0.03)


def test_a_past_too_short_says_nothing():
    """A tenth beyond takes nine to see; with eight, or where the newest rounds fade, there is no interval."""
    errors = [(0.01 * i, 0.01) for i in range(9)]
    assert np.isfinite(told(past_of([shots(errors)], [False], LIMITS), [PAIR]).lower["kxx"][0])
    for past in (
        past_of([shots(errors[:8])], [False], LIMITS),
        past_of([shots(errors[:5])] * 2, [True] * 2, LIMITS),
        Past(),
    ):
        assert np.isnan(told(past, [PAIR]).lower["kxx"][0])
    assert np.isnan(told(Past(), [PAIR]).p_hit[0])


def test_chance_counts_the_past_that_would_hit_in_all_properties_at_once():
    """kxx misses with the second shot, kyy with the third; a round ago counts half where the model learned since."""
    errors = [(0.0, 0.0), (0.05, 0.0), (0.0, 0.1), (0.02, -0.03)]
    one, ratio = Target("one", {"kxx": (0.29, 0.31)}), Target("ratio", {"kxx/kyy": (0.74, 0.76)})
    found = told(past_of([shots(errors)], [True], LIMITS), [PAIR, one, ratio])
    np.testing.assert_allclose(found.p_hit, [2.5 / 5, 3.5 / 5, 1.5 / 5])
    two = [shots(errors), shots(errors[:1])]
    np.testing.assert_allclose(told(past_of(two, [True, True], LIMITS), [PAIR]).p_hit, (0.5 * 2 + 1 + 0.5) / 4)
    np.testing.assert_allclose(told(past_of(two, [True, False], LIMITS), [PAIR]).p_hit, (2 + 1 + 0.5) / 6)
    within = dataclasses.replace(PAIR, intervals={**PAIR.intervals, "volume_fraction": (0.0, 0.4)})
    np.testing.assert_allclose(told(past_of([shots(errors)], [True], LIMITS), [within]).p_hit, 0.5 / 5)


def test_the_most_of_something_has_no_chance_to_hit():
    """Its intervals alone say nothing of what is asked for; its candidates are taken by their distance from the aim."""
    most = Target("most", {"kxx": (0.29, 0.31)}, best={"kyy": 1})
    found = told(past_of([shots([(0.0, 0.0)] * 9)], [False], LIMITS), [PAIR, most])
    assert found.p_hit[0] == pytest.approx(0.95)
    assert np.isnan(found.p_hit[1])


@pytest.mark.filterwarnings("error")
def test_a_past_that_was_far_off_leaves_the_upper_end_open():
    found = told(past_of([shots([(700.0, 0.0)] * 9)], [False], LIMITS), [PAIR], kxx=1e300)
    assert found.upper["kxx"][0] == np.inf


def test_coverage_counts_values_and_hits():
    rows = [
        {
            "target": "t",
            "wanted": {"kxx": [0.29, 0.31]},
            "interval": {"kxx": [0.28, 0.3], "kyy": [0.3, 0.4], "volume_fraction": [0.5, 0.5]},
            "p_hit": 0.25,
            "first_shot": {"kxx": kxx, "kyy": 0.35, "volume_fraction": 0.5},
        }
        for kxx in (0.29, 0.305, 0.32)
    ]
    assert coverage(rows) == {"level": 0.9, "values": 6, "held": 4, "shots": 3, "hits_expected": 0.75, "hits": 2}
    assert coverage([{**rows[0], "interval": {}, "p_hit": None}]) is None


@pytest.mark.parametrize("padding", ["zeros", "circular"])
def test_mean_opinion_turns_with_the_image(padding):
    """As the properties themselves do, whatever the weights; for a cell that repeats so do shifts by the program."""
    names = ("kxx", "kyy", "kxy") if padding == "circular" else ("kyy", "kxx")
    model = Janus(JanusConfig(size=16, latent=4, channels=4, rank=4, stem=2, padding=padding, properties=names))
    images = generate(3, 16, 0)
    assert opinions(model, images).shape == (8, 3, len(names))
    if padding == "circular":
        return
    told, turn = mean_opinion(model, images), turns(2)[5]
    index, sign = action(names, turn)
    again = mean_opinion(model, np.stack([turned(image, turn) for image in images]))
    np.testing.assert_allclose(again, sign * told[:, index], rtol=1e-5)
    assert np.ptp(opinions(model, images), axis=0).max() > 1e-3


@pytest.mark.parametrize(("padding", "media"), [("zeros", 1), ("circular", 0)])
def test_slopes_say_what_the_mean_opinion_does(padding, media):
    """Of every property, pixel by pixel, against small changes of the image in double precision."""
    names = ("kxx", "kyy", "kxy") if padding == "circular" else ("kyy", "kxx")
    config = JanusConfig(size=16, latent=6, channels=4, rank=4, padding=padding, properties=names, media=media)
    torch.manual_seed(3)
    model, images = Janus(config).double(), generate(2, 16, 0).astype(float)
    mean, slopes = opinion_and_slopes(model, images)
    np.testing.assert_allclose(mean, opinions(model, images).mean(axis=0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(in_units(model, mean), mean_opinion(model, images), rtol=1e-5, atol=1e-6)
    assert slopes.shape == (2, len(names), 16, 16)
    for row, column in ((0, 3), (9, 15)):
        moved = images.copy()
        moved[:, row, column] += 1e-6
        rise = (opinions(model, moved) - opinions(model, images)).mean(axis=0) / 1e-6
        np.testing.assert_allclose(rise, slopes[..., row, column], rtol=1e-3, atol=1e-5)


def pool(chances, images):
    n = len(images)
    return Pool(images.astype(np.float32), np.zeros((n, 0)), (), np.arange(n) / n, np.zeros(n, int), p_hit=chances)


def test_designs_takes_the_likely_and_the_different():
    """The likeliest first; then not its near copy, though that is as likely; without chances the nearest."""
    images = np.stack([*generate(4, 16, 1)])
    images[2] = images[1]
    images[2, 0, 0] ^= 1
    rng, chances = np.random.default_rng(0), np.array([0.2, 0.9, 0.9, 0.3])
    assert list(designs(pool(chances, images), 2, Known(), rng))[:2] == [1, 3]
    assert list(designs(pool(np.full(4, np.nan), images), 2, Known(), rng)) == [0, 1, 2, 3]
    assert list(designs(pool(None, images), 2, Known(), rng)) == list(nearest(pool(None, images), 2, Known(), rng))
    known = Known(designs={"t": [images[1]]})
    assert next(iter(designs(pool(chances, images), 1, known, rng))) == 3
    assert sorted(random(pool(None, images), 2, Known(), rng)) == [0, 1, 2, 3]


def test_promise_by_hand():
    """Of two candidates at 0.25, each mended with 1 in 8 chance in (24 + 4) / 7 simulations."""
    batch = [Candidate(PAIR, False, np.zeros((2, 2), np.float32), {}, p_hit=0.25)] * 2
    found = promise(batch, Tried(missed=6, steps=24), most=4)
    assert (found.designs, found.simulations) == pytest.approx((2 * (0.25 + 0.75 / 8), 2 * (1 + 0.75 * 4)))
    assert found.worth(0.08)
    assert not found.worth(0.09)
    unknown = promise([dataclasses.replace(batch[0], p_hit=None)], Tried(hits=3, hit_designs=1), most=0)
    assert (unknown.designs, unknown.simulations) == pytest.approx((0.8 * 2 / 4, 1.0))
    doubted = promise(batch, Tried(missed=9, expected=4.0), most=0)
    assert doubted.designs == pytest.approx(2 * 0.25 / 5)


def test_verdict_says_on_what_it_rests():
    properties = {"kxx": 0.3, "kxx_lower": 0.29, "kxx_upper": 0.31, "kyy": 0.4, "volume_fraction": 0.5, "E11": 2.0}
    wide, narrow = {"kxx": (0.28, 0.32)}, {"kxx": (0.299, 0.301)}
    assert confirmed({**wide, "volume_fraction": (0, 1)}, properties, {}) == "confirmed by interval"
    assert confirmed(narrow, properties, {}) == "confirmed by value"
    assert confirmed(narrow, properties, {"kxx_lower": 0.2995, "kxx_upper": 0.3005}) == "confirmed by interval"
    assert confirmed({**wide, "E11": (1, 3)}, properties, {}) == "confirmed: kxx by interval, E11 by value"
    ratio = {**properties, "kyy_lower": 0.39, "kyy_upper": 0.41}
    assert confirmed({"kxx/kyy": (0.70, 0.80)}, ratio, {}) == "confirmed by interval"
    assert confirmed({"kxx/kyy": (0.72, 0.80)}, ratio, {}) == "confirmed by value"


HOPELESS = """
[[target]]
name = "hopeless"
designs = 6
kxx = { value = 0.3, tolerance = 0.00001 }
kyy = { value = 0.3, tolerance = 0.00001 }
"""


def test_hopeless_target_is_given_up_and_the_others_go_on(tmp_path):
    """After some tens of simulations, with the reason; the same after a kill; with another budget it goes on."""
    text = CONFIG.read_text().replace("kxx = { min = 0.2 }", "kxx = { min = 0.2, max = 0.5 }") + HOPELESS
    (tmp_path / "c.toml").write_text(text)
    settings = ["loop.generator=lookup", "loop.candidates=6", "budget.rounds=12", "budget.simulations=300"]
    config = load_config(tmp_path / "c.toml", overrides=[*settings, "execution.solver=direct", "budget.worth=0.05"])

    def go_on(campaign):
        with ThreadPoolExecutor(1) as executor:
            return campaign.run(executor, "cpu", Progress(), lambda: None)

    folder = tmp_path / "run"
    assert go_on(start(folder, config)) == "stopped"
    report = status(folder)
    assert "hopeless given up: the next 6 candidates promise" in report["reason"]
    assert "below budget.worth 0.05" in report["reason"]
    by_name = {t["name"]: t for t in report["targets"]}
    assert by_name["value"]["designs"] == by_name["both"]["designs"] == 2
    assert by_name["value"]["given_up"] is None
    assert by_name["hopeless"]["given_up"] in report["reason"]
    assert 20 < report["simulations"]["spent"] - 20 < 90
    # Nothing more is paid for, until the budget is another.
    assert go_on(Campaign(folder)) == "stopped"
    assert status(folder)["simulations"] == report["simulations"]
    journal = folder / "journal.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    given = next(i for i, line in enumerate(lines) if json.loads(line)["event"] == "given_up")
    journal.write_text("".join(lines[:given]))
    assert go_on(Campaign(folder)) == "stopped"
    assert status(folder)["targets"] == report["targets"]
    more = load_config(tmp_path / "c.toml", overrides=[*settings, "execution.solver=direct", "budget.worth=0.04"])
    assert go_on(start(folder, more)) == "stopped"
    assert status(folder)["simulations"]["spent"] > report["simulations"]["spent"]
