"""The command line: each command parses, makes one call and prints. Heavy libraries load inside commands."""

import errno
import os
import signal
import sys
import traceback
from typing import NoReturn

import typer

from loop.commands.arena import arena_app
from loop.commands.campaign import campaign_app
from loop.commands.data import data_app
from loop.commands.export import export_app
from loop.commands.installation import installation_app
from loop.commands.micrographs import micrographs_app
from loop.commands.model import model_app
from loop.commands.reproduce import reproduce_app
from loop.commands.serve import serve_app
from loop.commands.terminal import spell

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"max_content_width": 120},
    rich_markup_mode=None,  # as markup, "[training]" is a style and not a word
    help="Inverse design of microstructures that a heat-conduction simulation has confirmed.",
)
app.add_typer(data_app)
app.add_typer(micrographs_app)
app.add_typer(model_app)
app.add_typer(export_app)
app.add_typer(campaign_app, name="campaign")
app.add_typer(reproduce_app, name="reproduce")
app.add_typer(arena_app)
app.add_typer(installation_app)
app.add_typer(serve_app)

READER_GONE = 141
"""what shells say of a process that wrote into a closed pipe"""


def main() -> None:
    """Entry point: errors of the user become one sentence and an exit code; anything else is ours."""
    told = _watched()
    spell(sys.stdout)
    spell(sys.stderr)
    try:
        code = app(standalone_mode=False, prog_name="janus-al") or 0
        sys.stdout.flush()
    except SystemExit as stop:
        # The library answers a reader that has gone (`| head`) with an exit of its own.
        code = READER_GONE if isinstance(stop.__context__, BrokenPipeError) else stop.code
    except BrokenPipeError:
        code = READER_GONE
    except KeyboardInterrupt:
        code = 130
    except Exception as error:
        code = told[0] if told else _failed(error)
    if code == READER_GONE:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    if code in {130, 143}:
        print("janus-al: interrupted; run the same command again to go on where it was", file=sys.stderr)
    sys.exit(code)


def _watched() -> list[int]:
    """The exit codes of what this process was told, as it is told; each unwinds it as an exception.

    A library that is being imported may swallow that one and stumble over what it left half done: whoever meets
    another error finds here that it was told to stop.
    """
    told: list[int] = []

    def stop(number: int, frame: object) -> NoReturn:
        told.append(128 + number)
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)

    signal.signal(signal.SIGTERM, stop)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a shell's `&` switches it off
        signal.signal(signal.SIGINT, stop)
    return told


def _failed(error: Exception) -> int:
    """Say what is wrong; returns the exit code."""
    code = _exit_code(error)
    if code == 1:
        traceback.print_exc()
    bare = type(error).__name__ == "NoArgsIsHelpError"
    words = error.format_message() if bare else f"janus-al: {_sentence(error)}"  # type: ignore[attr-defined]
    print(words, file=sys.stderr)
    return code


def _sentence(error: Exception) -> str:
    """What an error says, on one line; of the system's errors and the parser's with the file or the help."""
    words = " ".join(str(error).splitlines())
    if isinstance(error, OSError) and error.errno is not None:
        reason = (error.strerror or words).lower()
        path = error.filename2 or error.filename
        words = reason if path is None else f"{path}: {reason}"
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            words += "; nothing simulated before is lost: make room and run the same command again"
    if isinstance(error, MemoryError):
        words = f"{words or 'not enough memory'}; take fewer or smaller images, or a larger machine"
    if (context := getattr(error, "ctx", None)) is not None:
        words = " ".join(error.format_message().splitlines()).rstrip(".")  # type: ignore[attr-defined]
        if type(error.__cause__).__name__ == "ValidationError":
            from janus_al.settings import rule

            first = error.__cause__.errors()[0]  # type: ignore[union-attr]
            name = words.removeprefix("Invalid value for ").partition(": ")[0]
            words = f"{name} {first['input']!r}: it {rule(first)}"
        words += f"; {context.command_path} --help says what there is"
    return words


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
        "PropertyError",
        "CatalogueError",
        "ExecutorError",
        "OSError",
        "MemoryError",
    }
    return 2 if names & ours else 1


if __name__ == "__main__":
    main()
