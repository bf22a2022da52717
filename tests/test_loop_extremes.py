"""The most and the least of a quantity: where it is looked for, when the search ends, and what becomes a design."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from problems import direct_conductivity

from janus_al.material import conduction
from janus_al.samples import SIMULATED, content_hash, unlabelled
from loop.campaign.campaign import Campaign
from loop.campaign.extremes import Search, aimed, best_of, ended, ranked
from loop.campaign.journal import read_events
from loop.campaign.opening import start
from loop.campaign.toml import load_config, parse_config
from loop.design.candidates import Candidate, Trial
from loop.design.select import aligned_distance
from loop.design.shapes import shapes_for
from loop.design.words import parse_targets
from loop.output.projections import status, write_designs
from loop.simulation.executors import open_executor
from loop.simulation.progress import Progress
from loop.simulation.simulate import limits_of
from simulators import BatchedHomogenizer

SEARCH = Search(improvement=0.005, near=0.01)
MOST, LEAST = (parse_targets([f"{way} kxx", "volume_fraction<=0.5"], 0.01) for way in ("max", "min"))


def row(value, met=True, key="0", target="target"):
    return {"target": target, "final": {"kxx": value}, "met": met, "hash": key, "predicted": {"kxx": value}}


def test_the_best_meets_all_else():
    rows = [row(0.3), row(0.5, met=False), row(0.4), row(0.9, target="other"), row(math.nan)]
    assert best_of(MOST, rows) == 0.4
    assert best_of(LEAST, rows) == 0.3
    assert best_of(MOST, []) is None


@pytest.mark.parametrize(
    ("target", "before", "now", "limit", "words"),
    [
        (MOST, None, None, 0.55, ""),
        (MOST, None, 0.4, 0.55, ""),
        (MOST, 0.4, 0.41, 0.55, ""),
        (MOST, 0.4, 0.4019, 0.55, "bettered by less than 0.5 %"),
        (MOST, 0.4, 0.4, math.nan, "bettered by less than 0.5 %"),
        (MOST, None, 0.545, 0.55, "within 1 % of the limit"),
        (LEAST, 0.2, 0.19, 0.18, ""),
        (LEAST, 0.2, 0.1995, 0.18, "bettered by less than 0.5 %"),
        (LEAST, None, 0.1815, 0.18, "within 1 % of the limit"),
    ],
)
def test_when_a_search_ends(target, before, now, limit, words):
    found = ended(before, now, target, limit, SEARCH)
    assert words in found
    assert bool(found) == bool(words)


def test_earlier_candidates_stand_in_line_with_those_of_the_round():
    images = [np.eye(8, dtype=np.uint8), np.tri(8, dtype=np.uint8)]
    known = {content_hash(image): image for image in images}
    keys = list(known)
    past = {"candidates_table": [row(0.4, key=keys[0]), row(0.6, key=keys[1]), row(0.9, met=False)], "designs": []}
    past["candidates_table"][0]["final"]["volume_fraction"] = past["candidates_table"][1]["final"][
        "volume_fraction"
    ] = 0.1
    own = Candidate(MOST, False, np.ones((8, 8), np.float32), {})
    own.trials.append(Trial(own.image, {"kxx": 0.5, "volume_fraction": 0.2}, {}))
    found = ranked(MOST, [past], [own], known.__getitem__)
    assert [c.score for c in found] == pytest.approx(np.log([0.6, 0.5, 0.4]))
    np.testing.assert_array_equal(found[0].image, images[1])
    past["designs"] = [{"hash": keys[1]}]
    assert len(ranked(MOST, [past], [own], known.__getitem__)) == 2


def test_generators_aim_between_the_best_known_and_the_limit():
    low, high = aimed(MOST, None, 0.55).goal["kxx"]
    assert high == 0.55
    assert low == pytest.approx(math.exp(0.1 * math.log(0.9 * 0.55) + 0.9 * math.log(0.55)))
    samples = unlabelled(np.zeros((3, 8, 8), np.uint8), conduction((0.1, 1.0)))
    samples.meta["status"][:] = SIMULATED
    samples.properties[:] = [[0.3, 0.2, 0.3], [0.4, 0.2, 0.5], [0.6, 0.2, 0.7]]
    low, _ = aimed(MOST, samples, 0.55).goal["kxx"]
    assert low == pytest.approx(math.exp(0.1 * math.log(0.4) + 0.9 * math.log(0.55)))
    assert aimed(MOST, samples, math.nan).goal["kxx"] == (pytest.approx(0.42), math.inf)
    assert aimed(LEAST, samples, 0.2).goal["kxx"][0] == 0.2
    assert aimed(parse_targets(["kxx=0.3"], 0.01), samples, math.nan).aims == {}
    assert aimed(parse_targets(["min kxy"], 0.01), None, -0.2).goal["kxy"] == (-0.2, pytest.approx(-0.198))
    samples = unlabelled(np.zeros((1, 8, 8), np.uint8), conduction((0.1, 1.0), "periodic"))
    samples.meta["status"][:] = SIMULATED
    samples.properties[:] = [[0.3, 0.2, -0.1, 0.3]]
    assert aimed(parse_targets(["max kxy"], 0.01), samples, math.nan).goal["kxy"] == (pytest.approx(-0.095), math.inf)


def shapes_of(words, material):
    return shapes_for(parse_targets(words, 0.01), (32, 32), material, limits_of(material))


def test_a_search_begins_with_simple_shapes():
    """Of 307 pixels in 1,024 that conduct ten times as well; a stripe along x is the most there can be."""
    shapes = shapes_of(["max kxx", "volume_fraction<=0.3"], conduction((0.1, 1.0)))
    assert {int(c.image.sum()) for c in shapes} == {307}
    assert max(direct_conductivity(np.array([0.1, 1.0])[c.image]) for c in shapes) > 0.99 * (0.1 + 0.9 * 307 / 1024)
    assert {int(c.image.sum()) for c in shapes_of(["max kyy", "volume_fraction<=0.3"], conduction((1.0, 0.1)))} == {102}
    assert shapes_of(["kxx=0.3"], conduction((0.1, 1.0))) == []


@pytest.mark.parametrize("way", ["max", "min"])
def test_stripes_along_a_diagonal_tile(way):
    """A slanted laminate has the most and the least kxy; f = (10 - sqrt(10)) / 9, where arithmetic less harmonic mean
    is largest. Stairs of pixels lose a twentieth of it."""
    f = (10 - 10**0.5) / 9
    most = (0.1 + 0.9 * f - 1 / (10 - 9 * f)) / 2
    shapes = shapes_of([f"{way} kxy"], conduction((0.1, 1.0), "periodic"))
    assert all(abs(c.image.mean() - f) < 0.01 for c in shapes)
    found = [BatchedHomogenizer("periodic")(c.image, (0.1, 1.0)).k[2] for c in shapes]
    best = shapes[int(np.argmax(found) if way == "max" else np.argmin(found))].image
    assert 0.94 * most < max(found) < most
    assert -most < min(found) < -0.94 * most
    moved = np.roll(best, (3, 3 if way == "max" else -3), (0, 1))
    assert np.mean(moved != best) < 0.06  # of a diagonal that is not full


CONFIG = """
name = "most"
seed = 1
[microstructure]
size = 32
phase_conductivity = [0.1, 1.0]
[network]
start = "data/janus-32"
[[target]]
name = "most"
designs = 2
kxx = "max"
kyy = { min = 0.16 }
volume_fraction = { max = 0.3 }
[budget]
rounds = 3
simulations = 60
[loop]
candidates = 3
refine_steps = 1
probes = 0
[inversion]
steps = 10
[execution]
workers = 1
solver = "direct"
"""


def gone_on_with(campaign):
    """The campaign at its end, without a report."""
    with open_executor("process", 1) as executor:
        campaign.run(executor, "cpu", Progress(), lambda: None)
    return campaign


@pytest.fixture(scope="module")
def campaign(tmp_path_factory):
    folder = tmp_path_factory.mktemp("most")
    (folder / "c.toml").write_text(CONFIG.replace("data/", str(Path(__file__).parents[1] / "data") + "/"))
    return gone_on_with(start(folder / "campaign", load_config(folder / "c.toml")))


def test_a_campaign_keeps_the_best_of_all_rounds(campaign):
    rounds = campaign.journal.of("round")
    met = {r["hash"]: r["final"] for e in rounds for r in e["candidates_table"] if r["met"]}
    best = sorted(met, key=lambda key: -met[key]["kxx"])
    designs = [d["hash"] for d in campaign.designs()]
    assert not any(event["designs"] for event in rounds[:-1])
    assert designs[0] == best[0]
    assert len(designs) == 2
    one, two = (campaign.ledger.image(key) for key in designs)
    assert aligned_distance(one, two[None])[0] >= 0.05
    for key in best[1 : best.index(designs[1])]:
        assert aligned_distance(campaign.ledger.image(key), one[None])[0] < 0.05
    told = status(campaign.folder)["targets"][0]["best"]
    assert told["value"] == met[best[0]]["kxx"]
    assert told["limit"] == pytest.approx(campaign.config.reach["most"].best["kxx"])
    assert told["to_limit"] == pytest.approx(told["limit"] / told["value"] - 1)
    design = json.loads((write_designs(campaign)[0] / "design.json").read_text())
    assert design["to_limit"] == pytest.approx(told["to_limit"])
    low, high = design["limits"]["kxx"]
    assert low < design["properties"]["kxx"] <= high <= told["limit"]
    assert design["lineage"]["round"] in {e["round"] for e in rounds if best[0] in str(e["candidates_table"])}


def test_what_is_missing_after_a_search_is_given_up_when_nothing_new_is_proposed(campaign, monkeypatch):
    (target,) = campaign.targets
    monkeypatch.setattr(campaign.standing, "open", lambda: [(target, 1)])
    assert campaign.standing.hopeless([]) == {"most": "nothing new is proposed for it"}
    assert campaign.standing.hopeless([Candidate(target, False, np.ones((16, 16), np.float32), {})]) == {}
    monkeypatch.setattr(campaign.standing, "designs", list)
    assert campaign.standing.hopeless([]) == {}


def test_a_killed_search_ends_as_it_would_have(campaign, tmp_path):
    """Its last round cut off the journal, after what that had simulated or before: the same designs."""
    events = list(read_events(campaign.folder / "journal.jsonl"))
    last = max(i for i, e in enumerate(events) if e["event"] == "round")
    for keep in (last, max(i for i, e in enumerate(events[:last]) if e["event"] == "proposed")):
        folder = tmp_path / str(keep)
        shutil.copytree(campaign.folder, folder)
        lines = (folder / "journal.jsonl").read_bytes().splitlines(keepends=True)
        (folder / "journal.jsonl").write_bytes(b"".join(lines[:keep]))
        assert gone_on_with(Campaign(folder)).designs() == campaign.designs()


SHARED = """
name = "shared"
microstructure = { size = 16, phase_conductivity = [0.1, 1.0] }
dataset.generate = { count = 20, simulated = 20 }
budget = { rounds = 2, simulations = 42 }
loop = { generator = "lookup", candidates = 3, refine_steps = 2 }
execution = { workers = 1, solver = "direct" }
[[target]]
name = "most"
kxx = "max"
kyy = { min = 0.2 }
[[target]]
name = "hard"
designs = 3
kxx = { value = 0.3, tolerance = 0.0005 }
kyy = { value = 0.2, tolerance = 0.0005 }
"""


def test_a_search_leaves_other_targets_their_first_shots(tmp_path):
    """Of 22 simulations those of a second round; without a share the first round takes them all."""
    campaign = gone_on_with(start(tmp_path / "c", parse_config(SHARED)))
    first, second = ([row["target"] for row in e["candidates_table"]] for e in campaign.journal.of("round"))
    assert (first.count("hard"), first.count("most"), second.count("hard")) == (3, 8, 3)
    assert [e["spent"] for e in campaign.journal.of("round")] == [39, 42]


@pytest.mark.slow
def test_no_simple_shape_beats_the_example(tmp_path):
    """Nine rows of 32 conduct 7.21; of what must conduct 2 across as well, no shape is as good as what is found."""
    config = load_config(Path(__file__).parents[1] / "examples" / "max.toml")
    gone_on_with(start(tmp_path / "campaign", config))
    most, across = (target["best"] for target in status(tmp_path / "campaign")["targets"])
    assert most["value"] == pytest.approx(0.25 + 24.75 * 9 / 32, rel=0.01)
    assert most["to_limit"] < 0.01
    assert across["to_limit"] < 0.06
