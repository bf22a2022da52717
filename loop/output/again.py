"""The commands that simulate a design again, from its folder, and give the numbers that it has."""

import shlex
from collections.abc import Mapping
from typing import Any

from janus_al.material import Material, Physics
from simulators import SOLVERS, choose

SPARE = 1e-9
"""by which a half-width is asked for that was reached, relative: it is printed with fewer digits than it has"""


def commands(design: Mapping[str, Any], material: Material) -> list[str]:
    """For each physics a line; of conduction one more for the certified intervals, where they were refined."""
    return [line for physics in material.physics for line in _commands(design, material, physics)]


def _commands(design: Mapping[str, Any], material: Material, physics: Physics) -> list[str]:
    if physics.simulator != "conduction":
        return [_in_python(material, physics)]
    solver, shape = design["solver"]["name"], design["image"].shape
    if solver not in SOLVERS:
        return [_in_python(material, physics)]
    phases = ",".join(repr(float(k)) for k in material.phase_conductivity)
    line = f"janus-al homogenize image.npy --conductivity {phases} --boundary {material.boundary} --solver "
    certificate = design.get("certificate")
    if certificate is None or certificate["refinement"] == 1:
        return [line + solver]
    finer = choose(shape, 1, material.boundary) if solver == "fipy" else solver
    return [line + solver, f"{line}{finer} --certify {certificate['half_width'] * (1 + SPARE)!r}"]


def _in_python(material: Material, physics: Physics) -> str:
    """For what has no command of its own."""
    constants: dict[str, Any] = dict(physics.constants)
    if physics.simulator == "command":
        constants["properties"] = physics.properties
    made = f"simulators.make({physics.simulator!r}, {material.boundary!r}, {constants!r})"
    code = f"import numpy, simulators; print(simulators.run({made}, [numpy.load('image.npy')])[0].values)"
    return f"python -c {shlex.quote(code)}"
