"""The command that makes a dataset of pictures: import. A command's parameters are its options."""

import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated, Any

import typer

from loop import UsageError
from loop.commands.asked import boundary_of, conductivities_of, foretell, grid_of, solver_of
from loop.commands.options import Boundary, Conductivity, Dim, Force, Json, Out, Seed, Solver, Workers
from loop.commands.terminal import print_json, print_table
from loop.commands.written import write_dataset
from loop.simulation.progress import Progress

if TYPE_CHECKING:
    from simulators.structures.thresholds import Picture
    from simulators.structures.tiles import Cut, Piece

micrographs_app = typer.Typer()


@micrographs_app.command("import")
def import_(
    images: Annotated[list[Path], typer.Argument(help="Pictures, .npy arrays; with --dim 3 folders of slices.")],
    out: Out,
    threshold: Annotated[
        str, typer.Option(help="Of greys: otsu, a stored value (128), or a part of the range (0.43); 80,160 of three.")
    ] = "",
    invert: Annotated[
        bool, typer.Option("--invert", help="Count labels from the bright end: dark is label 1.")
    ] = False,
    smooth: Annotated[
        float, typer.Option(min=0, max=64, help="Gaussian filter before the threshold, in pixels; takes noise away.")
    ] = 0.0,
    footer: Annotated[
        int, typer.Option(min=0, help="Rows of greys to leave out at the bottom, such as an information bar.")
    ] = 0,
    tile: Annotated[str, typer.Option(help="Cut tiles of so many pixels a side, as in 64.")] = "",
    stride: Annotated[int | None, typer.Option(min=1, help="Pixels from one tile to the next; half a tile.")] = None,
    crops: Annotated[
        int, typer.Option(min=0, max=1_000_000, help="Random tiles in place of a sliding window, so many in all.")
    ] = 0,
    crop: Annotated[bool, typer.Option("--crop", help="Crop whole pictures to their shortest sides, centred.")] = False,
    simulate: Annotated[
        int | None, typer.Option(min=0, help="Simulate only so many, drawn by --seed; the rest train without.")
    ] = None,
    pixel: Annotated[str, typer.Option(help="Length of a pixel's side, such as 0.5um.")] = "",
    dim: Dim = None,
    conductivity: Conductivity = "0.1,1.0",
    boundary: Boundary = "dirichlet",
    solver: Solver = "fipy",
    seed: Seed = 0,
    workers: Workers = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Stop before anything is simulated.")] = False,
    force: Force = False,
    json_: Json = False,
) -> None:
    """Your own images as a dataset, cut into tiles if you like, and simulated.

    A .npy array holds labels; stored values of a picture, from low to high, become labels 0, 1... as printed. With
    --threshold files hold greys: what is brighter than it is label 1. Colours count as 0.299 r + 0.587 g + 0.114 b.
    A volume is a .npy array (nz, ny, nx), a .tif of several pages or, with --dim 3, a folder of nothing but its slices,
    numbered by name.

    Before anything is paid, a contact sheet beside --out (data.sheet.png) and a table show what was understood.
    Images that cannot be simulated are left out, named by file, and the command ends with exit code 3. Results are kept
    in the user's cache (JANUS_AL_CACHE): no image is simulated twice.

    janus-al import micrograph.tif --threshold otsu --tile 64 --stride 32 --simulate 64 --pixel 0.5um --out data.h5
    """
    from janus_al.lengths import checked
    from janus_al.material import conduction
    from loop.commands.labels import mappings, print_mappings
    from loop.files.outputs import check_dataset, check_sheet
    from loop.output.sheet import write_sheet

    phases, kind = conductivities_of(conductivity), boundary_of(boundary)
    try:
        checked(pixel)
    except ValueError as error:
        raise UsageError(f"--pixel {error}") from None
    check_dataset(out, images, force or dry_run)
    check_sheet(sheet := out.with_suffix(".sheet.png"), images)
    if not threshold and (smooth or footer):
        raise UsageError(
            f"--{'smooth' if smooth else 'footer'}: it is for greys; give --threshold, too, or leave it out"
        )
    _cut((tile, stride, crops, crop), seed, dim)  # refuses before anything is read
    pictures = _read(images, threshold, (smooth, footer), conductivity, dim)
    pictures = [picture.inverted() for picture in pictures] if invert else pictures
    cut = _cut((tile, stride, crops, crop), seed, pictures[0].labels.ndim)
    pieces, one_phase = cut.pieces([(p.path, p.labels) for p in pictures])
    side, count = pieces[0].labels.shape, len(pieces)
    chosen = _chosen(count, simulate, seed)
    backend = solver_of(solver, side, len(chosen), kind)
    foretell(side, count, len(chosen), backend, workers)
    about = [_about(number, picture, pieces) for number, picture in enumerate(pictures)]
    mapped = mappings(images, [picture.labelled for picture in pictures], phases)
    about = [{**one, **more} for one, more in zip(mapped, about, strict=True)]
    what = f"{count} images of {_by(side)} pixels{f' of {pixel}' if pixel else ''}, {len(chosen)} to be simulated"
    drawn = set(chosen)
    tiles = [(p.picture, p.corner, n in drawn) for n, p in enumerate(pieces)]
    write_sheet(sheet, pictures, tiles, side, f"{out.name}: {what}")
    if not json_:
        print_mappings(mapped)
        if threshold or tile or crop:
            print()
            _print_pictures(about)
        print(f"{what}; look at {sheet}")
    if one_phase:
        print(f"{one_phase} tiles of one phase alone were left out", file=sys.stderr)
    if len(chosen) < count:
        print(f"the {len(chosen)} to be simulated are drawn by seed {seed}", file=sys.stderr)
    if dry_run:
        return print_json({"dry_run": True, "sheet": str(sheet), "images": about, "samples": count}) if json_ else None
    material = conduction(phases, kind, len(side))
    with Progress(json_) as progress:
        parts, failed = _simulated(pieces, chosen, material, (backend, workers), progress)
    write_dataset(out, parts, failed, json_, pixel, images=about, sheet=str(sheet))


def _read(
    paths: Sequence[Path], threshold: str, before: tuple[float, int], conductivity: str, dim: int | None
) -> "list[Picture]":
    """Files of labels, or of greys where there is a threshold; `before` are its filter and footer."""
    from janus_al.samples import LABELS
    from loop.commands.labels import read_images, read_pictures
    from simulators.structures.thresholds import Picture, Threshold

    phases = len(conductivities_of(conductivity))
    if threshold:
        pictures = read_pictures(paths, Threshold.parse(threshold, phases, *before), dim)
    else:
        labelled = read_images(paths, conductivity, phases, dim)
        pictures = [Picture(path, image, image.labels) for path, image in zip(paths, labelled, strict=True)]
    for picture in pictures:
        if (highest := picture.labels.max()) >= LABELS:
            raise UsageError(
                f"{picture.path}: label {highest}; a dataset holds labels 0 to {LABELS - 1}, `homogenize` takes more"
            )
        if picture.lossy:
            print(
                f"{picture.path}: {picture.lossy} compression blurs the edges of phases and leaves ripples; take the "
                "original where there is one",
                file=sys.stderr,
            )
    return pictures


def _cut(how: tuple[str, int | None, int, bool], seed: int, dim: int | None) -> "Cut":
    """What --tile, --stride, --crops and --crop say."""
    from simulators.structures.tiles import Cut

    tile, stride, crops, crop = how
    if not tile:
        if stride or crops:
            raise UsageError(
                f"--{'stride' if stride else 'crops'}: it is for tiles; give --tile, too, such as --tile 64"
            )
        return Cut(middle=crop)
    if crop:
        raise UsageError("--crop: tiles are cut of pictures of any size; leave out --crop, or --tile")
    if stride and crops:
        raise UsageError(f"--stride {stride}: it is for a sliding window; leave it out, or --crops")
    side = grid_of(tile, dim)
    return Cut(side, stride or min(side) // 2, crops, seed=seed)


def _chosen(count: int, simulate: int | None, seed: int) -> list[int]:
    """Which of so many are simulated."""
    import numpy as np

    if simulate is None or simulate >= count:
        return list(range(count))
    return sorted(np.random.default_rng(seed).choice(count, simulate, replace=False).tolist())


def _simulated(
    pieces: "Sequence[Piece]", chosen: Sequence[int], material: Any, how: tuple[str, int], progress: Progress
) -> tuple[list[Any], dict[str, str]]:
    """Samples, those without simulation last, and why which could not be simulated; `how` is solver and processes."""
    import numpy as np

    from janus_al.samples import unlabelled
    from loop.simulation.executors import open_executor
    from loop.simulation.rows import simulate_samples
    from loop.simulation.simulate import Execution

    images, failed = np.stack([piece.labels for piece in pieces]), dict[int, str]()
    with open_executor("process", how[1]) as executor:
        execution = Execution(executor, how[0], cached=True)
        parts = simulate_samples(images[chosen], material, execution, progress, failed, origin=b"imported")
    rest = np.setdiff1d(np.arange(len(pieces)), chosen)
    if len(rest):
        parts.append(unlabelled(images[rest], material, origin=b"imported"))
    return parts, {pieces[chosen[number]].name: reason for number, reason in failed.items()}


def _about(number: int, picture: "Picture", pieces: "Sequence[Piece]") -> dict[str, Any]:
    """What was understood of a picture, as JSON."""
    own = [piece for piece in pieces if piece.picture == number]
    parts = [float((piece.labels == 1).mean()) for piece in own]
    return {
        "size": list(picture.labels.shape),
        "kind": picture.kind,
        "thresholds": list(picture.thresholds),
        "fractions": list(picture.fractions),
        "tiles": len(own),
        "tile_fractions": [min(parts), median(parts), max(parts)] if parts else None,
    }


def _print_pictures(about: Sequence[dict[str, Any]]) -> None:
    """A row for each picture; fractions are of label 1."""
    columns = ["file", "size", "kind", "threshold", "fraction", "tiles", "lowest", "median", "highest"]
    rows = []
    for one in about:
        cut = ", ".join(f"{level:.6g}" for level in one["thresholds"]) or None
        parts = [*one["fractions"], 0.0][1], one["tiles"], *(one["tile_fractions"] or [None] * 3)
        rows.append([one["file"], _by(one["size"]), one["kind"], cut, *parts])
    print_table(columns, rows)


def _by(sides: Sequence[int]) -> str:
    return " x ".join(map(str, sides))
