"""What a configuration that came through the page may name: nothing that runs code or leaves the folder.

A TOML file may name a class, a program, a scheduler and files anywhere, as whoever typed the command could run them
anyway. Who reached a page is another; `--trust` says that he is not.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from loop import UsageError
from loop.design.acquisition import BUILT_IN as ACQUISITIONS
from loop.design.generators import BUILT_IN as GENERATORS

FILES = (("network", "start"), ("dataset", "source"), ("dataset", "test"))
MEND = "; start the page with --trust if all who reach it may run code here"
PIXELS, TARGETS = 2**22, 50
"""of an image and of a campaign asked for through the page, at most"""


class TrustError(UsageError):
    """A configuration that names what only the command line may."""


def check_code(table: Mapping[str, Any]) -> None:
    """Refuse a configuration that names a class by its path, a program or a scheduler; nothing of it is imported.

    Raises:
        TrustError: with the key, its value and the mend.
    """
    from simulators.catalogue import foreign

    for key, known in (("generator", GENERATORS), ("acquisition", ACQUISITIONS)):
        value = _part(table, "loop").get(key)
        if value is not None and (not isinstance(value, str) or value not in known):
            raise TrustError(f"loop.{key} {value!r}: through the page {', '.join(known)}{MEND}")
    for section in _sections(table.get("physics")):
        if "command" in section:
            raise TrustError(f"physics.command {section['command']!r}: a program; not through the page{MEND}")
        name = section.get("simulator", "")
        if not isinstance(name, str) or (name and foreign(name)):
            raise TrustError(f"physics.simulator {name!r}: code of one's own; not through the page{MEND}")
    executor = _part(table, "execution").get("executor", "process")
    if executor != "process":
        raise TrustError(f"execution.executor {executor!r}: through the page 'process', on this machine alone{MEND}")


def check_size(table: Mapping[str, Any]) -> None:
    """Refuse images too large, and targets too many, to be checked as one types.

    Raises:
        TrustError: with the size.
    """
    shape, pixels = _part(table, "microstructure"), 1
    size, dim = shape.get("size", 32), shape.get("dim", 2)
    sides = size if isinstance(size, list) else [size] * (dim if dim in (2, 3) else 2)
    for side in sides[:3]:
        pixels *= side if isinstance(side, int) and side > 0 else 1
    if isinstance(targets := table.get("target"), list) and len(targets) > TARGETS:
        raise TrustError(f"target: {len(targets)} of them; through the page {TARGETS} at most{MEND}")
    if pixels > PIXELS:
        raise TrustError(f"microstructure.size {size}: {pixels} cells; through the page {PIXELS} at most{MEND}")


def placed(table: dict[str, Any], root: Path, shipped: Mapping[str, Path], trust: bool) -> dict[str, Any]:
    """The configuration with the models and datasets that it names as absolute paths.

    A name is of one that is shipped, or lies in the folder served; with `trust`, anywhere from there.

    Raises:
        TrustError: it leads out of that folder.
    """
    found = dict(table)
    for section, key in FILES:
        part = _part(found, section)
        if isinstance(name := part.get(key), str):
            found[section] = {**part, key: str(_place(f"{section}.{key}", name, root, shipped, trust))}
    return found


def _place(key: str, name: str, root: Path, shipped: Mapping[str, Path], trust: bool) -> Path:
    if name in shipped:
        return shipped[name]
    if trust:
        return root / name
    parts = name.split("/")
    plain = name.isprintable() and not set(name) & set("\\:") and not {"", ".", ".."} & set(parts)
    way = [root.joinpath(*parts[: n + 1]) for n in range(len(parts))] if plain and len(name) < 1000 else []
    if not way or parts[0].startswith(".") or any(path.is_symlink() for path in way):
        raise TrustError(
            f"{key} {name[:200]!r}: through the page one of {', '.join(shipped)}, or what lies in the folder that is "
            f"served, by its path there, without links{MEND}"
        )
    return way[-1]


def _part(table: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = table.get(name)
    return found if isinstance(found, dict) else {}


def _sections(given: Any) -> Iterator[dict[str, Any]]:
    for section in given if isinstance(given, list | tuple) else [given]:
        if isinstance(section, dict):
            yield section
