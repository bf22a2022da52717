"""Strategies side by side at equal budgets. A command's parameters are its options."""

from pathlib import Path
from typing import Annotated

import typer

from loop.commands.options import Device, Json, Threads, Workers
from loop.commands.terminal import print_json, print_table
from loop.simulation.progress import Progress

arena_app = typer.Typer()


@arena_app.command()
def arena(
    config: Annotated[Path, typer.Argument(help="TOML file.")],
    dir_: Annotated[Path, typer.Option("--dir", help="Folder of the arena.")],
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Override a key, as in --set campaign.training.l_sens=0.")
    ] = None,
    workers: Workers = 0,
    device: Device = "auto",
    threads: Threads = 1,
    json_: Json = False,
) -> None:
    """Run every strategy on every track, or go on with it, and write arena.md, arena.json and arena.png.

    A strategy is a campaign with other settings; a track is a set of targets with its data. The file says both;
    arena.toml, seven tracks and hours of work, is a shipped one. What is finished is kept.

    janus-al arena arena.toml --dir arenas/first --set seeds=2
    """
    from janus_al.device import prepare
    from loop.studies.arena.page import summary, write_page
    from loop.studies.arena.plan import load_arena
    from loop.studies.arena.runner import run_arena
    from loop.studies.means import Means

    plan = load_arena(config, set_ or [])
    with Progress(json_) as progress:
        means = Means(prepare(device, threads), workers, progress)
        parts = run_arena(plan, dir_, means, lambda found: write_page(summary(plan, found), dir_ / "arena"))
    report = summary(plan, parts)
    if json_:
        print_json(report)
        return
    columns = ["strategy", "counted", "hits", "simulations", "seconds"]
    for track in report["tracks"]:
        print(f"{track['name']}: {track['what']}")
        print_table(columns, [[r["name"], *(r[c] for c in columns[1:])] for r in track["strategies"]])
    print(f"written: {dir_}/arena.md, {dir_}/arena.json, {dir_}/arena.png")
