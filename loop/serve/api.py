"""The page's JSON API: campaigns, their designs, a configuration checked, work started and stopped."""

import json
import mimetypes
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from janus_al.device import prepare
from loop.campaign.toml import load_stored
from loop.files.names import same
from loop.files.outputs import check_free
from loop.serve import shelf
from loop.serve.board import Board, Seen
from loop.serve.check import REFUSALS, Rules, check, stored
from loop.serve.jobs import BusyError
from loop.serve.offers import offers

api = APIRouter(prefix="/api")

SANDBOX = "sandbox; default-src 'none'; frame-ancestors 'self'"
REPORT = (
    "sandbox allow-scripts; default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline' 'unsafe-eval' blob:; worker-src blob:; frame-ancestors 'self'"
)
"""a report is a page of its own, which may run what it brings and reach nothing"""
SHOWN = {".png": "image/png", ".json": "application/json"}
"""files that a browser shows; it downloads all others"""
PIECE = 2**16
WAIT = 5.0
"""seconds for those who ask for what keeps a core busy while others do"""

Refusals = dict[int | str, dict[str, Any]]


class Refusal(BaseModel):
    """Why something was not done."""

    error: str
    """one sentence"""


class Asked(BaseModel):
    """A campaign's configuration: as tables, or as TOML."""

    model_config = ConfigDict(extra="forbid", strict=True)
    config: dict[str, Any] | None = Field(None, description="tables as in the TOML file; a target may have `words`")
    toml: str | None = Field(None, description="or the file's text")

    @property
    def given(self) -> dict[str, Any] | str:
        """Either."""
        if (self.config is None) == (self.toml is None):
            raise HTTPException(422, "give either 'config' or 'toml'")
        return self.toml if self.config is None else self.config  # type: ignore[return-value]


class Started(Asked):
    """A campaign to start."""

    name: str = Field(description="of the folder that is made for it")


Few = Annotated[int | None, Field(None, ge=1, le=1_000_000_000)]


class Resumed(BaseModel):
    """How much a campaign may spend from now on; what is left out stays."""

    model_config = ConfigDict(extra="forbid", strict=True)
    rounds: Few = None
    simulations: Few = None


def told(*codes: int) -> Refusals:
    """What the description says of refusals."""
    return {code: {"model": Refusal} for code in codes}


async def seen(request: Request) -> Seen:
    """How all campaigns stand."""
    board: Board = request.app.state.board
    now = board.fresh()
    return await run_in_threadpool(board.look) if now is None else now


async def campaign_of(request: Request, name: str) -> dict[str, Any]:
    """How one stands; 404 where there is none."""
    found = (await seen(request)).campaigns.get(name)
    if found is None:
        raise HTTPException(404, f"{name[:60]!r}: no campaign of that name here")
    return found


async def design_of(request: Request, name: str, design: str) -> dict[str, Any]:
    """One design; 404 where there is none."""
    found = next((d for d in (await campaign_of(request, name))["designs"] if d["name"] == design), None)
    if found is None:
        raise HTTPException(404, f"{design[:60]!r}: no design of that name in {name}")
    return found


@contextmanager
def turn(free: threading.Semaphore) -> Iterator[None]:
    """Wait for one's turn; 503 where that takes long."""
    if not free.acquire(timeout=WAIT):
        raise HTTPException(503, "others ask for the same; ask again in a while")
    try:
        yield
    finally:
        free.release()


def marked(request: Request, mark: str, body: bytes, kind: str) -> Response:
    """An answer that is not sent again to who has it."""
    tag = f'"{mark}"'
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers={"etag": tag})
    return Response(body, media_type=kind, headers={"etag": tag})


@api.get("/campaigns")
async def campaigns(request: Request) -> Response:
    """All campaigns, the last changed first, without their designs' properties; with an ETag."""
    now = await seen(request)
    few = ("name", "changed", "state", "reason", "rounds", "rounds_budget", "simulations", "targets", "can", "stopping")

    def made() -> bytes:
        rows = [{k: c.get(k) for k in few} | {"designs": len(c["designs"])} for c in now.campaigns.values()]
        return json.dumps({"campaigns": rows}).encode()

    return marked(request, now.mark, now.once("campaigns", made), "application/json")


@api.get("/campaigns/{name}", responses=told(404))
async def campaign(request: Request, name: str) -> Response:
    """One campaign: state, budget, targets, rounds, designs with their properties, what it said last."""
    found, now = await campaign_of(request, name), await seen(request)
    return marked(request, now.mark, now.once(f"one {name}", lambda: json.dumps(found).encode()), "application/json")


@api.post("/check", responses=told(503))
def checked(request: Request, asked: Asked) -> dict[str, Any]:
    """A configuration, checked; nothing is paid or written. `regions` are SVG, one for each target."""
    with turn(request.app.state.checking):
        found = check(asked.given, request.app.state.rules)
    return {
        "ok": found.config is not None,
        "refusal": found.refusal or None,
        "warnings": found.warnings,
        "regions": [{"target": name, "svg": svg} for name, svg in found.regions.items()],
        "toml": found.toml,
        "cells": None if found.config is None else found.config.microstructure.grid,
    }


@api.post("/plan", responses=told(422, 503))
def planned(request: Request, asked: Asked) -> dict[str, Any]:
    """What a campaign will take, as `janus-al campaign plan --json` says it; `plan` is null where that is not known."""
    with turn(request.app.state.checking):
        found = check(asked.given, request.app.state.rules)
    if found.config is None:
        raise HTTPException(422, found.refusal)
    try:
        from loop.campaign.plan import plan
    except ImportError:
        return {"plan": None}
    execution = found.config.execution
    with turn(request.app.state.planning):
        return {"plan": plan(found.config, prepare(execution.device, execution.threads)).as_json()}


@api.get("/offers")
def offered(request: Request) -> dict[str, Any]:
    """Models and datasets that a configuration may name in network.start and dataset.source."""
    rules: Rules = request.app.state.rules
    return {"offers": offers(rules.root, rules.shipped)}


@api.post("/campaigns", status_code=201, responses=told(403, 409, 422))
def start(request: Request, asked: Started) -> dict[str, Any]:
    """Check a configuration and start a campaign with it, as a process of its own."""
    board: Board = request.app.state.board
    rules: Rules = request.app.state.rules
    try:
        name = shelf.campaign_name(asked.name)
    except ValueError as error:
        raise HTTPException(422, f"name {error}") from None
    found = check(asked.given, rules)
    if found.config is None:
        raise HTTPException(403 if found.forbidden else 422, found.refusal)
    folder = rules.root / name
    taken = [path.name for path in rules.root.iterdir() if same(path.name) == same(name)]
    if taken and (folder.is_symlink() or not folder.is_dir() or any(folder.iterdir())):
        raise HTTPException(409, f"{taken[0]}: there is something of that name already; give another")
    try:
        check_free(folder)
        board.jobs.start(name, stored(found.config))
    except BusyError as error:
        raise HTTPException(409, str(error)) from None
    board.look(again=True)
    return {"name": name, "state": "starting", "warnings": found.warnings}


@api.post("/campaigns/{name}/resume", status_code=202, responses=told(403, 404, 409, 422))
def resume(request: Request, name: str, more: Resumed) -> dict[str, Any]:
    """Go on with a campaign that was interrupted, or, its budget raised, with one that has spent it."""
    board, found = request.app.state.board, known(request, name)
    if found["state"] == "unreadable":
        raise HTTPException(403, f"{name}: {found['reason']}")
    if "resume" not in found["can"] and not more.model_fields_set:
        raise HTTPException(409, f"{name} is {found['state']}: there is nothing to go on with")
    settings = [f"budget.{key}={value}" for key, value in more.model_dump(exclude_none=True).items()]
    try:
        if settings:
            load_stored(board.root / name, settings)
        board.jobs.resume(name, settings)
    except BusyError as error:
        raise HTTPException(409, str(error)) from None
    except REFUSALS as error:
        raise HTTPException(422, str(error).replace(f"{board.root}/", "")) from None
    board.look(again=True)
    return {"name": name, "state": "starting"}


@api.post("/campaigns/{name}/stop", status_code=202, responses=told(404, 409))
def stop(request: Request, name: str) -> dict[str, Any]:
    """Stop a campaign, as Ctrl-C would: nothing that was simulated is lost, and it can be resumed.

    Asked again after 15 seconds, its processes are killed; that loses nothing either.
    """
    board = request.app.state.board
    known(request, name)
    try:
        board.jobs.stop(name)
    except BusyError as error:
        raise HTTPException(409, str(error)) from None
    board.look(again=True)
    return {"name": name, "state": "stopping"}


@api.get("/campaigns/{name}/report.html", responses=told(404))
async def report(request: Request, name: str) -> Response:
    """The report, once there is one."""
    await campaign_of(request, name)
    return await run_in_threadpool(_file, request, REPORT, name, "report.html")


@api.get("/campaigns/{name}/designs/{design}", responses=told(404))
async def design(request: Request, name: str, design: str) -> dict[str, Any]:
    """One design: properties, certified intervals, verdict, lineage, names of its files."""
    return await design_of(request, name, design)


@api.get("/campaigns/{name}/designs/{design}/dossier.zip", responses=told(404))
async def dossier(request: Request, name: str, design: str) -> Response:
    """All files of a design, packed."""
    await design_of(request, name, design)
    whole = await run_in_threadpool(shelf.packed, request.app.state.board.root, name, "designs", design)
    pieces = iter(lambda: whole.read(PIECE), b"")
    return StreamingResponse(pieces, media_type="application/zip", headers=_saved(f"{name}-{design}.zip"))


@api.get("/campaigns/{name}/designs/{design}/files/{file:path}", responses=told(404))
async def design_file(request: Request, name: str, design: str, file: str) -> Response:
    """One file of a design."""
    if file not in (await design_of(request, name, design))["files"]:
        raise HTTPException(404, f"{file[:60]!r}: no such file in {design}")
    return await run_in_threadpool(_file, request, SANDBOX, name, "designs", design, *file.split("/"))


def known(request: Request, name: str) -> dict[str, Any]:
    """How a campaign stands this moment; 404 where there is none."""
    found: dict[str, Any] | None = request.app.state.board.look(again=True).campaigns.get(name)
    if found is None:
        raise HTTPException(404, f"{name[:60]!r}: no campaign of that name here")
    return found


def _file(request: Request, policy: str, *names: str) -> Response:
    """A file under the folder that is served, unless who asks has it."""
    with shelf.opened(request.app.state.board.root, *names) as file:
        what = os.fstat(file.fileno())
        tag = f"{what.st_mtime_ns:x}-{what.st_size:x}"
        headers = {"content-security-policy": policy}
        if names[-1] == "report.html":
            kind, headers = "text/html", headers | {"x-frame-options": "SAMEORIGIN"}
        else:
            ending = os.path.splitext(names[-1])[1].lower()
            kind = SHOWN.get(ending) or mimetypes.guess_type(names[-1])[0] or "application/octet-stream"
            headers |= {} if ending in SHOWN else _saved(names[-1])
        answer = marked(request, tag, file.read(), kind)
    answer.headers.update(headers)
    return answer


def _saved(name: str) -> dict[str, str]:
    return {"content-disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}"}
