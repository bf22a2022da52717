"""The commands on volumes: made, imported and homogenized, told what they cost, and refused where they are none."""

import json

import numpy as np
import pytest
import tifffile
from PIL import Image

from janus_al import dataset
from simulators import DirectHomogenizer, Spinodoid, generate
from simulators.structures.drawing import stream_for_tests

GRID = (8, 12, 10)
FAST = ["--solver", "direct", "--workers", 1]


def refused(result, code, *words):
    assert result[0] == code, result
    assert not result[1]
    for word in words:
        assert word in result[2]
    assert len([line for line in result[2].splitlines() if line.startswith("janus-al: ")]) == 1


def physics(image, boundary="dirichlet"):
    return DirectHomogenizer(boundary)(image, (0.1, 1.0))


def test_generated_volumes(janus, tmp_path):
    """Of a dataset of format 2: images of the seed, kzz and the rest by a solve of our own, maps of their shape."""
    out = tmp_path / "d.h5"
    code, words, _ = janus("generate", "--count", 4, "--simulated", 2, "--size", "8,12,10", "--out", out, *FAST)
    assert code == 0
    samples = dataset.read(out)
    np.testing.assert_array_equal(samples.image, generate(4, GRID, 0))
    assert samples.names == ("kxx", "kyy", "kzz", "volume_fraction")
    assert samples.sensitivity.shape == (4, 3, *GRID)
    found = physics(samples.image[1])
    np.testing.assert_allclose(samples.properties[1], [*found.k, samples.image[1].mean()], rtol=1e-9)
    table = {line.split()[0]: [float(word) for word in line.split()[1:]] for line in words.splitlines()[1:5]}
    assert list(table) == list(samples.names)
    assert table["kzz"] == pytest.approx(np.quantile(samples.properties[:2, 2], [0, 0.5, 1]), rel=1e-4)
    assert "4 samples of 8 x 12 x 10, 2 simulated" in words


def test_generated_twice_is_the_same(janus, tmp_path):
    """The same digest again and from another file; of another seed, class or boundary another one."""
    digests = []
    for number, more in enumerate(
        ([], [], ["--seed", 1], ["--test"], ["--structure", "spinodoid"], ["--boundary", "periodic"])
    ):
        out = tmp_path / f"{number}.h5"
        words = ["generate", "--count", 2, "--simulated", 0, "--dim", 3, "--size", 8, *more, "--out", out, "--json"]
        code, report, _ = janus(*words)
        report = json.loads(report)
        assert (code, report["size"], report["properties"]) == (0, [8, 8, 8], {})
        samples = dataset.read(out)
        assert samples.digest() == report["digest"]
        dataset.write(tmp_path / "again.h5", samples, "test")
        assert dataset.read(tmp_path / "again.h5").digest() == report["digest"]
        digests.append(report["digest"])
    assert digests[0] == digests[1]
    assert len(set(digests)) == 5
    np.testing.assert_array_equal(dataset.read(tmp_path / "3.h5").image, generate(2, (8,) * 3, stream_for_tests(0)))


def test_periodic_spinodoids(janus, tmp_path):
    """Drawn so that they repeat, and the whole tensor of each."""
    words = ["--size", "8,12,10", "--structure", "spinodoid", "--boundary", "periodic", "--out", tmp_path / "d.h5"]
    assert janus("generate", "--count", 2, *words, *FAST)[0] == 0
    samples = dataset.read(tmp_path / "d.h5")
    np.testing.assert_array_equal(samples.image, generate(2, GRID, 0, Spinodoid(periodic=True)))
    assert samples.material.simulated == ("kxx", "kyy", "kzz", "kxy", "kxz", "kyz")
    np.testing.assert_allclose(samples.properties[0, :6], physics(samples.image[0], "periodic").k, atol=1e-9)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--size", "16,12", "--dim", 3], "size '16,12': 2 sides; give one, or 3"),
        (["--size", "8,8,8", "--dim", 2], "size '8,8,8': 3 sides; give one, or 2"),
        (["--size", "8,8,8,8"], "4 sides; give one, or two or three"),
        (["--size", "1,32,32"], "each side must be from 8 to 1024"),
        (["--size", "8.5"], "size '8.5': give a side, as in 32, or all, as in 16,32,32"),
        (["--size", "1024", "--dim", 3], "1073741824 cells an image; 16777216 at most"),
        (["--dim", 4], "--dim"),
        (["--structure", "foam"], "structure 'foam': it must be one of phasefield, spinodoid"),
        (["--count", 10**6, "--size", 64, "--dim", 3], "GiB of memory, and this machine has"),
    ],
    ids=str,
)
def test_what_generate_refuses(janus, tmp_path, options, words):
    """Before anything is drawn, in one sentence."""
    refused(janus("generate", "--count", 2, "--out", tmp_path / "d.h5", *options), 2, words)
    assert not list(tmp_path.iterdir())


def test_cost_is_told(janus, tmp_path, monkeypatch):
    """What takes minutes or gigabytes is told before it begins; what takes seconds is not."""
    from loop.commands import asked

    words = ["generate", "--count", 2, "--size", "8,12,10", "--out", tmp_path / "d.h5", *FAST]
    assert "about" not in janus(*words)[2]
    monkeypatch.setattr(asked, "LARGE", 960 * 2 * (2 + 3 * asked.BYTES) - 1)
    monkeypatch.setattr(asked, "SECONDS", {"direct": (0.0, 0.1)})
    told = janus(*words, "--force")[2]
    assert "2 images of 8 x 12 x 10, 2 simulated: about 0.0 GiB of memory, up to about 3 minutes with" in told


def stacks(folder, volumes):
    """A .npy array, a .tif of several pages and a folder of slices."""
    array, pages, slices = volumes
    np.save(folder / "a.npy", array)
    tifffile.imwrite(folder / "b.tif", pages * 255, photometric="minisblack")
    (folder / "c").mkdir()
    for number, layer in enumerate(slices):
        Image.fromarray(layer * 255).save(folder / "c" / f"z{number}.png")
    return [folder / name for name in ("a.npy", "b.tif", "c")]


def test_imported_stacks(janus, tmp_path):
    """Three ways to store a volume are one dataset, ordered along z, with its kzz; and homogenize says the same."""
    volumes = generate(3, GRID, 3)
    paths = stacks(tmp_path, volumes)
    code, report, _ = janus("import", *paths, "--dim", 3, "--out", tmp_path / "d.h5", *FAST, "--json")
    assert code == 0
    report, samples = json.loads(report), dataset.read(tmp_path / "d.h5")
    np.testing.assert_array_equal(samples.image, volumes)
    np.testing.assert_allclose(samples.properties[2, :3], physics(volumes[2]).k, rtol=1e-9)
    assert report["properties"]["kzz"] == pytest.approx(np.quantile(samples.properties[:, 2], [0, 0.5, 1]))
    assert [one["mapping"][1]["stored"] for one in report["images"]] == [1, 255, 255]
    np.save(tmp_path / "plane.npy", volumes[0, 0])
    code, out, _ = janus("homogenize", tmp_path / "plane.npy", paths[1], "--conductivity", "0.1,1", *FAST)
    assert code == 0
    header, plane, volume = (line.split() for line in out.splitlines()[-3:])
    assert volume[header.index("kzz")] == f"{samples.properties[1, 2]:.5g}"
    assert plane[header.index("kzz")] == "nan"
    code, out, _ = janus("homogenize", paths[2], "--dim", 3, "--conductivity", "0.1,1", *FAST, "--json")
    (row,) = json.loads(out)["results"]
    assert row["size"] == list(GRID)
    assert row["kzz"] == pytest.approx(samples.properties[2, 2], rel=1e-12)


def test_stacks_that_are_refused(janus, tmp_path):
    """By name: a folder that does not say it is a volume, planes among volumes, sizes that differ."""
    volumes = generate(3, GRID, 3)
    array, pages, slices = stacks(tmp_path, volumes)
    out, small, plane = tmp_path / "d.h5", tmp_path / "small.npy", tmp_path / "plane.npy"
    np.save(small, volumes[0, :7])
    np.save(plane, volumes[0, 0])
    refused(janus("import", slices, "--dim", 3, "--out", slices / "d.h5"), 2, "d.h5: would lie among the slices of")
    refused(janus("import", slices, "--out", out), 2, "c: a folder; name its files, or say --dim 3")
    refused(
        janus("import", array, small, "--out", out), 2, "small.npy: (7, 12, 10) pixels but", "a.npy has (8, 12, 10)"
    )
    refused(janus("import", array, plane, "--out", out), 2, "plane.npy: (12, 10) pixels but")
    refused(janus("import", plane, "--dim", 3, "--out", out), 2, "plane.npy: a plane of 12 x 10 where --dim 3")
    refused(janus("import", pages, "--dim", 2, "--out", out), 2, "b.tif: a volume of 8 x 12 x 10 where --dim 2")
    (slices / "notes.txt").write_text("x")
    (slices / "z3.png").write_bytes(b"")
    result = janus("homogenize", slices, tmp_path / "none", "--dim", 3, "--conductivity", "0.1,1")
    refused(result, 2, "notes.txt: no slice", "refused as well: ", "none")
    assert not out.exists()
