"""The report: what it says, that it needs nothing else, and that it can be made at any time."""

import re
import shutil

import pytest

from loop.campaign import Campaign
from loop.projections import designs_of
from loop.report import learning_sentence, write_report


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
        for name in ("kxx", "kyy"):
            for suffix in ("", "_lower", "_upper"):
                assert f"{design['properties'][name + suffix]:.4f}" in caption
    for event in campaign.journal.of("round"):
        assert f"{100 * event['probe_error_median']:.2f} %" in page
    assert learning_sentence([e["probe_error_median"] for e in campaign.journal.of("round")]) in page


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


@pytest.mark.slow
def test_the_latent_map(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    assert "UMAP of the latent space" in write_report(Campaign(copy)).read_text()
