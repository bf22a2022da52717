"""The dossier of a design: a folder that stands alone, with all it takes to look at it, to make it and to check it."""

import hashlib
import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from janus_al.files import atomic_path
from janus_al.material import Material
from loop.design.features import features_of
from loop.exports.drawings import write_dxf
from loop.exports.part import Part, length
from loop.exports.solids import write_stl
from loop.exports.volumes import write_vti
from loop.output.dossier_page import dossier_page
from loop.output.heat import agree, heat_picture
from loop.output.marks import picture
from loop.output.volumes import Volume, png, sheet, slices
from simulators import write_png
from simulators.solvers.flow import heat_flows

ALWAYS = ("design.json", "image.npy", "image.png", "design.png", "slices.png")
"""files that a campaign's design had before others were made, too"""
FILES = (*ALWAYS, "heat.png", "design.stl", "design.vti", "design.dxf", "index.html")
"""all that a dossier may hold; anything else in its folder is the user's"""
ADDED = ("features", "files", "missing")
"""to what a campaign says of a design, in design.json"""
PIXELS = "in pixels, as nothing says how long one is; `janus-al export . --format {} --size 10mm` gives it a length"


class Unmade(Exception):
    """Why a file of a dossier cannot be made."""


def write_dossier(folder: Path, design: Mapping[str, Any], material: Material) -> None:
    """Write what is not there yet, or is not as it was written; design.json, which vouches for the rest, last.

    What cannot be made is named there and in index.html, with the reason.

    Args:
        folder: of the design, which exists.
        design: what the campaign says of it, and its `image`.
        material: of the image.
    """
    description = json.loads(json.dumps({k: v for k, v in design.items() if k != "image"}))
    if _is_whole(folder, description):
        return
    found = {**design, "features": features_of(design["image"], material.boundary == "periodic")}
    files, missing, own = dict[str, dict[str, str]](), dict[str, str](), _own(folder)
    claimed = {name: {"sha256": ""} for name in FILES if name in own or not os.path.lexists(folder / name)}

    def describe(files: Mapping[str, Mapping[str, str]]) -> None:
        described = {**description, "features": found["features"], "files": files, "missing": missing}
        with atomic_path(folder / "design.json") as temporary:
            temporary.write_text(json.dumps(described, indent=1, allow_nan=False))

    def put(name: str, holds: str, make: Callable[[Path], object]) -> None:
        try:
            if name not in claimed:
                raise Unmade("a file of that name was here already; move it away")
            with atomic_path(folder / name, durable=False) as temporary:
                told = make(temporary)
        except OSError:
            raise
        except Exception as error:  # one file that cannot be made must not cost the others
            reason = str(error) if isinstance(error, Unmade) else f"{type(error).__name__}: {error}"
            missing[name] = " ".join(reason.split())
            return
        words = f"{holds}; {told}" if isinstance(told, str) and told else holds
        files[name] = {"holds": words, "sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest()}

    describe(claimed)  # a folder that a kill left half written is still known
    for name, (holds, make) in _makers(found, material).items():
        put(name, holds, make)
    put(
        "index.html",
        "this page",
        lambda path: _write(path, dossier_page(folder, found, material, files, missing).encode()),
    )
    describe(files)


def own_files(folder: Path) -> list[Path]:
    """What a campaign wrote into a design's folder, as far as it is there."""
    return [path for name in FILES if name in _own(folder) and (path := folder / name).is_file()]


def unmade(folders: Sequence[Path]) -> list[str]:
    """What could not be made of dossiers, and why, a sentence each."""
    found = []
    for folder in folders:
        for name, reason in json.loads((folder / "design.json").read_text()).get("missing", {}).items():
            found.append(f"{folder / name} was not made: {reason}")
    return found


def _own(folder: Path) -> set[str]:
    try:
        return {*ALWAYS, *json.loads((folder / "design.json").read_text())["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {*ALWAYS}


def _is_whole(folder: Path, description: Mapping[str, Any]) -> bool:
    """Whether a folder holds this design's dossier, every file as it was written."""
    try:
        found = json.loads((folder / "design.json").read_text())
        files = [(folder / name, about["sha256"]) for name, about in found["files"].items()]
        same = {k: v for k, v in found.items() if k not in ADDED} == description
        return same and all(hashlib.sha256(path.read_bytes()).hexdigest() == digest for path, digest in files)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


Makers = dict[str, tuple[str, Callable[[Path], object]]]


def _makers(design: Mapping[str, Any], material: Material) -> Makers:
    """Of each file what it holds, in words, and what writes it; that may say more, in words."""
    labels, pixel, dim = design["image"], design["pixel"], design["image"].ndim
    sides, cell = " x ".join(map(str, labels.shape[::-1])), "voxel" if dim == 3 else "pixel"
    makers: Makers = {"image.npy": (f"labels, {sides} {cell}s, row 0 on top", lambda path: _save(path, labels))}
    if dim == 2:
        makers["image.png"] = ("the same as a picture", lambda path: write_png(path, labels))
        makers["design.png"] = ("picture with axes", lambda path: _write(path, png(picture(labels, material, pixel))))
    else:
        volume = Volume.of(labels, material, pixel)
        makers["design.png"] = ("surface, and a block cut open", lambda path: _write(path, png(sheet(volume))))
        makers["slices.png"] = ("the middle planes", lambda path: _write(path, slices(volume)))
    makers["heat.png"] = ("isotherms and lines of flux", lambda path: _write(path, _heat(design, material)))
    edge, unit = length(pixel) if pixel else (1.0, "")
    label = 1 if (labels == 1).any() else int(labels.max())
    part = Part(labels, edge, edge, unit, label, 0.0, material.boundary, material.phase_conductivity)
    solid = f"closed surface of label {label}" + ("" if dim == 3 else f", a {cell} thick")
    for name, holds, write in (
        ("design.stl", solid, write_stl),
        ("design.vti", "labels and conductivity as VTK image data", write_vti),
        ("design.dxf", "outlines, a layer for each label", write_dxf),
    ):
        if dim == 2 or write is not write_dxf:
            form = "vtk" if write is write_vti else name[-3:]
            lengths = f"in {unit}" if unit else PIXELS.format(form)
            makers[name] = (f"{holds}, {lengths}", lambda path, write=write: write(path, part).note)  # type: ignore[misc]
    return makers


def _heat(design: Mapping[str, Any], material: Material) -> bytes:
    if not material.phase_conductivity:
        raise Unmade("this campaign asks for no conduction of heat")
    flows = heat_flows(design["image"], material.phase_conductivity, material.boundary)
    if not agree(flows, design["properties"]):
        raise Unmade("what was solved again conducts otherwise than the design does")
    return heat_picture(design["image"], flows)


def _save(path: Path, labels: Any) -> None:
    buffer = io.BytesIO()
    np.save(buffer, labels)
    path.write_bytes(buffer.getvalue())


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)
