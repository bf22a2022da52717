"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from loop import SEED_MAX, THREADS_MAX, WORKERS_MAX

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else there.")]
Dim = Annotated[int | None, typer.Option(min=2, max=3, help="2: planes; 3: volumes. As the sizes say, unless given.")]
Conductivity = Annotated[str, typer.Option(help="Of label 0, label 1..., as in 0.1,1.0.")]
Boundary = Annotated[str, typer.Option(help="dirichlet: between two faces, adiabatic sides; or periodic.")]
Solver = Annotated[str, typer.Option(help="fipy (the reference), direct, batched or auto.")]
Workers = Annotated[
    int,
    typer.Option(min=0, max=WORKERS_MAX, help="Simulation processes; 0: one for each core this process may use."),
]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Threads = Annotated[int, typer.Option(min=1, max=THREADS_MAX, help="Threads of the network.")]
Seed = Annotated[int, typer.Option(min=0, max=SEED_MAX, help="Of everything random.")]
Out = Annotated[Path, typer.Option(help="Where to write.")]
Force = Annotated[
    bool, typer.Option("--force", help="Replace what this command made at --out before; nothing else is ever replaced.")
]
Set = Annotated[list[str] | None, typer.Option("--set", help="Override a key, as in --set training.l_sens=0.")]
Weights = Annotated[Path | None, typer.Option(help="TOML with a [training] section, such as `tune` writes.")]
Model = Annotated[Path, typer.Argument(help="Folder of a trained model, or the name of a shipped one.")]
Dir = Annotated[Path, typer.Argument(help="Folder of the campaign.")]
