"""The command line: each command parses, makes one call and prints. Heavy libraries load inside commands."""

import errno
import signal
import sys
import traceback

import typer

from loop.cli_campaign import campaign_app
from loop.cli_data import data_app
from loop.cli_model import model_app
from loop.cli_reproduce import reproduce_app

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Inverse design of microstructures that a heat-conduction simulation has confirmed.",
)
app.add_typer(data_app)
app.add_typer(model_app)
app.add_typer(campaign_app, name="campaign")
app.add_typer(reproduce_app, name="reproduce")


def main() -> None:
    """Entry point: errors of the user become one sentence and an exit code; anything else is ours."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        app()
    except SystemExit as stop:
        if stop.code in {130, 143}:
            print("janus-al: interrupted; run the same command again to go on where it was", file=sys.stderr)
        raise
    except Exception as error:
        code = _exit_code(error)
        if code == 1:
            traceback.print_exc()
        mend = ""
        if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            mend = "; nothing simulated before is lost: make room and run the same command again"
        if isinstance(error, MemoryError):
            mend = "; take fewer or smaller images, or a larger machine"
        print(f"janus-al: {error}{mend}", file=sys.stderr)
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
        "LeakageError",
        "DeviceError",
        "ExecutorError",
        "OSError",
        "MemoryError",
    }
    return 2 if names & ours else 1


if __name__ == "__main__":
    main()
