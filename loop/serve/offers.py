"""What a campaign can begin with: the models and datasets that are shipped, and those that lie in the folder."""

import contextlib
import json
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from janus_al.shipped import DATA, models
from loop.serve import shelf

DEEPEST, MOST = 3, 200
"""folders within the folder, and offers"""


def shipped() -> dict[str, Path]:
    """Models and datasets that come with Janus-AL, by name."""
    return {name: DATA / name for name in [*models(), *sorted(path.name for path in DATA.glob("*.h5"))]}


def offers(root: Path, known: Mapping[str, Path]) -> list[dict[str, Any]]:
    """Name, kind (model or dataset) and, of a model, what its images are; those shipped first."""
    found = [_offer(name, path.parent, (path.name,)) for name, path in known.items()]
    found += [_offer("/".join(way), root, way) for way in _lying(root, ())]
    return [offer for offer in found if offer][:MOST]


def _lying(root: Path, way: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    with contextlib.suppress(OSError):
        for path in sorted(root.joinpath(*way).iterdir()):
            if path.name.startswith(".") or path.is_symlink():
                continue
            if path.is_dir() and (path / "model.json").is_file():
                yield (*way, path.name)
            elif path.is_dir() and len(way) + 1 < DEEPEST:
                yield from _lying(root, (*way, path.name))
            elif path.suffix == ".h5" and stat.S_ISREG(path.lstat().st_mode):
                yield (*way, path.name)


def _offer(name: str, root: Path, way: tuple[str, ...]) -> dict[str, Any] | None:
    if way[-1].endswith(".h5"):
        return {"name": name, "kind": "dataset"}
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, IndexError):
        told = json.loads(shelf.read(root, *way, "model.json"))
        network, material = told["network"], told["card"]["material"]
        constants = material["physics"][0]["constants"]
        shape = {"dim": network.get("dim", 2), "size": network["size"], "boundary": material["boundary"]}
        return {"name": name, "kind": "model", **shape, "phase_conductivity": constants["conductivity"]}
    return None
