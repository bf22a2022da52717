"""What .npy, .png and .tif files store, number by number: no photometry, no palette, no scaling."""

import logging
import math
import mmap
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

MAX_SIDE = 4096
MAX_CELLS = MAX_SIDE**2
DEPTHS = "ZIQ"
"""tifffile's names of the axis of a stack: slices, images, unnamed"""
ORIENTATION = 274
"""the tag's number"""

Read = TypeVar("Read")


class ImageError(ValueError):
    """A file that is not a microstructure."""


@dataclass(frozen=True)
class Raster:
    """Stored numbers (ny, nx, channels), or (nz, ny, nx, channels) of a stack; whether the last channel is alpha.

    They go from 0 to `highest`, where the file's type says how far; 0 where it does not. Equal numbers of two pictures
    mean the same phase where these are of one `kind`, and their palettes agree as far as both go.
    """

    values: NDArray[Any]
    alpha: bool = False
    kind: str = ""
    palette: bytes = b""
    highest: int = 0


def read_npy(path: Path) -> NDArray[Any]:
    """The array of a .npy file; raises ImageError."""
    # A map of the file: reads no archive and no pickle, and allocates nothing for what a header claims.
    return told(
        f"{path}: not a readable .npy array",
        "save labels with numpy.save",
        lambda: np.asarray(np.lib.format.open_memmap(path, mode="r")),
    )


def read_picture(path: Path) -> Raster:
    """The numbers of a PNG or TIFF file, told apart by their first bytes; raises ImageError."""

    def read() -> Raster:
        with path.open("rb") as file:
            tiff = file.read(2) in (b"II", b"MM")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _tiff(path) if tiff else _png(path)

    return told(f"{path}: not a readable picture", "export it anew as .png or .tif", read)


def check_shape(path: Path, shape: tuple[int, ...]) -> None:
    """Refuse what is no image or volume, or too large, before it is read; raises ImageError."""
    if len(shape) not in (2, 3) or min(shape) < 2 or max(shape) > MAX_SIDE or math.prod(shape) > MAX_CELLS:
        raise ImageError(
            f"{path}: shape {shape}; need two or three axes of 2 to {MAX_SIDE} cells, {MAX_CELLS} cells at most"
        )


def told(what: str, mend: str, read: Callable[[], Read]) -> Read:
    """What `read` returns; whatever a damaged file makes a library raise, no memory included, becomes a sentence."""
    try:
        return read()
    except ImageError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"{what} ({reason}); {mend}") from None


def _png(path: Path) -> Raster:
    from PIL import Image

    warnings.simplefilter("error", Image.DecompressionBombWarning)
    with Image.open(path, formats=["PNG"]) as picture:
        if max(picture.size) > MAX_SIDE:
            raise ImageError(f"{path}: {picture.size[0]} x {picture.size[1]} pixels; {MAX_SIDE} a side at most")
        if getattr(picture, "n_frames", 1) > 1:
            raise ImageError(f"{path}: an animation; give one picture, or a stack as .tif or .npy")
        stored = str(picture.tile[0][3])
        picture.verify()
    with Image.open(path, formats=["PNG"]) as picture:
        values, palette = np.array(picture), bytes(picture.getpalette() or b"")
        check_upright(path, picture.getexif().get(ORIENTATION))
    # Pillow spreads two and four bits over eight, and keeps eight of sixteen where there are several channels.
    if stored in ("L;2", "L;4"):
        values = values // (85 if stored == "L;2" else 17)
    if stored in ("LA;16B", "RGB;16B", "RGBA;16B"):
        import imagecodecs

        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            values = imagecodecs.png_decode(data)[..., : len(stored) - 4]
    kind = "P" if palette else stored
    highest = {"1": 1, "L;2": 3, "L;4": 15}.get(stored, 2 ** (8 * values.itemsize) - 1)
    return Raster(values[..., None] if values.ndim == 2 else values, "A" in stored, kind, palette, highest)


def _tiff(path: Path) -> Raster:
    import tifffile

    # A file of an OME set would open its neighbours.
    with _complaints("tifffile") as complaints, tifffile.TiffFile(path, _multifile=False) as file:
        # To count the pages of a file whose last one leads back to an earlier one would take for ever.
        with suppress(IndexError):
            file.pages[MAX_SIDE]
            raise ImageError(f"{path}: more than {MAX_SIDE} pages; save a stack of {MAX_SIDE} layers at most")
        first, page = file.series[0], file.series[0].keyframe
        kinds = {(s.axes, s.shape, s.dtype, s.keyframe.photometric) for s in file.series}
        if len(kinds) > 1 or (len(file.series) > 1 and len(first.axes.removesuffix("S")) > 2):
            raise ImageError(
                f"{path}: {len(file.series)} pictures, of shapes {', '.join(str(s.shape) for s in file.series[:3])}"
                "...; a stack has layers of one size and kind, so save the one that is meant"
            )
        alpha = _check_channels(path, page)
        grid = first.axes.removesuffix("S")
        if grid != "YX" and not (grid[1:] == "YX" and grid[0] in DEPTHS):
            raise ImageError(
                f"{path}: axes {first.axes} {first.shape}; an image is YX and a stack ZYX, so save one channel and "
                "time alone, or name the axis of a stack: slices in ImageJ, metadata={'axes': 'ZYX'} in tifffile"
            )
        sides = tuple(n for n, axis in zip(first.shape, first.axes, strict=True) if axis != "S")
        check_shape(path, sides if len(file.series) == 1 else (len(file.series), *sides))
        check_upright(path, page.tags.valueof(ORIENTATION))
        parts = [part for series in file.series for part in series.pages if part is not None]
        for part in parts:
            _check_strips(path, part)
        palettes = {b"" if (found := getattr(part, "colormap", None)) is None else found.tobytes() for part in parts}
        if len(palettes) > 1:
            raise ImageError(
                f"{path}: {len(palettes)} palettes; an index would mean several phases, so save it as grey"
            )
        layers = [series.asarray(maxworkers=1) for series in file.series]
    if complaints:
        raise ValueError(complaints[0])
    values = layers[0] if len(layers) == 1 else np.stack(layers)
    kind = f"{getattr(page.photometric, 'name', page.photometric)} of {page.bitspersample} bits{' and alpha' * alpha}"
    highest = 2**page.bitspersample - 1 if values.dtype.kind in "bu" else 0
    return Raster(values if "S" in first.axes else values[..., None], alpha, kind, palettes.pop(), highest)


def _check_channels(path: Path, page: Any) -> bool:
    """Whether the last channel is alpha; refuses what is neither grey, indexed nor colour."""
    from tifffile import PHOTOMETRIC, TIFF

    if page.compression in TIFF.IMAGE_COMPRESSIONS:
        raise ImageError(
            f"{path}: compressed as {page.compression.name}, which may change pixels; save it with LZW or deflate"
        )
    alpha = tuple(page.extrasamples) in ((1,), (2,))
    colours = page.samplesperpixel - alpha
    if colours > 1 and page.planarconfig == 2:
        raise ImageError(
            f"{path}: {page.samplesperpixel} planes that are the channels of one colour picture by the file's "
            "photometry and may be meant as a stack; save a stack with photometric='minisblack', a picture as .png"
        )
    grey = (PHOTOMETRIC.MINISWHITE, PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.PALETTE, PHOTOMETRIC.MASK)
    if colours != (3 if page.photometric == PHOTOMETRIC.RGB else 1 if page.photometric in grey else None):
        raise ImageError(
            f"{path}: {page.samplesperpixel} samples a pixel as {getattr(page.photometric, 'name', page.photometric)}; "
            "save it as a grey, indexed or RGB picture"
        )
    return alpha


def check_upright(path: Path, orientation: Any) -> None:
    """Some programs turn what others show as it is stored: kxy would change its sign, or kxx become kyy."""
    if orientation in range(2, 9):
        raise ImageError(f"{path}: stored with orientation {orientation}, turned or mirrored; save it upright")


def _check_strips(path: Path, page: Any) -> None:
    """Every strip or tile must be there: tifffile makes zeros of those that are not, or what the memory held."""
    count = math.prod(page.chunked)
    there = [size for start, size in zip(page.dataoffsets, page.databytecounts, strict=False) if start and size]
    if len(there) != count:
        raise ImageError(f"{path}: {len(there)} of {count} strips are there; restore it from a copy")
    if sum(there) > 2 * page.nbytes + 2**20:
        raise ImageError(f"{path}: strips of {sum(there)} bytes for {page.nbytes} bytes of pixels; export it anew")


@contextmanager
def _complaints(library: str) -> Iterator[list[str]]:
    """What a library's logger warns of, kept from the screen."""
    found = list[str]()

    def hear(record: logging.LogRecord) -> bool:
        if record.levelno >= logging.WARNING:
            found.append(record.getMessage())
        return False

    logger = logging.getLogger(library)
    logger.addFilter(hear)
    try:
        yield found
    finally:
        logger.removeFilter(hear)
