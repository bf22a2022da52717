"""Greys of pictures, which a threshold makes labels of: the numbers stored, colours by their luma."""

import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulators.structures.images import opaque
from simulators.structures.rasters import (
    MAX_SIDE,
    ORIENTATION,
    ImageError,
    Raster,
    check_shape,
    check_upright,
    read_npy,
    read_picture,
    told,
)
from simulators.structures.slices import read_stack

LUMA = (0.299, 0.587, 0.114)
"""of red, green and blue in grey: ITU-R BT.601, which Pillow's convert("L") follows, too"""
FORMATS = ("BMP", "DIB", "GIF", "JPEG", "JPEG2000", "PCX", "PPM", "SGI", "TGA", "WEBP")
"""of pictures, beside PNG and TIFF, by Pillow's names: those that need no other program"""
LOSSY = ("JPEG", "JPEG2000", "WEBP")
"""of them, those that may change what they store"""


@dataclass(frozen=True, eq=False)
class Grey:
    """A grey picture.

    Attributes:
        values: (ny, nx), row 0 on top, or (nz, ny, nx), as stored.
        highest: that the file's type holds, counted from 0; 1 of floats from 0 to 1; 0 where nothing says it.
        kind: how it is stored, in words, such as `8 bit`.
        lossy: name of the compression that may have changed it; empty if none has.
    """

    values: NDArray[Any]
    highest: int
    kind: str
    lossy: str = ""


def read_grey(path: Path) -> Grey:
    """The greys of a picture that Pillow or tifffile reads, of a .npy array, or of a folder of slices.

    A palette counts by its colours, a colour (r, g, b) as 0.299 r + 0.587 g + 0.114 b, rounded where integers are
    stored; constant alpha is nothing. White that is stored as zero stays zero.

    Raises:
        ImageError: with the file, what is wrong with it and the mend.
    """
    lossy = ""
    if path.is_dir():
        raster = read_stack(path)
    elif not path.is_file():
        raise ImageError(f"{path}: no such file")
    elif path.suffix.lower() == ".npy":
        raster = _array(path)
    else:
        with path.open("rb") as file:
            known = file.read(8).startswith((b"II", b"MM", b"\x89PNG"))
        raster = read_picture(path) if known else _picture(path)
        lossy = raster.kind if raster.kind in LOSSY else ""
    check_shape(path, raster.values.shape[:-1])
    return replace(_grey(path, raster), lossy=lossy)


def _array(path: Path) -> Raster:
    values = read_npy(path)
    check_shape(path, values.shape)
    if values.ndim == 3 and min(values.shape[0], values.shape[-1]) <= 4:
        raise ImageError(f"{path}: shape {values.shape} may be a colour picture; save its greys with two axes")
    return Raster(values[..., None], highest=2 ** (8 * values.itemsize) - 1 if values.dtype.kind == "u" else 0)


def _picture(path: Path) -> Raster:
    """What Pillow reads of a file that is neither PNG nor TIFF; its kind is the format's name."""

    def read() -> Raster:
        from PIL import Image

        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as picture:
                if max(picture.size) > MAX_SIDE:
                    raise ImageError(f"{path}: {picture.size[0]} x {picture.size[1]} pixels; {MAX_SIDE} a side at most")
                if getattr(picture, "n_frames", 1) > 1:
                    raise ImageError(f"{path}: several pictures in one file; give one, or a stack as .tif or .npy")
                check_upright(path, picture.getexif().get(ORIENTATION))
                mode, kind = picture.mode, str(picture.format)
                if mode == "P":
                    mode = "RGBA" if "transparency" in picture.info else "RGB"
                if mode not in ("1", "L", "LA", "RGB", "RGBA", "I", "I;16", "I;16B", "F"):
                    raise ImageError(f"{path}: colours as {mode}; save it as a grey or RGB picture")
                values = np.array(picture.convert(mode))
        if mode == "I":  # in which Pillow holds 16 bits
            values = values.astype(np.uint16)
        highest = {"1": 1, "F": 0}.get(mode, 2 ** (8 * values.itemsize) - 1)
        return Raster(values[..., None] if values.ndim == 2 else values, mode.endswith("A"), kind, b"", highest)

    return told(f"{path}: not a readable picture", "export it anew as .png or .tif", read)


def _grey(path: Path, raster: Raster) -> Grey:
    if raster.palette:
        raster = _coloured(path, raster)
    values, highest = opaque(path, raster), raster.highest
    if values.dtype.kind not in "buif" or values.shape[-1] not in (1, 3):
        raise ImageError(f"{path}: {values.shape[-1]} channels of {values.dtype}; save it as a grey or RGB picture")
    if bad := int((~np.isfinite(values)).sum()):
        raise ImageError(f"{path}: {bad} values are not finite; crop the picture, or fill them in")
    grey, words = values[..., 0], ""
    if (values != values[..., :1]).any():
        mixed = values @ np.array(LUMA)
        grey, words = mixed if values.dtype.kind == "f" else np.rint(mixed).astype(values.dtype), " colour as grey"
    if grey.dtype.kind == "b":
        grey, highest = grey.astype(np.uint8), 1
    if grey.dtype.kind == "f" and grey.min() >= 0 and grey.max() <= 1:
        highest = 1
    kind = f"{highest.bit_length()} bit" if highest and grey.dtype.kind == "u" else str(grey.dtype)
    return Grey(grey, highest, kind + words + ", white is zero" * ("MINISWHITE" in raster.kind))


def _coloured(path: Path, raster: Raster) -> Raster:
    """The colours for which the indices of a palette stand: 8 bits each in PNG, 16 in TIFF."""
    colours: NDArray[Any]
    if raster.kind == "P":
        colours = np.frombuffer(raster.palette, np.uint8).reshape(-1, 3)
    else:
        colours = np.frombuffer(raster.palette, np.uint16).reshape(3, -1).T
    if (index := int(raster.values.max())) >= len(colours):
        raise ImageError(f"{path}: index {index} of a palette of {len(colours)} colours; export it anew")
    highest = int(np.iinfo(colours.dtype).max)
    return Raster(colours[raster.values[..., 0]], False, raster.kind, b"", highest)
