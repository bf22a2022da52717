"""Volumes of the user that are folders: a picture for each layer, in the order of the number in its name."""

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulators.structures.images import PICTURES, LabelledImage, ranked
from simulators.structures.rasters import ImageError, Raster, check_shape, read_picture


def read_slices(folder: Path, phases: int) -> LabelledImage:
    """The labels of `read_stack`: its stored values rank as those of one picture, over all slices together."""
    return ranked(folder, read_stack(folder), phases)


def read_stack(folder: Path) -> Raster:
    """A volume (nz, ny, nx) from a folder of PNG or TIFF pictures and nothing else, hidden files apart.

    Layer 0 has the lowest number.

    Raises:
        ImageError: with the folder or the file, what is wrong with it and the mend.
    """
    paths = _in_order(folder)
    first = read_picture(paths[0])
    check_shape(folder, (len(paths), *first.values.shape[:-1]))
    values, palette = np.empty((len(paths), *first.values.shape), first.values.dtype), first.palette
    for number, path in enumerate(paths):
        layer = read_picture(path)
        values[number] = _alike(path, layer, paths[0], first)
        shared = min(len(palette), len(layer.palette))
        if layer.palette[:shared] != palette[:shared]:
            raise ImageError(
                f"{path}: another palette than slices before it, so that an index would mean two phases; save the "
                "slices as grey pictures"
            )
        palette = max(palette, layer.palette, key=len)
    return Raster(values, first.alpha, first.kind, palette, first.highest)


def _in_order(folder: Path) -> list[Path]:
    """The slices, whose names are alike but for one number that rises in even steps."""
    paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    for path in paths:
        if path.suffix.lower() not in PICTURES or not path.is_file():
            raise ImageError(f"{path}: no slice; leave in {folder} only the .png or .tif pictures of its volume")
    if len(paths) < 2:
        raise ImageError(f"{folder}: {len(paths) or 'no'} slice; a volume has two or more, each a .png or .tif picture")
    parts = [re.split(r"(\d+)", path.name) for path in paths]
    words = [part[::2] for part in parts]
    numbers = np.array([[int(n) for n in part[1::2]] for part in parts if len(part) == len(parts[0])], dtype=object)
    varying = np.flatnonzero(np.ptp(numbers, axis=0))
    if words != words[:1] * len(words) or len(varying) != 1:
        other = next((path for path, its in zip(paths, words, strict=True) if its != words[0]), paths[-1])
        raise ImageError(
            f"{folder}: the names {paths[0].name} and {other.name} do not say which slice comes first; let all be "
            "alike but for one number, as slice_001.png is"
        )
    order = np.argsort(numbers[:, varying[0]], kind="stable")
    paths, steps = [paths[i] for i in order], np.diff(numbers[order, varying[0]]).tolist()
    usual = max(set(steps), key=steps.count)
    for (before, after), step in zip(pairwise(paths), steps, strict=True):
        if step != usual:
            raise ImageError(
                f"{folder}: {after.name} follows {before.name}, {step} on where others are {usual}; bring the slices "
                "that are missing, or number them anew"
            )
    return paths


def _alike(path: Path, layer: Raster, first_path: Path, first: Raster) -> NDArray[Any]:
    """The numbers of a slice; refuses one that is not of the first's kind."""
    if layer.values.ndim != 3:
        raise ImageError(f"{path}: a stack of its own, {layer.values.shape[:-1]}; a slice is one picture")
    for what, has, wanted in (
        ("pixels", layer.values.shape[:-1], first.values.shape[:-1]),
        ("channels", layer.values.shape[-1], first.values.shape[-1]),
        ("type", (layer.kind, layer.values.dtype.name), (first.kind, first.values.dtype.name)),
    ):
        if has != wanted:
            raise ImageError(f"{path}: {what} {has} but {first_path.name} has {wanted}; slices of a volume are alike")
    return layer.values
