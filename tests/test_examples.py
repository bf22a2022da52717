"""The examples run as a reader runs them, each in a folder of its own, and what they print is true."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pages import blocks

import janus_al
import loop
import simulators

ROOT = Path(__file__).parents[1]
PHASES = (0.1, 1.0)


def run(name, folder):
    """The values on the example's last line; it may write into its folder alone."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1"}
    (folder / "here").mkdir()
    command = [sys.executable, ROOT / "examples" / f"{name}.py", folder / "out"]
    done = subprocess.run(
        command, cwd=folder / "here", env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not list((folder / "here").iterdir())
    assert list((folder / "out").glob("*.png"))
    return json.loads(done.stdout.splitlines()[-1])


def conductivity(image):
    """kxx by another solver than the example's."""
    return simulators.BatchedHomogenizer()(image, PHASES).k[0]


def test_homogenize_a_picture(tmp_path):
    found = run("homogenize_a_picture", tmp_path)
    image = simulators.read_image(tmp_path / "out/structure.png", 2)
    result = simulators.DirectHomogenizer()(image, PHASES)
    assert [found["kxx"], found["kyy"]] == pytest.approx(result.k, rel=1e-8)
    assert found["gain"] == pytest.approx(0.01 * np.sort(result.sensitivity[0], axis=None)[-100:].sum(), rel=1e-6)
    low, high = 1 / np.mean(1 / np.where(image, 10.0, 1.0)), np.mean(np.where(image, 10.0, 1.0)) / (1 - 0.3**2)
    assert low < found["E11"] < high


def test_invert_a_model(tmp_path):
    found = run("invert_a_model", tmp_path)
    images = np.load(tmp_path / "out/images.npy")
    assert found["kxx"] == pytest.approx([conductivity(image) for image in images], rel=1e-6)
    assert found["error"] == pytest.approx(np.median(np.abs(np.array(found["kxx"]) / 0.4 - 1)))
    model, card = janus_al.load(str(ROOT / "data/janus-64"))
    assert model.config.properties == ("kxx", "kyy")
    assert card.phase_conductivity == PHASES


def test_campaign_in_ten_lines(tmp_path):
    found = run("campaign_in_ten_lines", tmp_path)
    designs = loop.designs(tmp_path / "out/campaign")
    assert len(designs) == 2
    for design, kxx in zip(designs, found["kxx"], strict=True):
        assert kxx == pytest.approx(conductivity(design.image), rel=1e-6)
        assert abs(kxx / 0.35 - 1) <= 0.05
        assert design.properties["kyy"] <= 0.35


@pytest.mark.slow
def test_my_own_simulator(tmp_path, monkeypatch):
    found = run("my_own_simulator", tmp_path)
    monkeypatch.syspath_prepend(ROOT / "examples")  # whoever reads the campaign needs its simulator
    designs = loop.designs(tmp_path / "out/campaign")
    assert len(designs) == 2
    for design, kxx, length in zip(designs, found["kxx"], found["interface"], strict=True):
        image = design.image.astype(int)
        edges = sum(np.count_nonzero(np.diff(image, axis=axis)) for axis in (0, 1))
        assert length == edges / 16 <= 3.0
        assert kxx == pytest.approx(conductivity(design.image), rel=1e-6)
    assert found["simulations"] % 2 == 0


@pytest.mark.slow
def test_my_own_acquisition(tmp_path):
    found = run("my_own_acquisition", tmp_path)
    for way, white in found["white"].items():
        designs = loop.designs(tmp_path / "out" / way)
        assert white == [design.image.mean() for design in designs]
        assert [conductivity(d.image) for d in designs] == pytest.approx([0.4] * 4, rel=0.02)
    assert np.mean(found["white"]["thrifty"]) < np.mean(found["white"]["nearest"])


def test_the_page_on_python_runs(tmp_path, monkeypatch, folder):
    """As it stands, but for its campaign, a smaller one and finished already."""
    shutil.copytree(folder, tmp_path / "campaigns/mine")
    code = "\n".join(block.code for block in blocks("docs/python.md") if block.language == "python")
    assert '"quickstart.toml"' in code
    code = code.replace("quickstart.toml", str(ROOT / "tests/small.toml")).replace('"__main__"', '"page"')
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "page"}
    exec(code, names)
    assert names["kappa"].grad.abs().min() > 0
    assert names["result"].k[0] == pytest.approx(conductivity(names["labels"]), rel=1e-8)
    assert names["images"].shape == (4, 64, 64)
    assert [conductivity(image) for image in names["images"]] == pytest.approx([0.3] * 4, rel=0.1)
    assert len(names["done"].designs) == 4


def test_names_are_those_that_users_need():
    """`dir` shows the names exported and no others; each is there, and what is not is refused with what was meant."""
    for package in (janus_al, loop, simulators):
        assert sorted(package.__all__) == sorted(dir(package))
        assert all(hasattr(package, name) for name in package.__all__)
    with pytest.raises(AttributeError, match="janus_al has no 'inverrt'; did you mean invert\\?"):
        _ = janus_al.inverrt
    with pytest.raises(AttributeError, match="loop has no 'xyz'; it offers CampaignConfig, ConfigError, Design"):
        _ = loop.xyz


def test_importing_the_packages_is_light():
    code = "import sys, janus_al, loop; print(sorted({'torch', 'numpy', 'h5py', 'pydantic'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_mistakes_of_a_script_are_told(tmp_path, folder):
    """Before anything is written; a folder without campaign, text that is none, a goal no model has."""
    with pytest.raises(loop.ConfigError, match="nothing: no campaign here; start one with"):
        loop.designs(tmp_path / "nothing")
    with pytest.raises(loop.ConfigError, match="nothing: no campaign here"):
        loop.resume(tmp_path / "nothing", ["budget.rounds=3"])
    with pytest.raises(loop.ConfigError, match=r"^configuration: name: is missing; add it"):
        loop.run("seed = 0\n", tmp_path / "c")
    with pytest.raises(loop.ConfigError, match=r"c\.toml: no such file"):
        loop.run("c.toml", tmp_path / "c")
    with pytest.raises(ValueError, match="property 'kzz': this model predicts kxx, kyy, volume_fraction"):
        janus_al.invert(janus_al.load(ROOT / "data/janus-64")[0], [{"kzz": (0, 1)}], seed=0)
    (tmp_path / "script.py").write_text("import loop\nloop.run('seed = 0\\nname = \"x\"', 'c')\n")
    done = subprocess.run([sys.executable, tmp_path / "script.py"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert 'put what it runs under if __name__ == "__main__":' in done.stderr.splitlines()[-1]
    assert not (tmp_path / "c").exists()


def test_designs_are_objects(folder):
    designs = loop.designs(folder)
    status = loop.status(folder)
    assert [(t["name"], t["designs"]) for t in status["targets"]] == [("value", 2), ("both", 2)]
    first = designs[0]
    stored = json.loads((folder / "designs" / first.name / "design.json").read_text())
    np.testing.assert_array_equal(first.image, np.load(folder / "designs" / first.name / "image.npy"))
    assert (first.properties, first.units, first.verdict) == (stored["properties"], stored["units"], stored["verdict"])
    assert first.lineage == stored["lineage"]
    assert repr(first) == f"<design {first.name}: kxx {first.properties['kxx']:.4g} W/(m K)>"
    with pytest.raises(ValueError, match="read-only"):
        first.image[0, 0] = 1
    with pytest.raises(AttributeError):
        first.name = "other"
    again = loop.resume(folder)
    assert (again.state, len(again.designs)) == ("done", 4)
    assert repr(again).startswith(f"<campaign {folder} done: targets met; 4 designs, ")
