"""Designs as geometry: opened again by the libraries that others open them with, to the last cubic voxel."""

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys

import ezdxf
import meshio
import numpy as np
import pytest
import tifffile
import trimesh
from scipy.ndimage import gaussian_filter

import loop
from loop.exports.drawings import write_dxf, write_svg
from loop.exports.meshes import write_inp, write_vtu
from loop.exports.part import Part
from loop.exports.solids import write_stl
from loop.exports.surface import area, outlines, surface
from loop.exports.volumes import write_tif, write_vti
from loop.exports.voxels import inside, within
from simulators import generate, read_image

EXACT = 1e-6
EDGE, THICKNESS = 0.25, 1.5


def blobs(seed, shape=(9, 12, 15), width=1.5):
    noise = np.random.default_rng(seed).standard_normal(shape)
    return (gaussian_filter(noise, width, mode="wrap") > 0.05 * (seed % 3 - 1)).astype(np.uint8)


IMAGES = [*generate(5, 16, 3), *map(blobs, range(5))]
PARTS = [Part(i, EDGE, THICKNESS if i.ndim == 2 else EDGE, "mm", conductivity=(0.1, 1.0)) for i in IMAGES]
each_part = pytest.mark.parametrize("part", PARTS, ids=lambda p: "x".join(map(str, p.image.shape)))


def random(density, shape=(7, 8, 9)):
    return np.random.default_rng(int(density * 100)).random(shape) < density


def cells(*places):
    phase = np.zeros((4, 5, 6), dtype=bool)
    phase[tuple(np.array(places).T)] = True
    return phase


PHASES = {
    "single": cells((1, 2, 3)),
    "at a corner of the box": cells((0, 0, 0)),
    "meeting at an edge": cells((1, 1, 1), (2, 2, 1)),
    "meeting at a corner": cells((1, 1, 1), (2, 2, 2)),
    "full": np.ones((4, 5, 6), dtype=bool),
    "all but one": ~cells((1, 2, 3)),
    "all but two at an edge": ~cells((1, 1, 1), (2, 2, 1)),
    "checkerboard": np.indices((6, 5, 4)).sum(0) % 2 == 0,
    "plates": np.indices((6, 5, 4))[0] % 2 == 0,
    "plane checkerboard": np.indices((1, 6, 6)).sum(0) % 2 == 0,
    "plane noise": random(0.5, (1, 12, 13)),
    **{f"noise {d}": random(d) for d in (0.1, 0.3, 0.5, 0.7, 0.9)},
}
each_phase = pytest.mark.parametrize("phase", PHASES.values(), ids=PHASES)


# --- surfaces


@each_phase
def test_the_surface_of_voxels_closes_and_is_theirs(phase):
    mesh = surface(phase)
    assert mesh.is_watertight
    assert mesh.is_winding_consistent
    assert mesh.volume == pytest.approx(phase.sum(), rel=EXACT)
    np.testing.assert_array_equal(inside(mesh.triangles, phase.shape), phase)


@pytest.mark.parametrize("name", ["meeting at an edge", "meeting at a corner"])
def test_voxels_that_share_no_face_are_apart(name):
    assert surface(PHASES[name]).body_count == 2
    assert surface(~PHASES[name]).body_count == 2  # its outside and one hollow, as the others do meet


@pytest.mark.parametrize("smooth", [0.3, 1.5])
@each_phase
def test_smoothed_surfaces_close(phase, smooth):
    mesh = surface(phase, smooth)
    assert mesh.is_watertight
    assert mesh.is_winding_consistent
    assert mesh.volume > 0


@pytest.mark.parametrize("smooth", [0.5, 1.0])
@each_part
def test_smoothing_keeps_the_volume(part, smooth):
    assert surface(part.volume == 1, smooth).volume == pytest.approx(part.image.sum(), rel=0.01)
    if part.image.ndim == 2:
        polygons = outlines(part.image == 1, smooth)
        assert sum(map(area, polygons)) == pytest.approx(part.image.sum(), rel=0.01)


def test_smoothing_takes_the_staircase_away():
    """A ball's surface is 4 pi r^2; that of its voxels is half as large again, as their faces face the axes."""
    z, y, x = np.indices((20, 20, 20)) - 9.5
    ball = x**2 + y**2 + z**2 < 8**2
    sphere = 4 * np.pi * 8**2
    assert surface(ball).area == pytest.approx(1.5 * sphere, rel=0.05)
    assert surface(ball, 1.0).area == pytest.approx(sphere, rel=0.02)


@pytest.mark.parametrize("periodic", [True, False])
def test_smoothed_cells_fit_together(periodic):
    phase = blobs(2, (12, 16, 16), 1.2) == 1
    points = surface(phase, 1.0, periodic).vertices
    sides = [{tuple(p) for p in np.round(points[np.isclose(points[:, 0], at)][:, 1:], 6)} for at in (0, 16)]
    assert len(sides[0]) > 20
    assert (sides[0] == sides[1]) is periodic


def test_voxels_of_a_surface_that_is_not_made_of_voxels():
    shape, middle = (16, 17, 18), np.array([8.2, 8.4, 7.9])
    ball = trimesh.creation.icosphere(subdivisions=4, radius=7.3)
    ball.apply_translation(middle)
    z, y, x = np.indices(shape)
    square = (x + 0.5 - 8.2) ** 2 + (17 - y - 0.5 - 8.4) ** 2 + (z + 0.5 - 7.9) ** 2
    found = inside(ball.triangles, shape)
    assert found[square < 7.25**2].all()
    assert not found[square > 7.31**2].any()


# --- files, by the libraries of others


@each_part
def test_stl(part, tmp_path):
    written = write_stl(tmp_path / "a.stl", part)
    mesh = trimesh.load_mesh(tmp_path / "a.stl")
    assert mesh.is_watertight
    assert mesh.is_winding_consistent
    voxel = EDGE**2 * part.thickness
    assert mesh.volume == pytest.approx(part.image.sum() * voxel, rel=EXACT)
    assert written.fraction == pytest.approx(part.image.mean(), rel=EXACT)
    np.testing.assert_array_equal(written.image, part.image)
    nz, ny, nx = part.volume.shape
    assert (mesh.bounds <= np.array([nx * EDGE, ny * EDGE, nz * part.thickness]) + 1e-6).all()


def test_both_phases_fill_the_box(tmp_path):
    part = PARTS[5]
    both = [write_stl(tmp_path / "a.stl", dataclasses.replace(part, label=label)).fraction for label in (0, 1)]
    assert sum(both) == pytest.approx(1, rel=EXACT)


@each_part
def test_vtk_image_data(part, tmp_path):
    from vtkmodules.util.numpy_support import vtk_to_numpy
    from vtkmodules.vtkIOXML import vtkXMLImageDataReader

    write_vti(tmp_path / "a.vti", part)
    reader = vtkXMLImageDataReader()
    reader.SetFileName(str(tmp_path / "a.vti"))
    reader.Update()
    image = reader.GetOutput()
    nz, ny, nx = part.volume.shape
    assert image.GetDimensions() == (nx + 1, ny + 1, nz + 1)
    assert image.GetSpacing() == (EDGE, EDGE, part.thickness)
    labels = vtk_to_numpy(image.GetCellData().GetArray("label")).reshape(nz, ny, nx)
    np.testing.assert_array_equal(labels, part.volume[:, ::-1])
    conductivity = vtk_to_numpy(image.GetCellData().GetArray("conductivity")).reshape(nz, ny, nx)
    np.testing.assert_array_equal(conductivity, np.where(labels, 1.0, 0.1))


def volumes(mesh):
    """Of hexahedra, negative if mirrored, whose nodes go around the bottom and then the top."""
    corner = mesh.points[mesh.cells[0].data]
    np.testing.assert_allclose(np.linalg.norm(corner[:, [1, 2, 3, 0]] - corner[:, :4], axis=2), np.ptp(corner[0, :, 0]))
    np.testing.assert_allclose(corner[:, 4:, :2], corner[:, :4, :2])
    sides = corner[:, [1, 3, 4]] - corner[:, :1]
    return np.linalg.det(sides), corner.mean(axis=1)


@pytest.mark.parametrize(("write", "name"), [(write_inp, "a.inp"), (write_vtu, "a.vtu")])
@each_part
def test_meshes(part, write, name, tmp_path):
    write(tmp_path / name, part)
    mesh = meshio.read(tmp_path / name)
    assert [block.type for block in mesh.cells] == ["hexahedron"]
    size, centre = volumes(mesh)
    voxel = EDGE**2 * part.thickness
    np.testing.assert_allclose(size, voxel, rtol=1e-9)
    if name == "a.inp":
        one = mesh.cell_sets["LABEL1"][0]
        assert sorted([*one, *mesh.cell_sets["LABEL0"][0]]) == list(range(part.image.size))
        assert re.findall(r"\*ELEMENT.*", (tmp_path / name).read_text()) == ["*ELEMENT, TYPE=C3D8"]
    else:
        one = np.flatnonzero(mesh.cell_data["label"][0])
        np.testing.assert_array_equal(mesh.cell_data["conductivity"][0] == 1.0, mesh.cell_data["label"][0] == 1)
    assert size[one].sum() == pytest.approx(part.image.sum() * voxel, rel=EXACT)
    x, y, z = np.floor(centre[one] / [EDGE, EDGE, part.thickness]).astype(int).T
    assert (part.volume[z, part.volume.shape[1] - 1 - y, x] == 1).all()


@each_part
def test_tif(part, tmp_path):
    write_tif(tmp_path / "a.tif", part)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif", 2), part.image)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert len(file.pages) == (1 if part.image.ndim == 2 else len(part.image))
        per, unit = file.pages[0].tags["XResolution"].value, file.pages[0].tags["ResolutionUnit"].value
        assert (per[0] / per[1], unit.name) == (pytest.approx(10 / EDGE), "CENTIMETER")
        assert file.imagej_metadata["unit"] == "cm"
        assert file.imagej_metadata["spacing"] == pytest.approx(part.thickness / 10)


WRITE_ALL = """
import sys
from pathlib import Path
import numpy as np
from loop.exports.export import WRITERS
from loop.exports.part import Part
labels = np.random.default_rng(0).integers(0, 3, (8, 8))
part = Part(labels, 1.0, 1.0, "mm", conductivity=(0.1, 1.0, 2.0))
for form, write in WRITERS.items():
    write(Path(sys.argv[1], "a." + form), part)
"""


def test_the_same_design_is_written_the_same_by_any_process(tmp_path):
    """Byte for byte, whatever the seed of its hashes."""
    written = []
    for seed in ("0", "4"):  # two that order the names of DXF classes otherwise
        out = tmp_path / seed
        out.mkdir()
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        subprocess.run([sys.executable, "-P", "-c", WRITE_ALL, str(out)], check=True, env=environment)
        written.append({path.name: path.read_bytes() for path in sorted(out.iterdir())})
    assert len(written[0]) == 8
    assert [name for name in written[0] if written[0][name] != written[1][name]] == []


@pytest.mark.parametrize("part", PARTS[:5])
def test_drawings(part, tmp_path):
    """Of each label the area is that of its pixels, and what is inside are its pixels."""
    write_dxf(tmp_path / "a.dxf", part)
    write_svg(tmp_path / "a.svg", part)
    document = ezdxf.readfile(tmp_path / "a.dxf")
    assert not document.audit().has_errors
    assert document.units == ezdxf.units.MM
    text, high = (tmp_path / "a.svg").read_text(), 16 * EDGE
    assert f'width="{high:g}mm"' in text
    for label in (0, 1):
        lines = document.modelspace().query(f'LWPOLYLINE[layer=="LABEL{label}"]')
        assert all(line.closed for line in lines)
        drawn = [np.array(line.get_points("xy")) for line in lines]
        path = re.search(rf'id="label{label}".* fill-rule="evenodd" d="(.*)"', text)[1]
        loops = [np.array([p.split() for p in loop_.split("L")], float) for loop_ in re.findall("M(.*?)Z", path)]
        for polygons in (drawn, [np.array([0, high]) + loop_ * [1, -1] for loop_ in loops]):
            pixels = int((part.image == label).sum())
            assert sum(map(area, polygons)) == pytest.approx(pixels * EDGE**2, rel=EXACT)
            np.testing.assert_array_equal(within([p / EDGE for p in polygons], (16, 16)), part.image == label)


def test_holes_run_with_the_clock_and_corners_do_not_join():
    plane = np.zeros((6, 7), dtype=bool)
    plane[1:4, 1:4], plane[2, 2], plane[4, 4] = True, False, True
    assert sorted(map(area, outlines(plane))) == [-1, 1, 9]
    assert sorted(map(len, outlines(plane))) == [4, 4, 4]
    assert outlines(np.ones((3, 4), dtype=bool))[0].tolist() in [
        np.roll([[0, 0], [4, 0], [4, 3], [0, 3]], shift, axis=0).tolist() for shift in range(4)
    ]


def test_voxels_that_a_phase_loses_go_to_the_nearest_other():
    part = Part(np.array([[0, 1, 1, 1, 2]], dtype=np.uint8), 1.0, 1.0, "mm")
    assert part.rebuilt(np.array([[True, False, True, False, False]])).tolist() == [[1, 0, 1, 2, 2]]
    assert Part(np.ones((1, 2), dtype=np.uint8), 1.0, 1.0, "mm").rebuilt(np.array([[True, False]])).tolist() == [[1, 0]]


def test_row_0_is_on_top_where_y_is_highest(tmp_path):
    """One voxel in layer 1, row 0, column 3 of (2, 4, 5) lies at x 3..4, y 3..4, z 1..2."""
    image = np.zeros((2, 4, 5), dtype=np.uint8)
    image[1, 0, 3] = 1
    part = Part(image, 2.0, 2.0, "um")
    write_stl(tmp_path / "a.stl", part)
    assert trimesh.load_mesh(tmp_path / "a.stl").bounds.tolist() == [[6, 6, 2], [8, 8, 4]]
    write_vtu(tmp_path / "a.vtu", part)
    mesh = meshio.read(tmp_path / "a.vtu")
    assert volumes(mesh)[1][mesh.cell_data["label"][0] == 1].tolist() == [[7, 7, 3]]
    plane = Part(image[1], 2.0, 1.0, "um")
    write_dxf(tmp_path / "a.dxf", plane)
    line = ezdxf.readfile(tmp_path / "a.dxf").modelspace().query('LWPOLYLINE[layer=="LABEL1"]').first
    assert np.min(line.get_points("xy"), axis=0).tolist() == [6, 6]
    write_svg(tmp_path / "a.svg", plane)
    path = re.search(r'id="label1".* d="M(.*)Z"', (tmp_path / "a.svg").read_text())[1]
    assert np.array([p.split() for p in path.split("L")], float).min(axis=0).tolist() == [6, 0]


# --- the command


@pytest.fixture
def mine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("mine.npy", IMAGES[0])
    np.save("volume.npy", blobs(4))
    return ["--workers", 1, "--conductivity", "0.1,1.0"]


def test_a_design_is_stated_again(janus, folder, tmp_path):
    design = folder / "designs" / "value-01"
    told = json.loads((design / "design.json").read_text())["properties"]
    more = ["--format", "stl", "--format", "svg", "--size", "8mm", "--thickness", "100um", "--out", tmp_path / "out"]
    code, out, err = janus("export", design, *more, "--workers", 1, "--json")
    assert (code, err) == (0, "")
    for row in json.loads(out)["files"]:
        assert row["fraction"] == pytest.approx(told["volume_fraction"], rel=EXACT)
        assert row["kxx"] == row["kxx_design"] == pytest.approx(told["kxx"], rel=1e-6)
        assert (row["difference"] < EXACT, row["edge"], row["unit"]) == (True, 0.5, "mm")
        assert row["thickness"] == pytest.approx(0.1)
    assert trimesh.load_mesh(tmp_path / "out" / "value-01.stl").bounds[1][2] == pytest.approx(0.1)


def test_a_campaign_is_exported_whole_and_knows_its_pixel(janus, folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder / "designs", copy / "designs")
    words = (folder / "campaign.toml").read_text()
    (copy / "campaign.toml").write_text(words.replace('pixel = ""', 'pixel = "2um"'))
    code, out, _ = janus("export", copy, "--format", "dxf", "--out", tmp_path / "out", "--no-simulate", "--json")
    rows = json.loads(out)["files"]
    assert code == 0
    assert [row["design"] for row in rows] == sorted(p.name for p in (folder / "designs").iterdir())
    assert {(row["edge"], row["unit"]) for row in rows} == {(2.0, "um")}


def test_what_invert_wrote_is_exported(janus, tmp_path):
    invert = ["--target", "kxx=0.3", "--count", 2, "--no-simulate", "--out", tmp_path / "two"]
    janus("invert", "data/janus-32", *invert)
    more = ["--size", "1mm", "--out", tmp_path / "out", "--no-simulate", "--json"]
    code, out, _ = janus("export", tmp_path / "two", "--format", "stl", "--smooth", 0.5, *more)
    rows = json.loads(out)["files"]
    assert code == 0
    assert [row["design"] for row in rows] == ["candidate-001", "candidate-002"]
    for row in rows:
        image = np.load(tmp_path / "two" / f"{row['design']}.npy")
        assert row["fraction_design"] == image.mean()
        assert row["fraction"] == pytest.approx(image.mean(), rel=0.01)
    # What the phases conduct stands beside the images: the model, named as it was from there, is not asked.
    told = json.loads((tmp_path / "two" / "candidates.json").read_text())
    (tmp_path / "two" / "candidates.json").write_text(json.dumps({**told, "model": "gone"}))
    code, out, error = janus(
        "export", tmp_path / "two", "--format", "npy", "--size", "1mm", "--out", tmp_path / "npy", "--json"
    )
    assert code == 0, error
    assert all(row["kxx"] == row["kxx_design"] > 0 for row in json.loads(out)["files"])


def test_what_smoothing_loses_is_told(janus, mine, tmp_path):
    np.save("fine.npy", np.indices((16, 16)).sum(0) // 2 % 2)
    code, out, err = janus("export", "fine.npy", "--format", "stl", "--size", "1cm", "--smooth", 3, *mine)
    assert code == 0
    assert re.search(r"export.fine\.stl: differs from the design by [\d.]+%", err)
    assert "watertight" in out
    assert re.search(r"^1 +1 +1 +128 +fine\.npy$", out, re.MULTILINE)


def test_from_python(mine):
    rows = loop.export("volume.npy", "parts", loop.Export(("vtk", "tif"), "5mm", simulated=False))
    assert [row["file"] for row in rows] == ["parts/volume.vti", "parts/volume.tif"]
    assert rows[0]["fraction"] == blobs(4).mean()


@pytest.mark.slow
def test_a_volume_is_stated_again(mine):
    """It conducts what the reference says of it; smoothed, what the reference says of what was read back."""
    from simulators import FipyHomogenizer

    exact, smooth = (
        loop.export("volume.npy", f"parts{s}", loop.Export(("stl",), "5mm", smooth=s, conductivity=(0.1, 1.0)))[0]
        for s in (0.0, 0.5)
    )
    k = FipyHomogenizer()(blobs(4), (0.1, 1.0)).k
    for row in (exact, smooth):
        assert [row[f"{name}_design"] for name in ("kxx", "kyy", "kzz")] == pytest.approx(list(k), rel=1e-6)
    assert exact["difference"] < EXACT
    mesh = trimesh.load_mesh("parts0.5/volume.stl")
    voxels = inside(mesh.triangles * 15 / 5, blobs(4).shape).astype(np.uint8)
    k = FipyHomogenizer()(voxels, (0.1, 1.0)).k
    assert [smooth[name] for name in ("kxx", "kyy", "kzz")] == pytest.approx(list(k), rel=1e-6)
    assert 0.001 < smooth["difference"] < 0.1


def test_only_force_replaces(janus, mine):
    words = ["export", "mine.npy", "--format", "npy", "--no-simulate"]
    assert janus(*words)[0] == 0
    code, _, err = janus(*words)
    assert (code, err) == (
        2,
        "janus-al: export: holds what `export` made; give another --out, or --force to replace it\n",
    )
    assert janus(*words, "--force")[0] == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["mine.npy", "--format", "step"], "format 'step': it must be one of stl, vtk, npy, tif, inp, vtu, dxf, svg"),
        (["mine.npy", "--format", "stl"], "mine.npy: nothing says how large it is; give --size"),
        (["mine.npy", "--format", "stl", "--size", "10"], "--size '10': write a number above 0 and a unit"),
        (["mine.npy", "--format", "stl", "--size", "1mm", "--thickness", "2"], "--thickness '2': write a number"),
        (["volume.npy", "--format", "dxf", "--size", "1mm"], "volume.npy: a volume has no outlines; ask for"),
        (["volume.npy", "--format", "stl", "--size", "1mm", "--thickness", "1mm"], "1mm is for planes"),
        (["mine.npy", "--format", "stl", "--size", "1mm", "--label", 2], "nothing of --label 2; it has labels 0, 1"),
        (["empty.npy", "--format", "stl", "--size", "1mm"], "empty.npy: nothing of --label 1; it has label 0"),
        (["nothing", "--format", "stl"], "nothing: holds no design.json"),
        (["missing.npy", "--format", "stl"], "missing.npy: no such file"),
        (["mine.npy", "--format", "tif", "--size", "99999999m"], "16 voxels long, one must be from 1e-11 to 1000 m"),
    ],
)
def test_what_cannot_be_exported_is_refused_before_anything_is_written(janus, mine, tmp_path, words, said):
    np.save("empty.npy", np.zeros((8, 8), dtype=np.uint8))
    (tmp_path / "nothing").mkdir()
    code, out, err = janus("export", *words, *mine)
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1
    assert not (tmp_path / "export").exists()


def test_a_conductivity_must_be_known(janus, mine, tmp_path):
    code, _, err = janus("export", "mine.npy", "--format", "stl", "--size", "1mm")
    assert (code, "mine.npy: no conductivity for labels up to 1; give --conductivity" in err) == (2, True)
    assert janus("export", "mine.npy", "--format", "stl", "--size", "1mm", "--no-simulate")[0] == 0


@pytest.mark.parametrize("damage", ["json", "key", "image"])
def test_a_damaged_design_is_refused(janus, folder, tmp_path, damage):
    copy = tmp_path / "value-01"
    shutil.copytree(folder / "designs" / "value-01", copy)
    told = json.loads((copy / "design.json").read_text())
    if damage == "image":
        np.save(copy / "image.npy", 1 - np.load(copy / "image.npy"))
    else:
        del told["lineage"]
        (copy / "design.json").write_text("{" if damage == "json" else json.dumps(told))
    code, _, err = janus("export", copy, "--format", "stl", "--size", "1mm", "--conductivity", "0.1,1.0")
    assert (code, "damaged" in err, err.count("\n")) == (4, True, 1)
