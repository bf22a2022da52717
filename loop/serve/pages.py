"""The pages: the same as the API tells, rendered here; the script only fetches them again and puts in what changed."""

import hashlib
import time
from collections.abc import Mapping
from functools import cache
from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse

from loop.design.targets import Target
from loop.serve.answers import campaign_of, design_of, marked, seen
from loop.serve.offers import offers

pages = APIRouter(include_in_schema=False)
KINDS = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
PICTURES = ("image.png", "design.png")
SHOWN = {"design.png": "", "slices.png": "middle planes", "heat.png": "isotherms and lines of flux"}
"""pictures on a design's page, with their words"""


@cache
def environment() -> Any:
    """The templates."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("loop.serve", "pages"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        auto_reload=False,
    )
    made.filters |= {"number": number, "picture": picture, "rows": rows, "ago": ago}
    return made


def render(template: str, **what: Any) -> bytes:
    """A page."""
    return str(environment().get_template(template).render(**what)).encode()


def number(value: Any, digits: int = 4) -> str:
    """For people; a dash where there is none."""
    return "–" if value is None else f"{value:#.{digits}g}" if isinstance(value, float) else str(value)


def picture(design: Mapping[str, Any]) -> str | None:
    """The name of the file that shows a design where there is little room: of a plane its pixels."""
    return next((name for name in PICTURES if name in design["files"]), None)


def rows(design: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Properties of a design: name, value, unit, certified ends and what was asked, where there are any."""
    if not design["files"]:
        return []
    values, asked = design["properties"], design["asked"]
    certified = {**values, **(design["certificate"] or {}).get("properties", {})}
    plain = [n for n in values if not n.endswith(("_lower", "_upper", "_fv"))]
    found = []
    for name in sorted(plain, key=lambda n: (n not in asked, plain.index(n))):
        ends = certified.get(f"{name}_lower"), certified.get(f"{name}_upper")
        words = str(Target.of("", {name: asked[name]})) if name in asked else ""
        unit = design["units"].get(name, "")
        found.append({"name": name, "value": values[name], "unit": unit, "ends": ends, "asked": words})
    return found


def ago(moment: float) -> str:
    """How long ago, roughly."""
    seconds = max(0.0, time.time() - moment)
    for least, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= least:
            count = int(seconds // least)
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"


def fault(status: int, words: str) -> HTMLResponse:
    """A page that says why there is none."""
    return HTMLResponse(render("fault.html.j2", status=status, words=words), status)


def page(request: Request, mark: str, body: bytes) -> Response:
    """A page that is not sent again to who has it."""
    return marked(request, mark, body, "text/html")


@pages.get("/")
async def index(request: Request) -> Response:
    """All campaigns."""
    now = await seen(request)
    minute = int(time.time() // 60)
    made = now.once(f"/ {minute}", lambda: render("index.html.j2", campaigns=list(now.campaigns.values())))
    return page(request, f"{now.mark}-{minute}", made)


@pages.get("/new")
async def new(request: Request) -> Response:
    """The form."""
    rules, now = request.app.state.rules, await seen(request)

    def made() -> bytes:
        return now.once(
            f"/new {time.time() // 10}", lambda: render("new.html.j2", offers=offers(rules.root, rules.shipped))
        )

    body = await run_in_threadpool(made)
    return page(request, hashlib.sha256(body).hexdigest()[:16], body)


@pages.get("/campaigns/{name}")
async def campaign(request: Request, name: str) -> Response:
    """One campaign."""
    found, now = await campaign_of(request, name), await seen(request)
    return page(request, now.mark, now.once(f"/c {name}", lambda: render("campaign.html.j2", c=found)))


@pages.get("/campaigns/{name}/report")
async def report(request: Request, name: str) -> Response:
    """Its report, in a frame that can reach nothing."""
    await campaign_of(request, name)
    body = render("report.html.j2", name=name)
    return page(request, hashlib.sha256(body).hexdigest()[:16], body)


@pages.get("/campaigns/{name}/designs/{design}")
async def design(request: Request, name: str, design: str) -> Response:
    """One design."""
    found, now = await design_of(request, name, design), await seen(request)
    whole = now.campaigns[name]["designs"]
    order = [d["name"] for d in whole]
    at = order.index(design)
    beside = order[at - 1] if at else None, order[at + 1] if at + 1 < len(order) else None
    shown = {file: words for file, words in SHOWN.items() if file in found["files"]}
    body = render("design.html.j2", name=name, d=found, shown=shown, before=beside[0], after=beside[1])
    return page(request, now.mark, body)


@pages.get("/api/docs")
async def docs(request: Request) -> Response:
    """What the API answers, from its own description."""
    told = request.app.openapi()
    calls = [
        {"path": path, "method": method.upper(), **call, "body": _fields(told, call)}
        for path, methods in told["paths"].items()
        for method, call in methods.items()
    ]
    body = render("docs.html.j2", calls=calls)
    return page(request, hashlib.sha256(body).hexdigest()[:16], body)


def _fields(told: Mapping[str, Any], call: Mapping[str, Any]) -> dict[str, str]:
    """What a call's body may hold, each with a word on it."""
    try:
        named = call["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    except KeyError:
        return {}
    schema = told["components"]["schemas"][named]
    must = schema.get("required", [])
    return {
        name: ("needed; " if name in must else "") + field.get("description", "")
        for name, field in schema["properties"].items()
    }


@pages.get("/static/{file}")
async def static(request: Request, file: str) -> Response:
    """Style, script and the icon, from memory."""
    found: bytes | None = request.app.state.drawn.get(file)
    if found is None:
        raise HTTPException(404, f"{file[:60]!r}: no such file")
    return marked(request, hashlib.sha256(found).hexdigest()[:16], found, KINDS[file.rpartition(".")[2]])
