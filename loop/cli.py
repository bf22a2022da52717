"""The command line: each command parses, makes one call and prints. Heavy libraries load inside commands."""

import json
import math
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

SCHEMA_VERSION = 1

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Inverse design of microstructures that a heat-conduction simulation has confirmed.",
)
campaign_app = typer.Typer(no_args_is_help=True, help="Iterative design: propose, simulate, learn, repeat.")
app.add_typer(campaign_app, name="campaign")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else there.")]
Conductivity = Annotated[str, typer.Option(help="Conductivity of label 0, label 1..., comma-separated.")]
Boundary = Annotated[str, typer.Option(help="dirichlet: unit temperature drop from left to right, adiabatic sides.")]
Solver = Annotated[str, typer.Option(help="Homogenizer: fipy.")]
Workers = Annotated[int, typer.Option(min=0, help="Simulation processes; 0: one a core.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Threads = Annotated[int, typer.Option(min=1, help="Threads of the network.")]
Seed = Annotated[int, typer.Option(min=0, help="Of everything random.")]
Out = Annotated[Path, typer.Option(help="Where to write.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="Override a key, as in --set training.l_sens=0.")]
Weights = Annotated[Path | None, typer.Option(help="TOML with a [training] section, such as `tune` writes.")]
Model = Annotated[Path, typer.Argument(help="Folder of a trained model.")]
Dir = Annotated[Path, typer.Argument(help="Folder of the campaign.")]


class UsageError(ValueError):
    """Arguments that do not fit together."""


@app.command()
def generate(
    count: Annotated[int, typer.Option(min=1, help="Number of images.")],
    out: Out,
    size: Annotated[int, typer.Option(min=8, max=1024, help="Pixels a side.")] = 32,
    seed: Seed = 0,
    simulated: Annotated[int | None, typer.Option(min=0, help="Simulate only the first so many.")] = None,
    conductivity: Conductivity = "0.1,1.0",
    workers: Workers = 0,
    json_: Json = False,
) -> None:
    """Phase-field microstructures, simulated.

    janus-al generate --count 100 --size 32 --seed 0 --out data.h5
    """
    from janus_al import dataset
    from loop.simulate import simulate_samples
    from simulators import generate as phasefield

    phases = _conductivities(conductivity, 2)
    _check_out(out)
    images = phasefield(count, size, seed)
    n = count if simulated is None else min(simulated, count)
    with _progress() as progress:
        parts = simulate_samples(images[:n], phases, "fipy", workers, progress, origin=b"generated", seed=seed)
    if n < count:
        parts.append(dataset.unlabelled(images[n:], phases, origin=b"generated", seed=seed))
    _write_dataset(out, parts, json_)


@app.command("import")
def import_(
    images: Annotated[list[Path], typer.Argument(help=".npy, .png or .tif files of one size.")],
    out: Out,
    conductivity: Conductivity = "0.1,1.0",
    workers: Workers = 0,
    json_: Json = False,
) -> None:
    """Your own images as a dataset, simulated.

    janus-al import micrographs/*.png --conductivity 0.1,1.0 --out data.h5
    """
    import numpy as np

    from loop.simulate import simulate_samples
    from simulators import read_image

    phases = _conductivities(conductivity)
    _check_out(out)
    arrays = [read_image(path, len(phases)) for path in images]
    for path, array in zip(images, arrays, strict=True):
        if array.shape != arrays[0].shape:
            raise UsageError(f"{path}: {array.shape} pixels but {images[0]} has {arrays[0].shape}; one size a dataset")
    with _progress() as progress:
        parts = simulate_samples(np.stack(arrays), phases, "fipy", workers, progress, origin=b"imported")
    _write_dataset(out, parts, json_)


@app.command()
def homogenize(
    images: Annotated[list[Path], typer.Argument(help=".npy, .png or .tif files.")],
    conductivity: Conductivity,
    boundary: Boundary = "dirichlet",
    solver: Solver = "fipy",
    workers: Workers = 0,
    json_: Json = False,
) -> None:
    """Effective conductivity of images, with certified bounds.

    janus-al homogenize image.png --conductivity 0.1,1.0
    """
    from loop.simulate import HOMOGENIZERS, process_pool, simulate
    from simulators import HomogenizationError, read_image

    if boundary != "dirichlet":
        raise UsageError(f"boundary '{boundary}': only dirichlet is available so far")
    if solver not in HOMOGENIZERS:
        raise UsageError(f"solver '{solver}': it must be one of {', '.join(HOMOGENIZERS)}")
    phases = _conductivities(conductivity)
    arrays = [read_image(path, len(phases)) for path in images]
    results = []
    with process_pool(min(workers or 64, len(images))) as executor, _progress() as progress:
        found = simulate(arrays, phases, solver, executor)
        for number, (path, array, result) in enumerate(zip(images, arrays, found, strict=True), start=1):
            if isinstance(result, str):
                raise HomogenizationError(f"{path}: {result}")
            progress("simulation", number, len(images))
            row: dict[str, Any] = {"file": str(path), "size": list(array.shape)}
            row["volume_fraction"] = result.volume_fraction
            for i, name in enumerate(result.names):
                values = {"": result.k, "_fv": result.k_fv, "_lower": result.lower, "_upper": result.upper}
                row |= {name + suffix: float(value[i]) for suffix, value in values.items()}
            row |= {"flux_imbalance": result.flux_imbalance, "solver": result.solver, "seconds": result.seconds}
            results.append(row)
    if json_:
        _print_json({"results": results})
        return
    columns = ["file", "volume_fraction", "kxx", "kxx_lower", "kxx_upper", "kyy", "kyy_lower", "kyy_upper"]
    _print_table(columns, [[row[c] for c in columns] for row in results])


@app.command()
def train(
    data: Annotated[Path, typer.Argument(help="HDF5 dataset.")],
    out: Out,
    weights: Weights = None,
    set_: Set = None,
    seed: Seed = 0,
    device: Device = "auto",
    threads: Threads = 1,
    json_: Json = False,
) -> None:
    """Train Janus on a dataset; images without simulation train the label-free terms.

    janus-al train data/quickstart.h5 --out model
    """
    from dataclasses import asdict

    from janus_al import checkpoint, dataset
    from janus_al.evaluation import evaluate as evaluate_model
    from janus_al.training import check_samples
    from janus_al.training import train as train_model
    from loop.config import load_training

    network, training = load_training(weights, set_ or [])
    samples = dataset.read(data)
    network = network.of_size(samples.image.shape[1])
    check_samples(samples, network)
    on = _device(device, threads)
    out.mkdir(parents=True, exist_ok=True)
    with _progress() as progress:
        model, card = train_model(
            samples,
            network,
            training,
            seed,
            on,
            state=out / "state.pt",
            progress=lambda i, n: progress("training", i, n),
        )
    checkpoint.save(out, model, card)
    report = evaluate_model(model, samples)
    result = {"model": str(out), "seconds": card.seconds, "training": asdict(training), "on_training_data": report}
    if json_:
        _print_json(result)
    else:
        print(f"{out}: trained on {len(samples)} samples ({card.simulated} simulated) in {card.seconds:.0f} s")


@app.command()
def evaluate(
    model: Model,
    data: Annotated[Path, typer.Argument(help="HDF5 dataset.")],
    probes: Annotated[int, typer.Option(min=0, help="Also invert for so many conductivities and simulate.")] = 0,
    seed: Seed = 0,
    workers: Workers = 0,
    device: Device = "auto",
    threads: Threads = 1,
    json_: Json = False,
) -> None:
    """R^2, relative error, pixel and cycle error of a model on a dataset; with --probes, its first-shot error.

    janus-al evaluate model data/quickstart-test.h5 --probes 48
    """
    from janus_al import checkpoint, dataset
    from janus_al.evaluation import evaluate as evaluate_model

    network, card = checkpoint.load(model, _device(device, threads))
    samples = dataset.read(data)
    side, kind = network.config.size, (samples.phase_conductivity, samples.boundary)
    if samples.image.shape[1:] != (side, side):
        raise UsageError(f"{data}: images of {samples.image.shape[1:]} pixels; {model} wants {side} x {side}")
    if kind != (card.phase_conductivity, card.boundary):
        raise UsageError(
            f"{data}: {kind} is not what {model} was trained for, {(card.phase_conductivity, card.boundary)}"
        )
    report = evaluate_model(network, samples)
    if probes:
        from statistics import mean, median

        from loop.invert import first_shot_errors
        from loop.simulate import process_pool

        with process_pool(workers) as executor:
            errors = first_shot_errors(network, card, probes, seed, executor)
        report["first_shot"] = {"probes": probes, "error_mean": mean(errors), "error_median": median(errors)}
    if json_:
        _print_json(report)
        return
    columns = ["r2", "relative_error_mean", "relative_error_median"]
    _print_table(["property", *columns], [[n, *(p[c] for c in columns)] for n, p in report["properties"].items()])
    print(f"pixel MAE {report['pixel_mae']:.4f}, cycle MAE {report['cycle_mae']:.4f}, {report['samples']} samples")
    if probes:
        shot = report["first_shot"]
        print(f"first-shot error by simulation: median {shot['error_median']:.2%}, mean {shot['error_mean']:.2%}")


@app.command()
def invert(
    model: Model,
    target: Annotated[list[str], typer.Option(help="kxx=0.3, kyy>=0.2, volume_fraction<=0.5; repeat for several.")],
    out: Out,
    count: Annotated[int, typer.Option(min=1, help="Candidates wanted.")] = 16,
    tolerance: Annotated[float, typer.Option(help="Relative tolerance of every '='.")] = 0.01,
    simulate: Annotated[bool, typer.Option(help="Simulate the candidates and move the cut of those that miss.")] = True,
    cut_steps: Annotated[int, typer.Option(min=0, help="Simulations spent on one candidate's cut, at most.")] = 4,
    swarm: Annotated[int, typer.Option(min=1, help="Latent vectors inverted for each candidate.")] = 2,
    seed: Seed = 0,
    workers: Workers = 0,
    device: Device = "auto",
    threads: Threads = 1,
    json_: Json = False,
) -> None:
    """Microstructures for a target: inverted, simulated, and brought to the target by moving the cut.

    janus-al invert model --target kxx=0.30 --count 16 --out designs
    """
    from loop.targets import parse_targets

    wanted = parse_targets(target, tolerance, count)
    from loop.invert import invert_target

    with _progress() as progress:
        result = invert_target(
            model, wanted, out, simulate, cut_steps, swarm, seed, workers, _device(device, threads), progress
        )
    if (found := len(result["candidates"])) < count:
        print(f"only {found} of {count} differ enough from each other; a larger --swarm finds more", file=sys.stderr)
    if json_:
        _print_json(result)
        return
    names = [n for n in wanted.intervals if n != "volume_fraction"] or ["volume_fraction"]
    rows = []
    for candidate in result["candidates"]:
        final = candidate.get("final") or candidate["predicted"]
        bounds = [final.get(f"{n}_{side}", math.nan) for n in names for side in ("lower", "upper")]
        rows.append(
            [candidate["image"], *(final[n] for n in names), *bounds, candidate["simulations"], candidate["met"]]
        )
    ends = [f"{n}_{side}" for n in names for side in ("lower", "upper")]
    _print_table(["image", *names, *ends, "simulations", "met"], rows)


@app.command()
def tune(
    data: Annotated[Path, typer.Argument(help="HDF5 dataset.")],
    out: Out,
    trials: Annotated[int, typer.Option(min=1, help="Number of trials, those of an earlier run included.")] = 20,
    weights: Weights = None,
    set_: Set = None,
    seed: Seed = 0,
    workers: Workers = 0,
    device: Device = "auto",
    threads: Threads = 1,
    json_: Json = False,
) -> None:
    """Loss weights that make inverted designs right by simulation, found by Optuna; resumable.

    janus-al tune data/quickstart.h5 --trials 20 --out tuning
    """
    from loop.config import load_training
    from loop.tuning import tune as tune_weights

    network, training = load_training(weights, set_ or [])
    with _progress() as progress:
        result = tune_weights(data, out, trials, network, training, seed, workers, _device(device, threads), progress)
    if json_:
        _print_json(result)
        return
    print(f"best of {result['trials']} trials: first-shot error {result['best']['value']:.2%} by simulation")
    print(f"weights: {result['weights']} (give it to `janus-al train` or `campaign run` as --weights)")


@campaign_app.command("run")
def campaign_run(
    config: Annotated[Path, typer.Argument(help="TOML file.")],
    dir_: Annotated[Path, typer.Option("--dir", help="Folder of the campaign.")],
    weights: Weights = None,
    set_: Set = None,
    json_: Json = False,
) -> None:
    """Run a campaign, or go on with the one in the folder.

    janus-al campaign run examples/quickstart.toml --dir campaigns/quickstart
    """
    from loop.config import load_config

    _campaign(dir_, load_config(config, weights, set_ or []), json_)


@campaign_app.command("resume")
def campaign_resume(dir_: Dir, json_: Json = False) -> None:
    """Go on with a campaign that was interrupted.

    janus-al campaign resume campaigns/quickstart
    """
    _campaign(dir_, None, json_)


@campaign_app.command("status")
def campaign_status(dir_: Dir, json_: Json = False) -> None:
    """How a campaign stands, also while it runs.

    janus-al campaign status campaigns/quickstart
    """
    from loop.projections import status

    report = status(dir_)
    _print_json(report) if json_ else _print_status(report)


@campaign_app.command("report")
def campaign_report(dir_: Dir, json_: Json = False) -> None:
    """Write dataset.h5, designs/ and report.html anew from what the campaign recorded.

    janus-al campaign report campaigns/quickstart
    """
    from loop.campaign import Campaign
    from loop.projections import write_dataset, write_designs
    from loop.report import write_report
    from loop.run import locked

    if not (dir_ / "campaign.toml").is_file():
        Campaign(dir_)
    with locked(dir_):
        campaign = Campaign(dir_)
        write_dataset(campaign)
        designs = write_designs(campaign)
        report = write_report(campaign)
    result = {"report": str(report), "designs": [str(d) for d in designs], "dataset": str(dir_ / "dataset.h5")}
    _print_json(result) if json_ else print(report)


@campaign_app.command("sync")
def campaign_sync(dir_: Dir, json_: Json = False) -> None:
    """Bring MLflow up to date with a campaign, after an outage for instance.

    janus-al campaign sync campaigns/quickstart
    """
    from loop.projections import status
    from loop.tracking import sync

    status(dir_)
    result = sync(dir_)
    report = {"uri": result.uri, "delivered": result.delivered, "error": result.error}
    if json_:
        _print_json(report)
    if result.error:
        print(f"janus-al: MLflow not updated: {result.error}", file=sys.stderr)
        raise typer.Exit(1)
    if not json_:
        print(f"{result.delivered} runs delivered to {result.uri}")


def main() -> None:
    """Entry point: errors of the user become one sentence and an exit code; anything else is ours."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        app()
    except KeyboardInterrupt:
        print("janus-al: interrupted; nothing simulated is lost, run the same command to go on", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        code = _exit_code(error)
        if code == 1:
            traceback.print_exc()
        print(f"janus-al: {error}", file=sys.stderr)
        sys.exit(code)


def _exit_code(error: Exception) -> int:
    """2 bad input, 4 damaged data, 5 locked, 1 a defect of ours; by the classes' names, to import none of them."""
    names = {kind.__name__ for kind in type(error).__mro__}
    if "DatasetError" in names:
        return 4
    if "LockedError" in names:
        return 5
    ours = {
        "UsageError",
        "ConfigError",
        "TargetError",
        "ImageError",
        "HomogenizationError",
        "TrainingError",
        "DeviceError",
        "OSError",
    }
    return 2 if names & ours else 1


def _campaign(folder: Path, config: Any, json_: bool) -> None:
    from loop.projections import status
    from loop.run import run_campaign

    with _progress() as progress:
        run_campaign(folder, config, progress)
    report = status(folder)
    _print_json(report) if json_ else _print_status(report)
    raise typer.Exit(0 if report["state"] == "done" else 3)


def _print_status(report: dict[str, Any]) -> None:
    paid = report["simulations"]
    print(f"{report['state']}: {report['reason'] or 'under way'}; {paid['done']} of {paid['budget']} simulations spent")
    _print_table(
        ["target", "wanted", "designs", "of"],
        [[t["name"], t["words"], t["designs"], t["designs_wanted"]] for t in report["targets"]],
    )
    if report["rounds_table"]:
        columns = ["round", "candidates", "first_shot_error_median", "probe_error_median", "hits", "simulations"]
        _print_table(columns, [[r[c] for c in columns] for r in report["rounds_table"]])
    print(f"report: {report['report']}")


def _print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    cells = [list(columns), *[[_cell(value) for value in row] for row in rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    for row in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.5g}" if isinstance(value, float) else "-" if value is None else str(value)


def _print_json(report: dict[str, Any]) -> None:
    print(json.dumps({"schema_version": SCHEMA_VERSION, **_finite(report)}, allow_nan=False))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _conductivities(words: str, count: int | None = None) -> tuple[float, ...]:
    try:
        values = tuple(float(word) for word in words.split(","))
    except ValueError:
        raise UsageError(f"conductivity '{words}': give numbers separated by commas, as in 0.1,1.0") from None
    if not all(math.isfinite(v) and v > 0 for v in values):
        raise UsageError(f"conductivity '{words}': each must be finite and above 0")
    if count is not None and len(values) != count:
        raise UsageError(f"conductivity '{words}': {count} phases need {count} values")
    return values


def _check_out(path: Path) -> None:
    if not path.parent.is_dir():
        raise UsageError(f"{path}: the folder {path.parent} does not exist; make it first")


def _write_dataset(out: Path, parts: list[Any], json_: bool) -> None:
    from janus_al import dataset
    from loop import CREATED_BY

    samples = dataset.concatenate(parts)
    dataset.write(out, samples, CREATED_BY)
    report: dict[str, Any] = {
        "dataset": str(out),
        "samples": len(samples),
        "simulated": int(samples.simulated.sum()),
        "digest": samples.digest(),
    }
    if json_:
        _print_json(report)
    else:
        print(f"{out}: {report['samples']} samples, {report['simulated']} simulated, digest {report['digest'][:12]}")


def _device(name: str, threads: int) -> str:
    """The device to use, with torch set to so many threads."""
    from janus_al.device import prepare

    return prepare(name, threads)


def _progress() -> Any:
    from loop.progress import Progress

    return Progress()


if __name__ == "__main__":
    main()
