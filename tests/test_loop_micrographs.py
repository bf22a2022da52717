"""From grey micrographs to a dataset, a model and a campaign; and the length of a pixel, which all of them keep."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import h5py
import numpy as np
import pytest
from PIL import Image
from problems import direct_conductivity
from test_simulators_micrographs import micrograph

from janus_al import checkpoint, dataset
from janus_al.errors import DatasetError
from janus_al.lengths import agreed, metres
from janus_al.material import conduction
from janus_al.samples import concatenate, unlabelled
from loop.campaign.config import Budget, ConfigError
from loop.campaign.journal import Journal
from loop.campaign.ledger import Ledger
from loop.campaign.sources import check_source
from loop.campaign.toml import load_config
from loop.exports.subjects import read_subjects
from simulators import generate

ROOT = Path(__file__).parents[1]
GREYS = [micrograph(generate(1, side, seed)[0], seed=seed) for side, seed in ((64, 11), (48, 12))]
TILES = ("--threshold", "otsu", "--smooth", 1, "--tile", 16, "--stride", 8, "--solver", "direct", "--workers", 1)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("micrographs")
    for name, grey in zip("ab", GREYS, strict=True):
        Image.fromarray(grey).save(folder / f"{name}.png")
    return [folder / "a.png", folder / "b.png"]


@pytest.fixture
def data(janus, pictures, tmp_path):
    """72 tiles of two pictures, 24 of them simulated."""
    out = tmp_path / "mine.h5"
    assert janus("import", *pictures, *TILES, "--simulate", 24, "--pixel", "0.5um", "--out", out)[0] == 0
    return out


def test_tiles_of_micrographs(janus, pictures, tmp_path):
    """What the table, the JSON and the file say is what the pictures hold; drawn by seed, and by no other."""
    out = tmp_path / "mine.h5"
    words = ["import", *pictures, *TILES, "--simulate", 24, "--pixel", "0.5um", "--seed", 3, "--out", out]
    code, text, err = janus(*words, "--dry-run")
    assert (code, out.exists(), (tmp_path / "mine.sheet.png").exists()) == (0, False, True)
    assert "72 images of 16 x 16 pixels of 0.5um, 24 to be simulated; look at" in text
    assert err.splitlines() == [
        "2 tiles of one phase alone were left out",
        "the 24 to be simulated are drawn by seed 3",
    ]
    table = next(line for line in text.splitlines() if line.startswith("file")).split()
    assert table == ["file", "size", "kind", "threshold", "fraction", "tiles", "lowest", "median", "highest"]
    code, text, _ = janus(*words, "--json")
    report, samples = json.loads(text), dataset.read(out)
    assert (code, report["samples"], report["simulated"], report["pixel"]) == (0, 72, 24, "0.5um")
    assert samples.pixel == "0.5um"
    assert [(one["size"], one["tiles"]) for one in report["images"]] == [([64, 64], 47), ([48, 48], 25)]
    for one, grey in zip(report["images"], GREYS, strict=True):
        assert one["fractions"][1] == pytest.approx((grey > one["thresholds"][0]).mean(), abs=0.02)
        assert one["tile_fractions"] == sorted(one["tile_fractions"])
        assert sum(row["pixels"] for row in one["mapping"]) == grey.size
    known = samples.simulated
    np.testing.assert_array_equal(known, np.arange(72) < 24)
    kappa = np.array([0.1, 1.0])[samples.image[5]]
    assert samples.properties_fv[5, 0] == pytest.approx(direct_conductivity(kappa), rel=1e-8)
    again = [*words[: words.index("--seed")], "--seed", 4, "--out", tmp_path / "other.h5"]
    assert janus(*again)[0] == 0
    other = dataset.read(tmp_path / "other.h5")
    assert sorted(other.hashes) == sorted(samples.hashes)
    assert set(other.hashes[:24]) != set(samples.hashes[:24])


def test_labels_may_be_cut_and_turned_round_as_well(janus, tmp_path):
    """A .npy of labels needs no threshold; inverted its fraction is the rest; crops are random tiles."""
    labels = generate(1, 40, 2)[0]
    np.save(tmp_path / "a.npy", labels)
    words = ["import", tmp_path / "a.npy", "--solver", "direct", "--workers", 1, "--simulate", 2]
    for more, count in (([], 1), (["--tile", "24,32", "--stride", 8], 6), (["--tile", 16, "--crops", 9], 9)):
        out = tmp_path / f"{count}.h5"
        assert janus(*words, *more, "--out", out)[0] == 0
        assert len(dataset.read(out)) == count
    assert janus(*words, "--invert", "--out", tmp_path / "i.h5")[0] == 0
    np.testing.assert_array_equal(dataset.read(tmp_path / "i.h5").image[0], 1 - labels)
    assert dataset.read(tmp_path / "6.h5").image.shape == (6, 24, 32)


def test_the_sheet_shows_what_was_understood(janus, pictures, tmp_path):
    """Orange on the border of label 1 and nowhere else in the grey picture; white where label 1 is beside it."""
    sheet = tmp_path / "m.sheet.png"
    assert janus("import", pictures[0], *TILES, "--dry-run", "--out", tmp_path / "m.h5")[0] == 0
    seen = np.asarray(Image.open(sheet).convert("RGB")).astype(int)
    left, right = seen[54 : 54 + 512, 10 : 10 + 512], seen[54 : 54 + 512, 562 : 562 + 512]
    labels = right[4::8, 4::8, 0] > 127
    assert labels.mean() == pytest.approx((GREYS[0] > 125).mean(), abs=0.02)
    orange = (left == (255, 120, 0)).all(axis=2)
    across = orange[4::8, 8::8]
    wanted = labels[:, 1:] != labels[:, :-1]
    assert (across == wanted).mean() > 0.999
    assert not orange[4::8, 4::8].any()
    mine = sheet.read_bytes()
    assert janus("import", pictures[0], *TILES, "--dry-run", "--invert", "--out", tmp_path / "m.h5")[0] == 0
    assert sheet.read_bytes() != mine
    Image.fromarray(GREYS[0]).save(sheet)
    code, _, err = janus("import", pictures[0], *TILES, "--dry-run", "--out", tmp_path / "m.h5")
    assert (code, "exists and is no contact sheet of Janus-AL" in err) == (2, True)
    np.testing.assert_array_equal(np.asarray(Image.open(sheet)), GREYS[0])


def test_volumes_are_cut_into_cubes(janus, tmp_path):
    grey = (60 + 120 * generate(1, (20, 24, 24), 1)[0]).astype(np.uint8)
    np.save(tmp_path / "scan.npy", grey)
    words = ["--threshold", "0.5", "--tile", 16, "--stride", 4, "--simulate", 0, "--out", tmp_path / "v.h5"]
    assert janus("import", tmp_path / "scan.npy", *words)[0] == 0
    samples = dataset.read(tmp_path / "v.h5")
    assert samples.image.shape == (2 * 3 * 3, 16, 16, 16)
    np.testing.assert_array_equal(samples.image[-1], grey[4:, 8:, 8:] > 127)


@pytest.mark.parametrize(
    ("words", "refusal"),
    [
        (["--tile", 16, "--crop"], "--crop: tiles are cut of pictures of any size"),
        (["--stride", 8], "--stride: it is for tiles; give --tile, too"),
        (["--crops", 8], "--crops: it is for tiles"),
        (["--tile", 16, "--stride", 8, "--crops", 8], "--stride 8: it is for a sliding window"),
        (["--tile", 4], "each side must be from 8"),
        (["--tile", 56, "--threshold", "otsu"], "b.png: 48 x 48 pixels, smaller than a tile of 56 x 56"),
        (["--threshold", "otsu"], "b.png: (48, 48) pixels but"),
        (["--threshold", "255"], "leaves nothing of label 1"),
        (["--smooth", 1], "--smooth: it is for greys; give --threshold"),
        (["--footer", 9], "--footer: it is for greys"),
        (["--threshold", "otsu", "--tile", 16, "--pixel", "5"], "--pixel '5': write a number above 0 and a unit"),
        ([], "grey levels but 2 phase conductivities; threshold the picture to 2 levels, as `janus-al import --thr"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_written(janus, pictures, tmp_path, words, refusal):
    code, out, err = janus("import", *pictures, *words, "--out", tmp_path / "d.h5")
    assert (code, out, list(tmp_path.iterdir())) == (2, "", [])
    assert refusal in err
    assert len(err.splitlines()) == 1


def test_jpeg_is_for_thresholds_and_warned_of(janus, tmp_path):
    Image.fromarray(GREYS[0]).save(tmp_path / "a.jpg", quality=95)
    code, _, err = janus("import", tmp_path / "a.jpg", "--out", tmp_path / "d.h5")
    assert (code, "cannot read '.jpg' files; give .npy, .png or .tif of labels" in err) == (2, True)
    code, _, err = janus("import", tmp_path / "a.jpg", *TILES, "--dry-run", "--out", tmp_path / "d.h5")
    assert (code, "a.jpg: JPEG compression blurs the edges of phases" in err) == (0, True)


# --- the length of a pixel ------------------------------------------------------------------------------


def test_lengths_agree_by_value():
    assert agreed("", "0.5um", "500 nm", "") == "0.5um"
    assert agreed("", "") == ""
    assert metres("500nm") == pytest.approx(metres("0.5 µm"), rel=1e-12)
    with pytest.raises(ValueError, match=r"a pixel of 5um and one of 0.5um"):
        agreed("0.5um", "", "5um")


def test_a_file_keeps_its_pixel(data, tmp_path):
    from dataclasses import replace

    samples = dataset.read(data)
    assert dataset.pixel_of(data) == samples.take([0, 1]).pixel == concatenate([samples, samples]).pixel == "0.5um"
    unknown = replace(samples, pixel="")
    assert concatenate([unknown, samples]).pixel == "0.5um"
    assert unknown.digest() == samples.digest()
    dataset.write(tmp_path / "u.h5", unknown, "test")
    with h5py.File(tmp_path / "u.h5") as file:
        assert "pixel" not in file.attrs
    assert dataset.read(tmp_path / "u.h5").pixel == dataset.pixel_of(tmp_path / "none.h5") == ""
    with pytest.raises(DatasetError, match=r"samples with a pixel of 1um and one of 0.5um: a dataset holds one"):
        concatenate([samples, replace(samples, pixel="1um")])
    for value in ("wide", "-1um", 0.5, "1" * 99 + "um"):
        with h5py.File(data, "r+") as file:
            file.attrs["pixel"] = value
        with pytest.raises(DatasetError, match=r"damaged pixel"):
            dataset.read(data)


SMALL = """name = "mine"
[microstructure]
size = 16
phase_conductivity = [0.1, 1.0]
[dataset]
source = "mine.h5"
[[target]]
name = "value"
designs = 1
min_feature = { value = "0.9um", label = 1 }
kxx = { min = 0.2, max = 0.7 }
[budget]
rounds = 1
simulations = 12
[loop]
candidates = 2
probes = 0
[network]
channels = 8
latent = 8
rank = 8
[training]
steps = 30
batch = 8
simulated = 4
cycled = 4
checks = 2
[inversion]
steps = 10
[execution]
workers = 1
umap = false
"""


def test_from_micrographs_to_a_campaign(janus, data, tmp_path, monkeypatch):
    """The model's card, the campaign, its dataset and its export have the pixel that import was told."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.toml").write_text(SMALL)
    config = load_config(tmp_path / "c.toml")
    assert config.microstructure.pixel == "0.5um"
    assert config.targets()[0].geometry.features == (1, 2)
    assert janus("campaign", "run", "c.toml", "--dir", "c", "--json")[0] in (0, 3)
    assert dataset.read(tmp_path / "c/dataset.h5").pixel == "0.5um"
    _, card = checkpoint.load(tmp_path / "c/models/r0000")
    assert (card.pixel, card.simulated) == ("0.5um", 24)
    # A model to start from says it, too: to a campaign, to `invert`, and to what it wrote.
    (tmp_path / "s.toml").write_text(
        SMALL.replace('[dataset]\nsource = "mine.h5"', "").replace("[network]", '[network]\nstart = "c/models/r0000"')
    )
    assert load_config(tmp_path / "s.toml").microstructure.pixel == "0.5um"
    words = ["--target", "kxx=0.2..0.7", "--count", 1, "--out", "out", "--no-simulate"]
    code, _, err = janus("invert", "c/models/r0000", *words, "--target", "min_feature_1>=0.9um")
    assert code in (0, 3), err
    told = json.loads((tmp_path / "out/candidates.json").read_text())
    assert told["target"]["min_feature_1"][0] == 2
    assert [subject.pixel for subject in read_subjects(tmp_path / "out", 2)] == ["0.5um"] * len(told["candidates"])


def test_another_pixel_than_the_datasets_is_refused(janus, data, tmp_path, monkeypatch):
    """By its length and not its words; where nothing says one, a length of features is refused as before."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.toml").write_text(SMALL.replace("size = 16", 'size = 16\npixel = "500nm"'))
    check_source(load_config(tmp_path / "c.toml"))
    (tmp_path / "c.toml").write_text(SMALL.replace("size = 16", 'size = 16\npixel = "0.25um"'))
    code, _, err = janus("campaign", "run", "c.toml", "--dir", "c")
    assert (code, (tmp_path / "c").exists()) == (2, False)
    assert err == "janus-al: microstructure.pixel 0.25um: mine.h5 has pixels of 0.5um; put that, or leave it out\n"
    (tmp_path / "c.toml").write_text(SMALL.replace("mine.h5", "none.h5"))
    with pytest.raises(ConfigError, match=r"min_feature '0.9um': a number of pixels; or a length"):
        load_config(tmp_path / "c.toml")


def test_a_campaigns_own_samples_have_its_pixel(tmp_path):
    """Those of one that begins with a model, or generates its images, whose pixel its configuration alone knows."""
    (tmp_path / "samples").mkdir()
    journal = Journal(tmp_path / "journal.jsonl")
    ledger = Ledger(tmp_path, journal, conduction((0.1, 1.0)), Budget(), True, 0, "0.5um")
    ledger.append(0, unlabelled(generate(2, 16, 0), conduction((0.1, 1.0))), [])
    assert Ledger(tmp_path, journal, conduction((0.1, 1.0)), Budget(), True).samples().pixel == "0.5um"


# --- the page -------------------------------------------------------------------------------------------


def blocks():
    """What is indented in docs/micrographs.md, by paragraph."""
    text = (ROOT / "docs/micrographs.md").read_text()
    return [dedent(block) for block in re.findall(r"(?:^    .*\n)(?:^(?:    .*)?\n)*", text, re.MULTILINE)]


def test_what_the_page_shows_is_what_its_first_command_prints(janus, tmp_path, monkeypatch):
    command, shown, *_ = blocks()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    code, out, _ = janus(*shlex.split(command)[1:])
    assert (code, out.strip()) == (0, shown.strip())


@pytest.mark.slow
def test_the_page_runs(tmp_path):
    """Every command as it stands, one after the other; the campaign may miss, and no other."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    commands = [block for block in blocks() if block.startswith(("janus-al", "cat"))]
    assert len(commands) == 5
    script = f'janus-al() {{ "{sys.executable}" -P -m loop.commands.main "$@"; }}\nset -e\n' + "\n".join(commands)
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "parts").glob("*.svg"))) == 6
    assert len(list((tmp_path / "campaigns/mine/designs").iterdir())) == 2
