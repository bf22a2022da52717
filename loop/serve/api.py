"""The page's JSON API: campaigns, their designs, a configuration checked, work started and stopped."""

import json
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from janus_al.device import prepare
from loop.campaign.toml import load_stored
from loop.files.names import same
from loop.files.outputs import check_free
from loop.serve import shelf
from loop.serve.answers import campaign_of, marked, seen, told, turn
from loop.serve.board import Board
from loop.serve.check import REFUSALS, Rules, check, stored
from loop.serve.jobs import BusyError
from loop.serve.offers import offers

api = APIRouter(prefix="/api")


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


def known(request: Request, name: str) -> dict[str, Any]:
    """How a campaign stands this moment; 404 where there is none."""
    found: dict[str, Any] | None = request.app.state.board.look(again=True).campaigns.get(name)
    if found is None:
        raise HTTPException(404, f"{name[:60]!r}: no campaign of that name here")
    return found
