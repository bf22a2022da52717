"""The page under load: requests a second on a running campaign, what is lost, and what the campaign pays for it.

    python benchmarks/serve.py [--rate 50] [--seconds 60] [--windows 6] [--smoke] [--json docs/results/serve.json]

A campaign trains while windows without requests and windows with them alternate; what it pays is its processor time
for a training step, as other work on the machine would blur the time of day. Requests are sent when they are due, by
connections that stay open, whether or not those before them are answered. `--smoke` takes half a minute.
"""

import argparse
import itertools
import json
import queue
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import psutil
from common.header import header

ROOT = Path(__file__).resolve().parent.parent
CONFIG = """
name = "loaded"
[microstructure]
size = 32
phase_conductivity = [0.1, 1.0]
[dataset.generate]
count = 200
simulated = 16
[[target]]
kxx = 0.3
[training]
steps = 1000000
checks = 1000
"""
CONNECTIONS = 16


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=50.0, help="requests a second")
    parser.add_argument("--seconds", type=float, default=60.0, help="of a window")
    parser.add_argument("--windows", type=int, default=6, help="half of them with requests")
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--smoke", action="store_true", help="half a minute instead of minutes")
    arguments = parser.parse_args()
    if arguments.smoke:
        arguments.seconds, arguments.windows = 11.0, 2
    with tempfile.TemporaryDirectory() as parent:
        found = measure(Path(parent), arguments)
    print(header("torch", "fastapi", "uvicorn"))
    print(report(found))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")


def measure(parent, arguments):
    """Run the page and a campaign, and alternate."""
    (parent / "config.toml").write_text(CONFIG)
    root = parent / "campaigns"
    janus = [sys.executable, "-m", "loop.commands.main"]
    port = 18765
    with (
        started([*janus, "serve", str(root), "--port", str(port)], stdout=subprocess.PIPE) as page,
        started([*janus, "campaign", "run", str(parent / "config.toml"), "--dir", str(root / "loaded")]) as campaign,
    ):
        page.stdout.readline()
        lines = Lines(campaign)
        lines.wait()
        paths = paths_of(port, "loaded")
        windows, latencies, lost, used = [], [], [], 0.0
        server = psutil.Process(page.pid)
        for number in range(arguments.windows):
            began, loaded = time.monotonic(), number % 2 == 1
            if loaded:
                before = spent(server)
                more, failed = load(port, paths, arguments.rate, arguments.seconds)
                latencies, lost, used = latencies + more, lost + failed, used + spent(server) - before
            else:
                time.sleep(arguments.seconds)
            windows.append((loaded, began, time.monotonic()))
            print(f"window {number + 1} of {arguments.windows}", file=sys.stderr)
        memory = server.memory_info().rss
    prices = {True: [], False: []}
    for (then, done, cpu), (now, more, later) in itertools.pairwise(lines.seen):
        for loaded, began, ended in windows:
            if began <= then and now <= ended:
                prices[loaded].append((later - cpu) / (more - done))
    ranked = sorted(latencies)
    return {
        "rate": arguments.rate,
        "seconds": arguments.seconds,
        "windows": arguments.windows,
        "requests": len(latencies) + len(lost),
        "lost": len(lost),
        "why_lost": sorted(set(lost))[:5],
        "latency": {
            name: ranked[int(part * (len(ranked) - 1))] for name, part in (("median", 0.5), ("p99", 0.99), ("most", 1))
        },
        "server_cpu_per_request": used / max(1, len(latencies)),
        "server_memory": memory,
        "step_cpu": {"alone": prices[False], "loaded": prices[True]},
    }


def report(found):
    """As Markdown."""
    alone, loaded = found["step_cpu"]["alone"], found["step_cpu"]["loaded"]
    late = found["latency"]
    rows = [
        ("requests", f"{found['requests']}, {found['rate']:g} a second"),
        ("lost", f"{found['lost']} {' '.join(found['why_lost'])}".strip()),
        ("answered in, median, 99 %, most", " ".join(f"{1e3 * late[n]:.1f} ms" for n in ("median", "p99", "most"))),
        ("processor time of the page", f"{1e3 * found['server_cpu_per_request']:.2f} ms a request"),
        ("memory of the page", f"{found['server_memory'] / 2**20:.0f} MiB"),
    ]
    if len(alone) > 1 and len(loaded) > 1:
        means = statistics.mean(alone), statistics.mean(loaded)
        error = sum(statistics.variance(v) / len(v) for v in (alone, loaded)) ** 0.5 / means[0]
        rows += [
            ("processor time of a training step, alone", f"{1e3 * means[0]:.2f} ms ({len(alone)} readings)"),
            ("the same under load", f"{1e3 * means[1]:.2f} ms ({len(loaded)} readings)"),
            ("the campaign pays", f"{means[1] / means[0] - 1:+.1%}, standard error {error:.1%}"),
        ]
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])


class started:
    """A program that is told to stop afterwards, and waited for."""

    def __init__(self, command, **how):
        self.process = subprocess.Popen(command, cwd=ROOT, text=True, **{"stderr": subprocess.PIPE, **how})

    def __enter__(self):
        return self.process

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(60)


class Lines:
    """What a campaign says of its training: when, how many steps, and the processor time until then."""

    def __init__(self, campaign):
        self.seen, self.campaign = [], campaign
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        process = psutil.Process(self.campaign.pid)
        for line in self.campaign.stderr:
            if match := re.match(r"training: (\d+)", line):
                try:
                    self.seen.append((time.monotonic(), int(match[1]), spent(process)))
                except psutil.Error:
                    return

    def wait(self):
        """Until it trains."""
        until = time.monotonic() + 600
        while not self.seen:
            assert self.campaign.poll() is None, "the campaign ended"
            assert time.monotonic() < until, "it says nothing of training"
            time.sleep(0.1)


def spent(process):
    """Processor time of a process."""
    times = process.cpu_times()
    return times.user + times.system


def paths_of(port, name):
    """What a browser that shows a running campaign asks for, and a program beside it."""
    return ["/", f"/campaigns/{name}", f"/api/campaigns/{name}", "/api/campaigns", "/static/serve.css", "/new"]


def load(port, paths, rate, seconds):
    """Seconds that each answer took from when its question was due, and why others failed."""
    due, took, lost = queue.Queue(), [], []

    def ask():
        connection, tags = HTTPConnection("127.0.0.1", port, timeout=30), {}
        while (job := due.get()) is not None:
            moment, path = job
            try:
                connection.request("GET", path, headers={"If-None-Match": tags.get(path, "")})
                answer = connection.getresponse()
                body = answer.read()
                if answer.status not in (200, 304) or (answer.status == 200 and not body):
                    lost.append(f"{path}: {answer.status}")
                    continue
                tags[path] = answer.headers["ETag"]
                took.append(time.monotonic() - moment)
            except (OSError, HTTPException) as error:
                lost.append(f"{path}: {type(error).__name__}")
                connection.close()
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    began = time.monotonic()
    for number in range(round(rate * seconds)):
        moment = began + number / rate
        time.sleep(max(0.0, moment - time.monotonic()))
        due.put((moment, paths[number % len(paths)]))
    for _ in threads:
        due.put(None)
    for thread in threads:
        thread.join()
    return took, lost


if __name__ == "__main__":
    main()
