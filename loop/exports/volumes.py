"""Labels on their grid: VTK image data, TIFF with pages, NumPy arrays."""

from pathlib import Path

import numpy as np

from loop.exports.part import Part, Written
from simulators.command import write_vtk

CENTIMETRES = {"nm": 1e-7, "um": 1e-4, "mm": 0.1, "cm": 1.0, "m": 100.0}


def write_vti(path: Path, part: Part) -> Written:
    """VTK image data with labels as cell data, y upwards, and the conductivity of each cell where it is known."""
    fields = {"conductivity": np.array(part.conductivity)[part.upright]} if part.conductivity else {}
    write_vtk(path, part.upright, part.spacing, fields)
    return Written(part.fraction(part.image), part.image)


def write_tif(path: Path, part: Part) -> Written:
    """TIFF of labels, row 0 on top, a page a layer, with pixels per centimetre, as viewers and ImageJ read them."""
    import tifffile

    scale = CENTIMETRES[part.unit]
    per_centimetre = 1 / (part.edge * scale)
    tifffile.imwrite(
        path,
        part.image.astype(np.uint8 if part.image.max() < 256 else np.uint16),
        imagej=True,
        photometric="minisblack",
        resolution=(per_centimetre, per_centimetre),
        resolutionunit="CENTIMETER",
        metadata={
            "axes": "ZYX"[-part.image.ndim :],
            "unit": "cm",
            "spacing": part.thickness * scale,
            "min": 0.0,
            "max": float(max(part.image.max(), 1)),
        },
    )
    return Written(part.fraction(part.image), part.image)


def write_npy(path: Path, part: Part) -> Written:
    """The labels, row 0 on top; lengths have no place there."""
    with path.open("wb") as file:
        np.save(file, part.image)
    return Written(part.fraction(part.image), part.image)
