"""STL: the closed surface of one phase."""

from pathlib import Path

from loop.exports.part import Part, Written
from loop.exports.surface import surface
from loop.exports.voxels import inside
from loop.files.outputs import OutputError


def write_stl(path: Path, part: Part) -> Written:
    """Binary STL of the part's phase, read again.

    Raises:
        OutputError: the surface written does not close.
    """
    import numpy as np
    import trimesh

    mesh = surface(part.volume == part.label, part.smooth, part.boundary == "periodic")
    mesh.vertices *= part.spacing
    mesh.export(path, file_type="stl")
    found = trimesh.load_mesh(path, file_type="stl")
    if not (found.is_watertight and found.is_winding_consistent):
        raise OutputError(f"label {part.label}: its surface does not close with --smooth {part.smooth:g}; try another")
    nz, ny, nx = part.volume.shape
    box = nx * ny * nz * part.edge**2 * part.thickness
    phase = inside(found.triangles / np.array(part.spacing), (nz, ny, nx))
    return Written(float(found.volume) / box, part.rebuilt(phase), f"watertight, {len(found.faces)} triangles")
