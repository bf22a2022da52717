"""What commands write: never onto what they read or did not make, never twice for nothing."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from janus_al import checkpoint, dataset
from janus_al.errors import DatasetError
from janus_al.files import atomic_path, remove_stale
from janus_al.material import conduction
from janus_al.networks.janus import JanusConfig
from janus_al.samples import content_hash
from janus_al.training import build
from loop.campaign.campaign import Campaign
from loop.campaign.journal import read_events
from loop.campaign.toml import load_config
from loop.commands.run import locked, run_campaign
from loop.files.outputs import OutputError, check_folder, claim, inside
from loop.output.projections import write_designs
from loop.simulation.progress import Progress
from simulators import generate

CONFIG = Path(__file__).with_name("small.toml")
FAST = ["--solver", "direct", "--workers", 1]


def refused(result, code, *words):
    assert result[0] == code, result
    assert result[1] == ""
    lines = [line for line in result[2].splitlines() if line.strip()]
    assert len(lines) == 1, lines
    for word in words:
        assert word in lines[0]


@pytest.fixture
def image(tmp_path):
    """One image's file."""
    np.save(tmp_path / "mine.npy", generate(1, 16, 0)[0])
    return tmp_path / "mine.npy"


def state_of(folder):
    return {
        p.relative_to(folder): (os.readlink(p) if p.is_symlink() else p.read_bytes() if p.is_file() else None)
        for p in folder.rglob("*")
    }


# --- names from files


@pytest.mark.parametrize(
    "name", ["../../evil", "/evil", "a/b", "..", ".", "", "a\0b", "a\\b", "c:evil", None, 3, ["a"]]
)
def test_a_name_that_is_none_is_damage(name):
    with pytest.raises(DatasetError, match=r"journal\.jsonl: damaged"):
        inside(Path("designs"), name, Path("journal.jsonl"))


def test_names_that_are_good():
    assert inside(Path("c"), "value-01", Path("j")) == Path("c/value-01")
    assert inside(Path("c"), "größe .x-01", Path("j")) == Path("c/größe .x-01")
    assert inside(Path("c"), "models/r0001", Path("j"), depth=2) == Path("c/models/r0001")


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("round", lambda e: e["designs"][0].update(name="../../evil")),
        ("shard", lambda e: e.update(file="../other/samples/x.h5")),
        ("trained", lambda e: e.update(model="/models/r0000")),
    ],
)
def test_a_journal_names_nothing_outside_its_folder(folder, tmp_path, janus, kind, change):
    """Whoever reads the journal, for status, report or resuming: exit 4, and nothing is written."""
    copy = tmp_path / "a" / "copy"
    shutil.copytree(folder, copy)
    events = list(read_events(copy / "journal.jsonl"))
    change(next(e for e in events if e["event"] == kind))
    (copy / "journal.jsonl").write_text("".join(json.dumps(e) + "\n" for e in events))
    before = state_of(tmp_path)
    for command in ("status", "report", "resume"):
        refused(janus("campaign", command, copy), 4, " is damaged (", "plain name", "restore the journal from a copy")
    before[Path("a/copy/.lock")] = b""
    assert state_of(tmp_path) == before


def test_a_design_of_another_target_than_its_candidates_is_damage(folder, tmp_path, janus):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    events = list(read_events(copy / "journal.jsonl"))
    next(e for e in events if e["event"] == "round")["designs"][0]["target"] = "nope"
    (copy / "journal.jsonl").write_text("".join(json.dumps(e) + "\n" for e in events))
    for command in ("status", "report"):
        refused(janus("campaign", command, copy), 4, "is damaged (", "for nope is none of the candidates so far")


# --- designs/


@pytest.fixture
def campaign(folder, tmp_path):
    """A copy of the finished campaign."""
    shutil.copytree(folder, tmp_path / "campaign")
    return Campaign(tmp_path / "campaign")


def test_nothing_strange_in_designs_is_touched(campaign, tmp_path):
    """Notes, folders, another campaign's design, a link to a folder, a .DS_Store: all as before."""
    designs = campaign.folder / "designs"
    write_designs(campaign)
    own = designs / campaign.designs()[0]["name"]
    (designs / ".DS_Store").write_bytes(b"\0")
    (designs / "notes.txt").write_text("mine")
    (designs / "favourites").mkdir()
    (designs / "favourites" / "a.txt").write_text("mine")
    shutil.copytree(own, designs / "backup")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "b.txt").write_text("mine")
    (designs / "link").symlink_to(tmp_path / "elsewhere")
    other = json.loads((own / "design.json").read_text())
    other["name"], other["lineage"]["campaign"] = "other-01", "another"
    (designs / "other-01").mkdir()
    (designs / "other-01" / "design.json").write_text(json.dumps(other))
    (own / "notes.txt").write_text("mine")
    before = state_of(tmp_path)
    write_designs(campaign)
    assert state_of(tmp_path) == before


def test_a_design_that_is_no_more_is_removed_but_not_what_was_added(campaign):
    paths = write_designs(campaign)
    for name in ("gone-01", "gone-02"):
        shutil.copytree(paths[0], paths[0].with_name(name))
        design = json.loads((paths[0] / "design.json").read_text()) | {"name": name}
        (paths[0].with_name(name) / "design.json").write_text(json.dumps(design))
    (paths[0].with_name("gone-02") / "notes.txt").write_text("mine")
    write_designs(campaign)
    assert not paths[0].with_name("gone-01").exists()
    assert [p.name for p in paths[0].with_name("gone-02").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("kind", ["link", "folder", "file"])
def test_what_stands_where_a_design_belongs_is_left_alone(campaign, tmp_path, janus, kind):
    """The others are written, and one sentence says which was not."""
    paths = write_designs(campaign)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "image.npy").write_bytes(b"mine")
    shutil.rmtree(paths[0])
    if kind == "link":
        paths[0].symlink_to(tmp_path / "mine")
    elif kind == "folder":
        shutil.copytree(tmp_path / "mine", paths[0])
    else:
        paths[0].write_bytes(b"mine")
    (paths[1] / "image.npy").unlink()
    before = state_of(tmp_path / "mine"), kind == "link" or state_of(paths[0])
    refused(janus("campaign", "report", campaign.folder), 2, paths[0].name, "move it away")
    assert (state_of(tmp_path / "mine"), kind == "link" or state_of(paths[0])) == before
    assert paths[0].is_symlink() == (kind == "link")
    assert content_hash(np.load(paths[1] / "image.npy")) == campaign.designs()[1]["hash"]


def test_designs_that_are_a_link_are_not_followed(campaign, tmp_path):
    shutil.rmtree(campaign.folder / "designs")
    (tmp_path / "mine").mkdir()
    (campaign.folder / "designs").symlink_to(tmp_path / "mine")
    with pytest.raises(OutputError, match="designs: a link or a file"):
        write_designs(campaign)
    assert list((tmp_path / "mine").iterdir()) == []


# --- a dataset's file


def test_an_image_is_no_place_for_a_dataset(janus, image, tmp_path):
    """Neither by its name, nor by a link, soft or hard."""
    (tmp_path / "soft.h5").symlink_to(image)
    os.link(image, tmp_path / "hard.h5")
    before = state_of(tmp_path)
    for out in (image, tmp_path / "soft.h5", tmp_path / "hard.h5"):
        refused(janus("import", image, "--out", out, "--force", *FAST), 2, out.name, "which this command reads")
    assert state_of(tmp_path) == before


def test_a_dataset_is_replaced_only_by_force(janus, image, tmp_path):
    out = tmp_path / "d.h5"
    assert janus("generate", "--count", 3, "--simulated", 2, "--size", 16, "--out", out, *FAST)[0] == 0
    before = out.read_bytes()
    words = "holds 3 samples, of which 2 simulated", "--force"
    refused(janus("generate", "--count", 2, "--size", 16, "--out", out, *FAST), 2, *words)
    refused(janus("import", image, "--out", out, *FAST), 2, *words)
    assert out.read_bytes() == before
    assert janus("import", image, "--out", out, "--force", *FAST)[0] == 0
    assert len(dataset.read(out)) == 1


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("folder", "a folder; name a file"),
        ("none/d.h5", "does not exist; make it first"),
        ("notes.txt", "is no dataset of Janus-AL"),
        ("notes.txt/d.h5", "does not exist"),
        ("link.h5", "a link to"),
        ("pipe", "is no dataset of Janus-AL"),
        ("a" * 250 + ".h5", "File name too long"),
        ("a" * 245, "File name too long"),
    ],
)
def test_files_that_cannot_be_a_dataset(janus, image, tmp_path, name, words):
    """Refused before the image is simulated, and also by force."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "link.h5").symlink_to(tmp_path / "none.h5")
    os.mkfifo(tmp_path / "pipe")
    before = state_of(tmp_path)
    refused(janus("import", image, "--out", tmp_path / name, "--force", *FAST), 2, words)
    assert state_of(tmp_path) == before


def test_a_killed_writers_rest_goes_with_the_next_run(janus, image, tmp_path):
    """Beside the one file that the command writes, and only of that name."""
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    names = [f".{name}.{dead.stdout.strip()}-0a1b2c3d.tmp" for name in ("d.h5", "e.h5")]
    for name in names:
        (tmp_path / name).touch()
    assert janus("import", image, "--out", tmp_path / "d.h5", *FAST)[0] == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == [names[1], "d.h5", "d.sheet.png", "mine.npy"]


def test_a_place_that_cannot_be_written(janus, image):
    refused(janus("import", image, "--out", "/proc/d.h5", *FAST), 2, "/proc/d.h5: cannot be written")
    with pytest.raises(OutputError, match="cannot be written"):
        check_folder(Path("/proc/a/b"), {"command": "train"})


# --- folders


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """An untrained model of 16 x 16 pixels, whose weights are so large that its inversions differ."""
    folder = tmp_path_factory.mktemp("models") / "model"
    card = checkpoint.Card(conduction((0.1, 1.0)), "none", 0, {}, property_range={"kxx": (0.2, 0.6), "kyy": (0.2, 0.6)})
    model = build(JanusConfig(size=16, latent=16, channels=4, rank=4), 0)
    for weights in model.parameters():
        weights.data *= 3
    model.log_mean += np.log(0.3)
    model.log_std *= 1e-12
    checkpoint.save(folder, model, card)
    return folder


def test_candidates_are_replaced_only_by_force_and_only_they(janus, model, tmp_path):
    """Another inversion's candidates never mix with new ones; what the user added stays."""
    out = tmp_path / "designs"
    invert = ["invert", model, "--target", "volume_fraction=0.5", "--no-simulate", "--out", out]
    assert janus(*invert, "--count", 3)[0] == 0
    assert len(list(out.glob("candidate-*.npy"))) == 3
    (out / "candidate-099.npy").write_bytes(b"mine")
    before = state_of(out)
    refused(janus(*invert, "--count", 3), 2, "holds what `invert` made", "--force")
    refused(janus(*invert, "--count", 1), 2, "holds what `invert` made", "--force")
    assert state_of(out) == before
    assert janus(*invert, "--count", 1, "--force")[0] == 0
    listed = json.loads((out / "candidates.json").read_text())["candidates"]
    assert sorted(p.name for p in out.glob("candidate-*.npy")) == ["candidate-001.npy", "candidate-099.npy"]
    assert [c["hash"] for c in listed] == [content_hash(np.load(out / "candidate-001.npy"))]
    assert (out / "candidate-099.npy").read_bytes() == b"mine"
    for name in ("candidate-002.npy", "candidate-003.png"):
        (out / name).symlink_to(tmp_path / "nowhere") if name[-5] == "3" else (out / name).write_bytes(b"mine")
        before = state_of(out)
        refused(janus(*invert, "--count", 3, "--force"), 2, f"holds {name}, which this command did not make")
        assert state_of(out) == before
        (out / name).unlink()


@pytest.mark.parametrize("force", [False, True])
def test_somebodys_folder_is_no_place(janus, model, tmp_path, force, digits):
    """For no command, with --force or without; nothing in it changes."""
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").write_text("mine")
    data = Path(__file__).parents[1] / "data" / "quickstart-test.h5"
    before, more = state_of(tmp_path), ["--force"] * force
    for command in (
        ["invert", model, "--target", "volume_fraction=0.5", "--no-simulate", "--out", mine, *more],
        ["train", data, "--out", mine, *more],
        ["tune", data, "--out", mine],
        ["campaign", "run", CONFIG, "--dir", mine],
        ["reproduce", "microstructure", "--out", mine],
        ["reproduce", "mnist", "--data", digits, "--out", mine],
    ):
        refused(janus(*command), 2, "holds thesis.tex, which this command did not make")
    refused(janus("train", data, "--out", mine / "thesis.tex"), 2, "a file where a folder is needed")
    refused(janus("train", data, "--out", mine / "thesis.tex" / "a"), 2, "a file where a folder is needed")
    refused(janus("campaign", "run", CONFIG, "--dir", mine / "thesis.tex"), 2, "a file where a folder is needed")
    assert state_of(tmp_path) == before


@pytest.fixture
def digits(tmp_path_factory):
    from test_loop_reproduce import write_idx

    folder = tmp_path_factory.mktemp("digits")
    for part in ("train", "t10k"):
        write_idx(folder / f"{part}-images-idx3-ubyte", np.zeros((4, 28, 28), np.uint8))
        write_idx(folder / f"{part}-labels-idx1-ubyte", np.arange(4, dtype=np.uint8))
    return folder


def test_a_model_is_trained_over_only_by_force(janus, model, tmp_path):
    """Also one that an earlier version, or no command, wrote."""
    data = Path(__file__).parents[1] / "data" / "quickstart-test.h5"
    copy = tmp_path / "model"
    shutil.copytree(model, copy)
    (copy / "notes.txt").write_text("mine")
    train = ["train", data, "--out", copy, "--set", "training.steps=2", "--set", "network.channels=4"]
    before = state_of(copy)
    refused(janus(*train), 2, "holds what `train` made", "--force")
    assert state_of(copy) == before
    assert janus(*train, "--force")[0] == 0
    assert json.loads((copy / "model.json").read_text())["network"]["channels"] == 4
    assert (copy / "notes.txt").read_text() == "mine"
    refused(janus(*train), 2, "holds what `train` made")
    (copy / "model.json").unlink()
    refused(janus(*train, "--seed", 1), 2, "began with another seed")
    assert janus(*train)[0] == 0
    invert = ["invert", copy, "--target", "volume_fraction=0.5", "--no-simulate", "--force"]
    refused(janus(*invert, "--out", copy), 2, "which this command reads")
    refused(janus(*invert, "--out", model), 2, "made by `train`")


def test_a_folder_goes_on_only_with_its_own_run(tmp_path):
    """Identity is stored before anything else, and compared."""
    out, run = tmp_path / "new" / "out", {"command": "reproduce mnist", "seed": 0, "batch": 64}
    check_folder(out, run, force=None)
    assert not out.parent.exists()
    claim(out, run, [])
    (out / "data.h5").write_bytes(b"paid")
    check_folder(out, run, force=None)
    claim(out, run, [])
    with pytest.raises(OutputError, match=r"began with another seed and batch; give another --out$"):
        check_folder(out, run | {"seed": 1, "batch": 32}, force=None)
    with pytest.raises(OutputError, match="made by `reproduce mnist`"):
        check_folder(out, {"command": "reproduce microstructure", "seed": 0}, force=None)
    assert (out / "data.h5").read_bytes() == b"paid"


def test_nothing_kept_is_nothing_to_replace(tmp_path):
    """A training that failed before it kept anything does not keep its folder."""
    out, run = tmp_path / "out", {"command": "train", "seed": 0}
    claim(out, run, ["model.json", "state.pt"])
    check_folder(out, run | {"seed": 1}, finished="model.json")
    (out / "state.pt").touch()
    with pytest.raises(OutputError, match=r"began with another seed; give another --out, or --force"):
        check_folder(out, run | {"seed": 1}, finished="model.json")
    check_folder(out, run | {"seed": 1}, force=True, finished="model.json")
    claim(out, run | {"seed": 1}, ["model.json", "state.pt"], finished="model.json")
    assert [p.name for p in out.iterdir()] == ["run.json"]


def test_a_folder_with_a_link_in_it_is_not_empty(tmp_path):
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "samples").symlink_to(tmp_path)
    with pytest.raises(OutputError, match="holds samples"):
        check_folder(tmp_path / "c", {"command": "train"})


def test_a_folder_whose_list_leads_outside_is_damaged(tmp_path):
    run = {"command": "invert"}
    claim(tmp_path / "out", run, ["../mine.txt"])
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(DatasetError, match=r"run\.json: damaged"):
        check_folder(tmp_path / "out", run, force=True)
    assert (tmp_path / "mine.txt").exists()


def test_reproduce_refuses_another_seed(janus, tmp_path):
    """What an earlier seed paid for is not taken for this one's."""
    small = ["--size", "16", "--count", "24", "--simulated", "8", "--set", "training.steps=nan"]
    out = tmp_path / "out"
    code, _, words = janus("reproduce", "microstructure", "--out", out, *small)
    assert code == 2, words
    claim(out, {"command": "reproduce microstructure", "seed": 0}, [])
    refused(janus("reproduce", "microstructure", "--out", out, *small[:-2], "--seed", 1), 2, "another seed", "--out")


def test_a_users_configuration_is_not_rewritten(janus, tmp_path):
    """A campaign.toml that the user wrote into the campaign's folder is not replaced by the resolved one."""
    (tmp_path / "c").mkdir()
    mine = tmp_path / "c" / "campaign.toml"
    shutil.copyfile(CONFIG, mine)
    refused(janus("campaign", "run", mine, "--dir", mine.parent), 2, "holds campaign.toml, which this command did not")
    assert [p.name for p in mine.parent.iterdir()] == ["campaign.toml"]
    assert mine.read_bytes() == CONFIG.read_bytes()


def test_a_campaign_that_was_killed_at_its_start_goes_on(folder, tmp_path):
    """Only the lock, the empty folders and the resolved configuration are there yet."""
    copy = tmp_path / "c"
    (copy / "samples").mkdir(parents=True)
    (copy / ".lock").touch()
    shutil.copyfile(folder / "campaign.toml", copy / "campaign.toml")
    config = load_config(CONFIG, overrides=["training.steps=3"])
    from loop.campaign.config import ConfigError

    with pytest.raises(ConfigError, match="another configuration"):
        run_campaign(copy, config, Progress())


# --- temporary files and permissions


@pytest.mark.parametrize(("mask", "mode"), [(0o077, 0o600), (0o027, 0o640), (0o002, 0o664)])
def test_umask_is_obeyed_and_a_files_own_permissions_are_kept(tmp_path, mask, mode):
    path = tmp_path / "file"
    before = os.umask(mask)
    try:
        for content in (b"1", b"2"):
            with atomic_path(path) as temporary:
                temporary.write_bytes(content)
            assert path.stat().st_mode & 0o777 == mode
        path.chmod(0o604)
        with atomic_path(path) as temporary:
            assert temporary.stat().st_mode & 0o077 == 0o004
            temporary.write_bytes(b"3")
    finally:
        os.umask(before)
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"3", 0o604)


def test_what_killed_writers_left_is_removed_and_nothing_else(tmp_path):
    """However deep; not the files of a writer that lives, nor anything of another name, nor through a link."""
    deep = tmp_path / "c" / "designs" / "value-01"
    deep.mkdir(parents=True)
    code = "import os, sys; from pathlib import Path; from janus_al.files import atomic_path\n"
    code += "with atomic_path(Path(sys.argv[1])): os._exit(9)"
    for path in (deep / "image.npy", tmp_path / "c" / "models" / "r0001" / "weights", tmp_path / "away" / "x"):
        path.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, "-P", "-c", code, str(path)], check=False)
    (tmp_path / "c" / "link").symlink_to(tmp_path / "away")
    kept = [deep / name for name in (".notes.tmp", "x.tmp", ".a.b.tmp", ".image.npy.1-0a0b0c0d.tmp", ".x.12-zz.tmp")]
    for path in kept:
        path.write_text("mine")
    found = [p for p in tmp_path.rglob("*.tmp") if p not in kept]
    assert len(found) == 3
    with locked(tmp_path / "c"):
        pass
    assert sorted(tmp_path.rglob("*.tmp")) == sorted([*kept, *(p for p in found if p.parent.name == "away")])
    remove_stale(tmp_path / "away", "y")
    assert list((tmp_path / "away").iterdir())
    remove_stale(tmp_path / "away", "x")
    assert not list((tmp_path / "away").iterdir())
