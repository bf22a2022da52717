"""The wheel works without a checkout: it holds the models and examples, and commands find them from any folder."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from janus_al import checkpoint, dataset
from janus_al.shipped import DATA, EXAMPLES, examples, models, shipped

ROOT = Path(__file__).parents[1]
SOURCES = ("janus_al", "simulators", "loop", "data", "examples", "setup.py", "pyproject.toml", "README.md", "LICENSE")
MOST, MOST_DATASETS = 15e6, 2e6
"""bytes of the wheel without its datasets, and of these, at most"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy of the sources, so that no build folder stays in the checkout."""
    copy, out = tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        kind = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
        kind(ROOT / name, copy / name)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", out]
    subprocess.run([*pip, copy], check=True, capture_output=True)
    return next(out.glob("janus_al-*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Run a command of the wheel, or Python with it, in a folder of the test's; returns the finished process."""
    site = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", site]
    subprocess.run([*pip, wheel], check=True, capture_output=True)
    environment = os.environ | {"PYTHONPATH": str(site), "PYTHONSAFEPATH": "1", "OMP_NUM_THREADS": "1"}

    def run(folder, *words):
        words = [sys.executable, "-P", *([] if words[0] == "-c" else ["-m", "loop.commands.main"]), *map(str, words)]
        return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)

    return run


def test_the_wheel_holds_what_is_shipped(wheel):
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
        datasets = sum(file.compress_size for file in archive.infolist() if file.filename.endswith(".h5"))
    tops = {name.partition("/")[0].partition("-")[0] for name in held}
    assert tops == {"janus_al", "simulators", "loop"}
    for model in models():
        assert {path.name for path in (DATA / model).iterdir()} == {
            name.rpartition("/")[2] for name in held if name.startswith(f"janus_al/data/{model}/")
        }
    assert {f"janus_al/examples/{name}" for name in examples()} <= held
    assert {f"janus_al/data/{path.name}" for path in DATA.glob("*.h5")} <= held
    for package in ("janus_al", "simulators", "loop"):
        files = {str(path.relative_to(ROOT)) for path in (ROOT / package).rglob("*") if path.is_file()}
        assert {name for name in files if "__pycache__" not in name} <= held
    assert wheel.stat().st_size - datasets < MOST
    assert datasets < MOST_DATASETS


def test_the_wheel_works_from_any_folder(installed, tmp_path):
    code = "import janus_al, loop; print(janus_al.__file__); print(janus_al.load('janus-32')[1].simulated)"
    done = installed(tmp_path, "-c", code)
    assert done.returncode == 0, done.stderr
    assert "site" in done.stdout.splitlines()[0]
    assert done.stdout.splitlines()[1] == "8192"
    done = installed(tmp_path, "campaign", "plan", "from-scratch.toml")
    assert done.returncode == 0, done.stderr
    done = installed(tmp_path, "examples", "--out", "mine")
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "mine").iterdir()} == {*examples(), "run.json"}


@pytest.mark.slow
def test_the_wheel_designs(installed, tmp_path):
    """A model by its bare name, and a campaign from its shipped start to its report."""
    words = ["invert", "janus-64", "--target", "kxx=0.3", "--count", 1, "--json"]
    done = installed(tmp_path, *words)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["candidates"][0]["final"]["kxx"] == pytest.approx(0.3, rel=0.01)
    done = installed(tmp_path, "export", "designs", "--format", "stl", "--size", "10mm", "--out", "parts")
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "parts").glob("*.stl"))
    done = installed(tmp_path, "campaign", "run", "quickstart.toml", "--dir", "c")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "c/report.html").stat().st_size > 10_000
    done = installed(tmp_path, "doctor", "--json")
    assert json.loads(done.stdout)["sound"], done.stdout


def test_a_path_of_ones_own_comes_before_what_is_shipped(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert shipped("janus-64") == DATA / "janus-64"
    assert shipped("quickstart.toml") == EXAMPLES / "quickstart.toml"
    for words in ("data/janus-64", "README.md", "nothing", "/janus-64", "..", "janus-64/model.json"):
        assert shipped(words) == Path(words)
    Path("janus-64").mkdir()
    assert shipped("janus-64") == Path("janus-64")
    with pytest.raises(
        FileNotFoundError, match=r"janus-64: no model here; make one .* shipped one, janus-32, janus-32-"
    ):
        checkpoint.load("janus-64")


def test_shipped_data_is_found_by_every_reader(monkeypatch, tmp_path, janus):
    monkeypatch.chdir(tmp_path)
    assert len(dataset.read("quickstart-test.h5")) == 256
    code, _, err = janus("evaluate", "janus-32", "quickstart-test.h5", "--calibrate", 2)
    assert code == 2
    assert (
        f"janus-32: --calibrate writes into the model, and this one is shipped; copy {DATA / 'janus-32'} first" in err
    )
    code, _, err = janus("campaign", "run", "nothing.toml", "--dir", "c")
    assert (code, err) == (2, "janus-al: nothing.toml: no such file; `janus-al examples` lists some to start from\n")
    assert not list(tmp_path.iterdir())


def test_a_campaign_begins_with_shipped_data_from_any_folder(monkeypatch, tmp_path, janus):
    """`from-scratch.toml` names two datasets that lie in neither; both are in the campaign then."""
    monkeypatch.chdir(tmp_path)
    small = "training.steps=1 network.channels=4 network.media=0 network.width=0 inversion.steps=1 loop.retrain=never"
    small += " loop.generator=janus loop.candidates=6 budget.rounds=1 budget.simulations=18 budget.probes=0"
    small += " execution.solver=direct execution.workers=1 execution.umap=false"
    settings = [word for key in small.split() for word in ("--set", key)]
    code, _, err = janus("campaign", "run", "from-scratch.toml", "--dir", "c", *settings)
    assert code == 3, err
    assert (tmp_path / "c" / "test.h5").read_bytes() == (DATA / "quickstart-test.h5").read_bytes()
    assert (
        dataset.read(tmp_path / "c" / "dataset.h5")
        .image.tobytes()
        .startswith(dataset.read("quickstart.h5").image.tobytes())
    )
