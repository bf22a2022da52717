"""Labels of a grey picture: how many of the thresholds a pixel is brighter than."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulators.structures.greys import Grey
from simulators.structures.images import LabelledImage, Stored
from simulators.structures.rasters import ImageError

OTSU = "otsu"
MOST = 4
"""phases that Otsu's method tells apart in reasonable time"""


@dataclass(frozen=True, eq=False)
class Picture:
    """A file as it was understood.

    Attributes:
        path: of the file, or of a folder of slices.
        labelled: its labels.
        grey: what they were made of, of the same shape; of files of labels the labels.
        kind: how the file stores it, in words.
        thresholds: in stored values: label i is brighter than i of them; none of files of labels.
        lossy: name of the compression that may have changed it.
    """

    path: Path
    labelled: LabelledImage
    grey: NDArray[Any]
    kind: str = "labels"
    thresholds: tuple[float, ...] = ()
    lossy: str = ""

    @property
    def labels(self) -> NDArray[np.unsignedinteger[Any]]:
        """(ny, nx) or (nz, ny, nx)."""
        return self.labelled.labels

    @property
    def fractions(self) -> tuple[float, ...]:
        """Of each label."""
        return tuple(pixels / self.labels.size for pixels in self.labelled.pixels)

    def inverted(self) -> "Picture":
        """The same with its labels counted from the other end, so that the darkest phase is the last."""
        old = self.labelled
        labels = (len(old.stored) - 1 - old.labels.astype(int)).astype(old.labels.dtype)
        return replace(self, labelled=LabelledImage(labels, old.stored[::-1], old.pixels[::-1]))


@dataclass(frozen=True)
class Threshold:
    """How greys become labels.

    Attributes:
        phases: number of labels, one more than there are thresholds.
        levels: an integer for a stored value, a float between 0 and 1 for a part of the highest that the file's type
            holds; none: by Otsu's method, of each picture for itself.
        smooth: standard deviation of a Gaussian filter before, in pixels.
        footer: rows at the bottom that are left out before.
    """

    phases: int
    levels: tuple[int | float, ...] = ()
    smooth: float = 0.0
    footer: int = 0

    @classmethod
    def parse(cls, words: str, phases: int, smooth: float = 0.0, footer: int = 0) -> "Threshold":
        """From words such as `otsu`, `0.43`, `128` or, of three phases, `80,160`; raises ImageError."""
        forms = "otsu, a stored value such as 128, or a part of the range such as 0.43"
        if words.strip().lower() == OTSU:
            if not 2 <= phases <= MOST:
                raise ImageError(f"threshold otsu: for 2 to {MOST} phases, but there are {phases} conductivities")
            return cls(phases, (), smooth, footer)
        levels: list[int | float] = []
        for word in words.split(","):
            if re.fullmatch(r"\s*[-+]?\d{1,18}\s*", word):
                levels.append(int(word))
            elif re.fullmatch(r"\s*0?\.\d*[1-9]\d*\s*", word):
                levels.append(float(word))
            else:
                raise ImageError(f"threshold '{words}': give {forms}, and commas between several")
        if len(levels) != phases - 1:
            raise ImageError(
                f"threshold '{words}': {len(levels)} of them makes {len(levels) + 1} phases, but there are {phases} "
                "conductivities; give one threshold less than conductivities"
            )
        return cls(phases, tuple(levels), smooth, footer)

    def of(self, path: Path, grey: Grey) -> Picture:
        """The labels of a picture.

        Raises:
            ImageError: a phase has no pixel, or the file's type has no range of which a level is a part.
        """
        rows = grey.values.shape[-2] - self.footer
        if rows < 2:
            raise ImageError(f"{path}: a footer of {self.footer} leaves {max(rows, 0)} rows of it; give less")
        values = _smoothed(grey.values[..., :rows, :], self.smooth)
        found = tuple(self._level(path, grey, level) for level in self.levels) or self._otsu(path, values)
        if any(a >= b for a, b in pairwise(found)):
            raise ImageError(f"{path}: thresholds {_words(found)}; give them from low to high, each once")
        labels = np.digitize(values, found, right=True).astype(np.uint8)
        pixels = np.bincount(labels.ravel(), minlength=self.phases).tolist()
        if 0 in pixels:
            raise ImageError(
                f"{path}: threshold {_words(found)} leaves nothing of label {pixels.index(0)}, as its greys go from "
                f"{_words([values.min(), values.max()], ' to ')}; give another"
            )
        ends = [_words([level]) for level in found]
        between = [f"{low} to {high}" for low, high in pairwise(ends)]
        stored: tuple[Stored, ...] = (f"<= {ends[0]}", *between, f"> {ends[-1]}")
        return Picture(path, LabelledImage(labels, stored, tuple(pixels)), values, grey.kind, found, grey.lossy)

    def _level(self, path: Path, grey: Grey, level: int | float) -> float:
        if isinstance(level, int):
            return level
        if not grey.highest:
            raise ImageError(
                f"{path}: threshold {level} is a part of a range, which {grey.kind} has none of; give a stored value, "
                "an integer, or otsu"
            )
        return level * grey.highest

    def _otsu(self, path: Path, values: NDArray[Any]) -> tuple[float, ...]:
        from skimage.filters import threshold_multiotsu, threshold_otsu

        if values.min() == values.max():
            raise ImageError(f"{path}: every pixel is {_words([values.min()])}; there is nothing to tell phases by")
        if self.phases == 2:
            return (float(threshold_otsu(values)),)
        try:
            return tuple(threshold_multiotsu(values.astype(float), self.phases).tolist())
        except ValueError as error:
            raise ImageError(f"{path}: threshold otsu: {error}; give stored values") from None


def _smoothed(values: NDArray[Any], width: float) -> NDArray[Any]:
    if not width:
        return values
    from scipy.ndimage import gaussian_filter

    smooth: NDArray[Any] = gaussian_filter(values.astype(float), width)
    return smooth


def _words(levels: Sequence[Any], between: str = ", ") -> str:
    return between.join(f"{float(level):.6g}" for level in levels)
