"""Which simulator a name means: one built in, one of an installed package, one of the user's by path, or a command.

An installed package offers one under the entry point group `janus_al.simulators`; a path is "package.module:Class",
found as Python finds modules, the current directory among them.
"""

import contextlib
import importlib
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import entry_points
from numbers import Real
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
SHOWN = 500
"""characters of a reason"""
ROUNDING = 1e-6
"""part of a value by which its bounds may miss it"""


class CatalogueError(ValueError):
    """A name that means no simulator, or constants with which it cannot be made."""


def make(name: str, boundary: Boundary, constants: Mapping[str, Any]) -> Simulator:
    """A simulator with its constants.

    Raises:
        CatalogueError: there is none of that name, or not with these constants.
    """
    try:
        # What a user's code prints is no part of a command's JSON.
        with contextlib.redirect_stdout(sys.stderr):
            kind = _class(name)
            simulator: Simulator = kind(boundary=boundary, **constants)
            names = list(simulator.properties)
    except CatalogueError:
        raise
    except (Exception, SystemExit) as error:
        raise CatalogueError(f"simulator '{name}': {_words(error)}") from None
    if not names or not callable(simulator):
        raise CatalogueError(f"simulator '{name}': it needs `properties`, one name at least, and `__call__(image)`")
    return simulator


def limits(
    simulator: Simulator, fraction: NDArray[np.float64], given: Mapping[str, tuple[Any, Any]] | None = None
) -> dict[str, tuple[Any, Any]]:
    """Between what a simulator says each property lies at volume fractions (n,); nothing where it does not say.

    With `given`, intervals (n,) that properties lie in, what it says of all at once, too: the lower end is above the
    upper one where nothing is possible.

    Raises:
        CatalogueError: what it says is no pair of numbers for each fraction, or the lower one is above the upper.
    """
    found = dict[str, tuple[Any, Any]]()
    try:
        if hasattr(simulator, "limits"):
            for name, ends in simulator.limits(fraction).items():
                low, high = _ends(ends, fraction)
                if not (low <= high + ROUNDING * abs(high)).all():
                    raise ValueError(f"those of {name} are no numbers, or the lower one is above the upper")
                found[name] = low, high
        if given and hasattr(simulator, "joint_limits"):
            for name, ends in simulator.joint_limits(fraction, given).items():
                low, high = _ends(ends, fraction)
                if np.isnan(low).any() or np.isnan(high).any():
                    raise ValueError(f"those of {name} are no numbers")
                least, most = found.get(name, (low, high))
                found[name] = np.maximum(low, least), np.minimum(high, most)
    except Exception as error:
        raise CatalogueError(
            f"limits of {type(simulator).__name__}: {_words(error)}; mend them, or leave them out"
        ) from None
    return found


def _ends(ends: tuple[Any, Any], fraction: NDArray[np.float64]) -> tuple[Any, Any]:
    low, high = (np.broadcast_to(np.asarray(end, dtype=float), fraction.shape) for end in ends)
    return low, high


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
    except (Exception, SystemExit) as error:
        raise CatalogueError(
            f"simulator '{name}' cannot be imported: {_words(error)}; install it, or add its folder to PYTHONPATH"
        ) from None
    if not callable(found):
        raise CatalogueError(f"simulator '{name}': {found!r} is no class")
    return found


def _words(error: BaseException) -> str:
    words = _line(error) or "no reason given"
    return words if isinstance(error, ValueError) else f"{type(error).__name__}: {words}"


def _line(words: object) -> str:
    """On one line that any file can hold."""
    return " ".join(str(words).split())[:SHOWN].encode(errors="replace").decode()


def run(
    simulator: Simulator, images: Sequence[NDArray[np.integer]], names: Sequence[str] = ()
) -> list[Result | Failure]:
    """Results of images, in order; what a simulator cannot do, or answers wrongly, is a failure with its reason.

    `names` are the properties asked, if not all that it gives of such images.
    """
    if not hasattr(simulator, "many"):
        return [_one(simulator, image, names or names_of(simulator, image.ndim)) for image in images]
    try:
        found = list(simulator.many(images))
        if len(found) != len(images):
            raise SimulationError(f"the simulator gave {len(found)} results of {len(images)} images")
    except (Exception, SystemExit) as error:
        if len(images) == 1:
            return [_failure(error)]
        # One image may be to blame, the others are not.
        return [result for image in images for result in run(simulator, [image], names)]
    answers = iter(found)
    return [_one(lambda _: next(answers), image, names or names_of(simulator, image.ndim)) for image in images]


def names_of(simulator: Simulator, dim: int) -> Sequence[str]:
    """Names of what a simulator gives of planes (2) or volumes (3); `names(dim)` says so where they differ."""
    if hasattr(simulator, "names"):
        return list(simulator.names(dim))
    return [getattr(row, "name", row) for row in simulator.properties]


def _one(
    simulate: Callable[[NDArray[np.integer]], Any], image: NDArray[np.integer], names: Sequence[str]
) -> Result | Failure:
    try:
        return checked(simulate(image), names, image.shape)
    except (Exception, SystemExit) as error:
        return _failure(error)


def _failure(error: BaseException) -> Failure:
    known = isinstance(error, SimulationError)
    return Failure(_line(error if known else f"{type(error).__name__}: {error}"))


def checked(found: Any, names: Sequence[str], shape: tuple[int, ...]) -> Result | Failure:
    """A simulator's answer as what can be stored: of each of these properties a finite number, and nothing else.

    Raises:
        SimulationError: a value, bound or sensitivity that is none.
    """
    if isinstance(found, Failure):
        return Failure(_line(found.reason))
    result = found if isinstance(found, Result) else Result(dict(found))
    values = {name: _number(name, result.values.get(name)) for name in names}
    lower, upper, plain = (
        {n: _number(f"{table} {n}", v) for n, v in getattr(result, table).items() if n in values}
        for table in ("lower", "upper", "plain")
    )
    for name, value in values.items():
        low, high = lower.get(name, value), upper.get(name, value)
        if not low - ROUNDING * abs(value) <= value <= high + ROUNDING * abs(value):
            raise SimulationError(f"the simulator gave {name} = {value:g}, which is not between {low:g} and {high:g}")
    maps = {n: np.asarray(m, dtype=np.float64) for n, m in result.sensitivity.items() if n in values}
    for name, slope in maps.items():
        if slope.shape != shape:
            raise SimulationError(f"the simulator gave a sensitivity of {name} {slope.shape} of an image {shape}")
        if not np.abs(slope).max() * slope.size < np.finfo(np.float32).max:
            raise SimulationError(f"the simulator gave a sensitivity of {name} that is not finite")
    return replace(
        result,
        values=values,
        lower=lower,
        upper=upper,
        plain=plain,
        sensitivity=maps,
        solver=_line(result.solver),
        solver_version=_line(result.solver_version),
        imbalance=float(result.imbalance),
        seconds=float(result.seconds),
        failures={},
    )


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(number := float(value)):
        raise SimulationError(f"the simulator gave {name} = {_line(value)}; it must be a finite number")
    return number
