"""Images of the user: .npy label arrays, and .png or .tif pictures or stacks whose grey levels are the phases."""

import tokenize
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

MAX_SIDE = 4096
MAX_CELLS = MAX_SIDE**2


class ImageError(ValueError):
    """A file that is not a microstructure."""


def read_image(path: Path, phases: int) -> NDArray[np.uint8]:
    """Labels (ny, nx), row 0 on top, or (nz, ny, nx) of a stack.

    A .npy array holds the labels themselves, a .tif may hold several layers. The grey levels of a
    picture become labels from dark to bright and must be as many as there are phases, or fewer if they are label
    values themselves.

    Raises:
        ImageError: with the file, what is wrong with it and the mend.
    """
    if not path.is_file():
        raise ImageError(f"{path}: no such file")
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return _labels(path, _read_npy(path), phases)
    if suffix in {".png", ".tif", ".tiff"}:
        return _labels(path, _grey_to_labels(path, _read_picture(path), phases), phases)
    raise ImageError(f"{path}: cannot read '{suffix}' files; give .npy, .png or .tif")


def write_png(path: Path, image: NDArray[np.integer], scale: int = 8) -> None:
    """Write labels as a grey picture, label 0 black, the highest label white, `scale` pixels a pixel."""
    from PIL import Image

    grey = (np.asarray(image, dtype=float) * 255 / max(int(np.max(image)), 1)).astype(np.uint8)
    Image.fromarray(np.kron(grey, np.ones((scale, scale), dtype=np.uint8))).save(path, "PNG", optimize=True)


def _read_npy(path: Path) -> NDArray[np.generic]:
    try:
        # A map of the file: reads no archive and no pickle, and allocates nothing for what a header claims.
        return np.asarray(np.lib.format.open_memmap(path, mode="r"))
    except (ValueError, OverflowError, tokenize.TokenError, EOFError, OSError) as error:
        raise ImageError(f"{path}: not a readable .npy array ({error}); save labels with numpy.save") from None


def _read_picture(path: Path) -> NDArray[np.generic]:
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=["PNG", "TIFF"]) as picture:
                if max(picture.size) > MAX_SIDE:
                    raise ImageError(f"{path}: {picture.size[0]} x {picture.size[1]} pixels; {MAX_SIDE} a side at most")
                count = getattr(picture, "n_frames", 1)
                if count * picture.size[0] * picture.size[1] > MAX_CELLS:
                    raise ImageError(f"{path}: {count} layers of {picture.size} pixels; {MAX_CELLS} in all at most")
                layers = []
                for number in range(count):
                    picture.seek(number)
                    plain = picture.mode in {"1", "L", "F"} or picture.mode.startswith("I")
                    layers.append(np.array(picture if plain else picture.convert("L")))
                if any(layer.shape != layers[0].shape for layer in layers):
                    raise ImageError(f"{path}: its layers differ in size; a stack has one size")
                return layers[0] if count == 1 else np.stack(layers)
    except ImageError:
        raise
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise ImageError(f"{path}: not a readable picture ({error})") from None


def _grey_to_labels(path: Path, grey: NDArray[np.generic], phases: int) -> NDArray[np.integer]:
    levels, labels = np.unique(grey, return_inverse=True)
    if len(levels) == phases:
        return labels.reshape(grey.shape)
    if grey.dtype.kind in "ub" and levels.max() < phases:
        return grey.astype(np.uint8)
    raise ImageError(
        f"{path}: {len(levels)} grey levels but {phases} phase conductivities; threshold the picture to "
        f"{phases} levels or give one conductivity per level"
    )


def _labels(path: Path, array: NDArray[np.generic], phases: int) -> NDArray[np.uint8]:
    small = array.ndim in (2, 3) and min(array.shape) >= 2
    if not small or max(array.shape) > MAX_SIDE or array.size > MAX_CELLS:
        raise ImageError(
            f"{path}: shape {array.shape}; need two or three axes of 2 to {MAX_SIDE} cells, {MAX_CELLS} cells at most"
        )
    if array.dtype.kind not in "uib":
        raise ImageError(f"{path}: values of {array.dtype}; labels must be integers, so threshold or round them first")
    if array.min() < 0 or array.max() >= phases:
        raise ImageError(
            f"{path}: labels {array.min()}..{array.max()} but {phases} phase conductivities; label i needs entry i"
        )
    return array.astype(np.uint8)
