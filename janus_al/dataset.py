"""Samples and their HDF5 file: images with the properties, bounds and sensitivities that physics gave them.

One file holds one boundary kind and one set of phase conductivities. Files are written whole, under a
temporary name, and renamed; nothing is ever appended in place.
"""

import contextlib
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from janus_al.columns import attribute, dataset_at, opened, read_columns
from janus_al.errors import DatasetError
from janus_al.files import atomic_path

FORMAT, VERSION = "janus-al samples", 1
NAMES = ("kxx", "kyy", "volume_fraction")
CONDUCTIVITIES = ("kxx", "kyy")
Boundary = Literal["dirichlet", "periodic"]
BOUNDARIES: tuple[Boundary, ...] = ("dirichlet", "periodic")
SIMULATED, UNLABELLED = b"simulated", b"unlabelled"
META: dict[str, Any] = {
    "status": "S16",
    "origin": "S32",
    "round": np.int64,
    "seed": np.int64,
    "solver": "S16",
    "solver_version": "S16",
    "flux_imbalance": np.float64,
    "seconds": np.float64,
}
LABELS = 256
"""that an image of a dataset may have, 8 bits each"""
ROUNDING = 1e-6
"""part of a value by which its bounds may miss it"""


@dataclass(frozen=True)
class Samples:
    """Images and what is known of them, row by row.

    Attributes:
        image: labels (n, ny, nx).
        properties, properties_fv, properties_lower, properties_upper: (n, 3), columns `NAMES`, in the unit
            of the phase conductivities; NaN without simulation.
        sensitivity: d log k / d log kappa times ny nx for `CONDUCTIVITIES`, (n, 2, ny, nx) float16, mean 1.
        meta: one array (n,) for each name of `META`.
        phase_conductivity: conductivity of label i.
        boundary: the boundary conditions all properties share.
    """

    image: NDArray[np.uint8]
    properties: NDArray[np.float64]
    properties_fv: NDArray[np.float64]
    properties_lower: NDArray[np.float64]
    properties_upper: NDArray[np.float64]
    sensitivity: NDArray[np.float16]
    meta: dict[str, NDArray[Any]]
    phase_conductivity: tuple[float, ...]
    boundary: Boundary = "dirichlet"
    unit: str = "W/(m K)"
    hashes: NDArray[np.bytes_] = field(init=False)

    def __post_init__(self) -> None:
        """Hash every image: the identity of a sample is its content."""
        object.__setattr__(self, "hashes", np.array([content_hash(i) for i in self.image], dtype="S64"))

    def __len__(self) -> int:
        return len(self.image)

    @property
    def simulated(self) -> NDArray[np.bool_]:
        """Which rows carry properties."""
        return self.meta["status"] == SIMULATED

    def take(self, index: Any) -> "Samples":
        """The rows at an index array, a mask or a slice."""
        rows: dict[str, Any] = {name: getattr(self, name)[index] for name in _ARRAYS}
        return replace(self, **rows, meta={name: column[index] for name, column in self.meta.items()})

    def digest(self) -> str:
        """SHA-256 over the images and properties in order; independent of HDF5, compression and the last digits.

        Properties count to ten decimals, those below a thousandth to eight digits.
        """
        digest = hashlib.sha256(repr((self.phase_conductivity, self.boundary)).encode())
        for array in (self.hashes, _rounded(self.properties)):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


_ARRAYS = ("image", "properties", "properties_fv", "properties_lower", "properties_upper", "sensitivity")


def _rounded(values: NDArray[np.float64]) -> NDArray[np.float64]:
    rounded, small = np.round(values, 10), (values != 0) & (abs(values) < 1e-3)
    unit = 10.0 ** np.clip(7 - np.floor(np.log10(abs(values[small]))), 10, 300)
    rounded[small] = np.rint(values[small] * unit) / unit
    return rounded


def content_hash(image: NDArray[np.integer]) -> str:
    """SHA-256 of an image's shape and labels, whatever type holds them."""
    labels = np.asarray(image)
    if labels.dtype.kind in "bui":
        ends = [np.min_scalar_type(int(end)) for end in (labels.min(initial=0), labels.max(initial=0))]
        labels = labels.astype(np.result_type(*ends).newbyteorder("<"))
    shape = "".join(f"{side} " for side in labels.shape)
    kind = "" if labels.dtype == np.uint8 else f"{labels.dtype.str} "
    return hashlib.sha256(f"janus-al image {shape}{kind}".encode() + labels.tobytes()).hexdigest()


def unlabelled(
    image: NDArray[np.uint8], phase_conductivity: Sequence[float], boundary: Boundary = "dirichlet", **meta: Any
) -> Samples:
    """Samples without simulation; `meta` gives columns of `META` as arrays or one value for all rows.

    Raises:
        DatasetError: labels that 8 bits do not hold.
    """
    if image.max(initial=0) >= LABELS:
        raise DatasetError(f"label {image.max()}: a dataset holds labels 0 to {LABELS - 1}; merge phases")
    n, ny, nx = image.shape
    nan = np.full((n, len(NAMES)), np.nan)
    columns = {"status": UNLABELLED, "seed": -1, "flux_imbalance": np.nan, "seconds": np.nan, **meta}
    return Samples(
        image=image.astype(np.uint8),
        properties=nan,
        properties_fv=nan,
        properties_lower=nan,
        properties_upper=nan,
        sensitivity=np.full((n, len(CONDUCTIVITIES), ny, nx), np.nan, dtype=np.float16),
        meta={k: np.full(n, columns.get(k, b"" if str(t)[0] == "S" else 0), dtype=t) for k, t in META.items()},
        phase_conductivity=tuple(float(k) for k in phase_conductivity),
        boundary=boundary,
    )


def concatenate(parts: Sequence[Samples]) -> Samples:
    """All rows of several sets of samples of one kind, in order."""
    if not parts:
        raise DatasetError("no samples to join: the campaign has none yet; run or resume it first")
    first = parts[0]
    for part in parts[1:]:
        kinds = [(p.phase_conductivity, p.unit, p.boundary, p.image.shape[1:]) for p in (first, part)]
        if kinds[0] != kinds[1]:
            raise DatasetError(f"samples of two kinds, {kinds[0]} and {kinds[1]}: a dataset holds one")
    rows: dict[str, Any] = {name: np.concatenate([getattr(p, name) for p in parts]) for name in _ARRAYS}
    return replace(first, **rows, meta={k: np.concatenate([p.meta[k] for p in parts]) for k in META})


def write(path: Path, samples: Samples, created_by: str) -> None:
    """Write a file that is either complete or absent."""
    import h5py

    # HDF5 can crash the process on a full disk, where Python raises OSError: let HDF5 write to memory.
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs.update(
            format=FORMAT,
            version=VERSION,
            boundary=samples.boundary,
            phase_conductivity=samples.phase_conductivity,
            unit=samples.unit,
            created_by=created_by,
            image_convention="labels, axes (sample, y, x), row 0 on top",
        )
        arrays = {name: getattr(samples, name) for name in _ARRAYS}
        arrays |= {"content_hash": samples.hashes} | {f"meta/{k}": v for k, v in samples.meta.items()}
        for name, array in arrays.items():
            chunked = len(samples) > 0
            file.create_dataset(
                name,
                data=array,
                chunks=(min(len(samples), 64), *array.shape[1:]) if chunked else None,
                compression="gzip" if chunked else None,
                fletcher32=chunked,
            )
            if name.startswith("properties"):
                file[name].attrs["names"] = list(NAMES)
        file["sensitivity"].attrs["names"] = list(CONDUCTIVITIES)
    with atomic_path(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def read(path: Path) -> Samples:
    """Read and check a file.

    Raises:
        FileNotFoundError: there is none.
        LockedError: another program has it open for writing.
        DatasetError: it is damaged, is no dataset of ours, would reach outside itself, or says what cannot be.
    """
    with opened(path) as file:
        about = {name: attribute(path, file, name) for name in ("format", "version", "boundary", "unit")}
        if (about["format"], about["version"]) != (FORMAT, VERSION):
            raise DatasetError(f"{path}: not a '{FORMAT}' file of version {VERSION}; make one with `janus-al import`")
        if about["boundary"] not in BOUNDARIES or not isinstance(about["unit"], str):
            raise DatasetError(f"{path}: boundary {about['boundary']!r}, unit {about['unit']!r}: it has lost its kind")
        phases = attribute(path, file, "phase_conductivity")
        if not isinstance(phases, list) or not all(isinstance(k, int | float) and 0 < k < np.inf for k in phases):
            raise DatasetError(f"{path}: phase_conductivity {phases!r}: each must be finite and above 0")
        for name in _ARRAYS[1:]:
            expected = CONDUCTIVITIES if name == "sensitivity" else NAMES
            names = attribute(path, dataset_at(path, file, name), "names") or list(expected)
            if names != list(expected):
                raise DatasetError(f"{path}: '{name}' holds {names}; this version knows {', '.join(expected)} only")
        shape = dataset_at(path, file, "image").shape
        if shape is None or len(shape) != 3 or 0 in shape:
            raise DatasetError(f"{path}: 'image' is {shape}; it holds plane images, one a row, and at least one")
        columns = read_columns(path, file, _promised(*shape))
    if columns["image"].min() < 0 or columns["image"].max() >= len(phases):
        raise DatasetError(
            f"{path}: labels {columns['image'].min()}..{columns['image'].max()} but {len(phases)} phase "
            "conductivities; label i needs entry i"
        )
    columns["image"] = columns["image"].astype(np.uint8)
    samples = Samples(
        **{name: columns[name] for name in _ARRAYS},
        meta={name: columns[f"meta/{name}"] for name in META},
        phase_conductivity=tuple(float(k) for k in phases),
        boundary=about["boundary"],
        unit=about["unit"],
    )
    if not np.array_equal(columns["content_hash"], samples.hashes):
        raise DatasetError(f"{path}: images do not match their content hashes; restore the file from a copy")
    _check_values(path, samples)
    return samples


def count(path: Path) -> tuple[int, int] | None:
    """How many samples a file holds and how many of them are simulated; None if it is no dataset of ours."""
    with contextlib.suppress(DatasetError), opened(path) as file:
        if attribute(path, file, "format") == FORMAT:
            shape = dataset_at(path, file, "meta/status").shape
            status = read_columns(path, file, {"meta/status": (META["status"], shape)})["meta/status"]
            return len(status), int((status == SIMULATED).sum())
    return None


def _promised(n: int, ny: int, nx: int) -> dict[str, tuple[Any, tuple[int, ...]]]:
    """Type and shape of every column of a file of so many images of this size."""
    table = dict.fromkeys(_ARRAYS[1:-1], (np.float64, (n, len(NAMES))))
    return {
        "image": (np.uint8, (n, ny, nx)),
        **table,
        "sensitivity": (np.float16, (n, len(CONDUCTIVITIES), ny, nx)),
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
    value, fv, lower, upper = (getattr(samples, f"properties{end}")[rows] for end in ("", "_fv", "_lower", "_upper"))
    table, slack = np.stack([value, fv, lower, upper]), ROUNDING * np.abs(value)
    conducts = np.isin(NAMES, CONDUCTIVITIES)
    possible = np.isfinite(table) & np.where(conducts, table > 0, (table >= 0) & (table <= 1))
    with np.errstate(invalid="ignore"):
        between = (lower <= value + slack) & (value - slack <= upper)
    rules = {
        "finite, conductivities above 0 and volume fractions from 0 to 1": possible.all(axis=(0, 2)),
        "between its bounds": between.all(axis=1),
        "finite in its sensitivities": np.isfinite(samples.sensitivity[rows]).all(axis=(1, 2, 3)),
    }
    for rule, kept in rules.items():
        if not kept.all():
            row = rows[~kept][0]
            raise DatasetError(
                f"{path}: row {row} is simulated but not {rule} (properties {samples.properties[row].tolist()}); "
                "simulate it again"
            )
