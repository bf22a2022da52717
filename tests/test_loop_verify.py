"""The last word on a design: verdicts by interval, and verifications that fail, which never end a campaign."""

import dataclasses
import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from janus_al.material import conduction
from loop.campaign.campaign import Campaign
from loop.campaign.journal import read_events
from loop.campaign.opening import start
from loop.campaign.toml import load_config
from loop.design.targets import Target
from loop.output.projections import status
from loop.output.report import write_report
from loop.simulation.executors import open_executor
from loop.simulation.progress import Progress
from loop.simulation.verify import Check, judge, verdict, verify
from simulators import SOLVERS, DirectHomogenizer, FipyHomogenizer, HomogenizationError, generate

CONFIG = Path(__file__).with_name("small.toml")


@pytest.mark.parametrize(
    ("lower", "upper", "expected"),
    [(0.29, 0.31, "confirmed"), (0.29, 0.35, "undecided"), (0.31, 0.35, "undecided"), (0.33, 0.35, "refuted")],
)
def test_verdict_by_interval(lower, upper, expected):
    """Inside, outside, or across an end; exact properties are intervals of no width."""
    properties = {"kxx": 0.3, "kxx_lower": lower, "kxx_upper": upper, "volume_fraction": 0.4}
    assert verdict({"kxx": (0.28, 0.32), "volume_fraction": (0.0, 0.5)}, properties) == expected
    assert verdict({"kxx": (0.28, 0.32), "volume_fraction": (0.5, 1.0)}, properties) == "refuted"


ANYTHING = Target("t", {"kxx": (0.0, 1.0)})


def faulty(error):
    """A homogenizer that is wrong by 1e-6, or raises."""

    class Faulty(DirectHomogenizer):
        def __call__(self, image, phase_conductivity):
            if error is not None:
                raise error
            result = super().__call__(image, phase_conductivity)
            return dataclasses.replace(result, k=result.k * (1 + 1e-6))

    return Faulty


@pytest.mark.parametrize(
    ("solver", "error", "words"),
    [
        ("direct", None, r"direct gives .* where FiPy gives"),
        ("fipy", HomogenizationError("flux imbalance 1e-08"), r"^flux imbalance 1e-08$"),
        ("fipy", MemoryError(), r"^MemoryError"),
        ("fipy", ZeroDivisionError("x / 0"), r"^ZeroDivisionError: x / 0$"),
    ],
)
@pytest.mark.parametrize("certified", [False, True])
def test_verification_that_fails_leaves_a_design_undecided(solver, error, words, certified, monkeypatch):
    """A fast backend that FiPy contradicts, a refusal, and any error at all: no design, a reason, and no end."""
    monkeypatch.setitem(SOLVERS, solver, faulty(error))
    check = Check(conduction((0.1, 1.0)), "direct", certified)
    with ThreadPoolExecutor(1) as pool:
        found = verify(generate(1, 16, seed=0)[0], ANYTHING, check, pool)
    decided, reason = judge(found, ANYTHING, check)
    assert decided == "undecided"
    assert re.search(words, reason)


def test_verification_that_takes_too_long_leaves_a_design_undecided():
    """Its worker ends itself, and with it what hangs."""
    check = Check(conduction((0.1, 1.0)), "direct", certify=True, timeout=1e-3)
    with open_executor("process", 1) as pool:
        found = verify(generate(1, 64, seed=0)[0], Target("t", {"kxx": (0.3, 0.300001)}), check, pool)
    decided, reason = judge(found, ANYTHING, check)
    assert decided == "undecided"
    assert "longer" in reason


def test_backends_agree_where_kxy_is_nothing():
    """Of a mirror-symmetric periodic image kxy is rounding alone: compared with kxx and kyy, not with itself."""
    y, x = np.indices((16, 16))
    check = Check(conduction((0.1, 1.0), "periodic"), "direct", certify=False)
    with ThreadPoolExecutor(1) as pool:
        found = verify(((x - 7.5) ** 2 + (y - 7.5) ** 2 < 20).astype(np.uint8), ANYTHING, check, pool)
    assert judge(found, ANYTHING, check) == ("confirmed", "")


def test_campaign_goes_on_where_fipy_refuses(tmp_path, monkeypatch):
    """Of the designs found, FiPy refuses one and contradicts another: no designs, with reasons, and a normal end."""
    seen: list[bytes] = []

    class Moody(FipyHomogenizer):
        def __call__(self, image, phase_conductivity):
            result = super().__call__(image, phase_conductivity)
            seen.append(image.tobytes())
            match seen.index(image.tobytes()):
                case 0:
                    raise HomogenizationError("flux imbalance 2e-09")
                case 1:
                    return dataclasses.replace(result, k=result.k * (1 + 1e-6))
            return result

    settings = [
        "execution.solver=direct",
        "budget.rounds=4",
        "loop.probes=0",
        "training.steps=200",
        "loop.retrain_steps=20",
    ]
    config = load_config(CONFIG, overrides=settings)
    monkeypatch.setitem(SOLVERS, "fipy", Moody)

    def go_on(campaign):
        with ThreadPoolExecutor(1) as pool:
            return campaign.run(pool, "cpu", Progress(), lambda: None)

    campaign = start(tmp_path, config)
    state = go_on(campaign)
    assert state in ("done", "stopped")
    report = status(tmp_path)
    refused = report["unconfirmed"]
    assert [(row["verdict"], row["reason"].split()[0]) for row in refused] == [
        ("undecided", "flux"),
        ("undecided", "solver"),
    ]
    assert not {row["hash"] for row in refused} & {d["hash"] for d in campaign.designs()}
    assert campaign.designs()
    write_report(campaign, umap=False)
    assert "flux imbalance 2e-09" in (tmp_path / "report.html").read_text()
    # A round cut off before it was written down is done again, with the same refusals.
    lines = (tmp_path / "journal.jsonl").read_text().splitlines(keepends=True)
    last = max(n for n, line in enumerate(lines) if json.loads(line)["event"] == "round")
    (tmp_path / "journal.jsonl").write_text("".join(lines[:last]))
    assert go_on(Campaign(tmp_path)) == state
    assert status(tmp_path)["unconfirmed"] == refused
    assert [e["event"] for e in read_events(tmp_path / "journal.jsonl")][-1] == "finished"
