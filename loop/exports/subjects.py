"""What DESIGN names: a campaign's design, or all of them, what `invert` wrote, or an image of the user."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from janus_al.errors import DatasetError
from janus_al.material import Boundary
from janus_al.samples import content_hash
from loop import UsageError
from loop.campaign.toml import load_stored
from loop.exports.part import Labels
from loop.files.outputs import inside
from simulators import ImageError
from simulators.structures.images import read_image

DESIGN, CANDIDATES, CAMPAIGN = "design.json", "candidates.json", "campaign.toml"


@dataclass(frozen=True, eq=False)
class Subject:
    """An image, and what is known of it where it lies.

    Attributes:
        name: that its files get.
        image: labels (ny, nx), row 0 on top, or (nz, ny, nx).
        conductivity: of each label; empty if not known.
        boundary: under which it was designed.
        pixel: length of a voxel's side, such as 0.5um; empty if not known.
        own: whether it is a file of the user.
    """

    name: str
    image: Labels
    conductivity: tuple[float, ...] = ()
    boundary: Boundary = "dirichlet"
    pixel: str = ""
    own: bool = False


def read_subjects(design: Path, phases: int) -> list[Subject]:
    """All that a path names, in the order of names.

    Args:
        design: a file of labels, or the folder of a design, of a campaign or its designs, or of what `invert` wrote.
        phases: how many labels the file of a user may have.

    Raises:
        UsageError: it is none of these.
        ImageError: a file of a user cannot be read.
        DatasetError: a file of ours is damaged.
    """
    if not design.is_dir():
        return [Subject(design.stem, read_image(design, phases), own=True)]
    if (design / DESIGN).is_file():
        return [_design(design)]
    if (design / CANDIDATES).is_file():
        return list(_candidates(design))
    root = design / "designs" if (design / CAMPAIGN).is_file() else design
    if folders := sorted(path.parent for path in root.glob(f"*/{DESIGN}")):
        return [_design(folder) for folder in folders]
    raise UsageError(
        f"{design}: holds no {DESIGN} of a campaign's design and no {CANDIDATES} of `invert`; name a folder that does, "
        "or a .npy, .png or .tif file of labels"
    )


def _design(folder: Path) -> Subject:
    origin = folder / DESIGN
    told = _json(origin)
    try:
        key, boundary = told["lineage"]["hash"], told["solver"]["boundary"]
        conductivity, pixel = tuple(map(float, told.get("conductivity", ()))), str(told.get("pixel", ""))
    except (KeyError, TypeError, ValueError):
        raise DatasetError(
            f"{origin}: damaged; it names no image or boundary; write it again by `campaign report`"
        ) from None
    image, name = _image(folder / "image.npy", key), folder.resolve().name
    home = folder.resolve().parent.parent
    if not (home / CAMPAIGN).is_file():
        return Subject(name, image, conductivity, boundary, pixel)
    config = load_stored(home)
    return Subject(name, image, config.material.phase_conductivity, boundary, config.microstructure.pixel)


def _candidates(folder: Path) -> Iterator[Subject]:
    from janus_al import checkpoint
    from janus_al.shipped import shipped

    origin = folder / CANDIDATES
    told = _json(origin)
    try:
        model, rows = shipped(told["model"]), [(Path(row["image"]).name, row["hash"]) for row in told["candidates"]]
    except (KeyError, TypeError):
        raise DatasetError(f"{origin}: damaged; it names no model or images; run `invert` again") from None
    more: dict[str, Any] = {}
    if told.get("phase_conductivity"):
        more = {"conductivity": tuple(map(float, told["phase_conductivity"]))}
        more |= {"boundary": told["boundary"], "pixel": told["pixel"] or ""}
    elif model.is_dir():
        card = checkpoint.load(model)[1]
        more = {"conductivity": card.phase_conductivity, "boundary": card.boundary, "pixel": card.pixel}
    for name, key in rows:
        path = inside(folder, name, origin)
        yield Subject(path.stem, _image(path, key), **more)


def _image(path: Path, key: str) -> Labels:
    """The labels of one of our files, which has this hash."""
    try:
        image = read_image(path, 256)
    except ImageError as error:
        raise DatasetError(f"{error}; restore it from a copy") from None
    if content_hash(image.astype(np.uint8)) != key:
        raise DatasetError(f"{path}: damaged; it is not the image that was simulated; restore it from a copy")
    return image


def _json(path: Path) -> dict[str, Any]:
    try:
        told = json.loads(path.read_text())
    except ValueError:
        told = None
    if not isinstance(told, dict):
        raise DatasetError(f"{path}: damaged; no JSON object; restore it from a copy")
    return told
