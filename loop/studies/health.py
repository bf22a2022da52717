"""Whether an installation is sound, and what of it is worth knowing before something is paid for."""

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

SHOWN = ("torch", "numpy", "scipy", "fipy", "pyamg", "mlflow", "optuna")
ROOM = 2**30
"""bytes free below which a disk is told; a campaign takes tens of megabytes, the cache up to 2 GiB"""
SECONDS = 5.0
"""that a tracking server has for its answer"""
CLOSE = 1e-9


@dataclass(frozen=True)
class Finding:
    """One thing looked at: sound, worth a note, or broken, in words; `code` is the exit code where it is broken."""

    name: str
    state: Literal["ok", "note", "broken"]
    words: str
    code: int = 2

    def as_json(self) -> dict[str, Any]:
        """As a table of JSON."""
        return {name: value for name, value in asdict(self).items() if name != "code"}


def examine(folder: Path) -> list[Finding]:
    """Everything, in the order of a table; `folder` is where campaigns shall be. Nothing is written.

    What an examination itself raises is its finding.
    """
    found = list[Finding]()
    for name, look in LOOKS.items():
        try:
            found += look(folder)
        except Exception as error:
            words = " ".join(f"{type(error).__name__}: {error}".split())
            found.append(Finding(name, "broken", words[:300], 4 if name == "models" else 2))
    return found


def _libraries(_: Path) -> Iterator[Finding]:
    """Whether all that this version asks for is there, and new enough."""
    from importlib.metadata import PackageNotFoundError, requires, version

    from packaging.requirements import Requirement

    yield Finding("python", "ok", f"{platform.python_version()}, {sys.executable}, {platform.platform()}")
    try:
        asked, ours = requires("janus-al") or [], version("janus-al")
    except PackageNotFoundError:
        yield Finding("janus-al", "note", "runs from a folder that pip did not install, so what it asks for is unknown")
        return
    yield Finding("janus-al", "ok", f"{ours}, {Path(__file__).parents[2]}")
    wrong = list[str]()
    for needed in map(Requirement, asked):
        if needed.marker is not None and not needed.marker.evaluate({"extra": ""}):
            continue
        try:
            if not needed.specifier.contains(has := version(needed.name), prereleases=True):
                wrong.append(f"{needed.name} {has} is not {needed.specifier}")
        except PackageNotFoundError:
            wrong.append(f"{needed.name} is missing")
    if wrong:
        yield Finding("libraries", "broken", f"{'; '.join(wrong)}; pip install --upgrade janus-al")
    else:
        yield Finding("libraries", "ok", ", ".join(f"{name} {version(name)}" for name in SHOWN))


def _device(_: Path) -> Iterator[Finding]:
    import torch

    if not torch.cuda.is_available():
        yield Finding("device", "ok", "cpu; torch finds no GPU")
        return
    about = torch.cuda.get_device_properties(0)
    yield Finding("device", "ok", f"cuda: {about.name}, {about.total_memory / 2**30:.0f} GiB")


def _threads(_: Path) -> Iterator[Finding]:
    """A worker that simulates has one, the network as many as --threads says; the rest follows OMP_NUM_THREADS."""
    from loop.simulation.executors import cores

    told, here = os.environ.get("OMP_NUM_THREADS"), f"{cores()} of {os.cpu_count()} cores may be used"
    if told == "1":
        yield Finding("threads", "ok", f"{here}, OMP_NUM_THREADS=1")
        return
    mend = "export OMP_NUM_THREADS=1 leaves the cores to simulations, and figures repeat"
    yield Finding("threads", "note", f"{here}, and numpy takes {told or 'all'} of them; {mend}")


def _store(folder: Path) -> Iterator[Finding]:
    """MLflow's store: a server must answer; a file must be one, or its folder such that it can be made."""
    import urllib.error
    import urllib.request

    given = os.environ.get("MLFLOW_TRACKING_URI", "")
    if given.startswith(("http://", "https://")):
        try:
            with urllib.request.urlopen(f"{_safe(given).rstrip('/')}/health", timeout=SECONDS) as answer:
                words = answer.read(64).decode(errors="replace").strip()
        except (OSError, ValueError) as error:
            mend = "campaigns run without it; `janus-al campaign sync DIR` delivers later"
            yield Finding("mlflow", "broken", f"{_safe(given)}: no answer ({error}); {mend}")
            return
        yield Finding("mlflow", "ok", f"{_safe(given)}: answers {words}")
    elif given and not given.startswith("sqlite"):
        yield Finding("mlflow", "note", f"MLFLOW_TRACKING_URI {_safe(given)}: neither a server nor sqlite")
    else:
        from sqlalchemy.engine import make_url

        path = Path(str(make_url(given).database)) if given else folder / "mlflow.db"
        yield _file(path.absolute())


def _safe(uri: str) -> str:
    from urllib.parse import urlsplit, urlunsplit

    parts = urlsplit(uri)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _file(path: Path) -> Finding:
    import sqlite3
    from contextlib import closing

    if not path.exists():
        home = _present(path.parent)
        if os.access(home, os.W_OK):
            return Finding("mlflow", "ok", f"{path}: made by the first campaign")
        return Finding("mlflow", "broken", f"{path}: cannot be made, as {home} cannot be written")
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=SECONDS)) as database:
            count = database.execute("SELECT count(*) FROM runs").fetchone()[0]
    except sqlite3.Error as error:
        return Finding("mlflow", "broken", f"{path}: not a store of MLflow ({error}); move it away")
    return Finding("mlflow", "ok", f"{path}: {count} runs")


def _disk(folder: Path) -> Iterator[Finding]:
    from loop.simulation.cache import cache_folder

    cache = cache_folder()
    if cache is not None:
        size = sum(path.stat().st_size for path in cache.glob("*.result")) if cache.is_dir() else 0
        yield _room("cache", cache, f"{size / 2**20:.0f} MiB of simulations kept, ")
    else:
        yield Finding("cache", "note", "switched off by JANUS_AL_CACHE")
    yield _room("disk", folder.absolute(), "")


def _room(name: str, folder: Path, told: str) -> Finding:
    home = _present(folder)
    free = shutil.disk_usage(home).free
    words = f"{folder}: {told}{free / 2**30:.1f} GiB free"
    if not os.access(home, os.W_OK):
        return Finding(name, "broken", f"{folder}: {home} cannot be written; name another folder")
    return Finding(name, "ok" if free >= ROOM else "note", words + ("" if free >= ROOM else "; make room"))


def _present(folder: Path) -> Path:
    """The folder, or the nearest above it that there is."""
    return next(path for path in (folder, *folder.parents) if path.exists())


def _models(_: Path) -> Iterator[Finding]:
    """Every shipped model, compared with its checksums."""
    from janus_al import checkpoint, shipped

    names = shipped.models()
    for name in names:
        checkpoint.load(shipped.DATA / name)
    if not names:
        yield Finding("models", "broken", f"{shipped.DATA}: no model is there; install again", 4)
    else:
        yield Finding("models", "ok", f"{', '.join(names)}: checksums right")


def _solve(_: Path) -> Iterator[Finding]:
    """Layers across the heat's way: their harmonic mean, and along it the arithmetic one, to rounding."""
    import numpy as np

    from simulators import SOLVERS

    layers = np.tile(np.arange(16) % 4 == 0, (16, 1)).astype(np.uint8)
    low, high, part = 0.1, 1.0, 0.25
    wanted = np.array([1 / (part / high + (1 - part) / low), part * high + (1 - part) * low])
    errors = dict[str, float]()
    for name, make in SOLVERS.items():
        found = make("dirichlet")(layers, (low, high)).k
        errors[name] = float(np.max(np.abs(np.array(found) / wanted - 1)))
    words = f"a laminate by {', '.join(f'{name} ({error:.0e} off)' for name, error in errors.items())}"
    sound = max(errors.values()) < CLOSE
    yield Finding("physics", "ok" if sound else "broken", words + ("" if sound else f"; {CLOSE} is allowed"))


LOOKS: dict[str, Callable[[Path], Iterator[Finding]]] = {
    "libraries": _libraries,
    "device": _device,
    "threads": _threads,
    "mlflow": _store,
    "disk": _disk,
    "models": _models,
    "physics": _solve,
}
