"""One export: read, checked, written, read again as voxels, and simulated beside the design."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from janus_al.files import atomic_path
from janus_al.lengths import LENGTHS, metres
from janus_al.material import Boundary, conduction
from janus_al.samples import content_hash
from loop import UsageError
from loop.exports.drawings import write_dxf, write_svg
from loop.exports.meshes import write_inp, write_vtu
from loop.exports.part import Labels, Part, Written, length
from loop.exports.solids import write_stl
from loop.exports.subjects import Subject, read_subjects
from loop.exports.volumes import write_npy, write_tif, write_vti
from loop.files.outputs import check_folder, claim
from loop.simulation.executors import open_executor
from loop.simulation.simulate import Execution, Found, simulate
from simulators import Failure, choose

ENDINGS = {name: f".{name}" for name in ("stl", "npy", "tif", "inp", "vtu", "dxf", "svg")} | {"vtk": ".vti"}
WRITERS: dict[str, Callable[[Path, Part], Written]] = {
    "stl": write_stl,
    "vtk": write_vti,
    "npy": write_npy,
    "tif": write_tif,
    "inp": write_inp,
    "vtu": write_vtu,
    "dxf": write_dxf,
    "svg": write_svg,
}
PLANE, PHASE = ("dxf", "svg"), ("stl", "dxf", "svg")
"""formats of planes alone; those that hold phases by their borders"""
LEAST, MOST = 1e-11, 1e3
"""metres a voxel, which all formats can state"""
TOLD = 0.01
"""part of the design's value by which what was exported may differ without a warning"""


@dataclass(frozen=True)
class Export:
    """What is exported of a design, and how.

    Attributes:
        formats: stl, vtk (image data, .vti), npy, tif, inp, vtu, dxf, svg.
        size: length of the longest side, such as 10mm, whose unit all coordinates have; "" takes the campaign's pixel.
        thickness: by which planes are extruded, such as 1mm; "" is a pixel's length.
        label: of the phase that an STL encloses.
        smooth: standard deviation, in voxels, of the filter of surfaces and outlines; 0 leaves voxels as they are.
        conductivity: of label 0, label 1...; none takes the design's.
        simulated: whether what was exported is simulated beside the design.
    """

    formats: tuple[str, ...] = ("stl",)
    size: str = ""
    thickness: str = ""
    label: int = 1
    smooth: float = 0.0
    conductivity: tuple[float, ...] = ()
    simulated: bool = True


def export(design: Path, out: Path, request: Export, force: bool = False, workers: int = 1) -> dict[str, Any]:
    """Write a design's files, with what they hold, into a folder, and export.json beside them.

    Returns:
        `files`, a row each: what of the phase the design and the file hold (`fraction_design`, `fraction`), what both
        conduct (`kxx_design`, `kxx`...) on the design's grid, and by how much they differ at most (`difference`).

    Raises:
        UsageError, OutputError, ImageError: nothing was written.
        DatasetError: a file of the design is damaged.
    """
    if unknown := [name for name in request.formats if name not in WRITERS]:
        raise UsageError(f"format '{unknown[0]}': it must be one of {', '.join(WRITERS)}")
    subjects = read_subjects(design, len(request.conductivity) or 2)
    parts = [_part(subject, design, request) for subject in subjects]
    run: dict[str, Any] = {"command": "export", "design": str(design), **asdict(request)}
    jobs = [(s, p, f, s.name + ENDINGS[f]) for s, p in zip(subjects, parts, strict=True) for f in request.formats]
    files = ["export.json", *(name for *_, name in jobs)]
    check_folder(out, run, [design], force, "export.json", files)
    claim(out, run, files, "export.json")
    found = []
    for _, part, form, name in jobs:
        with atomic_path(out / name) as temporary:
            found.append(WRITERS[form](temporary, part))
    values = _conducted([p for _, p, *_ in jobs], found, workers) if request.simulated else {}
    rows = []
    for (subject, part, form, name), written in zip(jobs, found, strict=True):
        row: dict[str, Any] = {"file": str(out / name), "design": subject.name, "format": form, "label": part.label}
        row |= {"fraction_design": part.fraction(part.image), "fraction": written.fraction}
        row |= _beside(values.get(content_hash(part.image)), values.get(content_hash(written.image)))
        ends = [n.removesuffix("_design") for n in row if n.endswith("_design")]
        row["difference"] = max(_apart(row[n], row[f"{n}_design"]) for n in ends if n[:1] != "k" or n[1] == n[2])
        row |= {"edge": part.edge, "thickness": part.thickness, "unit": part.unit, "note": written.note}
        rows.append(row)
    result = {"design": str(design), "files": rows}
    with atomic_path(out / "export.json") as temporary:
        temporary.write_text(json.dumps(result, indent=1))
    return result


def _part(subject: Subject, design: Path, request: Export) -> Part:
    """The subject with its lengths.

    Raises:
        UsageError: it cannot be exported so.
    """
    image, name = subject.image, f"{design}" if subject.own else f"{design}: {subject.name}"
    if image.ndim == 3 and (flat := [f for f in request.formats if f in PLANE]):
        raise UsageError(
            f"{name}: a volume has no outlines; ask for --format stl, vtk, inp or tif instead of {flat[0]}"
        )
    if image.ndim == 3 and request.thickness:
        raise UsageError(f"{name}: --thickness {request.thickness} is for planes; a volume has its own, leave it out")
    present = np.unique(image).tolist()
    if request.label not in present:
        has = f"{'label' if len(present) == 1 else 'labels'} {', '.join(map(str, present))}"
        raise UsageError(f"{name}: nothing of --label {request.label}; it has {has}")
    conductivity = request.conductivity or subject.conductivity
    if request.simulated and len(conductivity) <= present[-1]:
        known = f"conductivities of {len(conductivity)} phases" if conductivity else "no conductivity"
        raise UsageError(
            f"{name}: {known} for labels up to {present[-1]}; give --conductivity, as in 0.1,1.0, or --no-simulate"
        )
    edge, unit = _edge(name, subject, request)
    try:
        thickness = metres(request.thickness) / LENGTHS[unit] if request.thickness else edge
    except ValueError as error:
        raise UsageError(f"--thickness {error}") from None
    lengths = (edge, thickness, unit)
    return Part(image, *lengths, request.label, request.smooth, subject.boundary, conductivity)


def _edge(name: str, subject: Subject, request: Export) -> tuple[float, str]:
    """Length of a voxel's side, and its unit."""
    words, count = (request.size, max(subject.image.shape)) if request.size else (subject.pixel, 1)
    if not words:
        if set(request.formats) == {"npy"}:
            return 1.0, "m"  # in which there is no length
        raise UsageError(
            f"{name}: nothing says how large it is; give --size, the length of its longest side, such as 10mm"
        )
    try:
        number, unit = length(words)
    except ValueError as error:
        raise UsageError(f"--size {error}") from None
    if not LEAST <= metres(words) / count <= MOST:
        raise UsageError(f"--size {words}: {count} voxels long, one must be from {LEAST:g} to {MOST:g} m")
    return number / count, unit


def _conducted(parts: Sequence[Part], found: Sequence[Written], workers: int) -> dict[str, Found]:
    """Results of the designs and of what was written, by content hash, each image once."""
    results: dict[str, Found] = {}
    asked: dict[tuple[tuple[float, ...], Boundary, tuple[int, ...]], dict[str, Labels]] = {}
    for part, written in zip(parts, found, strict=True):
        same = asked.setdefault((part.conductivity, part.boundary, part.image.shape), {})
        same |= {content_hash(image): image for image in (part.image, written.image)}
    with open_executor("process", workers) as executor:
        for (conductivity, boundary, shape), images in asked.items():
            execution = Execution(executor, choose(shape, len(images), boundary), cached=True)
            answers = simulate(list(images.values()), conduction(conductivity, boundary, len(shape)), execution)
            results |= dict(zip(images, answers, strict=True))
    return results


def _beside(design: Found | None, exported: Found | None) -> dict[str, Any]:
    if design is None or exported is None:
        return {}
    for what, found in (("design", design), ("exported", exported)):
        if isinstance(found, Failure):
            return {"reason": f"the {what} image cannot be simulated: {found.reason}"}
    return {
        name + end: float(found.values[name])  # type: ignore[union-attr]
        for name in design.values  # type: ignore[union-attr]
        for end, found in (("_design", design), ("", exported))
    }


def _apart(value: float, wanted: float) -> float:
    return abs(value - wanted) / abs(wanted) if wanted else abs(value)
