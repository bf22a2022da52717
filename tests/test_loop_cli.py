"""The commands: what they print, what they refuse, and their exit codes."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tifffile
from PIL import Image
from problems import checkerboard, direct_conductivity

from janus_al import checkpoint, dataset
from loop.commands.model import _figures, _shortfall
from loop.simulation.executors import open_executor
from loop.simulation.simulate import Execution
from loop.studies.single import physics_of
from simulators import DirectHomogenizer, FipyHomogenizer, generate

LAYERS = np.repeat(np.arange(16)[:, None] % 2, 16, axis=1).astype(np.uint8)


@pytest.fixture(scope="module")
def data(folder, tmp_path_factory):
    """The small campaign's first dataset, made again by the command, and the model trained on it."""
    out = tmp_path_factory.mktemp("data")
    make = [sys.executable, "-P", "-m", "loop.commands.main", "generate", "--count", "120", "--simulated", "20"]
    make += ["--seed", "3", "--size", "16", "--solver", "direct", "--workers", "2", "--out", str(out / "d.h5")]
    subprocess.run(make, check=True, capture_output=True)
    shutil.copytree(folder / "models" / "r0000", out / "model")
    return out


def test_help_is_fast_and_light():
    """Nothing heavy is imported to print help."""
    heavy = "{'torch', 'mlflow', 'umap', 'fipy', 'h5py', 'numpy'}"
    code = f"import sys, loop.commands.main; print(sorted({heavy} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"


def test_every_command_has_help_with_an_example():
    from loop.commands import main as cli

    for group in (cli.data_app, cli.model_app, cli.campaign_app, cli.reproduce_app):
        for command in group.registered_commands:
            assert "janus-al" in command.callback.__doc__, command.callback.__name__


def test_homogenize_json(janus, tmp_path):
    """Layers along x conduct the arithmetic mean, across the harmonic; a board the geometric mean."""
    np.save(tmp_path / "layers.npy", LAYERS)
    Image.fromarray(255 * checkerboard(4)).save(tmp_path / "board.png")
    code, out, _ = janus(
        "homogenize", tmp_path / "layers.npy", tmp_path / "board.png", "--conductivity", "0.1,1.0", "--json"
    )
    report = json.loads(out)
    assert code == 0
    assert report["schema_version"] == 1
    layers, board = report["results"]
    assert layers["size"] == [16, 16]
    assert layers["kxx"] == pytest.approx(0.55, rel=1e-10)
    assert layers["kyy"] == pytest.approx(2 / 11, rel=1e-10)
    assert board["kxx"] == pytest.approx(0.1**0.5, rel=1e-8)
    assert board["kxx_lower"] < board["kxx"] < board["kxx_upper"]
    assert set(layers) >= {"file", "volume_fraction", "kxx_fv", "kyy_fv", "flux_imbalance", "solver", "seconds"}


def test_homogenize_periodic_volume_and_auto(janus, tmp_path):
    """A stack under a periodic boundary: six conductivities and the Loewner bracket; auto says what it picked."""
    volume = np.broadcast_to((np.arange(6) % 2)[:, None, None], (6, 6, 6)).astype(np.uint8)
    np.save(tmp_path / "stack.npy", volume)
    options = ["--conductivity", "1,10", "--boundary", "periodic", "--solver", "auto", "--json"]
    code, out, err = janus("homogenize", tmp_path / "stack.npy", *options)
    (row,) = json.loads(out)["results"]
    assert code == 0
    assert "solver auto: batched" in err
    assert (row["solver"], row["boundary"], row["size"]) == ("batched", "periodic", [6, 6, 6])
    assert [row["kxx"], row["kyy"], row["kzz"]] == pytest.approx([5.5, 5.5, 20 / 11], rel=1e-8)
    assert [row["kxy"], row["kxz"], row["kyz"]] == pytest.approx([0, 0, 0], abs=1e-8)
    assert np.shape(row["bracket"]["lower"]) == (3, 3)


def test_homogenize_certify(janus, tmp_path):
    """Refined to the half-width asked for, or told why not; in JSON and in words."""
    np.save(tmp_path / "image.npy", generate(1, 24, seed=5)[0])
    np.save(tmp_path / "board.npy", checkerboard(12))
    files = [tmp_path / "image.npy", tmp_path / "board.npy"]
    options = ["--conductivity", "1,1000", "--solver", "direct", "--certify", "0.03"]
    code, out, _ = janus("homogenize", *files, *options, "--json")
    image, board = json.loads(out)["results"]
    assert code == 0
    assert image["certified"]
    assert image["refinement"] > 1
    assert (image["kxx_upper"] - image["kxx_lower"]) / (2 * image["kxx"]) <= 0.03
    assert not board["certified"]
    assert "corners" in board["reason"]
    code, _, err = janus("homogenize", files[1], *options)
    assert code == 0
    assert "board.npy: not certified to 0.03" in err


def mapping_of(row):
    return [(r["stored"], r["label"], r["conductivity"], r["pixels"]) for r in row["mapping"]]


def test_the_mapping_is_told(janus, tmp_path):
    """Stored value -> label -> conductivity with its pixels: in JSON by file, for people once for files alike."""
    Image.fromarray(LAYERS * 200).save(tmp_path / "grey.png")
    np.save(tmp_path / "labels.npy", LAYERS)
    np.save(tmp_path / "zeros.npy", LAYERS * 0)
    files = [tmp_path / name for name in ("grey.png", "labels.npy", "zeros.npy")]
    options = ["--conductivity", "0.1,1.0", "--solver", "direct"]
    grey, labels, zeros = json.loads(janus("homogenize", *files, *options, "--json")[1])["results"]
    assert mapping_of(grey) == [(0, 0, 0.1, 128), (200, 1, 1.0, 128)]
    assert mapping_of(labels) == [(0, 0, 0.1, 128), (1, 1, 1.0, 128)]
    assert mapping_of(zeros) == [(0, 0, 0.1, 256), (1, 1, 1.0, 0)]
    code, out, _ = janus("homogenize", *files, *options)
    table = [line.split()[:4] for line in out.splitlines()[:5]]
    assert code == 0
    assert table == [
        ["stored", "label", "conductivity", "pixels"],
        *(["0", "0", "0.1", "128"], ["200", "1", "1", "128"], ["0", "0", "0.1", "384"], ["1", "1", "1", "128"]),
    ]
    assert f"{files[1]} and 1 more" in out
    code, out, _ = janus("import", *files, *options, "--out", tmp_path / "d.h5", "--json")
    assert [one["file"] for one in json.loads(out)["images"]] == [str(file) for file in files]
    assert mapping_of(json.loads(out)["images"][0]) == mapping_of(grey)
    code, out, _ = janus("import", *files, *options, "--out", tmp_path / "e.h5")
    assert [line.split()[:4] for line in out.splitlines()[:5]] == table


def test_white_is_zero_and_a_mask_in_alpha(janus, tmp_path):
    """The kxx of layers is that of label 1 = 1 in each of them, and so it is said."""
    for dtype in (bool, np.uint8, np.uint16):
        tifffile.imwrite(tmp_path / f"{np.dtype(dtype)}.tif", LAYERS.astype(dtype)[:12], photometric="miniswhite")
    Image.fromarray(np.dstack([LAYERS * 0] * 3 + [LAYERS * 255])[:12]).save(tmp_path / "mask.png")
    files = sorted(tmp_path.iterdir())
    code, out, _ = janus("homogenize", *files, "--conductivity", "1,10", "--solver", "direct", "--json")
    assert code == 0
    for row in json.loads(out)["results"]:
        assert row["kxx"] == pytest.approx(5.5, rel=1e-10)
        assert [r["stored"] for r in row["mapping"]] == ([0, 255] if row["file"].endswith(".png") else [0, 1])


def test_more_labels_than_a_byte_holds(janus, tmp_path):
    """324 phases by the command are 324 phases; a dataset says that it holds 256."""
    np.save(tmp_path / "many.npy", np.arange(324).reshape(18, 18))
    kappa = ",".join(f"{1 + i / 10:.1f}" for i in range(324))
    code, out, _ = janus("homogenize", tmp_path / "many.npy", f"--conductivity={kappa}", "--solver", "direct", "--json")
    (row,) = json.loads(out)["results"]
    assert code == 0
    assert row["kxx"] == pytest.approx(
        DirectHomogenizer()(np.arange(324).reshape(18, 18), 1 + np.arange(324) / 10).k[0]
    )
    assert row["kxx"] > 10
    assert mapping_of(row)[-1] == (323, 323, 33.3, 1)
    result = janus("import", tmp_path / "many.npy", f"--conductivity={kappa}", "--out", tmp_path / "d.h5")
    refused(result, 2, "many.npy: label 323", "labels 0 to 255")
    assert not (tmp_path / "d.h5").exists()


def test_generate_and_import(janus, tmp_path, data):
    samples = dataset.read(data / "d.h5")
    assert len(samples) == 120
    assert samples.simulated.sum() == 20
    row = samples.properties_fv[3]
    kappa = np.array([0.1, 1.0])[samples.image[3]]
    assert row[:2] == pytest.approx([direct_conductivity(kappa), direct_conductivity(kappa.T)], rel=1e-8)
    for i, image in enumerate(samples.image[:2]):
        np.save(tmp_path / f"{i}.npy", image)
    code, out, _ = janus("import", tmp_path / "0.npy", tmp_path / "1.npy", "--out", tmp_path / "i.h5", "--json")
    assert (code, json.loads(out)["simulated"]) == (0, 2)
    np.testing.assert_allclose(dataset.read(tmp_path / "i.h5").properties, samples.properties[:2], rtol=1e-12)


def test_evaluate_json(janus, data):
    test = data / "test.h5"
    assert janus("generate", "--count", 8, "--size", 16, "--test", "--out", test)[0] == 0
    code, out, _ = janus("evaluate", data / "model", test, "--json")
    report = json.loads(out)
    assert code == 0
    assert set(report["properties"]["kxx"]) == {"r2", "relative_error_mean", "relative_error_median"}
    assert 0 < report["pixel_mae"] < 0.5


def test_invert_json(janus, data, tmp_path):
    """What it says of a candidate is what a solve of our own says of its image; exit 3 unless all wanted are met."""
    out = tmp_path / "out"
    code, text, _ = janus("invert", data / "model", "--target", "kxx=0.3", "--count", 3, "--out", out, "--json")
    report = json.loads(text)
    met = [c["met"] for c in report["candidates"]]
    assert code == (0 if sum(met) == 3 else 3)
    assert report["passes"] == 60
    assert report["candidates"]
    assert sum(report["passed_over"].values()) + len(met) <= report["inversions"] == 6
    for candidate in report["candidates"]:
        image = np.load(candidate["image"])
        k_fv = direct_conductivity(np.array([0.1, 1.0])[image])
        assert candidate["final"]["kxx_fv"] == pytest.approx(k_fv, rel=1e-8)
        assert candidate["met"] == (0.297 <= candidate["final"]["kxx"] <= 0.303)
        if candidate["verdict"] == "confirmed":
            certified = candidate["certificate"]["properties"]
            assert 0.297 <= certified["kxx_lower"] <= certified["kxx_upper"] <= 0.303
        assert 1 <= candidate["simulations"] <= 5


def test_invert_exits_0_when_all_wanted_are_met_and_3_when_not(janus, data, tmp_path):
    """A wide target is met at once; a value that no simulation hits to 1e-9 is not. Both name the volume fraction."""
    wide = ["invert", data / "model", "--count", 1, "--swarm", 4, "--target", "kxx=0.2..0.5", "--out", tmp_path / "a"]
    code, text, err = janus(*wide)
    assert code == 0, err
    header, row = (line.split() for line in text.splitlines())
    ends = ["kxx_lower", "kxx_upper", "to_limit"]
    assert header == ["image", "kxx", "volume_fraction", *ends, "likeness", "p_hit", "simulations", "met", "verdict"]
    assert float(row[2]) == pytest.approx(np.load(row[0]).mean(), rel=1e-4)
    exact = ["invert", data / "model", "--count", 1, "--swarm", 4, "--target", "kxx=0.3", "--tolerance", "1e-9"]
    code, text, _ = janus(*exact, "--refine-steps", 1, "--out", tmp_path / "b")
    assert (code, text.splitlines()[1].split()[-2:]) == (3, ["no", "-"])


def test_invert_for_the_most_of_something(janus, data, tmp_path):
    """It spends what it was given; what meets all else comes first, however far beyond that others are.

    Of the shapes, 230 of 256 pixels each, the layers across the flow alone conduct less than 0.65: 0.617.
    """
    words = ["--target", "max kxx", "--target", "kxx=0.5..0.65", "--count", 1, "--swarm", 1, "--refine-steps", 0]
    code, text, err = janus("invert", data / "model", *words, "--out", tmp_path / "a", "--json")
    report = json.loads(text)
    (found,) = report["candidates"]
    assert (code, found["met"], found["simulations"]) == (0, True, 1), err
    assert (report["inversions"], report["shapes"]) == (1, 5)


def of_other_phases(model, copy, conductivity):
    """A model as version 1 has it, without checksums, that says other conductivities."""
    shutil.copytree(model, copy)
    about = json.loads((copy / "model.json").read_text())
    about["card"] |= {"phase_conductivity": conductivity, "boundary": about["card"].pop("material")["boundary"]}
    (copy / "model.json").write_text(json.dumps(about | {"version": 1}))
    return copy


def test_invert_says_how_many_met(janus, data, tmp_path):
    """In words beside exit code 3, also of candidates whose simulation is refused, here for their contrast."""
    words = ["--target", "kxx=0.3", "--tolerance", "1e-9", "--count", 1, "--swarm", 4, "--refine-steps", 0, "--out"]
    code, _, err = janus("invert", data / "model", *words, tmp_path / "a")
    assert code == 3
    assert "0 of 1 candidates meet it by simulation; " in err
    model = of_other_phases(data / "model", tmp_path / "model", [1e-9, 1.0])
    code, out, err = janus("invert", model, *words, tmp_path / "b", "--json")
    assert code == 3
    assert [c["met"] for c in json.loads(out)["candidates"]] == [None]
    assert "0 of 1 candidates meet it by simulation (1 could not be simulated); " in err


def test_invert_advises_what_helps():
    """More steps where a candidate missed; not where its value is met and its interval does not say so."""

    def said(*candidates):
        met = sum(verdict == "confirmed" for _, verdict in candidates)
        return _shortfall([{"met": m, "verdict": verdict} for m, verdict in candidates], met)

    help_ = "a larger --swarm or a wider target may help"
    missed = said((True, "confirmed"), (False, None))
    assert missed == f"1 of 2 candidates meet it by simulation; more --refine-steps, {help_}"
    doubtful = said((True, "confirmed"), (True, "undecided"), (True, "refuted"), (None, None))
    notes = "1 could not be simulated, 2 by value and not by interval"
    assert doubtful == f"1 of 4 candidates meet it by simulation ({notes}); {help_}"
    assert "more --refine-steps" in said((True, "undecided"), (False, None))


def test_invert_tells_the_interval_of_a_ratio():
    """From the certified ends of both, where there are any; the value stays the simulated one."""
    final = {"kxx": 4.0, "kyy": 2.0, "E11": 1.0, "volume_fraction": 0.5}
    ends = {"kxx_lower": 3.0, "kxx_upper": 5.0, "kyy_lower": 1.0, "kyy_upper": 4.0}
    assert _figures({"final": final | ends}, ["kxx/kyy"]) == [2.0, 0.5, 0.75, 5.0]
    refined = {"certificate": {"properties": {"kxx": 4.1, "kxx_lower": 3.5, "kyy_upper": 2.5}}}
    assert _figures({"final": final | ends, **refined}, ["kxx/kyy", "kxx"]) == [2.0, 4.0, 0.5, 1.4, 5.0, 3.5, 5.0]
    assert _figures({"final": final}, ["kxx/kyy", "E11"]) == [2.0, 1.0, 0.5, None, None, None, None]
    foretold = {"predicted": final, "interval": {"kxx": [3.0, 5.0], "kyy": [1.0, 4.0]}}
    assert _figures(foretold, ["kxx/kyy", "kxx"]) == [2.0, 4.0, 0.5, None, None, 3.0, 5.0]


def test_invert_without_simulation(janus, data, tmp_path):
    words = ["invert", data / "model", "--target", "kxx>=0.2", "--count", 2, "--out", tmp_path, "--no-simulate"]
    code, text, _ = janus(*words, "--json")
    found = json.loads(text)["candidates"]
    assert code == (0 if len(found) == 2 else 3)
    assert [c["simulations"] for c in found] == [0] * len(found)


def test_invert_says_why_it_found_nothing(janus, data, tmp_path):
    """With phases that no prediction fits, all fall to the bounds, and are said to, by number."""
    model = of_other_phases(data / "model", tmp_path / "model", [10.0, 100.0])
    words = ["invert", model, "--target", "kxx=30", "--count", 2, "--out", tmp_path / "out", "--no-simulate"]
    code, text, err = janus(*words, "--json")
    fell = json.loads(text)["passed_over"]
    assert (code, sum(fell.values())) == (3, 4)
    assert set(fell) <= {"predicted beyond what is possible", "of one phase only"}
    named = ", ".join(f"{number} {reason}" for reason, number in fell.items())
    assert f"only 0 of 2 found: of 4 inversions {named}; a larger --swarm tries more\n" in err


# --- bad input: exit 2, one sentence, nothing written


def refused(result, code, *words):
    assert result[0] == code, result
    assert result[1] == ""
    lines = [line for line in result[2].splitlines() if line.strip()]
    assert len(lines) == 1
    for word in words:
        assert word in lines[0]


def test_images_that_are_refused(janus, tmp_path):
    conductivity = ["--conductivity", "0.1,1.0"]
    refused(janus("homogenize", tmp_path / "none.npy", *conductivity), 2, "none.npy", "no such file")
    grey = np.zeros((8, 8), np.uint8)
    grey[2], grey[5] = 100, 200
    Image.fromarray(grey).save(tmp_path / "grey.png")
    refused(janus("homogenize", tmp_path / "grey.png", *conductivity), 2, "3 grey levels", "2 phase conductivities")
    np.save(tmp_path / "three.npy", (np.arange(64) % 3).reshape(8, 8))
    refused(janus("homogenize", tmp_path / "three.npy", *conductivity), 2, "labels 0..2", "label i needs entry i")
    out = tmp_path / "out.h5"
    refused(janus("import", tmp_path / "three.npy", "--out", out), 2, "labels 0..2")
    assert not out.exists()


@pytest.mark.parametrize("conductivity", ["0,1", "-0.1,1", "nan,1", "a,b", "0.1"])
def test_conductivities_that_are_refused(janus, tmp_path, conductivity):
    np.save(tmp_path / "layers.npy", LAYERS)
    refused(janus("homogenize", tmp_path / "layers.npy", f"--conductivity={conductivity}"), 2)


@pytest.mark.parametrize("command", ["homogenize", "import"])
def test_commas_as_decimal_marks(janus, tmp_path, command):
    """1,5 and 2,5 are four conductivities, of which two are spare; where no comma can mark decimals, it is told."""
    np.save(tmp_path / "layers.npy", LAYERS)
    np.save(tmp_path / "three.npy", np.pad(LAYERS[1:], ((0, 1), (0, 0)), constant_values=2))
    words = [command, tmp_path / "layers.npy", "--solver", "direct"]
    out = ["--out", tmp_path / "d.h5"] if command == "import" else []
    result = janus(*words, *out, "--conductivity", "1,5,2,5")
    refused(result, 2, "'1,5,2,5' has 4 values", "no image has labels 2 to 3", "decimals with a point")
    for listed in ("1,5,2", "1,5,2.5", "1.5,2,5"):
        refused(janus(*words, *out, "--conductivity", listed), 2, "3 values", "no image has label 2;")
    assert not (tmp_path / "d.h5").exists()
    code, _, err = janus(*words, *out, "--conductivity", "1.0,5,2e0")
    assert (code, "3 values, but no image has label 2" in err) == (0, True)
    out = ["--out", tmp_path / "e.h5"] if command == "import" else []
    code, _, err = janus(*words, tmp_path / "three.npy", *out, "--conductivity", "1,5,2")
    assert (code, "no image" in err) == (0, False)


def test_unreadable_images_are_named_together(janus, tmp_path):
    np.save(tmp_path / "layers.npy", LAYERS)
    (tmp_path / "a.tif").write_bytes(b"II*\0")
    files = [tmp_path / name for name in ("layers.npy", "a.tif", "none.png")]
    result = janus("homogenize", *files, "--conductivity", "0.1,1.0")
    refused(result, 2, "a.tif: not a readable picture", f"refused as well: {files[2]}")


def test_invert_draws_larger_images(janus, tmp_path, data):
    words = ["invert", data / "model", "--target", "kxx=0.3", "--tolerance", "0.03", "--count", 2]
    refused(
        janus(*words, "--size", 40, "--out", tmp_path / "i"), 2, "size 40 x 40: this network draws 16 x 16, or whole"
    )
    assert not (tmp_path / "i").exists()
    code, out, _ = janus(*words, "--size", 32, "--out", tmp_path / "i", "--json")
    assert code == 0
    for found in json.loads(out)["candidates"]:
        image = np.load(found["image"])
        assert image.shape == (32, 32)
        assert found["final"]["kxx"] == pytest.approx(FipyHomogenizer()(image, (0.1, 1.0)).k[0])
        assert found["met"]


def test_a_model_wants_images_of_its_size(janus, tmp_path, data):
    np.save(tmp_path / "oblong.npy", generate(1, 32, 0)[0][:7])
    assert janus("import", tmp_path / "oblong.npy", tmp_path / "oblong.npy", "--out", tmp_path / "o.h5")[0] == 0
    refused(janus("evaluate", data / "model", tmp_path / "o.h5"), 2, "7 x 32 pixels", "wants 16 x 16")
    refused(janus("evaluate", data / "model", data / "d.h5"), 2, "120 of 120 test images", "has not seen")
    refused(janus("train", tmp_path / "o.h5", "--out", tmp_path / "m"), 2, "7 x 32 pixels", "sides of at least 8")
    assert not (tmp_path / "m").exists()


def test_an_unreachable_target_costs_nothing(janus, tmp_path, data):
    result = janus("invert", data / "model", "--target", "kxx=3", "--out", tmp_path / "x")
    refused(result, 2, "out of reach", "0.1..1")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (("kxx = { value = 0.3", "kxx = { value = 3.0"), 2, "out of reach"),
        (("candidates = 3", "candidate = 3"), 2, "loop.candidate: unknown key"),
        (("[dataset.generate]\ncount = 120\nsimulated = 20", '[dataset]\nsource = "none.h5"'), 2, "no such file"),
    ],
)
def test_configurations_that_are_refused(janus, tmp_path, change, code, words):
    from pathlib import Path

    path = tmp_path / "c.toml"
    path.write_text(Path(__file__).with_name("small.toml").read_text().replace(*change))
    refused(janus("campaign", "run", path, "--dir", tmp_path / "c"), code, words)
    assert not (tmp_path / "c").exists()


def test_damaged_data_is_exit_4(janus, tmp_path, data):
    path = tmp_path / "cut.h5"
    path.write_bytes((data / "d.h5").read_bytes()[:-2000])
    refused(janus("evaluate", data / "model", path), 4, "cut.h5", "damaged")
    refused(janus("train", path, "--out", tmp_path / "m"), 4, "damaged")
    assert not (tmp_path / "m").exists()


def test_no_campaign_there(janus, tmp_path):
    for command in ("status", "report", "resume", "sync"):
        refused(janus("campaign", command, tmp_path / "none"), 2, "no campaign here")


def test_periodic_data_train_a_circular_network_and_are_answered_periodically(janus, tmp_path):
    data, model = tmp_path / "d.h5", tmp_path / "model"
    periodic = ["--boundary", "periodic", "--solver", "direct"]
    code, _, words = janus("generate", "--count", 12, "--simulated", 8, "--size", 16, *periodic, "--out", data)
    assert code == 0, words
    samples = dataset.read(data)
    assert samples.boundary == "periodic"
    settings = ["steps=20", "batch=8", "simulated=4", "cycled=4"]
    code, _, words = janus("train", data, "--out", model, *(w for s in settings for w in ("--set", f"training.{s}")))
    assert code == 0, words
    assert json.loads((model / "model.json").read_text())["network"]["padding"] == "circular"
    _, card = checkpoint.load(model)
    with open_executor("process", 1) as executor:
        answers = physics_of(card.material, Execution(executor, cached=True))(list(samples.image[8:]))
    for image, result in zip(samples.image[8:], answers, strict=True):
        k = [DirectHomogenizer(b)(image, (0.1, 1.0)).k[0] for b in ("periodic", "dirichlet")]
        assert result.values["kxx"] == pytest.approx(k[0], rel=1e-8)
        assert result.values["kxx"] != pytest.approx(k[1], rel=1e-4)
    code, _, words = janus("generate", "--count", 2, "--boundary", "open", "--out", tmp_path / "e.h5")
    assert (code, "boundary 'open': it must be dirichlet or periodic" in words) == (2, True)


def test_more_memory_than_there_is_is_a_sentence(tmp_path, janus):
    code, out, err = janus("generate", "--count", 10**6, "--size", 1024, "--simulated", 0, "--out", tmp_path / "d.h5")
    assert (code, out, list(tmp_path.iterdir())) == (2, "", [])
    assert err.startswith("janus-al: 1000000 images of 1024 x 1024, 0 simulated: about 1953 GiB of memory, and this")
    assert err.endswith("; take fewer or smaller images, or a larger machine\n")
