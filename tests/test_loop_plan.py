"""Plans of campaigns: counts by arithmetic, rates measured without paying anybody, and what is said of them."""

import dataclasses
import json
import os
from pathlib import Path

import pytest

from loop.campaign import rates, steps
from loop.campaign.course import PROJECTING, Course
from loop.campaign.hints import hints, warning
from loop.campaign.plan import Plan, plan, remaining
from loop.campaign.rates import Rates
from loop.campaign.toml import load_config
from loop.simulation import progress
from loop.simulation.progress import Progress, told

SMALL = Path(__file__).with_name("small.toml")
RATES = Rates(drawing=0.01, simulation=0.5, verification=0.25, step=0.1, proposal=2.0, solver="fipy")


def files(folder):
    return sorted(str(path) for path in Path(folder).rglob("*"))


@pytest.fixture(scope="module")
def small():
    before = files(os.environ["JANUS_AL_CACHE"])
    found = plan(load_config(SMALL))
    assert files(os.environ["JANUS_AL_CACHE"]) == before
    return found


def test_a_plan_counts_and_measures(small):
    assert (small.training_steps, small.retraining_steps, small.rounds) == (300, 60, (1, 3))
    # Four designs and four probes; 70 of the budget's 90 are left after the first 20, but three rounds of four
    # candidates could take 108, and twelve probes.
    assert (small.first_images, small.first_simulations, small.simulations) == (120, 20, (8, 82))
    assert 0 < small.simulation_seconds < 5
    assert 0 < small.step_seconds < 5
    assert small.proposal_seconds > 0 < small.verification_seconds
    assert small.first_seconds > 300 * small.step_seconds
    assert small.first_seconds < small.total_seconds[0] < small.total_seconds[1]
    assert small.memory > 1e8 < small.worker_memory
    assert (small.warning, small.scaled) == ("", ())
    assert json.loads(json.dumps(small.as_json()))["words"] == small.words()


def test_a_course_is_arithmetic():
    """16 x 16: 64 images a task, so that a wave of four is one process's, and takes four simulations."""
    course = Course.of(load_config(SMALL))
    assert (course.shots, course.designs, course.left, course.probes(3)) == (4, 4, 70, 12)
    first = PROJECTING + 2.0 + 4 * 0.25 + 4 * 0.5
    assert course.round(RATES) == pytest.approx((first + 4 * 0.5, first + 36 * 0.5 + 6.0))
    low, high = course.rounds_all(RATES)
    assert low == pytest.approx(PROJECTING + 2.0 + (4 + 4) * 0.5 + 4 * 0.25)
    assert high == pytest.approx(3 * (PROJECTING + 2.0) + (70 + 12) * 0.5 + 4 * 0.25 + 2 * 6.0)


def test_large_images_are_simulated_side_by_side():
    course = Course.of(load_config(SMALL, None, ["microstructure.size=128", "loop.candidates=2"]))
    assert course.simulating(5, 5, RATES) == pytest.approx(3 * 0.5)


@pytest.mark.parametrize(
    ("settings", "trains", "first", "after"),
    [
        ([], True, 300, 60),
        (["loop.retrain=scratch"], True, 300, 300),
        (["loop.generator=gradient"], False, 0, 0),
        (["loop.retrain=never"], True, 300, 0),
    ],
)
def test_what_is_trained(settings, trains, first, after):
    course = Course.of(load_config(SMALL, None, settings))
    assert (course.trains, course.first_steps, course.steps_after) == (trains, first, after)


def test_a_users_own_program_is_not_run(tmp_path):
    called = tmp_path / "called"
    text = SMALL.read_text().replace("phase_conductivity = [0.1, 1.0]", "")
    text += f"""
[[physics]]
simulator = "conduction"
conductivity = [0.1, 1.0]
[[physics]]
command = "touch {called} {{input}} {{output}}"
properties = [{{ name = "kappa" }}]
"""
    config = tmp_path / "own.toml"
    config.write_text(text)
    found = plan(load_config(config, None, ["loop.generator=gradient", "budget.simulations=200"]))
    assert found.simulation_seconds is None
    assert "as long as your own physics takes" in "\n".join(found.words())
    assert (found.first_simulations, found.step_seconds) == (40, None)
    assert not called.exists()


def test_proposals_of_both_are_timed(monkeypatch):
    """What `mixed` proposes takes as long as inversions and fresh structures together."""
    monkeypatch.setattr(rates, "_simulation", lambda *_: (0.5, None, 0.0))
    monkeypatch.setattr(rates, "_proposal", lambda *_: (100.0, 0.0, 1))
    config = load_config(SMALL, None, ["loop.generator=mixed"])
    both = rates.measure(config, Course.of(config).rows, "cpu", None, False)
    assert both.proposal > 100 + both.drawing


def slow(found, **more):
    return dataclasses.replace(found, total_seconds=(4000.0, 9000.0), step_seconds=20.0, **more)


def test_what_takes_an_hour_is_said_and_what_would_be_cheaper(small):
    config = load_config(SMALL, None, ["microstructure.size=64", "network.stem=2"])
    long = slow(small, size=(64, 64), simulations=(8, 82), simulation_seconds=100.0)
    assert warning(long) == "64 x 64 takes an hour or more here, up to 2.5 h, of which 2.3 h are training"
    assert warning(dataclasses.replace(long, total_seconds=(10.0, 3599.0))) == ""
    assert warning(dataclasses.replace(long, memory=1e15)).startswith("64 x 64 take about 931")
    told_ = hints(config, long, dataclasses.replace(RATES, simulation=100.0, fastest=2.0))
    assert [hint.split(" = ")[0].split(" ")[0] for hint in told_] == [
        "network.start",
        "network.stem",
        "a",
        "execution.solver",
    ]
    assert 'network.start = "janus-64"' in told_[0]
    assert 'execution.solver = "direct" simulates in 2 s instead of 1.7 min' in told_[-1]
    quick = dataclasses.replace(small, step_seconds=0.01, simulation_seconds=0.01, total_seconds=(10.0, 20.0))
    assert hints(config, quick, RATES) == ()


def test_what_is_left_of_a_campaign():
    config = load_config(SMALL)
    rounds = [{"designs": [1, 2], "seconds": {"a": 30.0, "b": 10.0}}, {"designs": [], "seconds": {"a": 20.0}}]
    assert remaining(config, rounds) == "2 of 4 designs after 2 rounds of 30 s; at most 1 more, 30 s"


def test_times_in_words():
    assert [told(s) for s in (0.0021, 0.034, 0.5, 9.97, 75, 95, 5000, 1e5)] == [
        "2.1 ms",
        "0.034 s",
        "0.5 s",
        "10 s",
        "75 s",
        "1.6 min",
        "83 min",
        "28 h",
    ]


def test_trainings_and_studies_are_foretold(monkeypatch):
    """A trial is trained for a quarter of the steps, and then for all."""
    config = load_config(SMALL, None, ["training.steps=1000"])
    monkeypatch.setattr(steps, "step_of", lambda *_: (0.05, 0.0, 1))
    about = config.material, config.network.built, config.training, "cpu"
    assert steps.training_words(*about) == "1000 steps of 0.05 s on cpu: about 50 s"
    long = dataclasses.replace(config.training, steps=10000)
    assert steps.training_words(*about[:2], long, "cpu").endswith(
        "about 8.3 min; a first look: --set training.steps=2500"
    )
    told_ = "8 trials of up to 1000 steps of 0.05 s on cpu: 1.7 min to 8.3 min of training"
    assert steps.training_words(*about, trials=8) == told_
    assert steps.training_words(*about[:2], dataclasses.replace(config.training, steps=99), "cpu") == ""


def test_the_command_says_it_and_leaves_nothing(janus, tmp_path, monkeypatch):
    monkeypatch.setattr("loop.campaign.plan.measure", lambda *_: RATES)
    monkeypatch.chdir(tmp_path)
    code, out, _ = janus("campaign", "plan", SMALL, "--json")
    assert code == 0
    found = json.loads(out)
    assert found["schema_version"] == 1
    assert set(found) == {"schema_version", "words", *(f.name for f in dataclasses.fields(Plan))}
    assert found["total_seconds"][0] == pytest.approx(2.0 + 30.0 + 1.2 + 20 * 0.5 + 4.0 + PROJECTING + 7.0)
    code, out, _ = janus("campaign", "plan", SMALL)
    assert (code, out.splitlines()) == (0, found["words"])
    assert not files(tmp_path)
    code, _, errors = janus("campaign", "plan", SMALL, "--set", "budget.simulations=3")
    assert code == 2
    assert "budget.simulations" in errors


def test_progress_tells_time_left_on_a_terminal_and_nothing_to_programs(monkeypatch, capsys):
    """Steps of 4 s from the sixth on, as a training that is gone on with: plain lines are at most every 10 s."""
    clock = iter(range(100, 200, 4))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with Progress() as tell:
        for step in range(6, 13):
            tell("training", step, 12)
        tell("simulation", 1, 1)
    assert capsys.readouterr().err.splitlines() == [
        "training: 9 of 12 in 12 s, 12 s left",
        "training: 12 of 12 in 24 s",
        "simulation: 1 of 1",
    ]
    with Progress(quiet=True) as tell:
        tell("training", 12, 12)
        tell.say("a word")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "a word\n")


def test_a_run_says_its_plan_to_people_alone(janus, tmp_path, monkeypatch):
    """A campaign of a second, which is gone on with: what its rounds took is known by then."""
    asked = []
    monkeypatch.setattr("loop.campaign.plan.measure", lambda *_: asked.append(1) or RATES)
    quick = ["loop.generator=gradient", "budget.simulations=40", "budget.rounds=1"]
    words = [word for setting in quick for word in ("--set", setting)]
    folder = tmp_path / "c"
    code, _, errors = janus("campaign", "run", SMALL, "--dir", folder, *words)
    assert code in (0, 3)
    assert errors.splitlines()[0] == "plan of small, 16 x 16, measured here:"
    assert len(asked) == 1
    code, _, errors = janus("campaign", "resume", folder)
    assert " designs after 1 rounds of " in errors.splitlines()[0]
    code, out, errors = janus("campaign", "run", SMALL, "--dir", folder, *words, "--json")
    assert json.loads(out)["rounds"] == 1
    assert (errors, len(asked)) == ("", 1)
