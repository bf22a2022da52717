"""A journal that was edited, cut or mixed up is refused by line, before anything is derived from it."""

import dataclasses
import json
import os
import shutil

import numpy as np
import pytest

from janus_al.errors import DatasetError
from loop.campaign.journal import Journal, read_events
from loop.campaign.proposals import Proposals
from loop.design.candidates import Candidate
from loop.design.targets import Target

SHARD = {
    "round": 0,
    "file": "samples/a.h5",
    "sha256": "a" * 64,
    "samples": 3,
    "simulated": 3,
    "failed": [],
    "seconds": 1.0,
}
SOURCE = {"path": "generated", "digest": "b" * 64, "samples": 3, "simulated": 3}
TRAINED = {
    "round": 0,
    "model": "models/r0000",
    "seconds": 1,
    "dataset": {"samples": 3, "simulated": 3, "digest": "c" * 64},
    "weights": {"l_task": 1.0},
    "metrics": {},
}
CANDIDATE = {
    "target": "t1",
    "hash": "d" * 64,
    "predicted": {"kxx": 0.3, "kyy": 0.3},
    "first_shot": {"kxx": 0.3, "kyy": 0.3},
    "error": 0.1,
    "simulations": 1,
    "met": True,
}
ROUND = {
    "round": 1,
    "candidates": 1,
    "probes": 0,
    "first_shot_error_median": 0.1,
    "probe_error_median": None,
    "probe_error_mean": None,
    "hits": 1,
    "simulations": 1,
    "spent": 4,
    "seconds": {"inversion": 1.0},
    "designs": [{"target": "t1", "name": "t1-01", "hash": "d" * 64}],
    "candidates_table": [CANDIDATE],
}
EVENTS = [
    {"event": "shard", "time": 1.0, **SHARD},
    {"event": "campaign", "time": 2.0, "campaign_id": "e", "name": "small", "seed": 0, "source": SOURCE},
    {"event": "trained", "time": 3.0, **TRAINED},
    {"event": "shard", "time": 4.0, **SHARD, "round": 1},
    {"event": "round", "time": 5.0, **ROUND},
    {"event": "finished", "time": 6.0, "state": "done", "reason": "targets met"},
]
SHARD_LINE, CAMPAIGN_LINE, TRAINED_LINE, ROUND_LINE, LAST_LINE = 1, 2, 3, 5, 6


def written(path, events):
    path.write_text("".join(e if isinstance(e, str) else json.dumps(e) + "\n" for e in events))
    return path


def changed(number, **fields):
    """The journal with fields of a line changed, `...` removes one."""
    event = {k: v for k, v in {**EVENTS[number - 1], **fields}.items() if v is not ...}
    return [*EVENTS[: number - 1], event, *EVENTS[number:]]


def with_line(number, text):
    return [*EVENTS[: number - 1], text, *EVENTS[number:]]


def row(**fields):
    return changed(ROUND_LINE, candidates_table=[{**CANDIDATE, **fields}])


def design(**fields):
    return changed(ROUND_LINE, designs=[{**ROUND["designs"][0], **fields}])


def proposed(**fields):
    proposal = {"target": "t1", "wanted": {"kxx": [0.2, None]}, "probe": True, "predicted": {"kxx": 0.3, "kyy": 0.3}}
    event = {"event": "proposed", "time": 1.0, "round": 0, "file": "proposals/a.npy", "sha256": "a" * 64}
    return [{**event, "candidates": [{**proposal, **fields}]}, *EVENTS]


WRONG = {
    "null": (with_line(3, "null\n"), 3, "it is no JSON object"),
    "a number": (with_line(3, "3\n"), 3, "it is no JSON object"),
    "an empty line": (with_line(3, "\n"), 3, "EOF"),
    "half a line": (with_line(3, '{"event": \n'), 3, "EOF"),
    "no text": (with_line(3, '"\udcff"\n'.encode(errors="surrogateescape").decode("latin-1")), 3, "no JSON object"),
    "nested": (with_line(3, "[" * 9000 + "\n"), 3, "recursion limit"),
    "NaN": (with_line(2, '{"event": "a", "time": NaN}\n'), 2, "expected value"),
    "no name": (changed(1, event=...), 1, "event: Field required"),
    "name null": (changed(1, event=None), 1, "event: .*given: None"),
    "no time": (changed(4, time=...), 4, "time: Field required"),
    "time of text": (changed(4, time="now"), 4, "time: .*given: 'now'"),
    "shard without round": (changed(1, round=...), 1, "round: Field required"),
    "round of text": (changed(1, round="0"), 1, "round: .*given: '0'"),
    "round below 0": (changed(4, round=-1), 4, "round: "),
    "round of half": (changed(4, round=0.5), 4, "round: "),
    "shard outside": (changed(1, file="../../evil.h5"), 1, "file: it names a file .* where 2 plain names"),
    "shard at the root": (changed(1, file="/etc/passwd"), 1, "file: it names a file .* where 2 plain names"),
    "shard without sum": (changed(1, sha256=None), 1, "all or none"),
    "vast shard": (changed(1, samples=10**30), 1, "samples: "),
    "failed null": (changed(1, failed=None), 1, "failed: "),
    "failed of text": (changed(1, failed=["a"]), 1, r"failed\[0\]"),
    "failed of an odd twin": (changed(1, failed=[{"hash": "a" * 64, "canonical": [], "reason": ""}]), 1, "canonical: "),
    "shard without seconds": (changed(1, seconds=...), 1, "seconds: Field required"),
    "shard of seconds null": (changed(4, seconds=None), 4, "seconds: .*given: None"),
    "more simulated than there are": (changed(1, simulated=4), 1, "4 simulated of 3 samples"),
    "nothing wanted": (proposed(wanted={}), 1, r"candidates\[0\]\.wanted: "),
    "a wanted property unknown": (proposed(wanted={"kuu": [0.1, 0.2]}), 1, r"candidates\[0\]\.wanted\.kuu"),
    "nothing predicted": (proposed(predicted={}), 1, r"candidates\[0\]\.predicted: .*given: {}"),
    "text predicted": (proposed(predicted={"kxx": "0.3"}), 1, r"candidates\[0\]\.predicted\.kxx: .*given: '0\.3'"),
    "no source": (changed(2, source=None), 2, "source: "),
    "no campaign id": (changed(2, campaign_id=...), 2, "campaign_id: Field required"),
    "model outside": (changed(3, model="../model"), 3, "model: it names a file .* where 2 plain names"),
    "weights null": (changed(3, weights=None), 3, "weights: "),
    "metrics of text": (changed(3, metrics={"kxx_r2": "good"}), 3, r"metrics\.kxx_r2: "),
    "no designs": (changed(5, designs=...), 5, "designs: Field required"),
    "seconds null": (changed(5, seconds=None), 5, "seconds: "),
    "no spent": (changed(5, spent=...), 5, "spent: Field required"),
    "evil design": (design(name="../../evil"), 5, r"designs\[0\]\.name: it names a file .* where a plain name"),
    "design in a folder": (design(name="a/b"), 5, r"designs\[0\]\.name: it names a file 'a/b' where a plain name"),
    "design of no name": (design(name=""), 5, r"designs\[0\]\.name: "),
    "design of a dot": (design(name="."), 5, r"designs\[0\]\.name: "),
    "design of no candidate": (design(hash="f" * 64), 5, "none of the candidates so far"),
    "hash of text": (design(hash="evil"), 5, r"designs\[0\]\.hash: "),
    "candidate null": (changed(5, candidates_table=[None]), 5, r"candidates_table\[0\]: "),
    "prediction lost": (row(predicted={}), 5, r"candidates_table\[0\]\.predicted: .*given: {}"),
    "first shot lost": (row(first_shot={}), 5, r"candidates_table\[0\]\.first_shot: .*given: {}"),
    "met of text": (row(met="yes"), 5, r"candidates_table\[0\]\.met: "),
    "another end": (changed(6, state="over"), 6, "state: "),
    "no first line": (EVENTS[1:], 1, "0 samples of 3: lines before it are missing"),
    "no beginning": (EVENTS[2:], 1, "'trained' before the campaign began: lines before it are missing"),
    "the end alone": (EVENTS[5:], 1, "'finished' before the campaign began"),
    "two beginnings": ([*EVENTS[:2], *EVENTS], 4, "begins a second time"),
    "a round twice": ([*EVENTS[:5], EVENTS[4]], 6, "round 1 where round 2 belongs"),
    "a round missing": (changed(5, round=2), 5, "round 2 where round 1 belongs"),
    "a design twice": ([*EVENTS[:5], {**EVENTS[4], "round": 2}], 6, "named before"),
}


@pytest.mark.parametrize(("events", "number", "words"), WRONG.values(), ids=WRONG.keys())
def test_refused_by_line(tmp_path, events, number, words):
    path = written(tmp_path / "journal.jsonl", events)
    before = path.read_bytes()
    with pytest.raises(
        DatasetError, match=rf"journal\.jsonl: line {number} is damaged \(.*{words}.*\); rest"
    ) as caught:
        Journal(path)
    assert len(str(caught.value).splitlines()) == 1
    assert path.read_bytes() == before


def test_what_it_does_not_know_is_let_through(tmp_path):
    """Events of other names and further fields, as a later version may write them."""
    events = [*EVENTS, {"event": "resubmitted", "time": 7.0, "images": "x"}, {**EVENTS[3], "more": [None], "time": 8}]
    assert list(read_events(written(tmp_path / "journal.jsonl", events))) == events


def test_nothing_yet(tmp_path):
    """No journal, an empty one, and one whose only line a crash tore: a campaign that has not begun."""
    path = tmp_path / "journal.jsonl"
    assert Journal(path).events == []
    for text in ("", '{"event": "shard", "ti'):
        path.write_text(text)
        assert Journal(path).events == []


def test_what_is_no_file(tmp_path):
    """Opening a pipe to which nobody writes would wait for ever."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(DatasetError, match="no file; restore the journal from a copy"):
            Journal(path)


@pytest.mark.parametrize(
    ("targets", "rows", "words"), [(("other",), 2, "candidate for 't1', which is none of"), (("t1",), 1, "1 .* of 2")]
)
def test_proposals_are_those_of_the_campaign(tmp_path, targets, rows, words):
    journal = Journal(tmp_path / "journal.jsonl")
    wanted = Target("t1", {"kxx": (0.2, 0.4)})
    candidate = Candidate(wanted, False, np.zeros((4, 4)), {"kxx": 0.3, "kyy": 0.3})
    proposals = Proposals(tmp_path, journal, "dirichlet")
    proposals.commit_candidates(1, [candidate, candidate])
    assert len(proposals.candidates(1, [wanted])) == 2
    event = journal.of("proposed")[0]
    event["candidates"] = event["candidates"][:rows]
    with pytest.raises(DatasetError, match=words):
        proposals.candidates(1, [dataclasses.replace(wanted, name=name) for name in targets])


def test_commands_refuse_it(folder, tmp_path, janus):
    """Every command that reads a journal: exit code 4 and one sentence; the folder stays as it was."""
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    path = copy / "journal.jsonl"
    whole = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*whole[:2], "null\n", *whole[2:]]))
    before = {p: p.read_bytes() for p in copy.rglob("*") if p.is_file()}
    for command in (["status"], ["resume"], ["report"], ["sync"]):
        code, out, err = janus("campaign", *command, copy)
        words = f"janus-al: {path}: line 3 is damaged (it is no JSON object); restore the journal from a copy\n"
        assert (code, out, err) == (4, "", words), command
    assert {p: p.read_bytes() for p in copy.rglob("*") if p.is_file()} == before


def test_an_empty_journal_has_nothing_to_report(folder, tmp_path, janus):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "journal.jsonl").write_bytes(b"")
    code, out, err = janus("campaign", "report", copy)
    assert (code, out) == (4, "")
    assert err == "janus-al: no samples to join: the campaign has none yet; run or resume it first\n"
