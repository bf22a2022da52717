"""The application: the gate, the API and the pages over one folder."""

import threading
from importlib.resources import files
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from loop.serve.access import Access, Gate
from loop.serve.api import api
from loop.serve.board import Board
from loop.serve.check import Rules
from loop.serve.downloads import downloads
from loop.serve.jobs import Jobs
from loop.serve.offers import shipped
from loop.serve.pages import fault, pages


def application(root: Path, access: Access, most: int = 2, trust: bool = False) -> Gate:
    """The application that serves a folder.

    Args:
        root: the folder; nothing outside it is served.
        access: who may ask.
        most: campaigns that run at a time.
        trust: whether configurations may name code and files anywhere.
    """
    app = FastAPI(
        title="Janus-AL",
        version="1",
        description=(__doc__ or "").strip(),
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    root = root.resolve()
    app.state.board = Board(root, Jobs(root, most), trust)
    app.state.rules = Rules(root, shipped(), trust)
    app.state.planning, app.state.checking = threading.Semaphore(1), threading.Semaphore(2)
    app.state.drawn = {path.name: path.read_bytes() for path in _static()}
    app.include_router(api)
    app.include_router(downloads)
    app.include_router(pages)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _misread)
    app.add_exception_handler(FileNotFoundError, _missing)
    app.add_exception_handler(Exception, _broken)
    return Gate(app, access)


def _static() -> list[Any]:
    return [path for path in files("loop.serve").joinpath("static").iterdir() if path.is_file()]


def _answer(request: Request, status: int, words: str) -> Response:
    words = words.encode(errors="backslashreplace").decode()
    if request.url.path.startswith("/api/"):
        return JSONResponse({"error": words}, status)
    return fault(status, words)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _answer(request, error.status_code, str(error.detail))


async def _misread(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if part != "body")
    return _answer(request, 422, f"{where or 'what was sent'}: {first['msg'][:200]}")


async def _missing(request: Request, error: Exception) -> Response:
    return _answer(request, 404, str(error))


async def _broken(request: Request, error: Exception) -> Response:
    return _answer(request, 500, f"a defect of Janus-AL ({type(error).__name__}); what it was is where the page runs")
