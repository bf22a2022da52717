"""The dossier of a design: that it stands alone, what it says is so, and that nothing is done twice or to others."""

import json
import re
import shlex
import shutil
import subprocess
import sys

import ezdxf
import numpy as np
import pytest
import trimesh
from PIL import Image
from scipy.ndimage import label
from test_loop_outputs import state_of

from janus_al.lengths import in_words
from janus_al.material import Material, Physics, conduction
from janus_al.samples import content_hash
from loop.campaign.campaign import Campaign
from loop.design.features import LARGEST, features_of
from loop.design.geometry import painted
from loop.design.measures import smallest_feature
from loop.design.targets import Target
from loop.exports.surface import area
from loop.output.again import commands
from loop.output.dossier import FILES, write_dossier
from loop.output.dossier_page import _lineage
from loop.output.intervals import Asked, asked
from loop.output.marks import picture, scale_bar
from loop.output.projections import designs_of, write_designs
from simulators import make

PLANE = sorted({*FILES} - {"slices.png"})


@pytest.fixture(scope="module")
def whole(folder, tmp_path_factory):
    """A copy of a finished campaign."""
    return shutil.copytree(folder, tmp_path_factory.mktemp("dossier") / "whole")


@pytest.fixture
def alone(whole, tmp_path):
    """A design's folder, away from its campaign, and what it says of itself."""
    own = shutil.copytree(next((whole / "designs").iterdir()), tmp_path / "alone")
    return own, json.loads((own / "design.json").read_text())


def test_every_design_has_all_of_it(whole):
    designs = designs_of(Campaign(whole))
    for design in designs:
        own = whole / "designs" / design["name"]
        assert sorted(p.name for p in own.iterdir()) == PLANE
        told = json.loads((own / "design.json").read_text())
        assert told["missing"] == {}
        assert sorted(told["files"]) == [n for n in PLANE if n != "design.json"]
        page = (own / "index.html").read_text(encoding="utf-8")
        for name in ("kxx", "kyy"):
            assert f"<b>{design['properties'][name]:#.4g}</b>" in page
            ends = [design["certificate"]["properties"][name + side] for side in ("_lower", "_upper")]
            assert "{:#.4g} .. {:#.4g}".format(*ends) in page
        for ends in design["limits"].values():
            assert "{:#.4g} .. {:#.4g}".format(*ends) in page
        assert design["lineage"]["hash"] in page
        assert design["lineage"]["model_sha256"][:16] in page
        assert page.count("refinement") >= design["lineage"]["simulations"] - 1
        assert all(source.startswith("data:image/png") for source in re.findall(r'(?:src|href)="([^"]*)"', page))
        assert "<script" not in page


def test_the_lineage_leads_from_the_first_shot_to_the_design(whole):
    for design in designs_of(Campaign(whole)):
        steps, of = design["lineage"]["steps"], design["lineage"]
        assert len(steps) == of["simulations"]
        assert steps[0]["properties"]["kxx"] == of["first_shot"]["kxx"]
        assert [s["properties"] for s in steps if s["hash"] == of["hash"]] == [design["properties"]]


def test_of_two_that_propose_it_is_said_which_did(whole):
    campaign = Campaign(whole)
    for event in campaign.journal.of("round"):
        for row in event["candidates_table"]:
            row["source"] = "phasefield"
    design = designs_of(campaign)[0]
    words = dict(_lineage(design, campaign.material))["proposed"]
    assert "by the generator janus (phasefield) with models/r000" in words


def test_its_commands_give_its_numbers(alone, janus, monkeypatch):
    """Value and certified interval, to the last digits, from its own folder."""
    own, told = alone
    monkeypatch.chdir(own)
    page = (own / "index.html").read_text(encoding="utf-8")
    lines = re.search(r"<pre>(.*?)</pre>", page, re.DOTALL)[1].strip().splitlines()
    parts = [told["properties"], told["certificate"]["properties"]]
    assert len(lines) == 1 + (told["certificate"]["refinement"] > 1)
    for line, expected in zip(lines, parts, strict=False):
        code, out, _ = janus(*shlex.split(line)[1:], "--json")
        row = json.loads(out)["results"][0]
        assert code == 0
        assert {n: row[n] for n in expected} == pytest.approx(expected, rel=1e-10)


def test_what_no_command_simulates_has_a_line_of_python(tmp_path):
    constants = {"modulus": (10.0, 1.0), "poisson": 0.3}
    material = Material((Physics("elasticity", constants, ("E11", "E22"), "GPa"),), "dirichlet")
    image = np.random.default_rng(0).integers(0, 2, (8, 8)).astype(np.uint8)
    np.save(tmp_path / "image.npy", image)
    (line,) = commands({"solver": {"name": "elasticity"}, "image": image}, material)
    program, *words = shlex.split(line)
    assert program == "python"
    done = subprocess.run([sys.executable, *words], cwd=tmp_path, capture_output=True, text=True, check=True)
    wanted = make("elasticity", "dirichlet", constants)(image).values
    assert f"{wanted['E11']:.12g}"[:12] in done.stdout


def test_its_exports_open_again_and_have_the_fraction(alone):
    own, told = alone
    image = np.load(own / "image.npy")
    fraction = (image == 1).mean()
    mesh = trimesh.load_mesh(own / "design.stl")
    assert mesh.is_watertight
    assert mesh.volume / image.size == pytest.approx(fraction, rel=1e-6)
    outlines = [
        np.array([p[:2] for p in line])
        for line in ezdxf.readfile(own / "design.dxf").modelspace().query('*[layer=="LABEL1"]')
    ]
    assert sum(map(area, outlines)) / image.size == pytest.approx(fraction, rel=1e-6)
    assert ezdxf.readfile(own / "design.dxf").units == 0
    cells = re.search(r'Name="label"[^>]*>\s*([\d\s]*)<', (own / "design.vti").read_text())[1].split()
    np.testing.assert_array_equal(np.array(cells, int).reshape(image.shape)[::-1], image)
    assert "in pixels, as nothing says how long one is" in told["files"]["design.stl"]["holds"]


def test_it_is_exported_alone(alone, janus, tmp_path, monkeypatch):
    """Away from its campaign a folder says itself what conducts how well, and how it is called."""
    monkeypatch.chdir(alone[0])
    code, out, err = janus("export", ".", "--format", "npy", "--out", tmp_path / "out", "--json")
    assert (code, err) == (0, "")
    assert [p.name for p in (tmp_path / "out").glob("*.npy")] == ["alone.npy"]
    assert json.loads(out)["files"][0]["kxx"] == pytest.approx(alone[1]["properties"]["kxx"], rel=1e-6)


def test_nothing_is_written_twice_and_what_was_damaged_is(whole):
    campaign = Campaign(whole)
    paths = write_designs(campaign)
    before = {p: p.stat().st_mtime_ns for path in paths for p in path.iterdir()}
    write_designs(campaign)
    assert {p: p.stat().st_mtime_ns for path in paths for p in path.iterdir()} == before
    damaged = paths[0] / "heat.png"
    good = damaged.read_bytes()
    damaged.write_bytes(good[:-1])
    write_designs(campaign)
    assert damaged.read_bytes() == good
    assert {p for p, t in before.items() if p.stat().st_mtime_ns != t} == {paths[0] / name for name in PLANE}


def test_a_file_of_the_user_stays_and_is_named(whole, tmp_path):
    """As in a folder of a campaign of before, which had no such file."""
    campaign = Campaign(shutil.copytree(whole, tmp_path / "copy"))
    own = sorted((campaign.folder / "designs").iterdir())[0]
    told = json.loads((own / "design.json").read_text())
    for name in ("features", "files", "missing"):
        del told[name]
    (own / "design.json").write_text(json.dumps(told))
    for name in {*PLANE} - {"design.json", "image.npy", "image.png"}:
        (own / name).unlink()
    (own / "design.stl").write_text("mine")
    write_designs(campaign)
    told = json.loads((own / "design.json").read_text())
    assert (own / "design.stl").read_text() == "mine"
    assert told["missing"] == {"design.stl": "a file of that name was here already; move it away"}
    assert "<b>not made</b>: a file of that name was here already" in (own / "index.html").read_text()
    assert sorted(p.name for p in own.iterdir()) == PLANE
    before = state_of(own)
    write_designs(campaign)
    assert state_of(own) == before


def test_what_cannot_be_made_is_told_and_costs_nothing_else(whole, tmp_path):
    """No heat picture of values that are not those of heat; all else is there, with lengths where a pixel has one."""
    design = next(iter(designs_of(Campaign(whole))))
    wrong = {**design, "pixel": "0.5um", "properties": design["properties"] | {"kxx_fv": 0.99}}
    write_dossier(tmp_path, wrong, conduction((0.1, 1.0)))
    told = json.loads((tmp_path / "design.json").read_text())
    assert told["missing"] == {"heat.png": "what was solved again conducts otherwise than the design does"}
    assert sorted(p.name for p in tmp_path.iterdir()) == [n for n in PLANE if n != "heat.png"]
    mesh = trimesh.load_mesh(tmp_path / "design.stl")
    np.testing.assert_allclose(mesh.extents[2], 0.5)
    assert told["files"]["design.dxf"]["holds"].startswith("outlines, a layer for each label, in um")
    size, features = Image.open(tmp_path / "design.png").size, told["features"]
    assert size == (480, 526)
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert f"{features['min_feature_1']} pixel" in page
    assert in_words(features["min_feature_1"] * 0.5e-6) in page
    assert f"{features['specific_surface'] / 0.5:.4g} per um" in page


def test_a_volume_has_no_outlines_and_an_image_of_one_phase_a_surface(tmp_path, whole):
    design, image = next(iter(designs_of(Campaign(whole)))), np.zeros((6, 6, 6), np.uint8)
    lineage = design["lineage"] | {"hash": content_hash(image)}
    values = {f"k{a}{a}": 0.1 for a in "xyz"} | {"volume_fraction": 0.0}
    bare = {**design, "image": image, "properties": values, "limits": {}, "lineage": lineage, "certificate": None}
    write_dossier(tmp_path, bare, conduction((0.1, 1.0), dim=3))
    told = json.loads((tmp_path / "design.json").read_text())
    assert {p.name for p in tmp_path.iterdir()} == {*FILES} - {"image.png", "design.dxf"}
    assert told["files"]["design.stl"]["holds"].startswith("closed surface of label 0, in pixels")
    assert trimesh.load_mesh(tmp_path / "design.stl").volume == pytest.approx(216, rel=1e-6)


# --- features


def test_features_of_stripes():
    """Two bright rows of three: it joins left and right, half its corners' faces are interfaces."""
    image = np.zeros((12, 8), np.uint8)
    image[1:4], image[7:10] = 1, 1
    found = features_of(image, periodic=True)
    assert found == {
        "volume_fraction": 0.5,
        "min_feature_0": 3,
        "connected_0": "x",
        "min_feature_1": 3,
        "connected_1": "x",
        "specific_surface": 4 * 8 / 96,
    }
    assert features_of(image, periodic=False)["specific_surface"] == 4 * 8 / 96
    assert features_of(np.roll(image, -1, axis=0), periodic=False)["specific_surface"] == 3 * 8 / 96


@pytest.mark.parametrize("dim", [2, 3])
def test_features_agree_with_components(dim):
    image = np.kron(np.random.default_rng(dim).integers(0, 2, (5,) * dim), np.ones((2,) * dim, int))
    found = features_of(image, periodic=False)
    assert found["min_feature_1"] == 2
    for value in (0, 1):
        clusters, _ = label(image == value)
        joined = [a for a in range(dim) if set(clusters.take(0, a).ravel()) & set(clusters.take(-1, a).ravel()) - {0}]
        assert found[f"connected_{value}"] == "".join(sorted("xyz"[dim - 1 - a] for a in joined))


@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize(("dim", "size"), [(2, 3), (2, 7), (2, 10), (3, 3), (3, 4)])
def test_the_smallest_feature_is_found_from_above(dim, size, periodic):
    """As when all diameters are tried, the largest first."""
    grains = np.random.default_rng(size).random((28, 30) if dim == 2 else (14, 12, 13)) < 0.01
    image = painted(grains, size, periodic).astype(np.uint8)
    found = features_of(image, periodic)
    assert found["min_feature_1"] >= size
    for value in (0, 1):
        assert found[f"min_feature_{value}"] == smallest_feature(image, value, LARGEST[dim], periodic)


def test_a_phase_that_is_nowhere_has_no_features():
    found = features_of(np.ones((8, 8), np.uint8), periodic=False)
    assert (found["min_feature_0"], found["connected_0"], found["specific_surface"]) == (0, "", 0.0)
    assert found["min_feature_1"] == 24


# --- intervals and marks


@pytest.mark.parametrize(
    ("value", "ends", "met", "decided", "off"),
    [
        (0.3, (0.299, 0.301), True, "interval", 0.0),
        (0.3, (0.25, 0.35), True, "value", 0.0),
        (0.4, (0.39, 0.41), False, "interval", 0.4 / 0.303 - 1),
        (0.2, None, False, "value", 1 - 0.2 / 0.297),
    ],
)
def test_what_decides(value, ends, met, decided, off):
    one = Asked("kxx", "W/(m K)", value, ends, (0.297, 0.303))
    assert (one.met, one.decided, one.words) == (met, decided, "0.297..0.303")
    assert one.outside == (ends is not None and not met)
    assert one.off == pytest.approx(off)
    left, wide = one.bar["wanted"]
    assert (left < one.bar["value"][0] < left + wide) == met
    assert 0 <= left < left + wide <= 100


def test_what_a_target_asks_for_beside_what_an_image_has():
    target = Target.of("t", {"kxx": [0.2, 0.4], "kxx/kyy": [1.1, None], "min_feature_1": [3, None]})
    values = {
        "kxx": 0.3,
        "kxx_lower": 0.29,
        "kxx_upper": 0.31,
        "kyy": 0.2,
        "volume_fraction": 0.5,
        "min_feature_1": 2.0,
    }
    kxx, ratio, feature = asked(target, values, {"kxx_lower": 0.299}, conduction((0.1, 1.0)))
    assert (kxx.ends, kxx.decided, kxx.unit) == ((0.299, 0.31), "interval", "W/(m K)")
    assert (ratio.value, ratio.ends, ratio.words, ratio.met) == (pytest.approx(1.5), None, "≥ 1.1", True)
    assert (feature.met, feature.decided, feature.words) == (False, "pixels", "≥ 3")


@pytest.mark.parametrize(
    ("pixel", "width", "words", "part"),
    [
        ("0.5um", 32, "5 um", 5 / 16),
        ("1mm", 100, "20 mm", 0.2),
        ("100um", 64, "2 mm", 2 / 6.4),
        ("3nm", 10, "10 nm", 1 / 3),
    ],
)
def test_a_scale_bar_is_a_round_length(pixel, width, words, part):
    bar = scale_bar(pixel, width)
    assert (bar.words, bar.part) == (words, pytest.approx(part))
    assert scale_bar("", width) is None


@pytest.mark.parametrize(("shape", "size"), [((32, 32), (480, 526)), ((64, 16), (340, 558)), ((16, 64), (512, 174))])
def test_a_picture_has_room_for_its_marks_below(shape, size):
    """The pixels stay square and whole; axes on the left, the bar as long as it says on the right."""
    labels = np.random.default_rng(0).integers(0, 2, shape)
    made = np.asarray(picture(labels, conduction((0.1, 1.0)), "1um"))
    assert made.shape[:2] == size[::-1]
    scale = -(-480 // max(shape))
    middles = made[scale // 2 : scale * shape[0] : scale, scale // 2 : scale * shape[1] : scale, 0]
    np.testing.assert_array_equal(middles > 128, labels == 1)
    row = made[scale * shape[0] + 12, size[0] // 2 :, 0] < 100
    assert row.sum() == pytest.approx(scale_bar("1um", shape[1]).part * scale * shape[1], abs=1.5)
