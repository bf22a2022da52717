"""A headless Chromium that tests drive by its DevTools protocol over two pipes; nothing but the browser is needed."""

import base64
import contextlib
import itertools
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path

FOUND = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = "--headless=new --no-sandbox --disable-gpu --enable-unsafe-swiftshader --disable-dev-shm-usage"
SECONDS = 60.0


class Page:
    """One page of a browser: what it is told, and what it says of itself in the meantime."""

    def __init__(self, out: int, back: int):
        self.out, self.back, self.left, self.number = out, back, b"", 0
        self.events: list[dict] = []
        self.session: str | None = None
        target = self.tell("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.tell("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.tell(f"{domain}.enable")

    def tell(self, method: str, **params):
        """Send a command and wait for its answer."""
        self.number += 1
        order = {"id": self.number, "method": method, "params": params}
        os.write(self.out, json.dumps(order | ({"sessionId": self.session} if self.session else {})).encode() + b"\0")
        while (message := self._next()).get("id") != self.number:
            self.events.append(message)
        assert "error" not in message, message["error"]
        return message["result"]

    def _next(self) -> dict:
        until = time.monotonic() + SECONDS
        while b"\0" not in self.left:
            ready, _, _ = select.select([self.back], [], [], max(0.0, until - time.monotonic()))
            assert ready, f"no word from {FOUND} for {SECONDS:g} s"
            self.left += os.read(self.back, 1 << 20)
        line, _, self.left = self.left.partition(b"\0")
        return json.loads(line)

    def open(self, path: Path, width: int, height: int = 900, scripts: bool = True) -> None:
        """A file, without any network, in a window of that size."""
        self.tell("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.tell("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.tell("Page.navigate", url=path.as_uri())
        while not any(e.get("method") == "Page.loadEventFired" for e in self.events):
            self.events.append(self._next())
        self.events = [e for e in self.events if e.get("method") != "Page.loadEventFired"]

    def ask(self, expression: str):
        """The value of a JavaScript expression, awaited."""
        told = self.tell("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def wait(self, expression: str) -> None:
        """Until an expression is true."""
        until = time.monotonic() + SECONDS
        while not self.ask(expression):
            assert time.monotonic() < until, f"not within {SECONDS:g} s: {expression}"
            time.sleep(0.05)

    def drag(self, *places: tuple[float, float]) -> None:
        """Press the mouse's left button at the first place, and move through the others to the last; one is a click."""
        where = [(float(x), float(y)) for x, y in places]
        self._mouse("Moved", where[0], 0)
        self._mouse("Pressed", where[0], 1)
        for (x, y), (u, v) in itertools.pairwise(where):
            for part in range(1, 9):
                self._mouse("Moved", (x + part / 8 * (u - x), y + part / 8 * (v - y)), 1)
        self._mouse("Released", where[-1], 0)

    def _mouse(self, kind: str, place: tuple[float, float], buttons: int) -> None:
        button = "none" if kind == "Moved" and not buttons else "left"
        how = {"button": button, "buttons": buttons, "clickCount": int(kind != "Moved")}
        self.tell("Input.dispatchMouseEvent", type=f"mouse{kind}", x=place[0], y=place[1], **how)

    def middle(self, element: str) -> tuple[float, float]:
        """Of an element, given as an expression, in the window."""
        x, y, width, height = self._box(element)
        return x + width / 2, y + height / 2

    def _box(self, element: str) -> list[float]:
        return self.ask(f"(({{x, y, width, height}}) => [x, y, width, height])({element}.getBoundingClientRect())")

    def picture(self, element: str) -> bytes:
        """PNG of what the window shows of an element, once two frames have been drawn."""
        self.ask("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        x, y, width, height = self._box(element)
        left, top = self.ask("[scrollX, scrollY]")
        clip = {"x": x + left, "y": y + top, "width": width, "height": height, "scale": 1}
        return base64.b64decode(self.tell("Page.captureScreenshot", format="png", clip=clip)["data"])

    def errors(self) -> list[str]:
        """What the console says is wrong, and exceptions that nobody caught."""
        logged = [p["entry"] for p in self._told("Log.entryAdded")]
        called = [str(p["args"]) for p in self._told("Runtime.consoleAPICalled") if p["type"] in ("error", "assert")]
        thrown = [str(p["exceptionDetails"]) for p in self._told("Runtime.exceptionThrown")]
        return [e["text"] for e in logged if e["level"] == "error"] + called + thrown

    def requests(self) -> list[str]:
        """Every address that was asked for."""
        return [p["request"]["url"] for p in self._told("Network.requestWillBeSent")]

    def _told(self, method: str) -> list[dict]:
        return [e["params"] for e in self.events if e.get("method") == method]


@contextlib.contextmanager
def browser(profile: Path):
    """A page of a browser of its own, which is gone afterwards."""
    to_browser, to_page = os.pipe(), os.pipe()
    with contextlib.ExitStack() as stack:
        for end in (to_browser[1], to_page[0]):
            stack.callback(os.close, end)

        def place() -> None:
            """The browser reads from 3 and writes to 4."""
            reads, writes = os.dup(to_browser[0]), os.dup(to_page[1])
            os.dup2(reads, 3)
            os.dup2(writes, 4)

        command = [FOUND, *FLAGS.split(), "--remote-debugging-pipe", f"--user-data-dir={profile}"]
        process = subprocess.Popen(
            command, preexec_fn=place, close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for end in (to_browser[0], to_page[1]):
            os.close(end)
        try:
            page = Page(to_browser[1], to_page[0])
            yield page
            page.session = None
            page.tell("Browser.close")
        finally:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()
            process.wait()
