"""What is exported: an image with its lengths, and how a writer sees it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from janus_al.lengths import measured
from janus_al.material import Boundary

Labels = NDArray[np.unsignedinteger]


def length(words: str) -> tuple[float, str]:
    """A length in words, such as 0.5um, as a number and its unit, in letters that all formats have.

    Raises:
        ValueError: it is none.
    """
    number, unit = measured(words)
    return number, "um" if unit in ("µm", "μm") else unit


@dataclass(frozen=True, eq=False)
class Part:
    """An image and how large it is.

    Attributes:
        image: labels (ny, nx), row 0 on top, or (nz, ny, nx).
        edge: length of a voxel's side.
        thickness: of a layer: of a plane what it is extruded by, of a volume `edge`.
        unit: of both lengths, and of all coordinates written; "" where these are pixels.
        label: of the phase that surfaces enclose.
        smooth: width of the filter of surfaces and outlines, in voxels; see `loop.exports.surface`.
        boundary: under which the image was designed; one that is periodic is smoothed as a cell.
        conductivity: of each label; empty where it is not known.
    """

    image: Labels
    edge: float
    thickness: float
    unit: str
    label: int = 1
    smooth: float = 0.0
    boundary: Boundary = "dirichlet"
    conductivity: tuple[float, ...] = ()

    @property
    def volume(self) -> Labels:
        """Labels (nz, ny, nx): a plane is one layer."""
        return self.image if self.image.ndim == 3 else self.image[None]

    @property
    def upright(self) -> Labels:
        """Labels as (z, y, x) with y upwards: the bottom row comes first."""
        return self.volume[:, ::-1]

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Sides of a voxel along x, y and z."""
        return self.edge, self.edge, self.thickness

    @property
    def present(self) -> list[int]:
        """Labels that the image has."""
        return np.unique(self.image).tolist()

    def fraction(self, image: Labels) -> float:
        """Of its phase in an image."""
        return float((image == self.label).mean())

    def rebuilt(self, phase: NDArray[np.bool_]) -> Labels:
        """The image whose phase is this one: what it gains takes its label, what it loses that of the nearest other."""
        from scipy.ndimage import distance_transform_edt

        phase = phase.reshape(self.image.shape)
        old = self.image == self.label
        if old.all():
            return np.where(phase, self.image, 1 - min(self.label, 1)).astype(self.image.dtype)
        nearest = distance_transform_edt(old, return_distances=False, return_indices=True)
        others = self.image[tuple(nearest)]
        return np.where(phase, self.label, others).astype(self.image.dtype)


@dataclass(frozen=True, eq=False)
class Written:
    """What a file holds, as far as it can be told from the file.

    Attributes:
        fraction: of the part's phase.
        image: its labels on the design's grid.
        note: what there is to say of it in a word, such as `watertight`.
    """

    fraction: float
    image: Labels
    note: str = ""
