"""Images of the user: files whose stored values become labels by one rule, and pictures of labels."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulators.structures.rasters import ImageError, Raster, check_shape, read_npy, read_picture

Stored = int | float | str | tuple[int, ...]
PICTURES = (".png", ".tif", ".tiff")


@dataclass(frozen=True)
class LabelledImage:
    """An image and where its labels come from.

    Attributes:
        labels: (ny, nx), row 0 on top, or (nz, ny, nx) of a stack, in the smallest unsigned dtype that holds them.
        stored: the value in the file of label 0, label 1... as many as there are phases; of a colour a tuple, of greys
            between which values it lies, in words.
        pixels: of each label, 0 where the image has none.
    """

    labels: NDArray[np.unsignedinteger[Any]]
    stored: tuple[Stored, ...]
    pixels: tuple[int, ...]


def read_image(path: Path, phases: int) -> NDArray[np.unsignedinteger[Any]]:
    """The labels of `read_labelled`."""
    return read_labelled(path, phases).labels


def read_labelled(path: Path, phases: int) -> LabelledImage:
    """An image or stack from a .npy, .png or .tif file.

    A .npy array holds the labels themselves. A picture means what it stores, whatever it looks like: an index and
    not the colour of its palette, 0 and not its white. Its values become labels from low to high and must be as
    many as there are phases, or fewer if they are label values themselves. Grey stored as colour is grey, other
    colours must rise together in every channel; where alone alpha varies, it is what is read.

    Raises:
        ImageError: with the file, what is wrong with it and the mend.
    """
    if not path.is_file():
        raise ImageError(f"{path}: {'a folder; name its files' if path.is_dir() else 'no such file'}")
    suffix = path.suffix.lower()
    if suffix == ".npy":
        values = read_npy(path)
        _check_labels(path, values, phases)
        return _labelled(values, tuple(range(phases)))
    if suffix in PICTURES:
        return ranked(path, read_picture(path), phases)
    raise ImageError(
        f"{path}: cannot read '{suffix}' files; give .npy, .png or .tif of labels, or any picture of greys to "
        "`janus-al import --threshold otsu`"
    )


def write_png(path: Path, image: NDArray[np.integer], scale: int = 8) -> None:
    """Write labels as a grey picture, label 0 black, the highest label white, `scale` pixels a pixel."""
    from PIL import Image

    highest = max(int(np.max(image)), 1)
    depth = np.uint8 if highest < 256 else np.uint16
    grey = (np.asarray(image, dtype=float) * np.iinfo(depth).max / highest).astype(depth)
    Image.fromarray(np.kron(grey, np.ones((scale, scale), dtype=depth))).save(path, "PNG", optimize=True)


def _check_labels(path: Path, array: NDArray[Any], phases: int) -> None:
    check_shape(path, array.shape)
    if array.ndim == 3 and array.shape[-1] <= 4 and array.shape[-1] < min(array.shape[:2]):
        raise ImageError(
            f"{path}: shape {array.shape} may be a colour picture; save its labels with two axes, or a volume of "
            f"{array.shape[-1]} cells along x as .tif with one page for each layer"
        )
    if array.dtype.kind not in "uib":
        raise ImageError(f"{path}: values of {array.dtype}; labels must be integers, so threshold or round them first")
    if array.min() < 0 or array.max() >= phases:
        raise ImageError(
            f"{path}: labels {array.min()}..{array.max()} but {phases} phase conductivities; label i needs entry i"
        )


def ranked(path: Path, raster: Raster, phases: int) -> LabelledImage:
    """The labels of what a picture stores, from low to high; raises ImageError."""
    check_shape(path, raster.values.shape[:-1])
    values = opaque(path, raster)
    if values.dtype.kind not in "buif":
        raise ImageError(f"{path}: values of {values.dtype}; save the picture with real numbers")
    if values.dtype.kind == "b":
        values = values.astype(np.uint8)
    if not np.isfinite(values).all():
        count = int((~np.isfinite(values)).sum())
        raise ImageError(f"{path}: {count} values are not finite; give each a phase of its own, or crop the picture")
    if (values == values[..., :1]).all():
        grey = values[..., 0]
        levels, ranks = np.unique(grey, return_inverse=True)
        stored: tuple[Stored, ...] = tuple(levels.tolist())
        whole = levels.min() >= 0 and levels.max() < phases and (levels == np.floor(levels)).all()
        if len(levels) != phases and whole:
            return _labelled(grey, tuple(range(phases)))
    else:
        stored, ranks = _colours(path, values)
    if len(stored) != phases:
        raise ImageError(
            f"{path}: {len(stored)} grey levels but {phases} phase conductivities; threshold the picture to "
            f"{phases} levels, as `janus-al import --threshold otsu` does, or give one conductivity per level"
        )
    return _labelled(ranks.reshape(values.shape[:-1]), stored)


def opaque(path: Path, raster: Raster) -> NDArray[Any]:
    """The channels that tell phases apart: the colours, or alpha where it alone varies."""
    if not raster.alpha:
        return raster.values
    colour, alpha = raster.values[..., :-1], raster.values[..., -1:]
    if (alpha == alpha.flat[0]).all():
        return colour
    if (colour == colour.reshape(-1, colour.shape[-1])[0]).all():
        return alpha
    raise ImageError(
        f"{path}: both its colours and its transparency vary; flatten it, so that one of them is the phase"
    )


def _colours(path: Path, values: NDArray[Any]) -> tuple[tuple[Stored, ...], NDArray[np.intp]]:
    if values.dtype.kind != "u" or values.dtype.itemsize > 2:
        raise ImageError(f"{path}: colours of {values.dtype}; save the labels as a grey or indexed picture")
    codes = np.zeros(values.shape[:-1], dtype=np.uint64)
    for channel in np.moveaxis(values, -1, 0):
        codes = codes << np.uint64(16) | channel
    _, where, ranks = np.unique(codes, return_index=True, return_inverse=True)
    found = values.reshape(-1, values.shape[-1])[where].astype(int)
    if (np.diff(found, axis=0) < 0).any():
        raise ImageError(
            f"{path}: {len(found)} colours that no brightness puts in order; save labels as a grey or indexed picture"
        )
    return tuple(tuple(colour) for colour in found.tolist()), ranks


def _labelled(values: NDArray[Any], stored: tuple[Stored, ...]) -> LabelledImage:
    labels = values.astype(np.min_scalar_type(int(values.max())))
    return LabelledImage(labels, stored, tuple(np.bincount(labels.ravel(), minlength=len(stored)).tolist()))
