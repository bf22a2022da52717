"""A simulator that is a program: one image in, one JSON file out.

The program is started in the current directory; its files lie in a folder that is removed afterwards. `{input}` is the
path of a JSON file,

    {"image": "/tmp/.../image.npy", "vtk": "/tmp/.../image.vti", "shape": [32, 32], "boundary": "dirichlet",
     "properties": ["kxx"], "constants": {...}}

with the labels as a NumPy array and, for ParaView and solvers that read VTK, as image data beside it; `{output}` is
where it writes {"kxx": 0.3, ...}, or {"error": "why there is no result"}. `{image}` and `{vtk}` may be used, too.
"""

import json
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulators.simulator import Boundary, Result, SimulationError

SHOWN = 300
"""characters of a failed program's last words"""
WORDS = ("input", "output", "image", "vtk")


@dataclass(frozen=True, init=False)
class Command:
    """A program that simulates one image at a time.

    Attributes:
        boundary: told to the program.
        command: its words, as a shell would split them; no shell is started.
        properties: what it gives.
        constants: told to the program.
    """

    boundary: Boundary
    command: str
    properties: tuple[str, ...]
    constants: dict[str, Any]

    def __init__(self, boundary: Boundary, command: str, properties: Sequence[str], **constants: Any) -> None:
        fields: dict[str, Any] = dict(boundary=boundary, command=command, constants=constants)
        fields["properties"] = tuple(properties)
        for name, value in fields.items():
            object.__setattr__(self, name, value)
        try:
            shlex.split(command)
        except ValueError as error:
            raise ValueError(f"command {command!r}: {error}; close it") from None
        if "{output}" not in command or not any(f"{{{word}}}" in command for word in ("input", "image", "vtk")):
            raise ValueError(
                f"command {command!r}: it needs {{output}}, and {{input}}, {{image}} or {{vtk}}, as in "
                "'mysolver --in {input} --out {output}'"
            )

    def __call__(self, image: NDArray[np.integer]) -> Result:
        """Run the program on labels.

        Raises:
            SimulationError: it failed, or wrote no result.
        """
        with tempfile.TemporaryDirectory(prefix="janus-al-") as folder:
            paths = {word: Path(folder) / name for word, name in zip(WORDS, FILES, strict=True)}
            np.save(paths["image"], image)
            write_vtk(paths["vtk"], image)
            about: dict[str, Any] = {"image": str(paths["image"]), "vtk": str(paths["vtk"]), "shape": list(image.shape)}
            about |= {"boundary": self.boundary, "properties": list(self.properties), "constants": self.constants}
            paths["input"].write_text(json.dumps(about))
            words = shlex.split(self.command)
            for word, path in paths.items():
                words = [part.replace(f"{{{word}}}", str(path)) for part in words]
            try:
                done = subprocess.run(
                    words, capture_output=True, text=True, errors="replace", check=False, preexec_fn=_die_too
                )
            except OSError as error:
                raise SimulationError(
                    f"command {words[0]!r}: {error.strerror}; give a program that can be run"
                ) from None
            if done.returncode:
                last = " ".join((done.stderr or done.stdout).split())[-SHOWN:]
                raise SimulationError(f"command {words[0]!r}: exit code {done.returncode}: {last}")
            return _read(paths["output"], self.properties, words[0])


def _die_too() -> None:
    """Have the program killed with the worker that started it, where Linux can: a worker may be killed for time."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


FILES = ("input.json", "output.json", "image.npy", "image.vti")


def _read(path: Path, properties: Sequence[str], program: str) -> Result:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SimulationError(f"command {program!r}: no result in {{output}} ({error})") from None
    if not isinstance(found, dict) or "error" in found:
        raise SimulationError(f"command {program!r}: {found['error'] if isinstance(found, dict) else 'no JSON object'}")
    values = {name: found.get(name) for name in properties}
    return Result({name: value for name, value in values.items() if value is not None}, solver=Path(program).name[:32])


def write_vtk(
    path: Path,
    image: NDArray[np.integer],
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
    fields: Mapping[str, NDArray[np.floating]] | None = None,
) -> None:
    """Labels, and more fields of their shape, as VTK image data (XML, ASCII): one cell a pixel, y with the rows.

    Args:
        path: of the file.
        image: labels (ny, nx) or (nz, ny, nx).
        spacing: sides of a cell along x, y and z.
        fields: real numbers by name.
    """
    nz, ny, nx = (1, *image.shape) if image.ndim == 2 else image.shape
    extent, sides = f"0 {nx} 0 {ny} 0 {nz}", " ".join(f"{side:.17g}" for side in spacing)
    arrays = "".join(
        f"""<DataArray type="{kind}" Name="{name}" format="ascii">
{" ".join(map(str, values.ravel().tolist()))}
</DataArray>"""
        for kind, name, values in [
            ("Int32", "label", image),
            *(("Float64", name, values) for name, values in (fields or {}).items()),
        ]
    )
    path.write_text(
        f'''<VTKFile type="ImageData" version="1.0">
<ImageData WholeExtent="{extent}" Origin="0 0 0" Spacing="{sides}"><Piece Extent="{extent}">
<CellData Scalars="label">{arrays}</CellData></Piece></ImageData>
</VTKFile>
'''
    )
