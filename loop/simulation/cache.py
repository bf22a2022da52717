"""Results of simulations, kept across commands: what was paid for once is not paid for again.

One file a result in the user's cache folder, named by the hash of everything that decides it: the image, the constants,
the boundary, the solver, the physics' own source (of a command: the files that it names) and the versions of its
libraries. An entry is a checksum and the arrays in float64, so that a result from here is the fresh one bit by bit; one
that is damaged is dropped. The environment variable JANUS_AL_CACHE names another folder, and switches the cache off
where it is empty.

Campaigns have no part in it: their shards are their own, and what they count must not depend on what else was run.
"""

import contextlib
import dataclasses
import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import re
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from janus_al.files import make_temporary, remove_stale
from janus_al.material import Physics
from simulators import Boundary, Result

LIMIT = 2 * 2**30
"""bytes kept, of the entries used last"""
LIBRARIES = ("numpy", "scipy", "fipy", "pyamg", "torch", "pypardiso", "scikit-fem")
_ENTRY = re.compile(r"[0-9a-f]{64}\.result")


@dataclass(frozen=True)
class Cache:
    """Results of one question, in a folder that many processes may share.

    Attributes:
        folder: where the entries are.
        question: everything but the image that decides a result.
        limit: bytes that `prune` leaves.
    """

    folder: Path
    question: str
    limit: int = LIMIT

    def get(self, image: NDArray[np.integer]) -> Result | None:
        """The result of an image, if it is here and sound."""
        from safetensors import SafetensorError
        from safetensors.numpy import load

        path = self._path(image)
        try:
            data = path.read_bytes()
            os.utime(path)
        except OSError:
            return None
        if data[:32] == _checksum(path, data[32:]):
            with contextlib.suppress(KeyError, TypeError, ValueError, SafetensorError):
                arrays = load(data[32:])
                fields: dict[str, Any] = json.loads(arrays.pop("plain").tobytes())
                bracket = tuple(arrays.pop("bracket", ())) or None
                return Result(**fields, sensitivity=arrays, bracket=bracket)
        with contextlib.suppress(OSError):
            path.unlink()
        return None

    def put(self, image: NDArray[np.integer], result: Result) -> None:
        """Keep a result; a cache that cannot be written is none."""
        from safetensors.numpy import save

        fields = {f.name: getattr(result, f.name) for f in dataclasses.fields(result)}
        maps, bracket = fields.pop("sensitivity"), fields.pop("bracket")
        arrays = {name: np.ascontiguousarray(m, dtype=np.float64) for name, m in maps.items()}
        if bracket is not None:
            arrays["bracket"] = np.array(bracket, dtype=np.float64)
        arrays["plain"] = np.frombuffer(json.dumps(fields).encode(), dtype=np.uint8)
        data, path = save(arrays), self._path(image)
        with contextlib.suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            temporary = make_temporary(path)
            try:
                temporary.write_bytes(_checksum(path, data) + data)
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)

    def prune(self) -> None:
        """Remove the entries used longest ago until the rest fits the limit, and what killed writers left."""
        remove_stale(self.folder)
        entries = list[tuple[float, int, str]]()
        with contextlib.suppress(OSError), os.scandir(self.folder) as found:
            for entry in found:
                with contextlib.suppress(OSError):
                    status = entry.stat(follow_symlinks=False)
                    if _ENTRY.fullmatch(entry.name):
                        entries.append((status.st_mtime, status.st_size, entry.path))
        excess = sum(size for _, size, _ in entries) - self.limit
        for _, size, path in sorted(entries):
            if excess <= 0:
                break
            with contextlib.suppress(OSError):
                os.unlink(path)
            excess -= size

    def _path(self, image: NDArray[np.integer]) -> Path:
        labels = np.ascontiguousarray(image, dtype=np.int64)
        key = hashlib.sha256(f"{self.question} {labels.shape} ".encode() + labels.tobytes()).hexdigest()
        return self.folder / f"{key}.result"


def open_cache(physics: Physics, boundary: Boundary, solver: str) -> Cache | None:
    """The user's cache of one physics, or None where it is switched off."""
    folder = cache_folder()
    if folder is None:
        return None
    device, conducts = "cpu", physics.simulator == "conduction"
    if conducts and solver == "batched":
        import torch

        device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    question: dict[str, Any] = {
        "simulator": physics.simulator,
        "constants": {name: repr(value) for name, value in sorted(physics.constants.items())},
        "properties": physics.properties,
        "solver": solver if conducts else "",
        "boundary": boundary,
        "device": device,
        "physics": _physics() + _own(physics),
    }
    return Cache(folder, json.dumps(question))


def cache_folder() -> Path | None:
    """Where results are kept; None where the cache is switched off."""
    import platformdirs

    named = os.environ.get("JANUS_AL_CACHE")
    if named == "":
        return None
    root = Path(named) if named else platformdirs.user_cache_path("janus-al", appauthor=False)
    return root.absolute() / "simulations"


def _checksum(path: Path, data: bytes) -> bytes:
    """Of an entry under its name: one that was renamed is no answer to another question."""
    return hashlib.sha256(path.name.encode() + data).digest()


def _own(physics: Physics) -> str:
    """A hash of what a user's physics is made of: its module, or the files that its command names."""
    files = list[Path]()
    module = physics.simulator.partition(":")[0]
    if ":" in physics.simulator and (spec := importlib.util.find_spec(module)) is not None and spec.origin:
        files = [Path(spec.origin)]
    elif physics.simulator == "command":
        words = shlex.split(str(physics.constants["command"]))
        files = [Path(shutil.which(word) or word) for word in words[:1]] + [Path(word) for word in words[1:]]
    found = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files if path.is_file()]
    return " ".join(["", *found])


@functools.cache
def _physics() -> str:
    """Which physics gives the results: a hash of its source, and of the versions of the libraries beneath it."""
    import simulators

    digest = hashlib.sha256()
    root = Path(simulators.__file__).parent
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    for name in LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            digest.update(f"{name} {importlib.metadata.version(name)} ".encode())
    return digest.hexdigest()
