"""The commands on the installation itself: examples and doctor. A command's parameters are its options."""

import json
import re
import shutil
from pathlib import Path
from typing import Annotated, Any

import typer

from loop.commands.options import Force, Json
from loop.commands.terminal import print_json, print_table

installation_app = typer.Typer()


@installation_app.command()
def examples(
    out: Annotated[Path | None, typer.Option(help="Copy campaigns and scripts into this folder.")] = None,
    force: Force = False,
    json_: Json = False,
) -> None:
    """What is shipped: models and campaigns, which every command finds by these names, and scripts to read.

    janus-al examples

    janus-al examples --out examples
    """
    from janus_al import shipped
    from loop.files.outputs import check_folder, claim

    rows = [{"name": name, "kind": "model", "what": _model(shipped.DATA / name)} for name in shipped.models()]
    for name in shipped.examples():
        kind = "script" if name.endswith(".py") else "arena" if name == "arena.toml" else "campaign"
        rows.append({"name": name, "kind": kind, "what": _headline((shipped.EXAMPLES / name).read_text("utf-8"))})
    if out is not None:
        run: dict[str, Any] = {"command": "examples"}
        check_folder(out, run, (), force, files=shipped.examples())
        claim(out, run, shipped.examples())
        for name in shipped.examples():
            shutil.copyfile(shipped.EXAMPLES / name, out / name)
    if json_:
        print_json({"shipped": rows, "written": None if out is None else str(out)})
    elif out is None:
        print_table(["name", "kind", "what"], [list(row.values()) for row in rows])
    else:
        print(f"{out}: {len(shipped.examples())} files")


@installation_app.command()
def doctor(
    dir_: Annotated[
        Path, typer.Option("--dir", help="Folder in which campaigns shall be, for its disk and its MLflow store.")
    ] = Path("campaigns"),
    json_: Json = False,
) -> None:
    """Whether this installation is sound: libraries, devices, threads, MLflow's store, disk, models, a solve.

    Exit code 4 if a shipped model is damaged, 2 if anything else is broken; what is only worth knowing is a note.

    janus-al doctor
    """
    from loop.studies.health import examine

    findings = examine(dir_)
    codes = [finding.code for finding in findings if finding.state == "broken"]
    if json_:
        print_json({"sound": not codes, "findings": [finding.as_json() for finding in findings]})
    else:
        print_table(["", "what", "found"], [[finding.state, finding.name, finding.words] for finding in findings])
    raise typer.Exit(max(codes, default=0))


def _model(folder: Path) -> str:
    """Of what images and constants a shipped model is, as its card says."""
    about = json.loads((folder / "model.json").read_bytes())
    size, dim = about["network"]["size"], about["network"].get("dim", 2)
    sides = " x ".join(map(str, size if isinstance(size, list) else [size] * dim))
    constants = about["card"].get("material", {}).get("physics", [{"constants": {}}])[0]["constants"]
    phases = constants.get("conductivity") or about["card"]["phase_conductivity"]
    return f"{sides} of conductivity {' and '.join(map(str, phases))}, from {about['card']['simulated']} simulations"


def _headline(text: str) -> str:
    """The first sentence of a file's comment or docstring, or what stands before its colon."""
    lines = [line.lstrip('#" ') for line in text.partition("\n\n")[0].splitlines()]
    return re.split(r"[.:;](?:\s|$)", " ".join(lines))[0]
