"""The report: what it says, that it needs nothing else, and that it can be made at any time."""

import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from loop.campaign.campaign import Campaign
from loop.output.latent_map import FEW, plane
from loop.output.lessons import coverage_sentence, learning_sentence
from loop.output.projections import designs_of, status
from loop.output.report import write_report


@pytest.mark.parametrize(
    ("errors", "words"),
    [
        ([], "cannot be said"),
        ([0.02], "cannot be said"),
        ([0.02, None, 0.015], "fell from 2.00% in the first of these 2 rounds to 1.50% in the last"),
        ([0.02, 0.01, 0.03], "did not fall: it went from 2.00% in the first of these 3 rounds to 3.00% in the last"),
        ([0.02, 0.02], "did not fall"),
    ],
)
def test_the_report_admits_what_it_learned(errors, words):
    assert words in learning_sentence(errors)


def test_every_design_and_figure_is_there(folder):
    page = (folder / "report.html").read_text()
    campaign = Campaign(folder)
    designs = designs_of(campaign)
    assert designs
    for design in designs:
        caption = page[page.index(f"<b>{design['name']}</b>") :][:600]
        assert "confirmed by interval" in caption
        for name in ("kxx", "kyy"):
            assert f"{design['properties'][name]:.4f}" in caption
            for suffix in ("_lower", "_upper"):
                assert f"{design['certificate']['properties'][name + suffix]:.4f}" in caption
    assert f"{len(designs)} of {len(designs)} designs confirmed by simulation,\nall of them by interval" in page
    assert "undecided" not in page
    for event in campaign.journal.of("round"):
        assert f"{100 * event['probe_error_median']:.2f} %" in page
    assert learning_sentence([e["probe_error_median"] for e in campaign.journal.of("round")]) in page


def test_the_report_says_how_far_its_intervals_could_be_trusted():
    rounds = [None, {"level": 0.9, "values": 20, "held": 17, "shots": 10, "hits_expected": 2.5, "hits": 3}]
    words = coverage_sentence([*rounds, rounds[1]])
    assert "hold 90% of what simulations find: it held 34 of 40 (85%). Of 20 first shots 5.0 were expected" in words
    assert words.endswith("6 did.")
    assert coverage_sentence([None]) == ""


def test_it_is_one_file(folder):
    """No script, nothing fetched: every source is in the page, and its policy forbids the rest."""
    page = (folder / "report.html").read_text()
    assert "<script" not in page
    assert "default-src 'none'" in page
    assert all(source.startswith("data:image/png") for source in re.findall(r'(?:src|href)="([^"]*)"', page))


def test_the_same_campaign_gives_the_same_page(folder):
    before = (folder / "report.html").read_bytes()
    write_report(Campaign(folder), umap=False)
    assert (folder / "report.html").read_bytes() == before


def test_a_campaign_without_rounds(folder, tmp_path):
    copy = tmp_path / "begun"
    shutil.copytree(folder, copy)
    lines = (copy / "journal.jsonl").read_text().splitlines(keepends=True)
    (copy / "journal.jsonl").write_text(
        "".join(line for line in lines if '"round": 0' in line or "campaign_id" in line)
    )
    page = write_report(Campaign(copy), umap=False).read_text()
    assert "0 of 4 designs confirmed" in page
    assert "None yet." in page
    assert "cannot be said" in page


def test_the_latent_map(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    assert "the latent space on a plane" in write_report(Campaign(copy)).read_text()


def test_few_latent_vectors_by_principal_components():
    """Of vectors that vary along two directions only, all distances are kept."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(40, 2)) @ np.linalg.qr(rng.normal(size=(6, 2)))[0].T + 3
    flat = plane(z)
    np.testing.assert_allclose(pdist(flat), pdist(z), rtol=1e-10)


@pytest.mark.slow
def test_many_latent_vectors_by_umap():
    """Two clouds in six dimensions stay two."""
    z = np.random.default_rng(0).normal(size=(FEW, 6)) + 20 * np.repeat([[0], [1]], FEW // 2, axis=0)
    one, two = np.split(plane(z), 2)
    assert np.linalg.norm(one.mean(0) - two.mean(0)) > 2 * max(one.std(), two.std())


# --- how a campaign stands


def begun(folder, copy, lines):
    """A copy of a campaign's folder whose journal has these lines only."""
    shutil.copytree(folder, copy)
    (copy / "journal.jsonl").write_text("".join(lines))
    return copy


def journal_of(folder):
    return (folder / "journal.jsonl").read_text().splitlines(keepends=True)


def test_a_campaign_that_no_process_runs_is_interrupted(folder, tmp_path, janus):
    lines = [line for line in journal_of(folder) if '"event": "finished"' not in line]
    copy = begun(folder, tmp_path / "a copy", lines)
    (copy / ".lock").unlink(missing_ok=True)
    before = sorted(copy.rglob("*"))
    report = status(copy)
    assert report["state"] == "interrupted"
    assert report["reason"] == f"go on with `janus-al campaign resume '{copy}'`"
    assert sorted(copy.rglob("*")) == before
    code, out, _ = janus("campaign", "status", copy)
    assert (code, out.splitlines()[0].startswith(f"interrupted: go on with `janus-al campaign resume '{copy}'`; ")) == (
        0,
        True,
    )
    hold = "import sys; from loop.commands.run import locked; from pathlib import Path\n"
    hold += f"with locked(Path({str(copy)!r})):\n print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-P", "-c", hold], stdin=-1, stdout=-1, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        assert [status(copy)["state"] for _ in range(3)] == ["running"] * 3
        assert "running: under way; " in janus("campaign", "status", copy)[1]
        holder.kill()
    assert status(copy)["state"] == "interrupted"
    assert status(folder)["state"] in {"done", "stopped"}


def test_a_failed_simulation_was_paid(folder, tmp_path, janus):
    lines = journal_of(folder)
    failed = {"event": "shard", "time": 0, "round": 1, "file": None, "sha256": None, "samples": 0, "simulated": 0}
    failed |= {"failed": [{"hash": 64 * "a", "reason": "none"}, {"hash": 64 * "b", "reason": "none"}], "seconds": 0}
    copy = begun(folder, tmp_path / "c", [*lines, json.dumps(failed) + "\n"])
    before, after = status(folder)["simulations"], status(copy)["simulations"]
    assert before["spent"] == before["done"] == Campaign(folder).journal.of("round")[-1]["spent"]
    assert after == {**before, "failed": 2, "spent": before["done"] + 2}
    words = f"{after['spent']} of 90 simulations spent, 2 of them failed"
    assert words in janus("campaign", "status", copy)[1]
    assert words in " ".join(write_report(Campaign(copy), umap=False).read_text(encoding="utf-8").split())


def test_counts_are_right_after_a_kill_at_any_point(folder, tmp_path):
    """Every journal that a kill can leave, the last line torn."""
    lines, whole = journal_of(folder), status(folder)
    copy = begun(folder, tmp_path / "c", [])
    spent, samples = 0, 0
    for number, line in enumerate(lines):
        (copy / "journal.jsonl").write_text("".join(lines[:number]) + line[: len(line) // 2])
        report, events = status(copy), [json.loads(earlier) for earlier in lines[:number]]
        assert spent <= report["simulations"]["spent"] <= whole["simulations"]["spent"]
        spent, samples = report["simulations"]["spent"], max(samples, report["samples"])
        shards = [e for e in events if e["event"] == "shard"]
        for probes, told in ((False, report["simulations"]["done"]), (True, report["simulations"]["probes"]["spent"])):
            assert told == sum(e["simulated"] for e in shards if e["probes"] == probes)
        assert report["rounds"] == len([e for e in events if e["event"] == "round"])
        designs = [d for e in events if e["event"] == "round" for d in e["designs"]]
        assert sum(t["designs"] for t in report["targets"]) == len(designs)
        ended = any(e["event"] == "finished" for e in events)
        assert report["state"] == (whole["state"] if ended else "interrupted")
    assert samples == whole["samples"] == len(Campaign(folder).ledger.samples())


def test_the_report_of_an_interrupted_campaign_says_so_without_a_map(folder, tmp_path, janus):
    """`umap = false` holds for `campaign report`, too."""
    copy = begun(folder, tmp_path / "c", [line for line in journal_of(folder) if '"finished"' not in line])
    code, _, err = janus("campaign", "report", copy)
    assert (code, err) == (0, "")
    page = (copy / "report.html").read_text(encoding="utf-8")
    assert "by UMAP" not in page
    assert "interrupted: go on with" in " ".join(page.split())
