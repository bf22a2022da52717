"""Samples: images with the properties, bounds and sensitivities that physics gave them."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from janus_al.errors import DatasetError
from janus_al.lengths import agreed
from janus_al.material import Boundary, Material, joined
from janus_al.properties import PropertyError

SIMULATED, UNLABELLED = b"simulated", b"unlabelled"
META: dict[str, Any] = {
    "status": "S16",
    "origin": "S32",
    "round": np.int64,
    "seed": np.int64,
    "solver": "S64",
    "solver_version": "S64",
    "flux_imbalance": np.float64,
    "seconds": np.float64,
}
LABELS = 256
"""that an image of a dataset may have, 8 bits each"""


@dataclass(frozen=True)
class Samples:
    """Images and what is known of them, row by row.

    Attributes:
        image: labels (n, ny, nx) or (n, nz, ny, nx).
        properties, properties_fv, properties_lower, properties_upper: (n, names), in the order of `names`: the best
            value, the plain one of the discretisation, and certified bounds; NaN where a simulator gives none.
        sensitivity: (n, sensitive, *grid), derivative to the log of each cell's constant, of log value for properties
            on a log scale and of the value for others, times the number of cells; NaN where not known.
        sensitive: names of those that have any, in order.
        meta: one array (n,) for each name of `META`.
        material: the physics, constants and boundary that all rows share.
        pixel: length of a pixel's side, such as 0.5um; empty where it is not known.
    """

    image: NDArray[np.uint8]
    properties: NDArray[np.float64]
    properties_fv: NDArray[np.float64]
    properties_lower: NDArray[np.float64]
    properties_upper: NDArray[np.float64]
    sensitivity: NDArray[np.float32]
    sensitive: tuple[str, ...]
    meta: dict[str, NDArray[Any]]
    material: Material
    pixel: str = ""
    hashes: NDArray[np.bytes_] = field(init=False)

    def __post_init__(self) -> None:
        """Hash every image: the identity of a sample is its content."""
        object.__setattr__(self, "hashes", np.array([content_hash(i) for i in self.image], dtype="S64"))

    def __len__(self) -> int:
        return len(self.image)

    @property
    def names(self) -> tuple[str, ...]:
        """Columns of the properties."""
        return self.material.names

    @property
    def phase_conductivity(self) -> tuple[float, ...]:
        """Conductivity of label i."""
        return self.material.phase_conductivity

    @property
    def boundary(self) -> Boundary:
        """The boundary conditions that all properties share."""
        return self.material.boundary

    @property
    def simulated(self) -> NDArray[np.bool_]:
        """Which rows carry properties, some or all."""
        return self.meta["status"] == SIMULATED

    def column(self, name: str) -> NDArray[np.float64]:
        """One property of every row; NaN where it is not simulated."""
        return np.where(self.simulated, self.properties[:, self.names.index(name)], np.nan)

    def table(self, table: str, names: Sequence[str]) -> NDArray[np.float64]:
        """One table of `ARRAYS` with these columns, NaN where these samples lack one."""
        values: NDArray[np.float64] = getattr(self, table)
        nan = np.full(len(self), np.nan)
        return np.stack([values[:, self.names.index(n)] if n in self.names else nan for n in names], axis=1)

    def maps(self, name: str) -> NDArray[np.float32]:
        """The sensitivity of one property of every row, (n, *grid); NaN where it has none."""
        if name in self.sensitive:
            return self.sensitivity[:, self.sensitive.index(name)]
        return np.full(self.image.shape, np.nan, dtype=np.float32)

    def take(self, index: Any) -> "Samples":
        """The rows at an index array, a mask or a slice."""
        rows: dict[str, Any] = {name: getattr(self, name)[index] for name in ARRAYS}
        return replace(self, **rows, meta={name: column[index] for name, column in self.meta.items()})

    def digest(self) -> str:
        """SHA-256 over the images and properties in order; independent of HDF5, compression and the last digits.

        Properties count to ten decimals, those below a thousandth to eight digits.
        """
        what = self.material
        plain = [p.simulator for p in what.physics] == ["conduction"] and what.names[:2] == ("kxx", "kyy")
        about = (what.phase_conductivity, what.boundary) if plain and len(what.names) == 3 else asdict(what)
        digest = hashlib.sha256(repr(about).encode())
        for array in (self.hashes, _rounded(self.properties)):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


ARRAYS = ("image", "properties", "properties_fv", "properties_lower", "properties_upper", "sensitivity")


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


def unlabelled(image: NDArray[np.uint8], material: Material, sensitive: Sequence[str] = (), **meta: Any) -> Samples:
    """Samples without simulation; `meta` gives columns of `META` as arrays or one value for all rows.

    Raises:
        DatasetError: labels that 8 bits do not hold.
    """
    if image.max(initial=0) >= LABELS:
        raise DatasetError(f"label {image.max()}: a dataset holds labels 0 to {LABELS - 1}; merge phases")
    n, grid = len(image), image.shape[1:]
    nan = np.full((n, len(material.names)), np.nan)
    columns = {"status": UNLABELLED, "seed": -1, "flux_imbalance": np.nan, "seconds": np.nan, **meta}
    return Samples(
        image=image.astype(np.uint8),
        properties=nan,
        properties_fv=nan,
        properties_lower=nan,
        properties_upper=nan,
        sensitivity=np.full((n, len(sensitive), *grid), np.nan, dtype=np.float32),
        sensitive=tuple(sensitive),
        meta={k: np.full(n, columns.get(k, b"" if str(t)[0] == "S" else 0), dtype=t) for k, t in META.items()},
        material=material,
    )


def concatenate(parts: Sequence[Samples]) -> Samples:
    """All rows of several sets of samples of one kind, in order; raises DatasetError where they are of two."""
    if not parts:
        raise DatasetError("no samples to join: the campaign has none yet; run or resume it first")
    first = parts[0]
    material, grid = first.material, first.image.shape[1:]
    for part in parts[1:]:
        if part.image.shape[1:] != grid:
            raise DatasetError(f"samples of two kinds, {grid} and {part.image.shape[1:]} pixels: a dataset holds one")
        try:
            material = joined(material, part.material)
        except PropertyError as error:
            raise DatasetError(f"{error}; a dataset holds one") from None
    try:
        pixel = agreed(*(part.pixel for part in parts))
    except ValueError as error:
        raise DatasetError(f"samples with {error}: a dataset holds one") from None
    names = set[str]().union(*(part.sensitive for part in parts))
    sensitive = tuple(name for name in material.names if name in names)
    rows: dict[str, Any] = {
        table: np.concatenate([part.table(table, material.names) for part in parts]) for table in ARRAYS[1:-1]
    }
    maps = [np.stack([p.maps(n) for n in sensitive], 1) if sensitive else np.empty((len(p), 0, *grid)) for p in parts]
    return replace(
        first,
        image=np.concatenate([p.image for p in parts]),
        **rows,
        material=material,
        pixel=pixel,
        sensitivity=np.concatenate(maps).astype(np.float32, copy=False),
        sensitive=sensitive,
        meta={k: np.concatenate([p.meta[k] for p in parts]) for k in META},
    )
