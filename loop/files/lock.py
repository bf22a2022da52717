"""A folder's lock: one process at a time works in it, and the system frees it when that process dies."""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

from janus_al.errors import LockedError

NAME = ".lock"
PATIENCE = 0.5
"""seconds: longer than `is_locked` ever holds what it looks at"""


@contextlib.contextmanager
def locked(folder: Path, doing: str) -> Iterator[None]:
    """Hold a folder's lock; `doing` says at what another process would be.

    Raises:
        LockedError: another process holds it.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder / NAME)
    try:
        lock.acquire(timeout=PATIENCE)
    except Timeout:
        raise LockedError(f"{folder}: another process is {doing}; wait for it or stop it") from None
    try:
        yield
    finally:
        lock.release()


def is_locked(folder: Path) -> bool:
    """Whether a process holds the folder's lock; looking neither makes the file nor takes the lock from anyone."""
    try:
        with (folder / NAME).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
