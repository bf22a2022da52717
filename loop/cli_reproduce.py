"""The commands that reproduce the paper's results, with physics as the judge."""

from pathlib import Path
from typing import Annotated

import typer

from loop.options import Device, Json, Out, Seed, Threads, UsageError
from loop.progress import Progress
from loop.terminal import print_json, print_table

reproduce_app = typer.Typer(no_args_is_help=True, help="The paper's results, one command each.")


@reproduce_app.command()
def mnist(
    data: Annotated[Path, typer.Option(help="Folder with MNIST's four IDX files, plain or gzip.")],
    out: Out = Path("reproduced/mnist"),
    epochs: Annotated[
        str, typer.Option(help="Lengths of the runs, comma-separated, each from fresh weights.")
    ] = "2,50",
    batch: Annotated[int, typer.Option(min=1, help="Images a step.")] = 64,
    limit: Annotated[int | None, typer.Option(min=100, help="Take only the first so many images.")] = None,
    seed: Seed = 0,
    device: Device = "auto",
    threads: Threads = 1,
    json_: Json = False,
) -> None:
    """Handwritten digits: accuracy, pixel error, and inversions that an independent classifier judges.

    janus-al reproduce mnist --data mnist --epochs 2
    """
    try:
        lengths = [int(word) for word in epochs.split(",")]
    except ValueError:
        lengths = []
    if not lengths or min(lengths) < 1:
        raise UsageError(f"epochs '{epochs}': give whole numbers above 0, separated by commas, as in 2,50")
    from janus_al.device import prepare
    from loop.mnist import reproduce_mnist

    with Progress() as progress:
        report = reproduce_mnist(data, out, lengths, batch, limit, seed, prepare(device, threads), progress)
    if json_:
        print_json(report)
        return
    columns = ["epochs", "accuracy", "pixel_mae", "seconds"]
    print_table(columns, [[run[c] for c in columns] for run in report["runs"]])
    found = report["inversion"]
    print(
        f"inversions recognised: {found['recognised_by_judge']} of {found['images']} by a classifier of its own "
        f"(accuracy {report['judge']['accuracy']:.2%}), {found['recognised_by_head']} by the head"
    )
    print(f"written: {out}/mnist.json, {out}/digits.png")
