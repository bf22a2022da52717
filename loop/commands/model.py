"""The commands on models: train, evaluate, invert, tune. A command's parameters are its options."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from loop import THREADS_MAX, UsageError
from loop.commands.options import Device, Force, Json, Model, Out, Seed, Set, Threads, Weights, Workers
from loop.commands.terminal import print_json, print_table
from loop.simulation.progress import Progress

model_app = typer.Typer()


@model_app.command()
def train(
    data: Annotated[Path, typer.Argument(help="HDF5 dataset.")],
    out: Out,
    weights: Weights = None,
    set_: Set = None,
    seed: Seed = 0,
    device: Device = "auto",
    threads: Threads = 1,
    force: Force = False,
    json_: Json = False,
) -> None:
    """Train Janus on a dataset; images without simulation train the label-free terms.

    janus-al train quickstart.h5 --out model
    """
    from dataclasses import asdict

    from janus_al import checkpoint, dataset
    from janus_al.defaults import defaults
    from janus_al.evaluation import evaluate as evaluate_model
    from janus_al.fitting import Run
    from janus_al.training import suited
    from janus_al.training import train as train_model
    from loop.campaign.steps import training_words
    from loop.campaign.toml import load_training
    from loop.files.outputs import MODEL, check_folder, claim

    samples = dataset.read(data)
    network, training = load_training(weights, set_ or [], *defaults(samples.image.shape[1:], samples.material))
    network = suited(samples, network, training)
    run: dict[str, Any] = {"command": "train", "dataset": samples.digest(), "seed": seed}
    run |= {"network": asdict(network), "training": asdict(training)}
    check_folder(out, run, [data], force, finished=MODEL[0])
    on = _device(device, threads)
    claim(out, run, MODEL, finished=MODEL[0])
    with Progress(json_) as progress:
        if not json_ and (words := training_words(samples.material, network, training, on)):
            progress.say(words)
        model, card = train_model(
            samples,
            network,
            training,
            seed,
            Run(on, out / "state.pt", lambda i, n: progress("training", i, n)),
        )
    checkpoint.save(out, model, card)
    report = evaluate_model(model, samples)
    result = {
        "model": str(out),
        "pixel": card.pixel or None,
        "seconds": card.seconds,
        "training": asdict(training),
        "on_training_data": report,
    }
    if json_:
        print_json(result)
    else:
        print(f"{out}: trained on {len(samples)} samples ({card.simulated} simulated) in {card.seconds:.0f} s")


@model_app.command()
def evaluate(
    model: Model,
    data: Annotated[Path, typer.Argument(help="HDF5 dataset.")],
    probes: Annotated[
        int, typer.Option(min=0, max=10_000, help="Also invert for so many conductivities and simulate.")
    ] = 0,
    calibrate: Annotated[
        int,
        typer.Option(
            min=0, max=10_000, help="Also simulate so many proposals and keep them in the model's card, for intervals."
        ),
    ] = 0,
    likeness: Annotated[
        bool,
        typer.Option("--likeness", help="Also make the dataset's images the class with which designs are compared."),
    ] = False,
    seed: Seed = 0,
    workers: Workers = 0,
    device: Device = "auto",
    threads: Threads = 1,
    json_: Json = False,
) -> None:
    """R^2, relative error, pixel and cycle error of a model on a dataset; with --probes, its first-shot error.

    --calibrate writes what the model's own proposals turn out to be into its model.json, half of them for one property,
    half for all properties of a sample at once: `invert` and campaigns that start from it then know before they pay.
    --likeness writes the dataset's class there, for models that were trained before training did.

    janus-al evaluate model quickstart-test.h5 --probes 48 --calibrate 100
    """
    from janus_al import checkpoint, dataset
    from janus_al.evaluation import evaluate as evaluate_model
    from janus_al.identity import check_test
    from janus_al.material import joined
    from janus_al.properties import PropertyError
    from janus_al.shipped import shipped

    network, card = checkpoint.load(model, _device(device, threads))
    samples = dataset.read(data)
    if (grid := samples.image.shape[1:]) != network.config.grid:
        has, wants = (" x ".join(map(str, sides)) for sides in (grid, network.config.grid))
        raise UsageError(f"{data}: images of {has} pixels; {model} wants {wants}")
    try:
        joined(card.material, samples.material)
    except PropertyError as error:
        raise UsageError(f"{data} is not what {model} was trained for: {error}") from None
    if lacking := [name for name in network.config.properties if name not in samples.names]:
        raise UsageError(f"{data}: its samples have {', '.join(samples.names)}, and {model} predicts {lacking[0]}")
    if likeness and len(samples) < 2:
        raise UsageError(f"{data}: {len(samples)} image; a class has two at least, which say how they differ")
    check_test(samples, card.images, str(data))
    if calibrate and (place := shipped(model)) != model:
        raise UsageError(f"{model}: --calibrate writes into the model, and this one is shipped; copy {place} first")
    report = evaluate_model(network, samples)
    if probes:
        from statistics import mean, median

        from loop.simulation.executors import open_executor
        from loop.studies.single import first_shot_errors

        with open_executor("process", workers) as executor:
            errors = first_shot_errors(network, card, probes, seed, executor)
        report["first_shot"] = {"probes": probes, "error_mean": mean(errors), "error_median": median(errors)}
    if calibrate:
        from loop.simulation.executors import open_executor
        from loop.simulation.simulate import Execution, usual_solver
        from loop.studies.calibration import calibrated

        with open_executor("process", workers) as executor:
            execution = Execution(executor, usual_solver(grid, card.boundary), cached=True)
            card = calibrated(network, card, samples, calibrate, execution)
        checkpoint.save(model, network, card)
        report["calibrated"] = len(card.proposals)
    if likeness:
        from dataclasses import replace

        from janus_al.likeness import Likeness

        found = Likeness.of(samples.image, samples.boundary)
        card = replace(card, likeness=found)
        checkpoint.save(model, network, card)
        report["likeness"] = found.images
    if json_:
        print_json(report)
        return
    columns = ["r2", "relative_error_mean", "relative_error_median"]
    print_table(["property", *columns], [[n, *(p[c] for c in columns)] for n, p in report["properties"].items()])
    print(f"pixel MAE {report['pixel_mae']:.4f}, cycle MAE {report['cycle_mae']:.4f}, {report['samples']} samples")
    if probes:
        shot = report["first_shot"]
        print(f"first-shot error by simulation: median {shot['error_median']:.2%}, mean {shot['error_mean']:.2%}")
    if calibrate:
        print(f"{model}: {report['calibrated']} proposals simulated and kept in its card")
    if likeness:
        print(f"{model}: designs are compared with {report['likeness']} images of {data}")


@model_app.command()
def invert(
    model: Model,
    target: Annotated[
        list[str],
        typer.Option(
            help="kxx=0.3, kxx=0.3+-2%, kxx=0.2..0.4, kyy>0.2, kxx/kyy>=2, max kxx, volume_fraction<=0.5, "
            "min_feature>=3, connected=x, like>=0.95, periodic; repeat for several."
        ),
    ],
    out: Out = Path("designs"),
    count: Annotated[int, typer.Option(min=1, max=10_000, help="Candidates wanted.")] = 16,
    tolerance: Annotated[float, typer.Option(help="Relative tolerance of every '='.")] = 0.01,
    simulate: Annotated[bool, typer.Option(help="Simulate the candidates and refine those that miss.")] = True,
    refine_steps: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=1000,
            help="Simulations spent on refining one candidate, at most; 8, or 40 for the max or min of a property.",
        ),
    ] = None,
    swarm: Annotated[int, typer.Option(min=1, max=1000, help="Latent vectors inverted for each candidate.")] = 2,
    size: Annotated[
        int | None,
        typer.Option(
            min=8, max=1024, help="Pixels of the longest side, a whole number of times the model's; unless given, its."
        ),
    ] = None,
    seed: Seed = 0,
    workers: Workers = 0,
    device: Device = "auto",
    threads: Threads = 1,
    force: Force = False,
    json_: Json = False,
) -> None:
    """Microstructures for a target: inverted, simulated, and refined until they meet it.

    kxx_lower and kxx_upper are certified bounds of the simulated value; with --no-simulate, kxx is predicted and they
    are its 90 % interval. likeness is 1 at most, and 0.95 or more of 95 in 100 images that the model was trained on.
    p_hit is the chance, foretold before the first simulation, that it meets the target. to_limit is how far the value
    is from the nearest limit of physics, relative to it. Predicted intervals and p_hit come from the proposals in the
    model's card (`evaluate --calibrate`). What meets the target by value but is `undecided`, as refining its interval
    did not decide, does not count; of volumes its value then decides.

    Exit 3 if fewer than --count meet it by simulation (with --no-simulate: were found); those there are are written.

    janus-al invert janus-64 --target kxx=0.30 --count 16
    """
    from janus_al import checkpoint
    from janus_al.lengths import parted
    from loop.design.words import parse_targets

    pixel = ""
    if any("min_feature" in word for word in target):
        network, card = checkpoint.load(model)
        pixel = parted(card.pixel, max(1, (size or 0) // max(network.config.grid)))
    wanted = parse_targets(target, tolerance, count, pixel)
    from loop.studies.means import Means
    from loop.studies.single import Request, invert_target

    steps = (40 if wanted.best else 8) if refine_steps is None else refine_steps
    request = Request(wanted, simulate, steps, swarm, seed, size)
    with Progress(json_) as progress:
        result = invert_target(model, request, out, Means(_device(device, threads), workers, progress), force)
    candidates = result["candidates"]
    if result["warning"]:
        print(result["warning"], file=sys.stderr)
    if len(candidates) < count:
        fell = ", ".join(f"{number} {reason}" for reason, number in result["passed_over"].items())
        shapes = f" and {result['shapes']} simple shapes" if result["shapes"] else ""
        print(
            f"only {len(candidates)} of {count} found: of {result['inversions']} inversions{shapes} {fell}; a larger "
            "--swarm tries more",
            file=sys.stderr,
        )
    if not result["calibrated"]:
        print(
            f"no intervals: {model} was never calibrated; `janus-al evaluate {model} DATA.h5 --calibrate 100` does it",
            file=sys.stderr,
        )
    for c in candidates:
        if c["verdict"] in ("refuted", "undecided"):
            print(f"{c['image']} {c['verdict']} by interval: {c['reason']}", file=sys.stderr)
    met = sum(c["met"] is True and c["verdict"] in (None, "confirmed") for c in candidates)
    if simulate and met < len(candidates):
        print(_shortfall(candidates, met), file=sys.stderr)
    enough = (met if simulate else len(candidates)) >= count
    if json_:
        print_json(result)
        raise typer.Exit(0 if enough else 3)
    names = [n for n in wanted.quantities if n != "volume_fraction"]
    ends = [f"{n}_{side}" for n in names for side in ("lower", "upper")]
    columns, told = [*names, "volume_fraction", *ends], ("likeness", "p_hit", "simulations", "met", "verdict")
    rows = []
    for candidate in candidates:
        figures = _figures(candidate, names)
        distance = candidate.get("to_limit")
        from_limit = "" if distance is None else f"{distance:.1%}"
        rows.append([candidate["image"], *figures, from_limit, *(candidate[c] for c in told)])
    print_table(["image", *columns, "to_limit", *told], rows)
    for name, limit in result["limit"].items():
        print(f"{wanted}: the limit of {name} is {limit:.5g}")
    raise typer.Exit(0 if enough else 3)


@model_app.command()
def tune(
    data: Annotated[Path, typer.Argument(help="HDF5 dataset.")],
    out: Out,
    trials: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="Number of trials, those of an earlier run included.")
    ] = 20,
    jobs: Annotated[int, typer.Option(min=1, max=THREADS_MAX, help="Trials side by side, each on one core.")] = 1,
    weights: Weights = None,
    set_: Set = None,
    seed: Seed = 0,
    workers: Workers = 0,
    device: Device = "auto",
    threads: Threads = 1,
    json_: Json = False,
) -> None:
    """Loss weights that make inverted designs right by simulation, found by Optuna; resumable.

    The best three trials and the weights that were given are trained once more, from another seed, before one is named.

    janus-al tune quickstart.h5 --trials 20 --out tuning
    """
    from janus_al import dataset
    from janus_al.defaults import defaults
    from loop.campaign.toml import load_training
    from loop.studies.means import Means
    from loop.studies.trials import read_subject
    from loop.studies.tuning import tune as tune_weights

    samples = dataset.read(data)
    network, training = load_training(weights, set_ or [], *defaults(samples.image.shape[1:], samples.material))
    subject, on = read_subject(data, network, training, seed), _device(device, threads)
    with Progress(json_) as progress:
        result = tune_weights(subject, out, trials, Means(on, workers, progress), jobs, not json_)
    if json_:
        print_json(result)
        return
    again = result["best"]["again"]
    second = "" if again is None else f", {again:.2%} trained from another seed"
    print(f"best of {result['trials']} trials: first-shot error {result['best']['value']:.2%} by simulation{second}")
    print(f"study: optuna-dashboard {shlex.quote(result['study'])} (pip install 'janus-al[dashboard]')")
    print(f"weights: {result['weights']} (give it to `janus-al train` or `campaign run` as --weights)")


def _shortfall(candidates: Sequence[dict[str, Any]], met: int) -> str:
    """How many of the candidates meet a target, why others do not, and what may help."""
    failed = sum(c["met"] is None for c in candidates)
    doubtful = sum(c["verdict"] in ("refuted", "undecided") for c in candidates)
    told = ((failed, "could not be simulated"), (doubtful, "by value and not by interval"))
    notes = ", ".join(f"{number} {what}" for number, what in told if number)
    # More steps help what missed, and not what an interval did not confirm.
    steps = "more --refine-steps, " if met + failed + doubtful < len(candidates) else ""
    return (
        f"{met} of {len(candidates)} candidates meet it by simulation{f' ({notes})' if notes else ''}; "
        f"{steps}a larger --swarm or a wider target may help"
    )


def _figures(candidate: dict[str, Any], names: Sequence[str]) -> list[float | None]:
    """Of a candidate its quantities, its volume fraction, and between what each quantity lies, where that is known."""
    from janus_al.quantities import quantity
    from loop.simulation.verify import bounds_of

    final = candidate.get("final") or candidate["predicted"]
    ends = list[float | None]()
    for name in names:
        if "final" in candidate:
            # Of what an interval decided, that which did; its value stays the one simulated.
            known = final | candidate.get("certificate", {"properties": {}})["properties"]
            parts = quantity(name).properties
            ends += bounds_of(name, known) if all(part + "_lower" in known for part in parts) else (None, None)
        else:
            # Between which nine in ten simulations shall come out; of ratios that is not foretold.
            ends += candidate["interval"].get(name, (None, None))
    return [*(quantity(name).of(final) for name in names), final.get("volume_fraction"), *ends]


def _device(name: str, threads: int) -> str:
    """The device to use, with torch set to so many threads."""
    from janus_al.device import prepare

    return prepare(name, threads)
