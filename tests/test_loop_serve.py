"""The page's API: what it tells is what files say; what it refuses, who may ask, and that nothing leaves its folder."""

import contextlib
import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import tomllib
import zipfile
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from matplotlib.path import Path as Outline
from pages import blocks
from serving import ask, live

from janus_al import dataset
from loop.campaign.config import ConfigError
from loop.campaign.toml import parse_config
from loop.design.targets import TargetError
from loop.output.projections import status
from loop.serve import shelf
from loop.serve.access import LARGEST, Access
from loop.serve.app import application
from loop.serve.check import check
from loop.serve.jobs import BusyError, Jobs
from loop.serve.region import drawn, regions
from loop.serve.trust import FILES

ROOT = Path(__file__).parents[1]
SECRET = b"not to be seen"
TOKEN = "a-token-of-sixteen-or-more"
JSON = {"Content-Type": "application/json"}
TINY = {
    "name": "tiny",
    "microstructure": {"size": 32, "phase_conductivity": [0.1, 1.0]},
    "network": {"start": "janus-32"},
    "target": [{"words": "kxx = 0.3 ± 1 %", "designs": 2}],
    "loop": {"probes": 0},
    "budget": {"rounds": 2, "simulations": 60, "probes": 0},
    "execution": {"umap": False, "workers": 1},
}


def laid(folder, parent):
    """A folder with a finished campaign, `whole`, beside a file that is none of its own."""
    (parent / "secret").write_bytes(SECRET)
    shutil.copytree(folder, parent / "campaigns" / "whole")
    return parent / "campaigns"


@pytest.fixture
def place(folder, tmp_path):
    return laid(folder, tmp_path)


@pytest.fixture(scope="module")
def still(folder, tmp_path_factory):
    """One that no test writes to."""
    return laid(folder, tmp_path_factory.mktemp("still"))


@pytest.fixture(scope="module")
def client(still):
    return of(still)


def of(root, access=None, most=2, trust=False):
    """A client of an application over a folder."""
    access = access or Access.at("127.0.0.1", 8765, "")
    return TestClient(application(root, access, most, trust), "http://127.0.0.1:8765", follow_redirects=False)


def first(client, name="whole"):
    return client.get(f"/api/campaigns/{name}").json()["designs"][0]


# --- what it tells


def test_a_campaign_is_told_as_its_status_says(client, still):
    told, said = client.get("/api/campaigns/whole").json(), status(still / "whole")
    for key in ("state", "reason", "targets", "simulations", "rounds", "rounds_table", "unconfirmed", "models"):
        assert told[key] == json.loads(json.dumps(said[key])), key
    (row,) = client.get("/api/campaigns").json()["campaigns"]
    assert (row["name"], row["state"], row["designs"]) == ("whole", said["state"], len(told["designs"]))
    assert str(still) not in json.dumps(told), "a path of this machine"


def test_a_design_is_told_as_its_file_says_and_packed_byte_by_byte(client, still):
    design = first(client)
    own = still / "whole" / "designs" / design["name"]
    said = json.loads((own / "design.json").read_text())
    told = client.get(f"/api/campaigns/whole/designs/{design['name']}").json()
    for key in ("properties", "verdict", "lineage", "certificate", "units", "likeness", "features"):
        assert told[key] == said[key], key
    assert told["asked"] == said["target"]
    packed = client.get(f"/api/campaigns/whole/designs/{design['name']}/dossier.zip")
    assert packed.headers["content-disposition"].endswith(f"whole-{design['name']}.zip")
    with zipfile.ZipFile(io.BytesIO(packed.content)) as archive:
        found = {name: archive.read(name) for name in archive.namelist()}
    there = {f"{design['name']}/{path.relative_to(own)}": path.read_bytes() for path in own.rglob("*")}
    assert found == there
    assert set(told["files"]) == {name.partition("/")[2] for name in there}
    for name in told["files"]:
        assert (
            client.get(f"/api/campaigns/whole/designs/{design['name']}/files/{name}").content
            == (own / name).read_bytes()
        )


def test_a_dossier_that_is_being_written_is_not_handed_out(place):
    """A folder's design.json names files without their digests until all are there."""
    client, name = of(place), first(of(place))["name"]
    path = place / "whole" / "designs" / name / "design.json"
    whole = json.loads(path.read_text())
    assert client.get(f"/api/campaigns/whole/designs/{name}/dossier.zip").status_code == 200
    claimed = {file: {"sha256": ""} for file in whole["files"]}
    path.write_text(json.dumps(whole | {"files": claimed}))
    with (place / "whole" / "journal.jsonl").open("a") as file:
        file.write(json.dumps({"event": "extended", "time": 1.0}) + "\n")
    client.app.app.state.board.look(again=True)
    assert client.get(f"/api/campaigns/whole/designs/{name}").json()["files"] == []
    refused = client.get(f"/api/campaigns/whole/designs/{name}/dossier.zip")
    assert refused.status_code == 404
    assert "not written yet" in refused.text


def test_what_has_not_changed_is_not_sent_again_and_what_has_is(place):
    client = of(place)
    board = client.app.app.state.board
    for path in ("/", "/campaigns/whole", "/api/campaigns", "/api/campaigns/whole"):
        tag = client.get(path).headers["etag"]
        assert client.get(path, headers={"If-None-Match": tag}).status_code == 304
        assert client.get(path, headers={"If-None-Match": tag}).content == b""
    before = client.get("/api/campaigns/whole")
    with (place / "whole" / "journal.jsonl").open("a") as file:
        file.write(json.dumps({"event": "extended", "time": 1.0}) + "\n")
    board.look(again=True)
    after = client.get("/api/campaigns/whole", headers={"If-None-Match": before.headers["etag"]})
    assert (before.json()["state"], after.status_code, after.json()["state"]) == ("done", 200, "interrupted")


def test_a_damaged_campaign_is_told_and_the_others_are_too(place):
    client = of(place)
    shutil.copytree(place / "whole", place / "worse")
    (place / "worse" / "journal.jsonl").write_text('{"event": 3}\n')
    client.app.app.state.board.look(again=True)
    worse = client.get("/api/campaigns/worse").json()
    assert worse["state"] == "unreadable"
    assert "journal.jsonl: line 1 is damaged" in worse["reason"]
    assert client.get("/").status_code == client.get("/campaigns/worse").status_code == 200
    assert client.get("/api/campaigns/whole").json()["state"] == "done"


def test_what_files_say_is_text_and_no_markup(place):
    client = of(place)
    design = first(client)["name"]
    path = place / "whole" / "designs" / design / "design.json"
    path.write_text(path.read_text().replace('"verdict": "confirmed', '"verdict": "<script>alert(1)</script>', 1))
    client.app.app.state.board.known.clear()
    client.app.app.state.board.look(again=True)
    page = client.get(f"/campaigns/whole/designs/{design}").text
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert" not in page


@pytest.mark.parametrize(
    "words", ["", "[]", "{}", '{"target": {}, "properties": []}', "[" * 9999, '{"properties": {"kxx": NaN}}']
)
def test_a_design_that_is_half_written_is_told_as_that(place, words):
    client = of(place)
    design = first(client)["name"]
    (place / "whole" / "designs" / design / "design.json").write_text(words)
    client.app.app.state.board.known.clear()
    client.app.app.state.board.look(again=True)
    assert client.get("/campaigns/whole").status_code == 200
    assert "not written yet" in client.get(f"/campaigns/whole/designs/{design}").text
    assert first(client) == {"name": design, "files": [], "target": "value"}


def test_the_description_names_every_route(client):
    told = client.get("/api/openapi.json").json()
    page = client.get("/api/docs").text
    assert "/api/check" in told["paths"]
    assert all(path in page for path in told["paths"])
    assert "http" not in re.sub(r"http://www\.w3\.org\S+", "", page), "the page fetches something"


# --- a configuration, checked


CHANGES = [
    {"target": [{"kxx": 3.0}]},
    {"target": [{"kxx": 0.3, "designs": 900}]},
    {"target": [{"E11": 0.3}]},
    {"target": []},
    {"microstructure": {"size": 32, "phase_conductivity": [1.0, 1.0]}},
    {"microstructure": {"size": [32, 32, 32], "phase_conductivity": [0.1, 1.0]}},
    {"budget": {"simulations": 0}},
    {"budget": {"simulation": 100}},
    {"loop": {"candidates": "six"}},
    {"network": {"start": str(ROOT / "data" / "janus-32"), "size": 16}},
    {"seed": -1},
    {"training": {"stepz": 3}},
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: json.dumps(change)[:40])
def test_it_refuses_in_the_words_of_the_command_line(client, change):
    import tomli_w

    table = {**TINY, "target": [{"kxx": 0.3}], "network": {"start": str(ROOT / "data" / "janus-32")}, **change}
    with pytest.raises((ConfigError, TargetError)) as caught:
        parse_config(tomli_w.dumps(table))
    table["network"] = {**table["network"], "start": "janus-32"}
    for sent in ({"config": table}, {"toml": tomli_w.dumps(table)}):
        told = client.post("/api/check", json=sent).json()
        assert not told["ok"]
        assert told["refusal"] == str(caught.value).removeprefix("configuration: ")
    started = client.post("/api/campaigns", json={"name": "new", "config": table})
    assert (started.status_code, started.json()) == (422, {"error": told["refusal"]})


def test_words_may_be_lengths(client):
    """Where a pixel's is known; where it is not, the sentence says where to say it."""
    config = {**TINY, "target": [{"words": "kxx = 0.3, min_feature >= 1um"}]}
    assert "microstructure.pixel" in client.post("/api/check", json={"config": config}).json()["refusal"]
    config["microstructure"] = {**TINY["microstructure"], "pixel": "0.5um"}
    told = client.post("/api/check", json={"config": config}).json()
    assert told["refusal"] is None
    assert [feature["value"] for feature in tomllib.loads(told["toml"])["target"][0]["min_feature"]] == [2, 2]


def test_a_shipped_model_is_refused_by_its_name(client):
    """Not by where it is installed."""
    config = {**TINY, "network": {"start": "janus-32-volume"}}
    assert (
        "model to start from, janus-32-volume, " in client.post("/api/check", json={"config": config}).json()["refusal"]
    )


def test_words_mean_what_they_mean_at_the_command_line(client):
    words = "kxx = 0.3 ± 2 %, volume_fraction <= 0.5; max kyy, min_feature_1 >= 3, connected = xy, like >= 0.9"
    told = client.post("/api/check", json={"config": {**TINY, "target": [{"words": words}]}}).json()
    (target,) = parse_config(told["toml"].replace('"janus-32"', f'"{ROOT}/data/janus-32"')).targets()
    assert told["ok"]
    assert target.intervals == {"kxx": (0.3 - 0.3 * 0.02, 0.3 + 0.3 * 0.02), "volume_fraction": (0.0, 0.5)}
    assert (target.best, target.geometry.features, target.geometry.connected) == ({"kyy": 1}, (1, 3), "xy")
    assert target.geometry.like == 0.9


def test_the_region_holds_all_that_was_ever_simulated_and_ends_at_the_laminates():
    config = parse_config(
        'name="x"\n[microstructure]\nphase_conductivity=[0.1,1.0]\n[dataset.generate]\n[[target]]\nkxx=0.3'
    )
    (region,) = regions(config, config.targets())
    samples = dataset.read(ROOT / "data" / "quickstart.h5")
    rows = samples.simulated
    points = np.column_stack([samples.column(name)[rows] for name in region.names])
    outline = Outline(np.log(region.whole))
    assert len(points) > 50
    assert outline.contains_points(np.log(points), radius=1e-3).all()
    across = [x for x, _ in region.whole]
    assert (min(across), max(across)) == (0.1, 1.0)
    for fraction in (0.2, 0.5, 0.8):
        laminate = 1 / ((1 - fraction) / 0.1 + fraction), 0.1 * (1 - fraction) + fraction
        upper = np.interp(laminate[0], *zip(*region.whole[: region.whole.index((1.0, 1.0)) + 1], strict=True))
        assert upper == pytest.approx(laminate[1], rel=5e-3)
    assert region.box == ((0.297, 0.303), (0.0, np.inf))


def test_a_target_out_of_reach_is_drawn_with_its_box_outside():
    found = check({**TINY, "target": [{"words": "kxx = 0.9, kyy = 0.2"}]}, rules())
    assert found.refusal.startswith("target kxx = 0.9")
    svg = found.regions["t1"]
    x, y, width, height = (
        float(re.search(rf'class="box"[^>]* {k}="([\d.]+)"', svg)[1]) for k in ("x", "y", "width", "height")
    )
    edge = [tuple(map(float, p.split())) for p in re.search(r'class="whole" d="M([^Z]*)Z', svg)[1].split("L")]
    assert not Outline(edge).contains_point((x + width / 2, y + height / 2))
    assert "<script" not in svg


def rules(root=Path("/nowhere"), trust=False):
    from loop.serve.check import Rules
    from loop.serve.offers import shipped

    return Rules(root, shipped(), trust)


def test_the_limit_drawn_is_that_of_the_configuration():
    """Beside all else that the target asks, as `loop.design.feasible` finds it."""
    for more in ("", "kxx = { min = 0.2 }\n", "kxx = { max = 0.15 }\n"):
        config = parse_config(
            'name="x"\n[microstructure]\nphase_conductivity=[0.1,1.0]\n[dataset.generate]\n[[target]]\nkyy="max"\n'
            f"volume_fraction={{max=0.4}}\n{more}"
        )
        (region,) = regions(config, config.targets())
        assert region.limit(1) == pytest.approx(config.reach["t1"].best["kyy"], rel=5e-3), more
        assert region.limit(0) is None


def test_a_region_of_one_fraction_lies_within_the_whole():
    config = parse_config(
        'name="x"\n[microstructure]\nphase_conductivity=[0.1,1.0]\n[dataset.generate]\n[[target]]\nkxx={max=0.3}\n'
        "volume_fraction=0.4"
    )
    (region,) = regions(config, config.targets())
    whole = Outline(np.log(region.whole))
    assert (
        whole.contains_points(np.log(region.allowed), radius=-1e-2).all()
        or whole.contains_points(np.log(region.allowed), radius=1e-2).all()
    )
    assert drawn(region).count("<path") > 3


# --- what a configuration must not name


EVIL = [
    {"loop": {"generator": "evil_module:Class"}},
    {"loop": {"acquisition": "evil_module:take"}},
    {"physics": [{"simulator": "evil_module:Class", "conductivity": [0.1, 1.0]}]},
    {"physics": [{"command": "touch {output}", "properties": ["kxx"]}]},
    {"physics": {"command": "touch {output}", "properties": ["kxx"]}},
    {"physics": [{"simulator": "command", "properties": ["kxx"]}]},
    {"execution": {"executor": "dask://evil.example:8786"}},
    {"execution": {"executor": "slurm"}},
    {"network": {"start": "../secret"}},
    {"network": {"start": "/etc"}},
    {"network": {"start": "whole/../../secret"}},
    {"network": {"start": "link/model"}},
    {"network": {"start": ".serve"}},
    {"dataset": {"source": "/etc/passwd"}},
    {"dataset": {"source": "..\\secret"}},
    {"dataset": {"test": "a\0b"}},
    {"microstructure": {"size": 100000, "phase_conductivity": [0.1, 1.0]}},
    {"target": [{"kxx": 0.3}] * 51},
]


@pytest.mark.parametrize("change", EVIL, ids=lambda change: json.dumps(change)[:50])
def test_what_runs_code_or_leaves_the_folder_is_refused_by_name(place, change, tmp_path, monkeypatch):
    (tmp_path / "evil_module.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nClass = take = print\n")
    monkeypatch.syspath_prepend(tmp_path)
    (place / "link").symlink_to(tmp_path)
    client, table = of(place), {**TINY, **change}
    before = sorted(path.name for path in place.rglob("*"))
    told = client.post("/api/check", json={"config": table}).json()
    (section, (key, *_)) = next((s, list(v[0] if isinstance(v, list) else v)) for s, v in change.items())
    assert not told["ok"]
    assert told["refusal"].startswith((f"{section}.{key}", "target: 51"))
    assert "--trust" in told["refusal"]
    answer = client.post("/api/campaigns", json={"name": "new", "config": table})
    assert (answer.status_code, answer.json()["error"]) == (403, told["refusal"])
    assert sorted(path.name for path in place.rglob("*")) == before
    assert not (tmp_path / "ran").exists()


def test_with_trust_it_may_name_them(place, tmp_path):
    table = {**TINY, "loop": {"generator": "examples.nothing:Here"}}
    refusal = check(table, rules(place, trust=True)).refusal
    assert "install it, or add its folder" in refusal, "it was looked for"


def test_every_path_of_a_configuration_is_looked_at():
    """A key that holds a path and is not in the list would lead anywhere."""
    from loop.campaign.config import CampaignConfig, Dataset, Network

    found = {("network", f) for f, kind in Network.__annotations__.items() if "Path" in str(kind)}
    found |= {("dataset", f) for f, field in Dataset.model_fields.items() if "Path" in str(field.annotation)}
    assert found == set(FILES)
    others = [str(field.annotation) for name, field in CampaignConfig.model_fields.items() if name != "dataset"]
    assert not any("Path" in words for words in others)


def test_a_campaign_that_names_code_is_listed_and_not_read(place, tmp_path):
    shutil.copytree(place / "whole", place / "other")
    path = place / "other" / "campaign.toml"
    path.write_text(path.read_text().replace('generator = "janus"', 'generator = "evil:Class"'))
    told = of(place).get("/api/campaigns/other").json()
    assert (told["state"], told["can"]) == ("unreadable", [])
    assert "--trust" in told["reason"]
    assert of(place).post("/api/campaigns/other/resume", json={}).status_code == 403


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ({"toml": "a = ["}, "not valid TOML"),
        ({"toml": "a." * 9000 + "b = 1"}, ""),
        ({"config": {**TINY, "budget": {"rounds": 10**4000}}}, "budget.rounds"),
        ({"config": {**TINY, "name": "a/b"}}, "name: 'a/b'"),
        ({"config": {**TINY, "name": "\u202e"}}, "name"),
        ({"config": {**TINY, "target": [{"words": "kxx = " + "9" * 5000}]}}, "target"),
        ({"config": {**TINY, "target": [{"words": ["kxx"]}]}}, "target"),
        ({"config": {**TINY, "target": 7}}, "target"),
        ({"config": {"physics": "x"}}, ""),
        ({"config": {**TINY, "target": [{"words": "kxx = " + "9" * 90}]}}, "target"),
        ({"toml": "name = 1." + "1" * 90000}, ""),
    ],
    ids=range(11),
)
def test_nonsense_is_refused_in_a_sentence(client, sent, words):
    told = client.post("/api/check", json=sent)
    assert told.status_code == 200
    assert told.json()["refusal"]
    assert words in told.json()["refusal"]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"7", b"[" * 90000, b'{"toml": 3}', b'{"toml": "", "config": {}}', b"{}", b"\xff"]
)
def test_what_is_no_question_is_refused(client, body):
    answer = client.post("/api/check", content=body, headers=JSON)
    assert 400 <= answer.status_code < 500
    assert answer.json()["error"]


@pytest.mark.parametrize(
    "sent", ['{"toml": "HALF"}', '{"config": {"name": "HALF"}}', '{"config": {"HALF": 1}}', '{"HALF": 1}']
)
def test_half_a_character_is_refused(client, sent):
    answer = client.post("/api/check", content=sent.replace("HALF", "\\ud800"), headers=JSON)
    told = answer.json()
    assert (answer.status_code, bool(told.get("refusal"))) in {(200, True), (422, False)}
    assert told.get("refusal") or told["error"]


# --- who may ask


def heads(**more):
    return [(k.replace("_", "-"), v) for k, v in more.items()]


@pytest.mark.parametrize(
    ("host", "status_"),
    [
        ("127.0.0.1:8765", 200),
        ("localhost", 200),
        ("LOCALHOST:1", 200),
        ("[::1]:80", 200),
        ("evil.example", 403),
        ("evil.example:8765", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost.evil.example", 403),
        ("localhost@evil.example", 403),
        ("192.168.0.7", 403),
        ("", 403),
        ("localhost, evil.example", 403),
        ("localhost#", 403),
    ],
)
def test_a_name_that_is_not_this_machine_is_not_answered(client, host, status_):
    """A stranger's DNS may point his name here; his page would then read all."""
    assert client.get("/api/campaigns", headers={"Host": host}).status_code == status_


def test_at_other_addresses_numbers_and_own_names_are_known_and_a_token_is_made():
    access = Access.at("0.0.0.0", 80, "", ["Janus.Lab"])
    assert len(access.token) >= 40
    assert access.token in access.address
    assert Access.at("0.0.0.0", 80, "").token != access.token
    assert [access.knows(h) for h in ("10.0.0.5:80", "[fe80::1]", "janus.lab:80", "evil.example")] == [True] * 3 + [
        False
    ]
    assert Access.at("127.0.0.1", 80, "").token == ""


@pytest.mark.parametrize(
    ("headers", "status_"),
    [
        ({}, 401),
        ({"Authorization": f"Bearer {TOKEN}"}, 200),
        ({"Authorization": f"bearer {TOKEN}"}, 200),
        ({"Authorization": f"Bearer {TOKEN}x"}, 401),
        ({"Authorization": f"Bearer {TOKEN[:-1]}"}, 401),
        ({"Authorization": "Bearer "}, 401),
        ({"Authorization": f"Basic {TOKEN}"}, 401),
        ({"Cookie": f"janus_al_8765={TOKEN}"}, 401),
        ({"Cookie": "janus_al_8765="}, 401),
        ({"Cookie": "janus_al_8765"}, 401),
    ],
)
def test_a_token_is_asked_of_everything(still, headers, status_):
    client = of(still, Access.at("127.0.0.1", 8765, TOKEN))
    for path in ("/", "/api/campaigns", "/static/serve.js", "/api/openapi.json", "/campaigns/whole"):
        assert client.get(path, headers=headers).status_code == status_
    assert client.post("/api/campaigns/whole/stop", json={}, headers=headers).status_code == (
        409 if status_ == 200 else 401
    )


def test_the_token_in_the_address_becomes_a_cookie_that_lets_in(still):
    client = of(still, Access.at("127.0.0.1", 8765, TOKEN))
    answer = client.get(f"/campaigns/whole?a=1&token={TOKEN}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/campaigns/whole?a=1")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert TOKEN not in cookie
    assert client.get("/campaigns/whole").status_code == 200, "the client keeps cookies"
    client.cookies.clear()
    assert client.get(f"/?token={TOKEN}x").status_code == 401
    assert client.get(f"/?token={TOKEN}&token={TOKEN}").status_code == 401
    assert client.get(f"//evil.example/?token={TOKEN}").headers.get("location", "/").startswith("/") is True
    assert not client.get(f"//evil.example/?token={TOKEN}").headers["location"].startswith("//")


@pytest.mark.parametrize(
    ("headers", "status_"),
    [
        ({}, 200),
        ({"Origin": "http://127.0.0.1:8765", "Sec-Fetch-Site": "same-origin"}, 200),
        ({"Origin": "https://127.0.0.1:8765"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://127.0.0.1:9999"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Type": ""}, 415),
    ],
)
def test_what_changes_something_must_come_from_the_page_itself(client, headers, status_):
    body = json.dumps({"config": TINY}).encode()
    assert client.post("/api/check", content=body, headers={**JSON, **headers}).status_code == status_


def test_too_much_is_refused_told_or_not(still):
    with live(still) as port:
        said = [("Content-Type", "application/json"), ("Content-Length", str(LARGEST + 1))]
        assert ask(port, "/api/check", "POST", headers=said)[0] == 413
        chunked = [("Content-Type", "application/json"), ("Transfer-Encoding", "chunked")]
        piece = b"10000\r\n" + b" " * 65536 + b"\r\n"
        assert raw(port, chunked, piece * 8 + b"0\r\n\r\n") != 200
        assert ask(port, "/api/campaigns")[0] == 200


def raw(port, headers, body):
    """Status of what is answered; None where the connection is closed."""
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    connection.putrequest("POST", "/api/check")
    for name, value in headers:
        connection.putheader(name, value)
    connection.endheaders()
    with contextlib.suppress(OSError, HTTPException):
        connection.send(body)
        return connection.getresponse().status
    return None


def test_every_answer_has_the_policy(client):
    paths = (
        "/",
        "/new",
        "/campaigns/whole",
        "/nothing",
        "/api/campaigns",
        "/static/serve.js",
        "/api/campaigns/nothing",
    )
    for path in paths:
        headers = client.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"], path
        assert "unsafe" not in headers["content-security-policy"], path
        assert headers["x-content-type-options"] == "nosniff"
        assert (headers["x-frame-options"], headers["referrer-policy"]) == ("DENY", "no-referrer")
    report = client.get("/api/campaigns/whole/report.html").headers["content-security-policy"]
    assert report.startswith("sandbox allow-scripts;"), "it has an origin of its own"
    assert "connect-src" not in report
    design = first(client)["name"]
    file = client.get(f"/api/campaigns/whole/designs/{design}/files/image.png").headers["content-security-policy"]
    assert file.startswith("sandbox;")


# --- nothing outside is served


UP = ["../secret", "..%2fsecret", "%2e%2e/secret", "%2e%2e%2fsecret", "..%5csecret", "..\\secret", "....//secret"]
UP += ["%252e%252e%252fsecret", "/secret", "%00", "secret%00.png", "..%c0%afsecret", "..;/secret", ".%2e/secret"]


@pytest.fixture
def traps(place, tmp_path):
    """Links, pipes and folders where files belong."""
    client = of(place)
    name = first(client)["name"]
    own = place / "whole" / "designs" / name
    (own / "link.png").symlink_to(tmp_path / "secret")
    (own / "folder").symlink_to(tmp_path)
    os.mkfifo(own / "pipe.png")
    (place / "elsewhere").symlink_to(tmp_path)
    (tmp_path / "campaign.toml").write_text("")
    (place / "whole" / "report.html").unlink()
    (place / "whole" / "report.html").symlink_to(tmp_path / "secret")
    return place, name


def test_no_path_leads_out(traps):
    place, design = traps
    base = f"/api/campaigns/whole/designs/{design}"
    starts = ["/", "/static/", "/campaigns/", "/campaigns/whole/", "/campaigns/whole/designs/", "/api/campaigns/"]
    starts += ["/api/campaigns/whole/", "/api/campaigns/whole/designs/", f"{base}/files/", f"{base}/files/folder/"]
    paths = [start + "../" * depth + up for start in starts for up in UP for depth in (0, 3)]
    paths += [f"{base}/files/{name}" for name in ("link.png", "folder/secret", "pipe.png", "folder", "", ".", "*")]
    paths += ["/api/campaigns/elsewhere", "/campaigns/elsewhere", "/api/campaigns/whole/report.html"]
    paths += [
        "/api/campaigns/.serve",
        "/api/campaigns/.",
        "/api/campaigns/..",
        "/api/campaigns/whole/designs/../dossier.zip",
    ]
    with live(place) as port:
        for path in paths:
            status_, body = ask(port, path)
            assert status_ in (400, 404, 405), (path, status_)
            assert SECRET not in body, path
        status_, packed = ask(port, f"{base}/dossier.zip")
    names = zipfile.ZipFile(io.BytesIO(packed)).namelist()
    assert f"{design}/design.json" in names
    assert not [name for name in names if "link" in name or "folder" in name or "pipe" in name]
    assert SECRET not in packed


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "a\\b", ".hidden", "a:b", "a*", "a\0", "x" * 200, "CON|", "a ", "é\n"]
)
def test_no_campaign_gets_a_name_that_is_a_path(client, still, name):
    before = sorted(still.iterdir())
    answer = client.post("/api/campaigns", json={"name": name, "config": TINY})
    assert answer.status_code == 422
    assert answer.json()["error"].startswith("name ")
    assert sorted(still.iterdir()) == before


def test_files_are_opened_as_what_they_are(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "file").write_bytes(b"1")
    (tmp_path / "way").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "link").symlink_to("file")
    assert shelf.read(tmp_path, "in", "file") == b"1"
    for names in (("way", "file"), ("in", "link"), ("in",), ("in", "..", "in", "file"), ("in/file",), ("",), ("none",)):
        with pytest.raises(FileNotFoundError):
            shelf.read(tmp_path, *names)


# --- work


def until(what, seconds=60):
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found


def started(root, config=TINY):
    """A client of a folder in which a campaign, `new`, was just started, and how that stands."""
    client = of(root, most=1)
    answer = client.post("/api/campaigns", json={"name": "new", "config": config})
    assert (answer.status_code, answer.json()["state"]) == (201, "starting")

    def state():
        client.app.app.state.board.look(again=True)
        return client.get("/api/campaigns/new").json()["state"]

    return client, state


def gone(root, *names):
    """Wait until no process of these campaigns is left."""
    until(lambda: not any(map(Jobs(root, 1).alive, names)))


def test_a_campaign_is_started_once_and_stopped_by_a_later_page(tmp_path):
    many = {"target": [{"words": "kxx = 0.3 ± 1 %", "designs": 40}], "budget": {"rounds": 20, "simulations": 400}}
    client, state = started(tmp_path, TINY | many)  # it is not done before it is told to stop
    again = client.post("/api/campaigns", json={"name": "new", "config": TINY})
    assert (again.status_code, again.json()["error"].split(":")[0]) == (409, "new")
    other = client.post("/api/campaigns", json={"name": "other", "config": TINY})
    assert (other.status_code, "--jobs 1" in other.json()["error"]) == (409, True)
    assert not (tmp_path / "other").exists()
    assert client.post("/api/campaigns/new/resume", json={}).status_code == 409
    later = of(tmp_path, most=1)
    assert later.get("/api/campaigns/new").json()["can"] == ["stop"]
    assert later.post("/api/campaigns/new/stop", json={}).status_code == 202
    gone(tmp_path, "new")
    assert state() == "interrupted"
    assert client.get("/api/campaigns/new").json()["can"] == ["resume"]
    assert later.post("/api/campaigns/new/stop", json={}).status_code == 409
    assert later.post("/api/campaigns/none/stop", json={}).status_code == 404


@pytest.mark.slow
@pytest.mark.parametrize("when", ["starting", "running"])
def test_a_stopped_campaign_is_resumed_to_its_end(tmp_path, when):
    client, state = started(tmp_path)
    until(lambda: state() in {when, "done"})
    client.post("/api/campaigns/new/stop", json={})
    gone(tmp_path, "new")
    assert state() == "interrupted"
    assert client.post("/api/campaigns/new/resume", json={}).status_code == 202
    until(lambda: state() == "done")
    gone(tmp_path, "new")
    assert len(client.get("/api/campaigns/new").json()["designs"]) == 2
    assert client.post("/api/campaigns/new/resume", json={}).status_code == 409
    assert client.post("/api/campaigns", json={"name": "NEW", "config": TINY}).status_code == 409


@pytest.mark.slow
def test_a_campaign_outlives_the_command_that_started_it(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-P", "-m", "loop.commands.main", "serve", str(tmp_path), "--port", str(port)]
    page = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert page.stdout.readline() == f"http://127.0.0.1:{port}/\n"
    body = json.dumps({"name": "new", "config": TINY}).encode()
    answer = until(lambda: reached(port, body))
    assert answer[0] == 201
    page.kill()
    page.wait()
    until(lambda: (tmp_path / "new" / "report.html").exists())
    gone(tmp_path, "new")
    assert status(tmp_path / "new")["state"] == "done"


def reached(port, body):
    with contextlib.suppress(ConnectionError):
        return ask(port, "/api/campaigns", "POST", body, list(JSON.items()))
    return None


def test_a_process_of_another_time_is_not_taken_for_a_campaign(tmp_path):
    jobs = Jobs(tmp_path, 1)
    (tmp_path / ".serve" / "old.json").write_text(json.dumps({"pid": os.getpid(), "created": 1.0}))
    assert jobs.alive("old") is None
    for words in ("", "[]", "{}", '{"pid": -1, "created": 0}', '{"pid": "x", "created": 0}'):
        (tmp_path / ".serve" / "old.json").write_text(words)
        assert jobs.alive("old") is None


# --- the command, and its page of documentation


def test_the_command_refuses_in_a_sentence(janus, place, monkeypatch):
    from loop.files.lock import locked

    code, _, err = janus("serve", place / "whole")
    assert (code, "a campaign itself" in err) == (2, True)
    monkeypatch.setenv("JANUS_AL_TOKEN", "short")
    code, _, err = janus("serve", place)
    assert (code, "JANUS_AL_TOKEN of 5 characters" in err) == (2, True)
    monkeypatch.delenv("JANUS_AL_TOKEN")
    (place / ".serve").mkdir(exist_ok=True)
    with locked(place / ".serve", "serving this folder"):
        code, _, err = janus("serve", place)
    assert (code, "serving this folder" in err) == (5, True)
    with live(place) as port:
        code, _, err = janus("serve", place, "--port", port)
    assert (code, f"127.0.0.1:{port}: cannot listen there" in err) == (2, True)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
def test_every_line_of_the_documentation_works(place, tmp_path, monkeypatch):
    calls = [line for block in blocks("docs/serve.md") for line in block.lines if line.startswith("curl ")]
    assert len(calls) >= 8
    client = of(place)
    own = first(client)["name"]
    with live(place) as port:
        for call in calls:
            words = call.replace("127.0.0.1:8765", f"127.0.0.1:{port}").replace("quickstart", "whole")
            done = subprocess.run(
                ["bash", "-c", f"set -o pipefail; {words.replace('in-range-01', own)}"],
                cwd=tmp_path,
                capture_output=True,
                timeout=60,
            )
            assert done.returncode == 0, (call, done.stderr)
    with contextlib.suppress(BusyError):
        Jobs(place, 2).stop("whole")
    gone(place, "mine", "whole")
