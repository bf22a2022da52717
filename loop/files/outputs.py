"""What a command may write: never onto what it reads, never over what the product did not make.

Every `--out` and `--dir` passes here before anything is paid. A folder that a command made says so in its
`run.json`: which command, with what settings, and the names of the files that are its own; nothing else in the folder
is ever removed or replaced. What is made again replaces what was made before only with `--force`.
"""

import contextlib
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath
from typing import Any

from janus_al.dataset import count
from janus_al.errors import DatasetError
from janus_al.files import MODEL as MODEL_FILES
from janus_al.files import atomic_path, make_temporary, remove_stale
from loop import UsageError

RUN = "run.json"
SHEET = "janus-al contact sheet"
"""what a contact sheet says of itself, as the text `Software` of its PNG"""
MODEL = (*MODEL_FILES, "state.pt")
"""the files of a folder in which a model is trained"""

Run = dict[str, Any]


class OutputError(UsageError):
    """A file or folder that must not, or cannot, be written."""


def inside(folder: Path, name: object, origin: Path, depth: int = 1) -> Path:
    """The path under `folder`, so many names deep, for which a name read from the file `origin` stands.

    Raises:
        DatasetError: it is no such name.
    """
    try:
        return folder / plain(name, depth)
    except ValueError as error:
        raise DatasetError(f"{origin}: damaged; {error}; restore it from a copy") from None


def plain(name: object, depth: int = 1) -> str:
    """A name that stays where it is put, so many names deep; the one rule for names that come from files.

    Raises:
        ValueError: it is none.
    """
    parts = name.split("/") if isinstance(name, str) else []
    fine = all(part.isprintable() and part not in {"", ".", ".."} and not set(part) & set("\\:") for part in parts)
    if len(parts) != depth or not fine:
        kind = "a plain name" if depth == 1 else f"{depth} plain names joined by '/'"
        raise ValueError(f"it names a file {name!r} where {kind} belongs")
    return "/".join(parts)


def check_dataset(path: Path, inputs: Sequence[Path], force: bool) -> None:
    """Refuse a dataset's file that could not be written, or that must not be.

    Raises:
        OutputError: it is an input, or within one, a folder, a link, another's file, or a dataset and no `force`.
    """
    _check_inputs(path, inputs)
    if path.is_symlink():
        raise OutputError(f"{path}: a link to {os.readlink(path)}; name the file itself")
    if not path.parent.is_dir():
        raise OutputError(f"{path}: the folder {path.parent} does not exist; make it first")
    for source in inputs:
        if source.is_dir() and path.parent.samefile(source):
            raise OutputError(f"{path}: would lie among the slices of {source}; write elsewhere")
    if path.is_dir():
        raise OutputError(f"{path}: a folder; name a file, such as {path / 'data.h5'}")
    if path.exists():
        found = count(path) if path.is_file() else None
        if found is None:
            raise OutputError(f"{path}: exists and is no dataset of Janus-AL; give another --out")
        if not force:
            held = f"holds {found[0]} samples, of which {found[1]} simulated"
            raise OutputError(f"{path}: {held}; give another --out, or --force to replace it")
    _check_writable(path)


def check_sheet(path: Path, inputs: Sequence[Path]) -> None:
    """Refuse a contact sheet's file that could not be written, or that is something else.

    Raises:
        OutputError: it is an input, a folder, a link, or another's file.
    """
    _check_inputs(path, inputs)
    if path.is_symlink() or path.exists():
        with contextlib.suppress(OSError):
            if not path.is_symlink() and SHEET.encode() in path.open("rb").read(1024):
                return _check_writable(path)
        raise OutputError(f"{path}: exists and is no contact sheet of Janus-AL; move it away, or give another --out")
    _check_writable(path)


def check_folder(
    folder: Path,
    run: Run,
    inputs: Iterable[Path] = (),
    force: bool | None = False,
    finished: str | None = None,
    files: Sequence[str] = (),
) -> None:
    """Refuse a folder in which a run must not write: another's, or one that holds another run.

    Args:
        run: the command and its settings, as `claim` stores them.
        inputs: files and folders that the command reads.
        force: whether an earlier run may be replaced; None where a command replaces none.
        finished: the file that a finished run leaves; its run is not repeated without `force`.
        files: that the run may write; none of them replaces what an earlier run did not make.

    Raises:
        OutputError: with what the folder holds and the mend.
    """
    _check_inputs(folder, inputs)
    made = _made(folder)
    if made is None:
        return check_free(folder)
    if (stored := made["run"]).get("command") != run["command"]:
        raise OutputError(f"{folder}: made by `{stored.get('command')}`; give another --out")
    kept = not made["files"] or any((folder / name).exists() for name in made["files"])
    if kept and not force:
        wanted = json.loads(json.dumps(run))
        mend = "give another --out" + ("" if force is None else ", or --force to replace it")
        if finished is not None and (folder / finished).exists():
            raise OutputError(f"{folder}: holds what `{run['command']}` made; {mend}")
        if differing := [key for key in wanted if stored.get(key) != wanted[key]]:
            words = " and ".join(differing)
            raise OutputError(f"{folder}: holds what `{run['command']}` began with another {words}; {mend}")
    for name in files:
        if (folder / name).is_symlink() or ((folder / name).exists() and name not in made["files"]):
            raise OutputError(f"{folder}: holds {name}, which this command did not make; move it away")
    _check_writable(folder / RUN)


def claim(folder: Path, run: Run, files: Sequence[str], finished: str | None = None) -> None:
    """Make a checked folder this run's, or go on with it; the files of an earlier run that it replaces are removed."""
    wanted, made = json.loads(json.dumps(run)), _made(folder)
    folder.mkdir(parents=True, exist_ok=True)
    remove_stale(folder)
    if made is not None and (made["run"] != wanted or (finished is not None and (folder / finished).exists())):
        for name in made["files"]:
            path = inside(folder, name, folder / RUN)
            if path.is_file() and not path.is_symlink():
                path.unlink()
    with atomic_path(folder / RUN) as temporary:
        temporary.write_text(json.dumps({"made_by": "janus-al", "run": wanted, "files": list(files)}, indent=1))


def check_free(folder: Path, marker: str | None = None) -> None:
    """Refuse a folder that holds files, unless one of them is the marker of what the command goes on with.

    Raises:
        OutputError: it holds files, is none, or cannot be made.
    """
    if folder.is_symlink() and not folder.exists():
        raise OutputError(f"{folder}: a link to {os.readlink(folder)}, which does not exist; name a folder")
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder}: a file where a folder is needed; give another name")
    if marker is None or not (folder / marker).is_file():
        for parent, folders, names in os.walk(folder):
            links = [name for name in folders if Path(parent, name).is_symlink()]
            for name in sorted([*names, *links]):
                if not name.startswith("."):
                    held = PurePath(parent, name).relative_to(folder)
                    raise OutputError(
                        f"{folder}: holds {held}, which this command did not make; name a new or an empty folder"
                    )
    _check_writable(folder / (marker or RUN))


def _made(folder: Path) -> dict[str, Any] | None:
    """What a folder's `run.json` says; a model without one, such as the shipped one, was made by `train`."""
    try:
        if (folder / RUN).is_file():
            found = json.loads((folder / RUN).read_text())
            if found["made_by"] != "janus-al" or not isinstance(found["run"], dict):
                return None
            for name in found["files"]:
                inside(folder, name, folder / RUN)
            return found
        if json.loads((folder / MODEL[0]).read_text())["format"] == "janus-al model":
            return {"run": {"command": "train"}, "files": list(MODEL)}
    except DatasetError:
        raise
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return None


def _check_inputs(path: Path, inputs: Iterable[Path]) -> None:
    for source in inputs:
        if path.exists() and source.exists() and path.samefile(source):
            raise OutputError(f"{path}: is {source}, which this command reads; write elsewhere")


def _check_writable(path: Path) -> None:
    """Try it: make a temporary file beside the path, or beside the first folder on the way that is missing."""
    try:
        path.exists()
        while not path.parent.exists():
            path = path.parent
        make_temporary(path).unlink()
        remove_stale(path.parent, path.name)
    except NotADirectoryError:
        raise OutputError(f"{path}: {path.parent} is a file where a folder is needed; give another name") from None
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror}); give another name") from None
