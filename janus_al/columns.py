"""Columns of an HDF5 file that may be damaged or hostile: compared with what is promised before any is read.

A small file can claim any size, point at other files, or expand a thousandfold. So a column counts only if it
lies in the file itself, has the promised shape and kind, is stored whole by filters that every HDF5 has, and
all columns together fit into the memory that is free.
"""

import contextlib
import errno
import math
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from janus_al.errors import DatasetError, LockedError, one_line

GZIP, SHUFFLE, FLETCHER32 = 1, 2, 3
EXPANSION = 1032
"""bytes that deflate makes of one byte, at most"""
CHUNK = 2**24
"""bytes of a chunk that is larger than its column, at most"""
MOST = 256
"""values of an attribute, at most"""


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Any]:
    """An HDF5 file to read from.

    Raises:
        FileNotFoundError: there is none.
        LockedError: another program has it open for writing.
        DatasetError: it is damaged, as far as the block reads it.
    """
    import h5py

    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    path.open("rb").close()
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (DatasetError, LockedError):
        raise
    except MemoryError:
        raise DatasetError(f"{path}: takes more memory than is free; read it on a larger machine") from None
    except (
        zlib.error,
        OSError,
        LookupError,
        RuntimeError,
        ValueError,
        TypeError,
        ArithmeticError,
        AttributeError,
    ) as error:
        if isinstance(error, OSError) and error.errno in {errno.EAGAIN, errno.EWOULDBLOCK}:
            raise LockedError(f"{path}: another program has it open for writing; close it there") from None
        if "already open for write" in str(error):
            raise LockedError(
                f"{path}: marked as open for writing; close it in the other program, or clear the mark with "
                "`h5clear -s` if that program has died"
            ) from None
        raise DatasetError(
            f"{path}: damaged ({one_line(error)}); restore it from a copy or from the campaign's shards"
        ) from None


def attribute(path: Path, node: Any, name: str) -> Any:
    """A text, a number, or a list of them; None if there is no such attribute.

    Raises:
        DatasetError: it is something else.
    """
    import h5py

    if name not in node.attrs:
        return None
    found = node.attrs.get_id(name)
    text = h5py.check_string_dtype(found.dtype) is not None
    small = found.shape is not None and len(found.shape) < 2 and math.prod(found.shape) <= (MOST // 4 if text else MOST)
    if not small or not (text or found.dtype.kind in "uif"):
        raise DatasetError(f"{path}: the attribute '{name}' is {found.dtype} {found.shape}, which no file of ours has")
    value = np.asarray(node.attrs[name]).tolist()
    return [_text(v) for v in value] if isinstance(value, list) else _text(value)


def _text(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode().decode()
    return value.decode() if isinstance(value, bytes) else value


def dataset_at(path: Path, file: Any, name: str) -> Any:
    """The HDF5 dataset of a column, which lies in this file and nowhere else.

    Raises:
        DatasetError: there is none, or it would reach outside the file.
    """
    import h5py

    group = name.rpartition("/")[0]
    inside = all(isinstance(file.get(part, getlink=True), h5py.HardLink) for part in (group, name) if part)
    dataset = file[name] if inside else None
    if not isinstance(dataset, h5py.Dataset) or dataset.is_virtual or dataset.external:
        raise DatasetError(f"{path}: '{name}' is missing or reaches outside the file")
    return dataset


def read_columns(
    path: Path, file: Any, promised: Mapping[str, tuple[DTypeLike, tuple[int, ...]]]
) -> dict[str, NDArray[Any]]:
    """Columns of the promised types and shapes.

    Integers may be stored in any type if an unsigned type is promised; they come as they are. All other
    values come in the promised type.

    Raises:
        DatasetError: before anything is read, for the first column that is not what was promised.
    """
    import psutil

    stored, needed, columns = 0, 0, {}
    for name, (kind, shape) in promised.items():
        dataset, wanted = dataset_at(path, file, name), np.dtype(kind)
        if not _fits(dataset.dtype, wanted):
            raise DatasetError(f"{path}: '{name}' is {dataset.dtype} where {wanted} belongs; make the file anew")
        if dataset.shape != shape:
            raise DatasetError(
                f"{path}: '{name}' is {dataset.shape} where {shape} belongs; restore the file from a copy"
            )
        columns[name] = dataset
        stored += _stored(path, name, dataset)
        needed += dataset.size * max(wanted.itemsize, dataset.dtype.itemsize)
    if stored > path.stat().st_size:
        raise DatasetError(f"{path}: claims to store {stored} bytes, more than it has; restore it from a copy")
    if needed > (free := psutil.virtual_memory().available):
        raise DatasetError(
            f"{path}: takes {needed / 1e9:.1f} GB of memory of which {free / 1e9:.1f} GB are free; "
            "read it on a larger machine"
        )
    for name, dataset in columns.items():
        if dataset.compression == "gzip":
            _check_chunks(path, name, dataset)
    with np.errstate(over="ignore", invalid="ignore"):
        return {
            name: dataset[()]
            if (kind := np.dtype(promised[name][0])).kind == "u"
            else dataset[()].astype(kind, copy=False)
            for name, dataset in columns.items()
        }


def _fits(found: np.dtype[Any], wanted: np.dtype[Any]) -> bool:
    if wanted.kind == "u":
        return found.kind in "uib"
    if wanted.kind == "f":
        return found.kind == "f" and found.itemsize <= 8
    return found.kind in ("S" if wanted.kind == "S" else "ui") and np.can_cast(found, wanted)


def _stored(path: Path, name: str, dataset: Any) -> int:
    """Bytes that a column takes in the file, which must be enough to hold it."""
    settings = dataset.id.get_create_plist()
    filters = [settings.get_filter(i)[0] for i in range(settings.get_nfilters())]
    packing = [f for f in filters if f != FLETCHER32]
    if packing not in ([], [GZIP], [SHUFFLE], [SHUFFLE, GZIP]) or filters.count(FLETCHER32) > 1:
        raise DatasetError(
            f"{path}: '{name}' is stored with the HDF5 filters {filters}; write it anew with gzip, as `h5repack` does"
        )
    size = dataset.size * dataset.dtype.itemsize
    if dataset.chunks and math.prod(dataset.chunks) * dataset.dtype.itemsize > max(size, CHUNK):
        raise DatasetError(f"{path}: '{name}' has chunks of {dataset.chunks}, larger than itself; write it anew")
    stored = int(dataset.id.get_storage_size())
    if size > stored * (EXPANSION if filters else 1):
        raise DatasetError(
            f"{path}: '{name}' is {dataset.dtype} {dataset.shape}, {size} bytes, of which the file stores {stored}; "
            "restore it from a copy"
        )
    return stored


def _check_chunks(path: Path, name: str, dataset: Any) -> None:
    """Refuse a chunk that gzip would expand beyond its size, which HDF5 itself does not notice."""
    size = math.prod(dataset.chunks) * dataset.dtype.itemsize + 4
    places: list[tuple[int, ...]] = []
    dataset.id.chunk_iter(lambda chunk: places.append(chunk.chunk_offset))
    for at in places:
        _, raw = dataset.id.read_direct_chunk(at)
        with contextlib.suppress(zlib.error):  # stored plain, or damaged, which HDF5 notices
            if len(zlib.decompressobj().decompress(raw, size + 1)) > size:
                raise DatasetError(
                    f"{path}: '{name}' has a chunk that expands beyond its {size} bytes; get another copy"
                )
