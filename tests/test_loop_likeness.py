"""Designs that must be like their class: what is refused, chosen and refined, and what campaigns tell of it."""

import dataclasses
import itertools
import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from janus_al import checkpoint
from janus_al.likeness import Likeness, curves
from janus_al.material import conduction
from loop.campaign.campaign import Campaign
from loop.campaign.toml import load_config
from loop.commands.run import run_campaign
from loop.design.acquisition import like, nearest
from loop.design.candidates import Candidate
from loop.design.generators.level import level, ranked
from loop.design.measures import Geometry
from loop.design.pool import Known, Pool
from loop.design.refine import Refinement, refine
from loop.design.select import Rules, select
from loop.design.shapes import shapes_for
from loop.design.targets import Target, interval
from loop.output.likeness import drawing
from loop.output.projections import designs_of, status
from loop.simulation.progress import Progress
from loop.simulation.simulate import limits_of, simulator_of
from simulators import generate

DATA = Path(__file__).parents[1] / "data"
MATERIAL = conduction((0.1, 1.0))
QUICK = [
    "training.steps=30",
    "loop.retrain_steps=10",
    "loop.probes=0",
    "execution.solver=direct",
    "execution.workers=1",
]
WIDE = {"kxx": (0.0, 1.0)}


@pytest.fixture(scope="module")
def likeness():
    return Likeness.of(generate(200, 24, 1), "dirichlet")


def test_proposals_less_like_the_class_fall_and_the_likest_come_first(likeness):
    images = generate(6, 24, 2)
    images[1::2] = np.random.default_rng(0).random((3, 24, 24)) < 0.5
    scores = likeness.scores(images)
    assert scores[::2].min() > 0.9 > scores[1::2].max()
    none = np.full((6, 1), np.nan)
    pool = Pool(images.astype("f4"), none, ("kxx",), np.arange(6) / 6, np.zeros(6, int), like=scores)
    rng = np.random.default_rng(0)
    assert like(pool, 6, Known(), rng) == np.argsort(-scores, kind="stable").tolist()
    assert list(like(pool, 1, Known(), rng))[3:] == [3, 4, 5]
    assert like(dataclasses.replace(pool, like=None), 6, Known(), rng) == [0, 1, 2, 3, 4, 5]

    def chosen(pool, least):
        rules = Rules(limits_of(MATERIAL), "dirichlet", 0.05, nearest)
        return select(pool, [(Target("t", WIDE, geometry=Geometry(like=least)), 6)], Known(), rules, (0,))

    assert chosen(pool, 0.9) == ([0, 2, 4], Counter({"less like the class than 0.9": 3}))
    assert chosen(pool, None)[0] == [0, 1, 2, 3, 4, 5]
    assert chosen(dataclasses.replace(pool, like=None), 0.9)[0] == []


def trials(image, least, likeness):
    """Images that a refinement simulates to lower kxx by 30 % at the same volume fraction."""
    simulate = simulator_of(MATERIAL.physics[0], "dirichlet", "direct")
    wanted = {"kxx": interval("kxx", 0.7 * simulate(image).values["kxx"], 0.01)}
    wanted["volume_fraction"] = (image.mean() - 0.02, 1.0)
    target = Target("t", wanted, geometry=Geometry(like=least))
    candidate = Candidate(target, False, ranked(level(image, "dirichlet"), int(image.sum())), {})
    refine([candidate], lambda images: [simulate(x) for x in images], Refinement(MATERIAL, 8, likeness=likeness))
    return candidate


def test_refinement_keeps_the_likeness_that_is_asked_for(likeness):
    """What leaves the class is not simulated, and the candidate says why it goes no further."""
    kept, left, told = 0, 0, set()
    for image in generate(4, 24, 5):
        least = likeness.score(image) - 0.002
        free, bound = (trials(image, asked, likeness) for asked in (None, least))
        scores = likeness.scores(np.stack([trial.image for trial in bound.trials]))
        assert (scores >= least).all()
        assert [trial.properties["like"] for trial in bound.trials] == pytest.approx(scores.tolist())
        kept += len(bound.trials) > 1
        left += (likeness.scores(np.stack([trial.image for trial in free.trials])) < least).any()
        told |= {bound.reason} - {""}
    assert kept >= 2
    assert left >= 2
    assert all(reason.startswith("what would refine it is less like the class than 0.9") for reason in told)
    assert told


def test_only_shapes_that_are_like_the_class_begin_a_search(likeness):
    best, limits = Target("t", {}, best={"kxx": 1}), limits_of(MATERIAL)
    asked = dataclasses.replace(best, geometry=Geometry(like=0.95))
    shapes = shapes_for(best, (24, 24), MATERIAL, limits, likeness)
    assert len(shapes) == 5
    assert shapes_for(asked, (24, 24), MATERIAL, limits, likeness) == []
    lines = Likeness.of(np.stack([shapes[0].image, shapes[1].image]), "dirichlet")
    assert [len(shapes_for(asked, (24, 24), MATERIAL, limits, c)) for c in (lines, None)] == [2, 0]


@pytest.fixture(scope="module")
def campaign(tmp_path_factory):
    """One that wants likeness of fresh phase fields, of which most are like the class."""
    text = Path(__file__).with_name("small.toml").read_text()
    text = text.replace("{ value = 0.3, tolerance = 0.05 }", "{ min = 0.2, max = 0.5 }\nlike = 0.97")
    text = text.replace('generator = "janus"', 'generator = "phasefield"\nacquisition = "like"')
    folder = tmp_path_factory.mktemp("like")
    (folder / "like.toml").write_text(text)
    return run_campaign(folder / "campaign", load_config(folder / "like.toml", overrides=QUICK), Progress())


def test_a_campaign_tells_the_likeness_of_its_designs(campaign, janus):
    first = Likeness.of(campaign.ledger.samples(through=0).image, "dirichlet")
    told, found = status(campaign.folder), {}
    for path in campaign.folder.glob("designs/*/design.json"):
        design = json.loads(path.read_text())
        score = first.score(np.load(path.with_name("image.npy")))
        assert design["likeness"] == pytest.approx(score, abs=1e-9)
        if design["target"]["name"] == "value":
            assert design["properties"]["like"] == pytest.approx(score, abs=1e-9)
            assert design["target"]["like"] == [0.97, None]
            assert score >= 0.97
        found[design["name"]] = design["likeness"]
    assert len(found) == 4
    assert {d["name"]: d["likeness"] for d in told["designs"]} == pytest.approx(found, abs=1e-9)
    assert sum(fell.get("less like the class than 0.97", 0) for fell in told["passed_over"].values()) > 0
    code, text, _ = janus("campaign", "status", campaign.folder)
    assert code == 0
    line = next(line for line in text.splitlines() if line.startswith("value-01"))
    assert float(line.split()[2]) == pytest.approx(found["value-01"], abs=1e-4)
    assert "less like the class than 0.97" in text


def test_the_report_draws_curves_on_the_band(campaign):
    """A design's likeness in its caption, and each curve's points where its values are."""
    page = (campaign.folder / "report.html").read_text()
    likeness = campaign.models.likeness
    for design in designs_of(campaign):
        assert f"likeness <b>{design['likeness']:.3f}</b>" in page[page.index(f"<b>{design['name']}</b>") :][:900]
        assert drawing(likeness, design["image"]) in page
    image = designs_of(campaign)[0]["image"]
    lines = re.findall(r'points="([^"]*)" stroke="#[0d]', drawing(likeness, image))
    assert len(lines) == 6
    found = curves(image[None], "dirichlet")
    for line, (name, axis) in zip(lines, itertools.product(("two_point", "path_1", "path_0"), (0, 1)), strict=True):
        x, y = np.array([point.split(",") for point in line.split()], float).T
        assert (x[0], x[-1], len(x)) == (0, 150, 8)
        top = 16 + 56 * ("two_point", "path_1", "path_0").index(name)
        np.testing.assert_allclose(y, top + 40 * (1 - found[name][0, axis].clip(-0.5)) / 1.5, atol=0.06)


def test_its_models_keep_the_first_class(campaign):
    again = Campaign(campaign.folder)
    rounds = [e["round"] for e in again.journal.of("trained")]
    assert len({repr(again.models.of(number)[1].likeness) for number in rounds}) == 1


def test_a_class_of_another_size_is_named(janus, tmp_path):
    """A card that has a class needs no other: it is one of images of the model's own size."""
    words = ["invert", "janus-32", "--size", 64, "--target", "kxx=0.3", "--target", "like>=0.5", "--no-simulate"]
    code, _, err = janus(*words, "--out", tmp_path / "o")
    assert (code, len(err.splitlines())) == (2, 1)
    assert "has that of images of 32 x 32; design at this size, or leave out like" in err
    config = tmp_path / "c.toml"
    config.write_text(
        'name = "c"\n[microstructure]\nsize = 64\nphase_conductivity = [0.1, 1.0]\n'
        '[network]\nstart = "janus-32"\n[target]\nkxx = 0.3\nlike = 0.5\n'
    )
    code, _, err = janus("campaign", "run", config, "--dir", tmp_path / "c")
    assert code == 2
    assert "has that of images of 32 x 32" in err


def test_a_model_without_a_class_is_given_one(janus, tmp_path):
    """A target that wants likeness is refused, in a sentence with the mend, which mends it."""
    network, card = checkpoint.load(DATA / "janus-32")
    bare = tmp_path / "bare"
    checkpoint.save(bare, network, dataclasses.replace(card, likeness=None))
    words = [
        "invert",
        bare,
        "--target",
        "kxx=0.3",
        "--count",
        6,
        "--swarm",
        1,
        "--no-simulate",
        "--out",
        tmp_path / "o",
    ]
    mend = f"`janus-al evaluate {bare} DATA.h5 --likeness`"
    code, _, err = janus(*words, "--target", "like>=0.96")
    assert (code, len(err.splitlines())) == (2, 1)
    assert "like = 0.96 needs a class to compare with" in err
    assert mend in err
    assert not (tmp_path / "o").exists()
    rows = json.loads(janus(*words, "--json")[1])["candidates"]
    assert [row["likeness"] for row in rows] == [None] * 6
    config = tmp_path / "c.toml"
    config.write_text(
        f'name = "c"\nnetwork.start = "{bare}"\nmicrostructure = {{ size = 32, phase_conductivity = [0.1, 1.0] }}\n'
        "target = { kxx = { min = 0.2 }, like = 0.9 }\n"
    )
    code, _, err = janus("campaign", "run", config, "--dir", tmp_path / "c")
    assert code == 2
    assert mend in err
    assert not (tmp_path / "c").exists()
    one = tmp_path / "one.h5"
    assert janus("generate", "--count", 1, "--size", 32, "--solver", "direct", "--test", "--out", one)[0] == 0
    code, _, err = janus("evaluate", bare, one, "--likeness")
    assert (code, len(err.splitlines())) == (2, 1)
    assert "1 image; a class has two at least" in err
    assert janus("evaluate", bare, DATA / "quickstart-test.h5", "--likeness")[0] == 0
    given = checkpoint.load(bare)[1].likeness
    assert given.images == 256
    code, text, err = janus(*words, "--target", "like>=0.97", "--force", "--json")
    report = json.loads(text)
    rows = report["candidates"]
    assert code == 3
    assert "less like the class than 0.97" in err
    assert 1 <= len(rows) == 6 - report["passed_over"]["less like the class than 0.97"]
    for row in rows:
        assert row["likeness"] == pytest.approx(given.score(np.load(row["image"])))
        assert row["likeness"] >= 0.97
