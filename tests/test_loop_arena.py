"""The arena: what counts, by cases whose answer is known; a run cut off and resumed; what is refused."""

import itertools
import json
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from loop.design.likeness import Likeness
from loop.studies.arena.score import Judged, Scored, Step, counted, judge, ratio
from simulators import generate

TINY = """
name = "tiny"
seeds = 1
[campaign]
microstructure = { size = 16, phase_conductivity = [0.1, 1.0] }
budget = { rounds = 2, simulations = 10 }
loop = { candidates = 5, retrain_steps = 10, probes = 0, swarm = 2 }
network = { channels = 4, latent = 8, rank = 4 }
training = { steps = 40, checks = 4 }
execution = { solver = "direct" }
[data]
count = 40
simulated = 16
[[strategy]]
name = "frozen"
campaign.loop.generator = "phasefield"
campaign.loop.retrain = "never"
[[strategy]]
name = "lookup"
baseline = true
campaign.loop.generator = "lookup"
[[track]]
name = "T3"
what = "beyond the data"
target = [{ kxx = { value = 0.45, tolerance = 0.02 } }]
data.without.kxx = { min = 0.42 }
"""


def stripes(width, side=16):
    """Columns of label 1 and of label 0 in turn, each so many pixels wide."""
    return np.tile((np.arange(side) // width % 2).astype(np.uint8), (side, 1))


def test_what_is_novel():
    known = stripes(4)[None]
    same, moved, other = stripes(4).T, np.roll(stripes(4), 3, axis=1), stripes(4)
    other[:13, 1] ^= 1  # 13 pixels of 256 are 5.1 %
    likeness = Likeness.of([stripes(4), stripes(2)], "periodic")
    found = judge([("t", image) for image in (same, moved, other)], known, likeness, novel=0.05)
    assert [j.novel for j in found] == [False, False, True]
    assert not judge([("t", other)], known, likeness, novel=0.06)[0].novel
    assert judge([("t", other)], known[:0], likeness)[0].novel


def test_what_counts():
    a, b, near = stripes(4), stripes(2), stripes(4)
    near[0, 0] ^= 1
    rows = [
        (Judged("t", a, False, True), False),  # known already
        (Judged("t", b, True, False), False),  # not realistic
        (Judged("t", a, True, True), True),  # not too near to the first, which did not count
        (Judged("t", near, True, True), False),  # nearly the same
        (Judged("u", near, True, True), True),  # of another target
        (Judged("t", b, True, True), True),
    ]
    assert counted([row for row, _ in rows], 0.05) == [count for _, count in rows]
    assert counted([row for row, _ in rows], 0.001)[3]


def test_figures_of_a_run():
    run = Scored((Step(4, 1.0, 0, 0), Step(20, 5.0, 12, 9), Step(31, 9.0, 20, 10), Step(40, 12.0, 30, 25)))
    assert run.until_ten == 31
    assert run.last.counted == 25
    assert Scored(run.steps[:2]).until_ten is None


def test_ratio_is_paired():
    assert ratio([2, 4, 6], [1, 2, 3]) == pytest.approx((2, 2, 2))
    value, low, high = ratio([10, 0], [5, 5])
    assert (value, low, high) == (1, 0, 2)
    assert ratio([1], [0]) is None
    # 3 of 4 pairs are drawn as (9, 3) and one as (0, 6): the mean ratio is 27 / 15.
    assert ratio([9, 9, 9, 0], [3, 3, 3, 6])[0] == pytest.approx(1.8)


class Cut(Exception):
    pass


def test_an_arena_cut_off_goes_on(tmp_path, janus):
    from janus_al import checkpoint
    from loop.campaign.journal import read_events
    from loop.studies.arena.page import page, summary
    from loop.studies.arena.plan import load_arena
    from loop.studies.arena.runner import run_arena, scores
    from loop.studies.means import Means

    (tmp_path / "arena.toml").write_text(TINY)
    arena = load_arena(tmp_path / "arena.toml")

    def run(folder, cut=None):
        calls = itertools.count()

        def progress(stage, done, whole):
            if stage == "training":
                trained.append(done)
            if (stage, done) == cut:
                raise Cut(next(calls))

        return run_arena(arena, tmp_path / folder, Means("cpu", 1, progress), lambda parts: None)

    trained = []
    for cut in (("training", 25), ("campaigns", 1)):
        with pytest.raises(Cut):
            run("cut", cut)
    parts = run("cut")
    # The network was trained once, going on from the last check before it was cut off.
    assert trained == [*range(1, 26), *range(21, 41)]
    assert len(list((tmp_path / "cut" / "models").iterdir())) == 1
    whole = run("whole")
    assert [p.strategy.name for p in parts] == ["frozen", "lookup"]
    for a, b in zip(parts, whole, strict=True):
        left, right = ([(s.simulations, s.hits, s.counted) for s in p.scored.steps] for p in (a, b))
        assert left == right
        assert left[-1][0] <= 10
    assert parts[1].scored.last.hits > 0
    network = checkpoint.load(next((tmp_path / "cut" / "models").iterdir()))[1]
    assert [part.scored.steps[0].seconds for part in parts] == [network.seconds, 0.0]
    assert parts[1].scored.last.seconds > 0
    assert scores(arena, tmp_path / "cut") == parts
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "cut" / "runs").rglob("journal.jsonl")}
    code, out, _ = janus("arena", tmp_path / "arena.toml", "--dir", tmp_path / "cut", "--json")
    assert before == {path: path.stat().st_mtime_ns for path in before}
    report = json.loads(out)
    assert (code, report["tracks"]) == (0, json.loads(json.dumps(summary(arena, parts)["tracks"])))
    assert report["tracks"] == json.loads((tmp_path / "cut" / "arena.json").read_text())["tracks"]
    journal = tmp_path / "cut/runs/T3/lookup/0/journal.jsonl"
    assert next(e for e in read_events(journal) if e["event"] == "campaign")["source"]["simulated"] == 16

    (track,) = report["tracks"]
    assert track["best_baseline"] == "lookup"
    words = "16 of 40 phase fields were simulated before, none has kxx >= 0.42; 10 simulations could be spent."
    assert track["data"] == words
    assert ["ratio" in row for row in track["strategies"]] == [True, False]
    track["strategies"][0]["counted"], track["strategies"][1]["counted"] = 3, 5
    assert "the baseline lookup wins**, 5 designs that count against 3 of frozen" in page(report, "arena")[:200]
    track["strategies"][0]["per_minute"], track["strategies"][1]["per_minute"] = 2, 9
    assert "by time the baseline lookup wins**, 9 a minute against 2" in page(report, "arena")[:300]


def test_the_shipped_arena_can_be_run():
    pytest.importorskip("botorch")
    from loop.studies.arena.plan import load_arena

    arena = load_arena(Path(__file__).parents[1] / "examples" / "arena.toml", ["seeds=2"])
    assert {track.name for track in arena.track} == {f"T{number}" for number in range(1, 8)}
    assert sum(strategy.baseline for strategy in arena.strategy) == 6
    (four,) = [track for track in arena.track if track.name == "T4"]
    made = {s.name: arena.config(four, s, 0, Path("d.h5"), None).loop.generator for s in arena.strategy}
    assert {made[name] for name in made if name.startswith("janus")} == {"janus"}, "inversions alone"
    assert [made[name] for name in ("mixed", "phasefield", "lookup")] == ["mixed", "phasefield", "lookup"]
    (target,) = arena.config(four, arena.strategy[0], 0, Path("d.h5"), None).targets()
    assert (target.geometry.features, target.geometry.connected, target.designs) == ((3, 3), "x", 60)


def test_data_are_left_out_and_charged(tmp_path):
    from loop.studies.arena.plan import load_arena

    (tmp_path / "arena.toml").write_text(TINY + "[track.campaign.budget]\nsimulations = 20\n")
    arena = load_arena(tmp_path / "arena.toml", ["data.charged=true"])
    config = arena.config(arena.track[0], arena.strategy[0], 3, Path("d.h5"), None)
    assert (config.budget.simulations, config.targets()[0].designs, config.seed) == (4, 4, 3)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('retrain = "never"', "min_distance = 0.2", "frozen: loop.min_distance is the same for all strategies"),
        ('campaign.loop.retrain = "never"', "campaign.seed = 1", "frozen: seed is the same for all strategies"),
        ('"lookup"\nbase', '"Frozen"\nbase', "each must be given once"),
        ("simulated = 16", "simulated = 41", "data: simulated 41: at most the 40 images"),
        ("data.without", "data.wihtout", "track T3, data: wihtout: unknown key"),
        ("swarm = 2", "swarm = 0", "track T3, strategy frozen: loop.swarm"),
        ("simulated = 16", "simulated = 16\ncharged = true", "leaves less than one for each target"),
        ('generator = "lookup"', 'generator = "nowhere:None"', "No module named 'nowhere'"),
        ("value = 0.45", "value = 4.5", "out of reach; these phases"),
    ],
)
def test_refused_before_anything_is_made(tmp_path, janus, old, new, said):
    assert old in TINY
    (tmp_path / "arena.toml").write_text(TINY.replace(old, new, 1))
    code, out, err = janus("arena", tmp_path / "arena.toml", "--dir", tmp_path / "arena")
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1
    assert not (tmp_path / "arena").exists()


def test_refused_in_a_folder_of_others(tmp_path, janus):
    (tmp_path / "arena.toml").write_text(TINY)
    code, _, err = janus("arena", tmp_path / "arena.toml", "--dir", tmp_path)
    assert code == 2
    assert "holds arena.toml, which this command did not make" in err


def test_a_missing_library_is_named(monkeypatch):
    from loop.design.doors import DoorError
    from loop.design.generators import generator

    monkeypatch.delitem(sys.modules, "loop.studies.baselines.turbo", raising=False)
    monkeypatch.setitem(sys.modules, "botorch", None)
    monkeypatch.setitem(sys.modules, "botorch.fit", None)
    with pytest.raises(DoorError, match=r"needs BoTorch.*pip install 'janus-al\[botorch\]'"):
        generator("loop.studies.baselines.turbo:TurboGenerator")


@pytest.fixture(scope="module")
def known():
    """Sixteen simulated phase fields, a material, and a simulator that counts."""
    from janus_al.material import conduction
    from loop.design.pool import Known
    from loop.simulation.rows import to_samples
    from loop.simulation.simulate import simulator_of

    material = conduction((0.1, 1.0))
    physics = simulator_of(material.physics[0], material.boundary, "direct")
    images = list(generate(16, 16, 0))
    return Known(to_samples(images, [physics(image) for image in images], material)), material, physics


def test_decodes_obey_their_condition():
    import torch

    from loop.studies.baselines.autoencoder import LATENT, train_autoencoder

    images = generate(64, 16, 0)
    fraction = images.mean(axis=(1, 2))[:, None]
    model = train_autoencoder(images, (fraction - 0.5) / 0.12, False, 0, steps=60)
    c = torch.tensor([[-1.5]] * 16 + [[1.5]] * 16)
    with torch.no_grad():
        grey = torch.sigmoid(model.decode(torch.randn(32, LATENT, generator=torch.Generator().manual_seed(0)), c))
        seen = model.predict((grey > 0.5).float())[:, 0]
    found = (grey > 0.5).double().mean(dim=(1, 2)).numpy()
    assert found[16:].mean() - found[:16].mean() > 0.15
    assert np.corrcoef(seen.numpy(), found)[0, 1] > 0.8


@pytest.mark.parametrize("name", ["cvae:CvaeGenerator", "turbo:TurboGenerator"])
def test_baselines_propose(known, monkeypatch, name):
    if name.startswith("turbo"):
        pytest.importorskip("botorch")
    import importlib

    from loop.design.generators import Tools, fitted, generator
    from loop.design.pool import check_pool
    from loop.design.targets import Target
    from loop.studies.baselines.autoencoder import train_autoencoder

    samples, material, physics = known
    module = importlib.import_module(f"loop.studies.baselines.{name.partition(':')[0]}")
    monkeypatch.setattr(module, "train_autoencoder", partial(train_autoencoder, steps=40))
    paid = []

    def simulate(images):
        paid.extend(images)
        return [physics(image) for image in images] if len(paid) <= 6 else [None] * len(images)

    targets = [Target("one", {"kxx": (0.28, 0.3)}), Target("two", {"kyy": (0.3, 0.32), "volume_fraction": (0.0, 0.6)})]
    tools = Tools((16, 16), material, swarm=2, min_distance=0.1, simulate=simulate)
    wanted = [(target, 2) for target in targets]
    pool = fitted(generator(f"loop.studies.baselines.{name}"), tools, samples).propose(wanted, samples, (0, 1))
    check_pool(pool, wanted)
    if name.startswith("turbo"):
        # All that was paid for is proposed, with what physics said of it.
        np.testing.assert_array_equal(pool.images(), paid[:6])
        for row in range(6):
            said = physics(paid[row]).values
            assert pool.predicted[row, :2] == pytest.approx([said["kxx"], said["kyy"]])
    else:
        assert pool.target.tolist() == [0] * 4 + [1] * 4
        assert not paid
        again = fitted(generator(f"loop.studies.baselines.{name}"), tools, samples).propose(wanted, samples, (0, 1))
        np.testing.assert_array_equal(pool.field, again.field)
