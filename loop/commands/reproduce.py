"""Reproductions of the paper's results, with physics as the judge. A command's parameters are its options."""

from pathlib import Path
from typing import Annotated

import typer

from loop import UsageError
from loop.commands.options import Device, Json, Out, Seed, Set, Threads, Workers
from loop.commands.terminal import print_json, print_table
from loop.simulation.progress import Progress

Contrast = Annotated[
    float, typer.Option(min=1.01, max=1e6, help="Of the phases: label 0 conducts 0.1, label 1 so many times as much.")
]

reproduce_app = typer.Typer(no_args_is_help=True, help="The paper's results, one command each.")


@reproduce_app.command()
def mnist(
    data: Annotated[Path, typer.Option(help="Folder with MNIST's four IDX files, plain or gzip.")],
    out: Out = Path("reproduced/mnist"),
    epochs: Annotated[
        str, typer.Option(help="Lengths of the runs, comma-separated, each from fresh weights.")
    ] = "2,50",
    batch: Annotated[int, typer.Option(min=1, max=65536, help="Images a step.")] = 64,
    limit: Annotated[int | None, typer.Option(min=100, help="Take only the first so many images.")] = None,
    seed: Seed = 0,
    device: Device = "auto",
    threads: Threads = 1,
    json_: Json = False,
) -> None:
    """Handwritten digits: accuracy, pixel error, and inversions that an independent classifier judges.

    janus-al reproduce mnist --data mnist --epochs 2
    """
    lengths = _whole_numbers(epochs)
    if not lengths or min(lengths) < 1 or max(lengths) > 1000:
        raise UsageError(f"epochs '{epochs}': give whole numbers from 1 to 1000, separated by commas, as in 2,50")
    from janus_al.device import prepare
    from loop.studies.mnist import Plan, reproduce_mnist

    with Progress(json_) as progress:
        plan = Plan(lengths, batch, limit, seed)
        report = reproduce_mnist(data, out, plan, prepare(device, threads), progress)
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


@reproduce_app.command()
def microstructure(
    out: Out = Path("reproduced/microstructure"),
    model: Annotated[Path | None, typer.Option(help="Judge this model instead of training one.")] = None,
    size: Annotated[int, typer.Option(min=16, max=256, help="Pixels a side.")] = 64,
    count: Annotated[int, typer.Option(min=16, max=1_000_000, help="Images to train on.")] = 16384,
    simulated: Annotated[int, typer.Option(min=8, help="Simulate only the first so many.")] = 8192,
    contrast: Contrast = 10.0,
    set_: Set = None,
    seed: Seed = 0,
    workers: Workers = 0,
    device: Device = "auto",
    threads: Threads = 1,
    json_: Json = False,
) -> None:
    """Phase-field microstructures: a model, its sweeps, and the physics of every inversion.

    janus-al reproduce microstructure --size 32 --count 2048 --simulated 512 --set training.steps=1000
    """
    from janus_al.device import prepare
    from loop.campaign.toml import load_training
    from loop.studies.data import Data
    from loop.studies.means import Means
    from loop.studies.microstructure import NETWORK, TRAINING, reproduce_microstructure

    if not simulated <= count:
        raise UsageError(f"--simulated {simulated}: at most the --count of images, {count}")
    network, training = load_training(None, set_ or [], NETWORK, TRAINING)
    data = Data(count, simulated, size, seed, (0.1, 0.1 * contrast))
    with Progress(json_) as progress:
        means = Means(prepare(device, threads), workers, progress)
        report = reproduce_microstructure(out, data, network, training, model, means)
    if json_:
        print_json(report)
        return
    test, shots = report["test"], report["in_range"]
    columns = ["r2", "relative_error_mean", "relative_error_median"]
    print_table(["property", *columns], [[n, *(p[c] for c in columns)] for n, p in test["properties"].items()])
    print(
        f"pixel MAE {test['pixel_mae']:.4f}, cycle {test['cycle_mae']:.4f}, deep cycle {test['deep_cycle_mae']:.4f}; "
        f"{test['samples']} test images"
    )
    print(
        f"{shots['shots']} inversions in range, {shots['passes']} passes, median error: "
        f"{shots['by_head']['median']:.2%} by the head, {shots['first_shot']['median']:.2%} by physics"
    )
    for tolerance in ("0.01", "0.002"):
        refined = shots[f"refined_to_{tolerance}"]
        print(
            f"  refined to within {float(tolerance):.1%}: {refined['met']} of {shots['shots']} in "
            f"{refined['simulations_mean']:.1f} simulations each, median error {refined['median']:.2%}"
        )
    rows = [
        [r["kxx"], r["in_range"], *(f"{r[c]['median']:.2%}" for c in ("by_head", "first_shot", "refined")), r["met"]]
        for r in report["sweep"]
    ]
    print("sweep, median errors")
    print_table(["kxx", "in range", "by the head", "first shot", "refined", "met of 4"], rows)
    print(f"written: {out}/microstructure.json and pictures")


@reproduce_app.command()
def volume(
    out: Out = Path("reproduced/volume"),
    size: Annotated[int, typer.Option(min=16, max=64, help="Voxels a side.")] = 32,
    count: Annotated[
        int, typer.Option(min=16, max=100_000, help="Volumes to train on, most without simulation.")
    ] = 512,
    numbers: Annotated[
        str, typer.Option(help="Of simulated volumes among them: models are trained on, comma-separated.")
    ] = "16,32,64,128,256",
    ways: Annotated[str, typer.Option(help="Of training, comma-separated.")] = "sensitivities,labels",
    contrast: Contrast = 10.0,
    set_: Set = None,
    seed: Seed = 0,
    workers: Workers = 0,
    device: Device = "auto",
    threads: Threads = 1,
    json_: Json = False,
) -> None:
    """Volumes: what a model learns from few simulations, with sensitivities and without, and a campaign from 32.

    janus-al reproduce volume --size 16 --count 128 --numbers 16,32
    """
    asked = tuple(sorted(set(_whole_numbers(numbers))))
    if not asked or asked[0] < 2 or asked[-1] > count:
        raise UsageError(f"numbers '{numbers}': whole numbers from 2 to the --count of {count}, separated by commas")
    from janus_al.defaults import defaults
    from janus_al.device import prepare
    from loop.campaign.toml import load_training
    from loop.studies.data import Data
    from loop.studies.means import Means
    from loop.studies.volume import WAYS, Course, reproduce_volume, rows

    trained = tuple(word.strip() for word in ways.split(","))
    if not set(trained) <= set(WAYS):
        raise UsageError(f"ways '{ways}': {' and '.join(WAYS)} are known")

    data = Data(count, asked[-1], size, seed, (0.1, 0.1 * contrast), dim=3)
    network, training = load_training(None, set_ or [], *defaults(data.grid, data.material))
    with Progress(json_) as progress:
        means = Means(prepare(device, threads), workers, progress)
        report = reproduce_volume(
            out, data, Course(asked, trained, base=min(Course.base, asked[-1])), network, training, means
        )
    if json_:
        print_json(report)
        return
    columns = [
        "simulations",
        "way",
        "test error",
        "wrong voxels",
        "by the head",
        "first shot",
        "met after 1, 2...",
        "s",
    ]
    print_table(columns, rows(report["models"]))
    found = report["campaign"]["status"]
    print(f"campaign from {report['course']['base']} simulations: {found['state']}, {found['reason']}")
    print(f"written: {out}/volume.json, {out}/curves.png, {out}/campaign/report.html")


def _whole_numbers(words: str) -> list[int]:
    """Those between commas, none if one is none."""
    try:
        return [int(word) for word in words.split(",")]
    except ValueError:
        return []
