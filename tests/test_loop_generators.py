"""Generators and acquisitions: what each proposes, that a campaign runs with any of them, and doors for one's own."""

import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from janus_al import checkpoint, dataset
from janus_al.identity import canonical_hash
from janus_al.inversion import InversionConfig
from janus_al.material import conduction
from janus_al.opinions import mean_opinion, opinions
from loop.campaign.campaign import Campaign
from loop.campaign.journal import read_events
from loop.campaign.toml import load_config
from loop.commands.run import run_campaign
from loop.design.acquisition import diverse, nearest
from loop.design.candidates import propose
from loop.design.cut import cut
from loop.design.doors import DoorError
from loop.design.generators import Tools, fitted, generator
from loop.design.generators.level import level, ranked
from loop.design.generators.lookup import turned_samples
from loop.design.generators.opinion import second_opinion
from loop.design.pool import EMPTY, Known, Pool, check_pool, gaps
from loop.design.refine import Refinement, refine
from loop.design.select import Rules, aligned_distance, select
from loop.design.targets import Target, interval
from loop.output.projections import status
from loop.simulation.progress import Clock, Progress
from loop.simulation.rows import to_samples
from loop.simulation.simulate import limits_of, simulator_of
from simulators import generate

CONFIG = Path(__file__).with_name("small.toml")
SIZE, MATERIAL = 32, conduction((0.1, 1.0))
NAMES, LIMITS = MATERIAL.names, limits_of(MATERIAL)
PHYSICS = simulator_of(MATERIAL.physics[0], "dirichlet", "direct")


def simulated(images):
    return to_samples(images, [PHYSICS(image) for image in images], MATERIAL)


class Simulation:
    """Physics that counts, and pays for each image once; what is beyond the budget is refused."""

    def __init__(self, budget=1000):
        self.paid, self.budget = {}, budget

    def __call__(self, images):
        for image in images:
            if image.tobytes() not in self.paid and len(self.paid) < self.budget:
                self.paid[image.tobytes()] = PHYSICS(image)
        return [self.paid.get(image.tobytes()) for image in images]


@pytest.fixture(scope="module")
def known():
    return Known(simulated(list(generate(64, SIZE, 0))))


def tools(simulate, **more):
    return Tools((SIZE, SIZE), MATERIAL, swarm=4, min_distance=0.1, simulate=simulate, **more)


def designs(name, target, known, simulate, acquisition=nearest):
    """Four candidates wanted, and what physics makes of them."""
    rules = Rules(LIMITS, "dirichlet", 0.1, acquisition)
    made = fitted(generator(name), tools(simulate), known)
    candidates, _ = propose(made, [(target, 4)], known, rules, (0, 1))
    refine(candidates, simulate, Refinement(MATERIAL, 6))
    return candidates


ONE = Target("one", {"kxx": interval("kxx", 0.32, 0.01)})
BOTH = Target("both", {"kxx": interval("kxx", 0.36, 0.02), "kyy": interval("kyy", 0.28, 0.02)})


# --- fields


@given(st.integers(0, 2**32 - 1), st.sampled_from(["dirichlet", "periodic"]))
@settings(max_examples=20, deadline=None)
def test_a_level_says_what_its_image_says_and_ranks_keep_its_order(seed, boundary):
    rng = np.random.default_rng(seed)
    image = (rng.random((9, 12)) > rng.random()).astype(np.uint8)
    field = level(image, boundary)
    np.testing.assert_array_equal(field > 0, image == 1)
    for count in (1, int(image.sum()), 80):
        grey = ranked(field, count)
        np.testing.assert_array_equal(cut(grey, count), cut(field, count))
        assert (grey > 0.5).sum() == count
    if boundary == "periodic":
        np.testing.assert_allclose(level(np.roll(image, (2, 5), (0, 1)), boundary), np.roll(field, (2, 5), (0, 1)))


def test_gaps_lead_into_the_interval():
    values = {"kxx": np.array([0.3, 0.32, 0.4]), "volume_fraction": np.array([0.4, 0.5, 0.6])}
    target = Target("t", {"kxx": (0.31, 0.33), "volume_fraction": (0.0, 0.5)})
    found = gaps(target, values, tools(None).inversion)
    assert found["kxx"][0] > 0 == found["kxx"][1] > found["kxx"][2]
    moved = values["kxx"] * np.exp(found["kxx"])
    assert ((moved >= 0.31) & (moved <= 0.33)).all()
    moved = values["volume_fraction"] + found["volume_fraction"]
    assert (found["volume_fraction"][0], moved.max() <= 0.5) == (0, True)


# --- what they reach


def test_lookup_meets_one_property_at_first_shot(known):
    """From 64 samples, all new images, mutually different: contrast 10, 1 %, a simulation each, or little more."""
    simulate = Simulation()
    found = designs("lookup", ONE, known, simulate)
    assert [c.met for c in found] == [True] * 4
    assert len(simulate.paid) <= 6
    tried = {canonical_hash(image, "dirichlet") for image in known.samples.image}
    assert not any(canonical_hash(c.image, "dirichlet") in tried for c in found)
    assert aligned_distance(found[0].image, np.stack([c.image for c in found[1:]])).min() >= 0.05


def test_gradient_meets_two_properties(known):
    simulate = Simulation()
    found = designs("gradient", BOTH, known, simulate)
    assert [c.met for c in found] == [True] * 4
    assert len(simulate.paid) <= 16
    for candidate in found:
        assert BOTH.met(PHYSICS(candidate.image).values)


def test_gradient_without_samples_starts_from_fresh_structures():
    simulate = Simulation()
    found = designs("gradient", ONE, Known(), simulate)
    assert sum(c.met for c in found) >= 3
    assert found[0].predicted == {"volume_fraction": found[0].image.mean()} or found[0].trials[1:]


def test_gradient_stops_where_the_budget_does():
    simulate = Simulation(budget=6)
    found = designs("gradient", BOTH, Known(), simulate)
    assert len(simulate.paid) == 6
    assert all(c.trials for c in found)


def test_an_open_target_is_met_by_new_images(known):
    wide = Target("wide", {"kxx": (0.2, math.inf), "volume_fraction": (0.0, 0.5)})
    for name in ("lookup", "gradient"):
        found = designs(name, wide, known, Simulation())
        assert [(c.met, c.image.mean() <= 0.5) for c in found] == [(True, True)] * 4


def test_without_sensitivities_the_mean_slope_leads(known):
    """As from a simulator of one's own that has none."""
    blind = replace(known.samples, sensitive=(), sensitivity=known.samples.sensitivity[:, :0])
    for name in ("lookup", "gradient"):
        simulate = Simulation()

        def without(images, simulate=simulate):
            return [None if r is None else replace(r, sensitivity={}) for r in simulate(images)]

        found = designs(name, ONE, Known(blind), without)
        assert [c.met for c in found] == [True] * 4
        assert len(simulate.paid) <= 12


def test_signed_properties_of_periodic_cells_are_turned_and_met():
    """kxy changes its sign in a mirror: every sample is there four times, and a target below 0 is met."""
    material = conduction((0.1, 1.0), "periodic")
    physics = simulator_of(material.physics[0], "periodic", "direct")
    images = list(generate(16, 16, 0))
    known = Known(to_samples(images, [physics(image) for image in images], material))
    samples = turned_samples(known.samples)
    assert len(samples) == 4 * len(images)
    for sample in samples[4:8]:
        found = physics(sample.image)
        for name, value in found.values.items():
            assert sample.values[name] == pytest.approx(value, rel=1e-6, abs=1e-9)
            rate = math.log(10) * found.sensitivity[name] * sample.image.size
            np.testing.assert_allclose(sample.rate[name], rate, rtol=1e-4, atol=1e-4)
    target = Target("t", {"kxy": (-0.06, -0.04), "kxx": (0.2, math.inf)})
    made = fitted(generator("gradient"), Tools((16, 16), material), known)
    rules = Rules(limits_of(material), "periodic", 0.0, nearest)
    candidates, _ = propose(made, [(target, 2)], known, rules, (0,))
    refine(candidates, lambda found: [physics(x) for x in found], Refinement(material, 6))
    assert [c.met for c in candidates] == [True, True]


# --- acquisitions


def pool_of(images, miss):
    k = np.full((len(images), 2), 0.3)
    predicted = np.column_stack([k, images.mean(axis=(1, 2))])
    return Pool(images.astype(np.float32), predicted, NAMES, np.asarray(miss, float), np.zeros(len(images), int))


def test_diverse_takes_what_is_far_among_the_good():
    images = generate(8, 16, 1)
    images[1] = images[0]
    images[1][:2] ^= 1
    pool = pool_of(images, np.arange(8))
    rng = np.random.default_rng(0)
    assert list(nearest(pool, 2, Known(), rng))[:2] == [0, 1]
    first, second, *rest = diverse(pool, 2, Known(), rng)
    assert (first, sorted([first, second, *rest])) == (0, list(range(8)))
    far = aligned_distance(images[0], images[:4])
    assert second == int(np.argmax(far)) != 1


def test_an_acquisition_has_the_order_and_the_rules_stay():
    images = generate(6, 16, 1)
    images[4] = images[5]
    asked = []

    def backwards(pool, count, known, rng):
        asked.append((len(pool), count, len(known.designs["t"])))
        return [len(pool) - 1]

    known = Known(tried={canonical_hash(images[3], "dirichlet")}, designs={"t": [images[2]]})
    rules = Rules(LIMITS, "dirichlet", 0.05, backwards)
    rows, fell = select(pool_of(images, np.zeros(6)), [(Target("t", {"kxx": (0, 1)}), 3)], known, rules, (0,))
    assert rows == [5, 1, 0]
    assert asked == [(5, 3, 1), (4, 2, 2), (3, 2, 2), (2, 2, 2), (1, 1, 3)]
    assert fell == {"already simulated": 1, "the same as a better one": 1, "too much like a better one": 1}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"miss": np.zeros(3)}, r"miss \(3,\) .* must be \(4, 3\), \(4,\)"),
        ({"names": ("kyy", "E11", "E22")}, "it must predict kxx, too"),
        ({"target": np.full(4, 2)}, "for target 2: it must be one of the 1 wanted"),
        ({"miss": np.full(4, np.nan)}, "'miss' that is not finite"),
    ],
)
def test_pools_that_cannot_be_chosen_from(change, words):
    with pytest.raises(DoorError, match=words):
        check_pool(replace(pool_of(generate(4, 16, 1), np.zeros(4)), **change), [(ONE, 1)])


def test_inner_times_are_not_counted_twice(monkeypatch):
    times = iter([0.0, 1.0, 4.0, 9.0])
    monkeypatch.setattr("loop.simulation.progress.time.perf_counter", lambda: next(times))
    clock = Clock()
    with clock("outer"), clock("inner"):
        pass
    assert clock.seconds == {"inner": 3.0, "outer": 6.0}


# --- whole campaigns

MINE = """
import numpy as np
from loop.design.pool import Pool
from simulators import generate

class Mine:
    "Random structures and a rule of thumb."
    def __init__(self, tools):
        self.tools = tools
    def fit(self, known):
        assert known.samples.simulated.any()
    def propose(self, wanted, known, seed):
        images = generate(60, self.tools.grid[0], list(seed)[1])
        fraction = images.mean(axis=(1, 2))
        k = 0.1 ** (1 - fraction)
        target = np.arange(60) % len(wanted)
        middle = np.array([np.mean(wanted[t][0].intervals["kxx"]) for t in target])
        middle[~np.isfinite(middle)] = 0.4
        names = ("kxx", "kyy", "volume_fraction")
        return Pool(images.astype("f4"), np.stack([k, k, fraction], 1), names, abs(k - middle), target)

class Broken(Mine):
    def propose(self, wanted, known, seed):
        return 1 / 0

def last(pool, count, known, rng):
    return [len(pool) - 1]

number = 3
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    (tmp_path / "brought_along.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def run(folder, *overrides):
    run_campaign(folder, load_config(CONFIG, overrides=["execution.solver=direct", *overrides]), Progress())
    return status(folder)


SHORT = ("budget.rounds=1", "training.steps=60", "loop.probes=2")


def kinds(folder):
    return {event["event"] for event in read_events(folder / "journal.jsonl")}


@pytest.mark.parametrize("name", ["lookup", "gradient"])
def test_a_campaign_without_a_network_trains_none(tmp_path, name):
    report = run(tmp_path / "c", f"loop.generator={name}")
    assert report["state"] == "done"
    assert "trained" not in kinds(tmp_path / "c")
    assert not list((tmp_path / "c" / "models").iterdir())
    assert (tmp_path / "c" / "report.html").exists()
    for path in (tmp_path / "c").glob("designs/*/image.npy"):
        assert path.with_name("design.json").exists()
    assert sum(t["designs"] for t in report["targets"]) == len(list((tmp_path / "c").glob("designs/*"))) == 4


@pytest.mark.slow
def test_a_campaign_of_fresh_phase_fields(tmp_path):
    report = run(tmp_path / "c", "loop.generator=phasefield", "loop.acquisition=diverse", *SHORT)
    assert report["rounds_table"][0]["probes"] == 2
    assert sum(t["designs"] for t in report["targets"]) >= 2


def test_what_is_ones_own_runs_by_its_import_path(mine, janus):
    more = ("loop.generator=brought_along:Mine", "loop.acquisition=brought_along:last", "loop.probes=2")
    words = [word for override in (*more, "execution.solver=direct") for word in ("--set", override)]
    code, _, err = janus("campaign", "run", CONFIG, "--dir", mine / "c", *words)
    assert code in (0, 3), err
    assert kinds(mine / "c").isdisjoint({"trained"})
    events = list(read_events(mine / "c" / "journal.jsonl"))
    row = next(e for e in events if e["event"] == "round")["candidates_table"][0]
    assert row["predicted"]["kxx"] == pytest.approx(0.1 ** (1 - row["predicted"]["volume_fraction"]))


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("loop.generator=lokup", "'lokup': must be janus, phasefield, mixed, lookup, gradient, or your own as package"),
        (
            "loop.acquisition=a:b:c",
            "'a:b:c': must be nearest, diverse, designs, like, random, or your own as package.module:name",
        ),
        (
            "loop.generator=nowhere.at_all:Mine",
            "No module named 'nowhere'; install it, or add its folder to PYTHONPATH",
        ),
        ("loop.generator=brought_along:Yours", "module brought_along has no Yours; name what it defines"),
        ("loop.acquisition=brought_along:number", "is no acquisition but a int; it must be callable"),
        (
            "loop.generator=brought_along:Broken",
            "fails with ZeroDivisionError: division by zero .*brought_along.py, line",
        ),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_sentence(mine, janus, override, words):
    import re

    folder = mine / "c"
    code, _, err = janus(
        "campaign", "run", CONFIG, "--dir", folder, "--set", override, "--set", "execution.solver=direct"
    )
    assert code == 2
    assert re.search(words, err.splitlines()[-1]), err
    if "Broken" not in override:
        assert (err.count("\n"), folder.exists()) == (1, False)


@pytest.mark.parametrize("name", ["gradient", pytest.param("janus", marks=pytest.mark.slow)])
def test_killed_while_it_refines_ends_the_same(tmp_path, name):
    """Its proposals, with their latent vectors, are read again, and what was paid for is answered from shards."""
    hard = "target=[{name='t', designs=3, kxx={value=0.3, tolerance=0.002}, kyy={value=0.27, tolerance=0.002}}]"
    whole = tmp_path / "whole"
    report = run(whole, f"loop.generator={name}", hard, "budget.simulations=200", "budget.rounds=1", "loop.probes=0")
    events = list(read_events(whole / "journal.jsonl"))
    proposed = next(i for i, e in enumerate(events) if e["event"] == "proposed" and e["round"] == 1)
    own = [i for i, e in enumerate(events) if e["event"] == "shard" and e["round"] == 1]
    assert len(own) >= 3
    assert own[0] > proposed
    for kept in (own[0], own[-1]):
        copy = tmp_path / f"killed-{kept}"
        shutil.copytree(whole, copy)
        lines = (whole / "journal.jsonl").read_text().splitlines(keepends=True)[: kept + 1]
        (copy / "journal.jsonl").write_text("".join(lines))
        run_campaign(copy, None, Progress())
        assert Campaign(copy).designs() == Campaign(whole).designs()
        assert status(copy)["simulations"] == report["simulations"]
        assert dataset.read(copy / "dataset.h5").digest() == dataset.read(whole / "dataset.h5").digest()


def test_lookup_without_samples_is_refused(tmp_path, janus):
    quickstart = Path(__file__).parents[1] / "examples" / "quickstart.toml"
    code, _, err = janus("campaign", "run", quickstart, "--dir", tmp_path / "c", "--set", "loop.generator=lookup")
    assert code == 2
    assert "loop.generator 'lookup': it starts from simulated samples, and there are none; give a [dataset]" in err
    assert not (tmp_path / "c").exists()


def test_an_empty_pool_is_one():
    check_pool(EMPTY, [(Target("t", {"kxx": (0.2, 0.3)}), 1)])


def test_the_mixed_generator_takes_from_both_what_each_has_brought():
    from loop.design.generators.mixed import LEAST, likely_best

    np.testing.assert_allclose(likely_best([(0, 0), (0, 0)], (0,)), 0.5, atol=0.03)
    # P(Beta(2, 1) > Beta(1, 2)) = 5/6: one design by one simulation beside none by one.
    np.testing.assert_allclose(likely_best([(1, 1), (0, 1)], (0,)), [5 / 6, 1 / 6], atol=0.03)
    np.testing.assert_allclose(likely_best([(30, 40), (0, 40)], (0,)), [1 / (1 + LEAST), LEAST / (1 + LEAST)])


def test_the_mixed_generator_takes_turns_and_keeps_what_each_row_is():
    from janus_al import checkpoint
    from janus_al.inversion import InversionConfig
    from loop.studies.single import tools_of

    model, card = checkpoint.load("data/janus-32")
    made = generator("mixed")(replace(tools_of(model, card, 2), inversion=InversionConfig(steps=5)))
    rules = Rules(LIMITS, "dirichlet", 0.02, nearest)

    def sources(brought):
        found, _ = propose(made, [(ONE, 4)], Known(brought=brought), rules, (0, 1))
        assert all((c.latent is not None) == (c.source == "janus") for c in found)
        return [c.source for c in found]

    # With nothing known five of six are phase fields: P(Beta(5, 1) > Beta(1, 1)).
    assert sorted(sources({})) == ["janus"] + ["phasefield"] * 3
    assert sorted(sources({("one", "janus"): (4, 4)})) == ["janus"] * 2 + ["phasefield"] * 2
    assert sources({("one", "janus"): (0, 30), ("one", "phasefield"): (20, 30)}) == ["phasefield"] * 4
    assert sources({("one", "janus"): (20, 30), ("one", "phasefield"): (0, 30)}) == ["janus"] * 4


def test_the_mixed_generator_proposes_no_phase_fields_of_another_class():
    from janus_al import checkpoint
    from janus_al.inversion import InversionConfig
    from janus_al.likeness import LIKE, Likeness
    from loop.studies.single import tools_of

    model, card = checkpoint.load("data/janus-32")
    made = generator("mixed")(replace(tools_of(model, card, 4), inversion=InversionConfig(steps=5)))
    noise = Likeness.of(np.random.default_rng(0).integers(0, 2, (64, 32, 32), np.uint8), "dirichlet")
    own = made.propose([(ONE, 4)], Known(likeness=card.likeness), (0, 1))
    assert (card.likeness.scores(own.cuts([(ONE, 4)], "dirichlet")[own.source == "phasefield"]) >= LIKE).all()
    assert set(own.source) == {"janus", "phasefield"}
    coarse = Likeness.of(generate(64, 64, 0)[:, :32, :32], "dirichlet")  # one phase field in sixteen is like it
    few = made.propose([(ONE, 4)], Known(likeness=coarse), (0, 1))
    assert (coarse.scores(few.cuts([(ONE, 4)], "dirichlet")[few.source == "phasefield"]) >= LIKE).all()
    assert (few.source == "phasefield").sum() < (own.source == "phasefield").sum()
    assert set(made.propose([(ONE, 4)], Known(likeness=noise), (0, 1)).source) == {"janus"}


# --- aiming


@pytest.mark.parametrize("name", ["janus", "phasefield"])
def test_aimed_proposals_meet_the_goal_by_the_network_and_nearly_by_physics(name):
    """Of kxx and kyy at once, with a volume fraction that must hold; what was inverted or drawn leaves more."""
    model, card = checkpoint.load("data/janus-32")
    goals = {"kxx": interval("kxx", 0.4, 0.01), "kyy": interval("kyy", 0.27, 0.01), "volume_fraction": (0.4, 0.55)}
    wanted, off = [(Target("t", goals), 6)], {}
    simulate = simulator_of(card.material.physics[0], card.boundary, "direct")
    for steps in (0, 3):
        config = InversionConfig(steps=20, aim_steps=steps)
        made = generator(name)(Tools((32, 32), card.material, config, swarm=2, model=lambda: (model, card)))
        pool = made.propose(wanted, Known(), (0,))
        images = pool.cuts(wanted, "dirichlet")
        np.testing.assert_allclose(mean_opinion(model, images), pool.predicted[:, :2], rtol=1e-6)
        assert ((images.mean(axis=(1, 2)) >= 0.4) & (images.mean(axis=(1, 2)) <= 0.55)).all()
        told = [
            pool.predicted[:, :2],
            np.array([[simulate(image).values[k] for k in ("kxx", "kyy")] for image in images]),
        ]
        off[steps] = [np.abs(np.log(values / (0.4, 0.27))).max(axis=1) for values in told]
    assert np.median(off[3][0]) < 0.0025 < np.median(off[0][0])
    assert np.median(off[3][1]) < np.median(off[0][1])


def test_aiming_leaves_the_most_of_a_quantity_to_physics():
    model, card = checkpoint.load("data/janus-32")
    target = Target("most", {"volume_fraction": (0.0, 0.5)}, best={"kxx": 1})
    pools = [
        generator("janus")(
            Tools((32, 32), card.material, InversionConfig(steps=3, aim_steps=n), model=lambda: (model, card))
        ).propose([(target, 2)], Known(), (0,))
        for n in (0, 3)
    ]
    np.testing.assert_array_equal(pools[0].images(), pools[1].images())


def test_of_equals_that_comes_first_of_which_all_opinions_agree():
    """The miss is the root mean square of the copies' own, which a round image's, all alike, hardly raise."""
    model, card = checkpoint.load("data/janus-32")
    x, y = np.meshgrid(*[np.abs(np.arange(32) - 15.5)] * 2)
    images = np.stack([np.hypot(x, y) < 13, generate(1, 32, 5)[0] == 1]).astype(np.uint8)
    blank = Pool(images.astype(np.float32), np.empty((2, 0)), (), np.zeros(2), np.zeros(2, np.intp))
    target = Target("t", {"kxx": interval("kxx", 0.3, 0.01)})
    found = second_opinion(blank, [(target, 2)], model, Tools((32, 32), card.material))
    own = [gaps(target, {"kxx": np.exp(copy[:, 0])}, InversionConfig())["kxx"] for copy in opinions(model, images)]
    np.testing.assert_allclose(found.miss, np.sqrt(np.mean(np.square(own), axis=0)), rtol=1e-6)
    more = found.miss / np.abs(gaps(target, {"kxx": found.predicted[:, 0]}, InversionConfig())["kxx"]) - 1
    assert more[0] < 1e-3 < more[1]
