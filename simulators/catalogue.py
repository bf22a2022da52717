"""Which simulator a name means: one built in, one of an installed package, one of the user's by path, or a command.

An installed package offers one under the entry point group `janus_al.simulators`; a path is "package.module:Class",
found as Python finds modules, the current directory among them.
"""

import importlib
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulators.simulator import Boundary, Failure, Result, SimulationError, Simulator

BUILT_IN = {
    "conduction": "simulators.solvers.conductivity:Conductivity",
    "elasticity": "simulators.elasticity:Elasticity",
    "command": "simulators.command:Command",
}
GROUP = "janus_al.simulators"


class CatalogueError(ValueError):
    """A name that means no simulator, or constants with which it cannot be made."""


def make(name: str, boundary: Boundary, constants: Mapping[str, Any]) -> Simulator:
    """A simulator with its constants.

    Raises:
        CatalogueError: there is none of that name, or not with these constants.
    """
    kind = _class(name)
    try:
        simulator: Simulator = kind(boundary=boundary, **constants)
        names = list(simulator.properties)
    except Exception as error:
        raise CatalogueError(f"simulator '{name}': {_words(error)}") from None
    if not names or not callable(simulator):
        raise CatalogueError(f"simulator '{name}': it needs `properties`, one name at least, and `__call__(image)`")
    return simulator


def foreign(name: str) -> bool:
    """Whether a name stands for code that nobody installed: a program, or a class by its path."""
    return name == "command" or (name not in BUILT_IN and name not in {p.name for p in entry_points(group=GROUP)})


def _class(name: str) -> Callable[..., Simulator]:
    path = BUILT_IN.get(name)
    if path is None:
        offered = {point.name: point for point in entry_points(group=GROUP)}
        if name in offered:
            return _loaded(name, offered[name].load)
        path = name
    module, colon, attribute = path.partition(":")
    if not colon:
        known = ", ".join([*BUILT_IN, *sorted(p.name for p in entry_points(group=GROUP))])
        raise CatalogueError(f"simulator '{name}': known are {known}; one of your own is \"package.module:Class\"")
    return _loaded(name, lambda: load(module, attribute))


def load(module: str, attribute: str) -> Any:
    """An attribute of a module, which may lie in the current directory."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    return getattr(importlib.import_module(module), attribute)


def _loaded(name: str, find: Callable[[], Any]) -> Callable[..., Simulator]:
    try:
        found = find()
    except Exception as error:
        raise CatalogueError(
            f"simulator '{name}' cannot be imported: {_words(error)}; install it, or add its folder to PYTHONPATH"
        ) from None
    if not callable(found):
        raise CatalogueError(f"simulator '{name}': {found!r} is no class")
    return found


def _words(error: Exception) -> str:
    words = " ".join(str(error).split()) or "no reason given"
    return words if isinstance(error, ValueError) else f"{type(error).__name__}: {words}"


def run(simulator: Simulator, images: list[NDArray[np.integer]]) -> list[Result | Failure]:
    """Results of images, in order; what a simulator cannot do, or answers wrongly, is a failure with its reason."""
    if hasattr(simulator, "many"):
        return [r if isinstance(r, Failure) else checked(simulator, r) for r in simulator.many(images)]
    return [_one(simulator, image) for image in images]


def _one(simulator: Simulator, image: NDArray[np.integer]) -> Result | Failure:
    try:
        return checked(simulator, simulator(image))
    except SimulationError as error:
        return Failure(str(error))
    except Exception as error:
        return Failure(f"{type(error).__name__}: {error}")


def checked(simulator: Simulator, found: Any) -> Result | Failure:
    """A simulator's answer, once it has every property as a finite number, and maps that are finite, too."""
    result = found if isinstance(found, Result) else Result(dict(found))
    for row in simulator.properties:
        name = getattr(row, "name", row)
        value = result.values.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not np.isfinite(value):
            return Failure(f"the simulator gave {name} = {value}; it must be a finite number")
        if name in result.sensitivity and not np.isfinite(result.sensitivity[name]).all():
            return Failure(f"the simulator gave a sensitivity of {name} that is not finite")
    return result
