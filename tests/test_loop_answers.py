"""What a simulator of the user's may answer: what can be stored, or a failure with its reason, and never an end."""

import json
import sys

import numpy as np
import pytest

from janus_al import dataset
from janus_al.material import Material, Physics, conduction
from janus_al.properties import Property
from loop.design.feasible import check_reachable
from loop.design.targets import Target, TargetError
from loop.simulation.executors import open_executor
from loop.simulation.rows import result_at, to_samples
from loop.simulation.simulate import Execution, limits_of, merged, simulate
from simulators import CatalogueError, Failure, Result, generate, make, run
from simulators.catalogue import limits

IMAGE = generate(1, 8, 0)[0]
ROW = Property("odd", log=False)
WRONG = {
    "complex": (lambda: {"odd": np.complex128(1 + 2j)}, "odd = (1+2j); it must be a finite number"),
    "beyond floats": (lambda: {"odd": 10**400}, "OverflowError"),
    "no result": (lambda: None, "TypeError"),
    "bounds crossed": (lambda: Result({"odd": 1.0}, lower={"odd": 2.0}), "odd = 1, which is not between 2 and 1"),
    "infinite bound": (lambda: Result({"odd": 1.0}, upper={"odd": np.inf}), "upper odd = inf"),
    "no bound": (lambda: Result({"odd": 1.0}, lower={"odd": None}), "lower odd = None"),  # type: ignore[dict-item]
    "plain": (lambda: Result({"odd": 1.0}, plain={"odd": np.nan}), "plain odd = nan"),
    "shape": (lambda: Result({"odd": 1.0}, sensitivity={"odd": np.zeros(7)}), r"(7,) of an image (8, 8)"),
    "NaN": (lambda: Result({"odd": 1.0}, sensitivity={"odd": IMAGE * np.nan}), "not finite"),
    "float32": (lambda: Result({"odd": 1.0}, sensitivity={"odd": IMAGE * 1e38}), "not finite"),
    "exit": (lambda: exit(0), "SystemExit: 0"),
    "many lines": (lambda: 1 / 0, "ZeroDivisionError: division by zero"),
    "its own": (lambda: Failure("no\nluck \udcff"), "no luck ?"),
}


def simulator(answer, many=False):
    """One that answers so, one image or many."""

    class Odd:
        properties = (ROW,)

        def __call__(self, image):
            return answer()

    class Odds(Odd):
        def many(self, images):
            return answer()

    return Odds() if many else Odd()


@pytest.mark.parametrize(("answer", "words"), WRONG.values(), ids=WRONG.keys())
def test_wrong_answers_are_failures(answer, words):
    (alone,) = run(simulator(answer), [IMAGE])
    (listed,) = run(simulator(lambda: [answer()], many=True), [IMAGE])
    assert isinstance(alone, Failure)
    assert alone == listed
    assert words in alone.reason


def test_many_that_answer_too_few_or_fall_are_failures():
    few = run(simulator(list, many=True), [IMAGE, IMAGE])
    assert few == [Failure("the simulator gave 0 results of 1 images")] * 2
    assert run(simulator(lambda: 1 / 0, many=True), [IMAGE]) == [Failure("ZeroDivisionError: division by zero")]


def test_odd_answers_are_stored_as_what_they_are(tmp_path):
    """Numbers of NumPy, lists, names that nobody asked for, and words of any length."""

    def answer():
        maps = {"odd": IMAGE.tolist()}
        values = {"odd": np.float32(0.5), "kxx": 99.0, "note": "x"}
        return Result(values, upper={"odd": 1, "kxx": 0.0}, sensitivity=maps, solver="λ" * 300, failures={"a": "b"})

    both = Material((*conduction((0.1, 1.0)).physics, Physics("odd:Odd", {}, ("odd",), rows=(ROW,))), "dirichlet")
    (found,) = run(simulator(answer), [IMAGE])
    assert found.values == {"odd": 0.5}
    result = merged(both, [Result({"kxx": 0.3, "kyy": 0.4}), found])
    assert json.loads(json.dumps(dict(result.values))) == {"kxx": 0.3, "kyy": 0.4, "odd": 0.5}
    assert result.failures == {}
    dataset.write(tmp_path / "a.h5", to_samples([IMAGE], [result], both), "test")
    again = result_at(dataset.read(tmp_path / "a.h5"), 0)
    assert again.values == result.values
    assert np.array_equal(again.sensitivity["odd"], IMAGE)
    assert again.solver.startswith("odd:Odd+λ") or again.solver.endswith("λ")


def test_only_what_is_asked_of_a_simulator_counts():
    """A configuration may use some of its properties, and another physics gives the rest."""

    class Two:
        properties = ("kxx", "kyy")

        def __call__(self, image):
            return {"kxx": 0.3, "kyy": 0.4}

    assert run(Two(), [IMAGE], ["kyy"])[0].values == {"kyy": 0.4}


LIMITS = {
    "raise": (lambda f: 1 / 0, "ZeroDivisionError: division by zero"),
    "none": (lambda f: None, "AttributeError"),
    "crossed": (lambda f: {"odd": (f + 1, f)}, "those of odd are no numbers, or the lower one is above the upper"),
    "no numbers": (lambda f: {"odd": (f * np.nan, f)}, "those of odd are no numbers"),
    "one": (lambda f: {"odd": f}, "too many values to unpack"),
    "shape": (lambda f: {"odd": (np.zeros(7), np.ones(7))}, "broadcast"),
}


def limited(answer):
    """A simulator with such limits."""
    odd = simulator(lambda: {"odd": 1.0})
    type(odd).limits = lambda self, fraction: answer(fraction)
    return odd


@pytest.mark.parametrize(("answer", "words"), LIMITS.values(), ids=LIMITS.keys())
def test_wrong_limits_are_refused(answer, words):
    with pytest.raises(CatalogueError, match=r"limits of Odd: .*; mend them, or leave them out") as refused:
        limits(limited(answer), np.linspace(0, 1, 9))
    assert words in str(refused.value)


def test_one_limit_may_stand_for_all_fractions():
    low, high = limits(limited(lambda f: {"odd": (0, 1.5)}), np.linspace(0, 1, 9))["odd"]
    assert low.tolist() == [0.0] * 9
    assert high.tolist() == [1.5] * 9


def test_no_image_conducts_aslant_more_than_half_the_means_differ():
    """Laminates at 45 degrees do; more is refused before anything is paid."""
    stripes = (np.add.outer(np.arange(16), np.arange(16)) % 16 < 8).astype(np.uint8)
    conduct = make("conduction", "periodic", {"conductivity": (0.1, 1.0), "solver": "direct"})
    low, high = limits(conduct, np.array([0.5]))["kxy"]
    assert (-low, high) == (pytest.approx((0.55 - 1 / 5.5) / 2), pytest.approx((0.55 - 1 / 5.5) / 2))
    assert 0.9 * high < abs(conduct(stripes).values["kxy"]) <= high
    with pytest.raises(TargetError, match="out of reach"):
        check_reachable(Target("t", {"kxy": (-9.0, -0.4)}, 1), ("kxy",), limits_of(conduction((0.1, 1.0), "periodic")))


NOISY = """
print("imported")
class Odd:
    properties = ("kyy",)
    def __init__(self, boundary):
        print("made")
    def __call__(self, image):
        print("called", flush=True)
        return {"kyy": 0.5}
"""


def test_what_a_simulator_prints_is_no_output_of_ours(tmp_path, monkeypatch, capfd):
    """It would spoil a command's JSON."""
    (tmp_path / "noisy_one.py").write_text(NOISY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    material = Material((Physics("noisy_one:Odd", {}, ("kyy",)),), "dirichlet")
    make("noisy_one:Odd", "dirichlet", {})
    with open_executor("process", 1) as executor:
        (found,) = simulate([IMAGE], material, Execution(executor, trusted=True))
    assert isinstance(found, Result)
    out, err = capfd.readouterr()
    assert out == ""
    assert "made" in err


def test_a_command_with_an_open_quote_is_refused():
    with pytest.raises(CatalogueError, match="No closing quotation; close it"):
        make("command", "dirichlet", {"command": "b 'x {input} {output}", "properties": ("E11",)})
