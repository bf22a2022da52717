"""The page of a design's dossier, which reads by itself: pictures, properties, features, lineage, how to check it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from janus_al.lengths import in_words, metres
from janus_al.material import Material
from loop.design.features import LARGEST
from loop.design.targets import Target
from loop.exports.part import length
from loop.output.again import commands
from loop.output.intervals import asked
from loop.output.pages import page
from loop.output.pictures import embed


def dossier_page(
    folder: Path,
    design: Mapping[str, Any],
    material: Material,
    files: Mapping[str, Mapping[str, str]],
    missing: Mapping[str, str],
) -> str:
    """The page of a design's folder, in which its pictures are already.

    Args:
        folder: of the design.
        design: what the campaign says of it, its `image` and its `features`.
        material: of the image.
        files: made, by name, with what they hold.
        missing: those that could not be made, with the reason.
    """
    target = Target.of(design["target"]["name"], {k: v for k, v in design["target"].items() if k != "name"})
    certificate = design.get("certificate") or {"properties": {}, "refinement": 1}
    certified = {**design["properties"], **certificate["properties"]}
    shown = [name for name in ("design.png", "slices.png", "heat.png") if name in files]
    steps = [
        {"words": words, "hash": step["hash"], "asked": asked(target, step["properties"], {}, material)}
        for words, step in zip(_stages(design), design["lineage"]["steps"], strict=True)
    ]
    return page(
        "dossier.html.j2",
        d=design,
        dim=design["image"].ndim,
        sides=design["image"].shape[::-1],
        target=str(target),
        names=[n for n in material.simulated if n in design["properties"]],
        certified=certified,
        certified_at=certificate["refinement"],
        asked=asked(target, design["properties"], certificate["properties"], material),
        smallest=[_smallest(design, label) for label in (0, 1)],
        surface=_surface(design),
        lineage=_lineage(design, material),
        steps=steps if len(steps) > 1 else [],
        commands=commands(design, material),
        pictures={name: embed((folder / name).read_bytes()) for name in shown},
        files={name: about["holds"] for name, about in files.items()},
        missing=missing,
    )


def _stages(design: Mapping[str, Any]) -> list[str]:
    steps, key = design["lineage"]["steps"], design["lineage"]["hash"]
    words = ["first shot", *(f"refinement {n}" for n in range(1, len(steps)))]
    return [f"{w}: the design" if s["hash"] == key else w for w, s in zip(words, steps, strict=True)]


def _smallest(design: Mapping[str, Any], label: int) -> str:
    size, most = design["features"][f"min_feature_{label}"], LARGEST[design["image"].ndim]
    if not size:
        return "none of it"
    cell = "voxel" if design["image"].ndim == 3 else "pixel"
    cells = f"{'at least ' if size == most else ''}{size} {cell}{'s' * (size > 1)}"
    return f"{cells}, {in_words(size * metres(design['pixel']))}" if design["pixel"] else cells


def _surface(design: Mapping[str, Any]) -> str:
    value, cell = design["features"]["specific_surface"], "voxel" if design["image"].ndim == 3 else "pixel"
    if not design["pixel"]:
        return f"{value:.3f} per {cell}"
    edge, unit = length(design["pixel"])
    return f"{value:.3f} per {cell}, {value / edge:.4g} per {unit}"


def _lineage(design: Mapping[str, Any], material: Material) -> list[tuple[str, str]]:
    """What is known of where a design comes from, as rows of a table."""
    of, solver = design["lineage"], design["solver"]
    model = "no model" if of["model"] is None else of["model"]
    digest = f", sha256 {of['model_sha256'][:16]}" if of["model_sha256"] else ""
    foretold = [
        f"{n} {v:.4g}" + (" in {:.4g}..{:.4g}".format(*of["interval"][n]) if n in of.get("interval", {}) else "")
        for n, v in of.get("predicted", {}).items()
        if n in material.simulated
    ]
    chance = f"; chance to hit at the first shot {of['p_hit']:.2f}" if of.get("p_hit") is not None else ""
    imbalance = "" if solver["flux_imbalance"] is None else f", flux imbalance {solver['flux_imbalance']:.1e}"
    checked, more = design.get("reference"), of["simulations"] - 1
    source = f" ({of['source']})" if of.get("source") else ""
    refined = f" and {more} of its refinement" if more else ""
    return [
        ("campaign", f"{of['name']}, {of['campaign']}; seed {of['seed']}; {', '.join(of['versions'])}"),
        ("proposed", f"in round {of['round']} by the generator {of['generator']}{source} with {model}{digest}"),
        *([("foretold", ", ".join(foretold) + chance)] if foretold else []),
        ("simulations", f"{of['simulations']}, the first shot{refined}"),
        *(("physics", _physics(p, material.boundary)) for p in material.physics),
        ("solver", f"{solver['name']} {solver['version']}{imbalance}"),
        *([("solved once more by", f"{checked['solver']} {checked['version']}")] if checked else []),
        ("sha256 of the labels", of["hash"]),
    ]


def _physics(physics: Any, boundary: str) -> str:
    constants = "; ".join(
        f"{name} {', '.join(map(str, value)) if isinstance(value, tuple) else value}"
        for name, value in physics.constants.items()
    )
    return f"{physics.simulator}, {boundary} boundary: {constants} {physics.unit}".strip()
