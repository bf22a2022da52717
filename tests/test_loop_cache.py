"""The cache of simulations: bit-equal to fresh ones, never believed when damaged, unknown to campaigns."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from janus_al import dataset
from janus_al.material import conduction
from loop.campaign.opening import start
from loop.campaign.toml import load_config
from loop.simulation.cache import Cache, open_cache
from loop.simulation.executors import open_executor
from loop.simulation.progress import Progress
from loop.simulation.simulate import Execution, simulate
from simulators import SOLVERS, Conductivity, DirectHomogenizer, generate

PHASES = (0.1, 1.0)
MATERIAL = conduction(PHASES)
DIRECT = Conductivity("dirichlet", PHASES, "direct")
IMAGES = generate(4, 16, 0)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache of this test's own."""
    monkeypatch.setenv("JANUS_AL_CACHE", str(tmp_path / "cache"))
    return opened("direct")


def opened(solver, phases=PHASES, boundary="dirichlet"):
    """The user's cache of one question."""
    return open_cache(conduction(phases).physics[0], boundary, solver)


def entries(cache):
    return sorted(cache.folder.glob("*"))


def assert_same(found, wanted):
    """Equal bit by bit, and of the same types."""
    for field in dataclasses.fields(wanted):
        a, b = getattr(found, field.name), getattr(wanted, field.name)
        assert type(a) is type(b), field.name
        if field.name == "sensitivity":
            assert a.keys() == b.keys()
            pairs = [(a[n], b[n]) for n in b]
            assert all((x.dtype, x.shape, x.tobytes()) == (y.dtype, y.shape, y.tobytes()) for x, y in pairs)
        elif field.name == "bracket" and b is not None:
            assert [(x.shape, x.tobytes()) for x in a] == [(x.shape, x.tobytes()) for x in b]
        else:
            assert a == b, field.name
            assert not isinstance(b, dict) or [type(v) for v in a.values()] == [type(v) for v in b.values()]


@pytest.mark.parametrize("boundary", ["dirichlet", "periodic"])
@pytest.mark.parametrize("solver", ["fipy", "direct"])
def test_results_come_back_bit_by_bit(tmp_path, boundary, solver):
    cache, result = Cache(tmp_path, "q"), Conductivity(boundary, PHASES, solver)(IMAGES[0])
    assert result.sensitivity
    assert result.lower
    assert cache.get(IMAGES[0]) is None
    cache.put(IMAGES[0], result)
    assert_same(cache.get(IMAGES[0]), result)
    assert cache.get(IMAGES[1]) is None
    assert cache.get(IMAGES[0].reshape(8, 32)) is None


def test_every_part_of_the_question_counts(cache):
    questions = [
        opened(s, p, b).question
        for p in (PHASES, (0.1, np.nextafter(1.0, 2)), (1.0, 0.1))
        for s in ("direct", "fipy", "batched")
        for b in ("dirichlet", "periodic")
    ]
    assert len(set(questions)) == 18


def test_a_damaged_entry_is_dropped(cache):
    """Any flipped bit, any cut, and a sound entry under another's name."""
    result, rng = DIRECT(IMAGES[0]), np.random.default_rng(0)
    cache.put(IMAGES[0], result)
    (path,) = entries(cache)
    whole = path.read_bytes()
    damaged = [whole[:n] for n in (0, 10, 32, 33, len(whole) - 1)]
    for bit in rng.integers(0, 8 * len(whole), 100):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << (bit % 8)
        damaged.append(bytes(flipped))
    for data in damaged:
        path.write_bytes(data)
        assert cache.get(IMAGES[0]) is None
        assert not path.exists()
    cache.put(IMAGES[0], result)
    cache.put(IMAGES[1], DIRECT(IMAGES[1]))
    first, second = entries(cache)
    first.write_bytes(second.read_bytes())
    assert sorted(cache.get(i) is None for i in IMAGES[:2]) == [False, True]


def test_only_the_newest_are_kept_and_nothing_else_is_removed(tmp_path):
    import os

    cache, result = Cache(tmp_path, "q"), DIRECT(IMAGES[0])
    for number, image in enumerate(IMAGES):
        cache.put(image, result)
        os.utime(cache._path(image), (number, number))
    (tmp_path / "notes.txt").write_bytes(bytes(10**6))
    size = cache._path(IMAGES[0]).stat().st_size
    assert cache.get(IMAGES[0]) is not None, "used last, and so kept"
    dataclasses.replace(cache, limit=2 * size).prune()
    assert [cache.get(i) is not None for i in IMAGES] == [True, False, False, True]
    assert (tmp_path / "notes.txt").exists()


def test_many_processes_at_once(tmp_path):
    """Writers, readers and removers of the same entries disturb nobody."""
    code = """
import sys; import numpy as np; from pathlib import Path
from loop.simulation.cache import Cache; from simulators import Conductivity
images = [np.eye(8, dtype=int) * (np.arange(8) < n) for n in range(1, 6)]
results = [Conductivity("dirichlet", (0.1, 1.0), "direct")(i) for i in images]
cache = Cache(Path(sys.argv[1]), "q", limit=20_000)
for _ in range(20):
    for image, result in zip(images, results):
        cache.put(image, result)
        found = cache.get(image)
        assert found is None or all((found.sensitivity[n] == result.sensitivity[n]).all() for n in ("kxx", "kyy"))
    cache.prune()
"""
    command = [sys.executable, "-P", "-c", code, str(tmp_path)]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    assert [(p.communicate()[1], p.returncode) for p in processes] == [("", 0)] * 3
    assert not list(tmp_path.glob("*.tmp"))


def test_an_image_is_paid_for_once(cache, monkeypatch):
    """The second time no task is sent; without a cache, or with one that cannot be written, all are."""
    with open_executor("process", 1) as executor:
        execution = Execution(executor, "direct", cached=True)
        fresh = list(simulate(IMAGES, MATERIAL, execution))
        assert len(entries(cache)) == 4
        sent, submit = [], executor.submit
        monkeypatch.setattr(executor, "submit", lambda *a: sent.append(a) or submit(*a))
        for found, wanted in zip(simulate(IMAGES, MATERIAL, execution), fresh, strict=True):
            assert_same(found, wanted)
        assert sent == []
        (cache.folder / "x").touch()
        for count, uncached in enumerate([dataclasses.replace(execution, cached=False), execution], start=1):
            assert [r.values for r in simulate(IMAGES, MATERIAL, uncached)] == [r.values for r in fresh]
            assert len(sent) == count
            monkeypatch.setenv("JANUS_AL_CACHE", str(cache.folder / "x"))


def test_switched_off(monkeypatch, tmp_path):
    monkeypatch.setenv("JANUS_AL_CACHE", "")
    assert opened("direct") is None
    monkeypatch.delenv("JANUS_AL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert opened("direct").folder == tmp_path / "janus-al" / "simulations"


def test_a_result_reaches_from_one_command_to_the_others(cache, janus, tmp_path):
    """generate pays; import and homogenize do not, as the seconds of the first solve show."""
    fast = ["--solver", "direct", "--workers", 1]
    assert janus("generate", "--count", 3, "--size", 16, "--out", tmp_path / "d.h5", *fast)[0] == 0
    samples = dataset.read(tmp_path / "d.h5")
    files = []
    for number, image in enumerate(samples.image):
        files.append(tmp_path / f"{number}.npy")
        np.save(files[-1], image)
    assert janus("import", *files, "--out", tmp_path / "i.h5", *fast)[0] == 0
    assert dataset.read(tmp_path / "i.h5").meta["seconds"].tolist() == samples.meta["seconds"].tolist()
    code, out, _ = janus("homogenize", *files, "--conductivity", "0.1,1.0", "--json", *fast)
    rows = json.loads(out)["results"]
    assert code == 0
    assert [r["seconds"] for r in rows] == samples.meta["seconds"].tolist()
    assert [r["kxx"] for r in rows] == samples.properties[:, 0].tolist()


def test_unreadable_images_are_all_named_before_anything_is_paid(cache, janus, tmp_path):
    for number in range(3):
        np.save(tmp_path / f"good-{number}.npy", IMAGES[number])
    (tmp_path / "text.npy").write_text("no image")
    np.save(tmp_path / "three.npy", np.arange(256).reshape(16, 16) % 3)
    np.save(tmp_path / "wide.npy", IMAGES[0].repeat(2, axis=1))
    good = sorted(tmp_path.glob("good-*.npy"))
    for command in ("import", "homogenize"):
        words = ["--out", tmp_path / "o.h5"] if command == "import" else []
        bad = [tmp_path / "text.npy", tmp_path / "three.npy"]
        code, out, err = janus(command, *good, *bad, "--conductivity", "0.1,1.0", *words)
        assert (code, out, len(err.splitlines())) == (2, "", 1)
        assert "text.npy: not a readable" in err
        assert "three.npy" in err
    code, _, err = janus("import", *good, tmp_path / "wide.npy", "--out", tmp_path / "o.h5")
    assert code == 2
    assert "wide.npy: (16, 32) pixels" in err
    assert entries(cache) == []
    assert not (tmp_path / "o.h5").exists()


class Refusing(DirectHomogenizer):
    """Direct, but for the image whose first label is 1."""

    def __call__(self, image, phases):
        from simulators import HomogenizationError

        if image[0, 0] == 1:
            raise HomogenizationError("no such thing")
        return super().__call__(image, phases)


def test_a_failed_image_loses_no_other(cache, janus, tmp_path, monkeypatch):
    """It is named by file, the rest is written, the command ends with 3; of nothing but failures, nothing."""

    class InThisProcess:
        """Tasks run where they are submitted, so that they find the homogenizer above."""

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def submit(self, fn, *args):
            from concurrent.futures import Future

            future = Future()
            future.set_result(fn(*args))
            return future

    import loop.simulation.executors

    monkeypatch.setattr(loop.simulation.executors, "open_executor", lambda *_: InThisProcess())
    monkeypatch.setitem(SOLVERS, "direct", Refusing)
    files = []
    for number, image in enumerate(IMAGES[:3]):
        files.append(tmp_path / f"{number}.npy")
        np.save(files[-1], np.where(np.indices((16, 16)).sum(axis=0) == 0, number == 1, image))
    fast = ["--solver", "direct", "--conductivity", "0.1,1.0", "--json"]
    out = tmp_path / "o.h5"
    code, text, err = janus("import", *files, "--out", out, *fast)
    assert code == 3
    assert f"{files[1]} was left out: no such thing" in err
    assert json.loads(text)["failed"] == [{"image": str(files[1]), "reason": "no such thing"}]
    assert dataset.read(out).image.tolist() == [np.load(files[0]).tolist(), np.load(files[2]).tolist()]
    code, text, err = janus("homogenize", *files, *fast)
    assert (code, [r["file"] for r in json.loads(text)["results"]]) == (3, [str(files[0]), str(files[2])])
    assert f"{files[1]} was left out: no such thing" in err
    for command in (["import", files[1], "--out", tmp_path / "p.h5"], ["homogenize", files[1]]):
        code, text, err = janus(*command, *fast)
        assert (code, text, "1.npy: no such thing" in err) == (2, "", True)
    assert not (tmp_path / "p.h5").exists()
    assert len(entries(cache)) == 2


def test_a_campaign_neither_reads_nor_fills_it(tmp_path, monkeypatch):
    """Its counts are the same whatever was simulated before."""
    monkeypatch.setenv("JANUS_AL_CACHE", str(tmp_path / "cache"))
    cache, images = opened("fipy"), generate(24, 16, 3)
    with open_executor("process", 1) as executor:
        cached = list(simulate(images[:10], MATERIAL, Execution(executor, cached=True)))
        before = {p: p.stat().st_mtime_ns for p in entries(cache)}
        assert len(before) == 10
        settings = ["budget.simulations=24", "loop.generator=lookup", "dataset.generate.count=24"]
        campaign = start(tmp_path / "c", load_config(Path(__file__).with_name("small.toml"), overrides=settings))
        campaign.run(executor, "cpu", Progress(), lambda: None)
    samples = campaign.ledger.samples()
    assert campaign.ledger.spent == samples.simulated.sum() == 24
    assert {image.tobytes() for image in images[:10]} <= {image.tobytes() for image in samples.image[samples.simulated]}
    assert not set(samples.meta["seconds"]) & {r.seconds for r in cached}
    assert {p: p.stat().st_mtime_ns for p in entries(cache)} == before
