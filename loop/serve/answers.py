"""What all answers share: how things stand, what a refusal is, what is not sent twice, whose turn it is."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastapi import HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel

from loop.serve.board import Board, Seen

WAIT = 5.0
"""seconds for those who ask for what keeps a core busy while others do"""

Refusals = dict[int | str, dict[str, Any]]


class Refusal(BaseModel):
    """Why something was not done."""

    error: str
    """one sentence"""


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
