"""IDX files, and the two commands that reproduce the paper, on very small data."""

import gzip
import json
import struct
import tracemalloc

import numpy as np
import pytest

from janus_al import checkpoint, dataset
from janus_al.digits.classes import Labelled
from janus_al.errors import DatasetError
from janus_al.evaluation import evaluate
from loop.studies.mnist import _trained, read_idx, read_mnist, training_config


def write_idx(path, array):
    raw = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)


@pytest.fixture
def digits(tmp_path):
    """Digits whose images are a bright row at the height of the digit; the training part is gzipped."""
    folder = tmp_path / "digits"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for part, n, end in (("train", 200, ".gz"), ("t10k", 100, "")):
        label = (np.arange(n) % 10).astype(np.uint8)
        image = rng.integers(20, size=(n, 28, 28)).astype(np.uint8)
        image[np.arange(n), 2 * label + 4] = 255
        write_idx(folder / f"{part}-images-idx3-ubyte{end}", image)
        write_idx(folder / f"{part}-labels-idx1-ubyte{end}", label)
    return folder


def test_idx_round_trip(tmp_path):
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    for name in ("plain", "zipped.gz"):
        write_idx(tmp_path / name, array)
        np.testing.assert_array_equal(read_idx(tmp_path / name, (3, 4)), array)


HEADER = struct.pack(">HBBI", 0, 8, 1, 9)
DAMAGED = {
    "empty": b"",
    "no lengths": b"\0\0\x08\x03",
    "no axes": b"\0\0\x08\0" + b"a",
    "short": HEADER + b"short",
    "long": HEADER + b"0123456789",
    "of floats": struct.pack(">HBBI", 0, 13, 1, 1) + b"abcd",
    "no entries": struct.pack(">HBBI", 0, 8, 1, 0),
    "too many entries": struct.pack(">HBBI", 0, 8, 1, 2**32 - 1) + b"abc",
    "entries of images": struct.pack(">HBB3I", 0, 8, 3, 1, 2, 2) + b"abcd",
}


@pytest.mark.parametrize("end", ["", ".gz"])
@pytest.mark.parametrize("raw", DAMAGED.values(), ids=DAMAGED.keys())
def test_damaged_idx(tmp_path, raw, end):
    path = tmp_path / f"file{end}"
    path.write_bytes(gzip.compress(raw) if end else raw)
    with pytest.raises(DatasetError, match=r"damaged \(.+\); fetch it again"):
        read_idx(path, ())


def test_damaged_gzip(tmp_path):
    """A byte changed anywhere, a file cut short, and text that calls itself gzip."""
    whole = gzip.compress(HEADER + b"012345678")
    cases = [whole[:i] + bytes([whole[i] ^ 0xFF]) + whole[i + 1 :] for i in range(10, len(whole))]
    cases += [whole[:20], b"no gzip", b""]
    for raw in cases:
        (tmp_path / "file.gz").write_bytes(raw)
        with pytest.raises(DatasetError, match="damaged"):
            read_idx(tmp_path / "file.gz", ())


@pytest.mark.parametrize("promise", [10, 2**32 - 1])
def test_a_gzip_that_expands_takes_no_memory(tmp_path, promise):
    """64 MB of zeros in 64 kB, behind a header that promises little, or much more."""
    raw = struct.pack(">HBB3I", 0, 8, 3, promise, 28, 28) + bytes(2**26)
    (tmp_path / "file.gz").write_bytes(gzip.compress(raw))
    tracemalloc.start()
    with pytest.raises(DatasetError, match="promises"):
        read_idx(tmp_path / "file.gz", (28, 28))
    assert tracemalloc.get_traced_memory()[1] < 2**22
    tracemalloc.stop()


def test_labels_that_are_no_digits(digits):
    """A label above 9, and a label too few, are named before any training."""
    path = digits / "t10k-labels-idx1-ubyte"
    label = (np.arange(100) % 10).astype(np.uint8)
    label[7] = 11
    write_idx(path, label)
    with pytest.raises(DatasetError, match=r"t10k-labels-idx1-ubyte: label 11 of image 7; a digit is one of 0\.\.9"):
        read_mnist(digits, "t10k")
    write_idx(path, label[:99])
    with pytest.raises(DatasetError, match="99 labels for 100 images"):
        read_mnist(digits, "t10k")


def test_read_mnist_limits_and_names_what_is_missing(digits, tmp_path):
    data = read_mnist(digits, "train", 30)
    assert data.image.shape == (30, 28, 28)
    assert data.label.tolist() == [i % 10 for i in range(30)]
    with pytest.raises(FileNotFoundError, match="t10k-images-idx3-ubyte: no such file, plain or"):
        read_mnist(tmp_path, "t10k")


@pytest.mark.slow
def test_reproduce_mnist(digits, tmp_path, janus):
    out = tmp_path / "out"
    command = ["reproduce", "mnist", "--data", str(digits), "--out", str(out), "--epochs", "1", "--json"]
    code, text, words = janus(*command)
    assert code == 0, words
    report = json.loads(text)
    assert report["images"] == {"train": 200, "test": 100}
    assert [run["epochs"] for run in report["runs"]] == [1]
    assert report["inversion"]["images"] == 100
    assert (out / "digits.png").read_bytes()[:4] == b"\x89PNG"
    again = json.loads(janus(*command)[1])
    assert again["runs"] == report["runs"], "a finished run is read, not repeated"
    code, _, words = janus(*command, "--batch", "50")
    assert (code, "began with another batch; give another --out" in words) == (2, True)
    code, _, words = janus(*command[:-3], "--epochs", "two")
    assert (code, "epochs 'two': give whole numbers" in words) == (2, True)


@pytest.mark.parametrize("text", ["null", '{"run": {}, "seconds": "long"}', '{"run": {'])
def test_a_damaged_run_is_refused(tmp_path, text):
    """What a finished run of `reproduce` left, read again."""
    (tmp_path / "run.json").write_text(text)
    data = Labelled(np.zeros((64, 28, 28), np.uint8), np.zeros(64, np.uint8))
    with pytest.raises(DatasetError, match=r"run\.json: damaged \(.+\); remove"):
        _trained(tmp_path, data, training_config(64, 1, 64), 0, "cpu", lambda *_: None)


def test_reproduce_microstructure(tmp_path, janus, monkeypatch):
    for name, number in {"TEST": 48, "PROBES": 12, "EACH": 2, "DIVERSE": 4}.items():
        monkeypatch.setattr(f"loop.studies.microstructure.{name}", number)
    small = ["--size", "16", "--count", "24", "--simulated", "12", "--contrast", "20", "--set", "network.media=2"]
    small += [
        w
        for k, v in {"steps": 20, "batch": 8, "simulated": 4, "cycled": 4}.items()
        for w in ("--set", f"training.{k}={v}")
    ]
    out = tmp_path / "out"
    code, text, words = janus("reproduce", "microstructure", "--out", str(out), *small, "--json")
    assert code == 0, words
    report = json.loads(text)
    assert report["trained"]["simulations"] == 12
    assert report["model"]["media"] == 2
    assert checkpoint.load(out / "model")[1].phase_conductivity == (0.1, 2.0)
    assert dataset.read(out / "test.h5").phase_conductivity == (0.1, 2.0)
    assert report["in_range"]["shots"] == 12
    sweep = report["sweep"]
    assert [row["in_range"] for row in sweep] == [False, *[True] * 5, False]
    assert [row["kxx"] for row in sweep] == sorted(row["kxx"] for row in sweep)
    for row in sweep:
        assert row["first_shot"]["max"] > 0
        assert row["simulations_mean"] >= 1
    assert len(report["traversal"]) == 9
    for name in ("curves", "sweep", "diversity", "traversal", "latent"):
        assert (out / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
    assert json.loads((out / "microstructure.json").read_text())["sweep"] == sweep
    code, _, words = janus("reproduce", "microstructure", "--count", "20", "--simulated", "30")
    assert (code, "--simulated 30: at most" in words) == (2, True)


def test_reproduce_volume(tmp_path):
    """A curve of one point a way and a campaign, on very small volumes: figures agree with the files they are of."""
    from loop.campaign.toml import load_training
    from loop.studies.data import Data
    from loop.studies.means import Means
    from loop.studies.volume import Course, reproduce_volume, rows

    small = ["dim=3", "size=16", "channels=4"]
    steps = ["steps=4", "batch=6", "simulated=4", "cycled=2"]
    network, training = load_training(None, [f"network.{s}" for s in small] + [f"training.{s}" for s in steps])
    course = Course((6,), test=4, probes=2, base=6, refine_steps=1, designs=1, budget=4)
    means, data = Means("cpu", 1, lambda *_: None), Data(10, 6, 16, dim=3)
    report = reproduce_volume(tmp_path, data, course, network, training, means)
    assert json.loads((tmp_path / "volume.json").read_text()) == json.loads(json.dumps(report))
    assert [row[:2] for row in rows(report["models"])] == [[6, "sensitivities"], [6, "labels"]]
    pool = dataset.read(tmp_path / "data.h5")
    assert pool.image.shape == (10, 16, 16, 16)
    assert pool.simulated.sum() == 6
    for model in report["models"]:
        trained, card = checkpoint.load(tmp_path / "models" / f"{model['way']}-6")
        assert trained.config.grid == (16, 16, 16)
        assert card.training["l_sens"] == (training.l_sens if model["way"] == "sensitivities" else 0)
        assert model["r2"] == min(
            p["r2"] for p in evaluate(trained, dataset.read(tmp_path / "test.h5"))["properties"].values()
        )
        assert sorted(model["met_after"]) == model["met_after"]
    wanted, column = report["campaign"]["target"], pool.column("kzz")[:6]
    assert wanted["kzz"]["value"] == pytest.approx(0.6 * np.median(column), rel=0.01)
    assert report["campaign"]["status"]["simulations"]["spent"] <= 4
    assert (tmp_path / "campaign" / "report.html").exists()
    assert reproduce_volume(tmp_path, data, course, network, training, means)["models"] == report["models"]
