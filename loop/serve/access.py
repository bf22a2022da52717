"""Who may ask: by what host's name, with which token, from which page, and how much; and what a browser is told.

Whoever reaches the page may start work on this machine. So a name that an attacker's DNS points here is refused (Host),
a page of another origin cannot post (Origin, Sec-Fetch-Site, JSON alone), nothing of ours is framed, and what is served
runs no script but our own (the policy).
"""

import contextlib
import hashlib
import hmac
import json
import re
import secrets
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from loop import UsageError

Scope = dict[str, Any]
Messages = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
TOKEN_LEAST = 16
LARGEST = 256 * 1024
"""bytes that may be posted"""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-src 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-cache",
}
"""of every answer that does not say something else"""


@dataclass(frozen=True)
class Access:
    """Where the page listens, and what it asks for.

    Attributes:
        host, port: listened at.
        token: asked for; empty where none is.
        names: further host names by which it may be asked.
    """

    host: str
    port: int
    token: str = ""
    names: frozenset[str] = frozenset()

    @classmethod
    def at(cls, host: str, port: int, token: str, names: Iterable[str] = ()) -> "Access":
        """With a token made where one is needed: at any address but this machine's own loopback.

        Raises:
            UsageError: a token that could be guessed.
        """
        if token and (len(token) < TOKEN_LEAST or not re.fullmatch(r"[\x21-\x7e]+", token)):
            raise UsageError(
                f"JANUS_AL_TOKEN of {len(token)} characters: it must have {TOKEN_LEAST} or more, printable and without "
                "spaces; unset it, and one is made"
            )
        if not token and host not in LOOPBACK:
            token = secrets.token_urlsafe(32)
        return cls(host, port, token, frozenset(name.lower() for name in names))

    @property
    def address(self) -> str:
        """To open in a browser, the token in it."""
        host = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(self.host, self.host)
        shown = f"[{host}]" if ":" in host else host
        return f"http://{shown}:{self.port}/" + (f"?token={quote(self.token)}" if self.token else "")

    @property
    def cookie(self) -> str:
        """Its name; cookies do not tell ports apart."""
        return f"janus_al_{self.port}"

    @property
    def stamp(self) -> str:
        """What the cookie holds: it lets in, and does not tell the token."""
        return hmac.new(self.token.encode(), b"janus-al serve", hashlib.sha256).hexdigest()

    def knows(self, host: str) -> bool:
        """Whether it may be asked by this Host header; a name that a stranger's DNS could point here may not."""
        match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::\d{1,5})?", host)
        name = (match[1] or match[2]).lower() if match else ""
        if not name or name in LOOPBACK | self.names:
            return bool(name)
        if self.host in LOOPBACK:
            return False
        try:
            return bool(ip_address(name))  # no DNS stands between
        except ValueError:
            return name in {self.host.lower(), socket.gethostname().lower(), socket.getfqdn().lower()}

    def admits(self, headers: Mapping[str, str]) -> bool:
        """Whether a token is not asked for, or stands in the headers."""
        if not self.token:
            return True
        cookies = [part.strip().partition("=") for part in headers.get("cookie", "").split(";")]
        scheme, _, given = headers.get("authorization", "").partition(" ")
        found = [_alike(value, self.stamp) for name, _, value in cookies if name == self.cookie]
        return any([*found, scheme.lower() == "bearer" and _alike(given.strip(), self.token)])

    def spent(self, scope: Scope) -> bool:
        """Whether the address itself holds the token, which becomes a cookie."""
        if not self.token or scope["method"] != "GET":
            return False
        given = [value for name, value in _query(scope) if name == "token"]
        return len(given) == 1 and _alike(given[0], self.token)


class Gate:
    """The door in front of the application."""

    def __init__(self, app: Callable[..., Awaitable[None]], access: Access) -> None:
        self.app, self.access = app, access

    async def __call__(self, scope: Scope, receive: Messages, send: Send) -> None:
        """Let a question through, or answer it with why not."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send) if scope["type"] == "lifespan" else None
        pairs = [(k.decode("latin-1").lower(), v.decode("latin-1")) for k, v in scope["headers"]]
        headers = dict(pairs)
        if [name for name, _ in pairs].count("host") != 1 or not self.access.knows(headers["host"]):
            return await _refuse(send, 403, "this host name is not known here; open the address that was printed")
        if self.access.spent(scope):
            rest = urlencode([pair for pair in _query(scope) if pair[0] != "token"])
            place = "/" + quote(scope["path"].lstrip("/\\")) + (f"?{rest}" if rest else "")
            cookie = f"{self.access.cookie}={self.access.stamp}; Path=/; HttpOnly; SameSite=Strict; Max-Age=2592000"
            return await _answer(send, 303, b"", {"location": place, "set-cookie": cookie})
        if not self.access.admits(headers):
            return await _refuse(
                send, 401, "a token is needed: open the address that janus-al serve printed, or send it as a Bearer"
            )
        if scope["method"] not in {"GET", "HEAD"} and (why := _foreign(headers)):
            return await _refuse(send, *why)
        await self.app(scope, _bounded(receive), _told(send))


def _foreign(headers: Mapping[str, str]) -> tuple[int, str] | None:
    """Why what would change something is refused: it comes from another page, or is no JSON, or too much."""
    host, origin = headers["host"], headers.get("origin")
    own = origin is None or origin in {f"http://{host}", f"https://{host}"}
    if not own or headers.get("sec-fetch-site", "none") not in {"same-origin", "none"}:
        return 403, "it comes from another page; nothing was done"
    if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        return 415, "send JSON, with Content-Type: application/json"
    if len(length := headers.get("content-length", "0")) > 9 or not length.isdigit() or int(length) > LARGEST:
        return 413, f"more than {LARGEST} bytes; no configuration is so long"
    return None


def _bounded(receive: Messages) -> Messages:
    """A body whose length was not told, or was told wrongly, ends as if its sender had gone."""
    taken = 0

    async def taking() -> dict[str, Any]:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        return {"type": "http.disconnect"} if taken > LARGEST else message

    return taking


def _told(send: Send) -> Send:
    async def sending(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            given = {name.lower() for name, _ in message["headers"]}
            more = [(k.encode(), v.encode()) for k, v in HEADERS.items() if k.encode() not in given]
            message = {**message, "headers": [*message["headers"], *more]}
        await send(message)

    return sending


async def _refuse(send: Send, status: int, words: str) -> None:
    await _answer(send, status, json.dumps({"error": words}).encode(), {"content-type": "application/json"})


async def _answer(send: Send, status: int, body: bytes, headers: Mapping[str, str]) -> None:
    told = {**headers, "content-length": str(len(body))}
    named = [(k.encode(), v.encode()) for k, v in told.items()]
    await _told(send)({"type": "http.response.start", "status": status, "headers": named})
    await send({"type": "http.response.body", "body": body})


def _query(scope: Scope) -> list[tuple[str, str]]:
    with contextlib.suppress(ValueError):
        return parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True, max_num_fields=20)
    return []


def _alike(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode(), wanted.encode())
