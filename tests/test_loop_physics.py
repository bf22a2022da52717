"""Physics of the user's own, by path and by command, and several of them in one campaign."""

import json
import re
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from janus_al import dataset
from janus_al.material import Material, Physics, conduction
from janus_al.properties import Property, PropertyError
from janus_al.samples import concatenate, unlabelled
from loop.campaign.config import ConfigError
from loop.campaign.toml import load_config
from loop.design.candidates import Candidate, Trial, table_row
from loop.design.targets import Target
from loop.simulation.executors import open_executor
from loop.simulation.rows import result_at, to_samples
from loop.simulation.simulate import Execution, limits_of, merged, simulate
from loop.simulation.verify import Check, judge
from simulators import CatalogueError, Failure, Result, foreign, generate, make

SIMULATOR = """
import numpy as np
from janus_al.properties import Property


class Edges:
    '''Edges between unlike pixels, a pixel; fails where one phase is missing.'''

    properties = (Property("edges", log=False),)

    def __init__(self, boundary, scale=1.0):
        self.scale = scale

    def __call__(self, image):
        image = np.asarray(image).astype(int)
        if image.min() == image.max():
            raise ValueError("only one phase")
        edges = (image[1:] != image[:-1]).sum() + (image[:, 1:] != image[:, :-1]).sum()
        return {"edges": self.scale * edges / image.size}
"""
PROGRAM = """
import argparse, json
import numpy as np

words = argparse.ArgumentParser()
words.add_argument("--in", dest="source")
words.add_argument("--out")
words = words.parse_args()
about = json.load(open(words.source))
labels = np.load(about["image"])
vtk = open(about["vtk"]).read().split(">")[5].split("<")[0].split()
assert about["shape"] == list(labels.shape) and vtk == [str(v) for v in labels.ravel()]
modulus = np.array(about["constants"]["modulus"])[labels]
with open(words.out, "w") as file:
    json.dump({"stiffness": 1 / np.mean(1 / modulus)} if labels.any() else {"error": "nothing is stiff"}, file)
"""
ELASTIC = {"modulus": (1.0, 10.0), "poisson": 0.3}
CONFIG = (Path(__file__).with_name("small.toml")).read_text()


@pytest.fixture
def user(tmp_path, monkeypatch):
    """A folder of the user's, with a simulator and a program, where the command is typed."""
    (tmp_path / "edges_of.py").write_text(SIMULATOR)
    (tmp_path / "program.py").write_text(PROGRAM)
    monkeypatch.delitem(sys.modules, "edges_of", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    monkeypatch.delitem(sys.modules, "edges_of", raising=False)
    return tmp_path


def configuration(folder, physics, targets):
    """The small campaign with this physics beside conduction, and one target."""
    text = CONFIG.replace("phase_conductivity = [0.1, 1.0]\n", "")
    head, rest = text.split("[[target]]", 1)
    rest = rest[rest.index("[budget]") :].replace("simulations = 90", "simulations = 200")
    conduct = '[[physics]]\nsimulator = "conduction"\nconductivity = [0.1, 1.0]\n'
    path = folder / "c.toml"
    path.write_text(f"{head}{conduct}{physics}\n[[target]]\ndesigns = 2\n{targets}\n{rest}")
    return path


BY_PATH = '[[physics]]\nsimulator = "edges_of:Edges"\nscale = 2.0\n'
BY_COMMAND = f"""[[physics]]
command = "{sys.executable} program.py --in {{input}} --out {{output}}"
properties = [{{ name = "stiffness", driver = "modulus" }}]
modulus = [1.0, 5.0]
unit = "GPa"
"""


@pytest.mark.parametrize(
    ("physics", "name", "wanted"),
    [(BY_PATH, "edges", (0, 1.2)), (BY_COMMAND, "stiffness", (1.3, 2.4))],
    ids=["path", "command"],
)
def test_a_users_simulator_runs_a_whole_campaign(user, janus, physics, name, wanted):
    """It meets its targets; each design has both physics, each is charged, and the property is what it is."""
    targets = f"kxx = {{ value = 0.3, tolerance = 0.1 }}\n{name} = {{ min = {wanted[0]}, max = {wanted[1]} }}"
    code, out, err = janus("campaign", "run", configuration(user, physics, targets), "--dir", user / "c", "--json")
    assert code == 0, err
    report = json.loads(out)
    shards = [e for e in map(json.loads, (user / "c/journal.jsonl").open()) if e["event"] == "shard"]
    everything = dataset.read(user / "c/dataset.h5")
    failed = {f["hash"].encode() for shard in shards for f in shard["failed"]} - set(everything.hashes)
    paid = report["simulations"]["spent"] + report["simulations"]["probes"]["spent"]
    assert paid == 2 * (everything.simulated.sum() + len(failed))
    designs = [json.loads(p.read_text()) for p in sorted(user.glob("c/designs/*/design.json"))]
    assert len(designs) == 2
    for design in designs:
        image, found = np.load(user / f"c/designs/{design['name']}/image.npy").astype(int), design["properties"]
        edges = ((image[1:] != image[:-1]).sum() + (image[:, 1:] != image[:, :-1]).sum()) / image.size
        exact = {"edges": 2.0 * edges, "stiffness": 1 / np.mean(1 / np.array([1.0, 5.0])[image])}[name]
        assert found[name] == pytest.approx(exact, rel=1e-12)
        assert wanted[0] <= found[name] <= wanted[1]
        assert 0.27 <= found["kxx"] <= 0.33
        assert f"{name}_lower" not in found
        assert "kxx_lower" in found
        assert design["units"] == {"kxx": "W/(m K)", "kyy": "W/(m K)"} | (
            {"stiffness": "GPa"} if name != "edges" else {}
        )
    assert everything.names == ("kxx", "kyy", name, "volume_fraction")
    assert everything.sensitive == ("kxx", "kyy")
    report = (user / "c/report.html").read_text()
    assert name in report


def test_a_report_shows_the_interval_of_every_physics(user, janus):
    """Beside that of conduction's certificate the bounds of elasticity, by which a design is confirmed as well."""
    elastic = '[[physics]]\nsimulator = "elasticity"\nmodulus = [10.0, 1.0]\npoisson = 0.3\n'
    path = configuration(user, elastic, "kxx = { value = 0.3, tolerance = 0.1 }\nE11 = { max = 5.0 }")
    fast = ["--set", "loop.generator=lookup", "--set", "execution.solver=direct"]
    code, _, err = janus("campaign", "run", path, "--dir", user / "c", *fast)
    assert code == 0, err
    captions = re.findall(r"<figcaption><b>t1-.*?</figcaption>", (user / "c/report.html").read_text(), re.DOTALL)
    assert len(captions) == 2
    for caption in captions:
        assert "confirmed by interval" in caption
        assert re.findall(r"(\w+) <b>[\d.]+</b>[^<\[]*\[", caption) == ["kxx", "kyy", "E11", "E22"]
    lineages = [json.loads(path.read_text())["lineage"] for path in user.glob("c/designs/*/design.json")]
    assert [lineage["model"] for lineage in lineages] == [None, None]  # lookup has no network


def test_failures_are_results_with_a_reason(user):
    """An image that one physics refuses keeps what the others know; one that all refuse is a failure."""
    edges = Physics("edges_of:Edges", {}, ("edges",), rows=(Property("edges", log=False),))
    images = [np.zeros((8, 8), np.uint8), generate(1, 8, 0)[0]]
    both = Material((*conduction((0.1, 1.0)).physics, edges), "dirichlet")
    with open_executor("process", 1) as executor:
        flat, mixed = simulate(images, both, Execution(executor, "direct", trusted=True))
        (alone,) = simulate(images[:1], Material((edges,), "dirichlet"), Execution(executor, trusted=True))
    assert isinstance(flat, Result)
    assert flat.values == {"kxx": pytest.approx(0.1), "kyy": pytest.approx(0.1)}
    assert flat.failures == {"edges_of:Edges": "ValueError: only one phase"}
    assert set(mixed.values) == {"kxx", "kyy", "edges"}
    assert alone == Failure("ValueError: only one phase")
    samples = to_samples(images, [flat, mixed], both)
    assert np.isnan(samples.column("edges")).tolist() == [True, False]
    assert result_at(samples, 1).values == mixed.values


def test_a_probe_whose_physics_failed_has_no_error():
    """What is asked of it is not known: no number, and no end of the campaign."""
    target = Target("probe", {"E11": (2.0, 2.1)})
    image = np.eye(8, dtype=np.uint8)
    candidate = Candidate(target, True, np.zeros((8, 8), np.float32), {"E11": 2.0, "kxx": 0.3})
    assert candidate.error is None
    candidate.trials.append(Trial(image, {"kxx": 0.3, "volume_fraction": 0.1}, {}))
    assert candidate.error is None
    assert table_row(candidate)["error"] is None
    assert not candidate.met
    candidate.trials[0] = Trial(image, {"E11": 4.1, "kxx": 0.3}, {})
    assert candidate.error == pytest.approx(1.0)


def test_a_program_that_fails_says_why(user):
    words = f"{sys.executable} program.py --in {{input}} --out {{output}}"
    row = Property("stiffness", driver="modulus")

    def material(command, **constants):
        constants |= {"command": command}
        return Material((Physics("command", constants, ("stiffness",), rows=(row,)),), "dirichlet")

    nothing, mixed = np.zeros((8, 8), np.uint8), generate(1, 8, 0)[0]
    with open_executor("process", 1) as executor:

        def reason(material, image=mixed, timeout=600.0):
            (found,) = simulate([image], material, Execution(executor, timeout=timeout, trusted=True))
            assert isinstance(found, Failure)
            return found.reason

        assert reason(material(words, modulus=(1.0, 5.0)), nothing).endswith("nothing is stiff")
        assert "exit code 1: " in reason(material(words, length=1.0))
        assert "KeyError: 'modulus'" in reason(material(words, length=1.0))
        assert "No such file" in reason(material("no-such-program {image} {output}"))
        assert "no result in {output}" in reason(material("true {image} {output}"))
        sleeper = material(f"{sys.executable} -c 'import time; time.sleep(987)' {{image}} {{output}}")
        assert "took longer than 0.5 s" in reason(sleeper, timeout=0.5)
        time.sleep(0.2)
        sleeping = [
            p for p in psutil.process_iter(["cmdline"]) if "time.sleep(987)" in " ".join(p.info["cmdline"] or [])
        ]
        assert not sleeping


REFUSED = {
    "solver": (
        '[[physics]]\nsimulator = "conduction"\nconductivity = [0.1, 1.0]\nsolver = "direct"',
        "kxx = { min = 0.2 }",
        "it stands in .execution., as execution.solver",
    ),
    "phases alike": (
        '[[physics]]\nsimulator = "elasticity"\nmodulus = [2.0, 2.0]\npoisson = 0.3',
        "E11 = { min = 1 }",
        "all are equal, so that every image is alike",
    ),
    "reserved name": (
        '[[physics]]\ncommand = "b {input} {output}"\nproperties = [{ name = "designs", log = false }]',
        "kxx = { min = 0.2 }",
        "property designs: a target has name, designs, min_feature, connected, periodic of its own",
    ),
    "unknown property": (
        "",
        "E11 = { min = 1 }",
        "target 1: unknown key E11; a target has name, designs, min_feature, connected, like, periodic, and",
    ),
    "no simulator": (
        '[[physics]]\nsimulator = "nonsense"',
        "kxx = { min = 0.2 }",
        "'nonsense': known are cond",
    ),
    "no class": (
        '[[physics]]\nsimulator = "edges_of:Egdes"',
        "kxx = { min = 0.2 }",
        "'edges_of:Egdes' cannot be imported",
    ),
    "constants": (
        '[[physics]]\nsimulator = "edges_of:Edges"\nheight = 2',
        "kxx = { min = 0.2 }",
        "'edges_of:Edges': TypeError: .*height",
    ),
    "one label": (
        '[[physics]]\nsimulator = "elasticity"\nmodulus = [1.0]\npoisson = 0.3',
        "E11 = { min = 0.2 }",
        "constants of 1 labels; give two numbers",
    ),
    "twice": (
        '[[physics]]\nsimulator = "conduction"\nconductivity = [1.0, 2.0]',
        "kxx = { min = 0.2 }",
        "property kxx: two physics give it",
    ),
    "both ways": (
        '[[physics]]\nsimulator = "a"\ncommand = "b"',
        "kxx = { min = 0.2 }",
        "give either 'simulator' or 'comm",
    ),
    "no output": ('[[physics]]\ncommand = "b {input}"\nproperties = ["E11"]', "E11 = { min = 2 }", "it needs {output}"),
    "no properties": (
        '[[physics]]\ncommand = "b {input} {output}"',
        "kxx = { min = 0.2 }",
        "a command needs 'properties'",
    ),
    "another meaning": (
        '[[physics]]\ncommand = "b {input} {output}"\nproperties = [{ name = "E11", log = false }]',
        "kxx = { min = 0.2 }",
        "property E11: .* is not what it means here",
    ),
    "out of reach": (BY_PATH, "kxx = { min = 1.5 }", r"out of reach; .* reach kxx 0\.1\.\.1, and nearest"),
}


@pytest.mark.parametrize(("physics", "target", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_refused_before_anything_is_paid(user, janus, physics, target, words):
    code, out, err = janus("campaign", "run", configuration(user, physics, target), "--dir", user / "c")
    assert (code, out) == (2, "")
    assert err.startswith("janus-al: ")
    assert err.count("\n") == 1

    assert re.search(words, err), err
    assert not (user / "c").exists()


def test_a_dataset_of_other_properties_is_refused_by_name(user):
    """Samples of E11 where the configuration asks kxx."""
    material = Material((Physics("elasticity", ELASTIC, ("E11",), "GPa"),), "dirichlet")
    images = generate(4, 16, 0)
    results = [Result({"E11": 2.0 + i}) for i in range(4)]
    dataset.write(user / "e.h5", to_samples(list(images), results, material), "test")
    text = textwrap.dedent(CONFIG).replace(
        "[dataset.generate]\ncount = 120\nsimulated = 20", '[dataset]\nsource = "e.h5"'
    )
    (user / "c.toml").write_text(text)
    from loop.campaign.sources import check_source

    with pytest.raises(ConfigError, match=r"e\.h5: its samples have E11 but the configuration asks kxx of its physics"):
        check_source(load_config(user / "c.toml"))


def test_samples_of_several_physics_join():
    """Some have all properties, some one, some none; materials that contradict each other have no dataset."""
    rng = np.random.default_rng(0)
    stiff = Material((Physics("elasticity", ELASTIC, ("E11", "E22"), "GPa"),), "dirichlet")
    both = Material((*conduction((0.1, 1.0)).physics, *stiff.physics), "dirichlet")
    images = rng.integers(0, 2, (3, 8, 8)).astype(np.uint8)
    maps = rng.random((8, 8))
    one = to_samples([images[0]], [Result({"kxx": 0.3, "kyy": 0.4}, sensitivity={"kxx": maps})], conduction((0.1, 1.0)))
    two = to_samples([images[1]], [Result({"E11": 3.0, "E22": 4.0}, sensitivity={"E22": maps})], stiff)
    samples = concatenate([one, two, unlabelled(images[2:], both)])
    assert samples.material == both
    assert samples.sensitive == ("kxx", "E22")
    np.testing.assert_array_equal(samples.column("E11"), [np.nan, 3.0, np.nan])
    np.testing.assert_allclose(samples.maps("E22")[1], maps * 64, rtol=1e-6)
    assert np.isnan(samples.maps("E22")[[0, 2]]).all()
    other = Material((Physics("elasticity", ELASTIC | {"modulus": (1.0, 9.0)}, ("E11", "E22"), "GPa"),), "dirichlet")
    with pytest.raises(ValueError, match="property E11: samples of two kinds, elasticity of modulus"):
        concatenate([two, unlabelled(images, other)])


def test_a_file_cannot_have_code_run(user, monkeypatch):
    """What a model or a dataset says of its simulator is no reason to start a program or to import a module."""
    words = f'{sys.executable} -c \'open("flag", "w")\' {{image}} {{output}}'
    program = Physics("command", {"command": words}, ("E11",))
    for physics in (program, Physics("edges_of:Edges", {}, ("edges",), rows=(Property("edges", log=False),))):
        material = Material((physics,), "dirichlet")
        with (
            open_executor("process", 1) as executor,
            pytest.raises(CatalogueError, match="files may not say what code"),
        ):
            next(simulate(generate(1, 8, 0), material, Execution(executor)))
        assert limits_of(material)(np.array([0.5])) == {}
    assert not (user / "flag").exists()
    assert "edges_of" not in sys.modules


def test_a_simulator_of_an_installed_package(user, monkeypatch):
    """Found by the name under which its package offers it, and trusted as what was installed."""
    package = user / "site"
    about = package / "edges-1.0.dist-info"
    about.mkdir(parents=True)
    (package / "installed_edges.py").write_text(SIMULATOR)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: edges\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[janus_al.simulators]\nedges = installed_edges:Edges\n")
    monkeypatch.syspath_prepend(str(package))
    image = generate(1, 16, 0)[0]
    assert make("edges", "dirichlet", {"scale": 3.0})(image) == {
        "edges": 3 * make("edges", "dirichlet", {})(image)["edges"]
    }
    assert not foreign("edges")
    assert foreign("edges_of:Edges")
    assert foreign("command")
    with pytest.raises(CatalogueError, match="known are conduction, elasticity, command, edges; one of your own is"):
        make("edgy", "dirichlet", {})


def test_a_program_is_asked_once(user):
    """Its results are kept across commands, until one of the files that it is made of is another."""
    (user / "counted.py").write_text(PROGRAM + "open('runs', 'a').write('.')\n")
    words = f"{sys.executable} {user / 'counted.py'} --in {{input}} --out {{output}}"
    row = Property("stiffness", driver="modulus")
    physics = Physics("command", {"command": words, "modulus": (1.0, 5.0)}, ("stiffness",), rows=(row,))
    images = generate(3, 8, 0)
    with open_executor("process", 1) as executor:

        def ask():
            execution = Execution(executor, cached=True, trusted=True)
            return [r.values for r in simulate(images, Material((physics,), "dirichlet"), execution)]

        first = ask()
        assert ask() == first
        assert len((user / "runs").read_text()) == 3
        (user / "counted.py").write_text((user / "counted.py").read_text() + "# another\n")
        assert ask() == first
        assert len((user / "runs").read_text()) == 6


def test_limits_of_a_material_are_those_of_its_simulators():
    low, high = limits_of(conduction((0.1, 1.0)))(np.array([0.5]))["kxx"]
    assert (low[0], high[0]) == (pytest.approx(2 / 11), pytest.approx(0.55))


def test_a_name_has_one_meaning():
    with pytest.raises(PropertyError, match=r"property kxx: .* is not what it means here"):
        Physics("command", {}, ("kxx",), rows=(Property("kxx", log=False),))


def test_a_physics_that_always_fails_is_named_with_its_reason(user, janus):
    """The other physics' results are no dataset of this one."""
    (user / "always_one.py").write_text(SIMULATOR.replace("image.min() == image.max()", "True"))
    code, out, err = janus(
        "campaign",
        "run",
        configuration(user, BY_PATH.replace("edges_of", "always_one"), "edges = { max = 1.2 }"),
        "--dir",
        user / "c",
        "--json",
    )
    assert (code, out) == (2, "")
    assert "20 of the first 20 simulations failed (ValueError: only one phase), so that edges is not known" in err


def test_only_our_own_conduction_is_certified(user):
    """A user's kxx has no certified interval, and FiPy has no word on it."""
    kxx = Physics("own:Kxx", {"conductivity": (0.1, 1.0)}, ("kxx",))
    both = Material((replace(conduction((0.1, 1.0)).physics[0], properties=("kyy",)), kxx), "dirichlet")
    check, target = Check(both, "direct", certify=False), Target("t", {"kxx": (0.2, 0.3)}, 1)
    assert judge({"reference": {"properties": {"kxx": 0.9, "kyy": 0.9}}}, target, check) == ("confirmed", "")
    (user / "own_kzz.py").write_text(
        SIMULATOR.replace('Property("edges", log=False),', '"kzz",').replace("scale=1.0", "conductivity, scale=1.0")
    )
    text = configuration(
        user, '[[physics]]\nsimulator = "own_kzz:Edges"\nconductivity = [1.0, 2.0]', "kzz = { max = 2 }"
    )
    text.write_text("certify = true\n" + text.read_text())
    with pytest.raises(ConfigError, match="kzz has no certified interval, as kxx, kyy, volume_fraction of conduction"):
        load_config(text)


def test_what_one_of_several_physics_does_not_say_is_not_lost_for_the_others():
    """Balance and time of those that tell them, whichever comes first; every reason, though two have one name."""
    told = Result({"kxx": 0.3, "kyy": 0.4}, solver="direct", imbalance=1e-12, seconds=2.0)
    silent = Result({"E11": 3.0})
    (heat,), stiff = conduction((0.1, 1.0)).physics, Physics("elasticity", ELASTIC, ("E11",), "GPa")
    for physics, found in (((heat, stiff), [told, silent]), ((stiff, heat), [silent, told])):
        both = merged(Material(physics, "dirichlet"), found)
        assert (both.imbalance, both.seconds) == (1e-12, 2.0)
    programs = tuple(Physics("command", {"command": c}, (name,)) for c, name in (("a", "E11"), ("b", "E22")))
    one, other = Failure("no mesh"), Failure("no licence")
    nothing = merged(Material(programs, "dirichlet"), [one, other])
    partly = merged(Material((heat, *programs), "dirichlet"), [told, one, other])
    assert isinstance(nothing, Failure)
    assert isinstance(partly, Result)
    for words in (nothing.reason, " ".join(partly.failures.values())):
        assert "no mesh" in words
        assert "no licence" in words
