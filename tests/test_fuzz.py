"""Files damaged at random: whatever is read ends well, or in one sentence with the exit code of bad input.

An input is a number: it seeds the kind of file, the file and its damage. To see one again:

    PYTHONPATH=tests python -c "import test_fuzz; print(test_fuzz.verdict(1234))"
"""

import copy
import gzip
import io
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import warnings
from functools import cache
from pathlib import Path

import h5py
import numpy as np
import pytest
from test_janus_al_dataset import some_samples
from test_loop_journal import EVENTS

from janus_al import checkpoint, dataset
from janus_al.material import conduction
from janus_al.networks.janus import JanusConfig
from janus_al.training import build
from loop.campaign.journal import Journal
from loop.campaign.toml import load_config, load_training
from loop.commands.main import _exit_code
from loop.studies.mnist import read_idx
from simulators import read_image

TESTS = Path(__file__).parent
SECONDS, MEMORY = 20, 2 * 2**30
"""an input may take, of which the time is kept by an alarm and the memory measured"""
PLAIN = np.array([True, -1, 0, 3, 0.5, 1e308, 10**30, "", "x", "../../x"], dtype=object)
VALUES = [None, True, -1, 0, 3, 0.5, 1e308, 10**30, float("nan"), "", "x", "kxx", "../../x", [], {}, [None], {"": []}]


def array_of(rng):
    shape = (*([3] if rng.random() < 0.3 else []), 8, 9)
    return rng.integers(0, 2, shape).astype(rng.choice(["u1", "i8", ">i4", "?", "f8"]))


def npy(rng, folder):
    buffer = io.BytesIO()
    np.save(buffer, array_of(rng))
    (folder / "a.npy").write_bytes(damaged(buffer.getvalue(), rng))
    read_image(folder / "a.npy", 2)


def png(rng, folder):
    from PIL import Image

    buffer = io.BytesIO()
    picture = Image.fromarray(rng.integers(0, 2, (8, 9)).astype(np.uint8) * 255)
    picture.convert(str(rng.choice(["L", "P", "RGB", "RGBA", "1", "LA", "I;16"]))).save(buffer, "PNG")
    (folder / "a.png").write_bytes(damaged(buffer.getvalue(), rng))
    read_image(folder / "a.png", 2)


def tif(rng, folder):
    from PIL import Image

    buffer = io.BytesIO()
    grey = rng.integers(0, 2, (8, 9)).astype(np.uint8) * 255
    mode = str(rng.choice(["L", "P", "RGB", "RGBA", "1", "I;16", "F"]))
    packing = str(rng.choice(["raw", "tiff_lzw", "tiff_deflate", "packbits"]))
    pages = [Image.fromarray(grey).convert(mode)] * int(rng.integers(1, 4))
    pages[0].save(buffer, "TIFF", compression=packing, save_all=True, append_images=pages[1:])
    (folder / "a.tif").write_bytes(damaged(buffer.getvalue(), rng))
    read_image(folder / "a.tif", 2)


def h5(rng, folder):
    """Half of them have another byte somewhere, half another column or attribute."""
    path = folder / "a.h5"
    path.write_bytes(valid("h5"))
    if rng.random() < 0.5:
        path.write_bytes(damaged(path.read_bytes(), rng))
    else:
        with h5py.File(path, "a") as file:
            name = str(
                rng.choice(["image", "properties", "properties_upper", "sensitivity", "meta/status", "meta/round"])
            )
            node = file if rng.random() < 0.4 else file[name]
            if rng.random() < 0.5 and len(node.attrs):
                key, value = str(rng.choice(list(node.attrs))), VALUES[rng.integers(len(VALUES))]
                try:
                    node.attrs[key] = value
                except (TypeError, ValueError, OverflowError):
                    del node.attrs[key]
            else:
                content, kind = file[name][()], str(rng.choice(["u1", "i8", ">f4", "f8", "S3", "?", "c8"]))
                del file[name]
                shape = tuple(np.maximum(0, np.array(content.shape) + rng.integers(-1, 2, content.ndim)))
                content = np.resize(content, shape if rng.random() < 0.5 else content.shape)
                with np.errstate(all="ignore"):
                    file[name] = content if content.dtype.kind == "S" else content.astype(kind)
    dataset.read(path)


def model(rng, folder):
    for name in ("model.json", "weights.safetensors"):
        (folder / name).write_bytes(valid(name))
    if rng.random() < 0.5:
        table = altered(json.loads(valid("model.json")), rng)
        (folder / "model.json").write_text(json.dumps(table))
    else:
        path = folder / str(rng.choice(["model.json", "weights.safetensors"]))
        path.write_bytes(damaged(path.read_bytes(), rng))
    checkpoint.load(folder)


def toml(rng, folder):
    """Lines of a campaign's configuration with other values, in another order, or with other bytes."""
    lines = (TESTS / "small.toml").read_bytes().splitlines()
    for _ in range(rng.integers(1, 3)):
        at = rng.choice([i for i, line in enumerate(lines) if b" = " in line])
        key = lines[at].partition(b" = ")[0]
        rare = rng.random() < 0.2
        value = str(rng.choice(["nan", "-inf", "9" * 5000, "[" * 3000])) if rare else json.dumps(rng.choice(PLAIN))
        lines[at] = key + b" = " + value.encode()
        if rng.random() < 0.1:
            lines.insert(at, lines[rng.integers(len(lines))])
    text = b"\n".join(lines)
    (folder / "a.toml").write_bytes(damaged(text, rng) if rng.random() < 0.3 else text)
    load_config(folder / "a.toml") if rng.random() < 0.8 else load_training(folder / "a.toml", [])


def journal(rng, folder):
    events = copy.deepcopy(EVENTS)
    at = int(rng.integers(len(events)))
    events[at] = altered(events[at], rng)
    if rng.random() < 0.3:
        events = [events[i] for i in rng.integers(len(events), size=len(events))]
    text = "".join(json.dumps(e) + "\n" for e in events).encode()
    (folder / "journal.jsonl").write_bytes(damaged(text, rng) if rng.random() < 0.5 else text)
    Journal(folder / "journal.jsonl")


def idx(rng, folder):
    sides = (28, 28) if rng.random() < 0.5 else ()
    content = np.zeros((3, *sides), np.uint8)
    raw = bytes([0, 0, 8, content.ndim]) + np.array(content.shape, ">u4").tobytes() + content.tobytes()
    path = folder / ("a.gz" if rng.random() < 0.5 else "a")
    raw = damaged(raw, rng) if rng.random() < 0.5 else raw
    path.write_bytes(damaged(gzip.compress(raw), rng) if path.suffix else raw)
    read_idx(path, sides)


KINDS = [npy, png, tif, h5, model, toml, journal, idx]


@cache
def valid(name):
    """The bytes of a dataset, or of a file of a model."""
    with tempfile.TemporaryDirectory() as folder:
        dataset.write(Path(folder, "h5"), some_samples(), "test")
        ranges = {"kxx": (0.2, 0.5), "kyy": (0.2, 0.5)}
        card = checkpoint.Card(conduction((0.1, 1.0)), "0" * 64, 4, {}, 1.0, [{"step": 1, "loss": 2.0}], ranges)
        checkpoint.save(Path(folder), build(JanusConfig(size=16, latent=4, channels=4, rank=2), 0), card)
        return Path(folder, name).read_bytes()


def damaged(data, rng):
    """One to four bytes, or numbers of up to eight, changed; a part cut off, out, in, or moved."""
    data = bytearray(data)
    for _ in range(rng.integers(1, 5)):
        at, how = int(rng.integers(len(data) + 1)), rng.random()
        length = int(rng.choice([1, 1, 1, 2, 4, 8]))
        if how < 0.7:
            filler = rng.choice([rng.bytes(length), b"\0" * length, b"\xff" * length, b"\x7f" + b"\xff" * (length - 1)])
            data[at : at + length] = bytes(filler).ljust(length, b"\0")
        elif how < 0.8:
            del data[at:]
        elif how < 0.9:
            del data[at : at + int(rng.integers(1, 64))]
        else:
            start = int(rng.integers(len(data) + 1))
            data[at:at] = data[start : start + int(rng.integers(1, 64))]
    return bytes(data)


def altered(table, rng):
    """A tree of JSON with one value of it replaced, removed, or under another name."""
    inner, key = {"": table}, ""
    whole = inner
    while isinstance(inner[key], dict | list) and len(inner[key]) and rng.random() < 0.85:
        inner = inner[key]
        key = rng.choice(list(inner)).item() if isinstance(inner, dict) else int(rng.integers(len(inner)))
    how = rng.random()
    if how < 0.7 or inner is whole:
        inner[key] = VALUES[rng.integers(len(VALUES))]
    elif how < 0.9 or isinstance(inner, list):
        inner.pop(key)
    else:
        inner["renamed"] = inner.pop(key)
    return whole[""]


def verdict(number, kind=None):
    """What is wrong with how an input was read, or None: an error of its own kind, on one line, without warnings."""
    rng = np.random.default_rng([number, 10])
    kind = kind or KINDS[number % len(KINDS)]
    folder = Path(tempfile.mkdtemp())
    try:
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            kind(rng, folder)
    except Exception as error:
        words = str(error)
        if _exit_code(error) not in {2, 4, 5} or len(words.splitlines()) != 1:
            return f"{kind.__name__} {number}: {type(error).__name__}: {words[:300]}"
    finally:
        shutil.rmtree(folder)
    said = [w.message for w in seen if not issubclass(w.category, DeprecationWarning | PendingDeprecationWarning)]
    return f"{kind.__name__} {number}: warned: {said[0]}" if said else None


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_damage_ends_in_a_sentence(kind):
    """A hundred inputs of each kind, in this process."""
    assert [wrong for number in range(100) if (wrong := verdict(number, kind))] == []


def work(start, stop):
    """Read inputs under limits of time and memory; say the number of each before, and what is wrong after."""
    for name in ("h5", "model.json"):
        valid(name)
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + 2 * MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    for number in range(start, stop):
        signal.alarm(SECONDS)
        print(number, flush=True)
        wrong = verdict(number)
        signal.alarm(0)
        taken = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base)
        if wrong or taken > MEMORY:
            sys.exit(f"{wrong or KINDS[number % len(KINDS)].__name__}, {taken / 1e6:.0f} MB")


@pytest.mark.slow
def test_ten_thousand_damaged_inputs():
    """None ends a process, takes 20 s or 2 GB, or says anything but its sentence; each worker reads on after one."""
    wrong, number, end = [], 0, 10_000
    while number < end:
        run = subprocess.run(
            [sys.executable, "-c", f"import test_fuzz; test_fuzz.work({number}, {end})"],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=False,
        )
        last = int(run.stdout.split()[-1])
        if run.returncode or run.stderr:
            wrong.append((last, run.returncode, run.stderr[-400:]))
        number = last + 1
    assert wrong == []
