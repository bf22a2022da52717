"""Voxel meshes for finite elements: a hexahedron a voxel, y upwards, by meshio."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from loop.exports.part import Part, Written

if TYPE_CHECKING:
    import meshio

CORNERS = ((0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0), (0, 0, 1), (1, 0, 1), (1, 1, 1), (0, 1, 1))
"""(x, y, z) of a hexahedron's nodes, in the order that Abaqus and VTK share"""


def write_inp(path: Path, part: Part) -> Written:
    """Abaqus: C3D8 elements, and an element set LABEL0, LABEL1... for each label."""
    mesh, labels = _hexahedra(part)
    mesh.cell_sets = {f"LABEL{label}": [np.flatnonzero(labels == label)] for label in part.present}
    mesh.write(path, file_format="abaqus")
    # Of the library's element types for a hexahedron the last one is written, which is a hybrid.
    path.write_text(path.read_text().replace("TYPE=C3D8RH", "TYPE=C3D8", 1))
    return Written(part.fraction(part.image), part.image)


def write_vtu(path: Path, part: Part) -> Written:
    """VTK unstructured grid with label, and conductivity where it is known, of each cell."""
    mesh, labels = _hexahedra(part)
    mesh.cell_data = {"label": [labels.astype(np.int32)]}
    if part.conductivity:
        mesh.cell_data["conductivity"] = [np.array(part.conductivity)[labels]]
    mesh.write(path, file_format="vtu")
    return Written(part.fraction(part.image), part.image)


def _hexahedra(part: Part) -> tuple["meshio.Mesh", np.ndarray]:
    """The mesh, and the label of each element: x runs fastest, then y, then z."""
    import meshio

    nz, ny, nx = part.upright.shape
    z, y, x = (grid.ravel() for grid in np.indices((nz + 1, ny + 1, nx + 1)))
    points = np.stack([x, y, z], axis=1) * part.spacing
    cells = np.arange((nz + 1) * (ny + 1) * (nx + 1)).reshape(nz + 1, ny + 1, nx + 1)
    nodes = [cells[k : k + nz, j : j + ny, i : i + nx].ravel() for i, j, k in CORNERS]
    return meshio.Mesh(points, [("hexahedron", np.stack(nodes, axis=1))]), part.upright.ravel()
