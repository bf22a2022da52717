"""The commands on images: generate, homogenize. A command's parameters are its options."""

import math
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from loop import UsageError
from loop.commands.asked import boundary_of, conductivities_of, foretell, grid_of, solver_of
from loop.commands.options import Boundary, Conductivity, Dim, Force, Json, Out, Seed, Solver, Workers
from loop.commands.terminal import print_json, print_table
from loop.commands.written import say_failed, write_dataset
from loop.simulation.progress import Progress

data_app = typer.Typer()


@data_app.command()
def generate(
    count: Annotated[int, typer.Option(min=1, max=1_000_000, help="Number of images.")],
    out: Out,
    size: Annotated[str, typer.Option(help="Pixels a side, or of all sides: NY,NX or NZ,NY,NX.")] = "32",
    dim: Dim = None,
    structure: Annotated[str, typer.Option(help="phasefield or spinodoid.")] = "phasefield",
    seed: Seed = 0,
    test: Annotated[bool, typer.Option("--test", help="Images to test on, which no seed gives without it.")] = False,
    simulated: Annotated[int | None, typer.Option(min=0, help="Simulate only the first so many.")] = None,
    conductivity: Conductivity = "0.1,1.0",
    boundary: Boundary = "dirichlet",
    solver: Solver = "fipy",
    workers: Workers = 0,
    force: Force = False,
    json_: Json = False,
) -> None:
    """Random microstructures, planes or volumes, simulated.

    Phase fields repeat themselves; spinodoids do where --boundary periodic
    says so. Images that cannot be simulated are left out, named by number,
    and the command ends with exit code 3.

    janus-al generate --count 100 --size 32 --seed 0 --out data.h5

    janus-al generate --count 64 --dim 3 --size 32 --solver auto --out volumes.h5
    """
    from janus_al.material import conduction
    from janus_al.samples import unlabelled
    from loop.files.outputs import check_dataset
    from loop.simulation.executors import open_executor
    from loop.simulation.rows import simulate_samples
    from loop.simulation.simulate import Execution
    from simulators.structures.choice import STRUCTURES
    from simulators.structures.choice import generate as draw
    from simulators.structures.drawing import stream_for_tests

    grid, phases, kind = grid_of(size, dim), conductivities_of(conductivity, 2), boundary_of(boundary)
    if structure not in STRUCTURES:
        raise UsageError(f"structure '{structure}': it must be one of {', '.join(STRUCTURES)}")
    check_dataset(out, [], force)
    backend = solver_of(solver, grid, count, kind)
    n = count if simulated is None else min(simulated, count)
    foretell(grid, count, n, backend, workers, drawn=True)
    material = conduction(phases, kind, len(grid))
    images = draw(count, grid, stream_for_tests(seed) if test else seed, STRUCTURES[structure](kind == "periodic"))
    failed: dict[int, str] = {}
    meta: dict[str, Any] = {"origin": b"generated", "seed": seed}
    with Progress(json_) as progress, open_executor("process", workers) as executor:
        execution = Execution(executor, backend, cached=True)
        parts = simulate_samples(images[:n], material, execution, progress, failed, **meta)
    if n < count:
        parts.append(unlabelled(images[n:], material, **meta))
    write_dataset(out, parts, {f"image {number}": reason for number, reason in failed.items()}, json_)


@data_app.command()
def homogenize(
    images: Annotated[list[Path], typer.Argument(help=".npy, .png or .tif files or stacks; folders of slices.")],
    conductivity: Conductivity,
    dim: Dim = None,
    boundary: Boundary = "dirichlet",
    solver: Solver = "fipy",
    certify: Annotated[
        float | None, typer.Option(help="Refine until the certified half-width is this, relative, as in 0.01.")
    ] = None,
    workers: Workers = 0,
    json_: Json = False,
) -> None:
    """Effective conductivity of images and volumes, with certified bounds.

    A .npy array holds labels; stored values of a picture, from low to high,
    become labels 0, 1... as printed. With --dim 3 a folder of numbered slices
    is a volume. x runs right, y down from the top row, z from layer to layer:
    kxy > 0 where heat driven to the right drifts down.

    janus-al homogenize image.png --conductivity 0.1,1.0 --certify 0.01
    """
    from janus_al.material import conduction
    from loop.commands.labels import mappings, print_mappings, read_images
    from loop.simulation.executors import cores, open_executor
    from loop.simulation.homogenize import homogenize_files
    from loop.simulation.simulate import Execution
    from simulators import HomogenizationError

    kind = boundary_of(boundary)
    if certify is not None and not 0 < certify < 1:
        raise UsageError(f"--certify {certify}: a relative half-width between 0 and 1, such as 0.01")
    # The homogenizer itself refuses a conductivity of 0, and says where nothing would conduct.
    phases = conductivities_of(conductivity, positive=False)
    read = read_images(images, conductivity, len(phases), dim)
    arrays = [image.labels for image in read]
    largest = max((array.shape for array in arrays), key=math.prod)
    backend = solver_of(solver, largest, len(arrays), kind)
    foretell(largest, len(arrays), len(arrays), backend, workers)
    with (
        open_executor("process", min(workers or cores(), len(images))) as executor,
        Progress(json_) as progress,
    ):
        # What planes have volumes have, too.
        material = conduction(phases, kind, min(array.ndim for array in arrays))
        execution = Execution(executor, backend, cached=True)
        rows, failed = homogenize_files(images, arrays, material, execution, certify, progress)
    if not rows:
        name, reason = next(iter(failed.items()))
        raise HomogenizationError(f"{name}: {reason}")
    used = mappings(images, read, phases)
    if json_:
        of = {one["file"]: one["mapping"] for one in used}
        results = [{**row, "mapping": of[row["file"]]} for row in rows]
        print_json({"results": results, "failed": [{"image": n, "reason": r} for n, r in failed.items()]})
        say_failed(failed)
        return
    print_mappings(used)
    print()
    names = dict.fromkeys(key for row in rows for key in row if key.startswith("k") and "_" not in key)
    columns = ["file", "volume_fraction", *(f"{n}{end}" for n in names for end in ("", "_lower", "_upper"))]
    print_table(columns, [[row.get(c, math.nan) for c in columns] for row in rows])
    for row in rows:
        if row.get("reason"):
            print(f"{row['file']}: not certified to {certify:g}: {row['reason']}", file=sys.stderr)
    say_failed(failed)
