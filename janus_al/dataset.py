"""The HDF5 file of samples.

One file holds the samples of one material. Files are written whole, under a temporary name, and renamed; nothing is
ever appended in place. Version 2 holds any properties, with sensitivities or without, of planes or volumes; version 1,
which held kxx and kyy of planes, is read as before.
"""

import contextlib
import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from janus_al.columns import attribute, dataset_at, opened, read_columns
from janus_al.errors import DatasetError, first_error
from janus_al.files import atomic_path
from janus_al.lengths import checked
from janus_al.material import BOUNDARIES, Constant, Material, Physics
from janus_al.properties import FRACTION, PropertyError, row_of
from janus_al.samples import ARRAYS, META, SIMULATED, UNLABELLED, Samples
from janus_al.shipped import shipped

FORMAT, VERSION = "janus-al samples", 2
TABLES = ARRAYS[1:-1]
ROUNDING = 1e-6
"""part of a value by which its bounds may miss it"""


def write(path: Path, samples: Samples, created_by: str) -> None:
    """Write a file that is either complete or absent."""
    import h5py

    material = samples.material
    # HDF5 can crash the process on a full disk, where Python raises OSError: let HDF5 write to memory.
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs.update(
            format=FORMAT,
            version=VERSION,
            boundary=material.boundary,
            phase_conductivity=material.phase_conductivity,
            unit=material.physics[0].unit,
            created_by=created_by,
            image_convention="labels, axes (sample, y, x) or (sample, z, y, x), row 0 on top",
            material=json.dumps(asdict(material)),
        )
        if samples.pixel:
            file.attrs["pixel"] = samples.pixel
        arrays = {name: getattr(samples, name) for name in ARRAYS}
        arrays |= {"content_hash": samples.hashes} | {f"meta/{k}": v for k, v in samples.meta.items()}
        for name, array in arrays.items():
            chunked = array.size > 0
            file.create_dataset(
                name,
                data=array,
                chunks=(min(len(samples), 64), *array.shape[1:]) if chunked else None,
                compression="gzip" if chunked else None,
                fletcher32=chunked,
            )
            if name in TABLES:
                file[name].attrs["names"] = list(samples.names)
        file["sensitivity"].attrs["names"] = list(samples.sensitive) or np.empty(0, dtype="S1")
    with atomic_path(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def read(path: Path | str) -> Samples:
    """Read and check a file.

    Raises:
        FileNotFoundError: there is none.
        LockedError: another program has it open for writing.
        DatasetError: it is damaged, is no dataset of ours, would reach outside itself, or says what cannot be.
    """
    path = shipped(path)
    with opened(path) as file:
        kind, version = attribute(path, file, "format"), attribute(path, file, "version")
        if kind != FORMAT or version not in (1, VERSION):
            raise DatasetError(
                f"{path}: not a '{FORMAT}' file of version 1 to {VERSION}; make one with `janus-al import`"
            )
        material, pixel = _material(path, file, version), _pixel(path, file)
        for name in TABLES:
            names = attribute(path, dataset_at(path, file, name), "names") or list(material.names)
            if names != list(material.names):
                raise DatasetError(f"{path}: '{name}' holds {names} where {', '.join(material.names)} belong")
        sensitive = attribute(path, dataset_at(path, file, "sensitivity"), "names")
        if sensitive is None:
            sensitive = list(material.simulated)
        if not isinstance(sensitive, list) or [n for n in material.simulated if n in sensitive] != sensitive:
            raise DatasetError(
                f"{path}: 'sensitivity' holds {sensitive}; it may hold {', '.join(material.simulated)}, in this order"
            )
        shape = dataset_at(path, file, "image").shape
        if shape is None or len(shape) not in ((3,) if version == 1 else (3, 4)) or 0 in shape:
            raise DatasetError(f"{path}: 'image' is {shape}; it holds planes or volumes, one a row, and at least one")
        columns = read_columns(path, file, _promised(shape, len(material.names), len(sensitive), version))
    if columns["image"].min() < 0 or columns["image"].max() >= material.phases:
        raise DatasetError(
            f"{path}: labels {columns['image'].min()}..{columns['image'].max()} but {material.phases} phase "
            "conductivities; label i needs entry i"
        )
    columns["image"] = columns["image"].astype(np.uint8)
    columns["sensitivity"] = columns["sensitivity"].astype(np.float32, copy=False)
    samples = Samples(
        **{name: columns[name] for name in ARRAYS},
        sensitive=tuple(sensitive),
        meta={name: columns[f"meta/{name}"].astype(kind, copy=False) for name, kind in META.items()},
        material=material,
        pixel=pixel,
    )
    if not np.array_equal(columns["content_hash"], samples.hashes):
        raise DatasetError(f"{path}: images do not match their content hashes; restore the file from a copy")
    _check_values(path, samples)
    return samples


def _material(path: Path, file: Any, version: int) -> Material:
    """What a file says of its material.

    Raises:
        DatasetError: it is none, or contradicts itself.
    """
    about = {name: attribute(path, file, name) for name in ("boundary", "unit", "phase_conductivity")}
    phases = about["phase_conductivity"]
    if about["boundary"] not in BOUNDARIES or not isinstance(about["unit"], str):
        raise DatasetError(f"{path}: boundary {about['boundary']!r}, unit {about['unit']!r}: it has lost its kind")
    if not isinstance(phases, list) or not all(isinstance(k, int | float) and 0 < k < np.inf for k in phases):
        raise DatasetError(f"{path}: phase_conductivity {phases!r}: each must be finite and above 0")
    if version == 1:
        constants: dict[str, Constant] = {"conductivity": tuple(float(k) for k in phases)}
        return Material((Physics("conduction", constants, ("kxx", "kyy"), about["unit"]),), about["boundary"])
    try:
        material = TypeAdapter(Material).validate_json(attribute(path, file, "material") or "{}", strict=True)
        material.check_constants()
    except PropertyError as error:
        raise DatasetError(f"{path}: damaged material ({error}); restore the file from a copy") from None
    except ValidationError as error:
        raise DatasetError(f"{path}: damaged material ({first_error(error)}); restore the file from a copy") from None
    own = {"boundary": material.boundary, "unit": material.physics[0].unit, "phase_conductivity": phases}
    if about != own or tuple(phases) != material.phase_conductivity:
        raise DatasetError(f"{path}: boundary, unit or phase_conductivity differ from its material; make the file anew")
    return material


def pixel_of(path: Path) -> str:
    """Length of a pixel's side, as a file says it; empty where it says none, or is no dataset of ours."""
    with contextlib.suppress(DatasetError, OSError), opened(path) as file:
        return _pixel(path, file)
    return ""


def _pixel(path: Path, file: Any) -> str:
    pixel = attribute(path, file, "pixel")
    try:
        return "" if pixel is None else checked(pixel if isinstance(pixel, str) else repr(pixel))
    except ValueError as error:
        raise DatasetError(f"{path}: damaged pixel ({error}); restore the file from a copy") from None


def count(path: Path) -> tuple[int, int] | None:
    """How many samples a file holds and how many of them are simulated; None if it is no dataset of ours."""
    with contextlib.suppress(DatasetError), opened(path) as file:
        if attribute(path, file, "format") == FORMAT:
            shape = dataset_at(path, file, "meta/status").shape
            status = read_columns(path, file, {"meta/status": (META["status"], shape)})["meta/status"]
            return len(status), int((status == SIMULATED).sum())
    return None


def _promised(
    shape: tuple[int, ...], properties: int, sensitive: int, version: int
) -> dict[str, tuple[Any, tuple[int, ...]]]:
    """Type and shape of every column of a file of images of this shape (n, *grid)."""
    n, *grid = shape
    return {
        "image": (np.uint8, shape),
        **dict.fromkeys(TABLES, (np.float64, (n, properties))),
        "sensitivity": (np.float16 if version == 1 else np.float32, (n, sensitive, *grid)),
        "content_hash": ("S64", (n,)),
        **{f"meta/{name}": (kind, (n,)) for name, kind in META.items()},
    }


def _check_values(path: Path, samples: Samples) -> None:
    """Refuse simulated rows whose values no simulation gives."""
    status = samples.meta["status"]
    if (strange := status[~np.isin(status, (SIMULATED, UNLABELLED))]).size:
        words = strange[0].decode(errors="replace")
        raise DatasetError(f"{path}: status {words!r}: it must be 'simulated' or 'unlabelled'")
    rows = np.flatnonzero(samples.simulated)
    table = np.stack([getattr(samples, name)[rows] for name in TABLES])
    value, _, lower, upper = table
    known, slack = ~np.isnan(value), ROUNDING * np.abs(value)
    possible = np.isfinite(table) | np.isnan(table)
    possible[0, :, -1] &= known[:, -1]
    for column, name in enumerate(samples.names):
        if name == FRACTION.name:
            possible[..., column] &= ~((table[..., column] < 0) | (table[..., column] > 1))
        elif row_of(name).log:
            possible[..., column] &= ~(table[..., column] <= 0)
    maps = [samples.maps(name)[rows].reshape(len(rows), samples.image[0].size) for name in samples.sensitive]
    whole = [np.isfinite(m).all(axis=1) | np.isnan(m).all(axis=1) for m in maps]
    rules = {
        "finite, conductivities above 0 and volume fractions from 0 to 1": possible.all(axis=(0, 2)),
        "finite in any property": known[:, :-1].any(axis=1),
        "known where its bounds are": (known | np.isnan(table).all(axis=0)).all(axis=1),
        "between its bounds": ~((lower > value + slack) | (value - slack > upper)).any(axis=1),
        "finite in its sensitivities": np.logical_and.reduce([np.ones(len(rows), dtype=bool), *whole]),
    }
    for rule, kept in rules.items():
        if not kept.all():
            row = rows[~kept][0]
            raise DatasetError(
                f"{path}: row {row} is simulated but not {rule} (properties {samples.properties[row].tolist()}); "
                "simulate it again"
            )
