"""Designs, their files and reports, as the API and the pages hand them out; each file in a sandbox of its own."""

import mimetypes
import os
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from loop.serve import shelf
from loop.serve.answers import campaign_of, design_of, marked, told

downloads = APIRouter(prefix="/api/campaigns/{name}")

SANDBOX = "sandbox; default-src 'none'; frame-ancestors 'self'"
REPORT = (
    "sandbox allow-scripts; default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline' 'unsafe-eval' blob:; worker-src blob:; frame-ancestors 'self'"
)
"""a report is a page of its own, which may run what it brings and reach nothing"""
SHOWN = {".png": "image/png", ".json": "application/json"}
"""files that a browser shows; it downloads all others"""
PIECE = 2**16


@downloads.get("/report.html", responses=told(404))
async def report(request: Request, name: str) -> Response:
    """The report, once there is one."""
    await campaign_of(request, name)
    return await run_in_threadpool(_file, request, REPORT, name, "report.html")


@downloads.get("/designs/{design}", responses=told(404))
async def design(request: Request, name: str, design: str) -> dict[str, Any]:
    """One design: properties, certified intervals, verdict, lineage, names of its files."""
    return await design_of(request, name, design)


@downloads.get("/designs/{design}/dossier.zip", responses=told(404))
async def dossier(request: Request, name: str, design: str) -> Response:
    """All files of a design, packed, once all are written."""
    if not (await design_of(request, name, design))["files"]:
        raise HTTPException(404, f"{design[:60]!r}: its files are not written yet; they follow at the end of the round")
    whole = await run_in_threadpool(shelf.packed, request.app.state.board.root, name, "designs", design)
    pieces = iter(lambda: whole.read(PIECE), b"")
    return StreamingResponse(pieces, media_type="application/zip", headers=_saved(f"{name}-{design}.zip"))


@downloads.get("/designs/{design}/files/{file:path}", responses=told(404))
async def design_file(request: Request, name: str, design: str, file: str) -> Response:
    """One file of a design."""
    if file not in (await design_of(request, name, design))["files"]:
        raise HTTPException(404, f"{file[:60]!r}: no such file in {design}")
    return await run_in_threadpool(_file, request, SANDBOX, name, "designs", design, *file.split("/"))


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
