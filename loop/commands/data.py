"""The commands on images and datasets: generate, import, homogenize. A command's parameters are its options."""

import math
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from loop import UsageError
from loop.commands.options import Boundary, Conductivity, Force, Json, Out, Seed, Solver, Workers
from loop.commands.terminal import print_json, print_table
from loop.simulation.progress import Progress

data_app = typer.Typer()


@data_app.command()
def generate(
    count: Annotated[int, typer.Option(min=1, max=1_000_000, help="Number of images.")],
    out: Out,
    size: Annotated[int, typer.Option(min=8, max=1024, help="Pixels a side.")] = 32,
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
    """Phase-field microstructures, simulated.

    Images that cannot be simulated are left out, named by number, and the
    command ends with exit code 3.

    janus-al generate --count 100 --size 32 --seed 0 --out data.h5
    """
    from janus_al.material import conduction
    from janus_al.samples import unlabelled
    from loop.files.outputs import check_dataset
    from loop.simulation.executors import open_executor
    from loop.simulation.rows import simulate_samples
    from loop.simulation.simulate import Execution
    from simulators import generate as phasefield
    from simulators.structures.drawing import stream_for_tests

    phases = _conductivities(conductivity, 2)
    check_dataset(out, [], force)
    kind = _boundary(boundary)
    backend = _solver(solver, (size, size), count, kind)
    material = conduction(phases, kind)
    images = phasefield(count, size, stream_for_tests(seed) if test else seed)
    n = count if simulated is None else min(simulated, count)
    failed: dict[int, str] = {}
    meta: dict[str, Any] = {"origin": b"generated", "seed": seed}
    with Progress() as progress, open_executor("process", workers) as executor:
        execution = Execution(executor, backend, cached=True)
        parts = simulate_samples(images[:n], material, execution, progress, failed, **meta)
    if n < count:
        parts.append(unlabelled(images[n:], material, **meta))
    _write_dataset(out, parts, {f"image {number}": reason for number, reason in failed.items()}, json_)


@data_app.command("import")
def import_(
    images: Annotated[list[Path], typer.Argument(help=".npy, .png or .tif files of one size.")],
    out: Out,
    conductivity: Conductivity = "0.1,1.0",
    boundary: Boundary = "dirichlet",
    solver: Solver = "fipy",
    workers: Workers = 0,
    force: Force = False,
    json_: Json = False,
) -> None:
    """Your own images as a dataset, simulated.

    A .npy array holds labels; stored values of a picture, from low to high,
    become labels 0, 1... as printed.
    All files are read before the first is simulated, and one that is no
    image, or of another size, is refused. Images that cannot be simulated are
    left out, named by file, and the command ends with exit code 3. Results are
    kept in the user's cache (JANUS_AL_CACHE): no image is simulated twice.

    janus-al import micrographs/*.png --conductivity 0.1,1.0 --out data.h5
    """
    import numpy as np

    from janus_al.material import conduction
    from janus_al.samples import LABELS
    from loop.commands.labels import mappings, print_mappings, read_images
    from loop.files.outputs import check_dataset
    from loop.simulation.executors import open_executor
    from loop.simulation.rows import simulate_samples
    from loop.simulation.simulate import Execution

    phases = _conductivities(conductivity)
    check_dataset(out, images, force)
    read = read_images(images, conductivity, len(phases))
    arrays = [image.labels for image in read]
    for path, array in zip(images, arrays, strict=True):
        if array.ndim != 2:
            raise UsageError(
                f"{path}: a stack of {array.shape}; a dataset holds plane images, `homogenize` takes stacks"
            )
        if array.shape != arrays[0].shape:
            raise UsageError(f"{path}: {array.shape} pixels but {images[0]} has {arrays[0].shape}; one size a dataset")
        if array.max() >= LABELS:
            raise UsageError(
                f"{path}: label {array.max()}; a dataset holds labels 0 to {LABELS - 1}, `homogenize` takes more"
            )
    kind = _boundary(boundary)
    backend = _solver(solver, arrays[0].shape, len(arrays), kind)
    failed: dict[int, str] = {}
    with Progress() as progress, open_executor("process", workers) as executor:
        material, execution = conduction(phases, kind), Execution(executor, backend, cached=True)
        parts = simulate_samples(np.stack(arrays), material, execution, progress, failed, origin=b"imported")
    used = mappings(images, read, phases)
    if not json_:
        print_mappings(used)
    _write_dataset(out, parts, {str(images[number]): reason for number, reason in failed.items()}, json_, images=used)


@data_app.command()
def homogenize(
    images: Annotated[list[Path], typer.Argument(help=".npy, .png or .tif files; 3-D .npy or .tif stacks.")],
    conductivity: Conductivity,
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
    become labels 0, 1... as printed. x runs right, y down from the top row, z
    from layer to layer: kxy > 0 where heat driven to the right drifts down.

    janus-al homogenize image.png --conductivity 0.1,1.0 --certify 0.01
    """
    from janus_al.material import conduction
    from loop.commands.labels import mappings, print_mappings, read_images
    from loop.simulation.executors import cores, open_executor
    from loop.simulation.homogenize import homogenize_files
    from loop.simulation.simulate import Execution
    from simulators import HomogenizationError

    kind = _boundary(boundary)
    if certify is not None and not 0 < certify < 1:
        raise UsageError(f"--certify {certify}: a relative half-width between 0 and 1, such as 0.01")
    # The homogenizer itself refuses a conductivity of 0, and says where nothing would conduct.
    phases = _conductivities(conductivity, positive=False)
    read = read_images(images, conductivity, len(phases))
    arrays = [image.labels for image in read]
    backend = _solver(solver, max((array.shape for array in arrays), key=math.prod), len(arrays), kind)
    with (
        open_executor("process", min(workers or cores(), len(images))) as executor,
        Progress() as progress,
    ):
        material, execution = conduction(phases, kind), Execution(executor, backend, cached=True)
        rows, failed = homogenize_files(images, arrays, material, execution, certify, progress)
    if not rows:
        name, reason = next(iter(failed.items()))
        raise HomogenizationError(f"{name}: {reason}")
    used = mappings(images, read, phases)
    if json_:
        of = {one["file"]: one["mapping"] for one in used}
        results = [{**row, "mapping": of[row["file"]]} for row in rows]
        print_json({"results": results, "failed": [{"image": n, "reason": r} for n, r in failed.items()]})
        _say_failed(failed)
        return
    print_mappings(used)
    print()
    names = [key for key in rows[0] if key.startswith("k") and "_" not in key]
    columns = ["file", "volume_fraction", *(f"{n}{end}" for n in names for end in ("", "_lower", "_upper"))]
    print_table(columns, [[row.get(c, math.nan) for c in columns] for row in rows])
    for row in rows:
        if row.get("reason"):
            print(f"{row['file']}: not certified to {certify:g}: {row['reason']}", file=sys.stderr)
    _say_failed(failed)


def _boundary(name: str) -> Literal["dirichlet", "periodic"]:
    if name == "dirichlet":
        return "dirichlet"
    if name == "periodic":
        return "periodic"
    raise UsageError(f"boundary '{name}': it must be dirichlet or periodic")


def _solver(name: str, shape: tuple[int, ...], count: int, boundary: Literal["dirichlet", "periodic"]) -> str:
    """The backend's name, that which `auto` picks included, and said."""
    from simulators import SOLVERS, choose

    if name not in (*SOLVERS, "auto"):
        raise UsageError(f"solver '{name}': it must be one of {', '.join(SOLVERS)} or auto")
    if name != "auto":
        return name
    picked = choose(shape, count, boundary)
    print(f"solver auto: {picked}", file=sys.stderr)
    return picked


def _conductivities(words: str, count: int | None = None, positive: bool = True) -> tuple[float, ...]:
    from simulators.conduction.inputs import check_contrast

    try:
        values = tuple(float(word) for word in words.split(","))
    except ValueError:
        raise UsageError(f"conductivity '{words}': give numbers separated by commas, as in 0.1,1.0") from None
    if positive and not all(math.isfinite(v) and v > 0 for v in values):
        raise UsageError(
            f"conductivity '{words}': each must be finite and above 0; give an insulator a small value, such as 1e-4"
        )
    if count is not None and len(values) != count:
        raise UsageError(f"conductivity '{words}': {count} phases need {count} values")
    if count is not None and len(set(values)) < count:
        raise UsageError(f"conductivity '{words}': equal phases make all images conduct alike; give different values")
    if count is not None:
        check_contrast(min(values), max(values))
    return values


def _write_dataset(out: Path, parts: list[Any], failed: dict[str, str], json_: bool, **more: Any) -> None:
    """Write what there is; end with exit code 3 if some images failed, with 2 if nothing is left."""
    from janus_al import dataset
    from janus_al.samples import concatenate
    from loop import CREATED_BY
    from simulators import HomogenizationError

    if not parts:
        name, reason = next(iter(failed.items()))
        raise HomogenizationError(f"{name}: {reason}" + (f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""))
    samples = concatenate(parts)
    dataset.write(out, samples, CREATED_BY)
    report: dict[str, Any] = {
        "dataset": str(out),
        "samples": len(samples),
        "simulated": int(samples.simulated.sum()),
        "failed": [{"image": name, "reason": reason} for name, reason in failed.items()],
        "digest": samples.digest(),
        **more,
    }
    if json_:
        print_json(report)
    else:
        print(f"{out}: {report['samples']} samples, {report['simulated']} simulated, digest {report['digest'][:12]}")
    _say_failed(failed)


def _say_failed(failed: dict[str, str]) -> None:
    """Name what could not be simulated, and end with exit code 3."""
    for name, reason in failed.items():
        print(f"janus-al: {name} was left out: {reason}", file=sys.stderr)
    if failed:
        raise typer.Exit(3)
