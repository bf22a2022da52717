"""What a campaign relies on: proposals, shards and settings are kept; models and states are made again."""

import json
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest
import tomli_w

import loop.campaign.campaign
from janus_al.checkpoint import load
from janus_al.dataset import write
from janus_al.errors import DatasetError
from janus_al.identity import LeakageError
from janus_al.material import conduction
from janus_al.state import write_state
from loop.campaign.campaign import Campaign
from loop.campaign.config import ConfigError
from loop.campaign.journal import read_events
from loop.campaign.toml import load_config
from loop.commands.run import run_campaign
from loop.output.projections import status
from loop.simulation.progress import Progress
from loop.simulation.rows import to_samples
from simulators import Conductivity, generate

CONFIG = Path(__file__).with_name("small.toml")
HARD = (
    "target=[{name='t', designs=3, kxx={value=0.3, tolerance=0.00002}}]",
    "training.steps=40",
    "loop.retrain_steps=10",
    "loop.refine_steps=4",
    "budget.rounds=2",
    "budget.simulations=60",
)


@pytest.fixture(scope="module")
def hard(tmp_path_factory):
    """A campaign that spends its two rounds and does not reach what is asked for."""
    folder = tmp_path_factory.mktemp("hard") / "c"
    run_campaign(folder, load_config(CONFIG, overrides=HARD), Progress())
    assert (status(folder)["state"], status(folder)["rounds"]) == ("stopped", 2)
    return folder


def killed_after(whole, copy, event, number):
    """A copy of a campaign whose journal ends with the first event of a kind in a round."""
    shutil.copytree(whole, copy)
    lines = (whole / "journal.jsonl").read_text().splitlines(keepends=True)
    at = [json.loads(line)["event"] == event and json.loads(line)["round"] == number for line in lines].index(True)
    (copy / "journal.jsonl").write_text("".join(lines[: at + 1]))
    return copy


def ends_as(copy, whole):
    """The resumed campaign has the same designs, and paid the same."""
    run_campaign(copy, None, Progress())
    assert Campaign(copy).designs() == Campaign(whole).designs()
    assert status(copy)["simulations"] == status(whole)["simulations"]


def test_a_killed_round_goes_on_from_its_own_proposals(hard, tmp_path, monkeypatch):
    """On a machine that would propose otherwise the budget is not overspent and the designs are the same."""
    copy = killed_after(hard, tmp_path / "c", "shard", 1)
    assert not any(e["event"] == "round" for e in read_events(copy / "journal.jsonl"))
    real = loop.campaign.campaign.propose

    def otherwise(generator, wanted, known, rules, seed):
        assert seed[1] != 1, "the round had proposed already"
        return real(generator, wanted, known, rules, seed)

    monkeypatch.setattr(loop.campaign.campaign, "propose", otherwise)
    ends_as(copy, hard)


def test_a_round_that_spent_the_last_simulation_is_finished(tmp_path):
    """Killed between its last shard and its end, it has nothing left to pay with, and its designs nevertheless."""
    easy = [*HARD[1:], "target=[{name='t', designs=3, kxx={value=0.3, tolerance=0.2}}]"]
    easy += ["budget.simulations=23", "budget.rounds=1", "training.average=0"]
    whole = tmp_path / "whole"
    run_campaign(whole, load_config(CONFIG, overrides=easy), Progress())
    assert Campaign(whole).designs()
    assert (status(whole)["rounds"], status(whole)["simulations"]["spent"]) == (1, 23)
    copy = killed_after(whole, tmp_path / "c", "round", 1)
    lines = (copy / "journal.jsonl").read_text().splitlines(keepends=True)
    (copy / "journal.jsonl").write_text("".join(lines[:-1]))
    ends_as(copy, whole)


def test_a_killed_start_keeps_its_images(hard, tmp_path, monkeypatch):
    import simulators

    copy = killed_after(hard, tmp_path / "c", "shard", 0)
    monkeypatch.setattr(simulators, "generate", None)
    ends_as(copy, hard)


def test_a_training_state_of_another_run_is_dropped(hard, tmp_path, capsys):
    """One left by another version of the program, for instance."""
    copy = killed_after(hard, tmp_path / "c", "trained", 0)
    write_state(copy / "models" / "r0001.state", {"run": "another"})
    ends_as(copy, hard)
    assert "another training run" in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["lost", "damaged", "another round's"])
def test_a_model_that_cannot_be_had_is_trained_again(hard, tmp_path, damage, capsys):
    copy = killed_after(hard, tmp_path / "c", "trained", 1)
    model = copy / "models" / "r0001"
    weights = (model / "weights.safetensors").read_bytes()
    shutil.rmtree(copy / "models" if damage == "lost" else model)
    if damage != "lost":
        shutil.copytree(copy / "models" / "r0000", model)
    if damage == "damaged":
        (model / "weights.safetensors").write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))
    ends_as(copy, hard)
    assert "training the model of round 1 again" in capsys.readouterr().err
    assert (model / "weights.safetensors").read_bytes() == weights


def test_one_flipped_bit_of_a_model_is_found(hard, tmp_path):
    rng = np.random.default_rng(0)
    for name in ("weights.safetensors", "model.json", "SHA256SUMS"):
        data = (hard / "models" / "r0000" / name).read_bytes()
        for index, position in enumerate(rng.integers(len(data), size=20)):
            copy = tmp_path / f"{name}-{index}"
            shutil.copytree(hard / "models" / "r0000", copy)
            flipped = bytearray(data)
            flipped[position] ^= 1 << int(rng.integers(8))
            (copy / name).write_bytes(flipped)
            with pytest.raises(DatasetError):
                load(copy)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        ({"seed": 4}, "seed is 4 but this campaign began with 3"),
        ({"microstructure": {"phase_conductivity": [0.1, 2.0]}}, "phase_conductivity.2 is 2.0 .* began with 1.0"),
        ({"microstructure": {"size": 24}, "network": {"size": 24}}, "microstructure.size is 24 .* began with 16"),
        ({"target": [{"name": "two", "kxx": {"value": 0.3}}]}, "target.1.name is 'two' .* began with 't'"),
        ({"inversion": {"steps": 26}}, "inversion.steps is 26 but this campaign began with 25"),
    ],
)
def test_a_configuration_edited_by_hand_is_refused(hard, tmp_path, edit, words):
    copy = tmp_path / "c"
    shutil.copytree(hard, copy)
    table = tomllib.loads((copy / "campaign.toml").read_text())
    for key, value in edit.items():
        table[key] = {**table[key], **value} if isinstance(value, dict) else value
    (copy / "campaign.toml").write_text(tomli_w.dumps(table))
    for use in (lambda: run_campaign(copy, None, Progress()), lambda: status(copy)):
        with pytest.raises(ConfigError, match=words):
            use()


def test_settings_that_are_no_more_are_let_go(hard, tmp_path, janus):
    """A campaign of a version that shrank its weights is read, and says so when it goes on; a new one is refused."""
    copy = tmp_path / "c"
    shutil.copytree(hard, copy)
    gone = {"shrink": 0.9, "perturb": 0.05}
    table = tomllib.loads((copy / "campaign.toml").read_text())
    (copy / "campaign.toml").write_text(tomli_w.dumps({**table, "loop": {**table["loop"], **gone}}))
    lines = [json.loads(line) for line in (copy / "journal.jsonl").read_text().splitlines()]
    next(line for line in lines if line["event"] == "begun")["config"]["loop"] |= gone
    (copy / "journal.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert status(copy)["simulations"] == status(hard)["simulations"]
    code, _, error = janus("campaign", "resume", copy)
    assert (code, "loop.shrink is no more; models to come are trained without it" in error) == (3, True)
    code, _, error = janus("campaign", "run", CONFIG, "--dir", tmp_path / "new", "--set", "loop.shrink=0.9")
    assert (code, "loop.shrink: unknown key" in error) == (2, True)


@pytest.mark.parametrize("damage", ["lost", "damaged"])
def test_a_shard_or_proposals_that_the_journal_does_not_know_are_refused(hard, tmp_path, janus, damage):
    """Lost is damaged, too: exit 4, with the mend."""
    for part, event, number in (("samples", "shard", 0), ("proposals", "proposed", 1)):
        copy = killed_after(hard, tmp_path / part, event, number)
        path = next((copy / part).glob(f"r000{number}-*"))
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.unlink() if damage == "lost" else path.write_bytes(data)
        code, _, error = janus("campaign", "resume", copy)
        assert (code, error.splitlines()[-1]) == (
            4,
            f"janus-al: {path}: lost or damaged; its bytes are not those the journal recorded; restore it from a copy",
        )


def test_a_budget_below_what_is_spent_is_refused(hard, tmp_path, janus):
    copy = tmp_path / "c"
    shutil.copytree(hard, copy)
    before, spent = (copy / "campaign.toml").read_bytes(), status(copy)["simulations"]["spent"]
    code, _, error = janus("campaign", "resume", copy, "--set", f"budget.simulations={spent - 1}")
    assert (code, f"budget.simulations {spent - 1}: {spent} are spent already" in error) == (2, True)
    assert (copy / "campaign.toml").read_bytes() == before


def test_what_came_nearest_is_told(hard, janus):
    """Of a target that is not met, by value: no other candidate is nearer."""
    rows = [
        row for event in Campaign(hard).journal.of("round") for row in event["candidates_table"] if row["target"] == "t"
    ]
    designs = {design["hash"] for design in Campaign(hard).designs()}
    off = {abs(row["final"]["kxx"] / 0.3 - 1): row["final"]["kxx"] for row in rows if row["hash"] not in designs}
    line = next(line for line in janus("campaign", "status", hard)[1].splitlines() if line.startswith("nearest to t"))
    assert f"kxx {off[min(off)]:.4g} is " in line


def test_rounds_and_simulations_may_be_raised(hard, tmp_path, janus):
    """A campaign that stopped goes on with a larger budget, and ends as one that had it from the start."""
    raised = tmp_path / "raised"
    run_campaign(raised, load_config(CONFIG, overrides=[*HARD, "budget.rounds=1"]), Progress())
    assert (status(raised)["state"], status(raised)["rounds"]) == ("stopped", 1)
    stopped = status(raised)["simulations"]["spent"]
    code, _, _ = janus("campaign", "resume", raised, "--set", f"budget.simulations={stopped}")
    assert (code, status(raised)["reason"]) == (3, "simulations spent before t")
    code, _, _ = janus("campaign", "resume", raised, "--set", "budget.simulations=60")
    assert (code, status(raised)["reason"]) == (3, "rounds spent before t")
    code, _, _ = janus("campaign", "resume", raised, "--set", "budget.rounds=2")
    assert code == 3
    code, _, error = janus("campaign", "resume", raised, "--set", "seed=5")
    assert (code, "seed is 5 but this campaign began with 3" in error) == (2, True)
    assert Campaign(raised).designs() == Campaign(hard).designs()
    for part in ("state", "rounds", "simulations"):
        assert status(raised)[part] == status(hard)[part]


def test_a_start_of_which_nothing_can_be_simulated_says_why(tmp_path, janus):
    """Whether or not other images are left to train on, and again when it is resumed."""
    for count in (4, 6):
        words = f"dataset.generate={{count={count}, simulated=4}}", "execution.timeout=0.001"
        run = ("campaign", "run", CONFIG, "--dir", tmp_path / str(count), "--set", words[0], "--set", words[1])
        for command in (run, ("campaign", "resume", tmp_path / str(count))):
            code, _, error = janus(*command)
            assert code == 2
            assert "4 of the first 4 simulations failed (simulation failed: it took longer than 0.001 s)" in error


def test_an_executor_that_cannot_be_had_leaves_no_folder(tmp_path, janus, monkeypatch):
    monkeypatch.setattr("loop.simulation.cluster.CONNECT", "1s")
    new = tmp_path / "c"
    code, _, error = janus("campaign", "run", CONFIG, "--dir", new, "--set", "execution.executor=dask://127.0.0.1:1")
    assert (code, "no scheduler answers" in error, new.exists()) == (2, True, False)


def test_a_test_set_that_shares_images_is_refused_before_anything_is_made(tmp_path):
    images = list(generate(3, 16, seed=3)[:, ::-1])
    results = [Conductivity("dirichlet", (0.1, 1.0), "direct")(image) for image in images]
    write(tmp_path / "test.h5", to_samples(images, results, conduction((0.1, 1.0))), "test")
    config = load_config(CONFIG, overrides=[f"dataset.test='{tmp_path}/test.h5'"])
    with pytest.raises(LeakageError, match="3 of 3 test images"):
        run_campaign(tmp_path / "c", config, Progress())
    assert not (tmp_path / "c").exists()
