"""Files that are either complete or absent, and the temporary ones that a killed writer leaves behind."""

import contextlib
import os
import re
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

MODEL = ("model.json", "weights.safetensors", "SHA256SUMS")
"""the files of a trained model; without the first a folder is none, without the last it is not believed"""


@contextlib.contextmanager
def atomic_path(path: Path, durable: bool = True) -> Iterator[Path]:
    """A temporary path that becomes `path`, durably, when the block ends well, and vanishes otherwise.

    `durable = False` is for what can be made again, and is known to be torn if a power cut tears it. A new file gets
    the permissions that the user's umask leaves, one that replaces another keeps the other's.
    """
    temporary = make_temporary(path)
    try:
        mode = stat.S_IMODE(path.stat().st_mode) if path.is_file() else None
        if mode is not None:
            temporary.chmod(mode | stat.S_IWUSR)
        yield temporary
        if durable:
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
        if mode is not None:
            temporary.chmod(mode)
        temporary.replace(path)
        if durable:
            directory = os.open(path.parent, os.O_RDONLY)
            os.fsync(directory)
            os.close(directory)
    finally:
        temporary.unlink(missing_ok=True)


def make_temporary(path: Path) -> Path:
    """An empty file beside `path`, whose name says what for and by which process."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    return temporary


def remove_stale(folder: Path, of: str | None = None) -> None:
    """Remove what writers that were killed left in a folder, however deep, or beside its one file `of`.

    Only files that `atomic_path` named, whose process is no more.
    """
    for parent, folders, names in os.walk(folder):
        if of is not None:
            folders.clear()
        for name in names:
            found = _TEMPORARY.fullmatch(name)
            if found and (of is None or found["of"] == of) and not _alive(int(found["process"])):
                with contextlib.suppress(OSError):
                    Path(parent, name).unlink()


_TEMPORARY = re.compile(r"\.(?P<of>.+)\.(?P<process>[1-9]\d{0,8})-[0-9a-f]{8}\.tmp", re.DOTALL)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
