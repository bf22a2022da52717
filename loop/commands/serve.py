"""The `serve` command: a page, and a JSON API, over a folder of campaigns. A command's parameters are its options."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

serve_app = typer.Typer()


@serve_app.command()
def serve(
    dir_: Annotated[Path, typer.Argument(metavar="DIR", help="Folder whose folders are campaigns; made if missing.")],
    host: Annotated[
        str, typer.Option(help="Address to listen at; any but this machine's own loopback asks for a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="To listen at.")] = 8765,
    jobs: Annotated[int, typer.Option(min=1, max=64, help="Campaigns that run side by side, at most.")] = 2,
    trust: Annotated[
        bool, typer.Option("--trust", help="Let configurations from the page name code, programs and files anywhere.")
    ] = False,
    name: Annotated[
        list[str] | None, typer.Option(help="Host name by which browsers ask, where it is none of this machine's own.")
    ] = None,
) -> None:
    """See campaigns run, start, stop and resume them, and look at designs, in a browser.

    JANUS_AL_TOKEN is the token asked for; without it one is made where it is needed.

    janus-al serve campaigns
    """
    import socket

    from loop import UsageError
    from loop.files.lock import locked
    from loop.serve.access import Access
    from loop.serve.jobs import HERE

    access = Access.at(host, port, os.environ.get("JANUS_AL_TOKEN", ""), name or [])
    if (dir_ / "campaign.toml").exists():
        raise UsageError(f"{dir_}: a campaign itself; name the folder that it lies in, {dir_.absolute().parent}")
    if (dir_ / HERE).is_symlink():
        raise UsageError(f"{dir_ / HERE}: a link where the page keeps what it started; move it away")
    (dir_ / HERE).mkdir(parents=True, exist_ok=True)
    with locked(dir_ / HERE, "serving this folder"):
        try:
            listening = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise UsageError(f"{host}:{port}: cannot listen there ({why.lower()}); give another --port") from None
        from uvicorn import Config, Server

        from loop.serve.app import application

        if access.token:
            print("janus-al: whoever has this address may start work on this machine", file=sys.stderr)
        if trust:
            print("janus-al: --trust: whoever reaches the page may run code on this machine", file=sys.stderr)
        print(access.address, flush=True)
        app = application(dir_, access, jobs, trust)
        quiet = Config(app, log_level="warning", access_log=False, server_header=False, proxy_headers=False)
        server = Server(quiet)
        try:
            server.run(sockets=[listening])
        except (KeyboardInterrupt, SystemExit):  # told to stop, it does so in order, and then says it again
            if not server.started:
                raise
