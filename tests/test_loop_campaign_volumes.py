"""Whole campaigns on volumes of 16 x 16 x 16: what they hand over and count, that they go on, and what is refused."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import spsolve

from janus_al import dataset
from janus_al.identity import canonical_hash
from loop.campaign.campaign import Campaign
from loop.campaign.config import ConfigError
from loop.campaign.opening import check_doors, start
from loop.campaign.toml import parse_config
from loop.design.generators import generator, phasefield
from loop.design.measures import joins
from loop.design.pool import Known, check_pool
from loop.design.select import aligned_distance
from loop.design.targets import Target
from loop.output.projections import designs_of, status, write_dataset, write_designs
from loop.simulation.progress import Progress
from loop.simulation.verify import Check, judge
from loop.studies.single import tools_of
from simulators.conduction.certification import MAX_CELLS

CONFIG = """
name = "volumes"
seed = 3
[microstructure]
dim = 3
size = 16
phase_conductivity = [0.1, 1.0]
[dataset.generate]
count = 10
simulated = 8
[[target]]
name = "three"
designs = 2
kxx = { value = 0.42, tolerance = 0.02 }
kyy = { value = 0.46, tolerance = 0.02 }
kzz = { value = 0.50, tolerance = 0.02 }
[[target]]
name = "ratio"
"kzz/kxx" = { min = 1.3 }
volume_fraction = { max = 0.6 }
connected = "z"
[budget]
rounds = 2
simulations = 40
[loop]
generator = "lookup"
candidates = 2
[execution]
workers = 2
umap = false
"""
TENSOR = """
[[target]]
name = "cell"
kyy = { value = 0.45, tolerance = 0.03 }
kyz = { min = -0.01, max = 0.01 }
"""
NETWORK = """
[network]
channels = 4
latent = 16
rank = 4
[training]
steps = 100
batch = 8
simulated = 4
checks = 4
l_sens = 1.0
l_cyc = 0.0
l_deep = 0.0
[inversion]
steps = 25
"""


def run_here(folder, config=None):
    """A campaign, or what is left of one, in this process and without projections."""
    campaign = Campaign(folder) if config is None else start(folder, config)
    with ThreadPoolExecutor(1) as pool:
        campaign.run(pool, "cpu", Progress(), lambda: None)
    return Campaign(folder)


@pytest.fixture(scope="module", autouse=True)
def unrefined():
    """Certified intervals are those of the images as they are: to refine them would take most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MAX_CELLS, 3, 24 * 16**2)
        yield


@pytest.fixture(scope="module")
def volumes(unrefined, tmp_path_factory):
    """A finished campaign; tests read it and write elsewhere."""
    folder = tmp_path_factory.mktemp("volumes") / "whole"
    campaign = run_here(folder, parse_config(CONFIG))
    write_dataset(campaign)
    write_designs(campaign)
    return folder


def finite_volumes(kappa):
    """k_fv along the last axis of any grid, edge by edge as a network of resistors."""
    number = np.arange(kappa.size).reshape(kappa.shape)
    i, j, g = [], [], []
    for axis in range(kappa.ndim):
        near, far = (np.take(number, np.arange(n, kappa.shape[axis] - 1 + n), axis).ravel() for n in (0, 1))
        i, j = [*i, near], [*j, far]
        g.append(2 / (1 / kappa.ravel()[near] + 1 / kappa.ravel()[far]))
    i, j, g = (np.concatenate(part) for part in (i, j, g))
    links = sp.coo_matrix((g, (i, j)), (kappa.size, kappa.size))
    links = links + links.T
    ground, source = np.zeros(kappa.size), np.zeros(kappa.size)
    hot, cold = number[..., 0].ravel(), number[..., -1].ravel()
    for face in (hot, cold):
        ground[face] += 2 * kappa.ravel()[face]
    source[hot] = 2 * kappa.ravel()[hot]
    t = spsolve((sp.diags(np.asarray(links.sum(axis=1)).ravel() + ground) - links).tocsc(), source)
    return (2 * kappa.ravel()[hot] * (1 - t[hot])).sum() * kappa.shape[-1] / (kappa.size / kappa.shape[-1])


def test_designs_are_what_physics_says(volumes):
    """Every figure of every design, recomputed from its image by a solve of our own, and against its target."""
    campaign = Campaign(volumes)
    targets, designs = {t.name: t for t in campaign.targets}, designs_of(campaign)
    assert status(volumes)["state"] == "done"
    assert [d["target"]["name"] for d in designs].count("three") == 2
    assert campaign.solver == "batched"
    for design in designs:
        image, got = design["image"], design["properties"]
        kappa = np.array([0.1, 1.0])[image]
        assert image.shape == (16, 16, 16)
        for axis, name in enumerate(("kzz", "kyy", "kxx")):
            assert got[f"{name}_fv"] == pytest.approx(finite_volumes(kappa.swapaxes(axis, 2)), rel=1e-8)
            assert got[f"{name}_fv"] <= got[f"{name}_lower"] <= got[name] <= got[f"{name}_upper"]
            assert design["reference"]["properties"][name] == pytest.approx(got[name], rel=1e-8)
        target = targets[design["target"]["name"]]
        assert target.met(got)
        assert all(joins(image == 1, axis, periodic=False) for axis in target.geometry.connected)
        assert got["volume_fraction"] == image.mean()
    first, second = (d["image"] for d in designs if d["target"]["name"] == "three")
    assert aligned_distance(first, second[None])[0] >= 0.05


def test_what_intervals_leave_undecided_is_decided_by_value_and_said_so(volumes):
    """Of 3 % to either side an interval is wider than what is wanted of three, and decides on a ratio."""
    three = [d for d in designs_of(Campaign(volumes)) if d["target"]["name"] == "three"]
    assert [d["certificate"]["verdict"] for d in three] == ["undecided"] * 2
    for design in three:
        words = design["verdict"]
        assert "by value; certified intervals kxx 0.4" in words
        for name, low, high in re.findall(r"(k..) ([\d.]+)\.\.([\d.]+)", words):
            assert float(low) < design["properties"][name] < float(high)
            assert float(low) == pytest.approx(design["properties"][f"{name}_lower"], rel=1e-3)


def test_certificates_that_are_asked_for_decide_on_volumes_too(volumes):
    """What they leave undecided is then no design, as in planes."""
    campaign = Campaign(volumes)
    asked = Check(campaign.material, "batched", certify=True)
    for design in campaign.designs():
        target = next(t for t in campaign.targets if t.name == design["target"])
        assert judge(design, target, campaign.check) == ("confirmed", "")
        assert judge(design, target, asked)[0] == design["certificate"]["verdict"]
    assert parse_config(CONFIG, ["certify=true"]).certify


def test_every_simulation_is_counted_and_kept(volumes):
    campaign, report = Campaign(volumes), status(volumes)["simulations"]
    samples = dataset.read(volumes / "dataset.h5")
    assert samples.image.shape[1:] == (16, 16, 16)
    assert samples.names == ("kxx", "kyy", "kzz", "volume_fraction")
    assert report["done"] == campaign.ledger.spent == samples.simulated.sum() <= report["budget"]
    assert len(set(samples.hashes)) == len(samples) == report["done"] + 2
    keys = [canonical_hash(image, "dirichlet") for image in samples.image[samples.simulated]]
    assert set(keys) == set(campaign.ledger.tried)


def test_the_dataset_is_rebuilt(volumes):
    before = (volumes / "dataset.h5").read_bytes()
    (volumes / "dataset.h5").unlink()
    write_dataset(Campaign(volumes))
    assert (volumes / "dataset.h5").read_bytes() == before


def test_cut_off_anywhere_it_ends_the_same(volumes, tmp_path):
    """As after a kill between two lines of the journal, within the data and between two steps of refinement."""
    lines = (volumes / "journal.jsonl").read_text().splitlines(keepends=True)
    kinds = [json.loads(line)["event"] for line in lines]
    last = len(kinds) - 1 - kinds[::-1].index("proposed")
    for cut in (kinds.index("shard") + 1, last + 2):
        copy = tmp_path / str(cut)
        shutil.copytree(volumes, copy)
        (copy / "journal.jsonl").write_text("".join(lines[:cut]))
        campaign = run_here(copy)
        assert campaign.designs() == Campaign(volumes).designs()
        assert campaign.ledger.samples().digest() == dataset.read(volumes / "dataset.h5").digest()


@pytest.mark.slow
def test_killed_eight_times_ends_the_same(tmp_path):
    """The command, killed with its workers at moments, ends as one that nobody killed."""
    (tmp_path / "c.toml").write_text(CONFIG)
    words = ["-P", "-m", "loop.commands.main", "campaign", "run", str(tmp_path / "c.toml"), "--dir"]
    whole, killed = ([sys.executable, *words, str(tmp_path / name)] for name in ("whole", "killed"))
    began = time.monotonic()
    subprocess.run(whole, check=True)
    took, random = time.monotonic() - began, np.random.default_rng(0)
    for _ in range(8):
        process = subprocess.Popen(killed, start_new_session=True)
        try:
            process.wait(random.uniform(0.2, 0.9) * took)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    subprocess.run(killed, check=True)
    ends = [Campaign(tmp_path / name) for name in ("whole", "killed")]
    assert ends[0].designs() == ends[1].designs()
    assert ends[0].ledger.samples().digest() == ends[1].ledger.samples().digest()
    assert [c.ledger.spent for c in ends] == [ends[0].ledger.spent] * 2


def test_the_budget_is_a_limit(tmp_path):
    """Of 11 simulations 8 are for the data, and three are left where one design takes two."""
    settings = ["budget.simulations=11", "budget.rounds=4"]
    run_here(tmp_path / "c", parse_config(CONFIG, settings))
    report = status(tmp_path / "c")
    assert (report["state"], report["simulations"]["done"]) == ("stopped", 11)


def test_designs_are_written(volumes):
    """Folders as of planes, with pictures of a volume in place of an image's."""
    for path in (Campaign(volumes).folder / "designs").iterdir():
        assert {"design.json", "image.npy", "design.png"} <= {p.name for p in path.iterdir()}
        assert json.loads((path / "design.json").read_text())["properties"]["kzz_lower"] > 0


# --- with a network


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A campaign for the same targets, wider, by a network that learned for seconds."""
    folder = tmp_path_factory.mktemp("volumes") / "trained"
    settings = ["loop.generator=janus", "loop.probes=2", "loop.swarm=8", "budget.rounds=1"]
    run_here(folder, parse_config(CONFIG.replace("0.02", "0.05") + NETWORK, settings))
    write_dataset(Campaign(folder))
    return folder


def test_a_network_proposes_and_is_probed(trained):
    report = status(trained)
    assert 1 <= report["simulations"]["probes"]["spent"] <= 2
    assert report["simulations"]["done"] <= report["simulations"]["budget"]
    model, card = Campaign(trained).models.of(0)
    assert model.config.grid == (16, 16, 16)
    assert model.config.properties == ("kxx", "kyy", "kzz")
    assert card.material.simulated == ("kxx", "kyy", "kzz")
    assert report["rounds_table"][0]["probe_error_median"] > 0


def test_its_model_is_evaluated_and_inverted(trained, tmp_path, janus):
    """By the commands: figures of three conductivities, candidates that meet a target, and predictions alone."""
    model = trained / "models" / "r0000"
    samples = dataset.read(trained / "dataset.h5")
    dataset.write(tmp_path / "d.h5", samples.take(samples.meta["round"] > 0), "test")
    code, out, _ = janus("evaluate", model, tmp_path / "d.h5", "--json")
    assert (code, list(json.loads(out)["properties"])) == (0, ["kxx", "kyy", "kzz"])
    words = ("kzz=0.45+-5%", "connected=z", "volume_fraction=0.5..0.6")
    target = [*(w for word in words for w in ("--target", word)), "--count", 1, "--swarm", 4]
    code, out, err = janus("invert", model, *target, "--out", tmp_path / "i", "--workers", 1, "--json")
    (row,) = json.loads(out)["candidates"]
    assert code == 0, err
    assert np.load(row["image"]).shape == (16, 16, 16)
    assert row["final"]["kzz_lower"] <= row["final"]["kzz"] <= row["final"]["kzz_upper"]
    assert row["confirmed"].startswith("confirmed by")
    code, out, _ = janus("invert", model, *target, "--out", tmp_path / "j", "--no-simulate")
    assert (code, "kzz_upper" in out) == (0, True)


def test_fresh_volumes_are_screened_by_a_network(trained, monkeypatch):
    """Few of them here; each at the cut that the head favours."""
    monkeypatch.setattr(phasefield, "LEAST_VOLUMES", 8)
    monkeypatch.setattr(phasefield, "CELLS", 1)
    wanted = [(Target("t", {"kzz": (0.4, 0.5), "volume_fraction": (0.4, 0.6)}), 1)]
    pool = generator("phasefield")(tools_of(*Campaign(trained).models.of(0), swarm=2)).propose(wanted, Known(), (0,))
    check_pool(pool, wanted)
    assert pool.field.shape == (2, 16, 16, 16)
    assert pool.names == ("kxx", "kyy", "kzz", "volume_fraction")
    assert ((pool.images().mean(axis=(1, 2, 3)) >= 0.4) & (pool.images().mean(axis=(1, 2, 3)) <= 0.6)).all()


def test_periodic_volumes(tmp_path):
    """The whole tensor is known of them, and the gradient generator needs no network."""
    settings = ["microstructure.boundary=periodic", "loop.generator=gradient", "dataset.generate.simulated=4"]
    settings += ["budget.simulations=12", "budget.rounds=1"]
    text = CONFIG[: CONFIG.index("[[target]]")] + TENSOR + CONFIG[CONFIG.index("[budget]") :]
    (design,) = designs_of(run_here(tmp_path / "c", parse_config(text, settings)))
    assert set(design["properties"]) >= {"kxx", "kyy", "kzz", "kxy", "kxz", "kyz", "kyz_lower"}
    assert 0.43 < design["properties"]["kyy"] < 0.47
    assert design["solver"]["boundary"] == "periodic"


def test_boxes(tmp_path):
    """Sides that differ: what a turn would make of other sides is no sample here."""
    settings = ["microstructure.size=[16, 16, 24]", "budget.rounds=1", "budget.simulations=10"]
    settings += ["dataset.generate.simulated=4"]
    campaign = run_here(tmp_path / "c", parse_config(CONFIG.replace("0.02", "0.05"), settings))
    assert designs_of(campaign)[0]["image"].shape == (16, 16, 24)


# --- what cannot be


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["microstructure.size=[16, 32]"], r"size \[16, 32\]: 2 sides, but dim is 3"),
        (["microstructure.dim=2"], "unknown key kzz"),
        (["microstructure.dim=4"], "microstructure.dim"),
        (["microstructure.size=7"], "sides of at least 8"),
        (["network.architecture=vit"], "volumes"),
        (["network.dim=3", "microstructure.dim=2"], "network.dim follows microstructure.dim"),
        (["dataset.generate.simulated=5000"], "at most the 10"),
    ],
)
def test_what_volumes_cannot_have_is_refused(settings, words):
    with pytest.raises(ConfigError, match=words) as caught:
        parse_config(CONFIG, settings)
    assert str(caught.value).count("\n") == 0


def test_a_baseline_of_planes_is_refused():
    config = parse_config(CONFIG, ["loop.generator=loop.studies.baselines.cvae:CvaeGenerator"])
    with pytest.raises(ConfigError, match="it is for square images, not for 16 x 16 x 16"):
        check_doors(config)


def test_a_direction_that_planes_do_not_have():
    text = (
        CONFIG.replace("dim = 3", "dim = 2")
        .replace("kzz = ", "# ")
        .replace('"kzz/kxx" = { min = 1.3', "kxx = { min = 0.3")
    )
    with pytest.raises(ConfigError, match="connected along z; images here have the axes x, y"):
        parse_config(text)


def test_what_three_conductivities_cannot_be_at_once():
    """Each is possible by itself; the bounds of three dimensions exclude all."""
    with pytest.raises(ConfigError, match="out of reach"):
        parse_config(CONFIG.replace("0.42, ", "0.64, ").replace("0.46, ", "0.64, ").replace("0.50, ", "0.2, "))


def test_volumes_have_defaults_of_their_own():
    config = parse_config(CONFIG.replace("count = 10\nsimulated = 8\n", ""), ["budget.simulations=100"])
    assert (config.dataset.generate.count, config.dataset.generate.simulated) == (400, 64)
    assert config.execution.solver == "auto"
    assert parse_config(CONFIG, ["execution.solver=fipy"]).execution.solver == "fipy"
