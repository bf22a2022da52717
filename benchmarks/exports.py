"""Ten designs exported and opened again by other programs' readers: what volume of the phase each file holds.

    python benchmarks/exports.py [--count 5] [--smoke]

Five planes of `janus-64`, extruded, and five volumes of `janus-32-volume`, not simulated. STL is opened by trimesh, as
voxels and smoothed, VTK image data by VTK, the Abaqus mesh by meshio. Told are the largest differences from the
design's own fraction of label 1, and whether every surface is watertight.
"""

import argparse
import contextlib
import io
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from common.header import header

MODELS = {"planes": ("janus-64", "kxx=0.3"), "volumes": ("janus-32-volume", "kzz=0.3")}
THICK = 1
"""millimetres by which planes are extruded; the longest side has ten"""
READERS = ("trimesh", "trimesh, smoothed", "VTK", "meshio")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=5, help="designs of each kind")
    parser.add_argument("--smoke", action="store_true", help="one design of each kind")
    arguments = parser.parse_args()
    print(header("trimesh", "meshio", "vtk"))
    for kind, (model, target) in MODELS.items():
        with tempfile.TemporaryDirectory() as folder:
            rows = measured(Path(folder), model, target, 1 if arguments.smoke else arguments.count)
        for reader in READERS:
            found = [row[reader] for row in rows]
            tight = f", {sum(t for _, t in found)} of {len(rows)} watertight" if "trimesh" in reader else ""
            print(f"{len(rows)} {kind}, {reader}: fraction off by {max(off for off, _ in found):.2g} at most{tight}")


def measured(folder, model, target, count):
    """Of each design, by reader, how far the fraction is off and whether the surface is closed."""
    import loop
    from loop.commands.main import app

    words = ["invert", model, "--target", target, "--count", str(count), "--no-simulate", "--out", str(folder / "d")]
    with contextlib.redirect_stdout(io.StringIO()):
        app(words, standalone_mode=False)
    thickness = f"{THICK}mm" if np.load(next((folder / "d").glob("*.npy"))).ndim == 2 else ""
    for name, smooth in (("sharp", 0.0), ("smooth", 0.5)):
        formats = ("stl",) if smooth else ("stl", "vtk", "inp")
        how = loop.Export(formats, "10mm", thickness, smooth=smooth, simulated=False)
        loop.export(folder / "d", folder / name, how)
    return [opened(folder, path.stem, np.load(path)) for path in sorted((folder / "d").glob("*.npy"))]


def opened(folder, name, image):
    import meshio
    import trimesh
    from vtkmodules.util.numpy_support import vtk_to_numpy
    from vtkmodules.vtkIOXML import vtkXMLImageDataReader

    own = float((image == 1).mean())
    edge = 10 / max(image.shape)
    box = image.size * edge**image.ndim * THICK ** (3 - image.ndim)

    def surface(path):
        mesh = trimesh.load_mesh(path)
        return mesh.volume / box - own, mesh.is_watertight

    reader = vtkXMLImageDataReader()
    reader.SetFileName(str(folder / "sharp" / f"{name}.vti"))
    reader.Update()
    labels = vtk_to_numpy(reader.GetOutput().GetCellData().GetArray("label"))
    mesh = meshio.read(folder / "sharp" / f"{name}.inp")
    held, cells = len(mesh.cell_sets["LABEL1"][0]), len(mesh.cells[0].data)
    found = [surface(folder / kind / f"{name}.stl") for kind in ("sharp", "smooth")]
    found += [(float((labels == 1).mean()) - own, True), (held / cells - own, True)]
    return {reader: (abs(off), tight) for reader, (off, tight) in zip(READERS, found, strict=True)}


if __name__ == "__main__":
    main()
