"""Every number of a configuration has a range, and what is outside of it is refused before anything is paid."""

import dataclasses
import math
import re
import tomllib
import types
import typing
from pathlib import Path

import numpy as np
import pytest
import tomli_w
from pydantic import BaseModel

from janus_al import dataset
from janus_al.material import conduction
from janus_al.samples import concatenate, unlabelled
from loop.campaign.config import CampaignConfig, ConfigError
from loop.campaign.sections import PhysicsSection, TargetSection
from loop.campaign.toml import dump_config, load_config, load_training
from simulators import DirectHomogenizer, generate

SMALL = tomllib.loads(Path(__file__).with_name("small.toml").read_text())
NEVER = [math.nan, math.inf, -math.inf, 1e300, 2**63, "many", True, [1], {}]
PERHAPS = [-1, 0, 0.5]
NAMED = {TargetSection: ("kxx", "kyy", "volume_fraction"), PhysicsSection: ("conductivity",)}
"""some of the keys that the user names"""
COMMAND = {"command": "solve {input} {output}", "properties": [{"name": "hardness"}]}
PHYSICS = {
    "conductivity": [{"simulator": "conduction", "conductivity": [0.1, 1.0]}],
    "properties": [COMMAND, {"simulator": "conduction", "conductivity": [0.1, 1.0]}],
}


def numbers(kind, path=()):
    """The path of every key that holds a number, of lists the first entry, of keys that the user names some."""
    hints = typing.get_type_hints(kind)
    for name in NAMED.get(kind, ()):
        yield from numbers_in(hints["__pydantic_extra__"], (*path, name))
    for name in kind.model_fields if issubclass(kind, BaseModel) else [f.name for f in dataclasses.fields(kind)]:
        yield from numbers_in(hints[name], (*path, name))


def numbers_in(hint, path):
    if typing.get_origin(hint) in {typing.Union, types.UnionType}:
        for option in typing.get_args(hint):
            yield from numbers_in(option, path)
    elif typing.get_origin(hint) is dict:
        yield from numbers_in(typing.get_args(hint)[1], path)
    elif typing.get_origin(hint) in {list, tuple}:
        yield from numbers_in(typing.get_args(hint)[0], (*path, 0))
    elif typing.get_origin(hint) is typing.Literal:
        if any(isinstance(v, int) for v in typing.get_args(hint)):
            yield path
    elif hint in {int, float}:
        yield path
    elif isinstance(hint, type) and (issubclass(hint, BaseModel) or dataclasses.is_dataclass(hint)):
        yield from numbers(hint, path)


def with_value(path, value):
    """The small campaign with another value at a path; where that is of a physics, with one instead of its phases."""
    small = SMALL if path[0] != "physics" else {**SMALL, "microstructure": {"size": 16}, "physics": PHYSICS[path[2]]}

    def put(table, path):
        key, *rest = path
        if isinstance(table, list):
            return [put(table[0], rest) if rest else value, *table[1:]]
        if rest[:1] == [0] and not isinstance(table.get(key), list):
            return {**table, key: [put({}, rest[1:]) if rest[1:] else value]}
        return {**table, key: put(table.get(key, {}), rest) if rest else value}

    return put(small, path)


KEYS = sorted(set(numbers(CampaignConfig)), key=str)


def test_all_numbers_are_found():
    named = {".".join(map(str, k)) for k in KEYS}
    assert named >= {"physics.0.conductivity.0", "physics.0.properties.0.trend"}
    assert named >= {"seed", "microstructure.phase_conductivity.0", "target.0.kxx.tolerance", "dataset.generate.count"}
    assert named >= {"training.rate", "network.stem", "inversion.focus", "execution.timeout", "loop.retrain_rate"}
    assert len(named) > 60


@pytest.mark.parametrize("path", KEYS, ids=lambda p: ".".join(map(str, p)))
def test_numbers_out_of_range_are_refused_by_name(tmp_path, path):
    """Not a number, infinite, absurdly large, or of another kind: one sentence with the key."""
    file = tmp_path / "c.toml"
    for value in [*NEVER, *PERHAPS]:
        file.write_text(tomli_w.dumps(with_value(path, value)))
        refusal = None
        try:
            config = load_config(file)
        except ConfigError as error:
            refusal = str(error)
        if refusal is None:
            assert not any(value is never for never in NEVER), (path, value)
            file.write_text(dump_config(config))
            assert load_config(file) == config
        else:
            assert refusal.count("\n") == 0
            named = [str(p) for p in path if p != 0]
            assert any(word in refusal for word in (*named[-2:], "these phases")), refusal
            for foreign in ("Input should", "pydantic", "validation error", "regex", "^["):
                assert foreign not in refusal


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["microstructure.phase_conductivity=[1.0, 1.0]"], "equal"),
        (["microstructure.size=7"], "sides of at least 8"),
        (["network.properties=['a', 'b']"], "kxx"),
        (["network.properties=['kxx']", "target=[{kyy={value=0.3}}]"], "kyy"),
        (["training.pool=17"], "larger than the image, 16 x 16"),
        (["training.batch=4"], "at most the batch of 4"),
        (["training.l_task=0", "training.l_rec=0", "training.l_sens=0"], "all 0"),
        (["inversion.l_task=0", "inversion.l_binary=0"], "nothing draws to the target"),
        (["network.channels=1024", "network.latent=4096", "microstructure.size=1024"], "weights"),
        (["dataset.generate.simulated=1"], "at least 2"),
        (["dataset.generate.simulated=121"], "at most the 120"),
        (["budget.simulations=20"], "leave 0 for 4 designs"),
        (["budget.rounds=1", "loop.candidates=1"], "at most 1 "),
        (["execution.executor=dask://host"], "dask://HOST:PORT"),
        (["execution.executor=dask://host:99999"], "dask://HOST:PORT"),
    ],
)
def test_joint_impossibilities(overrides, words):
    with pytest.raises(ConfigError, match=words) as caught:
        load_config(Path(__file__).with_name("small.toml"), overrides=overrides)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("wanted", "size", "words"),
    [
        ("volume_fraction = { value = 0.3335, tolerance = 0.0005 }", 32, "0.33301 or 0.33398"),
        ("volume_fraction = { value = 0.3335, tolerance = 0.0005 }", 64, None),
        ("volume_fraction = { value = 0.333, tolerance = 0.0005 }", 32, None),
        ("volume_fraction = { min = 0.4999, max = 0.49999 }", 16, "0.49609 or 0.5"),
        ("volume_fraction = { min = 1.5 }", 16, "no volume fraction"),
        ("kxx = { value = 3 }", 16, "out of reach"),
        ("kxx = { value = inf }", 16, "finite"),
        ("kxx = { min = inf }", 16, "finite"),
        ("kxx = { min = 0.2, max = inf }", 16, "finite"),
        ("kxx = { value = 1e300 }", 16, "at most"),
        ("kxx = { value = 0.3, tolerance = nan }", 16, "finite"),
        ("kxx = { value = 0 }", 16, "upper end above 0"),
        ("kxx = { min = 0.4, max = 0.3 }", 16, "kxx"),
    ],
)
def test_targets_that_no_image_meets(tmp_path, wanted, size, words):
    text = Path(__file__).with_name("small.toml").read_text().replace("size = 16", f"size = {size}")
    (tmp_path / "c.toml").write_text(text.replace("kxx = { value = 0.3, tolerance = 0.05 }", wanted))
    if words is None:
        load_config(tmp_path / "c.toml")
    else:
        with pytest.raises(ConfigError, match=words):
            load_config(tmp_path / "c.toml")


@pytest.mark.parametrize(
    "override", ["training.rate=nan", "training.steps=0", "network.rank=0", "training.l_rec=1e300"]
)
def test_overrides_are_checked_alike(override):
    with pytest.raises(ConfigError, match=override.partition("=")[0]):
        load_training(None, [override])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[loop]\ncandidate = 3", r"loop.candidate: unknown key; did you mean candidates\?"),
        ("[loop]\nxyz = 3", "loop.xyz: unknown key; known here are generator, acquisition, candidates"),
        ("[trainig]\nsteps = 3", r"trainig: unknown key; did you mean training\?"),
        ("[network]\nlatents = 3", r"network.latents: unknown key; did you mean latent\?"),
        ("[[budget]]\nrounds = 3", "budget: must be a section"),
        ("[target]\ndesigns = 1\n[target]\ndesigns = 2", r"not valid TOML .*write \[\[target\]\] with two brackets"),
        ("[target]\ndesigns = 1\n[[target]]\ndesigns = 2", r"not valid TOML .*write \[\[target\]\] with two brackets"),
        ("[target]\nkxx = {vale = 0.3}", r"target.0.kxx.vale: unknown key; did you mean value\?"),
        ("[target]\nvolume_fraction = {hoch = 0.5}", "volume_fraction.hoch: unknown key; known here are value"),
        ("[target]\nkxx = 0.3\nconected = 'x'", r"given: 'x'\); did you mean connected instead of conected\?"),
        ("[target]\nkxx = 0.3\nmin_feature = {value = 3, lable = 1}", r"lable: unknown key; did you mean label\?"),
        ("[target]\nkx = 0.3", r"unknown key kx; did you mean kxx\? a target has name, designs"),
        ("[target]\nkxx = {max = 0.0}", "target kxx: 0..0; its lower end must be 0 or more, its upper end above 0"),
        ("[target]\nkxx = {min = 0.4, max = 0.2}", "target kxx: min 0.4 is above max 0.2"),
        ("a = " + "[" * 5000, "not valid TOML"),
        ("a = " + "9" * 5000, "not valid TOML"),
    ],
)
def test_typing_errors_of_a_file(tmp_path, text, words):
    (tmp_path / "c.toml").write_text(tomli_w.dumps({k: v for k, v in SMALL.items() if k not in text}) + text)
    with pytest.raises(ConfigError, match=words) as caught:
        load_config(tmp_path / "c.toml")
    assert "\n" not in str(caught.value)


def test_one_target_as_a_table_and_a_byte_order_mark(tmp_path):
    one = {**SMALL, "target": SMALL["target"][0], "name": "Wärmeleiter ± 1"}
    (tmp_path / "c.toml").write_bytes(b"\xef\xbb\xbf" + tomli_w.dumps(one).encode())
    config = load_config(tmp_path / "c.toml")
    assert (config.name, [t.name for t in config.targets()]) == ("Wärmeleiter ± 1", ["value"])
    (tmp_path / "c.toml").write_text("a = 1", encoding="utf-16")
    with pytest.raises(ConfigError, match="UTF-8"):
        load_config(tmp_path / "c.toml")


@pytest.mark.parametrize("name", ["größer als 0.3", "目標", "a.b-c_d", "ä" * 60])
def test_names_of_any_language(name):
    config = load_config(Path(__file__).with_name("small.toml"), overrides=[f'name="{name}"'])
    assert config.name == name
    assert CampaignConfig.model_validate(with_value(("target", 0, "name"), name)).targets()[0].name == name


@pytest.mark.parametrize(
    "name", ["../up", "a/b", "a\\b", ".hidden", "", " ", "a\nb", "a\0b", "ä" * 200, "end. ", "a:b"]
)
def test_names_that_are_no_file_names(tmp_path, name):
    for path in [("name",), ("target", 0, "name")]:
        (tmp_path / "c.toml").write_text(tomli_w.dumps(with_value(path, name)))
        with pytest.raises(ConfigError, match=r"name: .*letters") as caught:
            load_config(tmp_path / "c.toml")
        assert "^[" not in str(caught.value)


def test_no_target_is_named_as_probes_are(tmp_path):
    """Both stand in one table, where the name tells them apart."""
    (tmp_path / "c.toml").write_text(tomli_w.dumps(with_value(("target", 0, "name"), "probe")))
    with pytest.raises(ConfigError, match="target name 'probe'"):
        load_config(tmp_path / "c.toml")


def test_names_that_one_file_system_takes_for_the_same(tmp_path):
    one, two = SMALL["target"]
    (tmp_path / "c.toml").write_text(tomli_w.dumps({**SMALL, "target": [{**one, "name": "A"}, {**two, "name": "a"}]}))
    with pytest.raises(ConfigError, match="each must be given once"):
        load_config(tmp_path / "c.toml")


@pytest.mark.parametrize(("side", "words"), [(7, "at least 8"), (2, "at least 8")])
@pytest.mark.parametrize("command", ["train", "tune"])
def test_datasets_of_a_side_the_network_cannot_take(janus, tmp_path, side, words, command):
    data = unlabelled(np.zeros((2, side, side), np.uint8), conduction((0.1, 1.0)))
    dataset.write(tmp_path / "d.h5", data, "test")
    code, out, err = janus(command, tmp_path / "d.h5", "--out", tmp_path / "m")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert words in err
    assert f"{side} x {side}" in err
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("command", ["train", "tune"])
def test_settings_that_do_not_fit_the_data(janus, tmp_path, command):
    from loop.simulation.rows import simulate_samples  # noqa: F401

    dataset.write(tmp_path / "d.h5", unlabelled(generate(3, 16, 0), conduction((0.1, 1.0))), "test")
    for override, words in [
        ("training.pool=17", "larger than the image, 16 x 16"),
        ("network.properties=['kzz']", "kzz is none"),
    ]:
        code, _, err = janus(command, tmp_path / "d.h5", "--out", tmp_path / "m", "--set", override)
        assert (code, err.count("\n")) == (2, 1)
        assert words in err
    code, _, err = janus(command, tmp_path / "d.h5", "--out", tmp_path / "m")
    assert (code, "at least 2" in err) == (2, True)
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--size", "7"], "it must be at least 16"),
        (["--size", "16", "--set", "training.pool=17"], "larger than the image, 16 x 16"),
        (["--size", "16", "--set", "training.rate=nan"], "training.rate"),
        (["--model", "nowhere"], "no model here"),
    ],
)
def test_reproducing_checks_before_it_pays(janus, tmp_path, words, told):
    code, _, err = janus("reproduce", "microstructure", "--out", tmp_path / "r", *words)
    assert (code, err.count("\n")) == (2, 1)
    assert told in err
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("conductivity", "words"), [("1,1", "conductivity '1,1': equal"), ("1e-7,1", "raise the smallest .* to 1e-06")]
)
def test_phases_that_make_no_dataset(janus, tmp_path, conductivity, words):
    """Told before an image is made, whether or not one is to be simulated."""
    words = f"janus-al: (contrast 1e.07 .*)?{words}"
    for simulated in (0, 2):
        arguments = ("--count", 2, "--simulated", simulated, "--conductivity", conductivity)
        code, _, err = janus("generate", *arguments, "--out", tmp_path / "d.h5")
        assert (code, err.count("\n")) == (2, 1)
        assert re.match(words, err)
        assert not (tmp_path / "d.h5").exists()


def test_equal_phases_conduct_alike():
    assert DirectHomogenizer()(generate(1, 16, 0)[0], (1.0, 1.0)).k == pytest.approx([1, 1])


@pytest.mark.parametrize("key", ["source", "test"])
def test_datasets_that_teach_nothing_are_refused_before_a_campaign_begins(janus, tmp_path, key):
    """A source of one simulation cannot train, and a test set of none cannot judge."""
    from loop.simulation.executors import open_executor
    from loop.simulation.rows import simulate_samples
    from loop.simulation.simulate import Execution

    images = generate(4, 16, 1)
    with open_executor("process", 1) as executor:
        execution = Execution(executor, "direct")
        simulated = simulate_samples(images[:1], conduction((0.1, 1.0)), execution, lambda *_: None)
    rest = unlabelled(images[1:], conduction((0.1, 1.0)))
    dataset.write(tmp_path / "d.h5", rest if key == "test" else concatenate([*simulated, rest]), "test")
    table = {key: str(tmp_path / "d.h5")} | ({"generate": {"simulated": 4}} if key == "test" else {})
    (tmp_path / "c.toml").write_text(tomli_w.dumps({**SMALL, "dataset": table}))
    code, _, err = janus("campaign", "run", tmp_path / "c.toml", "--dir", tmp_path / "c")
    assert (code, err.count("\n")) == (2, 1)
    assert "simulated" in err
    assert not (tmp_path / "c").exists()
