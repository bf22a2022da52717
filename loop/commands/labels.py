"""Which stored value of an image became which label and conducts how well: checked, as JSON and in words."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from loop import UsageError
from loop.commands.terminal import print_table
from simulators import ImageError
from simulators.structures.images import LabelledImage, read_labelled


def read_images(paths: Sequence[Path], conductivity: str, phases: int) -> list[LabelledImage]:
    """All images of one list of conductivities, which is as the user wrote it.

    Raises:
        ImageError: why the first that cannot be read cannot, and the names of the others.
        UsageError: the list goes on beyond the last label of every image, and a comma may mark decimals.
    """
    images, refused = list[LabelledImage](), list[tuple[Path, ImageError]]()
    for path in paths:
        try:
            images.append(read_labelled(path, phases))
        except ImageError as error:
            refused.append((path, error))
    if refused:
        others = ", ".join(str(path) for path, _ in refused[1:])
        raise ImageError(str(refused[0][1]) + (f" (refused as well: {others})" if others else ""))
    used = max(int(image.labels.max()) for image in images) + 1
    if used < phases:
        labels = f"label {used}" if used + 1 == phases else f"labels {used} to {phases - 1}"
        spare = f"conductivity '{conductivity}' has {phases} values, but no image has {labels}"
        if re.search(r"(?<![\w.+-])\d+,\d+(?![\w.])", conductivity):
            raise UsageError(f"{spare}; write decimals with a point, as in 0.1,1.0, and one value for each label")
        print(spare, file=sys.stderr)
    return images


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
