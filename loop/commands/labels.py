"""Which stored value of an image became which label and conducts how well: checked, as JSON and in words."""

import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from loop import UsageError
from loop.commands.terminal import print_table
from simulators import ImageError
from simulators.structures.greys import read_grey
from simulators.structures.images import LabelledImage, read_labelled
from simulators.structures.slices import read_slices
from simulators.structures.thresholds import Picture, Threshold

Read = TypeVar("Read")


def read_images(paths: Sequence[Path], conductivity: str, phases: int, dim: int | None = None) -> list[LabelledImage]:
    """All images of one list of conductivities, which is as the user wrote it.

    Args:
        dim: that all images must have; with 3 a folder is one volume, whose slices are its pictures.

    Raises:
        ImageError: why the first that cannot be read cannot, and the names of the others.
        UsageError: the list goes on beyond the last label of every image, and a comma may mark decimals.
    """
    images = every(paths, lambda path: _read(path, phases, dim))
    used = max(int(image.labels.max()) for image in images) + 1
    if used < phases:
        labels = f"label {used}" if used + 1 == phases else f"labels {used} to {phases - 1}"
        spare = f"conductivity '{conductivity}' has {phases} values, but no image has {labels}"
        if re.search(r"(?<![\w.+-])\d+,\d+(?![\w.])", conductivity):
            raise UsageError(f"{spare}; write decimals with a point, as in 0.1,1.0, and one value for each label")
        print(spare, file=sys.stderr)
    return images


def read_pictures(paths: Sequence[Path], threshold: Threshold, dim: int | None = None) -> list[Picture]:
    """Labels of greys; raises ImageError as `read_images` does."""

    def read(path: Path) -> Picture:
        check_folder(path, dim)
        grey = read_grey(path)
        check_axes(path, grey.values.shape, dim)
        return threshold.of(path, grey)

    return every(paths, read)


def every(paths: Sequence[Path], read: Callable[[Path], Read]) -> list[Read]:
    """What is read of each file; raises ImageError for the first that cannot be, and names the others."""
    images, refused = list[Read](), list[tuple[Path, ImageError]]()
    for path in paths:
        try:
            images.append(read(path))
        except ImageError as error:
            refused.append((path, error))
    if refused:
        others = ", ".join(str(path) for path, _ in refused[1:])
        raise ImageError(str(refused[0][1]) + (f" (refused as well: {others})" if others else ""))
    return images


def check_folder(path: Path, dim: int | None) -> None:
    """Refuse a folder that nobody said is a volume; raises ImageError."""
    if path.is_dir() and dim != 3:
        raise ImageError(f"{path}: a folder; name its files, or say --dim 3 if its pictures are slices of a volume")


def check_axes(path: Path, shape: tuple[int, ...], dim: int | None) -> None:
    """Refuse a plane where volumes are asked for, and the reverse; raises ImageError."""
    if dim not in (None, len(shape)):
        sides, kinds = " x ".join(map(str, shape)), {2: "plane", 3: "volume"}
        raise ImageError(
            f"{path}: a {kinds[len(shape)]} of {sides} where --dim {dim} asks for a {kinds[dim or 2]}; leave "
            "--dim out, or name other files"
        )


def _read(path: Path, phases: int, dim: int | None) -> LabelledImage:
    check_folder(path, dim)
    if path.is_dir():
        return read_slices(path, phases)
    image = read_labelled(path, phases)
    check_axes(path, image.labels.shape, dim)
    return image


def mappings(paths: Sequence[Path], images: Sequence[LabelledImage], phases: Sequence[float]) -> list[dict[str, Any]]:
    """Of each file the stored value, conductivity and number of pixels of every label, as JSON."""
    found = []
    for path, image in zip(paths, images, strict=True):
        columns = enumerate(zip(image.stored, phases, image.pixels, strict=True))
        rows = [{"stored": s, "label": label, "conductivity": k, "pixels": n} for label, (s, k, n) in columns]
        found.append({"file": str(path), "mapping": rows})
    return found


def print_mappings(found: Sequence[dict[str, Any]]) -> None:
    """A row for each label; files whose labels come from the same stored values share it and add their pixels up."""
    alike: dict[Any, list[dict[str, Any]]] = {}
    for one in found:
        alike.setdefault(tuple(row["stored"] for row in one["mapping"]), []).append(one)
    table = []
    for members in alike.values():
        files = members[0]["file"] + (f" and {len(members) - 1} more" if len(members) > 1 else "")
        for rows in zip(*(one["mapping"] for one in members), strict=True):
            table.append([*list(rows[0].values())[:3], sum(row["pixels"] for row in rows), files])
    print_table(["stored", "label", "conductivity", "pixels", "file"], table)
