"""Files of the folder that is served, and of nothing else: each name on the way is opened as what it is, no link."""

import os
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from loop.files.names import file_name
from loop.files.outputs import plain

LARGEST = 256 * 2**20
"""bytes of a file that is served"""
DEEPEST = 4
"""folders within a design's"""
ITSELF = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
"""a link is refused, and a pipe does not hold us up"""


def campaign_name(name: str) -> str:
    """The name, where a campaign's folder can have it.

    Raises:
        ValueError: with the rule.
    """
    return plain(file_name(name))


def read(root: Path, *names: str) -> bytes:
    """The bytes of a file under `root`, by one plain name for each folder on the way and one for itself.

    Raises:
        FileNotFoundError: there is none, whatever stands there instead.
    """
    with opened(root, *names) as file:
        return file.read()


def opened(root: Path, *names: str) -> IO[bytes]:
    """`read`, but open.

    Raises:
        FileNotFoundError: as `read`.
    """
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in names[:-1]:
            inner = os.open(_plain(name), ITSELF | os.O_DIRECTORY, dir_fd=folder)
            os.close(folder)
            folder = inner
        found = os.open(_plain(names[-1]), ITSELF, dir_fd=folder)
    except OSError:
        raise FileNotFoundError(f"{'/'.join(names)[:200]!r}: no such file here") from None
    finally:
        os.close(folder)
    what = os.fstat(found)
    if not stat.S_ISREG(what.st_mode) or what.st_size > LARGEST:
        os.close(found)
        raise FileNotFoundError(f"{'/'.join(names)[:200]!r}: no file that is served")
    return os.fdopen(found, "rb")


def files(root: Path, *names: str) -> list[tuple[str, ...]]:
    """Names of all files in a folder under `root`, each with those of the folders on its way, in order; no links.

    Empty where there is no such folder.
    """
    folder = root
    for name in names:
        folder = folder / _plain(name)
        if folder.is_symlink() or not folder.is_dir():
            return []
    return sorted(_within(folder, ()))


def _within(folder: Path, way: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_file(follow_symlinks=False):
                yield (*way, entry.name)
            elif entry.is_dir(follow_symlinks=False) and len(way) < DEEPEST:
                yield from _within(folder / entry.name, (*way, entry.name))


def packed(root: Path, *names: str) -> IO[bytes]:
    """A zip of all files in a folder, under its own name; the same bytes whenever the files are the same.

    Raises:
        FileNotFoundError: it holds none.
    """
    found = files(root, *names)
    if not found:
        raise FileNotFoundError(f"{'/'.join(names)[:200]!r}: no such folder here")
    whole = tempfile.SpooledTemporaryFile(max_size=2**24)  # noqa: SIM115 (whoever sends it closes it)
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        for way in found:
            with opened(root, *names, *way) as file:
                archive.writestr(zipfile.ZipInfo("/".join((names[-1], *way))), file.read(), zipfile.ZIP_DEFLATED)
    whole.seek(0)
    return whole


def _plain(name: str) -> str:
    try:
        return plain(name)
    except ValueError:
        raise FileNotFoundError(f"{name[:60]!r}: no name of a file") from None
