"""The command that writes designs for other programs. A command's parameters are its options."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from loop.commands.options import Force, Json, Out, Workers
from loop.commands.terminal import print_json, print_table

export_app = typer.Typer()


@export_app.command()
def export(
    design: Annotated[
        Path,
        typer.Argument(
            help="Folder of a design, a campaign, or what `invert` wrote; or a .npy, .png or .tif of labels."
        ),
    ],
    format_: Annotated[
        list[str], typer.Option("--format", help="stl, vtk, npy, tif, inp, vtu, dxf or svg; repeat for several.")
    ],
    size: Annotated[
        str, typer.Option(help="Length of the longest side, such as 10mm; the campaign's pixel says it, too.")
    ] = "",
    out: Out = Path("export"),
    thickness: Annotated[str, typer.Option(help="What planes are extruded by, such as 1mm; a pixel if not told.")] = "",
    label: Annotated[int, typer.Option(min=0, help="Phase that an STL encloses.")] = 1,
    smooth: Annotated[
        float,
        typer.Option(
            min=0, max=8, help="Filter of surfaces and outlines, in voxels, as 0.5; 0 leaves voxels as they are."
        ),
    ] = 0.0,
    conductivity: Annotated[
        str, typer.Option(help="Of label 0, label 1..., as in 0.1,1.0; the design's if not told.")
    ] = "",
    simulate: Annotated[bool, typer.Option(help="Simulate what was written, on the design's grid.")] = True,
    workers: Workers = 0,
    force: Force = False,
    json_: Json = False,
) -> None:
    """Designs as STL surfaces, VTK data, FEM meshes, outlines, TIFF or NumPy.

    x runs right, y up from the bottom row, z from the first layer on, in the
    unit of --size; .npy and .tif keep row 0 on top. An STL is closed, the sides
    of the box included, and refused otherwise. --smooth takes the staircase
    away and keeps the volume; details of its width are lost, as the table says.
    It shows what the design and the file have of the phase, and conduct:
    surfaces and outlines as voxels again, on the design's grid; the other
    formats hold these. A difference of more than 1 % is told.

    janus-al export campaigns/quickstart/designs/in-range-01 --format stl --size 10mm --thickness 1mm
    """
    from loop.commands.asked import conductivities_of
    from loop.commands.labels import mappings, print_mappings, read_images
    from loop.exports.export import TOLD, Export
    from loop.exports.export import export as write

    phases = conductivities_of(conductivity) if conductivity else ()
    formats = tuple(dict.fromkeys(format_))
    result = write(design, out, Export(formats, size, thickness, label, smooth, phases, simulate), force, workers)
    rows = result["files"]
    if phases and not design.is_dir():
        result["mapping"] = mappings([design], read_images([design], conductivity, len(phases)), phases)[0]["mapping"]
    if json_:
        print_json(result)
    else:
        if "mapping" in result:
            print_mappings([{"file": str(design), "mapping": result["mapping"]}])
            print()
        names = [key for row in rows for key in row if key.startswith("k") and not key.endswith("_design")]
        shown = ["fraction", *dict.fromkeys(names)]
        columns = ["file", "label", *(column for name in shown for column in (f"{name}_design", name)), "note"]
        print_table(columns, [[row.get(column) for column in columns] for row in rows])
    for row in rows:
        if row["difference"] > TOLD:
            print(f"{row['file']}: differs from the design by {row['difference']:.1%}", file=sys.stderr)
    failed = [row for row in rows if "reason" in row]
    for row in failed:
        print(f"janus-al: {row['file']}: {row['reason']}", file=sys.stderr)
    raise typer.Exit(3 if failed else 0)
