"""IDX files, and the two commands that reproduce the paper, on very small data."""

import gzip
import json
import struct

import numpy as np
import pytest

from janus_al.dataset import DatasetError
from loop.mnist import read_idx, read_mnist


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
        np.testing.assert_array_equal(read_idx(tmp_path / name), array)


@pytest.mark.parametrize(
    "raw", [b"", b"\0\0\x08\x03", struct.pack(">HBBI", 0, 8, 1, 9) + b"short", struct.pack(">HBBI", 0, 9, 1, 1) + b"a"]
)
def test_damaged_idx(tmp_path, raw):
    (tmp_path / "file").write_bytes(raw)
    with pytest.raises(DatasetError, match="damaged"):
        read_idx(tmp_path / "file")


def test_read_mnist_limits_and_names_what_is_missing(digits, tmp_path):
    data = read_mnist(digits, "train", 30)
    assert data.image.shape == (30, 28, 28)
    assert data.label.tolist() == [i % 10 for i in range(30)]
    with pytest.raises(FileNotFoundError, match="t10k-images-idx3-ubyte: no such file, plain or"):
        read_mnist(tmp_path, "t10k")


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


def test_reproduce_microstructure(tmp_path, janus):
    small = ["--size", "16", "--count", "24", "--simulated", "12"]
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
    assert report["in_range"]["shots"] == 48
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
