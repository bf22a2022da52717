"""What a report says of near misses and of each round, campaigns side by side, and how all pages look in a browser."""

import json
import math
import shutil

import chromium
import numpy as np
import pytest
from test_loop_outputs import refused

from loop.campaign.campaign import Campaign
from loop.campaign.journal import read_events
from loop.design.select import aligned_distance
from loop.output.comparison import write_comparison
from loop.output.intervals import Asked
from loop.output.lessons import taught
from loop.output.misses import _fell, near_misses
from loop.output.report import write_report

WIDER = """[...document.querySelectorAll("body *")].filter((e) => !e.closest(".scroll, pre") &&
e.getBoundingClientRect().right > document.documentElement.clientWidth + 1).map((e) => e.outerHTML.slice(0, 80))"""


def changed(folder, copy, change):
    """A copy of a campaign whose journal was changed event by event."""
    shutil.copytree(folder, copy)
    events = list(read_events(copy / "journal.jsonl"))
    change(events)
    (copy / "journal.jsonl").write_text("".join(json.dumps(e) + "\n" for e in events))
    return Campaign(copy)


def rejected(events, **told):
    """Take the last design from the target `value`, and say something else of its candidate."""
    event = next(
        e for e in reversed(events) if e["event"] == "round" and any(d["target"] == "value" for d in e["designs"])
    )
    design = next(d for d in event["designs"] if d["target"] == "value")
    event["designs"].remove(design)
    rows = (r for e in events if e["event"] == "round" for r in e["candidates_table"])
    row = next(r for r in rows if (r["hash"], r["target"]) == (design["hash"], "value"))
    row.update(told)
    return row


def test_a_candidate_that_no_interval_decides_is_undecided(folder, tmp_path):
    row = {}
    told = {"verdict": "undecided", "reason": "half-width 0.01 at 512x512: no finer image fits"}
    campaign = changed(folder, tmp_path / "c", lambda events: row.update(rejected(events, **told)))
    nearest, _ = near_misses(campaign)["value"]
    (miss,) = [m for m in nearest if m.hash == row["hash"]]
    assert (miss.rule, miss.why) == ("undecided", told["reason"])
    np.testing.assert_array_equal(miss.image, campaign.ledger.image(row["hash"]))
    page = write_report(campaign, umap=False).read_text()
    assert '<span class="rule">undecided</span>: half-width 0.01 at 512x512: no finer image fits' in page
    assert f"<b>kxx {row['final']['kxx']:#.4g}</b> [{row['final']['kxx_lower']:#.4g}, " in page


def test_a_candidate_that_misses_says_by_how_much(folder, tmp_path):
    far = {"kxx": 0.63, "kxx_lower": 0.62, "kxx_upper": 0.64, "kyy": 0.3, "volume_fraction": 0.5}
    campaign = changed(folder, tmp_path / "c", lambda events: rejected(events, met=False, final=far, verdict=None))
    nearest, more = near_misses(campaign)["value"]
    assert more + len(nearest) >= 1
    missed = [m for m in nearest if m.rule == "missed"]
    assert any(m.why == "kxx 0.63 is 100.0% above 0.315; the certified interval says so" for m in missed)
    offs = [max(a.off for a in m.asked) for m in missed]
    assert offs == sorted(offs)


def test_a_candidate_that_meets_its_target_is_like_another_or_not_needed(folder, tmp_path):
    row = {}
    campaign = changed(folder, tmp_path / "c", lambda events: row.update(rejected(events, verdict=None)))
    (design,) = [d for d in campaign.designs() if d["target"] == "value"]
    apart = aligned_distance(campaign.ledger.image(row["hash"]), campaign.ledger.image(design["hash"])[None])[0]
    target = next(t for t in campaign.targets if t.name == "value")
    assert apart > campaign.config.loop.min_distance
    assert _fell(campaign, target, [design], row, []) == (
        "one too many",
        "it meets the target; all designs wanted were there already",
    )
    same = {**row, "hash": design["hash"]}
    rule, why = _fell(campaign, target, [design], same, [])
    assert (rule, why) == ("too similar", f"differs from {design['name']} in 0.0% of its pixels where 5.0% are needed")


def test_a_candidate_whose_image_no_shard_has_is_damage(folder, tmp_path, janus):
    """A design's trials, too; said in one sentence, and not as a defect of ours."""
    changed(folder, tmp_path / "c", lambda events: rejected(events, hash=64 * "a"))
    refused(janus("campaign", "report", tmp_path / "c"), 4, "names the image aaaaaaaaaaaa..., which no shard has")
    events = list(read_events(folder / "journal.jsonl"))
    for event in events:
        for row in event.get("candidates_table", []):
            row["trials"] = [64 * "b" for _ in row["trials"]]
    (tmp_path / "c" / "journal.jsonl").write_text("".join(json.dumps(e) + "\n" for e in events))
    refused(janus("campaign", "report", tmp_path / "c"), 4, "names the image bbbbbbbbbbbb..., which no shard has")


def test_what_only_the_image_misses_is_geometry(folder):
    campaign = Campaign(folder)
    thin = Asked("min_feature_1", "", 2.0, None, (3.0, math.inf))
    parted = Asked("connected_x", "", 0.0, None, (1.0, math.inf))
    poor = Asked("kxx", "", 0.15, (0.1, 0.31), (0.3, math.inf))
    asked = _fell(campaign, campaign.targets[0], [], {}, [thin, parted])
    assert asked == ("geometry", "connected_x no, wanted yes")
    assert _fell(campaign, campaign.targets[0], [], {}, [thin]) == ("geometry", "min_feature_1 2, wanted ≥ 3")
    missed = _fell(campaign, campaign.targets[0], [], {}, [poor, thin])
    assert missed == ("missed", "kxx 0.15 is 50.0% below 0.3; its interval reaches in")


def test_what_each_round_taught():
    compared = {"samples": 9, "old": 0.03, "new": 0.02, "noise": 0.001}
    rounds = [
        {"round": n, "simulations": 5 * n, "probe_error_median": error, "coverage": None}
        for n, error in ((1, 0.02), (2, None), (3, 0.01))
    ]
    trained = [
        {"round": 0},
        {"round": 1, "guard": {"accepted": True, "test": compared, "proposals": None}},
        {"round": 2, "guard": {"accepted": False}},
    ]
    rows = taught(rounds, trained)
    assert [r["verdict"] for r in rows] == ["the new one", "the old one, as nothing was new", "no training followed"]
    assert [r["probes"] for r in rows] == [(0.02, None), (None, 0.01), (0.01, None)]
    assert [r["test"] for r in rows] == [compared, None, None]
    worse = taught(rounds[:1], [{"round": 1, "guard": {"accepted": False, "test": compared}}])
    assert worse[0]["verdict"] == "the old one, which errs less"
    assert taught(rounds[:1], [{"round": 1}])[0]["verdict"] == "not compared"


# --- campaigns side by side


@pytest.fixture
def pair(folder, tmp_path):
    """Two campaigns of which the second had more to spend."""
    one, other = (shutil.copytree(folder, tmp_path / name) for name in ("one", "other"))
    words = (other / "campaign.toml").read_text()
    assert "simulations = 90" in words
    (other / "campaign.toml").write_text(words.replace("simulations = 90", "simulations = 95"))
    return one, other


def test_campaigns_are_compared(pair, tmp_path, janus):
    out = tmp_path / "c.html"
    code, told, err = janus("campaign", "report", *pair, "--out", out, "--json")
    assert (code, err) == (0, "")
    report = json.loads(told)
    assert report["settings_that_differ"] == {"budget.simulations": ["90", "95"]}
    first, second = report["campaigns"]
    assert (first["label"], second["label"]) == ("one", "other")
    assert {k: v for k, v in first.items() if k not in ("label", "folder", "simulations")} == {
        k: v for k, v in second.items() if k not in ("label", "folder", "simulations")
    }
    rounds = Campaign(pair[0]).journal.of("round")
    errors = [
        r["error"] for e in rounds for r in e["candidates_table"] if r["target"] != "probe" and r["error"] is not None
    ]
    assert first["first_shot_error"]["targets"] == np.median(errors)
    assert first["course"][-1] == [rounds[-1]["spent"], first["designs"]]
    assert first["seconds"]["all"] >= sum(sum(e["seconds"].values()) for e in rounds)
    page = out.read_text()
    assert "<b>4</b> of 4" in page
    assert "budget.simulations" in page
    assert f"{100 * np.median(errors):.2f} %" in page
    assert "default-src 'none'" in page


def test_what_cannot_be_compared_is_refused(pair, tmp_path, janus):
    one, other = pair
    out = tmp_path / "c.html"
    refused(janus("campaign", "report", one, one / ".." / "one", "--out", out), 2, "named twice")
    refused(janus("campaign", "report", one, tmp_path, "--out", out), 2, str(tmp_path))
    assert not out.exists()
    refused(janus("campaign", "report", one, "--out", out), 2, "name at least two folders")
    refused(
        janus("campaign", "report", one, other, "--out", tmp_path / "no" / "c.html"), 2, "does not exist; make it first"
    )
    out.write_text("mine")
    refused(janus("campaign", "report", one, other, "--out", out, "--force"), 2, "is no comparison of campaigns")
    assert out.read_text() == "mine"
    out.unlink()
    write_comparison([one, other], out)
    refused(janus("campaign", "report", one, other, "--out", out), 2, "or --force to replace it")
    assert janus("campaign", "report", one, other, "--out", out, "--force")[0] == 0


def test_names_that_are_alike_are_told_apart(folder, tmp_path):
    places = [shutil.copytree(folder, tmp_path / n / "same") for n in ("a", "b")]
    report = write_comparison(places, tmp_path / "c.html")
    assert [c["label"] for c in report["campaigns"]] == [str(p) for p in places]


# --- in a browser


@pytest.mark.skipif(chromium.FOUND is None, reason="no Chromium is installed")
def test_no_page_is_wider_than_its_window(pair, tmp_path):
    """Report, comparison and dossier at 1200, 400 and 320 pixels; wide tables scroll by themselves."""
    write_report(Campaign(pair[0]), umap=False)
    write_comparison(pair, tmp_path / "c.html")
    dossier = next((pair[0] / "designs").iterdir()) / "index.html"
    with chromium.browser(tmp_path / "profile") as page:
        for path in (pair[0] / "report.html", tmp_path / "c.html", dossier):
            for width in (1200, 400, 320):
                page.open(path, width)
                page.ask("document.querySelectorAll('details').forEach((d) => d.open = true)")
                assert page.ask(WIDER) == []
                assert page.ask("document.documentElement.scrollWidth <= innerWidth")
        assert page.errors() == []
