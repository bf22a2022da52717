"""Campaigns as processes of their own: they outlive the page, one at a time in a folder, so many side by side.

What was started stands in `.serve/` of the folder served: NAME.toml is what `campaign run` reads, NAME.log what it
says, NAME.json which process it is.
"""

import contextlib
import json
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from janus_al.files import atomic_path
from loop import UsageError
from loop.files.lock import NAME as LOCK
from loop.files.lock import is_locked
from loop.serve import shelf

HERE = ".serve"
SAID = 4096
"""bytes of the end of a log that are read"""
PATIENCE = 15.0
"""seconds after being told to stop from which on a campaign may be killed, which loses nothing that was simulated"""


class BusyError(UsageError):
    """A campaign that is running already, or one too many."""


@dataclass(frozen=True)
class Job:
    """A process that was started, as it can be found again.

    Attributes:
        created: when, as the system says, so that no other process is taken for it.
        told: when it was told to stop; 0 if it was not.
    """

    pid: int
    created: float
    told: float = 0.0

    def process(self) -> psutil.Process | None:
        """It, if it is alive."""
        with contextlib.suppress(psutil.Error, ValueError, TypeError, OverflowError):
            found = psutil.Process(self.pid)
            if abs(found.create_time() - self.created) < 1 and found.status() != psutil.STATUS_ZOMBIE:
                return found
        return None


class Jobs:
    """The processes of one folder's campaigns; `most` of them run at a time."""

    def __init__(self, root: Path, most: int) -> None:
        self.root, self.most = root, most
        self.turn = threading.Lock()
        self.children: list[subprocess.Popen[bytes]] = []
        (root / HERE).mkdir(exist_ok=True)

    def start(self, name: str, toml: str) -> None:
        """Start a campaign with a configuration.

        Raises:
            BusyError: it runs already, or too many do.
        """
        with self.turn:
            self._check(name)
            with atomic_path(self._path(name, "toml")) as temporary:
                temporary.write_text(toml, encoding="utf-8")
            self._run(name)

    def resume(self, name: str, settings: Sequence[str] = ()) -> None:
        """Go on with a campaign, `settings` as `--set` takes them; or with starting it, if that was stopped.

        Raises:
            BusyError: as `start`.
        """
        with self.turn:
            self._check(name)
            if not (self.root / name / "campaign.toml").exists():
                return self._run(name)
            more = [word for setting in settings for word in ("--set", setting)]
            self._spawn(name, ["resume", str(self.root / name), *more])

    def stop(self, name: str) -> None:
        """Tell a campaign to stop, as Ctrl-C would; told again after a while, it is killed with its workers.

        Raises:
            BusyError: it was not started from here, or does not run.
        """
        with self.turn:
            job = self.job(name)
            process = job.process() if job else None
            if job is None or process is None:
                raise BusyError(f"{name}: nothing that was started here is running; stop it where it was started")
            if not job.told:
                process.terminate()
                self._write(name, Job(job.pid, job.created, time.time()))
            elif time.time() - job.told > PATIENCE:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(job.pid, 9)

    def job(self, name: str) -> Job | None:
        """What was started last for a campaign."""
        with contextlib.suppress(OSError, ValueError, TypeError):
            return Job(**json.loads(shelf.read(self.root, HERE, f"{name}.json")))
        return None

    def alive(self, name: str) -> Job | None:
        """The same, while it runs."""
        self.children = [child for child in self.children if child.poll() is None]
        job = self.job(name)
        return job if job is not None and job.process() is not None else None

    def said(self, name: str) -> list[str]:
        """The last lines of what a campaign that was started here said."""
        with contextlib.suppress(OSError), shelf.opened(self.root, HERE, f"{name}.log") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - SAID))
            return [line for line in file.read().decode(errors="replace").splitlines() if line.strip()][-12:]
        return []

    def names(self) -> list[str]:
        """Of all campaigns that were started here."""
        return [path.stem for path in (self.root / HERE).glob("*.json")]

    def _check(self, name: str) -> None:
        if self.alive(name) or held(self.root / name):
            raise BusyError(f"{name}: it is running already; wait for it or stop it")
        running = [other for other in self.names() if self.alive(other)]
        if len(running) >= self.most:
            raise BusyError(
                f"{', '.join(running)} running, and --jobs {self.most} lets no more run side by side; wait, or stop one"
            )

    def _run(self, name: str) -> None:
        self._spawn(name, ["run", str(self._path(name, "toml")), "--dir", str(self.root / name)])

    def _spawn(self, name: str, words: Sequence[str]) -> None:
        # -P: what lies in the folder is data, never a module of ours.
        command = [sys.executable, "-P", "-m", "loop.commands.main", "campaign", *words]
        package = str(Path(__file__).parents[2])
        environment = {k: v for k, v in os.environ.items() if k != "JANUS_AL_TOKEN"}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
        said = self._path(name, "log")
        said.unlink(missing_ok=True)
        with said.open("xb") as log:
            child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True
            )
        self.children.append(child)
        self._write(name, Job(child.pid, psutil.Process(child.pid).create_time()))

    def _write(self, name: str, job: Job) -> None:
        with atomic_path(self._path(name, "json")) as temporary:
            temporary.write_text(json.dumps(job.__dict__))

    def _path(self, name: str, kind: str) -> Path:
        return self.root / HERE / f"{shelf.campaign_name(name)}.{kind}"


def held(folder: Path) -> bool:
    """Whether a process holds a campaign's lock, where that is a file and nothing else."""
    try:
        return stat.S_ISREG((folder / LOCK).lstat().st_mode) and is_locked(folder)
    except OSError:
        return False
