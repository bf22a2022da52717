"""`janus-al doctor` finds what is broken, and says of the rest what is worth knowing."""

import json
import shutil
import sqlite3
from importlib import metadata

import pytest

from janus_al import shipped
from loop.studies import health


@pytest.fixture
def doctor(janus, monkeypatch, tmp_path):
    """Its exit code, and what it found by name; without the looks named, which take seconds."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def run(*looks):
        kept = {name: look for name, look in health.LOOKS.items() if name in looks}
        monkeypatch.setattr(health, "LOOKS", kept or health.LOOKS)
        code, out, _ = janus("doctor", "--json")
        report = json.loads(out)
        assert report["sound"] == (code == 0)
        assert not list(tmp_path.glob("campaigns/*.lock"))
        return code, {row["name"]: (row["state"], row["words"]) for row in report["findings"]}

    return run


def test_a_sound_installation(doctor, monkeypatch, tmp_path, janus):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    code, found = doctor()
    assert code == 0, found
    assert {state for state, _ in found.values()} <= {"ok", "note"}
    assert f"torch {metadata.version('torch')}" in found["libraries"][1]
    assert found["models"][1] == f"{', '.join(shipped.models())}: checksums right"
    assert found["physics"][1].startswith("a laminate by fipy (")
    assert found["mlflow"] == ("ok", f"{tmp_path}/campaigns/mlflow.db: made by the first campaign")
    assert not list(tmp_path.iterdir())


def test_a_damaged_model(doctor, monkeypatch, tmp_path):
    """One byte of the weights is another."""
    shutil.copytree(shipped.DATA / "janus-32", tmp_path / "data/janus-32")
    monkeypatch.setattr(shipped, "DATA", tmp_path / "data")
    assert doctor("models")[0] == 0
    weights = tmp_path / "data/janus-32/weights.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    code, found = doctor("models")
    assert (code, found["models"][0]) == (4, "broken")
    assert "weights.safetensors: lost or damaged" in found["models"][1]
    shutil.rmtree(tmp_path / "data/janus-32")
    assert doctor("models")[0] == 4


def test_a_solver_that_is_wrong(doctor, monkeypatch):
    """By one part in a million."""
    import simulators

    class Wrong(simulators.DirectHomogenizer):
        def __call__(self, image, phases):
            result = super().__call__(image, phases)
            return type("R", (), {"k": [k * (1 + 1e-6) for k in result.k]})

    monkeypatch.setitem(simulators.SOLVERS, "direct", Wrong)
    code, found = doctor("physics")
    assert (code, found["physics"][0]) == (2, "broken")
    assert "direct (1e-06 off)" in found["physics"][1]


@pytest.mark.parametrize(
    ("needed", "words"),
    [("numpy>=99", "is not >=99; pip install"), ("no-such-library>=1", "no-such-library is missing; pip install")],
)
def test_libraries_that_are_old_or_missing(doctor, monkeypatch, needed, words):
    optional = "another>=1; extra == 'pardiso'"
    monkeypatch.setattr(metadata, "requires", lambda _: ["numpy>=2", needed, optional])
    code, found = doctor("libraries")
    assert (code, found["libraries"][0]) == (2, "broken")
    assert words in found["libraries"][1]
    assert "another" not in found["libraries"][1]


def test_stores_of_mlflow(doctor, monkeypatch, tmp_path):
    """No server where one is named; a file that is no store, and one that is; the password stays unsaid."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9/")
    code, found = doctor("mlflow")
    assert (code, found["mlflow"][0]) == (2, "broken")
    assert found["mlflow"][1].startswith("http://127.0.0.1:9/: no answer (")
    assert "secret" not in found["mlflow"][1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/own.db")
    (tmp_path / "own.db").write_text("no database")
    code, found = doctor("mlflow")
    assert (code, found["mlflow"][0]) == (2, "broken")
    assert found["mlflow"][1].startswith(f"{tmp_path}/own.db: not a store of MLflow (file is not a database)")
    (tmp_path / "own.db").unlink()
    with sqlite3.connect(tmp_path / "own.db") as database:
        database.execute("CREATE TABLE runs (a)")
        database.execute("INSERT INTO runs VALUES (1)")
    assert doctor("mlflow") == (0, {"mlflow": ("ok", f"{tmp_path}/own.db: 1 runs")})


def test_disk_and_threads(doctor, monkeypatch, tmp_path):
    monkeypatch.setattr(health, "ROOM", 2**60)
    monkeypatch.setenv("JANUS_AL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    code, found = doctor("disk", "threads")
    assert (code, {name: state for name, (state, _) in found.items()}) == (
        0,
        {"cache": "note", "disk": "note", "threads": "note"},
    )
    assert found["cache"][1].startswith(f"{tmp_path}/cache/simulations: 0 MiB of simulations kept, ")
    assert "numpy takes all of them; export OMP_NUM_THREADS=1" in found["threads"][1]
    monkeypatch.setenv("JANUS_AL_CACHE", "")
    assert doctor("disk", "threads")[1]["cache"] == ("note", "switched off by JANUS_AL_CACHE")


def test_completion_knows_commands_and_options(janus, monkeypatch):
    for words, number, wanted in (
        ("janus-al cam", "1", "campaign"),
        ("janus-al invert --refine", "2", "--refine-steps"),
    ):
        monkeypatch.setenv("_JANUS_AL_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", number)
        _, out, _ = janus()
        assert out.split() == [wanted]
