"""The `campaign` commands: plan, run, resume, status, report, sync."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from loop import UsageError
from loop.commands.options import Dir, Force, Json, Set, Weights
from loop.commands.terminal import print_json, print_table
from loop.simulation.progress import Progress

campaign_app = typer.Typer(no_args_is_help=True, help="Iterative design: propose, simulate, learn, repeat.")


@campaign_app.command("run")
def campaign_run(
    config: Annotated[Path, typer.Argument(help="TOML file, or the name of a shipped example.")],
    dir_: Annotated[Path, typer.Option("--dir", help="Folder of the campaign.")],
    weights: Weights = None,
    set_: Set = None,
    json_: Json = False,
) -> None:
    """Run a campaign, or go on with the one in the folder.

    janus-al campaign run quickstart.toml --dir campaigns/quickstart
    """
    from loop.campaign.toml import load_config

    _campaign(dir_, load_config(config, weights, set_ or []), json_)


@campaign_app.command("plan")
def campaign_plan(
    config: Annotated[Path, typer.Argument(help="TOML file.")],
    weights: Weights = None,
    set_: Set = None,
    json_: Json = False,
) -> None:
    """What a campaign would take here: steps, simulations, time, memory, and what would be cheaper.

    Measured in some seconds on a few steps, passes and images; nothing is paid for or written. `campaign run` says the
    same before it begins.

    janus-al campaign plan examples/quickstart.toml
    """
    from janus_al.device import prepare
    from loop.campaign.opening import check_doors
    from loop.campaign.plan import plan
    from loop.campaign.sources import check_source
    from loop.campaign.toml import load_config

    read = load_config(config, weights, set_ or [])
    check_doors(read)
    check_source(read)
    found = plan(read, prepare(read.execution.device, read.execution.threads))
    if json_:
        print_json(found.as_json())
        return
    for line in found.words():
        print(line)


@campaign_app.command("resume")
def campaign_resume(dir_: Dir, set_: Set = None, json_: Json = False) -> None:
    """Go on with a campaign that was interrupted, or, its budget raised, with one that has spent it.

    janus-al campaign resume campaigns/quickstart --set budget.simulations=800
    """
    from loop.campaign.toml import load_stored

    _campaign(dir_, load_stored(dir_, set_) if set_ else None, json_)


@campaign_app.command("status")
def campaign_status(dir_: Dir, json_: Json = False) -> None:
    """How a campaign stands, also while it runs.

    janus-al campaign status campaigns/quickstart
    """
    from loop.output.projections import status

    report = status(dir_)
    print_json(report) if json_ else _print_status(report, dir_)


@campaign_app.command("report")
def campaign_report(
    dirs: Annotated[list[Path], typer.Argument(help="Folder of the campaign; of several, to compare them.")],
    out: Annotated[Path | None, typer.Option(help="Page that compares several: comparison.html.")] = None,
    force: Force = False,
    json_: Json = False,
) -> None:
    """Write dataset.h5, designs/ and report.html anew from what the campaign recorded.

    Of several campaigns, which may be running, one page that compares them:
    targets, designs, simulations, seconds, first-shot errors, and the settings
    in which they differ.

    janus-al campaign report campaigns/quickstart
    janus-al campaign report campaigns/a campaigns/b --out comparison.html
    """
    if len(dirs) > 1:
        return _compare(dirs, out or Path("comparison.html"), force, json_)
    if out is not None or force:
        raise UsageError(
            "--out and --force are for the page that compares several campaigns; name at least two folders"
        )
    from loop.campaign.campaign import Campaign
    from loop.campaign.toml import load_stored
    from loop.commands.run import locked
    from loop.output.dossier import unmade
    from loop.output.projections import write_dataset, write_designs
    from loop.output.report import write_report

    folder = dirs[0]
    load_stored(folder)
    with locked(folder):
        campaign = Campaign(folder)
        write_dataset(campaign)
        designs = write_designs(campaign)
        report = write_report(campaign, umap=campaign.config.execution.umap)
    result = {"report": str(report), "designs": [str(d) for d in designs], "dataset": str(folder / "dataset.h5")}
    for words in unmade(designs):
        print(f"janus-al: {words}", file=sys.stderr)
    print_json(result) if json_ else print(report)


def _compare(folders: list[Path], out: Path, force: bool, json_: bool) -> None:
    from loop.output.comparison import check_comparison, write_comparison

    check_comparison(folders, out, force)
    result = write_comparison(folders, out)
    print_json(result) if json_ else print(out)


@campaign_app.command("sync")
def campaign_sync(
    dir_: Dir,
    register: Annotated[
        str | None, typer.Option(help="Also register the model that the campaign ended with, by this name.")
    ] = None,
    json_: Json = False,
) -> None:
    """Bring MLflow up to date with a campaign, after an outage for instance, also while it runs.

    janus-al campaign sync campaigns/quickstart --register janus-32
    """
    from loop.output.projections import status
    from loop.output.tracking import sync

    status(dir_)
    result = sync(dir_, register=register)
    report = {"uri": result.uri, "delivered": result.delivered, "error": result.error}
    report |= {"registered": result.registered}
    if json_:
        print_json(report)
    if result.error:
        print(f"janus-al: MLflow not updated: {result.error}", file=sys.stderr)
        raise typer.Exit(2)
    if not json_:
        print(f"{result.delivered} runs delivered to {result.uri}")
    if result.registered and not json_:
        print(f"model registered as {result.registered}: mlflow models serve -m models:/{result.registered}")


def _campaign(folder: Path, config: Any, json_: bool) -> None:
    from loop.commands.run import run_campaign
    from loop.output.projections import status

    for reach in config.reach.values() if config else []:
        if reach.warning:
            print(f"janus-al: {reach.warning}", file=sys.stderr)
    with Progress(json_) as progress:
        run_campaign(folder, config, progress, foretell=not json_)
    report = status(folder)
    print_json(report) if json_ else _print_status(report, folder)
    raise typer.Exit(0 if report["state"] == "done" else 3)


def _print_status(report: dict[str, Any], folder: Path) -> None:
    from loop.campaign.campaign import Campaign
    from loop.campaign.guard import words
    from loop.output.misses import near_misses

    paid = report["simulations"]
    failed = f", {paid['failed']} of them failed" if paid["failed"] else ""
    print(
        f"{report['state']}: {report['reason'] or 'under way'}; "
        f"{paid['spent']} of {paid['budget']} simulations spent{failed}"
    )
    print_table(
        ["target", "wanted", "designs", "of"],
        [[t["name"], t["words"], t["designs"], t["designs_wanted"]] for t in report["targets"]],
    )
    for t in report["targets"]:
        if (best := t["best"]) and best["value"] is not None:
            limit = "" if best["limit"] is None else f", {best['to_limit']:.1%} from the limit, {best['limit']:.5g}"
            print(f"{t['name']}: best {best['quantity']} {best['value']:.5g}{limit}")
    if any(d["likeness"] is not None for d in report["designs"]):
        print_table(
            ["design", "target", "likeness"], [[d["name"], d["target"], d["likeness"]] for d in report["designs"]]
        )
    if report["rounds_table"]:
        columns = ["round", "candidates", "first_shot_error_median", "probe_error_median", "hits", "simulations"]
        held = [r["coverage"] for r in report["rounds_table"]]
        told = [f"{c['held']} of {c['values']}" if c and c["values"] else None for c in held]
        rows = [[*(r[c] for c in columns), words] for r, words in zip(report["rounds_table"], told, strict=True)]
        print_table([*columns, "in_interval"], rows)
    for number, fell in report["passed_over"].items():
        print(f"round {number} passed over proposals: {', '.join(f'{count} {why}' for why, count in fell.items())}")
    unmet = [t["name"] for t in report["targets"] if t["designs"] < t["designs_wanted"]]
    for name, (misses, _) in near_misses(Campaign(folder)).items() if unmet and report["rounds_table"] else ():
        if name in unmet and misses:
            print(f"nearest to {name}, in round {misses[0].round}: {misses[0].rule}, {misses[0].why}")
    for row in report["models"]:
        print(f"model after round {row['round']}: {words(row)}")
    for row in report["unconfirmed"]:
        print(f"{row['verdict']} in round {row['round']}: a candidate for {row['target']}: {row['reason']}")
    print(f"report: {report['report']}")
