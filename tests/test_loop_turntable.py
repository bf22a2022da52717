"""Pictures of volumes: surfaces against what they enclose, pictures against what is where, and pages that show them."""

import base64
import gzip
import hashlib
import io
import json
import re
import shutil

import chromium
import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from janus_al.material import Material, Physics, conduction
from loop.campaign.campaign import Campaign
from loop.campaign.toml import load_config
from loop.commands.run import run_campaign
from loop.exports.surface import surface as exported
from loop.output import dossier, pictures, projections, turntable, volumes
from loop.output.volumes import HEAT, Volume, block, render, slices, surface
from loop.simulation.progress import Progress
from simulators import write_png

MATERIAL = conduction((0.1, 1.0), dim=3)


def volume(seed, *shape):
    """Smooth blobs, half of the cells each."""
    field = gaussian_filter(np.random.default_rng(seed).normal(size=shape), 1.5, mode="wrap")
    return (field > np.median(field)).astype(np.uint8)


def ball(side, radius):
    z, y, x = np.indices((side,) * 3) + 0.5 - side / 2
    return (x**2 + y**2 + z**2 < radius**2).astype(np.uint8)


def enclosed(vertices, triangles):
    """The volume within a closed surface, by Gauss's theorem; negative where triangles turn the wrong way."""
    a, b, c = vertices[triangles].transpose(1, 0, 2)
    return np.einsum("ij,ij->", a, np.cross(b, c)) / 6


# --- the surface of a phase


@pytest.mark.parametrize("labels", [volume(0, 12, 12, 12), volume(1, 8, 12, 20), ball(16, 6), np.ones((3, 4, 5), int)])
def test_a_surface_is_closed_and_keeps_the_volume(labels, monkeypatch):
    """Each edge is used as often one way as the other. Marching cubes bevels edges; smoothing takes hardly more, and
    moves no vertex by more than a fifth of a cell."""
    vertices, triangles = surface(Volume(labels))
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    ways = coo_array((np.ones(len(edges)), edges.T), shape=(len(vertices),) * 2).tocsr()
    assert abs(ways - ways.T).max() == 0
    assert enclosed(vertices, triangles) == pytest.approx(labels.sum(), rel=0.12 if labels.all() else 0.06)
    assert (vertices.min(axis=0) >= 0).all()
    assert (vertices.max(axis=0) <= labels.shape[::-1]).all()
    monkeypatch.setattr(volumes, "SMOOTHING", ())
    raw, same = surface(Volume(labels))
    np.testing.assert_array_equal(same, triangles)
    assert 0.05 < np.abs(vertices - raw).max() <= 0.2 + 1e-9
    assert enclosed(vertices, triangles) == pytest.approx(enclosed(raw, same), rel=0.03)


def test_smoothing_loses_no_part():
    """A single cell, and a rod one cell thick, which a blurred image would not have."""
    labels = np.zeros((9, 9, 9), int)
    labels[1, 1, 1] = labels[5, 6, 1:8] = 1
    vertices, triangles = surface(Volume(labels))
    pairs = np.concatenate([triangles[:, :2], triangles[:, 1:]]).T
    near = coo_array((np.ones(pairs.shape[1]), pairs), shape=(len(vertices),) * 2)
    count, part = connected_components(near, directed=False)
    assert count == 2
    for number, cells in ((part[np.argmin(vertices.sum(axis=1))], 1), (part[np.argmax(vertices.sum(axis=1))], 7)):
        assert enclosed(vertices, triangles[part[triangles[:, 0]] == number]) > 0.03 * cells


def test_a_picture_is_no_mirror_image_of_what_is_exported():
    labels = np.zeros((3, 4, 5), int)
    labels[0, 1, 3] = 1
    vertices, _ = surface(Volume(labels))
    np.testing.assert_allclose(vertices.mean(axis=0), [3.5, 2.5, 0.5], atol=0.1)
    np.testing.assert_allclose(vertices.mean(axis=0), exported(labels == 1).vertices.mean(axis=0), atol=0.1)


def test_the_phase_that_conducts_best_is_shown_and_where_heat_goes():
    labels = np.zeros((4, 4, 4), int)
    assert (Volume.of(labels, MATERIAL).phase, Volume.of(labels, conduction((5, 1, 9), dim=3)).phase) == (1, 2)
    one = Volume.of(labels, conduction((2.0, 1.0), "periodic", dim=3))
    assert (one.phase, one.heat) == (0, {"x": "kxx", "y": "kyy", "z": "kzz"})
    stiff = Physics("elasticity", {"young": (3.0, 1.0), "poisson": (0.3, 0.3)}, ("C11",))
    assert Volume.of(labels, Material((stiff,), "periodic")).heat == {}
    assert len(surface(Volume(labels, phase=1))[1]) == 0
    assert np.asarray(render(Volume(labels, phase=1), 60)).std() > 0


# --- pictures


def half(axis):
    """Label 1 where x, y or z is beyond the middle."""
    labels = np.zeros((8, 8, 8), int)
    np.moveaxis(labels, 2 - axis, 0)[4:] = 1
    return labels


def test_a_block_shows_what_is_where():
    """x runs to the right, y out of the picture and z up: on the front, right and top faces, and within the cut."""
    places = {"front": (0.2, 0.72), "front, up": (0.2, 0.35), "front, right": (0.45, 0.75), "right": (0.7, 0.72)}
    places |= {"right, behind": (0.84, 0.6), "top, behind": (0.6, 0.19), "floor of the cut": (0.53, 0.57)}
    bright = {0: {"front, right", "right", "right, behind", "floor of the cut", "top, behind"}}
    bright |= {1: {"front", "front, up", "front, right", "right", "floor of the cut"}, 2: {"front, up", "top, behind"}}
    for axis, expected in bright.items():
        grey = np.asarray(block(Volume(half(axis)), 200).convert("L"))
        seen = {name for name, (x, y) in places.items() if grey[int(200 * y), int(200 * x)] > 90}
        assert seen == expected, "xyz"[axis]


def test_heat_has_its_colour():
    """Along z at the left of the picture only."""
    heated = np.abs(np.asarray(render(Volume(ball(8, 3), heat={"z": "kzz"}), 200)).astype(int) - HEAT).sum(axis=2) < 60
    plain = np.abs(np.asarray(render(Volume(ball(8, 3)), 200)).astype(int) - HEAT).sum(axis=2) < 60
    assert heated[:, :40].sum() > 30
    assert heated[:, 40:].sum() == plain.sum() == 0


def test_slices_are_the_middle_planes():
    """Of six layers the fourth alone is bright, just above the middle, as z runs up."""
    labels = np.zeros((6, 8, 10), int)
    labels[3] = 1
    grey = np.asarray(Image.open(io.BytesIO(slices(Volume(labels)))).convert("L"))
    across_z, *others = [(abs(p - 244.0) < 2, abs(p - 32.0) < 2) for p in np.array_split(grey, 3, axis=1)]
    assert across_z[0].sum() > 10_000
    assert across_z[1].sum() < 100
    for bright, dark in others:
        assert dark.sum() == pytest.approx(5 * bright.sum(), rel=0.1)
        assert -30 < np.nonzero(bright)[0].mean() - np.nonzero(dark)[0].mean() < -5


def test_pictures_of_planes_are_what_they_were(tmp_path):
    plane = volume(0, 16, 16)
    pictures.write(tmp_path / "a.png", plane, conduction((0.1, 1.0)))
    write_png(tmp_path / "b.png", plane)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    pictures.write(tmp_path / "c.png", volume(0, 8, 8, 8), MATERIAL)
    assert Image.open(tmp_path / "c.png").size == (840, 420)
    pictures.grid(tmp_path / "d.png", np.stack([volume(s, 8, 8, 8) for s in (0, 1)]), ["0.1", "!0.2"], 2)
    assert np.asarray(Image.open(tmp_path / "d.png").convert("RGB")).std() > 20


# --- pages and folders of designs


CAMPAIGN = """
name = "volumes"
microstructure = { dim = 3, size = 16, phase_conductivity = [0.1, 1.0] }
dataset = { generate = { count = 60, simulated = 6 } }
target = [{ name = "across", designs = 5, kzz = { min = 0.15 } }]
budget = { rounds = 1, simulations = 20, probes = 0 }
loop = { candidates = 5, probes = 0, generator = "lookup" }
execution = { workers = 2, umap = false }
"""


@pytest.fixture(scope="module")
def campaign(tmp_path_factory):
    """A finished campaign of seconds whose designs are volumes; it trains no network."""
    place = tmp_path_factory.mktemp("volumes")
    (place / "volumes.toml").write_text(CAMPAIGN)
    run_campaign(place / "whole", load_config(place / "volumes.toml"), Progress())
    return Campaign(place / "whole")


def test_a_volume_tells_its_lengths_where_a_voxel_has_one():
    labels = np.zeros((4, 8, 16), np.uint8)
    titles = Volume.of(labels, conduction((0.1, 1.0), dim=3), "0.5um").titles
    assert {a: words for a, (words, _) in titles.items()} == {
        "x": "x: heat, kxx, 8 um",
        "y": "y: heat, kyy, 4 um",
        "z": "z: heat, kzz, 2 um",
    }
    assert Volume(labels, pixel="1mm").titles["x"][0] == "x, 16 mm"
    assert Volume(labels).titles["x"][0] == "x"


def test_designs_have_a_picture_and_slices(campaign, tmp_path, monkeypatch):
    """And lose them with the folder when there is no such design any more."""
    made, folders = projections.designs_of(campaign), sorted((campaign.folder / "designs").iterdir())
    assert [path.name for path in folders] == [d["name"] for d in made] == [f"across-0{n}" for n in range(1, 6)]
    for path, design in zip(folders, made, strict=True):
        assert {p.name for p in path.iterdir()} == {*dossier.FILES} - {"image.png", "design.dxf"}
        np.testing.assert_array_equal(np.load(path / "image.npy"), design["image"])
        assert Image.open(path / "design.png").size == (840, 420)
        assert Image.open(path / "slices.png").size[0] == 720
    shutil.copytree(campaign.folder, tmp_path / "copy")
    monkeypatch.setattr(projections, "designs_of", lambda campaign: [])
    projections.write_designs(Campaign(tmp_path / "copy"))
    assert list((tmp_path / "copy" / "designs").iterdir()) == []


def test_the_page_brings_all_it_needs_and_lets_nothing_else_run(campaign):
    made = projections.designs_of(campaign)
    page = (campaign.folder / "report.html").read_text(encoding="utf-8")
    scripts = re.findall(r"<script([^>]*)>(.*?)</script>", page, re.DOTALL)
    told = {re.search(r'id="([^"]*)"', tag)[1]: text for tag, text in scripts if tag}
    (script,) = (text for tag, text in scripts if not tag)
    library = gzip.decompress(base64.b64decode(told.pop("plotly"))).decode()
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (script, library)]
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]
    assert policy == (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src "
        + " ".join(f"'sha256-{text}'" for text in hashes)
    )
    assert not re.findall(r"https?://", page.replace(script, ""))
    assert all(source.startswith("data:image/png") for source in re.findall(r'(?:src|href)="([^"]*)"', page))
    assert list(told) == [f"plot-{d['name']}" for d in made]
    for design in made:
        plot = json.loads(gzip.decompress(base64.b64decode(told[f"plot-{design['name']}"])))
        assert plot == turntable.plot(Volume.of(design["image"], campaign.material))
        mesh = plot["data"][0]
        vertices, triangles = (np.transpose([mesh[k] for k in keys]) for keys in ("xyz", "ijk"))
        assert enclosed(vertices, triangles) == pytest.approx(design["image"].sum(), rel=0.06)
    assert len(page) < 1.1 * (len(library) / 2 + sum(len(text) for text in told.values()) + 5 * 250_000)


@pytest.mark.skipif(chromium.FOUND is None, reason="no Chromium on this machine: apt-get install chromium")
def test_volumes_turn_with_the_mouse_in_a_browser(campaign, tmp_path):
    """On a wide page and a narrow one, without network; without scripts the pictures are there."""
    with chromium.browser(tmp_path) as page:
        page.tell("Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=0, uploadThroughput=0)
        page.open(campaign.folder / "report.html", 1200, scripts=False)
        assert page.ask("[...document.images].every((i) => i.complete && i.naturalWidth > 0 && i.width > 0)")
        assert page.ask("[...document.querySelectorAll('.stage button')].every((b) => b.hidden)")
        for width in (1200, 400):
            page.open(campaign.folder / "report.html", width)
            assert page.ask("document.documentElement.scrollWidth") <= width
            stage = "document.querySelector('.stage')"
            page.ask(f"{stage}.scrollIntoView({{block: 'center'}})")
            still = page.picture(stage)
            x, y = page.middle(stage)
            page.drag((x, y))
            page.wait(f"{stage}.dataset.state === 'turning'")
            drawn = page.picture(stage)
            page.drag((x, y), (x + 0.2 * width, y + 30))
            assert differing(still, drawn) > 0.02
            assert differing(drawn, page.picture(stage)) > 0.05
            page.drag(page.middle(f"{stage}.querySelector('button')"))
            assert page.ask(f"{stage}.dataset.state") == "still"
            assert differing(still, page.picture(stage)) < 0.005
        page.ask("document.querySelectorAll('.stage button').forEach((b) => b.click())")
        page.wait("!document.querySelector('.stage[data-state=loading]')")
        states = page.ask("[...document.querySelectorAll('.stage')].map((s) => s.dataset.state)")
        assert states == ["still", *["turning"] * 4], "the first made room for the fifth"
        assert page.ask("document.querySelectorAll('.plot').length") == 4
        assert page.errors() == []
        assert {url.split(":")[0] for url in page.requests()} == {"file", "data"}


def differing(one, other):
    """Part of the pixels in which two pictures differ visibly."""
    first, second = (np.asarray(Image.open(io.BytesIO(data)).convert("L")).astype(int) for data in (one, other))
    return float((np.abs(first - second) > 25).mean())
